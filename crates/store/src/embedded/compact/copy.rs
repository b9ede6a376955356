//! Writing a pack anew without what is dead.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use crate::disk::DiskFile;
use crate::embedded::index::{self, LIVE, sql};
use crate::embedded::ledger::{forget_needed, has_entry, is_closed, is_forgotten};
use crate::embedded::pack::PackWriter;
use crate::embedded::record::{Entry, Record, Stamped};
use crate::embedded::scan::{Batch, Found, Scanner};
use crate::embedded::{Inner, temporary};
use crate::limits::INDEX_TRANSACTION_ROWS;
use crate::{MailboxId, StoreError, TombstoneId, UniqueId, ViewId};

/// What to do about octets that should be batches and are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// An error that names the pack: a copy would lose what may still be read or mended.
    Refuse,
    /// Passed over.
    Skip,
}

/// Calls `each` for every batch of a pack that counts.
pub(super) fn batches(
    inner: &Inner,
    c: &Connection,
    number: u32,
    damage: Damage,
    mut each: impl FnMut(&dyn DiskFile, Vec<Found>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let fault = |e: std::io::Error| temporary("a pack cannot be read", &e);
    let file = inner.packs.reader(number).map_err(fault)?;
    let row = index::pack_row(c, number).map_err(sql)?.unwrap_or_default();
    let octets = file.octets().map_err(fault)?;
    // A pack that is rewritten is sealed or ended: up to there each octet belongs to a batch.
    let end = row.ended.unwrap_or(octets);
    let mut scanner = Scanner::new(file.as_ref(), end.min(octets));
    let mut at = 0;
    loop {
        let batch = scanner.batch(at)?;
        let bad = match batch {
            Batch::Whole { .. } => false,
            Batch::Damaged { .. } | Batch::Tail => true,
            Batch::End => at < end,
        };
        if bad && damage == Damage::Refuse {
            return Err(StoreError::Permanent(format!(
                "pack {number:06} is damaged from octet {at} on: it is kept as it is, and what it holds of removed mail stays"
            )));
        }
        match batch {
            Batch::Whole { records, next } | Batch::Damaged { records, next } => {
                each(file.as_ref(), records)?;
                at = next;
            }
            Batch::Tail | Batch::End => return Ok(()),
        }
    }
}

/// In `removed_ms` of a removed message: its bytes are about to go. Longer ago than any hold, so
/// nothing restores it or shows it any more. The row stays until its pack is gone: while one of its
/// bytes is left, its tombstone must be kept, and whoever reclaims or erases must find it.
const DROPPED: i64 = 0;

/// Marks a pack's dead messages: decided in the index's own transactions, so that none is restored
/// from now on. Says which they are.
pub(super) fn drop_dead(
    inner: &Inner,
    c: &mut Connection,
    number: u32,
    cutoff: i64,
) -> Result<HashSet<UniqueId>, StoreError> {
    let mut ids = Vec::new();
    batches(inner, c, number, Damage::Refuse, |_, records| {
        ids.extend(records.iter().filter_map(|found| match &found.record {
            Record::Entry(entry) => Some(entry.unique_id),
            _ => None,
        }));
        Ok(())
    })?;
    let mut dead = HashSet::new();
    for part in ids.chunks(INDEX_TRANSACTION_ROWS) {
        let tx = index::begin(c).map_err(sql)?;
        for id in part {
            if drop_one(&tx, *id, number, cutoff).map_err(sql)? {
                dead.insert(*id);
            }
        }
        tx.commit().map_err(sql)?;
    }
    Ok(dead)
}

fn drop_one(c: &Connection, id: UniqueId, pack: u32, cutoff: i64) -> rusqlite::Result<bool> {
    let marked = c
        .prepare_cached(
            "UPDATE messages SET removed_ms = ?4
             WHERE unique_id = ?1 AND pack = ?2 AND removed_ms IS NOT NULL
               AND (removed_ms <= ?3 OR EXISTS (
                   SELECT 1 FROM mailboxes b WHERE b.id = messages.mailbox AND b.erased = 1))",
        )?
        .execute(params![id.as_bytes(), pack, cutoff, DROPPED])?;
    Ok(marked > 0)
}

/// Whether one that was to go was given back meanwhile: by an undo that was written before the mark,
/// and that the index was told of after it.
pub(super) fn came_back(c: &Connection, dead: &HashSet<UniqueId>) -> rusqlite::Result<bool> {
    let mut ask =
        c.prepare_cached("SELECT 1 FROM messages WHERE unique_id = ? AND removed_ms IS NULL")?;
    for id in dead {
        if ask.exists([id.as_bytes()])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes a message out of the index.
pub(super) fn forget(c: &Connection, id: UniqueId, place: i64) -> rusqlite::Result<()> {
    uncount(c, id)?;
    for query in [
        "DELETE FROM hidden WHERE unique_id = ?1 AND view IN (
             SELECT v.id FROM views v JOIN messages m ON m.mailbox = v.mailbox
             WHERE m.unique_id = ?1)",
        "DELETE FROM past WHERE unique_id = ?1 AND mailbox = (
             SELECT mailbox FROM messages WHERE unique_id = ?1)",
        "DELETE FROM messages WHERE unique_id = ?1",
    ] {
        c.prepare_cached(query)?.execute([id.as_bytes()])?;
    }
    c.prepare_cached("UPDATE meta SET floor = max(floor, ?)")?
        .execute([place])?;
    Ok(())
}

/// One that is lost, and was not removed before, counts no more.
fn uncount(c: &Connection, id: UniqueId) -> rusqlite::Result<()> {
    let live: Option<(i64, i64)> = c
        .prepare_cached(
            "SELECT mailbox, octets FROM messages WHERE unique_id = ? AND removed_ms IS NULL",
        )?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((mailbox, octets)) = live else {
        return Ok(());
    };
    c.prepare_cached("UPDATE mailboxes SET count = count - 1, octets = octets - ? WHERE id = ?")?
        .execute([octets, mailbox])?;
    c.prepare_cached(
        "UPDATE views SET hidden_count = hidden_count - 1, hidden_octets = hidden_octets - ?1
         WHERE mailbox = ?2 AND EXISTS (SELECT 1 FROM hidden h
             WHERE h.view = views.id AND h.unique_id = ?3 AND h.until = ?4)",
    )?
    .execute(params![octets, mailbox, id.as_bytes(), LIVE])?;
    Ok(())
}

/// What is copied, and what not.
struct Wanted<'a> {
    old: u32,
    /// Its messages that go.
    dead: &'a HashSet<UniqueId>,
    stop: &'a dyn Fn() -> bool,
}

