//! What is to be written for each wish: decided once, in the index's own transaction, so that no
//! other process decides at the same time; replay only repeats it.

pub(super) mod views;

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::draft::SealedBody;
use super::index::apply::release_number;
use super::index::{LIVE, sql};
use super::now_ms;
use super::record::{Entry, Record};
use super::writer::Batch;
use crate::{Delivery, MailboxId, Release, StoreError, TombstoneId, UniqueId, ViewId};

type Wish<T> = Result<T, StoreError>;

pub(super) struct MailboxRow {
    pub(super) id: i64,
    release: Option<i64>,
    plain_used: bool,
}

/// A mailbox that is there; [`StoreError::NotFound`] if not.
pub(super) fn mailbox(c: &Connection, id: MailboxId) -> Wish<MailboxRow> {
    c.prepare_cached(
        "SELECT id, release, plain_used FROM mailboxes
         WHERE mailbox = ? AND removed_ms IS NULL AND name IS NOT NULL",
    )
    .and_then(|mut ask| {
        ask.query_row([id.as_bytes()], |row| {
            Ok(MailboxRow {
                id: row.get(0)?,
                release: row.get(1)?,
                plain_used: row.get(2)?,
            })
        })
        .optional()
    })
    .map_err(sql)?
    .ok_or(StoreError::NotFound)
}

pub(super) fn release_of(stored: Option<i64>, has_views: bool) -> Release {
    match stored {
        Some(number) if number == release_number(Release::AtOnce) => Release::AtOnce,
        Some(number) if number == release_number(Release::Never) => Release::Never,
        None if !has_views => Release::AtOnce,
        _ => Release::AllDevices,
    }
}

/// A time-ordered stamp for records of which the youngest counts.
fn stamp(batch: &Batch<'_, '_>) -> [u8; 16] {
    batch.inner.next_id()
}

/// What a delivery is recorded as, under its unique-id.
fn entry(delivery: &Delivery, body: &SealedBody, unique_id: UniqueId) -> Entry {
    Entry {
        mailbox: delivery.mailbox,
        unique_id,
        flags: body.flags,
        size: delivery.message.size,
        octets: delivery.message.octets,
        received_ms: delivery.received_ms,
        frame: 0,
        digest: delivery.message.digest,
        source: delivery.source.clone(),
    }
}

pub(super) fn deliver(
    batch: &mut Batch<'_, '_>,
    deliveries: &[(Delivery, Arc<SealedBody>)],
) -> Wish<Vec<UniqueId>> {
    if batch.has_index() {
        let c = batch.index()?;
        for (delivery, _) in deliveries {
            mailbox(c, delivery.mailbox)?;
        }
    }
    let mut ids = Vec::with_capacity(deliveries.len());
    for (delivery, body) in deliveries {
        let unique_id = UniqueId::from_bytes(batch.inner.next_id());
        let entry = entry(delivery, body, unique_id);
        batch.put_entry(entry, body)?;
        ids.push(unique_id);
    }
    Ok(ids)
}

fn find(c: &Connection, name: &str) -> Wish<Option<MailboxId>> {
    c.prepare_cached(
        "SELECT mailbox FROM mailboxes WHERE name = ? AND removed_ms IS NULL ORDER BY mailbox LIMIT 1",
    )
    .and_then(|mut ask| ask.query_row([name], |row| row.get(0)).optional())
    .map(|found| found.map(MailboxId::from_bytes))
    .map_err(sql)
}

pub(super) fn create(batch: &mut Batch<'_, '_>, name: &str) -> Wish<MailboxId> {
    if let Some(there) = find(batch.index()?, name)? {
        return Ok(there);
    }
    let stamp = stamp(batch);
    let mailbox = MailboxId::from_bytes(stamp);
    let name = name.to_owned();
    batch.put(&Record::Create {
        mailbox,
        stamp,
        name,
    })?;
    Ok(mailbox)
}

