//! From credentials to an open maildrop.

use std::time::Instant;

use restante_directory::AuthError;
use restante_proto::server::{Credentials, Failure};
use restante_store::{Access, Maildrop, StoreError, ViewId};

use super::record::Record;
use super::{Pop3, failure};
use crate::limits::{REFUSED, THROTTLED};

/// Checks the credentials and opens the user's mailbox, making it at the first login. What fails is
/// logged at once: whoever watches the log for guessed passwords cannot wait for the session's end. The
/// reply to who guesses waits.
pub(super) async fn log_in(
    pop3: &Pop3,
    record: &mut Record,
    credentials: Credentials,
) -> Result<(String, Box<dyn Maildrop>), Failure> {
    let login = credentials.login;
    let user = pop3
        .directory
        .authenticate(&login, &credentials.password, record.peer.ip)
        .await;
    let user = match user {
        Ok(user) => user,
        Err(error) => return Err(refused(pop3, record, &login, &error).await),
    };
    let peer = &record.peer;
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
async fn refused(pop3: &Pop3, record: &mut Record, login: &str, error: &AuthError) -> Failure {
    let peer = &record.peer;
    match error {
        AuthError::Refused => {
            tracing::warn!(%peer, ?login, "login refused");
            record.refused += 1;
            if record.refused > 1 {
                tokio::time::sleep(REFUSED).await;
            }
            Failure::Credentials
        }
        AuthError::Throttled => {
            let notice = pop3.throttled.next(peer.counted_as(), Instant::now());
            if let Some(left_out) = notice {
                let left_out = (left_out > 0).then_some(left_out);
                tracing::warn!(%peer, ?login, left_out, "login not checked: too many have failed");
            }
            tokio::time::sleep(THROTTLED).await;
            Failure::Throttled
        }
        AuthError::Temporary(reason) => {
            tracing::error!(%peer, ?login, reason, "login could not be checked");
            Failure::Temporary
        }
    }
}
