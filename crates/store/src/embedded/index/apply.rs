//! What a record does to the index. Records commute: each may come before those it speaks of.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::schema::LIVE;
use crate::embedded::Place;
use crate::embedded::record::{Entry, Record};
use crate::{MailboxId, Release, TombstoneId, UniqueId, ViewId};

pub(in crate::embedded) const fn release_number(release: Release) -> i64 {
    match release {
        Release::AtOnce => 1,
        Release::AllDevices => 2,
        Release::Never => 3,
    }
}

/// Applies records inside one transaction; `finish` before it is committed.
pub(in crate::embedded) struct Applier<'c> {
    pub(in crate::embedded) c: &'c Connection,
    now_ms: i64,
    place: i64,
    /// The sequence number that this transaction's changes have, by mailbox row.
    seqs: HashMap<i64, i64>,
    mailboxes: HashMap<MailboxId, MailboxRow>,
    /// Rows touched, for those who cut transactions.
    pub(in crate::embedded) rows: usize,
}

#[derive(Clone)]
struct MailboxRow {
    id: i64,
    removed: Option<(i64, [u8; 16])>,
}

/// What there is to know of a message before its state is decided anew.
struct State {
    mailbox: i64,
    octets: i64,
    added: i64,
    removed: i64,
    removal: Option<(i64, [u8; 16])>,
}

impl<'c> Applier<'c> {
    pub(in crate::embedded) fn new(c: &'c Connection, now_ms: u64) -> rusqlite::Result<Self> {
        let place = c
            .prepare_cached("SELECT place FROM meta")?
            .query_row([], |row| row.get(0))?;
        Ok(Self {
            c,
            now_ms: now_ms as i64,
            place,
            seqs: HashMap::new(),
            mailboxes: HashMap::new(),
            rows: 0,
        })
    }

    /// Writes down what was counted.
    pub(in crate::embedded) fn finish(self) -> rusqlite::Result<()> {
        self.c
            .prepare_cached("UPDATE meta SET place = ?1 WHERE place <> ?1")?
            .execute([self.place])?;
        Ok(())
    }

    /// Moves a pack's watermark together with the rows.
    pub(in crate::embedded) fn watermark(
        &self,
        pack: u32,
        to: u64,
        sealed: bool,
    ) -> rusqlite::Result<()> {
        self.c
            .prepare_cached(
                "INSERT INTO packs (number, watermark, sealed) VALUES (?1, ?2, ?3)
                 ON CONFLICT (number) DO UPDATE SET watermark = ?2, sealed = max(sealed, ?3)",
            )?
            .execute(params![pack, to as i64, sealed])?;
        Ok(())
    }

    /// Says that a pack counts only up to an offset.
    pub(in crate::embedded) fn end_pack(&self, pack: u32, at: u64) -> rusqlite::Result<()> {
        self.c
            .prepare_cached(
                "INSERT INTO packs (number, watermark, ended) VALUES (?1, 0, ?2)
                 ON CONFLICT (number) DO UPDATE SET ended = ?2",
            )?
            .execute(params![pack, at as i64])?;
        Ok(())
    }

    fn next_place(&mut self) -> i64 {
        self.place += 1;
        self.place
    }

    /// max(now, last + 1): above every snapshot that was taken.
    fn seq(&mut self, mailbox: i64) -> rusqlite::Result<i64> {
        if let Some(&seq) = self.seqs.get(&mailbox) {
            return Ok(seq);
        }
        let seq = self
            .c
            .prepare_cached(
                "UPDATE mailboxes SET seq = max(?1, seq + 1) WHERE id = ?2 RETURNING seq",
            )?
            .query_row([self.now_ms, mailbox], |row| row.get(0))?;
        self.seqs.insert(mailbox, seq);
        Ok(seq)
    }

