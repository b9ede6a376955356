//! Devices: each collects from a mailbox by itself, under `user+device` or with a password of its own.
//!
//! A device's own password is made up here and has 99 bits; it is stored as argon2id, like any other,
//! with 16 bits of another hash beside it: so a login under the plain name costs one argon2 whatever it
//! turns out to be, not one for each device.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use restante_proto::Secret;

use crate::state::DeviceRow;
use crate::{
    Account, AuthError, Directory, DirectoryError, LoginError, User, generate_password, hashes,
    names,
};

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Whose.
    pub user: String,
    /// In lower case; the view of the mailbox has the same name.
    pub name: String,
    /// Whether it has a password of its own.
    pub has_password: bool,
    /// Made, in milliseconds since 1970.
    pub added_ms: u64,
    /// Last logged in, in milliseconds since 1970, to [`crate::limits::SEEN_INTERVAL`].
    pub seen_ms: Option<u64>,
    /// From where.
    pub address: Option<String>,
    /// What its client said first: the commands before the login, without what went with them.
    pub hello: Option<String>,
    /// It is shown so many of the newest messages; `None`: all.
    pub window: Option<u64>,
}

/// What a login came to.
#[derive(Debug, Clone)]
pub struct Login {
    /// Whose mailbox.
    pub user: User,
    /// Which device; `None` for the plain login.
    pub device: Option<LoginDevice>,
    /// Only what came lately: the login was `recent:` and a name.
    pub recent: bool,
}

/// A device that has logged in.
#[derive(Debug, Clone)]
pub struct LoginDevice {
    /// The view of the mailbox has the same name.
    pub name: String,
    /// As [`Device::window`].
    pub window: Option<u64>,
    /// Where its window begins; what [`Directory::move_window`] has written.
    pub floor: Option<String>,
    /// Up to where it has collected; what [`Directory::move_window`] has written.
    pub collected: Option<String>,
    id: i64,
    /// Until [`Directory::changes`] says something else, the device is there.
    changes: u64,
}

const RECENT: &str = "recent:";

/// 16 bits that a password has in common with few others.
fn hint(user: &str, password: &Secret) -> i64 {
    let mut hasher = blake3::Hasher::new_derive_key("restante 2026 hint of a device's password");
    hasher.update(&(user.len() as u64).to_le_bytes());
    hasher.update(user.as_bytes());
    hasher.update(password.expose());
    let hash = hasher.finalize();
    i64::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]))
}

fn temporary(error: &DirectoryError) -> LoginError {
    LoginError::Auth(AuthError::Temporary(error.to_string()))
}

impl Directory {
    /// The devices of a user, or of all, by name.
    pub fn devices(&self, user: Option<&str>) -> Result<Vec<Device>, DirectoryError> {
        let user = user.map(names::folded);
        let rows = self.state.devices(user.as_deref())?;
        Ok(rows.into_iter().map(|row| row.device).collect())
    }

    /// Makes a device with a password of its own, which is told this once.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], [`DirectoryError::BadDevice`], [`DirectoryError::DeviceExists`],
    /// [`DirectoryError::TooManyDevices`].
    pub fn add_device(&self, user: &str, name: &str) -> Result<Secret, DirectoryError> {
        let (user, name) = self.owner(user, name)?;
        let password = generate_password();
        let hash = hashes::make(&password)?;
        let hint = hint(&user, &password);
        self.state.add_device(&user, &name, Some((&hash, hint)))?;
        Ok(password)
    }

    /// Gives a device a new password of its own, which is told this once. The old one is void at once, and
    /// sessions that run notice.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`], [`DirectoryError::NoDevice`].
    pub fn renew_device_password(&self, user: &str, name: &str) -> Result<Secret, DirectoryError> {
        let (user, name) = self.owner(user, name)?;
        let password = generate_password();
        let hash = hashes::make(&password)?;
        let hint = hint(&user, &password);
        self.state.set_device_hash(&user, &name, (&hash, hint))?;
        Ok(password)
    }

    /// Shows a device so many of the newest messages from its next login on; `None`: all. Errors as
    /// [`Directory::renew_device_password`].
    pub fn set_window(
        &self,
        user: &str,
        name: &str,
        window: Option<u64>,
    ) -> Result<(), DirectoryError> {
        let (user, name) = self.owner(user, name)?;
        self.state.set_window(&user, &name, window)
    }

    /// Removes a device: its password is void at once, and sessions that run notice. Its view is the
    /// store's. Errors as [`Directory::renew_device_password`].
    pub fn remove_device(&self, user: &str, name: &str) -> Result<(), DirectoryError> {
        let (user, name) = self.owner(user, name)?;
        self.state.remove_device(&user, &name)
    }

    fn owner(&self, user: &str, device: &str) -> Result<(String, String), DirectoryError> {
        let device = names::checked_device(device)?;
        match self.find_user(user)? {
            Some(user) => Ok((user.name, device)),
            None => Err(DirectoryError::NotFound(user.to_owned())),
        }
    }

    /// All that is set for a user's mailbox, by key; what the keys mean is for the caller to say.
    pub fn settings(&self, user: &str) -> Result<BTreeMap<String, String>, DirectoryError> {
        self.state.settings(&names::folded(user))
    }

