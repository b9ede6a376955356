//! Of each account: how its fetches went, when it goes on, what it has done today.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{AccountStatus, State, failed};
use crate::fetch::{Aside, FetchError, Kind, Pause, PauseReason, Summary};

/// What a run finds of its account and target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::fetch) struct Facts {
    /// The server has given unique-ids before.
    pub(in crate::fetch) unique_ids: bool,
    /// The run before this one broke off.
    pub(in crate::fetch) unfinished: bool,
    /// Ids of the ledger that the server listed after the last run; `None`: nobody knows.
    pub(in crate::fetch) present: Option<u64>,
}

const KINDS: [Kind; 6] = [
    Kind::Unavailable,
    Kind::Io,
    Kind::Temporary,
    Kind::Protocol,
    Kind::Permission,
    Kind::Configuration,
];

impl State {
    /// The accounts of which something is known, by name.
    pub fn accounts(&self) -> Result<Vec<AccountStatus>, FetchError> {
        let connection = self.connection();
        let read = || {
            let mut statement = connection.prepare_cached(
                "SELECT account, last_start_ms, last_success_ms, error_kind, error, failures,
                        next_run_ms, pause_until_ms, pause_reason, pause_reply, stored, deleted
                 FROM fetch_account ORDER BY account",
            )?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(status(&connection, row)?);
            }
            Ok(found)
        };
        read().map_err(|error| failed(&error))
    }

    /// What is known of an account.
    pub fn account(&self, name: &str) -> Result<Option<AccountStatus>, FetchError> {
        let all = self.accounts()?;
        Ok(all.into_iter().find(|status| status.account == name))
    }

    /// Notes when the account is fetched next.
    pub fn set_next_run(&self, account: &str, at_ms: Option<u64>) -> Result<(), FetchError> {
        self.execute(
            "INSERT INTO fetch_account (account, next_run_ms) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET next_run_ms = ?2",
            params![account, at_ms.map(signed)],
        )
    }

    /// Forgets an account that is fetched no more: what it waits for, what was set aside. The ledger
    /// stays, so that the account can come back.
    pub fn forget_account(&self, account: &str) -> Result<(), FetchError> {
        for table in ["fetch_account", "fetch_aside", "fetch_day", "fetch_header"] {
            let statement = format!("DELETE FROM {table} WHERE account = ?1");
            self.execute(&statement, params![account])?;
        }
        Ok(())
    }

    pub(in crate::fetch) fn facts(&self, account: &str, target: &str) -> Result<Facts, FetchError> {
        let connection = self.connection();
        let found = connection
            .query_row(
                "SELECT unique_ids, unfinished, present FROM fetch_target
                 WHERE account = ?1 AND target = ?2",
                [account, target],
                |row| {
                    Ok(Facts {
                        unique_ids: row.get(0)?,
                        unfinished: row.get(1)?,
                        present: row.get::<_, Option<i64>>(2)?.map(unsigned),
                    })
                },
            )
            .optional();
        Ok(found.map_err(|error| failed(&error))?.unwrap_or_default())
    }

    /// A run begins. Until [`State::finished`] it counts as broken off.
    pub(in crate::fetch) fn begin(
        &self,
        account: &str,
        target: &str,
        now_ms: u64,
    ) -> Result<(), FetchError> {
        let mut connection = self.connection();
        let mut write = || {
            let change = connection.transaction()?;
            change.execute(
                "INSERT INTO fetch_account (account, last_start_ms) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET last_start_ms = ?2",
                params![account, signed(now_ms)],
            )?;
            change.execute(
                "INSERT INTO fetch_target (account, target, unfinished) VALUES (?1, ?2, 1)
                 ON CONFLICT DO UPDATE SET unfinished = 1",
                [account, target],
            )?;
            change.commit()
        };
        write().map_err(|error: rusqlite::Error| failed(&error))
    }

    /// A session's work is done: what is said here holds from before QUIT on.
    pub(in crate::fetch) fn finished(
        &self,
        account: &str,
        target: &str,
        unique_ids: bool,
        present: Option<u64>,
    ) -> Result<(), FetchError> {
        self.execute(
            "UPDATE fetch_target SET unfinished = 0, unique_ids = unique_ids OR ?3, present = ?4
             WHERE account = ?1 AND target = ?2",
            params![account, target, unique_ids, present.map(signed)],
        )
    }

    /// How a run ended.
    pub(in crate::fetch) fn ended(
        &self,
        account: &str,
        now_ms: u64,
        counted: &Summary,
        error: Option<&FetchError>,
    ) -> Result<(), FetchError> {
        let success = error.is_none() && counted.pause.is_none();
        let pause = counted.pause.as_ref();
        let kind = error.map(|error| {
            let at = KINDS.iter().position(|kind| *kind == error.kind());
            at.unwrap_or_default() as i64
        });
        self.execute(
            "UPDATE fetch_account SET
                last_success_ms = CASE WHEN ?2 THEN ?3 ELSE last_success_ms END,
                failures = CASE WHEN ?4 IS NULL THEN 0 ELSE failures + 1 END,
                error_kind = ?4, error = ?5,
                pause_until_ms = ?6, pause_reason = ?7, pause_reply = ?8,
                stored = stored + ?9, deleted = deleted + ?10
             WHERE account = ?1",
            params![
                account,
                success,
                signed(now_ms),
                kind,
                error.map(ToString::to_string),
                pause.map(|pause| signed(pause.until_ms)),
                pause.map(|pause| pause.reason.name()),
                pause.and_then(|pause| pause.reply.clone()),
                signed(counted.stored),
                signed(counted.deleted),
            ],
        )
    }

    /// Messages that the account has downloaded on a day.
    pub(in crate::fetch) fn day_count(&self, account: &str, day: u64) -> Result<u64, FetchError> {
        let count = self.connection().query_row(
            "SELECT coalesce(sum(messages), 0) FROM fetch_day WHERE account = ?1 AND day = ?2",
            params![account, signed(day)],
            |row| row.get(0),
        );
        count.map(unsigned).map_err(|error| failed(&error))
    }

    /// Counts downloads of a day, and forgets older days.
    pub(in crate::fetch) fn count_day(
        &self,
        account: &str,
        day: u64,
        messages: u64,
    ) -> Result<(), FetchError> {
        let mut connection = self.connection();
        let mut write = || {
            let change = connection.transaction()?;
            change.execute(
                "DELETE FROM fetch_day WHERE account = ?1 AND day < ?2",
                params![account, signed(day)],
            )?;
            change.execute(
                "INSERT INTO fetch_day (account, day, messages) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET messages = messages + ?3",
                params![account, signed(day), signed(messages)],
            )?;
            change.commit()
        };
        write().map_err(|error: rusqlite::Error| failed(&error))
    }

    /// Whether a server is known not to take pipelined commands; what is older than `since_ms` is
    /// tried again.
    pub(in crate::fetch) fn is_depth_one(
        &self,
        server: &str,
        since_ms: u64,
    ) -> Result<bool, FetchError> {
        let found = self.connection().query_row(
            "SELECT EXISTS (SELECT 1 FROM fetch_servers WHERE server = ?1 AND since_ms >= ?2)",
            params![server, signed(since_ms)],
            |row| row.get(0),
        );
        found.map_err(|error| failed(&error))
    }

    pub(in crate::fetch) fn remember_depth_one(
        &self,
        server: &str,
        now_ms: u64,
        why: &str,
    ) -> Result<(), FetchError> {
        self.execute(
            "INSERT INTO fetch_servers (server, since_ms, why) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET since_ms = ?2, why = ?3",
            params![server, signed(now_ms), why],
        )
    }

    pub(super) fn execute(
        &self,
        statement: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<(), FetchError> {
        let connection = self.connection();
        let done = connection
            .prepare_cached(statement)
            .and_then(|mut statement| statement.execute(values));
        done.map(drop).map_err(|error| failed(&error))
    }
}

