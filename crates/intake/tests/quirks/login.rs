//! From the connection to the maildrop.

use restante_client::{Credentials, Mechanism, Secret, Security};
use restante_intake::fetch::{Kind, PauseReason};
use restante_testkit::scripted::{Instead, PASSWORD, Quirks, Tls, messages};

use crate::bench::{Bench, SILENCE};

/// Nothing that proves who we are went out.
fn assert_nothing_secret(bench: &Bench) {
    for verb in ["PASS", "AUTH", "APOP", "USER"] {
        assert_eq!(bench.count(verb), 0, "{verb}");
    }
}

#[tokio::test]
async fn tls_is_as_good_as_none() {
    for (tls, security) in [
        (Tls::Implicit, Security::ImplicitTls),
        (Tls::Stls, Security::Stls),
    ] {
        let all = messages(5);
        let quirks = Quirks {
            tls,
            ..Quirks::default()
        };
        let mut bench = Bench::new(all.clone(), quirks).await.deleting();
        bench.account.server.security = security;
        bench.account.server.tls.ca_file = Some(bench.server.ca_file());
        assert_eq!(bench.fetch().await.summary().deleted, 5, "{tls:?}");
        bench.assert_archived(&all);
    }
}

/// A certificate that nobody vouches for.
#[tokio::test]
async fn an_unknown_certificate_is_refused() {
    let quirks = Quirks {
        tls: Tls::Implicit,
        ..Quirks::default()
    };
    let mut bench = Bench::new(messages(1), quirks).await;
    bench.account.server.security = Security::ImplicitTls;
    let error = bench.fetch().await.error();
    assert_eq!(error.kind(), Kind::Permission, "{error}");
    assert_nothing_secret(&bench);
}

/// Somebody on the way took STLS out, or answers it with an error.
#[tokio::test]
async fn stripped_stls_is_refused() {
    for instead in [None, Some(Instead::refuse("STLS", "TLS not available"))] {
        let quirks = Quirks {
            tls: if instead.is_some() {
                Tls::Stls
            } else {
                Tls::No
            },
            instead: instead.into_iter().collect(),
            ..Quirks::default()
        };
        let mut bench = Bench::new(messages(1), quirks).await;
        bench.account.server.security = Security::Stls;
        let error = bench.fetch().await.error();
        assert_eq!(error.kind(), Kind::Permission, "{error}");
        assert_nothing_secret(&bench);
        assert!(bench.archive().is_empty());
    }
}

/// Octets ahead of the handshake (CVE-2011-0411 and its kin) are not believed later, nor passed over.
#[tokio::test]
async fn a_reply_injected_before_tls_is_refused() {
    let quirks = Quirks {
        tls: Tls::Stls,
        injected: b"+OK injected\r\n".to_vec(),
        ..Quirks::default()
    };
    let mut bench = Bench::new(messages(1), quirks).await;
    bench.account.server.security = Security::Stls;
    bench.account.server.tls.ca_file = Some(bench.server.ca_file());
    let error = bench.fetch().await.error();
    assert_eq!(error.kind(), Kind::Permission, "{error}");
    assert_nothing_secret(&bench);
    assert!(bench.archive().is_empty());
}

