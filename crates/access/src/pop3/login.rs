//! From credentials to an open maildrop.

use restante_directory::AuthError;
use restante_net::Peer;
use restante_proto::server::{Credentials, Failure};
use restante_store::{Access, Maildrop, StoreError, ViewId};

use super::{Pop3, failure};

/// Checks the credentials and opens the user's mailbox, making it at the first login. What fails is
/// logged at once: whoever watches the log for guessed passwords cannot wait for the session's end.
pub(super) async fn log_in(
    pop3: &Pop3,
    peer: &Peer,
    credentials: Credentials,
) -> Result<(String, Box<dyn Maildrop>), Failure> {
    let login = credentials.login;
    let user = pop3
        .directory
        .authenticate(&login, &credentials.password, peer.ip)
        .await
        .map_err(|error| refused(peer, &login, &error))?;
    match open(pop3, &user.name).await {
        Ok(maildrop) => Ok((user.name, maildrop)),
        Err(error) => {
            if error == StoreError::InUse {
                tracing::info!(%peer, user = %user.name, "the maildrop is in use");
            } else {
                tracing::error!(%peer, user = %user.name, %error, "cannot open the maildrop");
            }
            Err(failure(&error))
        }
    }
}

async fn open(pop3: &Pop3, name: &str) -> Result<Box<dyn Maildrop>, StoreError> {
    let mailbox = match pop3.store.find_mailbox(name).await? {
        Some(mailbox) => mailbox.id,
        None => pop3.store.create_mailbox(name).await?,
    };
    let access = if pop3.options.exclusive {
        Access::Exclusive
    } else {
        Access::Shared
    };
    pop3.store.open(mailbox, ViewId::PLAIN, access).await
}

/// `login` is shown with its control characters escaped: it is what a stranger sent.
fn refused(peer: &Peer, login: &str, error: &AuthError) -> Failure {
    match error {
        AuthError::Refused => {
            tracing::warn!(%peer, ?login, "login refused");
            Failure::Credentials
        }
        AuthError::Throttled => {
            tracing::warn!(%peer, ?login, "login not checked: too many have failed");
            Failure::Throttled
        }
        AuthError::Temporary(reason) => {
            tracing::error!(%peer, ?login, reason, "login could not be checked");
            Failure::Temporary
        }
    }
}
