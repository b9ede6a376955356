//! Reclaiming the space of messages that nothing promises any more (rules 14 and 15).
//!
//! A sealed pack is written anew without them, sealed and synced; the index is repointed; the old
//! pack goes. Until the new one is sealed it counts for nothing, from then on the old one does not:
//! a crash at any point is finished, or discarded, at the next opening.

mod copy;
pub(super) mod repoint;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::index::{self, sql};
use super::record::PackHead;
use super::task::{self, lock as lock_mutex};
use super::writer::{Batch, Request, submit};
use super::{Inner, catchup, now_ms, open, reserve, temporary};
use crate::disk::LockFile;
use crate::{MailboxId, StoreError};

/// How often the compactor looks.
const PERIOD: Duration = Duration::from_secs(10 * 60);
/// A pack is rewritten when this share of it is dead, in percent,
const DEAD_PERCENT: u64 = 30;
/// or when something in it is so long past its time: within hold + 24 h it has to be gone.
const OVERDUE_MS: u64 = 12 * 60 * 60 * 1000;
/// How long erasing waits for other processes to let go.
const PATIENCE: Duration = Duration::from_secs(30);

/// The background thread.
#[derive(Debug)]
pub(super) struct Compactor {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Compactor {
    pub(super) fn start(inner: &Arc<Inner>) -> Result<Self, StoreError> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (theirs, inner) = (Arc::clone(&stop), Arc::clone(inner));
        let thread = std::thread::Builder::new()
            .name("store-compactor".into())
            .spawn(move || {
                let stop = || *lock_mutex(&theirs.0);
                while !wait(&theirs) {
                    if let Err(error) = tick(&inner, &stop) {
                        inner.report(vec![error.to_string()]);
                    }
                }
            })
            .map_err(|e| temporary("the compacting thread cannot start", &e))?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) {
        *lock_mutex(&self.stop.0) = true;
        self.stop.1.notify_all();
        let _ = self.thread.join();
    }
}

/// Waits for a period; says whether to stop.
fn wait(stop: &(Mutex<bool>, Condvar)) -> bool {
    let (mut stopped, since) = (lock_mutex(&stop.0), Instant::now());
    loop {
        let rest = PERIOD.saturating_sub(since.elapsed());
        if *stopped || rest.is_zero() {
            return *stopped;
        }
        stopped = match stop.1.wait_timeout(stopped, rest) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
}

fn tick(inner: &Arc<Inner>, stop: &dyn Fn() -> bool) -> Result<(), StoreError> {
    inner.packs.forget_missing();
    reserve::keep(inner);
    match try_lock(inner)? {
        Some(_lock) => run(inner, false, stop).map(drop),
        // Another process is at it.
        None => Ok(()),
    }
}

/// Takes the compactor's lock; `None` while another has it.
fn try_lock(inner: &Inner) -> Result<Option<LockFile>, StoreError> {
    open::lock_file(&inner.folder.join("locks").join("compactor"))
}

/// Takes the compactor's lock.
pub(super) fn lock(inner: &Inner) -> Result<LockFile, StoreError> {
    try_lock(inner)?.ok_or_else(busy)
}

fn busy() -> StoreError {
    StoreError::Temporary("another compactor is at work: try again later".into())
}

/// A connection whose commits are durable: what follows is that files go.
pub(super) fn connect(inner: &Inner) -> Result<Connection, StoreError> {
    let c = inner.index.connect()?;
    c.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    Ok(c)
}

/// Removed at this time or before, a message's bytes may go.
fn cutoff(inner: &Inner) -> i64 {
    let keep = inner.options.hold_ms.max(inner.options.grace_ms);
    now_ms().saturating_sub(keep) as i64
}

pub(super) fn now(inner: &Arc<Inner>) -> Result<usize, StoreError> {
    let _lock = lock(inner)?;
    run(inner, true, &|| false)
}

/// Rewrites the packs that are due, or with `all` every one that has something dead. One that is
/// damaged is reported and left as it is.
fn run(inner: &Arc<Inner>, all: bool, stop: &dyn Fn() -> bool) -> Result<usize, StoreError> {
    let mut c = connect(inner)?;
    finish_locked(inner, &mut c)?;
    let cutoff = cutoff(inner);
    forget_past(&c, cutoff).map_err(sql)?;
    let mut done = 0;
    for (number, dead, oldest) in candidates(&c, cutoff).map_err(sql)? {
        if stop() {
            break;
        }
        let file = inner.packs.reader(number);
        let size = file.and_then(|file| file.octets());
        let size = size.map_err(|e| temporary("a pack cannot be opened", &e))?;
        let overdue = cutoff.saturating_sub(oldest) as u64 >= OVERDUE_MS;
        if !all && !overdue && dead * 100 < size * DEAD_PERCENT {
            continue;
        }
        if !sealed(&c, number)? {
            if !all && !overdue {
                continue;
            }
            seal(inner, number);
            if !sealed(&c, number)? {
                // Its writer is another process, which seals it when it comes by.
                want_seal(&c, number)?;
                continue;
            }
        }
        match rewrite(inner, &mut c, number, stop) {
            Ok(()) => done += 1,
            Err(_) if stop() => break,
            Err(error @ StoreError::Permanent(_)) => inner.report(vec![error.to_string()]),
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Packs with dead messages: how many octets, and when the first of them was removed: long ago if
/// its mailbox was erased, since an erasure that was cut short has to be finished now. A pack that
/// holds only the making and the names of an erased mailbox is not rewritten for those.
fn candidates(c: &Connection, cutoff: i64) -> rusqlite::Result<Vec<(u32, u64, i64)>> {
    c.prepare(
        "SELECT pack, sum(octets), min(since) FROM (
             SELECT pack, length AS octets, removed_ms AS since FROM messages
             WHERE removed_ms IS NOT NULL AND removed_ms <= ?
             UNION ALL
             SELECT e.pack, e.length, 0 FROM mailboxes m JOIN messages e ON e.mailbox = m.id
             WHERE m.erased = 1
             UNION ALL
             SELECT s.pack, length(s.remote), 0 FROM mailboxes m JOIN seen s ON s.mailbox = m.id
             WHERE m.erased = 1)
         GROUP BY pack ORDER BY pack",
    )?
    .query_map([cutoff], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)? as u64, row.get(2)?))
    })?
    .collect()
}

