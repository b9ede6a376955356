//! The ledger of the fetcher: which remote messages need not be taken any more (rule 8).
//!
//! A fetched message's entry is its line in the ledger. Once the entry goes, a `Seen` record with the
//! entry's unique-id as stamp says the same; others are written for what was never stored from
//! there. A `Forget` record names stamps, so it cancels just what was there when it was decided,
//! whatever the order in which the packs are read.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, params};

use super::history;
use super::index::sql;
use super::record::Record;
use super::writer::{Batch, submit};
use super::{Inner, decide};
use crate::limits::{INDEX_TRANSACTION_ROWS, LEDGER_INLINE_ENTRIES};
use crate::{LedgerEntry, MailboxId, MessageInfo, Seen, Source, StoreError, TombstoneId, UniqueId};

/// Asks for single remote unique-ids of one account: a hundred thousand times in a run, so what is
/// the same for all is bound once.
struct Asker<'c> {
    id: MailboxId,
    account: &'c str,
    /// Removed at this time or before, a message is past restoring.
    oldest: u64,
    message: CachedStatement<'c>,
    seen: CachedStatement<'c>,
    forgotten: CachedStatement<'c>,
}

impl<'c> Asker<'c> {
    fn new(
        c: &'c Connection,
        (id, mailbox): (MailboxId, i64),
        account: &'c str,
        oldest: u64,
    ) -> rusqlite::Result<Self> {
        let ask = |query| -> rusqlite::Result<CachedStatement<'c>> {
            let mut ask = c.prepare_cached(query)?;
            ask.raw_bind_parameter(1, mailbox)?;
            ask.raw_bind_parameter(2, account)?;
            Ok(ask)
        };
        Ok(Self {
            id,
            account,
            oldest,
            message: ask(
                "SELECT unique_id, size, octets, received, digest, removed_ms, tombstone
                 FROM messages WHERE mailbox = ?1 AND account = ?2 AND remote = ?3
                 ORDER BY unique_id DESC",
            )?,
            seen: ask("SELECT stamp, received FROM seen s
                 WHERE mailbox = ?1 AND account = ?2 AND remote = ?3 AND NOT EXISTS (
                     SELECT 1 FROM forgotten f WHERE f.mailbox = ?1 AND f.account = ?2
                       AND f.remote = ?3 AND f.stamp = s.stamp)
                 ORDER BY stamp DESC")?,
            forgotten: ask("SELECT 1 FROM forgotten
                 WHERE mailbox = ?1 AND account = ?2 AND remote = ?3 AND stamp = ?4")?,
        })
    }

    fn restorable(&self, message: &MessageInfo) -> bool {
        message.removed.is_none_or(|(at, _)| at > self.oldest)
    }

    fn is_forgotten(&mut self, remote_id: &[u8], stamp: &[u8; 16]) -> rusqlite::Result<bool> {
        self.forgotten.raw_bind_parameter(3, remote_id)?;
        self.forgotten.raw_bind_parameter(4, stamp)?;
        Ok(self.forgotten.raw_query().next()?.is_some())
    }

    /// The messages that were fetched under the remote unique-id, the youngest first.
    fn messages(&mut self, remote_id: &[u8]) -> rusqlite::Result<Vec<MessageInfo>> {
        self.message.raw_bind_parameter(3, remote_id)?;
        let (mut rows, mut all) = (self.message.raw_query(), Vec::new());
        while let Some(row) = rows.next()? {
            let removed_ms: Option<i64> = row.get(5)?;
            let tombstone: Option<[u8; 16]> = row.get(6)?;
            all.push(MessageInfo {
                unique_id: UniqueId::from_bytes(row.get(0)?),
                mailbox: self.id,
                size: row.get::<_, i64>(1)? as u64,
                octets: row.get::<_, i64>(2)? as u64,
                received_ms: row.get::<_, i64>(3)? as u64,
                digest: row.get(4)?,
                source: Some(Source {
                    account: self.account.to_owned(),
                    remote_id: remote_id.to_vec(),
                }),
                removed: removed_ms
                    .zip(tombstone)
                    .map(|(at, tombstone)| (at as u64, TombstoneId::from_bytes(tombstone))),
            });
        }
        Ok(all)
    }

    /// Stamps and times of its `Seen` records that were not forgotten, the youngest first.
    fn seen(&mut self, remote_id: &[u8]) -> rusqlite::Result<Vec<([u8; 16], u64)>> {
        self.seen.raw_bind_parameter(3, remote_id)?;
        let (mut rows, mut all) = (self.seen.raw_query(), Vec::new());
        while let Some(row) = rows.next()? {
            all.push((row.get(0)?, row.get::<_, i64>(1)? as u64));
        }
        Ok(all)
    }

    fn find(&mut self, remote_id: &[u8]) -> rusqlite::Result<Option<LedgerEntry>> {
        let entry = |received_ms, message| LedgerEntry {
            remote_id: remote_id.to_vec(),
            received_ms,
            message,
        };
        let mut messages = self.messages(remote_id)?;
        if let Some(at) = messages.iter().position(|m| self.restorable(m)) {
            let there = messages.swap_remove(at);
            return Ok(Some(entry(there.received_ms, Some(there))));
        }
        for gone in messages {
            if !self.is_forgotten(remote_id, gone.unique_id.as_bytes())? {
                return Ok(Some(entry(gone.received_ms, None)));
            }
        }
        let seen = self.seen(remote_id)?;
        Ok(seen
            .first()
            .map(|(_, received_ms)| entry(*received_ms, None)))
    }

    /// What stands for the remote unique-id though nothing can be restored: to be forgotten.
    fn stamps(&mut self, remote_id: &[u8]) -> rusqlite::Result<Vec<[u8; 16]>> {
        let mut stamps: Vec<_> = self.seen(remote_id)?.into_iter().map(|s| s.0).collect();
        for message in self.messages(remote_id)? {
            let stamp = *message.unique_id.as_bytes();
            if !self.restorable(&message)
                && !stamps.contains(&stamp)
                && !self.is_forgotten(remote_id, &stamp)?
            {
                stamps.push(stamp);
            }
        }
        Ok(stamps)
    }
}

pub(super) async fn find(
    inner: &Arc<Inner>,
    mailbox: MailboxId,
    account: &str,
    remote_ids: &[Vec<u8>],
) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
    if remote_ids.len() <= LEDGER_INLINE_ENTRIES {
        return find_now(inner, mailbox, account, remote_ids);
    }
    let (own, account, remote_ids) = (Arc::clone(inner), account.to_owned(), remote_ids.to_vec());
    let work = move || find_now(&own, mailbox, &account, &remote_ids);
    inner.workers.run(work).await
}

