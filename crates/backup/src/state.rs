//! What is remembered of backups, in `state.db`: tables `backup_*`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::backup::now_ms;
use crate::error::{BackupError, Result, sql};
use crate::limits::CHECK_GOOD_FOR;

/// What this program writes; a newer one is refused.
const FORMAT: i64 = 3;

const SCHEMA: &str = "
    CREATE TABLE backup_format (version INTEGER NOT NULL) STRICT;
    INSERT INTO backup_format VALUES (1);
    CREATE TABLE backup_place (
        place TEXT PRIMARY KEY,
        repository TEXT NOT NULL,
        encryption TEXT NOT NULL,
        generation TEXT,
        backup_ms INTEGER,
        messages INTEGER NOT NULL DEFAULT 0,
        octets INTEGER NOT NULL DEFAULT 0,
        backup_error TEXT,
        verify_ms INTEGER,
        verify_error TEXT,
        drill_ms INTEGER,
        drill_error TEXT
    ) STRICT, WITHOUT ROWID;
    -- What the newest verified generation of a place holds: packs by their own ids, up to an octet.
    CREATE TABLE backup_pack (
        place TEXT NOT NULL,
        pack BLOB NOT NULL,
        octets INTEGER NOT NULL,
        PRIMARY KEY (place, pack)
    ) STRICT, WITHOUT ROWID;
    -- Objects that were found damaged: the next backup writes them anew.
    CREATE TABLE backup_bad (
        place TEXT NOT NULL,
        object TEXT NOT NULL,
        PRIMARY KEY (place, object)
    ) STRICT, WITHOUT ROWID;
    -- How far a check has come that was stopped.
    CREATE TABLE backup_checked (
        place TEXT NOT NULL,
        object TEXT NOT NULL,
        PRIMARY KEY (place, object)
    ) STRICT, WITHOUT ROWID;";

/// What format 2 brought: what is wrong although the backup was made.
const SCHEMA_2: &str = "
    ALTER TABLE backup_place ADD COLUMN damage TEXT;
    ALTER TABLE backup_place ADD COLUMN prune_error TEXT;
    -- What the last check of the archive itself found; no row when all of it was right.
    CREATE TABLE backup_archive (damage TEXT NOT NULL) STRICT;
    UPDATE backup_format SET version = 2;";

/// What format 3 brought: when something was checked; what was noted without that is looked at again.
const SCHEMA_3: &str = "
    DROP TABLE backup_checked;
    CREATE TABLE backup_checked (
        place TEXT NOT NULL,
        object TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (place, object)
    ) STRICT, WITHOUT ROWID;
    UPDATE backup_format SET version = 3;";

/// What is remembered. Every method may be called from any thread, and waits for the disk.
#[derive(Debug)]
pub struct State {
    connection: Mutex<Connection>,
}

/// What is known of a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaceStatus {
    /// Its name.
    pub place: String,
    /// The newest generation that was verified after it was written.
    pub generation: Option<String>,
    /// When that was begun, in milliseconds since 1970.
    pub backup_ms: Option<u64>,
    /// Messages in it.
    pub messages: u64,
    /// Octets of packs and `state.db` in it.
    pub octets: u64,
    /// Why the last backup failed; `None` after a good one.
    pub backup_error: Option<String>,
    /// What was damaged in the archive when it was backed up last: the backup has it as it is.
    pub damage: Option<String>,
    /// What the last check of the archive itself found, wherever it is backed up to.
    pub archive_damage: Option<String>,
    /// Why older generations could not be removed after the last backup.
    pub prune_error: Option<String>,
    /// When all of it was found to be right last.
    pub verify_ms: Option<u64>,
    /// What the last check found.
    pub verify_error: Option<String>,
    /// When a drill went well last.
    pub drill_ms: Option<u64>,
    /// What the last drill found.
    pub drill_error: Option<String>,
}

/// A thing that is done with a destination and noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Backup,
    Verify,
    Drill,
}

const FAILED: &str = "what is known of backups (state.db) cannot be read or written";

/// A good backup, to be noted.
pub(crate) struct Done<'a> {
    pub(crate) generation: &'a str,
    pub(crate) at_ms: u64,
    pub(crate) messages: u64,
    pub(crate) octets: u64,
    /// Undamaged packs and up to where they are in it.
    pub(crate) packs: &'a [([u8; 16], u64)],
    /// What was found damaged in the archive.
    pub(crate) damage: &'a [String],
}

