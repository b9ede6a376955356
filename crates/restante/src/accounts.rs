//! From the configuration's accounts to the fetcher's, and what goes with a fetch: the world it works
//! in, and the command run when an account begins to fail.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use restante_backup::Covered;
use restante_client::{ClientCertificate, Place, Security, TlsOptions};
use restante_intake::destination::{self, Spec};
use restante_intake::fetch::{self, FetchError, Kind, RunOptions, State, Summary, World};
use restante_intake::oauth::{OAuthAccount, OAuthError, OAuthProvider};
use restante_intake::providers;
use restante_store::MailStore;
use restante_store::embedded::EmbeddedStore;
use tracing::warn;
use url::Url;

use crate::cli::{Remote, Secrets};
use crate::commands::{make_private_folder, open_store};
use crate::config::account::{self, KEEP_RIGHT, OAuth, SecretFrom, Target};
use crate::config::{Account, Config};
use crate::failure::Failure;
use crate::secrets::Source;

/// How long `on_failure` may run.
const ON_FAILURE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the command line says wins over the configuration.
pub(crate) fn apply(
    remote: &Remote,
    secrets: &Secrets,
    account: &mut Account,
) -> Result<(), Failure> {
    if let Some(text) = &remote.keep {
        account.keep = account::keep(text)
            .ok_or_else(|| Failure::Usage(format!("--keep {text}: right would be {KEEP_RIGHT}")))?;
    }
    if let Some(name) = &remote.into {
        account.target = Target::Mailbox(restante_directory::user_name(name)?);
    }
    if let Some(place) = &remote.to {
        let spec =
            Spec::parse(place).map_err(|error| Failure::Usage(format!("--to {place}: {error}")))?;
        account.target = Target::Destination(spec);
    }
    if let Some(path) = &remote.to_password_file {
        account.target_secret = SecretFrom::File(path.clone());
    }
    if let Some(command) = &remote.to_password_command {
        account.target_secret = SecretFrom::Command(command.clone());
    }
    if remote.to.is_some() {
        apply_to_trust(remote, account)?;
    }
    if let (account::Keep::UntilBackedUp, Target::Destination(_)) = (account.keep, &account.target)
    {
        return Err(Failure::Usage(
            "what goes elsewhere is in no backup of ours: --keep until-backed-up does not go with --to".to_owned(),
        ));
    }
    if remote.max_size.is_some() {
        account.max_size = remote.max_size;
    }
    if let Some(name) = &remote.auth {
        let mechanism = name
            .parse()
            .map_err(|error| Failure::Usage(format!("--auth: {error}")))?;
        account.minimum = Some(mechanism);
    }
    if remote.apop {
        account.only = Some(restante_client::Mechanism::Apop);
    }
    apply_to_server(remote, account)?;
    apply_secret(secrets, account);
    Ok(())
}

/// Whom to trust at the destination that the command line names; what the file says is of another.
fn apply_to_trust(remote: &Remote, account: &mut Account) -> Result<(), Failure> {
    let pin = match &remote.to_pin {
        Some(text) => Some(account::pin(text).ok_or_else(|| {
            let right = "the 64 hex digits of the certificate's SHA-256";
            Failure::Usage(format!("--to-pin: right would be {right}"))
        })?),
        None => None,
    };
    let trusts = pin.is_some() || remote.to_ca.is_some();
    let shows = matches!(&account.target, Target::Destination(to) if account::has_certificate(to));
    if trusts && !shows {
        return Err(Failure::Usage(
            "--to-ca and --to-pin go with --to imaps://user@host/mailbox, or smtp: with TLS"
                .to_owned(),
        ));
    }
    account.target_tls = TlsOptions {
        ca_file: remote.to_ca.clone(),
        pin_sha256: pin,
        ..TlsOptions::default()
    };
    Ok(())
}