fn status(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<AccountStatus> {
    let ms = |at| row.get::<_, Option<i64>>(at).map(|ms| ms.map(unsigned));
    let account: String = row.get(0)?;
    let kind = row
        .get::<_, Option<i64>>(3)?
        .and_then(|at| KINDS.get(usize::try_from(at).ok()?).copied());
    let reason: Option<String> = row.get(8)?;
    let reason = reason.and_then(|name| PauseReason::of_name(&name));
    let mut asides = connection.prepare_cached(
        "SELECT remote, error, tries, first_ms, last_ms FROM fetch_aside
         WHERE account = ?1 ORDER BY first_ms, remote",
    )?;
    let set_aside = asides.query_map([&account], aside)?;
    Ok(AccountStatus {
        last_start_ms: ms(1)?,
        last_success_ms: ms(2)?,
        last_error: kind.zip(row.get(4)?),
        failures: unsigned(row.get(5)?),
        next_run_ms: ms(6)?,
        pause: match (ms(7)?, reason) {
            (Some(until_ms), Some(reason)) => Some(Pause {
                until_ms,
                reason,
                reply: row.get(9)?,
            }),
            _ => None,
        },
        stored: unsigned(row.get(10)?),
        deleted: unsigned(row.get(11)?),
        set_aside: set_aside.collect::<rusqlite::Result<_>>()?,
        headers_only: connection
            .query_row(
                "SELECT count(*) FROM fetch_header WHERE account = ?1",
                [&account],
                |row| row.get(0),
            )
            .map(unsigned)?,
        account,
    })
}

pub(super) fn aside(row: &Row<'_>) -> rusqlite::Result<Aside> {
    Ok(Aside {
        remote_id: row.get(0)?,
        error: row.get(1)?,
        tries: unsigned(row.get(2)?),
        first_ms: unsigned(row.get(3)?),
        last_ms: unsigned(row.get(4)?),
    })
}

/// SQLite's integers are signed; what is beyond them is as good as the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
