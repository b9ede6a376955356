//! `restante account login`: OAuth2, once, by a person.

use std::io::IsTerminal;
use std::process::{ExitCode, Stdio};

use restante_intake::oauth::limits::LOOPBACK_WAIT;
use restante_intake::oauth::{OAuthError, Prompt};
use serde_json::json;

use super::runtime;
use crate::accounts;
use crate::config::account::SecretFrom;
use crate::config::{Account, Config};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// Runs `restante account login`.
pub(super) fn run(
    account: &Account,
    device: bool,
    config: &Config,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let SecretFrom::OAuth(oauth) = &account.secret else {
        return Err(Failure::Usage(format!(
            "{0} logs in by password: there is no oauth in [account.{0}]",
            account.name
        )));
    };
    crate::commands::make_private_folder(config.data())?;
    let known = accounts::oauth(&account.name, oauth, config.data())?;
    let open = |url: &url::Url| {
        output::note(&format!(
            "Log in with a browser on this machine, at:\n  {url}"
        ));
        browse(url.as_str());
    };
    let mut prompt = |prompt: Prompt| {
        let whole = prompt.uri_with_code.as_deref();
        output::note(&format!(
            "Go to {} with any browser, and type in the code {} within {} minutes.{}",
            prompt.uri,
            prompt.code,
            prompt.life.as_secs() / 60,
            whole.map_or(String::new(), |url| format!("\nOr go to {url}")),
        ));
    };
    let logged_in = runtime()?
        .block_on(async {
            match device {
                true => known.login_device(&mut prompt).await,
                false => known.login_loopback(&open, LOOPBACK_WAIT).await,
            }
        })
        .map_err(failure)?;
    for scope in &logged_in.missing_scopes {
        output::note(&format!(
            "The provider did not grant {scope}: fetching may not work; log in again and allow all that is asked."
        ));
    }
    if !logged_in.lasting {
        output::note(
            "The provider gave no refresh token: this login ends soon. Is a scope missing, such as offline_access?",
        );
    }
    out.line(
        &json!({"account": account.name, "lasting": logged_in.lasting,
                "expires": logged_in.expires_ms.map(units::json_time),
                "missing_scopes": logged_in.missing_scopes}),
        &format!(
            "{0} is logged in. Try it: restante account test {0}",
            account.name
        ),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Forgets an account's tokens, if it has any.
pub(super) fn forget(account: &Account, config: &Config) -> Result<(), Failure> {
    let SecretFrom::OAuth(oauth) = &account.secret else {
        return Ok(());
    };
    let known = accounts::oauth(&account.name, oauth, config.data())?;
    if known.state().map_err(failure)?.is_none() {
        return Ok(());
    }
    runtime()?.block_on(known.forget()).map_err(failure)
}

/// Opens the person's browser, where there is one; the address has been shown in any case. Others on this machine can
/// see the address: nothing in it may be secret.
pub(crate) fn browse(url: &str) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let _opened_or_typed = std::process::Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

fn failure(error: OAuthError) -> Failure {
    let what = error.to_string();
    match error {
        OAuthError::Configuration(_) | OAuthError::Format { .. } => Failure::Config(what),
        OAuthError::Storage { .. } => Failure::Io(what),
        OAuthError::Unavailable { .. } => Failure::Unavailable(what),
        OAuthError::Unexpected { .. } => Failure::Protocol(what),
        OAuthError::Busy { .. } | OAuthError::Listener(_) | OAuthError::TooLate => {
            Failure::Temporary(what)
        }
        _ => Failure::Permission(what),
    }
}
