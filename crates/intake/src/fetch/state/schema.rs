//! The tables. They have a version of their own; `user_version` is the directory's.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// What this program writes; a newer one is refused.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE fetch_format (version INTEGER NOT NULL) STRICT;
    INSERT INTO fetch_format VALUES (1);
    -- One row an account. present: ids of the ledger that the server lists, if that is known.
    CREATE TABLE fetch_account (
        account TEXT PRIMARY KEY,
        last_start_ms INTEGER,
        last_success_ms INTEGER,
        error_kind INTEGER,
        error TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        next_run_ms INTEGER,
        pause_until_ms INTEGER,
        pause_reason TEXT,
        pause_reply TEXT,
        stored INTEGER NOT NULL DEFAULT 0,
        deleted INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    -- One row an account and target. unfinished: a run has begun and not ended in order.
    CREATE TABLE fetch_target (
        account TEXT NOT NULL,
        target TEXT NOT NULL,
        unique_ids INTEGER NOT NULL DEFAULT 0,
        unfinished INTEGER NOT NULL DEFAULT 0,
        present INTEGER,
        PRIMARY KEY (account, target)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE fetch_day (
        account TEXT NOT NULL,
        day INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        PRIMARY KEY (account, day)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE fetch_aside (
        account TEXT NOT NULL,
        target TEXT NOT NULL,
        remote BLOB NOT NULL,
        error TEXT NOT NULL,
        tries INTEGER NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        PRIMARY KEY (account, target, remote)
    ) STRICT, WITHOUT ROWID;
    -- Ids of the ledger that the server lists no more.
    CREATE TABLE fetch_vanished (
        account TEXT NOT NULL,
        target TEXT NOT NULL,
        remote BLOB NOT NULL,
        since_ms INTEGER NOT NULL,
        digest BLOB,
        PRIMARY KEY (account, target, remote)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fetch_vanished_since ON fetch_vanished (account, target, since_ms);
    -- The ledger of destinations that are not our store; digest NULL: only seen.
    CREATE TABLE fetch_stored (
        account TEXT NOT NULL,
        target TEXT NOT NULL,
        remote BLOB NOT NULL,
        received_ms INTEGER NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB,
        header BLOB,
        PRIMARY KEY (account, target, remote)
    ) STRICT, WITHOUT ROWID;
    -- A seen id that is the message which the ledger knows as twin.
    CREATE TABLE fetch_twin (
        account TEXT NOT NULL,
        target TEXT NOT NULL,
        remote BLOB NOT NULL,
        twin BLOB NOT NULL,
        PRIMARY KEY (account, target, remote)
    ) STRICT, WITHOUT ROWID;
    -- Headers of messages that are larger than max_size. They count for nothing.
    CREATE TABLE fetch_header (
        account TEXT NOT NULL,
        target TEXT NOT NULL,
        remote BLOB NOT NULL,
        octets INTEGER NOT NULL,
        first_ms INTEGER NOT NULL,
        header BLOB NOT NULL,
        PRIMARY KEY (account, target, remote)
    ) STRICT, WITHOUT ROWID;
    -- Servers that cannot take pipelined commands.
    CREATE TABLE fetch_servers (
        server TEXT PRIMARY KEY,
        since_ms INTEGER NOT NULL,
        why TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;";

/// Whether the tables are there, in a version that is known.
pub(super) fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    let table = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE name = 'fetch_format'",
            [],
            |_| Ok(()),
        )
        .optional()?;
    if table.is_none() {
        return Ok(false);
    }
    let version: i64 =
        connection.query_row("SELECT version FROM fetch_format", [], |row| row.get(0))?;
    if version > FORMAT {
        return Err(rusqlite::Error::ToSqlConversionFailure(
            format!("fetching's tables are of format {version}, newer than this program knows ({FORMAT})")
                .into(),
        ));
    }
    Ok(true)
}

/// Makes the tables if they are not there.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // Immediate: two processes that start at once must not both find none.
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !is_there(&change)? {
        change.execute_batch(SCHEMA)?;
    }
    change.commit()
}