/// Writes a sealed pack with all of `old` but the messages `dead` and what speaks of them; says its
/// number. Gives up between two batches when `stop` says so.
pub(super) fn copy(
    inner: &Inner,
    c: &Connection,
    old: u32,
    dead: &HashSet<UniqueId>,
    stop: &dyn Fn() -> bool,
) -> Result<u32, StoreError> {
    let fault =
        |e: std::io::Error| crate::embedded::write_error("a pack cannot be rewritten", &e, inner);
    let there = inner.packs.list().map_err(fault)?;
    let mut ended = inner.packs.head(old)?.unwrap_or_default().ended;
    ended.retain(|(number, _)| there.contains(number));
    let mut writer = PackWriter::new(std::sync::Arc::clone(&inner.packs), u64::MAX);
    let (new, _, _) = writer.begin(&[old], &ended).map_err(fault)?;
    let copied = fill(inner, c, &Wanted { old, dead, stop }, &mut writer);
    if let Err(error) = copied {
        drop(writer);
        // Should it not go now, it is discarded at the next opening: it is not sealed.
        let _ = super::discard(inner, new);
        return Err(error);
    }
    Ok(new)
}

fn fill(
    inner: &Inner,
    c: &Connection,
    wanted: &Wanted<'_>,
    writer: &mut PackWriter,
) -> Result<(), StoreError> {
    let fault =
        |e: std::io::Error| crate::embedded::write_error("a pack cannot be rewritten", &e, inner);
    // First of all it says what it is, so that it is never taken for a pack of its own.
    writer.finish(false, true).map_err(fault)?;
    batches(inner, c, wanted.old, Damage::Refuse, |file, records| {
        if (wanted.stop)() {
            return Err(StoreError::Temporary("the store is closing".into()));
        }
        writer.begin(&[], &[]).map_err(fault)?;
        for found in records {
            match kept(c, wanted, &found.record).map_err(sql)? {
                Kept::No => {}
                Kept::AsIs => {
                    let copied = writer.put_copy(file, found.offset, found.octets);
                    copied.map_err(fault)?;
                }
                Kept::Changed(record) => {
                    writer.put(&record).map_err(fault)?;
                }
            }
        }
        if writer.octets() == 0 {
            writer.cancel();
            return Ok(());
        }
        writer.finish(false, false).map(drop).map_err(fault)
    })?;
    writer.seal().map_err(fault)
}