/// Gives a mailbox whose making was lost a name; nothing if it has one.
pub(super) fn name_again(batch: &mut Batch<'_, '_>, id: MailboxId, name: &str) -> Wish<()> {
    let named = batch
        .index()?
        .prepare_cached("SELECT 1 FROM mailboxes WHERE mailbox = ? AND name IS NOT NULL")
        .and_then(|mut ask| ask.exists([id.as_bytes()]))
        .map_err(sql)?;
    if named {
        return Ok(());
    }
    batch.put(&Record::Create {
        mailbox: id,
        stamp: *id.as_bytes(),
        name: name.to_owned(),
    })
}

/// Stores messages under the unique-ids that they have, where they are not; those that were removed
/// come back, and so do those whose deletion is known and whose bytes are gone. Says which of them
/// are new here, or back.
pub(super) fn adopt(
    batch: &mut Batch<'_, '_>,
    deliveries: &[(UniqueId, Delivery, Arc<SealedBody>)],
) -> Wish<Vec<UniqueId>> {
    let mut back = Vec::new();
    for (id, delivery, body) in deliveries {
        let c = batch.index()?;
        let row = mailbox(c, delivery.mailbox)?;
        let there: Option<Option<i64>> = c
            .prepare_cached("SELECT removed_ms FROM messages WHERE unique_id = ?")
            .and_then(|mut ask| ask.query_row([id.as_bytes()], |r| r.get(0)).optional())
            .map_err(sql)?;
        if there == Some(None) {
            continue;
        }
        let cancelled = standing(c, row.id, *id).map_err(sql)?;
        if there.is_none() {
            let entry = entry(delivery, body, *id);
            batch.put_entry(entry, body)?;
        }
        if !cancelled.is_empty() {
            let pairs = cancelled.into_iter().map(|t| (t, *id)).collect();
            batch.put(&Record::Undo {
                mailbox: delivery.mailbox,
                pairs,
            })?;
        }
        back.push(*id);
    }
    Ok(back)
}

pub(super) fn rename(batch: &mut Batch<'_, '_>, id: MailboxId, name: &str) -> Wish<()> {
    let c = batch.index()?;
    mailbox(c, id)?;
    match find(c, name)? {
        Some(there) if there == id => return Ok(()),
        Some(_) => {
            let what = format!("a mailbox is named {name:?} already");
            return Err(StoreError::Permanent(what));
        }
        None => {}
    }
    let stamp = stamp(batch);
    batch.put(&Record::Rename {
        mailbox: id,
        stamp,
        name: name.to_owned(),
    })
}

pub(super) fn remove_mailbox(batch: &mut Batch<'_, '_>, id: MailboxId, erase: bool) -> Wish<()> {
    mailbox(batch.index()?, id)?;
    let tombstone = TombstoneId::from_bytes(batch.inner.next_id());
    batch.put(&Record::RemoveMailbox {
        mailbox: id,
        tombstone,
        at_ms: now_ms(),
        erase,
    })
}

pub(super) fn set_release(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    release: Option<Release>,
) -> Wish<()> {
    let row = mailbox(batch.index()?, id)?;
    if row.release == release.map(release_number) {
        return Ok(());
    }
    let stamp = stamp(batch);
    batch.put(&Record::Release {
        mailbox: id,
        stamp,
        release,
    })
}

/// Those of `ids` that are in the mailbox and live.
fn live(c: &Connection, mailbox: i64, ids: &[UniqueId]) -> Wish<Vec<UniqueId>> {
    let mut found = Vec::with_capacity(ids.len());
    let mut ask = c
        .prepare_cached(
            "SELECT 1 FROM messages WHERE unique_id = ? AND mailbox = ? AND removed = ?",
        )
        .map_err(sql)?;
    for id in ids {
        let there = ask.exists(params![id.as_bytes(), mailbox, LIVE]);
        if there.map_err(sql)? {
            found.push(*id);
        }
    }
    Ok(found)
}

fn tombstone(
    batch: &mut Batch<'_, '_>,
    mailbox: MailboxId,
    ids: Vec<UniqueId>,
) -> Wish<TombstoneId> {
    let tombstone = TombstoneId::from_bytes(batch.inner.next_id());
    if !ids.is_empty() {
        batch.put(&Record::Tombstone {
            mailbox,
            tombstone,
            at_ms: now_ms(),
            ids,
        })?;
    }
    Ok(tombstone)
}

