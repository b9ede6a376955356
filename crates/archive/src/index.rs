//! `search.db`: SQLite in WAL mode, synchronous=NORMAL, purely derived. It may be missing, older or
//! garbage at any moment; it is then made anew from the mail.
//!
//! A message's row id is its date: seconds since 1970 in the upper bits, [`SLOT_BITS`] below to tell
//! apart what is of the same second. So the newest first is the order of the tables themselves, the
//! full-text one included, and no result is ever sorted.

mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restante_store::MailboxId;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};

use crate::error::search as failed;
use crate::extract::FIRST;
use crate::{ArchiveError, limits};

pub(crate) use write::{Arrival, find, forget_marks, insert, remove, remove_mailbox, set_marks};

/// What this program writes. A file of another format that is older is made anew, a newer one refused.
const FORMAT: i64 = 4;

const SCHEMA: &str = include_str!("index/schema.sql");

/// How long another process may hold the database.
const BUSY: Duration = Duration::from_secs(30);

/// Pages of the full-text index that are merged in one transaction.
const MERGE_PAGES: i64 = 4_000;

/// Row ids within one second.
pub(crate) const SLOT_BITS: u32 = 8;

/// What is derived from the message itself.
pub(crate) mod facts {
    pub(crate) const ATTACHMENT: i64 = 1;
    /// It has a List-Id.
    pub(crate) const LIST: i64 = 2;
    pub(crate) const NEWSLETTER: i64 = 4;
    /// A provider's or rspamd's header says so.
    pub(crate) const JUNK: i64 = 8;
    /// The parser failed on it: only what could be had is known.
    pub(crate) const UNREADABLE: i64 = 16;
}

/// What people and rules have said, as it counts now: JUNK here is the header's word and theirs
/// together.
pub(crate) mod flags {
    pub(crate) const READ: i64 = 1;
    pub(crate) const STARRED: i64 = 2;
    pub(crate) const ARCHIVED: i64 = 4;
    pub(crate) const JUNK: i64 = 8;
}

/// Words of our own in the full-text table. They begin with a character of the private use area,
/// which no indexed text and no query can contain, so that they are never found by accident.
pub(crate) mod meta {
    pub(crate) const PRIVATE: char = '\u{e000}';
    pub(crate) const ALL: &str = "\u{e000}a";
    /// Of a list or newsletter, whichever header says so.
    pub(crate) const LIST: &str = "\u{e000}l";
    pub(crate) const NEWSLETTER: &str = "\u{e000}n";
    pub(crate) const ATTACHMENT: &str = "\u{e000}t";

    pub(crate) fn mailbox(number: i64) -> String {
        format!("{PRIVATE}b{number}")
    }
}

