//! An opened mailbox: a few numbers, and a listing while one is wanted.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, params};

use super::task::lock;
use super::writer::submit;
use super::{Inner, Place, body, decide, now_ms};
use crate::disk::LockFile;
use crate::limits::LISTING_INLINE_MESSAGES;
use crate::{
    Access, Body, DeletionSet, Listing, ListingEntry, MailboxId, Maildrop, StoreError, StoreFuture,
    Totals, UniqueId, ViewId,
};

/// A snapshot (rule 10): which mailbox and view, and which sequence numbers count.
#[derive(Clone, Copy)]
struct Snapshot {
    mailbox: i64,
    /// The view's row, if it has one: without, it has hidden nothing.
    view: Option<i64>,
    seq: i64,
    /// Which index the rows are of.
    generation: u64,
    totals: Totals,
}

struct Loaded {
    entries: Arc<Listing>,
    places: Vec<Place>,
}

struct EmbeddedMaildrop {
    inner: Arc<Inner>,
    id: MailboxId,
    view: ViewId,
    snapshot: Snapshot,
    listing: Mutex<Option<Arc<Loaded>>>,
    /// Held for its lock only.
    _lock: Option<LockFile>,
}

/// Octets of an opened mailbox without its listing.
#[cfg(test)]
pub(super) const SIZE: usize = size_of::<EmbeddedMaildrop>();

pub(super) async fn open(
    inner: &Arc<Inner>,
    id: MailboxId,
    view: ViewId,
    access: Access,
) -> Result<Box<dyn Maildrop>, StoreError> {
    let lock = match access {
        Access::Shared => None,
        Access::Exclusive => Some(inner.lock_mailbox(id)?),
    };
    let generation = inner.index.generation.load(Ordering::Acquire);
    let take = || inner.index.read(|c| snapshot(c, id, view, generation));
    let (mut snapshot, mut usage) = take()?.ok_or(StoreError::NotFound)?;
    if usage != Usage::Told {
        let told = submit(inner, false, 0, 1, move |batch| {
            decide::views::opened(batch, id, view)
        });
        // While it has not ended nobody waits: this process decides on nothing before it is written,
        // and lost in a crash it is written at the next opening.
        if usage == Usage::Lapsed {
            // What the snapshot shows must wait for this view again.
            told.await?;
            (snapshot, usage) = take()?.ok_or(StoreError::NotFound)?;
            debug_assert!(usage != Usage::Lapsed);
        }
    }
    Ok(Box::new(EmbeddedMaildrop {
        inner: Arc::clone(inner),
        id,
        view,
        snapshot,
        listing: Mutex::new(None),
        _lock: lock,
    }))
}

/// What is to be written of an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Usage {
    Told,
    Due,
    /// The view holds nothing back until it is.
    Lapsed,
}

/// One statement: STAT is O(1). `None` when there is no such mailbox or view.
fn snapshot(
    c: &Connection,
    id: MailboxId,
    view: ViewId,
    generation: u64,
) -> rusqlite::Result<Option<(Snapshot, Usage)>> {
    c.prepare_cached(
        "SELECT m.id, m.seq, m.count, m.octets, m.plain_used, v.id, v.hidden_count,
             v.hidden_octets, v.name IS NOT NULL, coalesce(v.lapsed, 0), v.used_ms,
             EXISTS (SELECT 1 FROM views o
                 WHERE o.mailbox = m.id AND o.name IS NOT NULL AND o.gone = 0)
         FROM mailboxes m LEFT JOIN views v ON v.mailbox = m.id AND v.view = ?2 AND v.gone = 0
         WHERE m.mailbox = ?1 AND m.removed_ms IS NULL AND m.name IS NOT NULL",
    )?
    .query_row(params![id.as_bytes(), view.as_bytes()], |row| {
        let number = |at: usize| row.get::<_, Option<i64>>(at).map(Option::unwrap_or_default);
        if view != ViewId::PLAIN && !row.get::<_, bool>(8)? {
            return Ok(None);
        }
        let totals = Totals {
            count: (number(2)? - number(6)?) as u64,
            octets: (number(3)? - number(7)?) as u64,
        };
        let snapshot = Snapshot {
            mailbox: row.get(0)?,
            view: row.get(5)?,
            seq: row.get(1)?,
            generation,
            totals,
        };
        let used_ms: Option<i64> = row.get(10)?;
        let used_ms = used_ms.map(|ms| ms as u64);
        let has_views: bool = row.get(11)?;
        let usage = if row.get(9)? {
            Usage::Lapsed
        } else if (view == ViewId::PLAIN && !row.get::<_, bool>(4)?)
            || (has_views && decide::views::is_use_due(used_ms, view, now_ms()))
        {
            Usage::Due
        } else {
            Usage::Told
        };
        Ok(Some((snapshot, usage)))
    })
    .optional()
    .map(Option::flatten)
}

