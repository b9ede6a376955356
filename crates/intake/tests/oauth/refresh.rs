//! RFC 6749 §6: refreshing, and refresh tokens that are replaced with each use.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use restante_intake::oauth::{OAuthAccount, OAuthError, OAuthProvider};
use url::Url;

use super::provider::{Answer, Asked, Provider};
use super::{account, settings};

/// Puts tokens where a login would have.
fn logged_in(provider: &OAuthProvider, data: &Path, refresh: Option<&str>, life_ms: u64) {
    let refresh = refresh.map_or("null".to_owned(), |token| format!("\"{token}\""));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let now = u64::try_from(now.as_millis()).unwrap();
    let file = format!(
        "{{\"format\":1,\"account\":\"work\",\"issuer\":{{\"token_endpoint\":\"{}\",\
         \"client_id\":\"{}\",\"scopes\":[\"mail\",\"offline_access\"]}},\"access_token\":\"A0\",\
         \"refresh_token\":{refresh},\"asked_ms\":{now},\"expires_ms\":{}}}",
        provider.token,
        provider.client_id,
        now + life_ms
    );
    std::fs::create_dir_all(data.join("tokens")).unwrap();
    std::fs::write(data.join("tokens/work.json"), file).unwrap();
}

/// A provider as strict as RFC 9700 §4.14.2 has it: every use replaces the refresh token, and one
/// that comes a second time ends the grant. The last number given is in the tokens' names.
async fn strict() -> Provider {
    let last = Mutex::new(Some(0_u64));
    Provider::start(move |asked: &Asked| {
        // Long enough for others to come in between.
        std::thread::sleep(Duration::from_millis(20));
        let mut last = last.lock().unwrap();
        let good = last.map(|number| format!("R{number}"));
        if good.as_ref() != asked.form.get("refresh_token") {
            *last = None;
            return Answer::error("invalid_grant");
        }
        let next = last.unwrap_or(0) + 1;
        *last = Some(next);
        Answer::tokens(&format!("A{next}"), Some(&format!("R{next}")), 3600)
    })
    .await
}

#[tokio::test]
async fn a_token_is_refreshed_when_it_has_ended_or_was_refused() {
    let data = tempfile::tempdir().unwrap();
    let provider = strict().await;
    let account = account(&provider, data.path());
    logged_in(&settings(&provider), data.path(), Some("R0"), 3_600_000);
    assert_eq!(account.access_token(false).await.unwrap().expose(), b"A0");
    assert!(provider.asked().is_empty());
    assert_eq!(account.access_token(true).await.unwrap().expose(), b"A1");
    assert_eq!(account.access_token(false).await.unwrap().expose(), b"A1");
    assert_eq!(provider.asked()[0].form["grant_type"], "refresh_token");
    // Another process, which had A0 refused, takes what is there.
    let other = super::account(&provider, data.path());
    logged_in(&settings(&provider), data.path(), Some("R1"), 0);
    assert_eq!(other.access_token(false).await.unwrap().expose(), b"A2");
    assert_eq!(account.access_token(true).await.unwrap().expose(), b"A2");
    assert_eq!(provider.asked().len(), 2);
}

/// What a server revokes, `force_refresh` replaces; what the provider revokes needs the person.
#[tokio::test]
async fn a_revoked_grant_says_what_to_type() {
    let data = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| {
        let body = "{\"error\":\"invalid_grant\",\"error_description\":\
                    \"AADSTS700082: The refresh token has expired due to inactivity.\\r\\nTrace ID: 1\"}";
        Answer::json(400, body)
    })
    .await;
    let account = account(&provider, data.path());
    let error = account.access_token(false).await.unwrap_err();
    assert!(matches!(error, OAuthError::NotLoggedIn { .. }), "{error:?}");
    logged_in(&settings(&provider), data.path(), Some("R0"), 0);
    let error = account.access_token(false).await.unwrap_err();
    assert!(matches!(error, OAuthError::Revoked { .. }), "{error:?}");
    assert!(error.needs_login());
    let said = error.to_string();
    assert!(said.contains("restante account login work"), "{said}");
    assert!(said.contains("not used for long"), "{said}");
    assert!(!said.contains("Trace") && !said.contains("R0"), "{said}");
}

