//! From credentials to an open maildrop: whose, through which view, and how much of it.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use restante_directory::{AuthError, Login, LoginDevice, LoginError};
use restante_proto::server::{Credentials, Failure, Opening};
use restante_store::{Access, MailboxId, Maildrop, StoreError, UniqueId, ViewId};

use super::record::Record;
use super::window::{self, Window};
use super::{Pop3, failure};
use crate::limits::{REFUSED, THROTTLED};

/// Somebody who has logged in.
pub(super) struct LoggedIn {
    pub(super) user: String,
    pub(super) maildrop: Box<dyn Maildrop>,
    pub(super) device: Option<OnDevice>,
}

/// The device that a session is of.
pub(super) struct OnDevice {
    pub(super) login: LoginDevice,
    /// While it has one and the session is in it.
    pub(super) window: Option<Window>,
    /// By index: messages that were sent in full. Grows with the listing at most.
    pub(super) retrieved: Vec<bool>,
}

/// Checks the credentials and opens the user's mailbox, making it at the first login. What fails is
/// logged at once: whoever watches the log for guessed passwords cannot wait for the session's end. The
/// reply to who guesses waits.
pub(super) async fn log_in(
    pop3: &Pop3,
    record: &mut Record,
    credentials: Credentials,
    opening: Opening,
) -> Result<LoggedIn, Failure> {
    let login = credentials.login;
    let found = pop3
        .directory
        .log_in(&login, &credentials.password, record.peer.ip)
        .await;
    let found = match found {
        Ok(found) => found,
        Err(LoginError::Auth(error)) => return Err(refused(pop3, record, &login, &error).await),
        Err(error @ LoginError::TooManyDevices(_)) => {
            tracing::warn!(peer = %record.peer, ?login, %error, "no further device is made");
            return Err(Failure::Permanent);
        }
    };
    if let Some(device) = &found.device {
        see(pop3, record, device, opening);
    }
    let peer = &record.peer;
    let user = found.user.name.clone();
    match open(pop3, found).await {
        Ok((maildrop, device)) => Ok(LoggedIn {
            user,
            maildrop,
            device,
        }),
        Err(error) => {
            if error == StoreError::InUse {
                tracing::info!(%peer, %user, "the maildrop is in use");
            } else {
                tracing::error!(%peer, %user, %error, "cannot open the maildrop");
            }
            Err(failure(&error))
        }
    }
}

/// Notes where the device is and how its client speaks; no login waits for that.
fn see(pop3: &Pop3, record: &Record, device: &LoginDevice, opening: Opening) {
    let directory = Arc::clone(&pop3.directory);
    let device = device.clone();
    let address = record
        .peer
        .ip
        .map_or_else(|| "local".to_owned(), |ip| ip.to_canonical().to_string());
    let tls = if record.tls { "TLS " } else { "" };
    let hello = format!("{tls}{opening}");
    tokio::task::spawn_blocking(move || {
        if let Err(error) = directory.see_device(&device, &address, &hello) {
            tracing::warn!(device = %device.name, %error, "cannot note that a device was seen");
        }
    });
}

async fn open(
    pop3: &Pop3,
    mut login: Login,
) -> Result<(Box<dyn Maildrop>, Option<OnDevice>), StoreError> {
    let name = &login.user.name;
    let mailbox = match pop3.store.find_mailbox(name).await? {
        Some(mailbox) => mailbox.id,
        None => pop3.store.create_mailbox(name).await?,
    };
    let access = if pop3.options.exclusive {
        Access::Exclusive
    } else {
        Access::Shared
    };
    let view = match &mut login.device {
        Some(device) => view(pop3, mailbox, device).await?,
        None => ViewId::PLAIN,
    };
    let mut maildrop = pop3.store.open(mailbox, view, access).await?;
    if login.recent {
        let back_ms = (pop3.options.recent_ms)(name);
        maildrop = window::since(maildrop, now_ms().saturating_sub(back_ms)).await?;
    }
    let Some(device) = login.device else {
        return Ok((maildrop, None));
    };
    let mut on_device = OnDevice {
        window: None,
        retrieved: Vec::new(),
        login: device,
    };
    // What is recent is a window of its own.
    if let (Some(newest), false) = (on_device.login.window, login.recent) {
        let place = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        let mut window = Window {
            newest,
            floor: place(&on_device.login.floor),
            collected: place(&on_device.login.collected),
        };
        let (inside, moved) = window::newest(maildrop, &window).await?;
        maildrop = inside;
        if let Some(floor) = moved {
            // Before the client sees it: what it has been shown must not be shown otherwise later.
            move_window(pop3, &on_device.login, Some(floor), None).await?;
            window.floor = Some(floor);
        }
        on_device.window = Some(window);
    }
    Ok((maildrop, Some(on_device)))
}

/// The mailbox's view of that name, made when the device is new.
async fn view(
    pop3: &Pop3,
    mailbox: MailboxId,
    device: &mut LoginDevice,
) -> Result<ViewId, StoreError> {
    let name = device.name.clone();
    let name = name.as_str();
    let find = async || -> Result<Option<ViewId>, StoreError> {
        let views = pop3.store.views(mailbox).await?;
        Ok(views.iter().find(|v| v.name == name).map(|v| v.id))
    };
    if let Some(found) = find().await? {
        return Ok(found);
    }
    let made = match pop3.store.add_view(mailbox, name, false).await {
        // Two first logins at once: the other has made it.
        Err(StoreError::Permanent(what)) => match find().await? {
            Some(found) => found,
            None => return Err(StoreError::Permanent(what)),
        },
        made => made?,
    };
    // Removed since the password was checked: its view would be nobody's, and hold mail back.
    if pop3.directory.is_revoked(device, true).unwrap_or(false) {
        pop3.store.remove_view(mailbox, made).await?;
        return Err(StoreError::NotFound);
    }
    Ok(made)
}

/// Writes down where a device's window is.
pub(super) async fn move_window(
    pop3: &Pop3,
    device: &LoginDevice,
    floor: Option<UniqueId>,
    collected: Option<UniqueId>,
) -> Result<(), StoreError> {
    let (directory, device) = (Arc::clone(&pop3.directory), device.clone());
    let text = |id: Option<UniqueId>| id.map(|id| id.to_string());
    let (floor, collected) = (text(floor), text(collected));
    let written = tokio::task::spawn_blocking(move || {
        directory.move_window(&device, floor.as_deref(), collected.as_deref())
    });
    let temporary = |error: &dyn std::fmt::Display| StoreError::Temporary(error.to_string());
    match written.await {
        Ok(written) => written.map_err(|error| temporary(&error)),
        Err(error) => Err(temporary(&error)),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
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
