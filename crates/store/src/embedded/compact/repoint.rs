//! Putting a finished replacement in the place of the packs it was made from.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::copy::{Damage, batches, forget};
use crate::embedded::index::apply::Applier;
use crate::embedded::index::{self, sql};
use crate::embedded::record::Record;
use crate::embedded::scan::Found;
use crate::embedded::{Inner, Place, catchup, now_ms, temporary};
use crate::limits::INDEX_TRANSACTION_ROWS;
use crate::{MailboxId, StoreError, TombstoneId, UniqueId};

/// Syncs a pack and its name, whoever wrote it.
pub(super) fn make_durable(inner: &Inner, number: u32) -> std::io::Result<()> {
    let file = inner.disk().open(&inner.packs.path(number), true)?;
    file.sync_data()?;
    inner.disk().sync_dir(&inner.packs.folder)
}

/// What is forgotten of the ledger: mailbox, account, remote unique-id, stamp.
type Forgotten = (MailboxId, String, Vec<u8>, [u8; 16]);

#[derive(Default)]
struct Marks {
    deletions: HashSet<(TombstoneId, UniqueId)>,
    undone: HashSet<(TombstoneId, UniqueId)>,
    forgotten: HashSet<Forgotten>,
}

impl Marks {
    fn add(&mut self, record: &Record) {
        match record {
            Record::Tombstone { tombstone, ids, .. } | Record::Hide { tombstone, ids, .. } => {
                self.deletions
                    .extend(ids.iter().map(|id| (*tombstone, *id)));
            }
            Record::Undo { pairs, .. } => self.undone.extend(pairs),
            Record::Forget {
                mailbox,
                account,
                pairs,
            } => {
                let all = pairs
                    .iter()
                    .map(|(stamp, id)| (*mailbox, account.clone(), id.clone(), *stamp));
                self.forgotten.extend(all);
            }
            _ => {}
        }
    }
}

/// Repoints the index from `olds` to the sealed pack `new`, then removes `olds`. May be repeated.
pub(in crate::embedded) fn replace(
    inner: &Inner,
    c: &mut Connection,
    new: u32,
    olds: &[u32],
) -> Result<(), StoreError> {
    make_durable(inner, new).map_err(|e| temporary("a new pack cannot be synced", &e))?;
    let there = inner.packs.list();
    let there = there.map_err(|e| temporary("the packs cannot be listed", &e))?;
    for &old in olds.iter().filter(|old| there.contains(old)) {
        // An index that is older than the packs has to hear of a deletion before its message goes.
        let fault = |e: std::io::Error| temporary("a replaced pack cannot be read", &e);
        let file = inner.packs.reader(old).map_err(fault)?;
        let end = file.octets().map_err(fault)?;
        catchup::catch_up(inner, c, old, file.as_ref(), end, &mut |_| {})?;
    }
    let (mut kept, mut moved) = (Marks::default(), Vec::new());
    let mut end = 0;
    batches(inner, c, new, Damage::Refuse, |_, records| {
        records.iter().for_each(|found| kept.add(&found.record));
        end = records
            .last()
            .map_or(end, |found| found.offset + found.octets);
        // All of it: what is damaged in an old pack by now may be news to an older index.
        moved.extend(records);
        Ok(())
    })?;
    for part in moved.chunks(INDEX_TRANSACTION_ROWS) {
        let tx = index::begin(c).map_err(sql)?;
        repoint(&tx, new, olds, part).map_err(sql)?;
        tx.commit().map_err(sql)?;
    }
    let (mut gone, mut left) = (Marks::default(), Vec::new());
    for &old in olds.iter().filter(|old| there.contains(old)) {
        // What is damaged by now was read when it was copied.
        batches(inner, c, old, Damage::Skip, |_, records| {
            for found in &records {
                gone.add(&found.record);
                if let Record::Entry(entry) = &found.record {
                    left.push(entry.unique_id);
                }
            }
            Ok(())
        })?;
    }
    let octets = inner.packs.reader(new).and_then(|file| file.octets());
    let octets = octets.map_err(|e| temporary("a pack cannot be read", &e))?;
    let tx = index::begin(c).map_err(sql)?;
    settle(&tx, olds, &left, &kept, &gone).map_err(sql)?;
    let done = Applier::new(&tx, now_ms())
        .and_then(|applier| applier.watermark(new, octets, true))
        .and_then(|()| mark_replaced(&tx, new, olds));
    done.map_err(sql)?;
    tx.commit().map_err(sql)?;
    // Best effort: the commits above were synced, this only keeps the log short.
    let _ = c.execute_batch("PRAGMA wal_checkpoint(PASSIVE)");
    unlink(inner, c, olds)
}