fn apply_to_server(remote: &Remote, account: &mut Account) -> Result<(), Failure> {
    let server = &mut account.server;
    if let Some(text) = &remote.timeout {
        let ms = crate::units::duration_ms(text).filter(|ms| *ms > 0);
        let ms = ms.ok_or_else(|| {
            Failure::Usage(format!(
                "--timeout {text}: right would be \"60 s\" or \"2 min\""
            ))
        })?;
        server.timeout = Duration::from_millis(ms);
    }
    if let Some(text) = &remote.proxy {
        let proxy = account::proxy(text).ok_or_else(|| {
            Failure::Usage(format!("--proxy: right would be {}", account::PROXY_RIGHT))
        })?;
        server.proxy = Some(proxy);
    }
    if remote.danger_plaintext {
        if server.security == Security::ImplicitTls {
            return Err(Failure::Usage(
                "--danger-plaintext goes with pop3://, not with pop3s:// or security = \"tls\", where TLS comes first".to_owned(),
            ));
        }
        server.security = Security::DangerPlaintext;
    }
    let tls = &mut server.tls;
    if let Some(path) = &remote.ca {
        tls.ca_file = Some(path.clone());
        tls.danger_accept_any_certificate = false;
    }
    if let Some(text) = &remote.pin {
        let pin = account::pin(text).ok_or_else(|| {
            Failure::Usage("--pin: right would be the 64 hex digits of the certificate's SHA-256, as `restante doctor` shows it".to_owned())
        })?;
        tls.pin_sha256 = Some(pin);
        tls.danger_accept_any_certificate = false;
    }
    if let (Some(chain), Some(key)) = (&remote.client_certificate, &remote.client_key) {
        tls.client_certificate = Some(ClientCertificate {
            chain: chain.clone(),
            key: key.clone(),
        });
    }
    if remote.danger_accept_any_certificate {
        tls.danger_accept_any_certificate = true;
        tls.ca_file = None;
        tls.pin_sha256 = None;
    }
    Ok(())
}

fn apply_secret(secrets: &Secrets, account: &mut Account) {
    if let Some(from) = secrets.source() {
        account.secret = from;
    } else if matches!(account.secret, SecretFrom::Prompt)
        && account.minimum.or(account.only) == Some(restante_client::Mechanism::External)
    {
        account.secret = SecretFrom::Certificate;
    }
}

/// The fetcher's account. A person may be asked for a password here.
pub(crate) fn ready(account: &Account, data: &Path) -> Result<fetch::Account, Failure> {
    let source = Arc::new(Source::of_account(account, data)?);
    let mut ready = fetch::Account::new(
        account.name.clone(),
        account.server.clone(),
        account.user.clone(),
        source,
    );
    ready.minimum = account.minimum;
    ready.only = account.only;
    ready.keep = account.keep;
    ready.max_size = account.max_size;
    ready.max_per_day = account.max_per_day;
    if let Place::Tcp { host, .. } = &account.server.place {
        let pop3 = providers::by_host(host).and_then(|known| known.pop3.as_ref());
        ready.shows_window = pop3.is_some_and(|pop3| pop3.window.is_some());
    }
    ready.target = match &account.target {
        Target::Mailbox(name) => fetch::Target::Mailbox(name.clone()),
        Target::Destination(spec) => {
            let mut options = destination::Options {
                tls: account.target_tls.clone(),
                timeout: account.server.timeout,
                recipient: account.user.contains('@').then(|| account.user.clone()),
                ..destination::Options::default()
            };
            if let Spec::Imap { user, place, .. } = spec {
                let whose = format!("{user} at {place}");
                let source = Source::of(&account.target_secret, &account.name, &whose)?;
                options.credentials = Some(Arc::new(source));
            }
            fetch::Target::elsewhere(spec.clone(), options)
        }
    };
    Ok(ready)
}

/// An account's tokens.
pub(crate) fn oauth(name: &str, oauth: &OAuth, data: &Path) -> Result<OAuthAccount, Failure> {
    let wrong = |error: OAuthError| Failure::Config(format!("{name}: {error}"));
    let url = |text: &String| {
        Url::parse(text).map_err(|error| Failure::Config(format!("{name}: oauth: {text}: {error}")))
    };
    let mut provider = match (oauth.provider.as_deref(), &oauth.token_endpoint) {
        (Some("google"), _) => OAuthProvider::google(&oauth.client_id, None).map_err(wrong)?,
        (Some(_), _) => {
            let tenant = oauth.tenant.as_deref().unwrap_or("common");
            OAuthProvider::microsoft(tenant, &oauth.client_id).map_err(wrong)?
        }
        (None, Some(token)) => OAuthProvider::new(url(token)?, &oauth.client_id),
        (None, None) => {
            return Err(Failure::Config(format!("{name}: oauth names no provider")));
        }
    };
    if let Some(token) = &oauth.token_endpoint {
        provider.token = url(token)?;
    }
    if let Some(authorize) = &oauth.authorize_endpoint {
        provider.authorize = Some(url(authorize)?);
    }
    if let Some(device) = &oauth.device_endpoint {
        provider.device = Some(url(device)?);
    }
    if !oauth.scopes.is_empty() {
        provider.scopes.clone_from(&oauth.scopes);
    }
    if let Some(redirect) = &oauth.redirect {
        provider.redirect.clone_from(redirect);
    }
    provider.client_secret.clone_from(&oauth.client_secret);
    provider.ca_file.clone_from(&oauth.ca);
    OAuthAccount::new(name, provider, data).map_err(wrong)
}