    fn mailbox(&mut self, id: MailboxId) -> rusqlite::Result<MailboxRow> {
        if let Some(row) = self.mailboxes.get(&id) {
            return Ok(row.clone());
        }
        let found = self
            .c
            .prepare_cached("SELECT id, removed_ms, tombstone FROM mailboxes WHERE mailbox = ?")?
            .query_row([id.as_bytes()], |row| {
                let removed: Option<i64> = row.get(1)?;
                let tombstone: Option<[u8; 16]> = row.get(2)?;
                Ok(MailboxRow {
                    id: row.get(0)?,
                    removed: removed.zip(tombstone),
                })
            })
            .optional()?;
        let row = match found {
            Some(row) => row,
            None => {
                self.c
                    .prepare_cached("INSERT INTO mailboxes (mailbox) VALUES (?)")?
                    .execute([id.as_bytes()])?;
                MailboxRow {
                    id: self.c.last_insert_rowid(),
                    removed: None,
                }
            }
        };
        self.mailboxes.insert(id, row.clone());
        Ok(row)
    }

    fn view(&mut self, mailbox: i64, view: ViewId) -> rusqlite::Result<i64> {
        let found = self
            .c
            .prepare_cached("SELECT id FROM views WHERE mailbox = ? AND view = ?")?
            .query_row(params![mailbox, view.as_bytes()], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            return Ok(id);
        }
        self.c
            .prepare_cached("INSERT INTO views (mailbox, view) VALUES (?, ?)")?
            .execute(params![mailbox, view.as_bytes()])?;
        Ok(self.c.last_insert_rowid())
    }

    /// Applies one record that stands at `place`.
    pub(in crate::embedded) fn apply(
        &mut self,
        record: &Record,
        place: Place,
    ) -> rusqlite::Result<()> {
        self.rows += 1;
        match record {
            Record::Pack(head) => {
                for (pack, at) in &head.ended {
                    self.end_pack(*pack, *at)?;
                }
            }
            Record::Commit { .. } | Record::Seal => {}
            Record::Entry(entry) => self.entry(entry, place)?,
            Record::Create {
                mailbox,
                stamp,
                name,
            }
            | Record::Rename {
                mailbox,
                stamp,
                name,
            } => {
                let row = self.mailbox(*mailbox)?;
                self.c
                    .prepare_cached(
                        "UPDATE mailboxes SET name = ?1, stamp = ?2
                         WHERE id = ?3 AND (stamp IS NULL OR stamp < ?2)",
                    )?
                    .execute(params![name, stamp, row.id])?;
            }
            Record::Release {
                mailbox,
                stamp,
                release,
            } => {
                let row = self.mailbox(*mailbox)?;
                self.c
                    .prepare_cached(
                        "UPDATE mailboxes SET release = ?1, release_stamp = ?2
                         WHERE id = ?3 AND (release_stamp IS NULL OR release_stamp < ?2)",
                    )?
                    .execute(params![release.map(release_number), stamp, row.id])?;
            }
            Record::RemoveMailbox {
                mailbox,
                tombstone,
                at_ms,
                erase,
            } => self.remove_mailbox(*mailbox, *tombstone, *at_ms, *erase)?,
            Record::AddView {
                mailbox,
                view,
                name,
                from_now,
            } => self.add_view(*mailbox, *view, name, *from_now)?,
            Record::RemoveView { mailbox, view } => {
                let row = self.mailbox(*mailbox)?;
                let view = self.view(row.id, *view)?;
                self.c.execute(
                    "UPDATE views SET gone = 1, hidden_count = 0, hidden_octets = 0 WHERE id = ?",
                    [view],
                )?;
                self.c
                    .execute("DELETE FROM hidden WHERE view = ?", [view])?;
            }
            Record::ViewState {
                mailbox,
                view,
                stamp,
                live,
            } => self.view_state(*mailbox, *view, *stamp, *live)?,
            Record::PlainUsed { mailbox } => {
                let row = self.mailbox(*mailbox)?;
                self.c
                    .prepare_cached("UPDATE mailboxes SET plain_used = 1 WHERE id = ?")?
                    .execute([row.id])?;
            }
            Record::Tombstone {
                mailbox,
                tombstone,
                at_ms,
                ids,
            } => {
                self.mailbox(*mailbox)?;
                self.tombstone(*tombstone, *at_ms, ids)?;
            }
            Record::Hide {
                mailbox,
                view,
                tombstone,
                at_ms,
                ids,
            } => {
                let row = self.mailbox(*mailbox)?;
                let view = self.view(row.id, *view)?;
                self.hide(*tombstone, view, *at_ms, ids)?;
            }
            Record::Undo { pairs, .. } => {
                for (tombstone, id) in pairs {
                    self.c
                        .prepare_cached(
                            "INSERT OR IGNORE INTO undone (unique_id, tombstone) VALUES (?, ?)",
                        )?
                        .execute([id.as_bytes(), tombstone.as_bytes()])?;
                }
                for (_, id) in pairs {
                    self.refresh(*id)?;
                }
            }
            Record::Seen {
                mailbox,
                stamp,
                account,
                seen,
            } => self.seen(*mailbox, *stamp, (account, seen), place.pack)?,
            Record::Forget {
                mailbox,
                account,
                pairs,
            } => {
                let row = self.mailbox(*mailbox)?;
                for (stamp, remote_id) in pairs {
                    self.rows += 1;
                    self.c
                        .prepare_cached(
                            "INSERT OR IGNORE INTO forgotten (mailbox, account, remote, stamp)
                             VALUES (?, ?, ?, ?)",
                        )?
                        .execute(params![row.id, account, remote_id, stamp])?;
                }
            }
        }
        Ok(())
    }