/// Tokens never go to another provider than the one that gave them.
#[tokio::test]
async fn another_provider_or_client_never_sees_the_tokens() {
    let data = tempfile::tempdir().unwrap();
    let provider = strict().await;
    let mut other = settings(&provider);
    other.token = Url::parse("https://login.example/token").unwrap();
    logged_in(&other, data.path(), Some("R0"), 0);
    let account = account(&provider, data.path());
    let error = account.access_token(false).await.unwrap_err();
    assert!(
        error.needs_login() && provider.asked().is_empty(),
        "{error:?}"
    );
    assert_eq!(account.state().unwrap(), None);
}

/// RFC 6749 §6: "the authorization server MAY issue a new refresh token"; else the old one stays.
#[tokio::test]
async fn without_a_new_refresh_token_the_old_one_stays() {
    let data = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Answer::tokens("A1", None, 3600)).await;
    logged_in(&settings(&provider), data.path(), Some("R0"), 0);
    let account = account(&provider, data.path());
    account.access_token(false).await.unwrap();
    account.access_token(true).await.unwrap();
    let last = provider.asked().pop().unwrap();
    assert_eq!(last.form["refresh_token"], "R0");
}

/// A new refresh token that could not be kept is an error, not a token: the caller must not go on
/// as if the login lasted.
#[tokio::test]
async fn a_token_is_not_given_out_before_the_new_refresh_token_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("tokens");
    let away = data.path().join("away");
    let moved = (folder.clone(), away.clone());
    let provider = Provider::start(move |_| {
        std::fs::rename(&moved.0, &moved.1).unwrap();
        Answer::tokens("A1", Some("R1"), 3600)
    })
    .await;
    logged_in(&settings(&provider), data.path(), Some("R0"), 0);
    let error = account(&provider, data.path()).access_token(false).await;
    let error = error.unwrap_err();
    assert!(matches!(error, OAuthError::Storage { .. }), "{error:?}");
}

/// A folder that cannot be written to is noticed before the provider is asked.
#[tokio::test]
async fn nothing_is_asked_when_nothing_could_be_kept() {
    let data = tempfile::tempdir().unwrap();
    let provider = strict().await;
    logged_in(&settings(&provider), data.path(), Some("R0"), 0);
    std::fs::create_dir(data.path().join("tokens/work.json.new")).unwrap();
    let error = account(&provider, data.path()).access_token(false).await;
    assert!(
        matches!(error, Err(OAuthError::Storage { .. })),
        "{error:?}"
    );
    assert!(provider.asked().is_empty());
}

/// A caller that gives up waiting, as a timeout does, does not lose the refresh token.
#[tokio::test]
async fn a_refresh_outlives_who_waits_for_it() {
    let data = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| {
        std::thread::sleep(Duration::from_millis(300));
        Answer::tokens("A1", Some("R1"), 3600)
    })
    .await;
    logged_in(&settings(&provider), data.path(), Some("R0"), 0);
    let account = account(&provider, data.path());
    let waited = account.access_token(false);
    let gave_up = tokio::time::timeout(Duration::from_millis(50), waited).await;
    assert!(gave_up.is_err());
    let kept = account.access_token(false).await.unwrap();
    assert_eq!(kept.expose(), b"A1");
    assert_eq!(provider.asked().len(), 1);
}

