//! What nothing can make anew, in `state.db`: tables `archive_*`.

use std::sync::{Mutex, MutexGuard};

use restante_store::MailboxId;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::ArchiveError;
use crate::error::state as failed;
use crate::index::{lock, scrub};

/// What this program writes; newer tables are refused.
const FORMAT: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE archive_format (format INTEGER NOT NULL, ruled_ms INTEGER NOT NULL) STRICT;
    INSERT INTO archive_format VALUES (1, 0);
    CREATE TABLE archive_mark (
        uid BLOB PRIMARY KEY,
        mailbox BLOB NOT NULL,
        flags INTEGER NOT NULL,
        junk INTEGER,
        labels TEXT NOT NULL,
        change INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX archive_mark_change ON archive_mark (change);
    CREATE TABLE archive_rule (
        id INTEGER PRIMARY KEY,
        mailbox BLOB NOT NULL,
        name TEXT NOT NULL,
        query TEXT NOT NULL,
        action TEXT NOT NULL,
        label TEXT
    ) STRICT;
    CREATE TABLE archive_wanted (mailbox BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE archive_unsubscribed (
        mailbox BLOB NOT NULL,
        kind INTEGER NOT NULL,
        key TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        done INTEGER NOT NULL,
        said TEXT NOT NULL,
        PRIMARY KEY (mailbox, kind, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE archive_trusted (
        mailbox BLOB NOT NULL,
        address TEXT NOT NULL,
        PRIMARY KEY (mailbox, address)
    ) STRICT, WITHOUT ROWID;";

/// What format 2 brought: threads that other programs name.
const SCHEMA_2: &str = "
    ALTER TABLE archive_mark ADD COLUMN thread TEXT;
    UPDATE archive_format SET format = 2;";

/// `state.db`, open.
#[derive(Debug)]
pub(crate) struct State {
    connection: Mutex<Connection>,
}

impl State {
    pub(crate) fn open(connection: Connection) -> Result<Self, ArchiveError> {
        let state = Self {
            connection: Mutex::new(connection),
        };
        let format = state.write(|c| {
            let there: bool = c.query_row(
                "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'archive_format')",
                [],
                |row| row.get(0),
            )?;
            if !there {
                c.execute_batch(SCHEMA)?;
            }
            let format = c.query_row("SELECT format FROM archive_format", [], |row| {
                row.get::<_, i64>(0)
            })?;
            if format == 1 {
                c.execute_batch(SCHEMA_2)?;
            }
            Ok(format)
        })?;
        if format > FORMAT {
            return Err(ArchiveError::Database(format!(
                "state.db: the archive's tables are of format {format}, newer than this program knows ({FORMAT}): use the program that wrote them"
            )));
        }
        Ok(state)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.connection)
    }

    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        work(&self.connection()).map_err(|error| failed(&error))
    }

    /// Forgets all that was said of a mailbox, its octets in the file included.
    pub(crate) fn erase(&self, mailbox: MailboxId) -> Result<(), ArchiveError> {
        self.write(|c| {
            for table in ["mark", "rule", "wanted", "unsubscribed", "trusted"] {
                c.execute(
                    &format!("DELETE FROM archive_{table} WHERE mailbox = ?1"),
                    [mailbox.as_bytes()],
                )?;
            }
            Ok(())
        })?;
        scrub(&self.connection()).map_err(|error| failed(&error))
    }

    /// Writes; all or nothing, durable when it returns.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, ArchiveError> {
        let mut connection = self.connection();
        let run = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|error: rusqlite::Error| failed(&error))
    }
}