fn find_now(
    inner: &Inner,
    mailbox: MailboxId,
    account: &str,
    remote_ids: &[Vec<u8>],
) -> Result<Vec<Option<LedgerEntry>>, StoreError> {
    let oldest = history::oldest(inner);
    let found = inner.index.read_together(|c| {
        let Some(row) = history::row_of(c, mailbox)? else {
            return Ok(None);
        };
        let mut asker = Asker::new(c, (mailbox, row), account, oldest)?;
        let all = remote_ids.iter().map(|id| asker.find(id));
        all.collect::<rusqlite::Result<Vec<_>>>().map(Some)
    })?;
    found.ok_or(StoreError::NotFound)
}

pub(super) async fn page(
    inner: &Arc<Inner>,
    mailbox: MailboxId,
    account: &str,
    after: Option<&[u8]>,
    max: usize,
) -> Result<Vec<LedgerEntry>, StoreError> {
    if max <= LEDGER_INLINE_ENTRIES {
        return page_now(inner, mailbox, account, after, max);
    }
    let (own, account) = (Arc::clone(inner), account.to_owned());
    let after = after.map(<[u8]>::to_vec);
    let work = move || page_now(&own, mailbox, &account, after.as_deref(), max);
    inner.workers.run(work).await
}

fn page_now(
    inner: &Inner,
    mailbox: MailboxId,
    account: &str,
    after: Option<&[u8]>,
    max: usize,
) -> Result<Vec<LedgerEntry>, StoreError> {
    let oldest = history::oldest(inner);
    let found = inner.index.read_together(|c| {
        let Some(row) = history::row_of(c, mailbox)? else {
            return Ok(None);
        };
        let mut asker = Asker::new(c, (mailbox, row), account, oldest)?;
        let mut page = Vec::new();
        let mut after = after.map(<[u8]>::to_vec);
        while page.len() < max {
            let ids = ids_after(c, row, account, after.as_deref(), max - page.len())?;
            let Some(last) = ids.last() else { break };
            after = Some(last.clone());
            // Some may be forgotten: then more have to be read for a full page.
            for id in &ids {
                page.extend(asker.find(id)?);
            }
        }
        Ok(Some(page))
    })?;
    found.ok_or(StoreError::NotFound)
}

/// Remote unique-ids that something is known of, in their order.
fn ids_after(
    c: &Connection,
    mailbox: i64,
    account: &str,
    after: Option<&[u8]>,
    max: usize,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    // An empty remote unique-id is one too, so that the first page has no lower bound.
    let bound = if after.is_some() { ">" } else { ">=" };
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    c.prepare_cached(&format!(
        "SELECT remote FROM messages WHERE mailbox = ?1 AND account = ?2 AND remote {bound} ?3
         UNION SELECT remote FROM seen WHERE mailbox = ?1 AND account = ?2 AND remote {bound} ?3
         ORDER BY remote LIMIT ?4"
    ))?
    .query_map(
        params![mailbox, account, after.unwrap_or_default(), max],
        |row| row.get(0),
    )?
    .collect()
}