    fn view_state(
        &mut self,
        mailbox: MailboxId,
        view: ViewId,
        stamp: [u8; 16],
        live: bool,
    ) -> rusqlite::Result<()> {
        let row = self.mailbox(mailbox)?;
        let id = self.view(row.id, view)?;
        self.c
            .prepare_cached(
                "UPDATE views SET state = ?2, lapsed = ?3
                 WHERE id = ?1 AND (state IS NULL OR state < ?2)",
            )?
            .execute(params![id, stamp, !live])?;
        if live {
            let ms = ViewId::from_bytes(stamp).unix_ms() as i64;
            self.c
                .prepare_cached(
                    "UPDATE views SET used_ms = max(?2, coalesce(used_ms, 0)) WHERE id = ?1",
                )?
                .execute([id, ms])?;
        }
        Ok(())
    }

    fn seen(
        &mut self,
        mailbox: MailboxId,
        stamp: [u8; 16],
        (account, seen): (&str, &[(Vec<u8>, u64)]),
        pack: u32,
    ) -> rusqlite::Result<()> {
        let row = self.mailbox(mailbox)?;
        for (remote_id, received_ms) in seen {
            self.rows += 1;
            self.c
                .prepare_cached(
                    "INSERT OR IGNORE INTO seen (mailbox, account, remote, stamp, received, pack)
                     VALUES (?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    row.id,
                    account,
                    remote_id,
                    stamp,
                    *received_ms as i64,
                    pack
                ])?;
        }
        Ok(())
    }

    fn tombstone(
        &mut self,
        tombstone: TombstoneId,
        at_ms: u64,
        ids: &[UniqueId],
    ) -> rusqlite::Result<()> {
        for id in ids {
            self.rows += 1;
            self.c
                .prepare_cached(
                    "INSERT OR IGNORE INTO tombstones (unique_id, tombstone, view, at_ms)
                     VALUES (?, ?, 0, ?)",
                )?
                .execute(params![id.as_bytes(), tombstone.as_bytes(), at_ms as i64])?;
            self.refresh(*id)?;
        }
        Ok(())
    }

