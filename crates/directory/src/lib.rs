//! Who may collect which mail: users, their passwords, and the addresses that are theirs.
//!
//! Users live in `state.db` ([`Directory::add_user`]) and, read-only, in a password file as other
//! servers write it. A user's mailbox has the user's name. Nothing here knows a protocol: what a
//! refusal looks like is for the caller to say, and it says the same for a wrong password and for a
//! user who does not exist.

mod authenticate;
mod devices;
mod error;
mod hashes;
pub mod limits;
mod names;
mod passwd_file;
mod password;
mod penalty;
mod remembered;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use restante_proto::Secret;

pub use devices::{Device, Login, LoginDevice};
pub use error::{AuthError, DirectoryError, LoginError};
pub use names::checked as user_name;
pub use names::checked_device as device_name;
pub use password::generate_password;

pub use state::open_state;

use authenticate::Authenticator;
use passwd_file::PasswdFile;
use state::State;

/// Where a user is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserSource {
    /// In `state.db`: the program changes it.
    State,
    /// In the password file: whoever writes that file changes it.
    PasswdFile,
}

/// A local login. The mailbox has the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// In lower case; either a plain name or a whole address.
    pub name: String,
    /// The most octets that the mailbox may hold; `None` = no quota.
    pub quota_octets: Option<u64>,
    /// Where the user is kept.
    pub source: UserSource,
}

/// Differs when a password was set anew, even to the same; tells nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordMark([u8; 32]);

impl PasswordMark {
    /// `hash`: as it is kept, with its salt.
    fn of(hash: Option<&str>) -> Self {
        Self(*blake3::hash(hash.unwrap_or_default().as_bytes()).as_bytes())
    }
}

/// A user and what proves a password. Stays in the crate. Without a hash the user takes mail, but no
/// password is right.
#[derive(Debug, Clone)]
struct Account {
    user: User,
    hash: Option<Arc<str>>,
}

/// How a directory works.
#[derive(Debug, Clone)]
pub struct Options {
    /// A password file besides `state.db`.
    pub passwd_file: Option<PathBuf>,
    /// Domains whose addresses are users' local parts, in lower case; `localhost` always is one.
    pub domains: Vec<String>,
    /// Passwords hashed at once; 0 = as many as there are cores.
    pub hash_workers: usize,
    /// How long a verified login is remembered, in seconds; a changed password ends it at once.
    pub cache_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            passwd_file: None,
            domains: Vec::new(),
            hash_workers: 0,
            cache_seconds: limits::VERIFIED_SECONDS,
        }
    }
}

/// All users of a data folder. Every method may be called from any thread; other processes may
/// change the same users at any time, and that counts at once.
#[derive(Debug)]
pub struct Directory {
    state: State,
    file: Option<PasswdFile>,
    domains: Vec<String>,
    authenticator: Authenticator,
}

impl Directory {
    /// Opens `state.db`, making it (mode 0600) if it is not there. A password file that cannot be
    /// read now is no error yet: it may come later, and until then logins are temporary failures.
    pub fn open(state_db: &Path, options: Options) -> Result<Self, DirectoryError> {
        let mut domains = options.domains;
        domains.iter_mut().for_each(|d| d.make_ascii_lowercase());
        domains.push("localhost".to_owned());
        Ok(Self {
            state: State::open(state_db)?,
            file: options.passwd_file.map(PasswdFile::new),
            domains,
            authenticator: Authenticator::new(options.hash_workers, options.cache_seconds),
        })
    }

