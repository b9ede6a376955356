//! OAuth2 end to end: a real authorization server, a Dovecot that asks it about each token, and our
//! client in between. `cargo xtask test oauth` starts both and names them in the environment; without
//! it these tests have nobody to talk to, and say so.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a test may fail"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use restante_client::{Credentials, Error, Login, Mechanism, Place, Security, Server, connect};
use restante_intake::oauth::{OAuthAccount, OAuthError, OAuthProvider, Prompt, limits};
use restante_proto::Secret;
use url::Url;

/// Five lines: the authorization server's address, Dovecot's port, the SHA-256 of its certificate, the
/// script that plays the person, and how many seconds an access token lives.
const VARIABLE: &str = "RESTANTE_TEST_OAUTH_PROOF";

/// Who logs in, at both servers.
const USER: &str = "ann";

struct World {
    server: Url,
    pop3s: u16,
    pin: [u8; 32],
    person: PathBuf,
    /// How long an access token lives there.
    life: Duration,
    data: tempfile::TempDir,
}

impl World {
    fn new() -> Option<Self> {
        let Ok(words) = std::env::var(VARIABLE) else {
            println!("NOT RUN: `cargo xtask test oauth` starts the servers that this test needs");
            return None;
        };
        let words: Vec<&str> = words.split('\n').collect();
        Some(Self {
            server: Url::parse(words[0]).unwrap(),
            pop3s: words[1].parse().unwrap(),
            pin: pin(words[2]),
            person: words[3].into(),
            life: Duration::from_secs(words[4].parse().unwrap()),
            data: tempfile::tempdir().unwrap(),
        })
    }

    /// The account as after a restart: all that it knows is on disk.
    fn account(&self) -> OAuthAccount {
        let at = |path| self.server.join(path).unwrap();
        let mut provider = OAuthProvider::new(at("token"), "restante-test");
        provider.authorize = Some(at("auth"));
        provider.device = Some(at("device/auth"));
        provider.scopes = vec!["mail".to_owned(), "offline_access".to_owned()];
        OAuthAccount::new("work", provider, self.data.path()).unwrap()
    }

    /// Sends the person to a page; they are on their own from then on.
    fn person(&self, words: &[&str]) {
        let mut node = Command::new("node");
        node.arg(&self.person).arg(USER).args(words);
        let mut person = node.stdin(Stdio::null()).spawn().unwrap();
        std::thread::spawn(move || assert!(person.wait().unwrap().success()));
    }

    async fn logged_in(&self) -> OAuthAccount {
        let account = self.account();
        let open = |page: &Url| self.person(&[page.as_str()]);
        let result = account.login_loopback(&open, limits::LOOPBACK_WAIT).await;
        assert!(result.unwrap().lasting);
        account
    }

    /// Logs in at Dovecot and counts the messages.
    async fn collect(&self, token: &Secret, mechanism: Mechanism) -> Result<u64, Error> {
        let place = Place::tcp("127.0.0.1", self.pop3s);
        let mut server = Server::new(place, Security::ImplicitTls);
        server.tls.pin_sha256 = Some(self.pin);
        let mut login = Login::new(USER, Credentials::Token(token.clone()));
        login.only = Some(mechanism);
        let mut session = connect(&server).await?.login(&login).await?;
        let totals = session.stat().await?;
        let _closing = session.quit().await;
        Ok(totals.count)
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, String) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(self.server.join(path).unwrap()).form(form);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// Hexadecimal digits.
fn pin(text: &str) -> [u8; 32] {
    let octets = (0..text.len()).step_by(2);
    let octets: Vec<u8> = octets
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect();
    octets.try_into().unwrap()
}

/// The refresh token on disk.
fn refresh_token(data: &Path) -> String {
    let file = std::fs::read(data.join("tokens/work.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&file).unwrap();
    json["refresh_token"].as_str().unwrap().to_owned()
}

const BOTH: [Mechanism; 2] = [Mechanism::XOAuth2, Mechanism::OAuthBearer];

#[tokio::test]
async fn a_code_for_another_device() {
    let Some(world) = World::new() else { return };
    let account = world.account();
    let mut prompt = |prompt: Prompt| world.person(&[&prompt.uri, &prompt.code]);
    let logged_in = account.login_device(&mut prompt).await.unwrap();
    assert!(
        logged_in.lasting && logged_in.missing_scopes.is_empty(),
        "{logged_in:?}"
    );
    for mechanism in BOTH {
        let token = account.access_token(false).await.unwrap();
        assert_eq!(world.collect(&token, mechanism).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_person_who_says_no() {
    let Some(world) = World::new() else { return };
    let account = world.account();
    let mut prompt = |prompt: Prompt| world.person(&[&prompt.uri, &prompt.code, "deny"]);
    let error = account.login_device(&mut prompt).await.unwrap_err();
    assert!(matches!(error, OAuthError::Denied(_)), "{error:?}");
    assert_eq!(account.state().unwrap(), None);
}

#[tokio::test]
async fn a_browser_on_this_machine() {
    let Some(world) = World::new() else { return };
    let account = world.logged_in().await;
    for mechanism in BOTH {
        let token = account.access_token(false).await.unwrap();
        assert_eq!(world.collect(&token, mechanism).await.unwrap(), 1);
    }
}

/// RFC 6749 §6, with a server that replaces the refresh token at each use.
#[tokio::test]
async fn an_ended_token_is_refreshed_and_the_new_refresh_token_kept() {
    let Some(world) = World::new() else { return };
    let account = world.logged_in().await;
    let first = account.access_token(false).await.unwrap();
    let spent = refresh_token(world.data.path());
    tokio::time::sleep(world.life + Duration::from_secs(1)).await;
    for mechanism in BOTH {
        let refused = world.collect(&first, mechanism).await;
        assert!(
            matches!(refused, Err(Error::LoginRefused { .. })),
            "{refused:?}"
        );
    }
    let second = account.access_token(false).await.unwrap();
    assert_ne!(first.expose(), second.expose());
    assert_ne!(refresh_token(world.data.path()), spent);
    assert_eq!(world.collect(&second, Mechanism::XOAuth2).await.unwrap(), 1);
    // After a restart, from what is on disk alone.
    let third = world.account().access_token(true).await.unwrap();
    assert_ne!(second.expose(), third.expose());
    assert_eq!(
        world.collect(&third, Mechanism::OAuthBearer).await.unwrap(),
        1
    );
    // The server is as strict as it is meant to be: spent is spent.
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "restante-test"),
        ("refresh_token", spent.as_str()),
    ];
    let (status, body) = world.post("token", &form).await;
    assert!(
        status == 400 && body.contains("invalid_grant"),
        "{status} {body}"
    );
}

#[tokio::test]
async fn a_revoked_token_says_what_to_type() {
    let Some(world) = World::new() else { return };
    let account = world.logged_in().await;
    let token = account.access_token(false).await.unwrap();
    let refresh = refresh_token(world.data.path());
    let form = [("client_id", "restante-test"), ("token", refresh.as_str())];
    assert_eq!(world.post("token/revocation", &form).await.0, 200);
    let refused = world.collect(&token, Mechanism::XOAuth2).await;
    assert!(
        matches!(refused, Err(Error::LoginRefused { .. })),
        "{refused:?}"
    );
    let error = account.access_token(true).await.unwrap_err();
    assert!(matches!(error, OAuthError::Revoked { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("restante account login work"), "{said}");
}