/// A session's QUIT.
pub(super) fn delete(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    view: ViewId,
    ids: &[UniqueId],
) -> Wish<()> {
    let c = batch.index()?;
    let row = match mailbox(c, id) {
        Ok(row) => row,
        // A mailbox that went took its messages along: nothing is left to do.
        Err(StoreError::NotFound) => return Ok(()),
        Err(error) => return Err(error),
    };
    let there = views::named(c, row.id).map_err(sql)?;
    // Before the rule is asked for: with the last device it falls back to "at once", for all.
    if view != ViewId::PLAIN && !there.iter().any(|v| v.view == view) {
        return Ok(());
    }
    let release = release_of(row.release, !there.is_empty());
    let live = live(c, row.id, ids)?;
    if release == Release::AtOnce {
        return tombstone(batch, id, live).map(drop);
    }
    let fresh = not_hidden(c, row.id, view, &live).map_err(sql)?;
    if !fresh.is_empty() {
        let tombstone = TombstoneId::from_bytes(batch.inner.next_id());
        batch.put(&Record::Hide {
            mailbox: id,
            view,
            tombstone,
            at_ms: now_ms(),
            ids: fresh,
        })?;
    }
    if release == Release::AllDevices {
        views::leave_if_unwanted(batch, id, &row, &live)?;
    }
    Ok(())
}

fn not_hidden(
    c: &Connection,
    mailbox: i64,
    view: ViewId,
    ids: &[UniqueId],
) -> rusqlite::Result<Vec<UniqueId>> {
    let hiding: Option<i64> = c
        .prepare_cached("SELECT id FROM views WHERE mailbox = ? AND view = ? AND hidden_count > 0")?
        .query_row(params![mailbox, view.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(row) = hiding else {
        return Ok(ids.to_vec());
    };
    let mut fresh = Vec::new();
    for id in ids {
        if !views::hides(c, row, *id)? {
            fresh.push(*id);
        }
    }
    Ok(fresh)
}

/// A tool's removal, for every view.
pub(super) fn remove(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    ids: &[UniqueId],
) -> Wish<TombstoneId> {
    let c = batch.index()?;
    let row = mailbox(c, id)?;
    let live = live(c, row.id, ids)?;
    tombstone(batch, id, live)
}

/// Cancels every deletion of those of `ids` that can still come back, or that some view hides.
pub(super) fn restore(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    ids: &[UniqueId],
) -> Wish<Vec<UniqueId>> {
    let c = batch.index()?;
    let row = mailbox(c, id)?;
    let oldest = now_ms().saturating_sub(batch.inner.options.hold_ms) as i64;
    let (mut pairs, mut back) = (Vec::new(), Vec::new());
    for uid in ids {
        let removed: Option<Option<i64>> = c
            .prepare_cached("SELECT removed_ms FROM messages WHERE unique_id = ? AND mailbox = ?")
            .and_then(|mut ask| {
                ask.query_row(params![uid.as_bytes(), row.id], |r| r.get(0))
                    .optional()
            })
            .map_err(sql)?;
        match removed {
            Some(Some(at)) if at > oldest => back.push(*uid),
            Some(None) => {}
            _ => continue,
        }
        let cancelled = standing(c, row.id, *uid).map_err(sql)?;
        pairs.extend(cancelled.into_iter().map(|tombstone| (tombstone, *uid)));
    }
    if !pairs.is_empty() {
        batch.put(&Record::Undo { mailbox: id, pairs })?;
    }
    Ok(back)
}

/// Deletions of a message that were not cancelled; a view from now on is one, by its own id.
fn standing(c: &Connection, mailbox: i64, id: UniqueId) -> rusqlite::Result<Vec<TombstoneId>> {
    c.prepare_cached(
        "SELECT tombstone FROM (
             SELECT tombstone FROM tombstones WHERE unique_id = ?1
             UNION ALL
             SELECT view FROM views WHERE mailbox = ?2 AND from_now = 1 AND gone = 0 AND view > ?1) t
         WHERE NOT EXISTS (SELECT 1 FROM undone u
             WHERE u.unique_id = ?1 AND u.tombstone = t.tombstone)",
    )?
    .query_map(params![id.as_bytes(), mailbox], |row| {
        Ok(TombstoneId::from_bytes(row.get(0)?))
    })?
    .collect()
}
