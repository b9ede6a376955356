//! RFC 8252, RFC 7636: the test is the browser.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use restante_intake::oauth::{LoggedIn, OAuthAccount, OAuthError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use url::Url;

use super::provider::{Answer, Provider};
use super::{account, settings};

const WAIT: Duration = Duration::from_secs(20);

/// What the authorization request asked for.
struct Sent {
    query: HashMap<String, String>,
    back: Url,
}

/// Logs in; `browser` gets the page that was to be opened.
async fn login<F: Future<Output = ()>>(
    account: &OAuthAccount,
    wait: Duration,
    browser: impl FnOnce(Sent) -> F,
) -> Result<LoggedIn, OAuthError> {
    let (sender, mut pages) = mpsc::unbounded_channel();
    let open = move |url: &Url| sender.send(url.clone()).unwrap();
    let person = async {
        let page: Url = pages.recv().await.unwrap();
        let query: HashMap<_, _> = page.query_pairs().into_owned().collect();
        let back = Url::parse(&query["redirect_uri"]).unwrap();
        browser(Sent { query, back }).await;
    };
    tokio::join!(account.login_loopback(&open, wait), person).0
}

/// Asks our listener for a target; the whole answer.
async fn get(back: &Url, target: &str) -> String {
    let port = back.port().unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn tokens() -> Provider {
    Provider::start(|_| Answer::tokens("A1", Some("R1"), 3600)).await
}

#[tokio::test]
async fn a_browser_comes_back_with_a_code() {
    let data = tempfile::tempdir().unwrap();
    let provider = tokens().await;
    let account = account(&provider, data.path());
    let mut challenge = String::new();
    let logged_in = login(&account, WAIT, async |sent| {
        assert_eq!(sent.query["response_type"], "code");
        assert_eq!(sent.query["client_id"], "mine");
        assert_eq!(sent.query["scope"], "mail offline_access");
        assert_eq!(sent.query["code_challenge_method"], "S256");
        challenge = sent.query["code_challenge"].clone();
        // A browser that connects ahead of need, its icon, and a stranger's guess come first.
        let _idle = TcpStream::connect(("127.0.0.1", sent.back.port().unwrap()))
            .await
            .unwrap();
        assert!(
            get(&sent.back, "/favicon.ico")
                .await
                .starts_with("HTTP/1.1 404 ")
        );
        let guess = get(&sent.back, "/?code=stolen&state=guessed").await;
        assert!(guess.starts_with("HTTP/1.1 400 "), "{guess}");
        let page = get(
            &sent.back,
            &format!("/?code=C1&state={}", sent.query["state"]),
        )
        .await;
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        assert!(page.contains("You may close this window"), "{page}");
    })
    .await;
    assert!(logged_in.unwrap().lasting);
    let asked = provider.asked();
    assert_eq!(asked.len(), 1);
    let form = &asked[0].form;
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], "C1");
    assert!(form["redirect_uri"].starts_with("http://127.0.0.1:"));
    // RFC 7636 §4.2 and §4.6: the challenge is the verifier's SHA-256.
    let verifier = oauth2::PkceCodeVerifier::new(form["code_verifier"].clone());
    let expected = oauth2::PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    assert_eq!(expected.as_str(), challenge);
    assert_eq!(account.access_token(false).await.unwrap().expose(), b"A1");
}

#[tokio::test]
async fn a_refusal_in_the_browser_is_told() {
    let data = tempfile::tempdir().unwrap();
    let provider = tokens().await;
    let account = account(&provider, data.path());
    let error = login(&account, WAIT, async |sent| {
        let state = &sent.query["state"];
        let target =
            format!("/?error=access_denied&error_description=AADSTS65004%3A+x&state={state}");
        get(&sent.back, &target).await;
    })
    .await
    .unwrap_err();
    assert!(matches!(error, OAuthError::Denied(_)), "{error:?}");
    assert!(error.to_string().contains("did not consent"), "{error}");
    assert!(provider.asked().is_empty());
}

#[tokio::test]
async fn nobody_comes_back() {
    let data = tempfile::tempdir().unwrap();
    let provider = tokens().await;
    let account = account(&provider, data.path());
    let began = Instant::now();
    let result = login(&account, Duration::from_millis(300), async |_| {}).await;
    assert!(matches!(result, Err(OAuthError::TooLate)), "{result:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A redirection that is registered with a path, at `localhost`, and a provider that wants more.
#[tokio::test]
async fn the_redirection_is_the_registered_one_and_its_path_exact() {
    let data = tempfile::tempdir().unwrap();
    let provider = tokens().await;
    let mut settings = settings(&provider);
    settings.redirect = "http://localhost/back".to_owned();
    settings.authorize_params = vec![("access_type".to_owned(), "offline".to_owned())];
    settings.client_secret = Some("S&1".into());
    let account = OAuthAccount::new("work", settings, data.path()).unwrap();
    let result = login(&account, WAIT, async |sent| {
        assert!(sent.query["redirect_uri"].starts_with("http://localhost:"));
        assert_eq!(sent.query["access_type"], "offline");
        let good = format!("code=C1&state={}", sent.query["state"]);
        for wrong in ["/", "/back/", "/backs"] {
            let answer = get(&sent.back, &format!("{wrong}?{good}")).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        }
        get(&sent.back, &format!("/back?{good}")).await;
    })
    .await;
    assert!(result.is_ok(), "{result:?}");
    // RFC 6749 §2.3.1: encoded as a form, then as Basic; `bWluZTpTJTI2MQ==` is `mine:S%261`.
    let authorization = provider.asked()[0].authorization.clone();
    assert_eq!(authorization.as_deref(), Some("Basic bWluZTpTJTI2MQ=="));
}

#[tokio::test]
async fn a_scope_that_was_not_granted_is_named() {
    let data = tempfile::tempdir().unwrap();
    let body = "{\"access_token\":\"A1\",\"token_type\":\"bearer\",\"scope\":\"openid\"}";
    let provider = Provider::start(move |_| Answer::json(200, body)).await;
    let account = account(&provider, data.path());
    let result = login(&account, WAIT, async |sent| {
        get(
            &sent.back,
            &format!("/?code=C1&state={}", sent.query["state"]),
        )
        .await;
    })
    .await
    .unwrap();
    assert_eq!(result.missing_scopes, ["mail"]);
    assert!(!result.lasting);
    assert_eq!(result.expires_ms, None);
}
