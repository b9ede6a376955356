//! What can go wrong with a backup, by who can mend it.

use std::fmt;

use restante_directory::DirectoryError;
use restante_store::StoreError;

/// Why a backup, a restore or a check did not do as asked. Says what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// Asked for in a way that cannot be done.
    Usage(String),
    /// Something is damaged, or is not what it should be.
    Damage(String),
    /// There is no backup, or none of that time.
    NotThere(String),
    /// The destination cannot be reached, or does not do as it is told.
    Unavailable(String),
    /// A disk failed or is full.
    Io(String),
    /// Another program is at it.
    Busy(String),
    /// It was told to stop, and did.
    Stopped,
    /// The key is missing or does not fit.
    Key(String),
    /// The archive failed.
    Store(StoreError),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what)
            | Self::Damage(what)
            | Self::NotThere(what)
            | Self::Unavailable(what)
            | Self::Io(what)
            | Self::Busy(what)
            | Self::Key(what) => f.write_str(what),
            Self::Stopped => f.write_str("stopped before it was done"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DirectoryError> for BackupError {
    fn from(error: DirectoryError) -> Self {
        Self::Io(error.to_string())
    }
}

/// What a step of a backup comes to.
pub type Result<T> = std::result::Result<T, BackupError>;

/// For `map_err` on an I/O error: what was being done.
pub(crate) fn io(doing: impl fmt::Display) -> impl FnOnce(std::io::Error) -> BackupError {
    move |error| BackupError::Io(format!("{doing}: {error}"))
}

/// For `map_err` on an error of SQLite.
pub(crate) fn sql(doing: impl fmt::Display) -> impl FnOnce(rusqlite::Error) -> BackupError {
    move |error| BackupError::Io(format!("{doing}: {error}"))
}
