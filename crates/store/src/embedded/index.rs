//! The index: what the packs say, arranged for asking. It may be lost at any moment.

pub(super) mod apply;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use super::random_id;
use super::task::lock;
use crate::StoreError;

pub(super) use schema::LIVE;

/// Marks the file as ours: "RsIx".
const APPLICATION_ID: i64 = 0x5273_4978;
/// The newest form of the tables. An older one is built anew: the index is derived.
const SCHEMA_VERSION: i64 = 3;
const BUSY: Duration = Duration::from_secs(5);
const POOLED: usize = 32;
/// How much of the index is mapped into memory where speed is what counts: all of it.
pub(super) const MAP_OCTETS: u64 = 1 << 30;

/// The index file and connections to it.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    /// Counts how often the file was replaced; connections to an older one are dropped.
    pub(super) generation: AtomicU64,
    /// SQLite's `synchronous`.
    synchronous: &'static str,
    /// SQLite's `mmap_size`.
    map_octets: u64,
}

/// What is wrong with an index file.
pub(super) enum Broken {
    /// Missing, damaged or of an older form: to be built anew.
    Rebuild,
    /// To be left alone.
    Refuse(StoreError),
}

/// Turns an error of SQLite into one of ours.
pub(super) fn sql(error: rusqlite::Error) -> StoreError {
    let code = error.sqlite_error_code();
    let what = format!("the index failed: {error}");
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Permanent(format!("{what}; run `restante rebuild`"))
        }
        _ => StoreError::Temporary(what),
    }
}

impl Index {
    pub(super) fn new(folder: &Path, map_octets: u64) -> Self {
        Self {
            path: folder.join("index.db"),
            readers: Mutex::default(),
            generation: AtomicU64::new(0),
            synchronous: "NORMAL",
            map_octets,
        }
    }

    /// One beside it, to be built and then put in its place. It syncs nothing by itself: whoever puts it
    /// there syncs it once before.
    pub(super) fn beside(&self) -> Self {
        Self {
            path: self.path.with_extension("db.new"),
            readers: Mutex::default(),
            generation: AtomicU64::new(0),
            synchronous: "OFF",
            map_octets: MAP_OCTETS,
        }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
        // The plan may not depend on what is bound: else statements are prepared anew at each use.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(96);
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        connection.pragma_update(None, "mmap_size", self.map_octets.cast_signed())?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    }

    /// Checks that the file can be used.
    pub(super) fn check(&self) -> Result<(), Broken> {
        if std::fs::metadata(&self.path).is_err() {
            return Err(Broken::Rebuild);
        }
        let number = |c: &Connection, name: &str| {
            c.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        let look = || -> rusqlite::Result<(i64, i64)> {
            let c = self.open()?;
            let ours = (number(&c, "application_id")?, number(&c, "user_version")?);
            c.query_row("SELECT epoch FROM meta", [], |row| row.get::<_, i64>(0))?;
            Ok(ours)
        };
        match look() {
            Ok((APPLICATION_ID, version)) if version > SCHEMA_VERSION => {
                Err(Broken::Refuse(StoreError::Permanent(format!(
                    "index.db has format version {version}, this program reads up to {SCHEMA_VERSION}: use a newer program, or remove index.db"
                ))))
            }
            // SQLite itself refuses a file that is shorter than its header says.
            Ok((APPLICATION_ID, SCHEMA_VERSION)) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Err(Broken::Refuse(sql(error)))
            }
            Ok(_) | Err(_) => Err(Broken::Rebuild),
        }
    }

    /// Whether SQLite finds nothing wrong with the whole file. Reads all of it.
    pub(super) fn is_sound(&self) -> bool {
        let found = self.connect().ok().and_then(|c| {
            c.query_row("PRAGMA integrity_check(1)", [], |row| {
                row.get::<_, String>(0)
            })
            .ok()
        });
        found.is_some_and(|found| found == "ok")
    }

    /// Removes the file and makes an empty one.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(super::temporary("an old index cannot be removed", &e));
                }
                _ => {}
            }
        }
        let random = u64::from_le_bytes(random_id()[..8].try_into().expect("8 of 16 octets"));
        // Positive, and never 0, which is the epoch of `Cursor::START`.
        let epoch = (random >> 1 | 1) as i64;
        let make = || -> rusqlite::Result<()> {
            let c = self.open()?;
            c.pragma_update(None, "journal_mode", "WAL")?;
            c.execute_batch("BEGIN IMMEDIATE")?;
            c.execute_batch(schema::TABLES)?;
            c.execute(
                "INSERT INTO meta (epoch, place, floor) VALUES (?, 0, 0)",
                [epoch],
            )?;
            c.pragma_update(None, "application_id", APPLICATION_ID)?;
            c.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            c.execute_batch("COMMIT")
        };
        make().map_err(sql)?;
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&self.path, private)
            .map_err(|e| super::temporary("the index cannot be made private", &e))
    }

    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        self.open().map_err(sql)
    }

    /// Asks the index on a pooled connection.
    pub(super) fn read<T>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let generation = self.generation.load(Ordering::Acquire);
        let pooled = lock(&self.readers).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = ask(&connection).map_err(sql);
        let mut readers = lock(&self.readers);
        if readers.len() < POOLED
            && answer.is_ok()
            && generation == self.generation.load(Ordering::Acquire)
        {
            readers.push(connection);
        }
        answer
    }

    /// Runs `ask` in one read transaction, so that several statements see one state.
    pub(super) fn read_together<T>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.read(|c| {
            let tx = c.unchecked_transaction()?;
            let answer = ask(&tx)?;
            tx.commit()?;
            Ok(answer)
        })
    }

    /// Forgets all connections: the file is to be replaced.
    pub(super) fn disconnect(&self) {
        let mut readers = lock(&self.readers);
        self.generation.fetch_add(1, Ordering::AcqRel);
        readers.clear();
    }
}

/// What the index knows of a pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PackRow {
    pub(super) watermark: u64,
    pub(super) sealed: bool,
    pub(super) ended: Option<u64>,
}

pub(super) fn pack_row(c: &Connection, number: u32) -> rusqlite::Result<Option<PackRow>> {
    c.prepare_cached("SELECT watermark, sealed, ended FROM packs WHERE number = ?")?
        .query_row([number], |row| {
            Ok(PackRow {
                watermark: row.get::<_, i64>(0)? as u64,
                sealed: row.get(1)?,
                ended: row.get::<_, Option<i64>>(2)?.map(|at| at as u64),
            })
        })
        .optional()
}

pub(super) fn pack_numbers(c: &Connection) -> rusqlite::Result<Vec<u32>> {
    c.prepare_cached(
        "SELECT number FROM packs WHERE replaced IS NULL AND watermark > 0 ORDER BY number",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}

/// Begins to write; waits for another process at most as long as the connection's timeout says.
pub(super) fn begin(c: &mut Connection) -> rusqlite::Result<rusqlite::Transaction<'_>> {
    c.transaction_with_behavior(TransactionBehavior::Immediate)
}
