//! Of each remote unique-id: what the ledger in the store does not say, and the whole ledger of
//! destinations that are not our store.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::account::{aside, signed, unsigned};
use super::{State, failed};
use crate::fetch::limits::RECOGNISE;
use crate::fetch::{Aside, FetchError};

/// A line of the ledger of a destination that is not our store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fetch) struct Stored {
    pub(in crate::fetch) remote_id: Vec<u8>,
    pub(in crate::fetch) received_ms: u64,
    pub(in crate::fetch) size: u64,
    /// `None`: only seen, by another fetcher.
    pub(in crate::fetch) digest: Option<[u8; 32]>,
    /// Digest of the header.
    pub(in crate::fetch) header: Option<[u8; 16]>,
}

/// An id that the server lists no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fetch) struct Vanished {
    pub(in crate::fetch) remote_id: Vec<u8>,
    pub(in crate::fetch) digest: Option<[u8; 32]>,
}

/// An account's part of the tables, for one target.
#[derive(Debug, Clone, Copy)]
pub(in crate::fetch) struct Remote<'a> {
    state: &'a State,
    account: &'a str,
    target: &'a str,
}

impl State {
    pub(in crate::fetch) const fn remote<'a>(
        &'a self,
        account: &'a str,
        target: &'a str,
    ) -> Remote<'a> {
        Remote {
            state: self,
            account,
            target,
        }
    }
}

type Outcome<T> = Result<T, FetchError>;

