//! Users in `state.db`: SQLite in WAL mode, synchronous=FULL, as nothing can make them anew.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

mod devices;

pub(crate) use devices::DeviceRow;

use crate::{Account, DirectoryError, User, UserSource};

/// What this program writes; a newer file is refused.
const FORMAT: i64 = 2;

/// How long another process may hold the database.
const BUSY: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE user (
        name TEXT PRIMARY KEY,
        hash TEXT NOT NULL,
        quota_octets INTEGER,
        added_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// What format 2 brought: devices, with what was last seen of them and where their windows stand, and
/// what is set for a mailbox. A device's id is never used again, so that a session knows its own.
const SCHEMA_2: &str = "
    CREATE TABLE device (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user TEXT NOT NULL,
        name TEXT NOT NULL,
        hash TEXT,
        hint INTEGER,
        added_ms INTEGER NOT NULL,
        seen_ms INTEGER,
        address TEXT,
        hello TEXT,
        window INTEGER,
        floor TEXT,
        collected TEXT,
        UNIQUE (user, name)
    ) STRICT;
    CREATE TABLE setting (
        user TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (user, key)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 2;";

/// Opens `state.db` for whoever keeps tables in it: in WAL mode, synchronous=FULL, with a wait for
/// other processes. Makes it, for its owner only, if it is not there. `user_version` stays the
/// directory's: others keep a version of their own.
///
/// # Errors
/// [`DirectoryError::Io`], also for a file that a newer program wrote.
pub fn open_state(path: &Path) -> Result<Connection, DirectoryError> {
    let shown = path.display().to_string();
    make_private(path)
        .map_err(|error| DirectoryError::Io(format!("cannot make {shown}: {error}")))?;
    let failed = |error| broken(&shown, &error);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // Before anything is written: a newer program's file stays as it is.
    known_format(&shown, &connection)?;
    use_wal(&shown, &connection)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(failed)?;
    Ok(connection)
}

/// SQLite does not wait for others while it changes the journal mode: so it is tried again.
fn use_wal(shown: &str, connection: &Connection) -> Result<(), DirectoryError> {
    let started = std::time::Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && started.elapsed() < BUSY =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done.map_err(|error| broken(shown, &error)),
        }
    }
}

fn known_format(shown: &str, connection: &Connection) -> Result<i64, DirectoryError> {
    let format = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| broken(shown, &error))?;
    if format > FORMAT {
        return Err(DirectoryError::Io(format!(
            "{shown} is of format {format}, newer than this program knows ({FORMAT}): use the program that wrote it"
        )));
    }
    Ok(format)
}

/// `state.db`, open.
#[derive(Debug)]
pub(crate) struct State {
    path: String,
    connection: Mutex<Connection>,
    /// For what may be lost with the power: it waits for no sync.
    pub(crate) light: Mutex<Connection>,
    pub(crate) changes: devices::Changes,
}