    /// All users, by name.
    pub fn users(&self) -> Result<Vec<User>, DirectoryError> {
        let mut users = self.state.users()?;
        if let Some(file) = &self.file {
            let known: std::collections::HashSet<_> =
                users.iter().map(|user| user.name.clone()).collect();
            let others = file.users()?;
            users.extend(
                others
                    .into_iter()
                    .filter(|user| !known.contains(&user.name)),
            );
        }
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    /// Whether nobody could log in: no user in `state.db`, and no password file.
    pub fn is_empty(&self) -> Result<bool, DirectoryError> {
        Ok(self.file.is_none() && self.state.is_empty()?)
    }

    /// Adds a user. `quota_octets`: the most that the mailbox may hold.
    ///
    /// # Errors
    /// [`DirectoryError::BadName`], [`DirectoryError::BadPassword`], [`DirectoryError::Exists`].
    pub fn add_user(
        &self,
        name: &str,
        password: &Secret,
        quota_octets: Option<u64>,
    ) -> Result<(), DirectoryError> {
        let name = names::checked(name)?;
        let known = self.state.find(&name)?.is_some();
        // A password file that cannot be read now is no reason to refuse: `state.db` counts before it.
        let in_file = self.file.as_ref().map(|file| file.find(&name));
        if known || matches!(in_file, Some(Ok(Some(_)))) {
            return Err(DirectoryError::Exists(name));
        }
        self.state
            .add(&name, &hashes::make(password)?, quota_octets)
    }

    /// Changes a password; logins remembered with the old one end at once.
    ///
    /// # Errors
    /// [`DirectoryError::BadPassword`], [`DirectoryError::NotFound`], [`DirectoryError::ReadOnly`] for a user
    /// of the password file.
    pub fn set_password(&self, name: &str, password: &Secret) -> Result<(), DirectoryError> {
        let user = self.changeable(name)?;
        self.state.set_hash(&user.name, &hashes::make(password)?)
    }

    /// Changes a quota; `None` = no quota. Errors as [`Directory::set_password`].
    pub fn set_quota(&self, name: &str, octets: Option<u64>) -> Result<(), DirectoryError> {
        let user = self.changeable(name)?;
        self.state.set_quota(&user.name, octets)
    }

    /// Removes a login; the mailbox is the store's. Errors as [`Directory::set_password`].
    pub fn remove_user(&self, name: &str) -> Result<User, DirectoryError> {
        let user = self.changeable(name)?;
        self.state.remove(&user.name)?;
        Ok(user)
    }

    fn changeable(&self, name: &str) -> Result<User, DirectoryError> {
        match self.find_user(name)? {
            None => Err(DirectoryError::NotFound(name.to_owned())),
            Some(user) if user.source == UserSource::PasswdFile => {
                Err(DirectoryError::ReadOnly(user.name))
            }
            Some(user) => Ok(user),
        }
    }

    /// The user of exactly that name, upper and lower case alike.
    pub fn find_user(&self, name: &str) -> Result<Option<User>, DirectoryError> {
        let name = names::folded(name);
        Ok(self.account(&name)?.map(|account| account.user))
    }

    /// Whether the user is still there, with the password that was right when they signed in.
    pub fn is_current(&self, name: &str, mark: PasswordMark) -> Result<bool, DirectoryError> {
        let account = self.account(&names::folded(name))?;
        Ok(account.is_some_and(|account| PasswordMark::of(account.hash.as_deref()) == mark))
    }

    /// Whose an address is: the user of the exact address, else of its local part if the domain is
    /// ours, else the same for what stands before `+`. Without a domain the local part alone counts.
    /// `postmaster` has no special place: make such a user.
    pub fn find_address(&self, address: &str) -> Result<Option<User>, DirectoryError> {
        for name in names::of_address(address, &self.domains) {
            if let Some(account) = self.account(&name)? {
                return Ok(Some(account.user));
            }
        }
        Ok(None)
    }

    /// Whom a login names: as typed, else without a domain that is ours, else with one that is.
    fn find_login(&self, login: &str) -> Result<Option<Account>, DirectoryError> {
        for name in names::of_login(login, &self.domains) {
            if let Some(account) = self.account(&name)? {
                return Ok(Some(account));
            }
        }
        Ok(None)
    }

    /// `state.db` counts before the password file.
    fn account(&self, name: &str) -> Result<Option<Account>, DirectoryError> {
        if let Some(account) = self.state.find(name)? {
            return Ok(Some(account));
        }
        match &self.file {
            Some(file) => file.find(name),
            None => Ok(None),
        }
    }

    /// Checks a login and its password. `peer` is who guesses are counted for; `None` for a local
    /// socket. Takes as long for a user who does not exist as for a wrong password.
    ///
    /// # Errors
    /// [`AuthError::Refused`] whatever is wrong with name or password; [`AuthError::Throttled`] when the
    /// address guesses too fast; [`AuthError::Temporary`] when nobody can tell now.
    pub async fn authenticate(
        &self,
        login: &str,
        password: &Secret,
        peer: Option<std::net::IpAddr>,
    ) -> Result<User, AuthError> {
        let signed = self.sign_in(login, password, peer).await;
        signed.map(|(user, _)| user)
    }

    /// As [`Directory::authenticate`], with what tells later whether the password is still the one that was
    /// right: for who stays signed in.
    ///
    /// # Errors
    /// As [`Directory::authenticate`].
    pub async fn sign_in(
        &self,
        login: &str,
        password: &Secret,
        peer: Option<std::net::IpAddr>,
    ) -> Result<(User, PasswordMark), AuthError> {
        let account = self
            .find_login(login)
            .map_err(|error| AuthError::Temporary(error.to_string()))?;
        let (name, hash) = match &account {
            Some(account) => (account.user.name.clone(), account.hash.clone()),
            None => (names::folded(login), None),
        };
        if let (Some(account), Some(hash)) = (account, hash) {
            self.authenticator
                .check(&name, password, Arc::clone(&hash), peer)
                .await?;
            return Ok((account.user, PasswordMark::of(Some(&hash))));
        }
        Err(self.refuse(&name, password, peer).await)
    }

    /// Why nobody gets in under that name, in the time that a wrong password takes.
    async fn refuse(
        &self,
        name: &str,
        password: &Secret,
        peer: Option<std::net::IpAddr>,
    ) -> AuthError {
        let hash = match self.stand_in(name) {
            Ok(hash) => hash,
            Err(error) => return AuthError::Temporary(error.to_string()),
        };
        let checked = self.authenticator.check(name, password, hash, peer).await;
        // Refused, even if the password should fit the stand-in.
        checked.err().unwrap_or(AuthError::Refused)
    }

    /// A hash that costs what a known user's would: where schemes are mixed, one of them, the same
    /// for a name every time, so that the time taken does not tell who exists.
    fn stand_in(&self, name: &str) -> Result<Arc<str>, DirectoryError> {
        let of_file = match &self.file {
            Some(file) => file.stand_ins()?,
            None => Arc::from([]),
        };
        let ours = usize::from(of_file.is_empty() || !self.state.is_empty()?);
        let at = self.authenticator.number(name) % (ours + of_file.len());
        Ok(of_file.get(at).map_or_else(hashes::stand_in, Arc::clone))
    }

    /// Reads the password file again and forgets remembered logins, for SIGHUP.
    pub fn reload(&self) -> Result<(), DirectoryError> {
        self.authenticator.forget();
        match &self.file {
            Some(file) => file.read_again(),
            None => Ok(()),
        }
    }
}
