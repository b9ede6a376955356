//! What can go wrong, by who can mend it.

use std::fmt;

use crate::limits::DEVICES_PER_USER;

/// Why the directory did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The name cannot be a user's; says why.
    BadName(String),
    /// The password cannot be set; says why.
    BadPassword(String),
    /// There is such a user already.
    Exists(String),
    /// There is no such user.
    NotFound(String),
    /// The user is in the password file, which this program does not write.
    ReadOnly(String),
    /// The name cannot be a device's; says why.
    BadDevice(String),
    /// The user has such a device already.
    DeviceExists(String),
    /// The user has no such device.
    NoDevice(String),
    /// The user has as many devices as there may be.
    TooManyDevices(String),
    /// A file or database cannot be read or written; says which, why, and what to do.
    Io(String),
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(why) => write!(f, "not a user's name: {why}"),
            Self::BadPassword(why) => write!(f, "not a password: {why}"),
            Self::Exists(name) => write!(f, "there is a user {name} already"),
            Self::NotFound(name) => write!(f, "there is no user {name}"),
            Self::ReadOnly(name) => write!(f, "{name} is in the password file: change it there"),
            Self::BadDevice(why) => write!(f, "not a device's name: {why}"),
            Self::DeviceExists(name) => write!(f, "there is a device {name} already"),
            Self::NoDevice(name) => write!(f, "there is no device {name}"),
            Self::TooManyDevices(user) => write!(
                f,
                "{user} has {DEVICES_PER_USER} devices, as many as there may be: remove one with `restante user device remove {user} DEVICE`"
            ),
            Self::Io(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DirectoryError {}

/// Why somebody is not logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// Name or password is wrong; nobody is told which.
    Refused,
    /// This address guesses too fast; the password was not looked at.
    Throttled,
    /// Nobody can tell now, since users cannot be read; says why, for the log.
    Temporary(String),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("wrong name or password"),
            Self::Throttled => f.write_str("too many wrong passwords from this address"),
            Self::Temporary(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for AuthError {}

/// Why somebody is not logged in to a mailbox by way of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// As any login.
    Auth(AuthError),
    /// Name and password are right, but there may be no further device; says whose.
    TooManyDevices(String),
}

impl From<AuthError> for LoginError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth(error) => error.fmt(f),
            Self::TooManyDevices(user) => DirectoryError::TooManyDevices(user.clone()).fmt(f),
        }
    }
}

impl std::error::Error for LoginError {}