fn load(inner: &Inner, snapshot: &Snapshot) -> Result<Loaded, StoreError> {
    if inner.index.generation.load(Ordering::Acquire) != snapshot.generation {
        let what = "the index was rebuilt: open the mailbox again";
        return Err(StoreError::Temporary(what.into()));
    }
    let mut rows = match snapshot.view {
        // One statement sees one state.
        None => inner.index.read(|c| rows(c, snapshot))?,
        Some(view) => inner.index.read_together(|c| {
            let mut rows = rows(c, snapshot)?;
            let hidden = hidden(c, view, snapshot.seq)?;
            rows.retain(|row| !hidden.contains(row.0.unique_id.as_bytes()));
            Ok(rows)
        })?,
    };
    rows.sort_by_key(|row| row.0.unique_id);
    let octets = rows.iter().map(|row| row.0.octets).sum::<u64>();
    if (rows.len() as u64, octets) != (snapshot.totals.count, snapshot.totals.octets) {
        // Messages that were in it are gone for good, or the view is: numbers would shift.
        let what = "the snapshot is too old to be listed again: open the mailbox again";
        return Err(StoreError::Temporary(what.into()));
    }
    Ok(Loaded {
        entries: rows.iter().map(|row| row.0).collect(),
        places: rows.iter().map(|row| row.1).collect(),
    })
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(ListingEntry, Place)> {
    let entry = ListingEntry {
        unique_id: UniqueId::from_bytes(row.get(0)?),
        octets: row.get::<_, i64>(1)? as u64,
    };
    let place = Place {
        pack: row.get(2)?,
        offset: row.get::<_, i64>(3)? as u64,
        octets: row.get::<_, i64>(4)? as u64,
    };
    Ok((entry, place))
}

/// What is in the mailbox, and what was removed after the snapshot was taken and restored since.
fn rows(c: &Connection, s: &Snapshot) -> rusqlite::Result<Vec<(ListingEntry, Place)>> {
    let mut all = Vec::with_capacity(s.totals.count as usize);
    let mut ask = c.prepare_cached(
        "SELECT unique_id, octets, pack, start, length FROM messages INDEXED BY listing
         WHERE mailbox = ?1 AND removed > ?2 AND added <= ?2
         UNION ALL
         SELECT m.unique_id, m.octets, m.pack, m.start, m.length
         FROM past p JOIN messages m ON m.unique_id = p.unique_id
         WHERE p.mailbox = ?1 AND p.added <= ?2 AND p.removed > ?2",
    )?;
    for found in ask.query_map([s.mailbox, s.seq], row)? {
        all.push(found?);
    }
    Ok(all)
}

/// What the view has hidden in the snapshot.
fn hidden(
    c: &Connection,
    view: i64,
    seq: i64,
) -> rusqlite::Result<std::collections::HashSet<[u8; 16]>> {
    c.prepare_cached("SELECT unique_id FROM hidden WHERE view = ?1 AND at <= ?2 AND until > ?2")?
        .query_map([view, seq], |row| row.get(0))?
        .collect()
}

impl EmbeddedMaildrop {
    async fn loaded(&self) -> Result<Arc<Loaded>, StoreError> {
        if let Some(loaded) = &*lock(&self.listing) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = if self.snapshot.totals.count <= LISTING_INLINE_MESSAGES {
            load(&self.inner, &self.snapshot)?
        } else {
            let (inner, snapshot) = (Arc::clone(&self.inner), self.snapshot);
            let work = move || load(&inner, &snapshot);
            self.inner.workers.run(work).await?
        };
        let loaded = Arc::new(loaded);
        *lock(&self.listing) = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

impl Maildrop for EmbeddedMaildrop {
    fn totals(&self) -> Totals {
        self.snapshot.totals
    }

    fn listing(&self) -> StoreFuture<'_, Arc<Listing>> {
        Box::pin(async move { Ok(Arc::clone(&self.loaded().await?.entries)) })
    }

    fn forget_listing(&self) {
        *lock(&self.listing) = None;
    }

    fn body(&self, index: usize) -> StoreFuture<'_, Box<dyn Body>> {
        Box::pin(async move {
            let loaded = self.loaded().await?;
            let entry = loaded.entries.get(index).ok_or(StoreError::NotFound)?;
            body::open(&self.inner, entry.unique_id, loaded.places[index]).await
        })
    }

    fn commit_deletions<'a>(&'a self, set: &'a DeletionSet) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if set.is_empty() {
                return Ok(());
            }
            let loaded = self.loaded().await?;
            let mut ids = Vec::with_capacity(set.len());
            for index in set.iter() {
                let entry = loaded.entries.get(index).ok_or(StoreError::NotFound)?;
                ids.push(entry.unique_id);
            }
            let (id, view, rows) = (self.id, self.view, ids.len());
            submit(&self.inner, true, 0, rows, move |batch| {
                decide::delete(batch, id, view, &ids)
            })
            .await
        })
    }
}

/// Where a message is now.
pub(super) fn place(c: &Connection, id: UniqueId) -> rusqlite::Result<Option<Place>> {
    c.prepare_cached(
        "SELECT unique_id, octets, pack, start, length FROM messages WHERE unique_id = ?",
    )?
    .query_row([id.as_bytes()], row)
    .optional()
    .map(|found| found.map(|(_, place)| place))
}

impl Inner {
    pub(super) fn place(&self, id: UniqueId) -> Result<Option<Place>, StoreError> {
        self.index.read(|c| place(c, id))
    }
}
