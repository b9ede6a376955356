//! Devices and settings in `state.db`, and whether any of it has changed under a running session.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rusqlite::{OptionalExtension, Row, params};

use super::{State, broken, lock, octets};
use crate::limits::{DEVICES_PER_USER, HELLO_OCTETS, LOOK_INTERVAL, SEEN_INTERVAL};
use crate::{Device, DirectoryError};

/// Counts what happened to users and devices, in this process and in others.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: AtomicU64,
    looked: Mutex<Option<(Instant, i64)>>,
}

impl Changes {
    /// This process has changed something.
    pub(crate) fn own(&self) {
        self.count.fetch_add(1, Ordering::Release);
    }
}

/// A device as it stands in the database.
#[derive(Debug, Clone)]
pub(crate) struct DeviceRow {
    pub(crate) id: i64,
    pub(crate) hash: Option<Arc<str>>,
    pub(crate) hint: Option<i64>,
    pub(crate) floor: Option<String>,
    pub(crate) collected: Option<String>,
    pub(crate) device: Device,
}

const DEVICE: &str = "SELECT id, name, hash, hint, added_ms, seen_ms, address, hello, window,
    floor, collected, user FROM device WHERE ";

fn device(row: &Row<'_>) -> rusqlite::Result<DeviceRow> {
    let hash: Option<String> = row.get(2)?;
    let ms = |at: usize| row.get::<_, Option<i64>>(at).map(octets);
    Ok(DeviceRow {
        id: row.get(0)?,
        hint: row.get(3)?,
        floor: row.get(9)?,
        collected: row.get(10)?,
        device: Device {
            user: row.get(11)?,
            name: row.get(1)?,
            has_password: hash.is_some(),
            added_ms: ms(4)?.unwrap_or(0),
            seen_ms: ms(5)?,
            address: row.get(6)?,
            hello: row.get(7)?,
            window: ms(8)?,
        },
        hash: hash.map(Arc::from),
    })
}

