//! What is remembered of accounts, in `state.db`: tables `fetch_*`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restante_directory::DirectoryError;
use rusqlite::{Connection, OpenFlags};

use super::lock::Lock;
use super::{Aside, FetchError, Kind, Pause};

mod account;
mod remote;
mod schema;

pub(super) use account::Facts;
pub(super) use remote::{Remote, Stored, Vanished};

/// How long looking waits for who writes.
const BUSY: Duration = Duration::from_secs(10);

/// What is remembered of accounts. Every method may be called from any thread, and waits for the
/// disk.
#[derive(Debug)]
pub struct State {
    /// Where the locks are; `None` for one that only looks.
    folder: Option<PathBuf>,
    connection: Mutex<Connection>,
}

/// What is known of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountStatus {
    /// The account's name.
    pub account: String,
    /// When it was fetched last, in milliseconds since 1970, however that went.
    pub last_start_ms: Option<u64>,
    /// When a fetch of it ended well last.
    pub last_success_ms: Option<u64>,
    /// How the last fetch failed; `None` after one that ended well.
    pub last_error: Option<(Kind, String)>,
    /// When the next run is planned.
    pub next_run_ms: Option<u64>,
    /// The account waits.
    pub pause: Option<Pause>,
    /// Messages stored so far.
    pub stored: u64,
    /// Messages deleted on the server so far.
    pub deleted: u64,
    /// Failed fetches since the last that ended well.
    pub failures: u64,
    /// Messages that could not be had or stored.
    pub set_aside: Vec<Aside>,
    /// Messages of which there is only the header.
    pub headers_only: u64,
}

impl State {
    /// Opens `state.db`, making it if it is not there.
    pub fn open(path: &Path) -> Result<Self, FetchError> {
        let connection = restante_directory::open_state(path).map_err(|error| opened(&error))?;
        let state = Self {
            folder: Some(path.parent().unwrap_or(Path::new(".")).to_owned()),
            connection: Mutex::new(connection),
        };
        schema::prepare(&mut state.connection()).map_err(|error| failed(&error))?;
        Ok(state)
    }

    /// Opens `state.db` to look, for a dry run: writes nothing, and if there is none, nothing is known.
    pub fn look(path: &Path) -> Result<Self, FetchError> {
        let known = path.try_exists().map_err(|error| {
            FetchError::new(
                Kind::Io,
                format!("cannot look at {}: {error}", path.display()),
            )
        })?;
        let mut connection = if known {
            open_to_look(path).map_err(|error| failed(&error))?
        } else {
            Connection::open_in_memory().map_err(|error| failed(&error))?
        };
        let there = known && schema::is_there(&connection).map_err(|error| failed(&error))?;
        if !there {
            connection = Connection::open_in_memory().map_err(|error| failed(&error))?;
            schema::prepare(&mut connection).map_err(|error| failed(&error))?;
        }
        Ok(Self {
            folder: None,
            connection: Mutex::new(connection),
        })
    }

    /// The lock of an account, for its run.
    pub(super) fn lock(&self, account: &str) -> Result<Option<Lock>, FetchError> {
        let folder = self.folder.as_deref();
        folder.map(|folder| Lock::take(folder, account)).transpose()
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_to_look(path: &Path) -> rusqlite::Result<Connection> {
    let open = |flags: OpenFlags| -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    match open(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX) {
        // Who made the file was killed in the middle of it: that only a writer can undo.
        Err(error)
            if error.sqlite_error().map(|e| e.extended_code)
                == Some(rusqlite::ffi::SQLITE_READONLY_ROLLBACK) =>
        {
            open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        }
        done => done,
    }
}

fn opened(error: &DirectoryError) -> FetchError {
    FetchError::new(Kind::Io, error.to_string())
}

fn failed(error: &rusqlite::Error) -> FetchError {
    let what = format!("state.db: {error}; check the disk and who owns the file");
    FetchError::new(Kind::Io, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_left_of_the_first_start_is_no_obstacle_to_looking() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.db"), folder.path().join("state.db"));
        let writer = Connection::open(&from).unwrap();
        let fill = "INSERT INTO t SELECT randomblob(1000) FROM generate";
        writer
            .execute_batch(&format!(
                "CREATE TABLE t (x); CREATE VIEW generate AS WITH RECURSIVE n(i) AS
                 (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n;
                 {fill}; PRAGMA cache_size = 1; BEGIN; {fill};"
            ))
            .unwrap();
        // As they are when the writer is killed here.
        std::fs::copy(&from, &to).unwrap();
        std::fs::copy(
            folder.path().join("a.db-journal"),
            folder.path().join("state.db-journal"),
        )
        .unwrap();
        let state = State::look(&to).unwrap();
        assert_eq!(state.account("work").unwrap(), None);
        assert!(!folder.path().join("state.db-journal").exists());
    }
}