enum Kept {
    No,
    AsIs,
    Changed(Record),
}

fn kept(c: &Connection, wanted: &Wanted<'_>, record: &Record) -> rusqlite::Result<Kept> {
    let erased = |id: MailboxId| {
        c.prepare_cached("SELECT 1 FROM mailboxes WHERE mailbox = ? AND erased = 1")?
            .exists([id.as_bytes()])
    };
    let keep_if = |keep: bool| if keep { Kept::AsIs } else { Kept::No };
    Ok(match record {
        Record::Pack(_) | Record::Commit { .. } | Record::Seal => Kept::No,
        Record::Entry(entry) => entry_kept(c, wanted, entry)?,
        // What keeps the mailbox from coming back stays for good, without its name.
        Record::RemoveMailbox { .. } => Kept::AsIs,
        Record::Create { mailbox, .. }
        | Record::Rename { mailbox, .. }
        | Record::Release { mailbox, .. }
        | Record::AddView { mailbox, .. }
        | Record::RemoveView { mailbox, .. }
        | Record::PlainUsed { mailbox } => keep_if(!erased(*mailbox)?),
        Record::ViewState {
            mailbox,
            view,
            stamp,
            live,
        } => keep_if(!erased(*mailbox)? && tells_state(c, (*mailbox, *view), *stamp, *live)?),
        Record::Seen {
            mailbox,
            stamp,
            account,
            seen,
        } => seen_kept(c, *mailbox, *stamp, (account, seen))?,
        Record::Forget {
            mailbox,
            account,
            pairs,
        } => forget_kept(c, wanted, *mailbox, (account, pairs))?,
        Record::Tombstone {
            mailbox,
            tombstone,
            at_ms,
            ids,
        } => match standing(c, wanted.dead, *tombstone, ids)? {
            ids if ids.is_empty() => Kept::No,
            ids => Kept::Changed(Record::Tombstone {
                mailbox: *mailbox,
                tombstone: *tombstone,
                at_ms: *at_ms,
                ids,
            }),
        },
        Record::Hide {
            mailbox,
            view,
            tombstone,
            at_ms,
            ids,
        } => match standing(c, wanted.dead, *tombstone, ids)? {
            ids if ids.is_empty() => Kept::No,
            ids => Kept::Changed(Record::Hide {
                mailbox: *mailbox,
                view: *view,
                tombstone: *tombstone,
                at_ms: *at_ms,
                ids,
            }),
        },
        Record::Undo { mailbox, pairs } => {
            let mut still = Vec::new();
            for pair in pairs {
                if needed(c, *pair)? {
                    still.push(*pair);
                }
            }
            match still {
                pairs if pairs.is_empty() => Kept::No,
                pairs => Kept::Changed(Record::Undo {
                    mailbox: *mailbox,
                    pairs,
                }),
            }
        }
    })
}