impl State {
    /// Opens `state.db` in the data folder, making it if it is not there.
    ///
    /// # Errors
    /// [`BackupError::Io`], also for a file that a newer program wrote.
    pub fn open(data: &Path) -> Result<Self> {
        let mut connection = restante_directory::open_state(&data.join("state.db"))?;
        let change = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql(FAILED))?;
        if format(&change)?.is_none() {
            change.execute_batch(SCHEMA).map_err(sql(FAILED))?;
        }
        bring_up(&change)?;
        change.commit().map_err(sql(FAILED))?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// Opens `state.db` to look; `None` when there is none, or nothing of backups in it.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn look(data: &Path) -> Result<Option<Self>> {
        let path: PathBuf = data.join("state.db");
        if !path.exists() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(sql(FAILED))?;
        connection
            .busy_timeout(std::time::Duration::from_secs(10))
            .map_err(sql(FAILED))?;
        match format(&connection)? {
            None => return Ok(None),
            Some(FORMAT) => {}
            Some(_) => {
                let change = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(sql(FAILED))?;
                bring_up(&change)?;
                change.commit().map_err(sql(FAILED))?;
            }
        }
        Ok(Some(Self {
            connection: Mutex::new(connection),
        }))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, statement: &str, values: &[&dyn rusqlite::ToSql]) -> Result<()> {
        let done = self.connection().execute(statement, values);
        done.map(drop).map_err(sql(FAILED))
    }

    /// All destinations that have been used, by name.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn places(&self) -> Result<Vec<PlaceStatus>> {
        let connection = self.connection();
        let read = || {
            let mut ask = connection.prepare(
                "SELECT place, generation, backup_ms, messages, octets, backup_error, verify_ms,
                     verify_error, drill_ms, drill_error, damage, prune_error,
                     (SELECT damage FROM backup_archive) FROM backup_place ORDER BY place",
            )?;
            let time = |ms: Option<i64>| ms.map(|ms| ms as u64);
            let rows = ask.query_map([], |row| {
                Ok(PlaceStatus {
                    place: row.get(0)?,
                    generation: row.get(1)?,
                    backup_ms: time(row.get(2)?),
                    messages: row.get::<_, i64>(3)? as u64,
                    octets: row.get::<_, i64>(4)? as u64,
                    backup_error: row.get(5)?,
                    verify_ms: time(row.get(6)?),
                    verify_error: row.get(7)?,
                    drill_ms: time(row.get(8)?),
                    drill_error: row.get(9)?,
                    damage: row.get(10)?,
                    prune_error: row.get(11)?,
                    archive_damage: row.get(12)?,
                })
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(sql(FAILED))
    }

    /// The repository that is known at a place, and how it is encrypted.
    pub(crate) fn known(&self, place: &str) -> Result<Option<(String, String)>> {
        self.connection()
            .query_row(
                "SELECT repository, encryption FROM backup_place WHERE place = ?",
                [place],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(sql(FAILED))
    }

    /// Whether a backup ever went well to a repository, wherever it was then.
    pub(crate) fn has_backed_up(&self, repository: &str) -> Result<bool> {
        self.connection()
            .prepare("SELECT 1 FROM backup_place WHERE repository = ? AND generation IS NOT NULL")
            .and_then(|mut ask| ask.exists([repository]))
            .map_err(sql(FAILED))
    }

    /// The last generation at a place that went well.
    pub(crate) fn generation(&self, place: &str) -> Result<Option<String>> {
        self.connection()
            .query_row(
                "SELECT generation FROM backup_place WHERE place = ?",
                [place],
                |row| row.get(0),
            )
            .optional()
            .map(Option::flatten)
            .map_err(sql(FAILED))
    }

    /// Forgets a place, so that it may be begun anew.
    pub(crate) fn forget(&self, place: &str) -> Result<()> {
        for table in [
            "backup_place",
            "backup_pack",
            "backup_bad",
            "backup_checked",
        ] {
            self.change(&format!("DELETE FROM {table} WHERE place = ?"), &[&place])?;
        }
        Ok(())
    }

    /// Notes a place; one with another repository than before is another place.
    pub(crate) fn meet(&self, place: &str, repository: &str, encryption: &str) -> Result<()> {
        if let Some((known, _)) = self.known(place)?
            && known != repository
        {
            self.forget(place)?;
        }
        self.change(
            "INSERT INTO backup_place (place, repository, encryption) VALUES (?1, ?2, ?3)
             ON CONFLICT (place) DO NOTHING",
            params![place, repository, encryption],
        )
    }

    pub(crate) fn failed(&self, place: &str, kind: Kind, what: &str) -> Result<()> {
        let column = match kind {
            Kind::Backup => "backup_error",
            Kind::Verify => "verify_error",
            Kind::Drill => "drill_error",
        };
        self.change(
            &format!("UPDATE backup_place SET {column} = ?2 WHERE place = ?1"),
            params![place, what],
        )
    }

    /// Notes what a check or a drill came to: `damage` is what it has found, `at_ms` when it began. Of a backup that is damaged
    /// nobody may believe that it holds the only copy of anything.
    pub(crate) fn looked_at(
        &self,
        place: &str,
        kind: Kind,
        damage: std::result::Result<&[String], &BackupError>,
        at_ms: u64,
    ) -> Result<()> {
        match damage {
            Ok([]) => self.went_well(place, kind, at_ms),
            Ok(damage) => {
                self.distrust(place)?;
                self.failed(place, kind, &damage.join("; "))
            }
            Err(error) => {
                if matches!(error, BackupError::Damage(_)) {
                    self.distrust(place)?;
                }
                self.failed(place, kind, &error.to_string())
            }
        }
    }

    /// Notes that a check or a drill went well.
    fn went_well(&self, place: &str, kind: Kind, at_ms: u64) -> Result<()> {
        let (time, error) = match kind {
            Kind::Backup => return Ok(()),
            Kind::Verify => ("verify_ms", "verify_error"),
            Kind::Drill => ("drill_ms", "drill_error"),
        };
        self.change(
            &format!("UPDATE backup_place SET {time} = ?2, {error} = NULL WHERE place = ?1"),
            params![place, at_ms as i64],
        )
    }

    /// Notes a backup that was verified after it was written.
    pub(crate) fn backed_up(&self, place: &str, done: &Done<'_>) -> Result<()> {
        let mut connection = self.connection();
        let write = |connection: &mut Connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute(
                "UPDATE backup_place SET generation = ?2, backup_ms = ?3, messages = ?4,
                     octets = ?5, damage = ?6, backup_error = NULL WHERE place = ?1",
                params![
                    place,
                    done.generation,
                    done.at_ms as i64,
                    done.messages as i64,
                    done.octets as i64,
                    text_of(done.damage)
                ],
            )?;
            change.execute("DELETE FROM backup_pack WHERE place = ?", [place])?;
            change.execute("DELETE FROM backup_bad WHERE place = ?", [place])?;
            {
                let mut insert =
                    change.prepare("INSERT OR REPLACE INTO backup_pack VALUES (?, ?, ?)")?;
                for (pack, octets) in done.packs {
                    insert.execute(params![place, pack, *octets as i64])?;
                }
            }
            change.commit()
        };
        write(&mut connection).map_err(sql(FAILED))
    }

    /// Notes what came of removing older generations; `None`: they are gone, or all are kept.
    pub(crate) fn pruned(&self, place: &str, error: Option<&str>) -> Result<()> {
        self.change(
            "UPDATE backup_place SET prune_error = ?2 WHERE place = ?1",
            params![place, error],
        )
    }

    /// Notes what a check of the archive itself has found.
    pub(crate) fn archive_is(&self, damage: &[String]) -> Result<()> {
        let mut connection = self.connection();
        let write = |connection: &mut Connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute("DELETE FROM backup_archive", [])?;
            if let Some(text) = text_of(damage) {
                change.execute("INSERT INTO backup_archive VALUES (?)", [text])?;
            }
            change.commit()
        };
        write(&mut connection).map_err(sql(FAILED))
    }

    /// Whether the last check of the archive itself has found damage.
    pub(crate) fn archive_is_damaged(&self) -> Result<bool> {
        self.connection()
            .prepare("SELECT 1 FROM backup_archive")
            .and_then(|mut ask| ask.exists([]))
            .map_err(sql(FAILED))
    }

    /// What verified backups hold, of all places: packs by their ids, up to an octet.
    pub(crate) fn covered(&self) -> Result<BTreeMap<[u8; 16], u64>> {
        let connection = self.connection();
        let read = || {
            let mut ask =
                connection.prepare("SELECT pack, max(octets) FROM backup_pack GROUP BY pack")?;
            let rows = ask.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(sql(FAILED))
    }

    /// Objects of a place that are known to be damaged.
    pub(crate) fn bad(&self, place: &str) -> Result<BTreeSet<String>> {
        let connection = self.connection();
        let read = || {
            let mut ask = connection.prepare("SELECT object FROM backup_bad WHERE place = ?")?;
            let rows = ask.query_map([place], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(sql(FAILED))
    }

    /// What a place holds does not count as backed up any more, until the next backup.
    pub(crate) fn distrust(&self, place: &str) -> Result<()> {
        self.change("DELETE FROM backup_pack WHERE place = ?", &[&place])
    }

    /// Notes a damaged object.
    pub(crate) fn add_bad(&self, place: &str, object: &str) -> Result<()> {
        self.distrust(place)?;
        self.change(
            "INSERT OR IGNORE INTO backup_bad VALUES (?, ?)",
            params![place, object],
        )
    }

    /// What a check that was stopped has seen already, and when, in milliseconds since 1970: not what it
    /// saw so long ago that it says little of today.
    pub(crate) fn checked(&self, place: &str) -> Result<BTreeMap<String, u64>> {
        let now = now_ms();
        let oldest = now.saturating_sub(CHECK_GOOD_FOR.as_millis() as u64);
        let connection = self.connection();
        let read = || {
            let mut ask = connection.prepare(
                "SELECT object, at_ms FROM backup_checked
                 WHERE place = ? AND at_ms BETWEEN ? AND ?",
            )?;
            let rows = ask.query_map(params![place, oldest as i64, now as i64], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(sql(FAILED))
    }

    pub(crate) fn add_checked(&self, place: &str, objects: &[String]) -> Result<()> {
        let mut connection = self.connection();
        let write = |connection: &mut Connection| {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for object in objects {
                change.execute(
                    "INSERT OR REPLACE INTO backup_checked VALUES (?, ?, ?)",
                    params![place, object, now_ms() as i64],
                )?;
            }
            change.commit()
        };
        write(&mut connection).map_err(sql(FAILED))
    }

    pub(crate) fn all_checked(&self, place: &str) -> Result<()> {
        self.change("DELETE FROM backup_checked WHERE place = ?", &[&place])
    }
}

fn text_of(damage: &[String]) -> Option<String> {
    (!damage.is_empty()).then(|| damage.join("; "))
}

/// Adds what is missing in tables that an older program has made.
fn bring_up(change: &Connection) -> Result<()> {
    let known = format(change)?.unwrap_or(FORMAT);
    if known > FORMAT {
        return Err(BackupError::Usage(
            "state.db was written by a newer program: use that one".into(),
        ));
    }
    if known < 2 {
        change.execute_batch(SCHEMA_2).map_err(sql(FAILED))?;
    }
    if known < 3 {
        change.execute_batch(SCHEMA_3).map_err(sql(FAILED))?;
    }
    Ok(())
}

fn format(connection: &Connection) -> Result<Option<i64>> {
    let there = connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'backup_format'")
        .and_then(|mut ask| ask.exists([]))
        .map_err(sql(FAILED))?;
    if !there {
        return Ok(None);
    }
    connection
        .query_row("SELECT version FROM backup_format", [], |row| row.get(0))
        .optional()
        .map_err(sql(FAILED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_program_has_noted_is_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let old = restante_directory::open_state(&path).unwrap();
        old.execute_batch(SCHEMA).unwrap();
        let place =
            "INSERT INTO backup_place (place, repository, encryption) VALUES ('/x', 'r', 'none')";
        old.execute_batch(place).unwrap();
        drop(old);
        let state = State::look(folder.path()).unwrap().unwrap();
        assert_eq!(state.places().unwrap()[0].place, "/x");
        let state = State::open(folder.path()).unwrap();
        state.archive_is(&["bad".to_owned()]).unwrap();
        assert!(state.archive_is_damaged().unwrap());
        let newer = "UPDATE backup_format SET version = 99";
        state.connection().execute_batch(newer).unwrap();
        assert!(State::look(folder.path()).is_err() && State::open(folder.path()).is_err());
    }
}
