//! Bringing the index up to what the packs say.

use rusqlite::Connection;

use super::index::apply::Applier;
use super::index::{self, sql};
use super::pack::Packs;
use super::record::Record;
use super::scan::{Batch, Found, Scanner};
use super::{Inner, Place, now_ms, temporary};
use crate::StoreError;
use crate::disk::DiskFile;
use crate::limits::INDEX_TRANSACTION_ROWS;

/// Records of whole batches, read ahead of a transaction.
struct Group {
    records: Vec<Found>,
    next: u64,
    sealed: bool,
    damage: Vec<String>,
    more: bool,
}

fn rows(record: &Record) -> usize {
    match record {
        Record::Tombstone { ids, .. } | Record::Hide { ids, .. } => ids.len() + 1,
        Record::Undo { pairs, .. } => pairs.len() + 1,
        Record::Seen { seen, .. } => seen.len() + 1,
        Record::Forget { pairs, .. } => pairs.len() + 1,
        _ => 1,
    }
}

/// Reads batches from `from` on until a transaction is full. A batch is never cut: who reads the
/// index would see half a QUIT.
fn read_group(scanner: &mut Scanner<'_>, number: u32, from: u64) -> Result<Group, StoreError> {
    let mut group = Group {
        records: Vec::new(),
        next: from,
        sealed: false,
        damage: Vec::new(),
        more: true,
    };
    let mut size = 0;
    while size < INDEX_TRANSACTION_ROWS {
        let (records, next) = match scanner.batch(group.next)? {
            Batch::Whole { records, next } => (records, next),
            Batch::Damaged { records, next } => {
                let from = group.next;
                group.damage.push(format!(
                    "pack {number:06}: octets {from} to {next} are damaged"
                ));
                (records, next)
            }
            Batch::Tail | Batch::End => {
                group.more = false;
                break;
            }
        };
        size += records.iter().map(|f| rows(&f.record)).sum::<usize>();
        group.sealed = matches!(records.last().map(|f| &f.record), Some(Record::Seal));
        group.records.extend(records);
        group.next = next;
    }
    Ok(group)
}

/// Applies what a pack has behind its watermark, up to `end`.
pub(super) fn catch_up(
    inner: &Inner,
    c: &mut Connection,
    number: u32,
    file: &dyn DiskFile,
    end: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    loop {
        let row = index::pack_row(c, number).map_err(sql)?.unwrap_or_default();
        let from = row.watermark;
        let end = row.ended.map_or(end, |ended| ended.min(end));
        let mut scanner = Scanner::new(file, end);
        let group = read_group(&mut scanner, number, from)?;
        if group.next > from {
            let tx = index::begin(c).map_err(sql)?;
            let there = index::pack_row(&tx, number).map_err(sql)?;
            if there.unwrap_or_default().watermark != from {
                continue;
            }
            apply_group(&tx, number, &group).map_err(sql)?;
            tx.commit().map_err(sql)?;
            inner.report(group.damage);
            progress(group.next - from);
        }
        if !group.more {
            return Ok(());
        }
    }
}

fn apply_group(c: &Connection, number: u32, group: &Group) -> rusqlite::Result<()> {
    let mut applier = Applier::new(c, now_ms())?;
    for found in &group.records {
        let place = Place {
            pack: number,
            offset: found.offset,
            octets: found.octets,
        };
        applier.apply(&found.record, place)?;
    }
    applier.watermark(number, group.next, group.sealed)?;
    applier.finish()
}

/// Catches up with every pack that no living process writes to: at opening, and to build anew.
pub(super) fn catch_up_all(
    inner: &Inner,
    c: &mut Connection,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let packs = &inner.packs;
    let list = || {
        packs
            .list()
            .map_err(|e| temporary("the packs cannot be listed", &e))
    };
    let mut pending = Vec::new();
    for number in list()? {
        let row = index::pack_row(c, number).map_err(sql)?.unwrap_or_default();
        if row.sealed || row.ended.is_some_and(|ended| row.watermark >= ended) {
            continue;
        }
        pending.push(number);
    }
    // What a pack says of others counts before those are read.
    let mut replaced = Vec::new();
    for &number in &pending {
        if let Some(head) = packs.head(number)? {
            for (other, at) in head.ended {
                let applier = Applier::new(c, now_ms()).map_err(sql)?;
                applier.end_pack(other, at).map_err(sql)?;
            }
            if !head.replaces.is_empty() {
                replaced.push((number, head.replaces));
            }
        }
    }
    let there = list()?;
    for (number, olds) in replaced {
        // While both are there the old ones count; the compactor finishes or discards the new one.
        if olds.iter().any(|old| there.contains(old)) {
            pending.retain(|n| *n != number);
        }
    }
    for number in pending {
        one(inner, c, number, progress)?;
    }
    Ok(())
}

/// Whether a pack is whole from its first batch to the one that seals it. Power loss may keep the
/// end of what was not synced and lose its middle.
pub(super) fn is_whole(packs: &Packs, number: u32) -> Result<bool, StoreError> {
    let fault = |e: std::io::Error| temporary("a pack cannot be read", &e);
    let file = packs.reader(number).map_err(fault)?;
    let mut scanner = Scanner::new(file.as_ref(), file.octets().map_err(fault)?);
    let (mut at, mut sealed) = (0, false);
    loop {
        match scanner.batch(at)? {
            Batch::Whole { records, next } => {
                sealed = matches!(records.last().map(|f| &f.record), Some(Record::Seal));
                at = next;
            }
            Batch::Damaged { .. } | Batch::Tail => return Ok(false),
            Batch::End => return Ok(sealed),
        }
    }
}

fn one(
    inner: &Inner,
    c: &mut Connection,
    number: u32,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let row = index::pack_row(c, number).map_err(sql)?.unwrap_or_default();
    if row.ended.is_some() {
        let fault = |e: std::io::Error| temporary("a pack cannot be read", &e);
        let file = inner.packs.reader(number).map_err(fault)?;
        let end = file.octets().map_err(fault)?;
        return catch_up(inner, c, number, file.as_ref(), end, progress);
    }
    // Held by a process that lives: that one keeps the index itself.
    let Some(found) = inner.packs.recover(number, row.watermark)? else {
        return Ok(());
    };
    inner.report(found.rescued.into_iter().collect());
    catch_up(inner, c, number, found.file.as_ref(), found.end, progress)
}
