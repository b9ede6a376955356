//! What can go wrong in a store, by who can mend it.

use std::fmt;

/// Why a store did not do as asked. Cheap to clone: one failed batch fails every delivery in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The mailbox, view or message is not there (any more).
    NotFound,
    /// Another session holds the mailbox exclusively (RFC 2449 §8.1.1 IN-USE).
    InUse,
    /// Free space is below `min_free`; nothing was stored.
    Full {
        /// Octets free on the file system.
        free: u64,
        /// Octets that must stay free.
        min_free: u64,
    },
    /// A fault that may pass: an I/O error, a busy database. Says what failed and what to do.
    Temporary(String),
    /// A fault that will not pass by itself: damage, a newer format. Says what failed and what to do.
    Permanent(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::InUse => f.write_str("the mailbox is in use by another session"),
            Self::Full { free, min_free } => write!(
                f,
                "the disk is full: {free} octets are free, {min_free} must stay free (store.min_free)"
            ),
            Self::Temporary(what) | Self::Permanent(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StoreError {}