    /// What [`Self::refresh`] would come to for a view, in half the statements: a client may delete ten
    /// thousand messages in one QUIT. Hiding changes nothing else about a message.
    fn hide(
        &mut self,
        tombstone: TombstoneId,
        view: i64,
        at_ms: u64,
        ids: &[UniqueId],
    ) -> rusqlite::Result<()> {
        let c = self.c;
        let gone: bool = c
            .prepare_cached("SELECT gone FROM views WHERE id = ?")?
            .query_row([view], |row| row.get(0))?;
        let mut insert = c.prepare_cached(
            "INSERT OR IGNORE INTO tombstones (unique_id, tombstone, view, at_ms)
             VALUES (?, ?, ?, ?)",
        )?;
        let mut settled = c.prepare_cached(
            "SELECT 1 FROM undone WHERE unique_id = ?1 AND tombstone = ?2
             UNION ALL SELECT 1 FROM hidden WHERE view = ?3 AND unique_id = ?1 AND until = ?4",
        )?;
        let mut hidden = c.prepare_cached(
            "INSERT OR REPLACE INTO hidden (view, unique_id, at, until) VALUES (?, ?, ?, ?)",
        )?;
        let (mut messages, mut octets) = (0, 0);
        for id in ids {
            self.rows += 1;
            let id_octets = id.as_bytes();
            insert.execute(params![id_octets, tombstone.as_bytes(), view, at_ms as i64])?;
            let Some(state) = self.state(*id)? else {
                continue;
            };
            if gone || settled.exists(params![id_octets, tombstone.as_bytes(), view, LIVE])? {
                continue;
            }
            let seq = self.seq(state.mailbox)?;
            hidden.execute(params![view, id_octets, seq, LIVE])?;
            if state.removal.is_none() {
                messages += 1;
                octets += state.octets;
            }
        }
        self.count_hidden(view, messages, octets)
    }