fn entry_kept(c: &Connection, wanted: &Wanted<'_>, entry: &Entry) -> rusqlite::Result<Kept> {
    if wanted.dead.contains(&entry.unique_id) {
        let Some(source) = &entry.source else {
            return Ok(Kept::No);
        };
        // The fetcher must not take it a second time (rule 8).
        let stamp = *entry.unique_id.as_bytes();
        let seen = vec![(source.remote_id.clone(), entry.received_ms)];
        return match seen_kept(c, entry.mailbox, stamp, (&source.account, &seen))? {
            Kept::No => Ok(Kept::No),
            _ => Ok(Kept::Changed(Record::Seen {
                mailbox: entry.mailbox,
                stamp,
                account: source.account.clone(),
                seen,
            })),
        };
    }
    let pack: Option<u32> = c
        .prepare_cached("SELECT pack FROM messages WHERE unique_id = ?")?
        .query_row([entry.unique_id.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(match pack {
        // The same entry in another pack is the one that counts.
        Some(pack) if pack != wanted.old => Kept::No,
        // One that the index does not know has not been decided on.
        _ => Kept::AsIs,
    })
}

/// Whether nothing younger has been said of a view's last opening or its state; of a view that is gone
/// nothing needs to be.
fn tells_state(
    c: &Connection,
    (mailbox, view): (MailboxId, ViewId),
    stamp: [u8; 16],
    live: bool,
) -> rusqlite::Result<bool> {
    let ms = ViewId::from_bytes(stamp).unix_ms() as i64;
    let superseded = c
        .prepare_cached(
            "SELECT 1 FROM views v JOIN mailboxes m ON m.id = v.mailbox
             WHERE m.mailbox = ?1 AND v.view = ?2
               AND (v.gone = 1 OR (v.state > ?3 AND (?5 = 0 OR v.used_ms > ?4)))",
        )?
        .exists(params![
            mailbox.as_bytes(),
            view.as_bytes(),
            stamp,
            ms,
            live
        ])?;
    Ok(!superseded)
}

/// What is still in the ledger stays there, as long as there is the mailbox.
fn seen_kept(
    c: &Connection,
    mailbox: MailboxId,
    stamp: [u8; 16],
    (account, seen): (&str, &[(Vec<u8>, u64)]),
) -> rusqlite::Result<Kept> {
    if is_closed(c, mailbox)? {
        return Ok(Kept::No);
    }
    let mut still = Vec::new();
    for one in seen {
        if !is_forgotten(c, mailbox, account, (&stamp, &one.0))? {
            still.push(one.clone());
        }
    }
    Ok(match still {
        still if still.is_empty() => Kept::No,
        still if still.len() == seen.len() => Kept::AsIs,
        seen => Kept::Changed(Record::Seen {
            mailbox,
            stamp,
            account: account.to_owned(),
            seen,
        }),
    })
}

/// What forgets stays until what it forgets is durably gone, or goes with this very pack: a `Seen`
/// record, or an entry that would leave one.
fn forget_kept(
    c: &Connection,
    wanted: &Wanted<'_>,
    mailbox: MailboxId,
    (account, pairs): (&str, &[Stamped]),
) -> rusqlite::Result<Kept> {
    if is_closed(c, mailbox)? {
        return Ok(Kept::No);
    }
    let mut still = Vec::new();
    for pair in pairs {
        let entry = UniqueId::from_bytes(pair.0);
        if forget_needed(c, mailbox, account, (&pair.0, &pair.1), wanted.old)?
            || (!wanted.dead.contains(&entry) && has_entry(c, entry)?)
        {
            still.push(pair.clone());
        }
    }
    Ok(match still {
        still if still.is_empty() => Kept::No,
        still if still.len() == pairs.len() => Kept::AsIs,
        pairs => Kept::Changed(Record::Forget {
            mailbox,
            account: account.to_owned(),
            pairs,
        }),
    })
}

/// Those of a deletion's messages that are there and whose deletion was not cancelled. One that the
/// index does not have has left its pack durably; one that goes with this very pack needs none.
fn standing(
    c: &Connection,
    dead: &HashSet<UniqueId>,
    tombstone: TombstoneId,
    ids: &[UniqueId],
) -> rusqlite::Result<Vec<UniqueId>> {
    let mut ask = c.prepare_cached(
        "SELECT 1 FROM messages m WHERE unique_id = ?1 AND NOT EXISTS (
             SELECT 1 FROM undone u WHERE u.unique_id = ?1 AND u.tombstone = ?2)",
    )?;
    let mut standing = Vec::new();
    for id in ids {
        if !dead.contains(id) && ask.exists(params![id.as_bytes(), tombstone.as_bytes()])? {
            standing.push(*id);
        }
    }
    Ok(standing)
}

/// Whether a cancelled deletion would take effect without its undo: while it stands in some pack. And
/// what was brought back does not leave for its age: while it is there, that has to be known.
fn needed(c: &Connection, (tombstone, id): (TombstoneId, UniqueId)) -> rusqlite::Result<bool> {
    let written = c
        .prepare_cached(
            "SELECT 1 FROM tombstones WHERE unique_id = ?1 AND tombstone = ?2
             UNION ALL SELECT 1 FROM messages WHERE unique_id = ?1 AND removed_ms IS NULL",
        )?
        .exists(params![id.as_bytes(), tombstone.as_bytes()])?;
    if written {
        return Ok(true);
    }
    c.prepare_cached(
        "SELECT 1 FROM views v JOIN messages m ON m.mailbox = v.mailbox
         WHERE m.unique_id = ? AND v.view = ? AND v.from_now = 1",
    )?
    .exists(params![id.as_bytes(), tombstone.as_bytes()])
}