impl State {
    pub(crate) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let state = Self {
            path: path.display().to_string(),
            connection: Mutex::new(open_state(path)?),
            light: Mutex::new(open_state(path)?),
            changes: devices::Changes::default(),
        };
        let light = lock(&state.light).pragma_update(None, "synchronous", "NORMAL");
        light.map_err(|error| broken(&state.path, &error))?;
        state.prepare()?;
        Ok(state)
    }
    fn prepare(&self) -> Result<(), DirectoryError> {
        let mut connection = self.connection();
        let failed = |error| broken(&self.path, &error);
        // Immediate: two processes that start at once must not both find it empty.
        let change = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(failed)?;
        let format = known_format(&self.path, &change)?;
        if format == 0 {
            change.execute_batch(SCHEMA).map_err(failed)?;
        }
        if format < 2 {
            change.execute_batch(SCHEMA_2).map_err(failed)?;
        }
        change.commit().map_err(failed)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }

    pub(crate) fn find(&self, name: &str) -> Result<Option<Account>, DirectoryError> {
        let connection = self.connection();
        let found = connection
            .prepare_cached("SELECT hash, quota_octets FROM user WHERE name = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([name], |row| {
                        let hash: String = row.get(0)?;
                        Ok(Account {
                            user: User {
                                name: name.to_owned(),
                                quota_octets: octets(row.get(1)?),
                                source: UserSource::State,
                            },
                            hash: Some(Arc::from(hash)),
                        })
                    })
                    .optional()
            });
        found.map_err(|error| broken(&self.path, &error))
    }

    pub(crate) fn is_empty(&self) -> Result<bool, DirectoryError> {
        let connection = self.connection();
        let found = connection
            .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM user)")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)));
        found.map_err(|error| broken(&self.path, &error))
    }

    pub(crate) fn users(&self) -> Result<Vec<User>, DirectoryError> {
        let connection = self.connection();
        let read = || {
            let mut statement =
                connection.prepare_cached("SELECT name, quota_octets FROM user ORDER BY name")?;
            let rows = statement.query_map([], |row| {
                Ok(User {
                    name: row.get(0)?,
                    quota_octets: octets(row.get(1)?),
                    source: UserSource::State,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| broken(&self.path, &error))
    }

    pub(crate) fn add(
        &self,
        name: &str,
        hash: &str,
        quota_octets: Option<u64>,
    ) -> Result<(), DirectoryError> {
        let added = self.change(
            "INSERT INTO user (name, hash, quota_octets, added_ms)
             VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000 AS INTEGER))
             ON CONFLICT DO NOTHING",
            params![name, hash, column(quota_octets)],
        )?;
        if added {
            Ok(())
        } else {
            Err(DirectoryError::Exists(name.to_owned()))
        }
    }

    pub(crate) fn set_hash(&self, name: &str, hash: &str) -> Result<(), DirectoryError> {
        let statement = "UPDATE user SET hash = ?2 WHERE name = ?1";
        found(self.change(statement, params![name, hash])?, name)
    }

    pub(crate) fn set_quota(&self, name: &str, octets: Option<u64>) -> Result<(), DirectoryError> {
        let statement = "UPDATE user SET quota_octets = ?2 WHERE name = ?1";
        found(self.change(statement, params![name, column(octets)])?, name)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), DirectoryError> {
        let mut connection = self.connection();
        let mut removed = || -> rusqlite::Result<bool> {
            let change = connection.transaction()?;
            let there = change.execute("DELETE FROM user WHERE name = ?1", [name])? > 0;
            change.execute("DELETE FROM device WHERE user = ?1", [name])?;
            change.execute("DELETE FROM setting WHERE user = ?1", [name])?;
            change.commit()?;
            Ok(there)
        };
        let there = removed().map_err(|error| broken(&self.path, &error))?;
        self.changes.own();
        found(there, name)
    }

    fn change(
        &self,
        statement: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<bool, DirectoryError> {
        let rows = self.connection().execute(statement, values);
        rows.map(|rows| rows > 0)
            .map_err(|error| broken(&self.path, &error))
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SQLite's integers are signed; a quota beyond them is as good as the largest.
fn column(octets: Option<u64>) -> Option<i64> {
    octets.map(|octets| i64::try_from(octets).unwrap_or(i64::MAX))
}

fn octets(column: Option<i64>) -> Option<u64> {
    column.map(|octets| u64::try_from(octets).unwrap_or(0))
}

fn found(changed: bool, name: &str) -> Result<(), DirectoryError> {
    if changed {
        Ok(())
    } else {
        Err(DirectoryError::NotFound(name.to_owned()))
    }
}

fn broken(path: &str, error: &rusqlite::Error) -> DirectoryError {
    DirectoryError::Io(format!(
        "{path}: {error}; check the disk and who owns the file"
    ))
}

/// The file is there, durably and for its owner only, before SQLite opens it; its WAL takes the same
/// mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    // Never opened when it is there: closing it would end the locks that SQLite holds on it in this
    // process (POSIX locks go with any descriptor of the file).
    if !path.try_exists()? {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => file.sync_all()?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder)?.sync_all()?;
        }
    }
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}