/// `search.db`, open: one connection that writes, a few that read.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Index {
    /// Opens, and makes anew what is missing, older or garbage.
    pub(crate) fn open(folder: &Path) -> Result<Self, ArchiveError> {
        let path = folder.join("search.db");
        // Held only while it is looked at and made: two processes must not both throw it away.
        let lock = guard(&folder.join("search.lock"))?;
        let connection = match open_known(&path) {
            Ok(connection) => connection,
            Err(error) if is_garbage(&error) => {
                discard(&path)?;
                open_known(&path).map_err(|error| failed(&error))?
            }
            Err(error) => return Err(failed(&error)),
        };
        prepare(&path, &connection)?;
        drop(lock);
        Ok(Self {
            path,
            writer: Mutex::new(connection),
            readers: Mutex::default(),
        })
    }

    /// Reads, in a snapshot of its own.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        let kept = lock(&self.readers).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let done = connection
            .unchecked_transaction()
            .and_then(|transaction| {
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            })
            .map_err(|error| failed(&error));
        let mut readers = lock(&self.readers);
        if readers.len() < limits::READERS {
            readers.push(connection);
        }
        done
    }

    /// Writes, alone among all processes; all or nothing.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        self.write_with(|c| work(c).map_err(|error| failed(&error)))
    }

    /// The same, for work that also asks others.
    pub(crate) fn write_with<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let mut writer = lock(&self.writer);
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| failed(&error))?;
        let done = work(&transaction)?;
        transaction.commit().map_err(|error| failed(&error))?;
        Ok(done)
    }

    /// Empties it: everything is learnt from the mail again.
    pub(crate) fn wipe(&self) -> Result<(), ArchiveError> {
        self.write(|transaction| {
            drop_all(transaction)?;
            transaction.execute_batch(SCHEMA)
        })
    }

    /// Takes a mailbox out so that no octet of its mail stays in the file.
    pub(crate) fn erase(&self, mailbox: MailboxId) -> Result<(), ArchiveError> {
        self.write(|c| {
            let number: Option<i64> = c
                .query_row(
                    "SELECT id FROM mailbox WHERE mailbox = ?1",
                    [mailbox.as_bytes()],
                    |row| row.get(0),
                )
                .optional()?;
            number.map_or(Ok(()), |number| remove_mailbox(c, number))?;
            // FTS5: what a removed row had stays in its segment until that is merged.
            c.execute("INSERT INTO text (text) VALUES ('optimize')", [])?;
            Ok(())
        })?;
        self.scrub()
    }

    /// Gives back the room of what was removed, and its octets.
    pub(crate) fn scrub(&self) -> Result<(), ArchiveError> {
        // A reader that was idle holds no snapshot, but maps the file as it was.
        lock(&self.readers).clear();
        scrub(&lock(&self.writer)).map_err(|error| failed(&error))
    }

    /// Merges what many small transactions left, so that a search reads less.
    pub(crate) fn optimize(&self) -> Result<(), ArchiveError> {
        // Piece by piece: whoever marks a message meanwhile does not wait for all of it.
        let mut pages = -MERGE_PAGES;
        loop {
            let changed = self.write(|c| {
                let before = c.total_changes();
                c.execute(
                    "INSERT INTO text (text, rank) VALUES ('merge', ?1)",
                    [pages],
                )?;
                Ok(c.total_changes() - before)
            })?;
            // FTS5: fewer than two changes say that nothing is left to merge.
            if changed < 2 {
                break;
            }
            pages = MERGE_PAGES;
        }
        lock(&self.writer)
            .execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);")
            .map_err(|error| failed(&error))
    }

    /// Octets on disk.
    pub(crate) fn octets(&self) -> u64 {
        let of = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        of(&self.path) + of(&beside(&self.path, "-wal"))
    }

    fn connect(&self) -> Result<Connection, ArchiveError> {
        let connection = open_known(&self.path).map_err(|error| failed(&error))?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|error| failed(&error))?;
        Ok(connection)
    }
}

/// Writes the database anew without its free pages, and empties its log: what was deleted is in
/// neither file then.
///
/// # Errors
/// Also when another process reads all the while.
pub(crate) fn scrub(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")?;
    let busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("another process reads it all the while".to_owned()),
        ));
    }
    Ok(())
}

pub(crate) fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a date stands among the row ids: that of the first message of that second.
pub(crate) fn row_of(seconds: i64) -> i64 {
    // Beyond the year 10000 nothing is a date; before the first that is believed nothing was sent.
    seconds.clamp(FIRST, 253_402_300_800) << SLOT_BITS
}

fn open_known(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Reading the schema is what finds garbage.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
    Ok(connection)
}

fn prepare(path: &Path, connection: &Connection) -> Result<(), ArchiveError> {
    let format: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| failed(&error))?;
    if format > FORMAT {
        return Err(ArchiveError::Database(format!(
            "{} is of format {format}, newer than this program knows ({FORMAT}): use the program that wrote it, or remove the file; it is made anew from the mail",
            path.display()
        )));
    }
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .map_err(|error| ArchiveError::Database(format!("{}: {error}", path.display())))?;
    if format == FORMAT {
        return Ok(());
    }
    let make = || {
        let transaction = connection.unchecked_transaction()?;
        drop_all(&transaction)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    };
    make().map_err(|error| failed(&error))
}

/// Drops what is there, whatever format it has: virtual tables first, which take their own along.
fn drop_all(connection: &Connection) -> rusqlite::Result<()> {
    for kind in ["sql LIKE 'CREATE VIRTUAL%'", "type = 'table'"] {
        let names: Vec<String> = connection
            .prepare(&format!(
                "SELECT name FROM sqlite_schema WHERE {kind} AND name NOT LIKE 'sqlite_%'"
            ))?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for name in names {
            let quoted = name.replace('"', "\"\"");
            connection.execute_batch(&format!("DROP TABLE IF EXISTS \"{quoted}\""))?;
        }
    }
    Ok(())
}

fn is_garbage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn discard(path: &Path) -> Result<(), ArchiveError> {
    for path in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ArchiveError::Database(format!(
                    "cannot remove {}: {error}",
                    path.display()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn guard(path: &Path) -> Result<File, ArchiveError> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let locked = options.open(path).and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|error| {
        ArchiveError::Database(format!(
            "cannot lock {}: {error}; check who owns the data folder",
            path.display()
        ))
    })
}

/// A number that is never negative: SQLite's integers are signed.
pub(crate) fn unsigned(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get(at)
        .map(|number: i64| u64::try_from(number).unwrap_or(0))
}