/// The world of a fetch. For a dry run nothing is made: what is not there is not there.
pub(crate) fn world(
    config: &Config,
    accounts: &[Account],
    dry_run: bool,
) -> Result<World, Failure> {
    let state = config.data().join("state.db");
    let ours = accounts
        .iter()
        .any(|account| matches!(account.target, Target::Mailbox(_)));
    if dry_run {
        let there = config.data().join("packs").is_dir();
        let store = match ours && there {
            true => Some(open_store(config, false)?),
            false => None,
        };
        let state = Arc::new(State::look(&state)?);
        return knowing_backups(store, state, config.data());
    }
    make_private_folder(config.data())?;
    let store = match ours {
        true => Some(open_store(config, false)?),
        false => None,
    };
    let state = Arc::new(State::open(&state)?);
    knowing_backups(store, state, config.data())
}

/// A world with what verified backups hold by now.
pub(crate) fn knowing_backups(
    store: Option<Arc<EmbeddedStore>>,
    state: Arc<State>,
    data: &Path,
) -> Result<World, Failure> {
    let shared = store.clone().map(|store| store as Arc<dyn MailStore>);
    let mut world = World::new(shared, state);
    if let Some(store) = store {
        let covered = Covered::read(store, data)?;
        world.verified_backup = Arc::new(move |id| covered.has(*id));
    }
    Ok(world)
}

/// One fetch, with the command of `on_failure` when the account begins to fail with it.
pub(crate) async fn fetch(
    account: &fetch::Account,
    on_failure: Option<&str>,
    world: &World,
    options: &RunOptions,
    progress: &mut (dyn FnMut(fetch::Progress<'_>) + Send + Sync),
) -> Result<Summary, FetchError> {
    let result = fetch::run(account, world, options, progress).await;
    if let (Err(error), Some(command), false) = (&result, on_failure, options.dry_run) {
        let begins = world
            .state
            .account(&account.name)?
            .is_some_and(|known| known.failures == 1);
        if begins {
            tell(command, &account.name, error).await;
        }
    }
    result
}

/// Runs `on_failure`. What the server said is in a variable, never in the command.
async fn tell(command: &str, account: &str, error: &FetchError) {
    let child = tokio::process::Command::new("/bin/sh")
        .args(["-c", command])
        .env("RESTANTE_ACCOUNT", account)
        .env("RESTANTE_ERROR", error.to_string())
        .env("RESTANTE_CODE", error.kind().exit_code().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let ended = match child {
        Ok(mut child) => tokio::time::timeout(ON_FAILURE_TIMEOUT, child.wait()).await,
        Err(error) => Ok(Err(error)),
    };
    match ended {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => warn!(account, %status, "on_failure failed"),
        Ok(Err(error)) => warn!(account, %error, "on_failure cannot be run"),
        Err(_) => warn!(account, "on_failure ran for too long and was ended"),
    }
}

/// What a provider's words mean, where they are known.
pub(crate) fn explanation(account: &Account, error: &FetchError) -> Option<&'static str> {
    let Place::Tcp { host, .. } = &account.server.place else {
        return None;
    };
    providers::explain(host, error.reply()?)
}

impl Secrets {
    /// The one that the command line names.
    pub(crate) fn source(&self) -> Option<SecretFrom> {
        let password = if self.password_stdin {
            Some(SecretFrom::Stdin)
        } else if let Some(path) = &self.password_file {
            Some(SecretFrom::File(path.clone()))
        } else if let Some(name) = &self.password_env {
            Some(SecretFrom::Environment(name.clone()))
        } else {
            let command = self.password_command.clone();
            command.map(SecretFrom::Command)
        };
        let token = self.token_command.clone();
        password.or(token.map(SecretFrom::TokenCommand))
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let what = error.to_string();
        match error.kind() {
            Kind::Unavailable => Self::Unavailable(what),
            Kind::Io => Self::Io(what),
            Kind::Temporary => Self::Temporary(what),
            Kind::Protocol => Self::Protocol(what),
            Kind::Permission => Self::Permission(what),
            Kind::Configuration => Self::Config(what),
        }
    }
}