/// Intervals that only snapshots older than a day could ask for.
fn forget_past(c: &Connection, cutoff: i64) -> rusqlite::Result<()> {
    let day = 24 * 60 * 60 * 1000;
    let old = cutoff.min(now_ms() as i64 - day);
    c.execute("DELETE FROM past WHERE removed <= ?", [old])?;
    c.execute("DELETE FROM hidden WHERE until <= ?", [old])?;
    Ok(())
}

pub(super) fn sealed(c: &Connection, number: u32) -> Result<bool, StoreError> {
    let row = index::pack_row(c, number).map_err(sql)?.unwrap_or_default();
    Ok(row.sealed || row.ended.is_some())
}

fn want_seal(c: &Connection, number: u32) -> Result<(), StoreError> {
    c.execute(
        "UPDATE packs SET seal_wanted = 1 WHERE number = ?",
        [number],
    )
    .map(drop)
    .map_err(sql)
}

/// Seals a pack that is this process's, or nobody's.
pub(super) fn seal(inner: &Inner, number: u32) {
    let (told, done) = std::sync::mpsc::channel();
    inner.send(Request::Between(Box::new(move |writer| {
        let _ = told.send(writer.pack.number() == Some(number) || writer.seal_other(number));
    })));
    if done.recv() == Ok(true) {
        // One that is sealed by now makes this seal nothing, or a pack that was just begun.
        let _ = task::wait(submit(
            inner,
            true,
            0,
            1,
            move |batch: &mut Batch<'_, '_>| batch.seal_if(number),
        ));
    }
}

/// Writes a pack anew and puts the new one in its place. [`StoreError::Permanent`] if it is damaged;
/// then, as after any other error before the new one is sealed, nothing has changed.
fn rewrite(
    inner: &Inner,
    c: &mut Connection,
    old: u32,
    stop: &dyn Fn() -> bool,
) -> Result<(), StoreError> {
    let file = inner.packs.reader(old);
    let size = file.and_then(|file| Ok((file.octets()?, file)));
    let (size, file) = size.map_err(|e| temporary("a pack cannot be opened", &e))?;
    // What the index does not know yet would not be decided on.
    catchup::catch_up(inner, c, old, file.as_ref(), size, &mut |_| {})?;
    let dead = copy::drop_dead(inner, c, old, cutoff(inner))?;
    let new = copy::copy(inner, c, old, &dead, stop)?;
    if copy::came_back(c, &dead).map_err(sql)? {
        discard(inner, new)?;
        let what = format!("pack {old:06}: a message came back while it was rewritten: try again");
        return Err(StoreError::Temporary(what));
    }
    repoint::replace(inner, c, new, &[old])
}