#[tokio::test]
async fn a_provider_in_trouble_is_no_reason_to_log_in_again() {
    let long = Answer::json(200, &format!("{{\"x\":\"{}\"}}", "y".repeat(300_000)));
    let mut elsewhere = Answer::json(302, "");
    let target = ("Location".to_owned(), "http://127.0.0.1:9/".to_owned());
    elsewhere.headers.push(target);
    let cases = [
        (Answer::json(503, "<html>"), true),
        (Answer::json(429, "{}"), true),
        (Answer::error("temporarily_unavailable"), true),
        (elsewhere, false),
        (long, false),
        (Answer::json(200, "{\"access_token\":\"A1\"}"), false),
        (Answer::tokens("A 1", None, 60), false),
        (
            Answer::json(200, "{\"access_token\":\"A1\",\"token_type\":\"mac\"}"),
            false,
        ),
        (Answer::json(401, ""), false),
    ];
    for (answer, temporary) in cases {
        let data = tempfile::tempdir().unwrap();
        let said = answer.clone();
        let provider = Provider::start(move |_| said.clone()).await;
        logged_in(&settings(&provider), data.path(), Some("R0"), 0);
        let error = account(&provider, data.path()).access_token(false).await;
        let error = error.unwrap_err();
        assert!(!error.needs_login(), "{answer:?}: {error:?}");
        assert_eq!(error.is_temporary(), temporary, "{error:?}");
        let words = format!("{error} {error:?}");
        assert!(!words.contains("A1") && !words.contains("R0"), "{words}");
    }
    // Nobody at home.
    let data = tempfile::tempdir().unwrap();
    let nobody = OAuthProvider {
        scopes: vec!["mail".to_owned(), "offline_access".to_owned()],
        ..OAuthProvider::new(Url::parse("http://127.0.0.1:9/token").unwrap(), "mine")
    };
    logged_in(&nobody, data.path(), Some("R0"), 0);
    let account = OAuthAccount::new("work", nobody, data.path()).unwrap();
    let error = account.access_token(false).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
}

/// Many callers in one process: one request, and all have its token.
#[tokio::test(flavor = "multi_thread")]
async fn callers_at_once_refresh_once() {
    let data = tempfile::tempdir().unwrap();
    let provider = strict().await;
    logged_in(&settings(&provider), data.path(), Some("R0"), 0);
    let shared = account(&provider, data.path());
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..16 {
        let own = account(&provider, data.path());
        let account = if number % 2 == 0 { shared.clone() } else { own };
        callers.spawn(async move { account.access_token(false).await });
    }
    for token in callers.join_all().await {
        assert_eq!(token.unwrap().expose(), b"A1");
    }
    assert_eq!(provider.asked().len(), 1);
}

/// Where a child finds what it needs.
const CHILD: &str = "RESTANTE_TEST_OAUTH_CHILD";

/// Four processes, each with its token refused ten times over: no refresh token is spent twice, which
/// would end the grant for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn processes_at_once_lose_no_refresh_token() {
    let data = tempfile::tempdir().unwrap();
    let provider = strict().await;
    logged_in(&settings(&provider), data.path(), Some("R0"), 0);
    let where_to = format!("{} {}", provider.url, data.path().display());
    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "refresh::child", "--nocapture"])
            .env(CHILD, &where_to)
            .spawn()
            .unwrap()
    };
    let mut children: Vec<_> = (0..4).map(|_| child()).collect();
    let statuses = tokio::task::spawn_blocking(move || {
        let wait = |child: &mut std::process::Child| child.wait().unwrap();
        children.iter_mut().map(wait).collect::<Vec<_>>()
    })
    .await
    .unwrap();
    assert!(
        statuses.iter().all(|status| status.success()),
        "{statuses:?}"
    );
    let account = account(&provider, data.path());
    let last = account.access_token(true).await.unwrap();
    assert!(last.expose().starts_with(b"A"));
    assert!(provider.asked().len() >= 11, "{}", provider.asked().len());
}

/// One of the processes above; alone it does nothing.
#[tokio::test]
async fn child() {
    let Ok(where_to) = std::env::var(CHILD) else {
        return;
    };
    let (url, data) = where_to.split_once(' ').unwrap();
    let mut settings = OAuthProvider::new(Url::parse(url).unwrap().join("token").unwrap(), "mine");
    settings.scopes = vec!["mail".to_owned(), "offline_access".to_owned()];
    let account = OAuthAccount::new("work", settings, Path::new(data)).unwrap();
    for _ in 0..10 {
        account.access_token(true).await.unwrap();
    }
}