/// Writes in parts, each durable by itself: one index transaction must not grow with what a remote
/// server lists.
pub(super) async fn record(
    inner: &Inner,
    mailbox: MailboxId,
    seen: &[Seen],
) -> Result<(), StoreError> {
    if seen.is_empty() {
        return there(inner, mailbox);
    }
    let mut answers = Vec::new();
    for part in seen.chunks(INDEX_TRANSACTION_ROWS) {
        let (part, rows) = (part.to_vec(), part.len());
        answers.push(submit(inner, false, 0, rows, move |batch| {
            decide_seen(batch, mailbox, &part)
        }));
    }
    all(answers).await
}

pub(super) async fn forget(
    inner: &Inner,
    mailbox: MailboxId,
    account: &str,
    remote_ids: &[Vec<u8>],
) -> Result<(), StoreError> {
    if remote_ids.is_empty() {
        return there(inner, mailbox);
    }
    let mut answers = Vec::new();
    for part in remote_ids.chunks(INDEX_TRANSACTION_ROWS) {
        let (part, rows, account) = (part.to_vec(), part.len(), account.to_owned());
        answers.push(submit(inner, false, 0, rows, move |batch| {
            decide_forget(batch, mailbox, &account, &part)
        }));
    }
    all(answers).await
}

fn there(inner: &Inner, mailbox: MailboxId) -> Result<(), StoreError> {
    let row = inner.index.read(|c| history::row_of(c, mailbox))?;
    row.map(drop).ok_or(StoreError::NotFound)
}

/// Waits for all, whatever becomes of some, so that nothing is under way any more.
async fn all(answers: Vec<super::task::Answer<()>>) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    for answer in answers {
        outcome = outcome.and(answer.await);
    }
    outcome
}

fn decide_seen(batch: &mut Batch<'_, '_>, id: MailboxId, seen: &[Seen]) -> Result<(), StoreError> {
    let c = batch.index()?;
    let row = decide::mailbox(c, id)?;
    let oldest = history::oldest(batch.inner);
    let stamp = batch.inner.next_id();
    for of_one in seen.chunk_by(|a, b| a.source.account == b.source.account) {
        let account = &of_one[0].source.account;
        let mut fresh = Vec::new();
        let mut asker = Asker::new(c, (id, row.id), account, oldest).map_err(sql)?;
        for seen in of_one {
            let remote_id = &seen.source.remote_id;
            if asker.find(remote_id).map_err(sql)?.is_none() {
                fresh.push((remote_id.clone(), seen.received_ms));
            }
        }
        drop(asker);
        if !fresh.is_empty() {
            batch.put(&Record::Seen {
                mailbox: id,
                stamp,
                account: account.clone(),
                seen: fresh,
            })?;
        }
    }
    Ok(())
}

fn decide_forget(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    account: &str,
    remote_ids: &[Vec<u8>],
) -> Result<(), StoreError> {
    let c = batch.index()?;
    let row = decide::mailbox(c, id)?;
    let oldest = history::oldest(batch.inner);
    let mut pairs = Vec::new();
    let mut asker = Asker::new(c, (id, row.id), account, oldest).map_err(sql)?;
    for remote_id in remote_ids {
        let stamps = asker.stamps(remote_id).map_err(sql)?;
        pairs.extend(stamps.into_iter().map(|stamp| (stamp, remote_id.clone())));
    }
    drop(asker);
    if pairs.is_empty() {
        return Ok(());
    }
    batch.put(&Record::Forget {
        mailbox: id,
        account: account.to_owned(),
        pairs,
    })
}

/// Whether a pack still says that a message was seen which is forgotten, so that what forgets it has
/// to stay; `with` is the pack that is being written anew without such things.
pub(super) fn forget_needed(
    c: &Connection,
    mailbox: MailboxId,
    account: &str,
    (stamp, remote_id): (&[u8; 16], &[u8]),
    with: u32,
) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT 1 FROM seen s JOIN mailboxes m ON m.id = s.mailbox
         WHERE m.mailbox = ?1 AND s.account = ?2 AND s.remote = ?3 AND s.stamp = ?4 AND s.pack <> ?5",
    )?
    .exists(params![mailbox.as_bytes(), account, remote_id, stamp, with])
}

/// Whether a stamp was forgotten.
pub(super) fn is_forgotten(
    c: &Connection,
    mailbox: MailboxId,
    account: &str,
    (stamp, remote_id): (&[u8; 16], &[u8]),
) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT 1 FROM forgotten f JOIN mailboxes m ON m.id = f.mailbox
         WHERE m.mailbox = ?1 AND f.account = ?2 AND f.remote = ?3 AND f.stamp = ?4",
    )?
    .exists(params![mailbox.as_bytes(), account, remote_id, stamp])
}

/// Whether a mailbox was removed: then nothing of its ledger is of use.
pub(super) fn is_closed(c: &Connection, mailbox: MailboxId) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT 1 FROM mailboxes WHERE mailbox = ? AND removed_ms IS NOT NULL")?
        .exists([mailbox.as_bytes()])
}

/// Whether the index has a message, in whatever state.
pub(super) fn has_entry(c: &Connection, id: UniqueId) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT 1 FROM messages WHERE unique_id = ?")?
        .exists([id.as_bytes()])
}
