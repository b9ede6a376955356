//! `restante doctor`: what a POP3 server can do, and what is odd about it.

use std::process::ExitCode;

use restante_client::{Login, Place, Security, Server};
use restante_intake::doctor::{self, Options};
use restante_intake::fetch::CredentialError;

use super::fetch::named;
use crate::accounts;
use crate::cli::Doctor;
use crate::config::account::{default_port, host_and_port};
use crate::config::{Account, Config, url};
use crate::failure::Failure;
use crate::output::{Output, printable};

/// Runs `restante doctor`. When the server cannot be examined, the exit code says why, as `fetch` does.
pub(crate) fn run(asked: &Doctor, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let (mut account, login) = target(&asked.target, config)?;
    accounts::apply(&asked.remote, &asked.secrets, &mut account)?;
    let runtime = super::account::runtime()?;
    let login = match login {
        true => Some(runtime.block_on(log_in(&account, config))?),
        false => None,
    };
    let options = Options { probe: asked.probe };
    let examined = doctor::examine(&account.server, login.as_ref(), options);
    let report = runtime.block_on(examined);
    let value = serde_json::to_value(&report)
        .map_err(|error| Failure::Io(format!("the report cannot be shown: {error}")))?;
    if out.json() {
        out.line(&value, "")?;
    } else {
        for line in report.to_string().lines() {
            out.people(&printable(line))?;
        }
    }
    Ok(ExitCode::from(report.code))
}

/// An account or a URL, with its login; or a host, without one.
fn target(text: &str, config: &Config) -> Result<(Account, bool), Failure> {
    if let Some(account) = config.account(text) {
        return Ok((account.clone(), true));
    }
    if url::is_url(text) {
        return Ok((url::account(text).map_err(Failure::Usage)?, true));
    }
    let Some((host, port)) = host_and_port(text) else {
        return Err(named(text, config)
            .err()
            .unwrap_or_else(|| Failure::Usage(format!("{} is not a host", printable(text)))));
    };
    // The well-known port of POP3 begins in clear.
    let security = match port {
        Some(110) => Security::Stls,
        _ => Security::ImplicitTls,
    };
    let place = Place::tcp(host, port.unwrap_or(default_port(security)));
    let account = Account::new(text.to_owned(), Server::new(place, security), String::new());
    Ok((account, false))
}

async fn log_in(account: &Account, config: &Config) -> Result<Login, Failure> {
    let ready = accounts::ready(account, config.data())?;
    let credentials = ready.credentials.get(false).await;
    let credentials = credentials.map_err(|error| match error {
        CredentialError::Temporary(what) => Failure::Temporary(what),
        CredentialError::Missing(what) => Failure::Permission(what),
        CredentialError::Configuration(what) => Failure::Config(what),
    })?;
    Ok(Login {
        user: account.user.clone(),
        credentials,
        minimum: account.minimum,
        only: account.only,
    })
}
