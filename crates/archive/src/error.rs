//! What can go wrong in the archive. None of it touches the mail: that is the store's.

use std::fmt;

use restante_store::StoreError;

/// What is wrong with a query, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// Where it begins: characters from the start, the first being 0.
    pub at: usize,
    /// How many characters it spans; 0 at the end of the query.
    pub length: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at + 1, self.what)
    }
}

impl std::error::Error for QueryError {}

/// Why the archive did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveError {
    /// There is no such message, thread, rule or newsletter among what the caller may see.
    NotFound,
    /// The query is not understood.
    Query(QueryError),
    /// What the caller asked for cannot be done; says why.
    Invalid(String),
    /// The store did not do as asked.
    Store(StoreError),
    /// `search.db` or `state.db` did not do as asked. Says which, and what to do.
    Database(String),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Query(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Invalid(what) | Self::Database(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ArchiveError {}

impl From<StoreError> for ArchiveError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            other => Self::Store(other),
        }
    }
}

impl From<QueryError> for ArchiveError {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

/// What SQLite says of `search.db`, which can always be made anew.
pub(crate) fn search(error: &rusqlite::Error) -> ArchiveError {
    ArchiveError::Database(format!(
        "search.db: {error}; if this stays, `restante rebuild` makes it anew from the mail"
    ))
}

/// What SQLite says of `state.db`.
pub(crate) fn state(error: &rusqlite::Error) -> ArchiveError {
    ArchiveError::Database(format!(
        "state.db: {error}; check the disk and who owns the file"
    ))
}
