//! Trying servers: without a login first, then with it.

use restante_client::{Error, Login, Place, Totals};
use restante_intake::discover::Candidate;
use restante_intake::fetch::CredentialSource;
use restante_intake::providers;

use crate::config::Config;
use crate::config::account::Account;
use crate::failure::Failure;
use crate::output;
use crate::secrets::Source;

/// Connects to one after the other; the first that answers comes first then. What it can do comes
/// back. The error is that of the best one.
pub(super) async fn first_that_answers(
    candidates: &mut Vec<Candidate>,
) -> Result<Vec<String>, Failure> {
    let mut first = None;
    for (index, candidate) in candidates.iter().enumerate() {
        match capabilities(candidate).await {
            Ok(lines) => {
                candidates.drain(..index);
                return Ok(lines);
            }
            Err(error) => {
                let failed = failure(&candidate.server.place, &error);
                first.get_or_insert(failed);
            }
        }
    }
    Err(first.unwrap_or_else(|| Failure::Unavailable("there is no server to try".to_owned())))
}

async fn capabilities(candidate: &Candidate) -> Result<Vec<String>, Error> {
    let mut connection = restante_client::connect(&candidate.server).await?;
    let lines = connection
        .capabilities()
        .await?
        .lines()
        .map(str::to_owned)
        .collect();
    // It has said what was asked; how it parts is of no interest.
    let _goodbye = connection.quit().await;
    Ok(lines)
}

/// Logs in with the likeliest user name; with the next only if the server refused that one
/// (RFC 6186 §4). The account has the one that worked then.
pub(super) async fn login(
    account: &mut Account,
    users: &[String],
    config: &Config,
) -> Result<Totals, Failure> {
    let source = Source::of_account(account, config.data())?;
    let mut refused = None;
    for user in users {
        let credentials = source
            .get(false)
            .await
            .map_err(|error| Failure::Config(error.to_string()))?;
        let mut login = Login::new(user.clone(), credentials);
        login.minimum = account.minimum;
        login.only = account.only;
        match look(account, &login).await {
            Ok(totals) => {
                account.user.clone_from(user);
                return Ok(totals);
            }
            Err(error @ Error::LoginRefused { .. }) => {
                refused.get_or_insert(failure(&account.server.place, &error));
            }
            Err(error) => return Err(failure(&account.server.place, &error)),
        }
    }
    Err(refused.unwrap_or_else(|| Failure::Usage("there is no user name to try".to_owned())))
}

async fn look(account: &Account, login: &Login) -> Result<Totals, Error> {
    let connection = restante_client::connect(&account.server).await?;
    let mut session = connection.login(login).await?;
    let totals = session.stat().await?;
    let _goodbye = session.quit().await;
    Ok(totals)
}

/// A client's error as the program ends with it, with what its provider means by it.
fn failure(place: &Place, error: &Error) -> Failure {
    let host = match place {
        Place::Tcp { host, .. } => host.as_str(),
        #[cfg(unix)]
        Place::Unix(_) => "",
    };
    let text = output::printable(&error.to_string());
    let means = match error {
        Error::LoginRefused { reply, .. } => Some(
            reply
                .as_ref()
                .and_then(|_| providers::explain(host, &text))
                .unwrap_or_else(|| providers::refused(host)),
        ),
        _ => error.reply().and_then(|_| providers::explain(host, &text)),
    };
    let what = match means {
        Some(means) => format!("{place}: {text}\n{means}"),
        None => format!("{place}: {text}"),
    };
    match error {
        Error::Network(_) | Error::Closed { .. } | Error::Proxy(_) => Failure::Unavailable(what),
        Error::Timeout(_) => Failure::Temporary(what),
        Error::LoginRefused { .. }
        | Error::NoMechanism { .. }
        | Error::ServerUnproven
        | Error::Pin { .. }
        | Error::Tls(_) => Failure::Permission(what),
        Error::Configuration(_) => Failure::Config(what),
        _ => Failure::Protocol(what),
    }
}