/// What a crash left half done: finished or discarded. Left alone while a compactor is at work.
pub(super) fn finish_half_done(inner: &Inner, c: &mut Connection) -> Result<(), StoreError> {
    match try_lock(inner)? {
        Some(_lock) => finish_locked(inner, c),
        None => Ok(()),
    }
}

fn finish_locked(inner: &Inner, c: &mut Connection) -> Result<(), StoreError> {
    // Repointed already, only the file was still there.
    let replaced: Vec<u32> = c
        .prepare("SELECT number FROM packs WHERE replaced IS NOT NULL")
        .and_then(|mut ask| ask.query_map([], |row| row.get(0))?.collect())
        .map_err(sql)?;
    repoint::unlink(inner, c, &replaced)?;
    let there = inner.packs.list();
    let there = there.map_err(|e| temporary("the packs cannot be listed", &e))?;
    for &number in &there {
        if sealed(c, number)? {
            continue;
        }
        let Some(head) = inner.packs.head(number)? else {
            continue;
        };
        if !half_done(&head, &there) {
            continue;
        }
        if catchup::is_whole(&inner.packs, number)? {
            repoint::replace(inner, c, number, &head.replaces)?;
        } else {
            discard(inner, number)?;
        }
    }
    Ok(())
}

/// Whether a pack stands beside what it replaces. Without those it is a pack like any other, and is
/// never discarded, whatever its state.
pub(super) fn half_done(head: &PackHead, there: &[u32]) -> bool {
    head.replaces.iter().any(|old| there.contains(old))
}

/// Removes a replacement that was never finished.
pub(super) fn discard(inner: &Inner, number: u32) -> Result<(), StoreError> {
    let fault = |e: std::io::Error| temporary("an unfinished pack cannot be removed", &e);
    inner.packs.forget(number);
    inner
        .disk()
        .unlink(&inner.packs.path(number))
        .map_err(fault)?;
    inner.disk().sync_dir(&inner.packs.folder).map_err(fault)
}

/// Before an index is built from nothing: each message stands in one pack only.
pub(super) fn discard_unfinished(inner: &Inner) -> Result<(), StoreError> {
    let fault = |e: std::io::Error| temporary("the packs cannot be tidied", &e);
    let there = inner.packs.list().map_err(fault)?;
    for &number in &there {
        let Some(head) = inner.packs.head(number)? else {
            continue;
        };
        if !half_done(&head, &there) {
            continue;
        }
        if !catchup::is_whole(&inner.packs, number)? {
            discard(inner, number)?;
            continue;
        }
        repoint::make_durable(inner, number).map_err(fault)?;
        for old in head.replaces.iter().filter(|old| there.contains(old)) {
            discard(inner, *old)?;
        }
    }
    Ok(())
}

/// Rewrites every pack that holds messages of an erased mailbox, or its ledger, before it returns.
/// Its other records without bodies stay in packs that hold neither.
pub(super) fn erase(inner: &Arc<Inner>, id: MailboxId) -> Result<(), StoreError> {
    let since = Instant::now();
    let _lock = loop {
        match try_lock(inner)? {
            Some(lock) => break lock,
            None if since.elapsed() > PATIENCE => return Err(busy()),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let mut c = connect(inner)?;
    finish_locked(inner, &mut c)?;
    let holding = |c: &Connection| -> rusqlite::Result<BTreeSet<u32>> {
        c.prepare(
            "SELECT e.pack FROM messages e JOIN mailboxes m ON m.id = e.mailbox
             WHERE m.mailbox = ?1
             UNION
             SELECT s.pack FROM seen s JOIN mailboxes m ON m.id = s.mailbox WHERE m.mailbox = ?1",
        )?
        .query_map(params![id.as_bytes()], |row| row.get(0))?
        .collect()
    };
    // One damaged pack does not keep the others from being rewritten.
    let mut damaged = BTreeMap::new();
    loop {
        let mut packs = holding(&c).map_err(sql)?;
        packs.retain(|number| !damaged.contains_key(number));
        if packs.is_empty() {
            return damaged.into_values().next().map_or(Ok(()), Err);
        }
        for number in packs {
            if !sealed(&c, number)? {
                seal(inner, number);
            }
            if sealed(&c, number)? {
                match rewrite(inner, &mut c, number, &|| false) {
                    Err(error @ StoreError::Permanent(_)) => drop(damaged.insert(number, error)),
                    other => other?,
                }
                continue;
            }
            want_seal(&c, number)?;
            if since.elapsed() > PATIENCE {
                return Err(StoreError::Temporary(format!(
                    "another process writes to pack {number:06} and does not let go: the mailbox is removed, but not erased yet"
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