/// Every wait has an end: the handshake, the greeting, any reply.
#[tokio::test]
async fn a_server_that_falls_silent_is_left() {
    let stalls = Quirks {
        tls: Tls::Stalls,
        ..Quirks::default()
    };
    let mut bench = Bench::new(messages(1), stalls).await;
    bench.account.server.security = Security::ImplicitTls;
    let told = bench.fetch().await;
    assert!(told.took < 5 * SILENCE, "{:?}", told.took);
    told.error();
    for verb in ["GREETING", "CAPA", "USER", "UIDL", "RETR"] {
        let capabilities = Some(vec!["USER", "UIDL", "TOP"]);
        let quirks = Quirks {
            unanswered: vec![verb],
            capabilities_before: capabilities.clone(),
            capabilities_after: capabilities,
            ..Quirks::default()
        };
        let bench = Bench::new(messages(2), quirks).await.deleting();
        let told = bench.fetch().await;
        assert!(told.took < 5 * SILENCE, "{verb}: {:?}", told.took);
        let error = told.error();
        let kinds = [Kind::Temporary, Kind::Unavailable];
        assert!(
            kinds.contains(&error.kind()),
            "{verb}: {:?} {error}",
            error.kind()
        );
        bench.server.change(|quirks| quirks.unanswered.clear());
        assert_eq!(bench.fetch().await.summary().deleted, 2, "{verb}");
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let mut bench = Bench::new(messages(1), Quirks::default()).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    bench.account.server.place = restante_client::Place::tcp("127.0.0.1", port);
    assert_eq!(bench.fetch().await.error().kind(), Kind::Unavailable);
}

/// XOAUTH2 works though CAPA does not say so: tried because it is configured.
#[tokio::test]
async fn xoauth2_is_tried_when_it_is_configured() {
    let quirks = Quirks {
        token: Some("ya29.token"),
        tls: Tls::Implicit,
        ..Quirks::default()
    };
    let all = messages(2);
    let mut bench = Bench::new(all.clone(), quirks).await;
    bench.account.server.security = Security::ImplicitTls;
    bench.account.server.tls.ca_file = Some(bench.server.ca_file());
    let token = Credentials::Token(Secret::from("ya29.token"));
    bench.account.credentials = std::sync::Arc::new(token);
    bench.account.only = Some(Mechanism::XOAuth2);
    assert_eq!(bench.fetch().await.summary().stored, 2);
    bench.assert_archived(&all);
    let token = Credentials::Token(Secret::from("ya29.old"));
    bench.account.credentials = std::sync::Arc::new(token);
    assert_eq!(bench.fetch().await.error().kind(), Kind::Permission);
}

/// Whether it says why, or just closes.
#[tokio::test]
async fn a_bad_password_is_told_as_such() {
    for (closes, says) in [(false, true), (true, true), (true, false)] {
        let mut quirks = Quirks {
            closes_on_failure: closes,
            ..Quirks::default()
        };
        if !says {
            quirks.instead = vec![
                Instead::say("PASS", "").and_close(),
                Instead::say("AUTH", "").and_close(),
            ];
        }
        let mut bench = Bench::new(messages(1), quirks).await;
        let wrong = Credentials::Password(Secret::from("wrong"));
        bench.account.credentials = std::sync::Arc::new(wrong);
        let error = bench.fetch().await.error();
        assert_eq!(error.kind(), Kind::Permission, "{closes} {says}: {error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
        // Servers count failures: it is not tried over and over.
        let tries = bench.count("PASS") + bench.count("AUTH");
        assert!(tries <= 2, "{tries} tries");
        // The right one, afterwards, works.
        bench.server.change(|quirks| quirks.instead.clear());
        let right = Credentials::Password(Secret::from(PASSWORD));
        bench.account.credentials = std::sync::Arc::new(right);
        assert_eq!(bench.fetch().await.summary().stored, 1);
    }
}

async fn refused_login(text: &str) -> (Bench, crate::bench::Told) {
    let refuse = |command| Instead::refuse(command, text);
    let quirks = Quirks {
        instead: vec![refuse("PASS"), refuse("AUTH")],
        ..Quirks::default()
    };
    let bench = Bench::new(messages(2), quirks).await;
    let told = bench.fetch().await;
    (bench, told)
}

/// RFC 2449 §8.1.1 and RFC 3206 §4: a pause with an end, not an error.
#[tokio::test]
async fn a_server_that_is_busy_is_asked_later() {
    for (text, reason) in [
        ("[IN-USE] another session has it", PauseReason::InUse),
        ("[LOGIN-DELAY] not so fast", PauseReason::LoginDelay),
        ("[SYS/TEMP] the disk is away", PauseReason::Temporary),
    ] {
        let (bench, told) = refused_login(text).await;
        let pause = told
            .summary()
            .pause
            .unwrap_or_else(|| panic!("{text}: a pause"));
        assert_eq!(pause.reason, reason, "{text}");
        let now = restante_testkit::memory::wall_clock_ms();
        assert!(pause.until_ms > now, "{text}");
        assert!(pause.until_ms < now + 24 * 60 * 60 * 1000, "{text}");
        assert_eq!(bench.server.sessions(), 1, "{text}");
        bench.server.change(|quirks| quirks.instead.clear());
        assert_eq!(bench.fetch().await.summary().stored, 2, "{text}");
    }
}

/// RFC 3206 §4 and §5: nothing that waiting mends.
#[tokio::test]
async fn a_server_that_says_never_is_reported() {
    let (_, told) = refused_login("[AUTH] no").await;
    assert_eq!(told.error().kind(), Kind::Permission);
    let (_, told) = refused_login("[SYS/PERM] this mailbox is broken").await;
    let error = told.error();
    assert!(
        error.to_string().contains("this mailbox is broken"),
        "{error}"
    );
}