impl Remote<'_> {
    /// Notes a failure.
    pub(in crate::fetch) fn set_aside(
        self,
        remote: &[u8],
        error: &str,
        now: u64,
    ) -> Outcome<Aside> {
        let connection = self.state.connection();
        let noted = connection.query_row(
            "INSERT INTO fetch_aside (account, target, remote, error, tries, first_ms, last_ms)
             VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5)
             ON CONFLICT DO UPDATE SET error = ?4, tries = tries + 1, last_ms = ?5
             RETURNING remote, error, tries, first_ms, last_ms",
            params![self.account, self.target, remote, error, signed(now)],
            aside,
        );
        noted.map_err(|error| failed(&error))
    }

    /// The ids that are set aside.
    pub(in crate::fetch) fn asides(self) -> Outcome<Vec<Vec<u8>>> {
        self.ids(
            "SELECT remote FROM fetch_aside WHERE account = ?1 AND target = ?2",
            0,
        )
    }

    /// Takes ids out of what is set aside, and out of the headers.
    pub(in crate::fetch) fn clear(self, ids: &[Vec<u8>]) -> Outcome<()> {
        self.each(
            &[
                "DELETE FROM fetch_aside WHERE account = ?1 AND target = ?2 AND remote = ?3",
                "DELETE FROM fetch_header WHERE account = ?1 AND target = ?2 AND remote = ?3",
            ],
            ids,
        )
    }

    /// How many ids have vanished.
    pub(in crate::fetch) fn vanished_count(self) -> Outcome<u64> {
        let connection = self.state.connection();
        let count = connection.query_row(
            "SELECT count(*) FROM fetch_vanished WHERE account = ?1 AND target = ?2",
            [self.account, self.target],
            |row| row.get(0),
        );
        count.map(unsigned).map_err(|error| failed(&error))
    }

    /// Since when each id has vanished.
    pub(in crate::fetch) fn vanished_since(self, ids: &[Vec<u8>]) -> Outcome<Vec<Option<u64>>> {
        let connection = self.state.connection();
        let read = || {
            let mut statement = connection.prepare_cached(
                "SELECT since_ms FROM fetch_vanished
                 WHERE account = ?1 AND target = ?2 AND remote = ?3",
            )?;
            ids.iter()
                .map(|id| {
                    let since = statement
                        .query_row(params![self.account, self.target, id], |row| row.get(0));
                    since.optional().map(|since| since.map(unsigned))
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| failed(&error))
    }

    /// Ids that have vanished and whose messages' digests are known, the latest first.
    pub(in crate::fetch) fn vanished_ids(self, max: usize) -> Outcome<Vec<Vec<u8>>> {
        let connection = self.state.connection();
        let read = || {
            let mut statement = connection.prepare_cached(
                "SELECT remote FROM fetch_vanished
                 WHERE account = ?1 AND target = ?2 AND digest IS NOT NULL
                 ORDER BY since_ms DESC LIMIT ?3",
            )?;
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let rows =
                statement.query_map(params![self.account, self.target, max], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| failed(&error))
    }

    /// The ids that vanished, by the digests of their messages.
    pub(in crate::fetch) fn vanished_by_digest(self) -> Outcome<HashMap<[u8; 32], Vec<u8>>> {
        let connection = self.state.connection();
        let read = || {
            let mut statement = connection.prepare_cached(
                "SELECT digest, remote FROM fetch_vanished
                 WHERE account = ?1 AND target = ?2 AND digest IS NOT NULL
                 ORDER BY since_ms DESC LIMIT ?3",
            )?;
            let values = params![self.account, self.target, RECOGNISE as i64];
            let rows = statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<HashMap<_, _>>>()
        };
        read().map_err(|error| failed(&error))
    }

    /// Ids of messages of which there is only the header.
    pub(in crate::fetch) fn headers(self) -> Outcome<Vec<Vec<u8>>> {
        self.ids(
            "SELECT remote FROM fetch_header WHERE account = ?1 AND target = ?2",
            0,
        )
    }

    /// Notes ids that are listed no more; those noted already keep their time.
    pub(in crate::fetch) fn vanish(self, gone: &[Vanished], now: u64) -> Outcome<()> {
        if gone.is_empty() {
            return Ok(());
        }
        self.change(|change| {
            let mut statement = change.prepare_cached(
                "INSERT INTO fetch_vanished (account, target, remote, since_ms, digest)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?;
            for one in gone {
                statement.execute(params![
                    self.account,
                    self.target,
                    one.remote_id,
                    signed(now),
                    one.digest
                ])?;
            }
            Ok(())
        })
    }

    /// These are listed again.
    pub(in crate::fetch) fn unvanish(self, ids: &[Vec<u8>]) -> Outcome<()> {
        self.each(
            &["DELETE FROM fetch_vanished WHERE account = ?1 AND target = ?2 AND remote = ?3"],
            ids,
        )
    }

    /// Ids that have been gone since before that time.
    pub(in crate::fetch) fn expired(self, before_ms: u64) -> Outcome<Vec<Vec<u8>>> {
        self.ids(
            "SELECT remote FROM fetch_vanished
             WHERE account = ?1 AND target = ?2 AND since_ms < ?3 LIMIT 10000",
            before_ms,
        )
    }

    /// What the ledger of another destination says of each id.
    pub(in crate::fetch) fn stored(self, ids: &[Vec<u8>]) -> Outcome<Vec<Option<Stored>>> {
        let connection = self.state.connection();
        let read = || {
            let mut statement = connection.prepare_cached(
                "SELECT remote, received_ms, size, digest, header FROM fetch_stored
                 WHERE account = ?1 AND target = ?2 AND remote = ?3",
            )?;
            ids.iter()
                .map(|id| {
                    statement
                        .query_row(params![self.account, self.target, id], stored)
                        .optional()
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| failed(&error))
    }

    /// A page of that ledger.
    pub(in crate::fetch) fn stored_page(self, after: &[u8], max: usize) -> Outcome<Vec<Stored>> {
        let connection = self.state.connection();
        let read = || {
            let mut statement = connection.prepare_cached(
                "SELECT remote, received_ms, size, digest, header FROM fetch_stored
                 WHERE account = ?1 AND target = ?2 AND remote > ?3 ORDER BY remote LIMIT ?4",
            )?;
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let rows =
                statement.query_map(params![self.account, self.target, after, max], stored)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| failed(&error))
    }

    /// Adds to that ledger, durably. Of an id that is there already, a seen one gets its facts.
    pub(in crate::fetch) fn put_stored(self, lines: &[Stored]) -> Outcome<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.change(|change| {
            let mut statement = change.prepare_cached(
                "INSERT INTO fetch_stored
                     (account, target, remote, received_ms, size, digest, header)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET received_ms = ?4, size = ?5, digest = ?6, header = ?7
                 WHERE ?6 IS NOT NULL",
            )?;
            for line in lines {
                statement.execute(params![
                    self.account,
                    self.target,
                    line.remote_id,
                    signed(line.received_ms),
                    signed(line.size),
                    line.digest,
                    line.header
                ])?;
            }
            Ok(())
        })
    }

    /// Takes ids out of that ledger.
    pub(in crate::fetch) fn drop_stored(self, ids: &[Vec<u8>]) -> Outcome<()> {
        self.each(
            &["DELETE FROM fetch_stored WHERE account = ?1 AND target = ?2 AND remote = ?3"],
            ids,
        )
    }

    /// The id under which the message is in the ledger, for an id that is only seen.
    pub(in crate::fetch) fn twin(self, id: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let connection = self.state.connection();
        let found = connection
            .prepare_cached(
                "SELECT twin FROM fetch_twin WHERE account = ?1 AND target = ?2 AND remote = ?3",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![self.account, self.target, id], |row| row.get(0))
                    .optional()
            });
        found.map_err(|error| failed(&error))
    }

    pub(in crate::fetch) fn put_twins(self, twins: &[(Vec<u8>, Vec<u8>)]) -> Outcome<()> {
        if twins.is_empty() {
            return Ok(());
        }
        self.change(|change| {
            let mut statement = change.prepare_cached(
                "INSERT INTO fetch_twin (account, target, remote, twin) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET twin = ?4",
            )?;
            for (id, twin) in twins {
                statement.execute(params![self.account, self.target, id, twin])?;
            }
            Ok(())
        })
    }

    pub(in crate::fetch) fn put_header(
        self,
        id: &[u8],
        octets: u64,
        header: &[u8],
        now: u64,
    ) -> Outcome<()> {
        self.state.execute(
            "INSERT INTO fetch_header (account, target, remote, octets, first_ms, header)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![
                self.account,
                self.target,
                id,
                signed(octets),
                signed(now),
                header
            ],
        )
    }

    fn ids(self, statement: &str, before_ms: u64) -> Outcome<Vec<Vec<u8>>> {
        let connection = self.state.connection();
        let read = || {
            let mut statement = connection.prepare_cached(statement)?;
            let before = signed(before_ms);
            let values: [&dyn rusqlite::ToSql; 3] = [&self.account, &self.target, &before];
            let used = statement.parameter_count();
            let rows = statement.query_map(&values[..used], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| failed(&error))
    }

    fn each(self, statements: &[&str], ids: &[Vec<u8>]) -> Outcome<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.change(|change| {
            for statement in statements {
                let mut statement = change.prepare_cached(statement)?;
                for id in ids {
                    statement.execute(params![self.account, self.target, id])?;
                }
            }
            Ok(())
        })
    }

    fn change(self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Outcome<()> {
        let mut connection = self.state.connection();
        let write = || {
            let change = connection.transaction()?;
            work(&change)?;
            change.commit()
        };
        write().map_err(|error: rusqlite::Error| failed(&error))
    }
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        remote_id: row.get(0)?,
        received_ms: unsigned(row.get(1)?),
        size: unsigned(row.get(2)?),
        digest: row.get(3)?,
        header: row.get(4)?,
    })
}
