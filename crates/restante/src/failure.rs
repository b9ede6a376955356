//! Why a command did not do as asked, and the exit code that says so to scripts.
//!
//! Codes are those of `sysexits.h`, so that they mean what MTAs and cron wrappers take them for.

use std::fmt;
use std::process::ExitCode;

use restante_archive::ArchiveError;
use restante_backup::BackupError;
use restante_directory::DirectoryError;
use restante_store::StoreError;

use crate::config::ConfigError;

/// A command's failure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// EX_USAGE 64: asked for in a way that cannot be done. Says what would be right.
    Usage(String),
    /// EX_DATAERR 65: what was given is wrong, or part of it could not be taken.
    Data(String),
    /// EX_NOUSER 67: a user, mailbox or message is not there.
    NotThere(String),
    /// EX_UNAVAILABLE 69: a server cannot be reached.
    Unavailable(String),
    /// EX_CANTCREAT 73: something is there already.
    Exists(String),
    /// EX_IOERR 74: the disk or the network failed.
    Io(String),
    /// EX_TEMPFAIL 75: may pass by itself.
    Temporary(String),
    /// EX_PROTOCOL 76: a server does not keep to its protocol.
    Protocol(String),
    /// EX_NOPERM 77: a login or a certificate was refused.
    Permission(String),
    /// EX_CONFIG 78: the configuration is wrong.
    Config(String),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// The exit code as a number.
    pub(crate) fn number(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Data(_) => 65,
            Self::NotThere(_) => 67,
            Self::Unavailable(_) => 69,
            Self::Exists(_) => 73,
            Self::Io(_) => 74,
            Self::Temporary(_) => 75,
            Self::Protocol(_) => 76,
            Self::Permission(_) => 77,
            Self::Config(_) => 78,
        }
    }

    /// For `map_err` on an I/O error: what was being done.
    pub(crate) fn io(doing: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Io(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what)
            | Self::Data(what)
            | Self::NotThere(what)
            | Self::Unavailable(what)
            | Self::Exists(what)
            | Self::Io(what)
            | Self::Temporary(what)
            | Self::Protocol(what)
            | Self::Permission(what)
            | Self::Config(what) => f.write_str(what),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let what = error.to_string();
        match error {
            StoreError::NotFound => Self::NotThere(what),
            StoreError::InUse | StoreError::Temporary(_) => Self::Temporary(what),
            _ => Self::Io(what),
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let what = error.to_string();
        match error {
            ArchiveError::NotFound => Self::NotThere(what),
            ArchiveError::Query(_) | ArchiveError::Invalid(_) => Self::Usage(what),
            ArchiveError::Store(error) => error.into(),
            _ => Self::Io(what),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let what = error.to_string();
        match error {
            BackupError::Usage(_) => Self::Usage(what),
            BackupError::Damage(_) => Self::Data(what),
            BackupError::NotThere(_) => Self::NotThere(what),
            BackupError::Unavailable(_) => Self::Unavailable(what),
            BackupError::Busy(_) | BackupError::Stopped => Self::Temporary(what),
            BackupError::Key(_) => Self::Permission(what),
            BackupError::Store(error) => error.into(),
            _ => Self::Io(what),
        }
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        let what = error.to_string();
        match error {
            DirectoryError::BadName(_)
            | DirectoryError::BadPassword(_)
            | DirectoryError::BadDevice(_) => Self::Data(what),
            DirectoryError::Exists(_) | DirectoryError::DeviceExists(_) => Self::Exists(what),
            DirectoryError::NotFound(_) | DirectoryError::NoDevice(_) => Self::NotThere(what),
            DirectoryError::ReadOnly(_) | DirectoryError::TooManyDevices(_) => Self::Usage(what),
            _ => Self::Io(what),
        }
    }
}