    /// Sets a key for a user's mailbox, or with `None` unsets it.
    pub fn set_setting(
        &self,
        user: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), DirectoryError> {
        self.state.set_setting(&names::folded(user), key, value)
    }

    /// As [`Directory::authenticate`], for a login that may name a device (`user+device`), be a device by
    /// its own password, and ask for what is recent (`recent:` before it). A device that is not known is
    /// made when the user's own password comes with it.
    ///
    /// # Errors
    /// Those of [`Directory::authenticate`], and [`LoginError::TooManyDevices`].
    pub async fn log_in(
        &self,
        login: &str,
        password: &Secret,
        peer: Option<IpAddr>,
    ) -> Result<Login, LoginError> {
        // Before the login is looked at: what changes from here on is noticed.
        let changes = self.changes(true).map_err(|error| temporary(&error))?;
        let folded = names::folded(login);
        let (rest, recent) = match folded.strip_prefix(RECENT) {
            Some(rest) => (rest, true),
            None => (folded.as_str(), false),
        };
        let (account, device) = self.find_device_login(rest).map_err(|e| temporary(&e))?;
        let Some(account) = &account else {
            let base = names::of_device(rest).map_or(rest.to_owned(), |(base, _)| base);
            return Err(self.refuse(&base, password, peer).await.into());
        };
        let user = &account.user;
        let Some(own) = account.hash.clone() else {
            return Err(self.refuse(&user.name, password, peer).await.into());
        };
        let hint = hint(&user.name, password);
        let known = match &device {
            Some(name) => self.state.device(&user.name, name),
            None => Ok(None),
        };
        let known = known.map_err(|error| temporary(&error))?;
        let candidates = match (&device, &known) {
            (None, _) => self.state.devices_by_hint(&user.name, hint),
            (_, Some(row)) if row.hint == Some(hint) => Ok(vec![row.clone()]),
            _ => Ok(Vec::new()),
        };
        let done = |device: Option<DeviceRow>| Login {
            user: user.clone(),
            device: device.map(|row| logged_in(row, changes)),
            recent,
        };
        for row in candidates.map_err(|error| temporary(&error))? {
            let Some(hash) = row.hash.clone() else {
                continue;
            };
            let checked = self.authenticator.check(&user.name, password, hash, peer);
            match checked.await {
                Ok(()) => return Ok(done(Some(row))),
                Err(AuthError::Refused) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.authenticator
            .check(&user.name, password, own, peer)
            .await?;
        let Some(name) = device else {
            return Ok(done(None));
        };
        let row = match known {
            Some(row) => row,
            None => self.make_device(&user.name, &name)?,
        };
        Ok(done(Some(row)))
    }

    /// A user, and a device if the login names one. A login that is a user's name is that user's.
    fn find_device_login(
        &self,
        login: &str,
    ) -> Result<(Option<Account>, Option<String>), DirectoryError> {
        if let Some(account) = self.find_login(login)? {
            return Ok((Some(account), None));
        }
        match names::of_device(login) {
            None => Ok((None, None)),
            Some((base, device)) => Ok((self.find_login(&base)?, Some(device))),
        }
    }

    fn make_device(&self, user: &str, name: &str) -> Result<DeviceRow, LoginError> {
        match self.state.add_device(user, name, None) {
            // Two logins at once: the other has made it.
            Ok(()) | Err(DirectoryError::DeviceExists(_)) => {}
            Err(DirectoryError::TooManyDevices(user)) => {
                return Err(LoginError::TooManyDevices(user));
            }
            Err(error) => return Err(temporary(&error)),
        }
        let found = self.state.device(user, name).map_err(|e| temporary(&e))?;
        found.ok_or(LoginError::Auth(AuthError::Refused))
    }

    /// Notes where a device was seen and what its client said first. May wait for another process: not
    /// for a thread that serves others.
    pub fn see_device(
        &self,
        device: &LoginDevice,
        address: &str,
        hello: &str,
    ) -> Result<(), DirectoryError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = since.map_or(0, |since| since.as_millis() as u64);
        self.state.see_device(device.id, now_ms, address, hello)
    }

    /// Keeps where a device's window begins, and up to where it has collected; `None`: as it was.
    pub fn move_window(
        &self,
        device: &LoginDevice,
        floor: Option<&str>,
        collected: Option<&str>,
    ) -> Result<(), DirectoryError> {
        self.state.move_window(device.id, floor, collected)
    }

    /// Whether a device that has logged in was removed since. Cheap: as long as nothing has changed it
    /// asks nothing. What another process did counts a second later, and at once with `now`.
    pub fn is_revoked(&self, device: &mut LoginDevice, now: bool) -> Result<bool, DirectoryError> {
        let changes = self.changes(now)?;
        if changes == device.changes {
            return Ok(false);
        }
        let there = self.state.has_device(device.id)?;
        if there {
            device.changes = changes;
        }
        Ok(!there)
    }

    fn changes(&self, now: bool) -> Result<u64, DirectoryError> {
        self.state.count_changes(now)
    }
}

fn logged_in(row: DeviceRow, changes: u64) -> LoginDevice {
    LoginDevice {
        name: row.device.name,
        window: row.device.window,
        floor: row.floor,
        collected: row.collected,
        id: row.id,
        changes,
    }
}