fn repoint(c: &Connection, new: u32, olds: &[u32], part: &[Found]) -> rusqlite::Result<()> {
    let mut applier = Applier::new(c, now_ms())?;
    for found in part {
        let place = Place {
            pack: new,
            offset: found.offset,
            octets: found.octets,
        };
        for old in olds {
            move_to(c, place, &found.record, *old)?;
        }
        // An index that is older than the packs may not know it yet.
        applier.apply(&found.record, place)?;
    }
    applier.finish()
}

/// What the index knows to be in `old` is at `place` now.
fn move_to(c: &Connection, place: Place, record: &Record, old: u32) -> rusqlite::Result<()> {
    match record {
        Record::Entry(entry) => {
            c.prepare_cached(
                "UPDATE messages SET pack = ?, start = ?, length = ? WHERE unique_id = ? AND pack = ?",
            )?
            .execute(params![
                place.pack,
                place.offset as i64,
                place.octets as i64,
                entry.unique_id.as_bytes(),
                old
            ])?;
        }
        Record::Seen {
            mailbox,
            stamp,
            account,
            seen,
        } => {
            let mut ask = c.prepare_cached(
                "UPDATE seen SET pack = ? WHERE account = ? AND remote = ? AND stamp = ? AND pack = ?
                   AND mailbox = (SELECT id FROM mailboxes WHERE mailbox = ?)",
            )?;
            for (remote_id, _) in seen {
                ask.execute(params![
                    place.pack,
                    account,
                    remote_id,
                    stamp,
                    old,
                    mailbox.as_bytes()
                ])?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What the old packs said and the new one does not is not so any more.
fn settle(
    c: &Connection,
    olds: &[u32],
    left: &[UniqueId],
    kept: &Marks,
    gone: &Marks,
) -> rusqlite::Result<()> {
    for id in left {
        for old in olds {
            let place = c
                .prepare_cached("SELECT place FROM messages WHERE unique_id = ? AND pack = ?")?
                .query_row(params![id.as_bytes(), old], |row| row.get(0))
                .optional()?;
            if let Some(place) = place {
                forget(c, *id, place)?;
            }
        }
    }
    for (table, gone, kept) in [
        ("tombstones", &gone.deletions, &kept.deletions),
        ("undone", &gone.undone, &kept.undone),
    ] {
        let query = format!("DELETE FROM {table} WHERE unique_id = ? AND tombstone = ?");
        let mut delete = c.prepare_cached(&query)?;
        for (tombstone, id) in gone.difference(kept) {
            delete.execute([id.as_bytes(), tombstone.as_bytes()])?;
        }
    }
    for old in olds {
        c.execute("DELETE FROM seen WHERE pack = ?", [old])?;
    }
    let mut delete = c.prepare_cached(
        "DELETE FROM forgotten WHERE account = ? AND remote = ? AND stamp = ?
           AND mailbox = (SELECT id FROM mailboxes WHERE mailbox = ?)",
    )?;
    for (mailbox, account, remote_id, stamp) in gone.forgotten.difference(&kept.forgotten) {
        delete.execute(params![account, remote_id, stamp, mailbox.as_bytes()])?;
    }
    Ok(())
}

fn mark_replaced(c: &Connection, new: u32, olds: &[u32]) -> rusqlite::Result<()> {
    for old in olds {
        c.execute(
            "UPDATE packs SET replaced = ? WHERE number = ?",
            params![new, old],
        )?;
    }
    Ok(())
}

/// Removes packs that the index does not point to any more, for good.
pub(super) fn unlink(inner: &Inner, c: &mut Connection, olds: &[u32]) -> Result<(), StoreError> {
    if olds.is_empty() {
        return Ok(());
    }
    let fault = |e: std::io::Error| temporary("a replaced pack cannot be removed", &e);
    for &old in olds {
        inner.packs.forget(old);
        match inner.disk().unlink(&inner.packs.path(old)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fault(e)),
            _ => {}
        }
    }
    inner.disk().sync_dir(&inner.packs.folder).map_err(fault)?;
    for old in olds {
        c.execute("DELETE FROM packs WHERE number = ?", [old])
            .map_err(sql)?;
    }
    Ok(())
}