    fn entry(&mut self, entry: &Entry, place: Place) -> rusqlite::Result<()> {
        let row = self.mailbox(entry.mailbox)?;
        let seq = self.seq(row.id)?;
        let id = entry.unique_id;
        let source = entry.source.as_ref();
        let change = self.next_place();
        let added = self
            .c
            .prepare_cached(
                "INSERT OR IGNORE INTO messages (unique_id, mailbox, added, removed, octets, pack,
                     start, length, size, received, digest, account, remote, place)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                id.as_bytes(),
                row.id,
                seq,
                LIVE,
                entry.octets as i64,
                place.pack,
                place.offset as i64,
                place.octets as i64,
                entry.size as i64,
                entry.received_ms as i64,
                entry.digest,
                source.map(|s| &s.account),
                source.map(|s| &s.remote_id),
                change,
            ])?;
        if added == 0 {
            // The same entry in two packs: one of them replaces the other.
            return Ok(());
        }
        self.count(row.id, 1, entry.octets as i64)?;
        let marked = self
            .c
            .prepare_cached("SELECT 1 FROM tombstones WHERE unique_id = ?")?
            .exists([id.as_bytes()])?;
        let bounded = self
            .c
            .prepare_cached(
                "SELECT 1 FROM views WHERE mailbox = ? AND from_now = 1 AND gone = 0 AND view > ?",
            )?
            .exists(params![row.id, id.as_bytes()])?;
        if marked || bounded || row.removed.is_some() {
            self.refresh(id)?;
        }
        Ok(())
    }

    fn count(&self, mailbox: i64, messages: i64, octets: i64) -> rusqlite::Result<()> {
        self.c
            .prepare_cached(
                "UPDATE mailboxes SET count = count + ?, octets = octets + ? WHERE id = ?",
            )?
            .execute([messages, octets, mailbox])?;
        Ok(())
    }

    fn count_hidden(&self, view: i64, messages: i64, octets: i64) -> rusqlite::Result<()> {
        self.c
            .prepare_cached(
                "UPDATE views SET hidden_count = hidden_count + ?, hidden_octets = hidden_octets + ?
                 WHERE id = ?",
            )?
            .execute([messages, octets, view])?;
        Ok(())
    }

    fn state(&self, id: UniqueId) -> rusqlite::Result<Option<State>> {
        self.c
            .prepare_cached(
                "SELECT mailbox, octets, added, removed, removed_ms, tombstone FROM messages
                 WHERE unique_id = ?",
            )?
            .query_row([id.as_bytes()], |row| {
                let removed_ms: Option<i64> = row.get(4)?;
                let tombstone: Option<[u8; 16]> = row.get(5)?;
                Ok(State {
                    mailbox: row.get(0)?,
                    octets: row.get(1)?,
                    added: row.get(2)?,
                    removed: row.get(3)?,
                    removal: removed_ms.zip(tombstone),
                })
            })
            .optional()
    }

    /// Brings a message's row in line with what the packs say of it.
    fn refresh(&mut self, id: UniqueId) -> rusqlite::Result<()> {
        let Some(state) = self.state(id)? else {
            return Ok(());
        };
        let wanted = self.removal(id, state.mailbox)?;
        let hidden = self.hidden_in(id, state.mailbox)?;
        if wanted.is_some() != state.removal.is_some() {
            self.change(id, &state, wanted, &hidden)?;
        } else if wanted != state.removal {
            self.c
                .prepare_cached(
                    "UPDATE messages SET removed_ms = ?, tombstone = ? WHERE unique_id = ?",
                )?
                .execute(params![
                    wanted.map(|w| w.0),
                    wanted.map(|w| w.1),
                    id.as_bytes()
                ])?;
        }
        self.refresh_hidden(id, &state, wanted.is_none(), &hidden)
    }

    /// The earliest removal that was not cancelled.
    fn removal(&self, id: UniqueId, mailbox: i64) -> rusqlite::Result<Option<(i64, [u8; 16])>> {
        let own = self
            .c
            .prepare_cached(
                "SELECT at_ms, tombstone FROM tombstones t WHERE unique_id = ?1 AND view = 0
                   AND NOT EXISTS (SELECT 1 FROM undone u
                       WHERE u.unique_id = ?1 AND u.tombstone = t.tombstone)
                 ORDER BY at_ms, tombstone LIMIT 1",
            )?
            .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let whole = self
            .c
            .prepare_cached("SELECT removed_ms, tombstone FROM mailboxes WHERE id = ?")?
            .query_row([mailbox], |row| {
                let at: Option<i64> = row.get(0)?;
                Ok(at.zip(row.get(1)?))
            })?;
        Ok(match (own, whole) {
            (Some(own), Some(whole)) => Some(std::cmp::min(own, whole)),
            (own, whole) => own.or(whole),
        })
    }

    /// Views in which the message is hidden now, as the index has it.
    fn hidden_in(&self, id: UniqueId, mailbox: i64) -> rusqlite::Result<Vec<i64>> {
        self.c
            .prepare_cached(
                "SELECT v.id FROM views v JOIN hidden h ON h.view = v.id
                 WHERE v.mailbox = ?1 AND h.unique_id = ?2 AND h.until = ?3",
            )?
            .query_map(params![mailbox, id.as_bytes(), LIVE], |row| row.get(0))?
            .collect()
    }

    /// A message leaves or comes back.
    fn change(
        &mut self,
        id: UniqueId,
        state: &State,
        removal: Option<(i64, [u8; 16])>,
        hidden: &[i64],
    ) -> rusqlite::Result<()> {
        let seq = self.seq(state.mailbox)?;
        let place = self.next_place();
        let (sign, added, removed) = match removal {
            Some(_) => (-1, state.added, seq),
            None => (1, seq, LIVE),
        };
        if removal.is_none() && state.removed > state.added {
            // Snapshots from before the removal still show it as it was.
            self.c
                .prepare_cached(
                    "INSERT OR REPLACE INTO past (mailbox, unique_id, added, removed)
                     VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    state.mailbox,
                    id.as_bytes(),
                    state.added,
                    state.removed
                ])?;
        }
        self.c
            .prepare_cached(
                "UPDATE messages SET added = ?, removed = ?, removed_ms = ?, tombstone = ?,
                     place = ? WHERE unique_id = ?",
            )?
            .execute(params![
                added,
                removed,
                removal.map(|r| r.0),
                removal.map(|r| r.1),
                place,
                id.as_bytes()
            ])?;
        self.count(state.mailbox, sign, sign * state.octets)?;
        for view in hidden {
            self.count_hidden(*view, sign, sign * state.octets)?;
        }
        Ok(())
    }

    fn refresh_hidden(
        &mut self,
        id: UniqueId,
        state: &State,
        live: bool,
        hidden: &[i64],
    ) -> rusqlite::Result<()> {
        let wanted: Vec<i64> = self
            .c
            .prepare_cached(
                "SELECT v.id FROM views v JOIN (
                     SELECT view, tombstone FROM tombstones WHERE unique_id = ?1 AND view <> 0
                     UNION ALL
                     SELECT id, view FROM views
                     WHERE mailbox = ?2 AND from_now = 1 AND view > ?1) t ON t.view = v.id
                 WHERE v.gone = 0 AND NOT EXISTS (SELECT 1 FROM undone u
                     WHERE u.unique_id = ?1 AND u.tombstone = t.tombstone)
                 GROUP BY v.id",
            )?
            .query_map(params![id.as_bytes(), state.mailbox], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let weight = i64::from(live);
        for view in wanted.iter().filter(|v| !hidden.contains(v)) {
            let seq = self.seq(state.mailbox)?;
            self.c
                .prepare_cached(
                    "INSERT OR REPLACE INTO hidden (view, unique_id, at, until) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![view, id.as_bytes(), seq, LIVE])?;
            self.count_hidden(*view, weight, weight * state.octets)?;
        }
        for view in hidden.iter().filter(|v| !wanted.contains(v)) {
            let seq = self.seq(state.mailbox)?;
            self.c
                .prepare_cached(
                    "UPDATE hidden SET until = ? WHERE view = ? AND unique_id = ? AND until = ?",
                )?
                .execute(params![seq, view, id.as_bytes(), LIVE])?;
            self.count_hidden(*view, -weight, -weight * state.octets)?;
        }
        Ok(())
    }

    fn remove_mailbox(
        &mut self,
        mailbox: MailboxId,
        tombstone: TombstoneId,
        at_ms: u64,
        erase: bool,
    ) -> rusqlite::Result<()> {
        let row = self.mailbox(mailbox)?;
        let removal = (at_ms as i64, *tombstone.as_bytes());
        let first = row.removed.map_or(removal, |there| there.min(removal));
        self.c.execute(
            "UPDATE mailboxes SET removed_ms = ?, tombstone = ?, erased = max(erased, ?) WHERE id = ?",
            params![first.0, first.1, erase, row.id],
        )?;
        self.mailboxes.remove(&mailbox);
        let ids = self.ids_of(row.id, UniqueId::from_bytes([0xff; 16]))?;
        ids.into_iter().try_for_each(|id| self.refresh(id))
    }

    /// The mailbox's messages whose unique-id is below `bound`.
    fn ids_of(&self, mailbox: i64, bound: UniqueId) -> rusqlite::Result<Vec<UniqueId>> {
        self.c
            .prepare_cached("SELECT unique_id FROM messages WHERE mailbox = ? AND unique_id < ?")?
            .query_map(params![mailbox, bound.as_bytes()], |row| {
                Ok(UniqueId::from_bytes(row.get(0)?))
            })?
            .collect()
    }

    fn add_view(
        &mut self,
        mailbox: MailboxId,
        view: ViewId,
        name: &str,
        from_now: bool,
    ) -> rusqlite::Result<()> {
        let row = self.mailbox(mailbox)?;
        let id = self.view(row.id, view)?;
        self.c.execute(
            "UPDATE views SET name = ?, from_now = ? WHERE id = ?",
            params![name, from_now, id],
        )?;
        if from_now {
            let bound = UniqueId::from_bytes(*view.as_bytes());
            let ids = self.ids_of(row.id, bound)?;
            ids.into_iter().try_for_each(|id| self.refresh(id))?;
        }
        Ok(())
    }
}