/// The first octets of a text, not cutting a letter.
fn head(text: &str) -> &str {
    let mut end = text.len().min(HELLO_OCTETS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl State {
    fn asked<T>(&self, answer: rusqlite::Result<T>) -> Result<T, DirectoryError> {
        answer.map_err(|error| broken(&self.path, &error))
    }

    /// The devices of a user, or of all, by name.
    pub(crate) fn devices(&self, user: Option<&str>) -> Result<Vec<DeviceRow>, DirectoryError> {
        let connection = self.connection();
        let read = || {
            let mut statement = connection.prepare_cached(&format!(
                "{DEVICE} ?1 IS NULL OR user = ?1 ORDER BY user, name"
            ))?;
            let rows = statement.query_map([user], device)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        self.asked(read())
    }

    /// A user's device of that name.
    pub(crate) fn device(
        &self,
        user: &str,
        name: &str,
    ) -> Result<Option<DeviceRow>, DirectoryError> {
        let connection = self.connection();
        let found = connection
            .prepare_cached(&format!("{DEVICE} user = ?1 AND name = ?2"))
            .and_then(|mut ask| ask.query_row([user, name], device).optional());
        self.asked(found)
    }

    /// Those of a user's devices whose own password may be the one with that hint.
    pub(crate) fn devices_by_hint(
        &self,
        user: &str,
        hint: i64,
    ) -> Result<Vec<DeviceRow>, DirectoryError> {
        let connection = self.connection();
        let read = || {
            let mut statement =
                connection.prepare_cached(&format!("{DEVICE} user = ?1 AND hint = ?2"))?;
            let rows = statement.query_map(params![user, hint], device)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        self.asked(read())
    }

    /// Makes a device; `password` is the hash and hint of its own one.
    pub(crate) fn add_device(
        &self,
        user: &str,
        name: &str,
        password: Option<(&str, i64)>,
    ) -> Result<(), DirectoryError> {
        let most = DEVICES_PER_USER as i64;
        let added = self.change(
            "INSERT INTO device (user, name, hash, hint, added_ms)
             SELECT ?1, ?2, ?3, ?4, CAST(unixepoch('subsec') * 1000 AS INTEGER)
             WHERE (SELECT count(*) FROM device WHERE user = ?1) < ?5
             ON CONFLICT DO NOTHING",
            params![
                user,
                name,
                password.map(|p| p.0),
                password.map(|p| p.1),
                most
            ],
        )?;
        if added {
            return Ok(());
        }
        Err(match self.device(user, name)? {
            Some(_) => DirectoryError::DeviceExists(name.to_owned()),
            None => DirectoryError::TooManyDevices(user.to_owned()),
        })
    }

    /// Under a new id: sessions that were opened with the old password are another device's from now on.
    pub(crate) fn set_device_hash(
        &self,
        user: &str,
        name: &str,
        (hash, hint): (&str, i64),
    ) -> Result<(), DirectoryError> {
        let statement = "INSERT OR REPLACE INTO device
                 (user, name, hash, hint, added_ms, seen_ms, address, hello, window, floor, collected)
             SELECT user, name, ?3, ?4, added_ms, seen_ms, address, hello, window, floor, collected
             FROM device WHERE user = ?1 AND name = ?2";
        let renewed = self.change(statement, params![user, name, hash, hint])?;
        self.changes.own();
        found(renewed, name)
    }

    /// A window begins anew with each new size.
    pub(crate) fn set_window(
        &self,
        user: &str,
        name: &str,
        window: Option<u64>,
    ) -> Result<(), DirectoryError> {
        let statement = "UPDATE device SET window = ?3, floor = NULL, collected = NULL
             WHERE user = ?1 AND name = ?2";
        let window = window.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        found(self.change(statement, params![user, name, window])?, name)
    }

    pub(crate) fn move_window(
        &self,
        id: i64,
        floor: Option<&str>,
        collected: Option<&str>,
    ) -> Result<(), DirectoryError> {
        let statement = "UPDATE device SET floor = coalesce(?2, floor),
             collected = coalesce(?3, collected) WHERE id = ?1";
        self.change(statement, params![id, floor, collected])
            .map(drop)
    }

    pub(crate) fn remove_device(&self, user: &str, name: &str) -> Result<(), DirectoryError> {
        let statement = "DELETE FROM device WHERE user = ?1 AND name = ?2";
        let removed = self.change(statement, params![user, name])?;
        self.changes.own();
        found(removed, name)
    }

    pub(crate) fn see_device(
        &self,
        id: i64,
        now_ms: u64,
        address: &str,
        hello: &str,
    ) -> Result<(), DirectoryError> {
        let due = now_ms.saturating_sub(SEEN_INTERVAL.as_millis() as u64);
        let seen = lock(&self.light)
            .prepare_cached(
                "UPDATE device SET seen_ms = ?2, address = ?3, hello = ?4 WHERE id = ?1
                 AND (seen_ms IS NULL OR seen_ms < ?5 OR address IS NOT ?3 OR hello IS NOT ?4)",
            )
            .and_then(|mut change| {
                change.execute(params![
                    id,
                    now_ms as i64,
                    head(address),
                    head(hello),
                    due as i64
                ])
            });
        self.asked(seen).map(drop)
    }

    /// Whether a device is still there.
    pub(crate) fn has_device(&self, id: i64) -> Result<bool, DirectoryError> {
        let connection = self.connection();
        let found = connection
            .prepare_cached("SELECT 1 FROM device WHERE id = ?1")
            .and_then(|mut ask| ask.exists([id]));
        self.asked(found)
    }

    /// A number that is another one after something changed. What other processes did counts after
    /// [`LOOK_INTERVAL`] at the latest, and at once if `now` says so.
    pub(crate) fn count_changes(&self, now: bool) -> Result<u64, DirectoryError> {
        let changes = &self.changes;
        let mut looked = changes
            .looked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if now || looked.is_none_or(|(at, _)| at.elapsed() >= LOOK_INTERVAL) {
            let version = self
                .connection()
                .pragma_query_value(None, "data_version", |row| row.get(0));
            let version: i64 = self.asked(version)?;
            if looked.is_some_and(|(_, before)| before != version) {
                changes.own();
            }
            *looked = Some((Instant::now(), version));
        }
        Ok(changes.count.load(Ordering::Acquire))
    }

    /// All that is set for a user.
    pub(crate) fn settings(&self, user: &str) -> Result<BTreeMap<String, String>, DirectoryError> {
        let connection = self.connection();
        let read = || {
            let mut statement =
                connection.prepare_cached("SELECT key, value FROM setting WHERE user = ?1")?;
            let rows = statement.query_map([user], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<BTreeMap<_, _>>>()
        };
        self.asked(read())
    }

    pub(crate) fn set_setting(
        &self,
        user: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), DirectoryError> {
        match value {
            Some(value) => self.change(
                "INSERT INTO setting (user, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET value = ?3",
                params![user, key, value],
            ),
            None => self.change(
                "DELETE FROM setting WHERE user = ?1 AND key = ?2",
                params![user, key],
            ),
        }
        .map(drop)
    }
}

fn found(changed: bool, name: &str) -> Result<(), DirectoryError> {
    if changed {
        Ok(())
    } else {
        Err(DirectoryError::NoDevice(name.to_owned()))
    }
}
