//! Logging in, and being refused.

use std::time::Duration;

use restante_client::{Connection, Credentials, Error, Login, Mechanism, ResponseCode};

use crate::peer::Peer;

async fn refused(peer: Peer, login: Login) -> Error {
    let connection = Connection::over_private(peer.start(), Duration::from_secs(60)).await;
    connection.unwrap().login(&login).await.unwrap_err()
}

#[tokio::test]
async fn a_refused_login_is_told_by_its_code() {
    let login = || Login::new("tim", Credentials::Password("tanstaaf".into()));
    for (line, want) in [
        ("-ERR [AUTH] no\r\n", Some(ResponseCode::Auth)),
        ("-ERR [IN-USE] busy\r\n", Some(ResponseCode::InUse)),
        ("-ERR [SYS/TEMP] later\r\n", Some(ResponseCode::SysTemp)),
        (
            "-ERR [LOGIN-DELAY] later\r\n",
            Some(ResponseCode::LoginDelay),
        ),
        ("-ERR no\r\n", None),
    ] {
        let error = refused(Peer::default().answering("PASS", line), login()).await;
        let Error::LoginRefused {
            mechanism: Mechanism::UserPass,
            reply: Some(reply),
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(reply.code, want);
    }
    let error = refused(Peer::default().closing_at("PASS"), login()).await;
    assert!(
        matches!(error, Error::LoginRefused { reply: None, .. }),
        "{error}"
    );
    let error = refused(
        Peer::default().answering("PASS", "PASS tanstaaf?\r\n"),
        login(),
    )
    .await;
    assert!(!error.to_string().contains("tanstaaf"), "{error}");
    let error = refused(
        Peer::default().answering("PASS", "-ERR what is PASS tanstaaf\r\n"),
        login(),
    )
    .await;
    assert!(!error.to_string().contains("tanstaaf"), "{error}");
}

/// Which AUTH, USER and PASS lines a login comes to.
async fn tries(peer: Peer, login: Login) -> (Vec<String>, Result<(), Error>) {
    let reads = peer.reads();
    let connection = Connection::over_private(peer.start(), Duration::from_secs(60)).await;
    let result = connection.unwrap().login(&login).await.map(drop);
    let lines = reads.lock().unwrap().concat();
    let lines = lines
        .lines()
        .filter(|line| *line != "CAPA")
        .map(str::to_owned)
        .collect();
    (lines, result)
}

#[tokio::test]
async fn one_wrong_password_is_one_failed_login() {
    let login = || Login::new("tim", Credentials::Password("tanstaaftanstaaf".into()));
    let offer = "USER\r\nSASL PLAIN LOGIN CRAM-MD5";
    let peer = || {
        Peer::default().capabilities(offer, offer).answering(
            "AUTH CRAM-MD5",
            "+ PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n",
        )
    };
    // RFC 2195 §2
    let answer = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
    let plain = "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm";
    let auth = "-ERR [AUTH] no\r\n";
    let (lines, result) = tries(peer().answering(answer, auth), login()).await;
    assert_eq!(lines, ["AUTH CRAM-MD5", answer]);
    assert!(matches!(
        result,
        Err(Error::LoginRefused {
            mechanism: Mechanism::CramMd5,
            ..
        })
    ));
    // Not said to be the credentials: the next way to prove them, and no more of the same.
    let no = "-ERR no\r\n";
    let (lines, result) = tries(
        peer().answering(answer, no).answering("AUTH PLAIN", no),
        login(),
    )
    .await;
    assert_eq!(lines, ["AUTH CRAM-MD5", answer, plain]);
    assert!(matches!(
        result,
        Err(Error::LoginRefused {
            mechanism: Mechanism::Plain,
            ..
        })
    ));
    // The mechanism itself refused.
    let (lines, result) = tries(
        peer()
            .answering("AUTH CRAM-MD5", no)
            .answering("AUTH PLAIN", "+OK\r\n"),
        login(),
    )
    .await;
    assert_eq!(lines, ["AUTH CRAM-MD5", plain]);
    result.unwrap();
}

#[tokio::test]
async fn tokens_are_refused_in_the_mechanisms_own_way() {
    let token = || {
        Login::new(
            "u@example.org",
            Credentials::Token("ya29.vF9dft4qmT".into()),
        )
    };
    let failure = "+ eyJzdGF0dXMiOiI0MDEifQ==\r\n";
    for (mechanism, acknowledged) in [("XOAUTH2", ""), ("OAUTHBEARER", "AQ==")] {
        let offer = format!("SASL {mechanism}");
        let peer = Peer::default()
            .capabilities(&offer, &offer)
            .answering(&format!("AUTH {mechanism}"), "+ \r\n")
            .then(&[failure, "-ERR [AUTH] no\r\n"]);
        let (lines, result) = tries(peer, token()).await;
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], format!("AUTH {mechanism}"));
        assert_eq!(lines[2], acknowledged);
        let error = result.unwrap_err();
        assert!(
            error.to_string().contains(r#"no {"status":"401"}"#),
            "{error}"
        );
    }
}
