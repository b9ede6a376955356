//! RFC 8628.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use restante_intake::oauth::{LoggedIn, OAuthAccount, OAuthError, Prompt};

use super::provider::{Answer, Asked, Provider};
use super::{account, settings};

/// A grant as in RFC 8628 §3.2.
fn grant(expires: u64, interval: u64) -> Answer {
    Answer::json(
        200,
        &format!(
            "{{\"device_code\":\"D1\",\"user_code\":\"WDJB-MJHT\",\
             \"verification_uri\":\"https://login.example/device\",\
             \"verification_uri_complete\":\"https://login.example/device?user_code=WDJB-MJHT\",\
             \"expires_in\":{expires},\"interval\":{interval}}}"
        ),
    )
}

/// A provider that grants, then gives these answers in turn; the last one again and again.
async fn provider(grant: Answer, answers: Vec<Answer>) -> Provider {
    let next = AtomicUsize::new(0);
    Provider::start(move |asked: &Asked| {
        if asked.path == "/device" {
            return grant.clone();
        }
        let at = next.fetch_add(1, Ordering::SeqCst);
        answers[at.min(answers.len() - 1)].clone()
    })
    .await
}

async fn login(account: &OAuthAccount) -> (Result<LoggedIn, OAuthError>, Vec<Prompt>) {
    let prompts = Mutex::new(Vec::new());
    let mut prompt = |prompt| prompts.lock().unwrap().push(prompt);
    let result = account.login_device(&mut prompt).await;
    (result, prompts.into_inner().unwrap())
}

#[tokio::test]
async fn a_person_is_told_the_code_and_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let pending = Answer::error("authorization_pending");
    let good = Answer::tokens("A1", Some("R1"), 3600);
    let provider = provider(grant(600, 1), vec![pending, good]).await;
    let account = account(&provider, data.path());
    let (result, prompts) = login(&account).await;
    assert!(result.unwrap().lasting);
    assert_eq!(prompts.len(), 1);
    assert_eq!(prompts[0].uri, "https://login.example/device");
    assert_eq!(prompts[0].code, "WDJB-MJHT");
    assert_eq!(prompts[0].life, Duration::from_secs(600));
    assert_eq!(account.access_token(false).await.unwrap().expose(), b"A1");
    let asked = provider.asked();
    assert_eq!(asked[0].form["client_id"], "mine");
    assert_eq!(asked[0].form["scope"], "mail offline_access");
    let device_code = "urn:ietf:params:oauth:grant-type:device_code";
    assert_eq!(asked[1].form["grant_type"], device_code);
    assert_eq!(asked[1].form["device_code"], "D1");
}

/// RFC 8628 §3.5: `slow_down` adds 5 seconds to the interval, for good. A provider that is unwell
/// between two questions is asked again.
#[tokio::test]
async fn slower_when_told_and_not_put_off_by_a_fault() {
    let data = tempfile::tempdir().unwrap();
    let answers = vec![
        Answer::error("slow_down"),
        Answer::json(503, ""),
        Answer::tokens("A1", Some("R1"), 3600),
    ];
    let provider = provider(grant(600, 0), answers).await;
    let began = Instant::now();
    let (result, _) = login(&account(&provider, data.path())).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(
        began.elapsed() >= Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(provider.asked().len(), 4);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (code, sign) in [
        ("access_denied", "not granted"),
        ("authorization_declined", "not granted"),
        ("expired_token", "in time"),
        ("invalid_client", "client id"),
        ("unauthorized_client", "allow the flow"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let provider = provider(grant(600, 1), vec![Answer::error(code)]).await;
        let account = account(&provider, data.path());
        let said = login(&account).await.0.unwrap_err().to_string();
        assert!(said.contains(sign), "{code}: {said}");
        assert_eq!(account.state().unwrap(), None);
    }
}

#[tokio::test]
async fn a_code_that_nobody_types_in_ends() {
    let data = tempfile::tempdir().unwrap();
    let pending = Answer::error("authorization_pending");
    // An interval far past the end must not be slept through.
    let provider = provider(grant(2, 1_000_000), vec![pending]).await;
    let began = Instant::now();
    let error = login(&account(&provider, data.path())).await.0.unwrap_err();
    assert!(matches!(error, OAuthError::TooLate), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_odd_grant_is_refused_before_anyone_is_sent_there() {
    let odd = |uri: &str| {
        let body = format!(
            "{{\"device_code\":\"D\",\"user_code\":\"U\",\"verification_uri\":\"{uri}\",\"expires_in\":9}}"
        );
        Answer::json(200, &body)
    };
    for grant in [
        odd("http://login.example/device"),
        odd("javascript:alert(1)"),
        Answer::json(200, "{}"),
        Answer::json(200, "no json"),
        Answer::json(200, ""),
    ] {
        let data = tempfile::tempdir().unwrap();
        let provider = provider(grant, vec![Answer::error("access_denied")]).await;
        let (result, prompts) = login(&account(&provider, data.path())).await;
        let error = result.unwrap_err();
        assert!(matches!(error, OAuthError::Unexpected { .. }), "{error:?}");
        assert!(prompts.is_empty());
    }
}

#[tokio::test]
async fn without_the_endpoint_the_other_way_is_named() {
    let data = tempfile::tempdir().unwrap();
    let provider = provider(grant(9, 1), vec![Answer::error("access_denied")]).await;
    let mut settings = settings(&provider);
    settings.device = None;
    let account = OAuthAccount::new("work", settings, data.path()).unwrap();
    let said = login(&account).await.0.unwrap_err().to_string();
    assert!(said.contains("browser on this machine"), "{said}");
}
