//! Following the store: what came goes into the index, what left goes out of it.
//!
//! A thread reads and parses while another writes, in transactions of a few megabytes of text. The place in the
//! store's history moves in the same transaction as the rows, and only if it has not moved meanwhile:
//! several processes may follow at once, and each batch is written once.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use restante_store::{
    Change, Cursor, MailStore, MailboxId, MailboxInfo, MessageFilter, MessageInfo, UniqueId,
};
use rusqlite::{Connection, OptionalExtension, params};
use tracing::warn;

use crate::error::search as failed;
use crate::extract::extract;
use crate::index::{self, Arrival, facts};
use crate::search::mailbox_condition;
use crate::{Archive, ArchiveError, Marks, Progress, Scope, Status, limits, read, wait};

/// From so many new messages on, the full-text index is merged afterwards.
const WORTH_MERGING: u64 = 2_000;

/// A piece of the way, parsed: rows to write, and where the history stands then.
struct Batch {
    from: Place,
    to: Option<Place>,
    arrivals: Vec<Arrival>,
    gone: Vec<UniqueId>,
    /// Where the history stood when the batch was read: what left since is not known to it.
    history: Cursor,
}

/// From where a batch leads to where, and where the history stood when it was read.
#[derive(Debug, Clone, Copy)]
struct Way {
    from: Place,
    to: Place,
    history: Cursor,
}

/// How far the index is: in the store's history, or within a mailbox that is taken in later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    History(Cursor),
    Filling(MailboxId, Option<UniqueId>),
    Filled(MailboxId),
}

impl Archive {
    /// Brings the index up to the store, and applies rules to what came. `tell` hears how far it is after each transaction, and
    /// may stop it there. Says how many messages came.
    ///
    /// # Errors
    /// A message that cannot be read or parsed is none: it is passed over, or indexed by what could be had.
    pub fn catch_up(
        &self,
        tell: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<u64, ArchiveError> {
        let mut came = 0;
        loop {
            let mailboxes = self.mailboxes_to_follow()?;
            let caught = self.catch_up_once(&mailboxes, tell)?;
            came += caught.came;
            if caught.stopped {
                return Ok(came);
            }
            // A mailbox that turned out to be fetched into is taken in at once.
            if caught.done && self.mailboxes_to_follow()? == mailboxes {
                break;
            }
        }
        self.copy_marks()?;
        self.apply_to_arrived()?;
        if came >= WORTH_MERGING {
            self.index.optimize()?;
        }
        Ok(came)
    }

    /// Throws the index away; the next [`Archive::catch_up`] makes it anew from the mail. Marks stay.
    pub fn rebuild(&self) -> Result<(), ArchiveError> {
        self.index.wipe()?;
        self.index.scrub()
    }

    /// Forgets a mailbox that the store has erased: no octet of its mail, nor of what was said of it,
    /// is in `search.db` or `state.db` afterwards.
    ///
    /// # Errors
    /// Also when another process reads one of the files all the while; then it is forgotten, but its octets are still there.
    pub fn erase(&self, mailbox: MailboxId) -> Result<(), ArchiveError> {
        self.state.erase(mailbox)?;
        self.index.erase(mailbox)?;
        self.copy_marks()
    }

    /// Remembers that somebody reads this mailbox here: it is indexed from now on, unless the
    /// configuration says never.
    pub fn want(&self, mailbox: MailboxId) -> Result<(), ArchiveError> {
        self.state.write(|c| {
            c.execute(
                "INSERT OR IGNORE INTO archive_wanted (mailbox) VALUES (?1)",
                [mailbox.as_bytes()],
            )?;
            Ok(())
        })
    }

    /// How far the index is with what the scope sees.
    pub fn progress(&self, scope: &Scope) -> Result<Progress, ArchiveError> {
        let mut progress = Progress::default();
        for mailbox in wait(self.store.mailboxes())? {
            if scope.contains(mailbox.id) && self.is_wanted(&mailbox)? {
                progress.total += mailbox.totals.count;
            }
        }
        progress.indexed = self.index.read(|c| {
            let seen = mailbox_condition(c, scope, "mailbox")?;
            c.query_row(
                &format!("SELECT count(*) FROM message WHERE {seen}"),
                [],
                |row| index::unsigned(row, 0),
            )
        })?;
        Ok(progress)
    }

    /// How the archive stands.
    pub fn status(&self) -> Result<Status, ArchiveError> {
        let mut unindexed = Vec::new();
        for mailbox in wait(self.store.mailboxes())? {
            if !self.is_wanted(&mailbox)? {
                unindexed.push(mailbox.name);
            }
        }
        let unreadable = self.index.read(|c| {
            c.query_row("SELECT unreadable FROM meta", [], |row| {
                index::unsigned(row, 0)
            })
        })?;
        Ok(Status {
            progress: self.progress(&Scope::all())?,
            unreadable,
            octets: self.index.octets(),
            unindexed,
        })
    }

    /// Octets of text that have gone into the index since it was made.
    pub fn text_octets(&self) -> Result<u64, ArchiveError> {
        self.index
            .read(|c| c.query_row("SELECT octets FROM meta", [], |row| index::unsigned(row, 0)))
    }

    fn is_wanted(&self, mailbox: &MailboxInfo) -> Result<bool, ArchiveError> {
        if self.options.never.contains(&mailbox.name) {
            return Ok(false);
        }
        if self.options.always.contains(&mailbox.name) {
            return Ok(true);
        }
        self.state.read(|c| {
            c.query_row(
                "SELECT EXISTS (SELECT 1 FROM archive_wanted WHERE mailbox = ?1)",
                [mailbox.id.as_bytes()],
                |row| row.get(0),
            )
        })
    }

    /// The mailboxes that are indexed, each with its number; those that are not any more are taken out.
    fn mailboxes_to_follow(&self) -> Result<HashMap<MailboxId, i64>, ArchiveError> {
        let mut wanted = Vec::new();
        for mailbox in wait(self.store.mailboxes())? {
            if self.is_wanted(&mailbox)? {
                wanted.push(mailbox.id);
            }
        }
        let known = self.index.read(known_mailboxes)?;
        if known.len() == wanted.len() && wanted.iter().all(|id| known.contains_key(id)) {
            return Ok(known);
        }
        self.index.write(|c| {
            for (id, number) in known_mailboxes(c)? {
                if !wanted.contains(&id) {
                    index::remove_mailbox(c, number)?;
                }
            }
            // At the start of the history everything is told anyway; later, a mailbox is filled up.
            let place = position(c)?.place;
            let filled = (place != 0).then_some([0_u8; 0]);
            for id in &wanted {
                c.execute(
                    "INSERT OR IGNORE INTO mailbox (mailbox, filled) VALUES (?1, ?2)",
                    params![id.as_bytes(), filled],
                )?;
            }
            known_mailboxes(c)
        })
    }

    fn catch_up_once(
        &self,
        mailboxes: &HashMap<MailboxId, i64>,
        tell: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Caught, ArchiveError> {
        let mut caught = Caught::default();
        let (to_writer, batches) = sync_channel(1);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || self.read_all(mailboxes, &to_writer));
            let written = self.write_all(mailboxes, &batches, &mut caught, tell);
            // Whatever ended it, the reader must not wait for a writer that is gone.
            drop(batches);
            let read = reader.join().unwrap_or_else(|_| {
                Err(ArchiveError::Database(
                    "the reader of the store's history failed; this is a bug".to_owned(),
                ))
            });
            written?;
            caught.done &= read?;
            Ok(caught)
        })
    }

    fn write_all(
        &self,
        mailboxes: &HashMap<MailboxId, i64>,
        batches: &Receiver<Batch>,
        caught: &mut Caught,
        tell: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), ArchiveError> {
        let mut known = None;
        for batch in batches.iter() {
            // Counting takes long enough not to be done while nothing comes.
            let progress = match &mut known {
                Some(progress) => progress,
                None => known.insert(self.progress(&Scope::all())?),
            };
            let Some(came) = self.write_batch(mailboxes, &batch)? else {
                // Another process went on: what was read is stale.
                return Ok(());
            };
            caught.came += came;
            progress.indexed += came;
            progress.total = progress.total.max(progress.indexed);
            if tell(*progress).is_break() {
                caught.stopped = true;
                return Ok(());
            }
        }
        caught.done = true;
        Ok(())
    }

    /// Writes; `None` if the place has moved meanwhile.
    fn write_batch(
        &self,
        mailboxes: &HashMap<MailboxId, i64>,
        batch: &Batch,
    ) -> Result<Option<u64>, ArchiveError> {
        let mut order: Vec<&Arrival> = batch.arrivals.iter().collect();
        // The full-text index wants ascending rows, or it writes a segment for each.
        order.sort_by_key(|arrival| arrival.date());
        let ruled_ms = self.ruled_ms()?;
        self.index.write_with(|c| {
            // Read while nobody else writes the index: whoever marks one of these from here on finds its row.
            let marks = order.iter().map(|arrival| self.marks_of(arrival.uid));
            let marked: Vec<(&Arrival, Marks)> = order
                .iter()
                .copied()
                .zip(marks.collect::<Result<Vec<_>, _>>()?)
                .collect();
            write(c, mailboxes, batch, &marked, ruled_ms).map_err(|error| failed(&error))
        })
    }

    /// Reads and parses all there is to know, and sends it in batches. Whether that was all.
    fn read_all(
        &self,
        mailboxes: &HashMap<MailboxId, i64>,
        to_writer: &SyncSender<Batch>,
    ) -> Result<bool, ArchiveError> {
        for (mailbox, filled) in self.index.read(to_fill)? {
            if !self.fill(mailbox, filled, to_writer)? {
                return Ok(false);
            }
        }
        let mut at = self.index.read(position)?;
        let mut fetched = HashSet::new();
        loop {
            let told = wait(self.store.changes(at, limits::CHANGES))?;
            if told.reset {
                // Another history: what has left in the meantime is not told, so all is learnt again.
                self.index.wipe()?;
                return Ok(false);
            }
            let last = told.changes.len() < limits::CHANGES;
            if told.next == at && told.changes.is_empty() {
                self.want_fetched(&fetched)?;
                return Ok(true);
            }
            let (mut added, mut gone) = (Vec::new(), Vec::new());
            for change in told.changes {
                match change {
                    Change::Added(info) if mailboxes.contains_key(&info.mailbox) => {
                        added.push(info);
                    }
                    // What an account fetches is read here, and not only served.
                    Change::Added(info) if info.source.is_some() => {
                        fetched.insert(info.mailbox);
                    }
                    Change::Added(_) => {}
                    Change::Removed(_, uid) => gone.push(uid),
                }
            }
            let way = Way {
                from: Place::History(at),
                to: Place::History(told.next),
                history: at,
            };
            if !self.send(way, &added, gone, to_writer)? {
                return Ok(false);
            }
            if last {
                self.want_fetched(&fetched)?;
                return Ok(true);
            }
            at = told.next;
        }
    }

    fn want_fetched(&self, mailboxes: &HashSet<MailboxId>) -> Result<(), ArchiveError> {
        mailboxes.iter().try_for_each(|mailbox| self.want(*mailbox))
    }

    /// Takes in a mailbox that was not indexed before; `false` when nobody listens any more.
    fn fill(
        &self,
        mailbox: MailboxId,
        mut after: Option<UniqueId>,
        to_writer: &SyncSender<Batch>,
    ) -> Result<bool, ArchiveError> {
        loop {
            let history = self.index.read(position)?;
            let filter = MessageFilter::Live;
            let page = wait(self.store.browse(mailbox, filter, after, limits::CHANGES))?;
            let from = Place::Filling(mailbox, after);
            let to = match page.last() {
                Some(last) => Place::Filling(mailbox, Some(last.unique_id)),
                None => Place::Filled(mailbox),
            };
            after = page.last().map(|last| last.unique_id);
            let way = Way { from, to, history };
            if !self.send(way, &page, Vec::new(), to_writer)? {
                return Ok(false);
            }
            if after.is_none() {
                return Ok(true);
            }
        }
    }

    /// Parses and sends in batches of about [`limits::BATCH_OCTETS`]; only the last moves the place.
    fn send(
        &self,
        way: Way,
        added: &[MessageInfo],
        gone: Vec<UniqueId>,
        to_writer: &SyncSender<Batch>,
    ) -> Result<bool, ArchiveError> {
        let (mut arrivals, mut octets) = (Vec::new(), 0);
        for info in added {
            let known = self.index.read(|c| index::find(c, info.unique_id))?;
            if known.is_some() {
                continue;
            }
            let Some(arrival) = arrival(&*self.store, info)? else {
                continue;
            };
            octets += arrival.extract.text_octets();
            arrivals.push(arrival);
            if octets >= limits::BATCH_OCTETS {
                octets = 0;
                let batch = Batch {
                    from: way.from,
                    to: None,
                    arrivals: std::mem::take(&mut arrivals),
                    gone: Vec::new(),
                    history: way.history,
                };
                if to_writer.send(batch).is_err() {
                    return Ok(false);
                }
            }
        }
        let batch = Batch {
            from: way.from,
            to: Some(way.to),
            arrivals,
            gone,
            history: way.history,
        };
        Ok(to_writer.send(batch).is_ok())
    }
}

#[derive(Default)]
struct Caught {
    came: u64,
    done: bool,
    stopped: bool,
}

/// Reads and takes apart one message. One that is gone again, or whose bytes are damaged, is passed over:
/// the store reports damage itself.
fn arrival(store: &dyn MailStore, info: &MessageInfo) -> Result<Option<Arrival>, ArchiveError> {
    let bytes = match read(store, info.unique_id, limits::INDEX_OCTETS) {
        Ok((bytes, _)) => bytes,
        Err(ArchiveError::NotFound) => return Ok(None),
        Err(ArchiveError::Store(restante_store::StoreError::Permanent(what))) => {
            warn!(id = %info.unique_id, what, "a message cannot be read, so it is not indexed");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let extract = extract(&bytes);
    if extract.facts & facts::UNREADABLE != 0 {
        warn!(id = %info.unique_id, "a message is indexed only by what could be had of it");
    }
    Ok(Some(Arrival {
        uid: info.unique_id,
        mailbox: info.mailbox,
        size: info.size,
        received_ms: info.received_ms,
        account: info.source.as_ref().map(|source| source.account.clone()),
        extract,
    }))
}

/// Writes a batch, its arrivals in the order of `marked`; `None` if the place has moved meanwhile.
fn write(
    c: &Connection,
    mailboxes: &HashMap<MailboxId, i64>,
    batch: &Batch,
    marked: &[(&Arrival, Marks)],
    ruled_ms: u64,
) -> rusqlite::Result<Option<u64>> {
    // A mailbox that was erased meanwhile must not come back, nor its number be another's.
    if known_mailboxes(c)? != *mailboxes {
        return Ok(None);
    }
    let filling_late = !matches!(batch.from, Place::History(_)) && position(c)? != batch.history;
    if filling_late || !stands(c, batch.from)? {
        return Ok(None);
    }
    let filling: bool = c.query_row("SELECT filling FROM meta", [], |row| row.get(0))?;
    let (mut came, mut octets) = (0, 0);
    for (arrival, marks) in marked {
        let Some(mailbox) = mailboxes.get(&arrival.mailbox) else {
            continue;
        };
        let Some(id) = index::insert(c, *mailbox, arrival, marks)? else {
            continue;
        };
        came += 1;
        octets += arrival.extract.text_octets() as i64;
        if arrival.extract.facts & facts::UNREADABLE != 0 {
            c.execute("UPDATE meta SET unreadable = unreadable + 1", [])?;
        }
        // Neither a rebuild nor a mailbox that is taken in later is an arrival.
        let told = matches!(batch.from, Place::History(_));
        if told && (!filling || arrival.uid.unix_ms() > ruled_ms) {
            c.prepare_cached("INSERT OR IGNORE INTO arrived (message) VALUES (?1)")?
                .execute([id])?;
        }
    }
    c.execute("UPDATE meta SET octets = octets + ?1", [octets])?;
    for uid in &batch.gone {
        index::remove(c, *uid)?;
    }
    if let Some(to) = batch.to {
        move_to(c, to)?;
    }
    Ok(Some(came))
}

pub(crate) fn known_mailboxes(c: &Connection) -> rusqlite::Result<HashMap<MailboxId, i64>> {
    c.prepare_cached("SELECT mailbox, id FROM mailbox")?
        .query_map([], |row| {
            Ok((MailboxId::from_bytes(row.get(0)?), row.get(1)?))
        })?
        .collect()
}

fn position(c: &Connection) -> rusqlite::Result<Cursor> {
    c.query_row("SELECT epoch, place, floor FROM meta", [], |row| {
        Ok(Cursor {
            epoch: index::unsigned(row, 0)?,
            place: index::unsigned(row, 1)?,
            floor: index::unsigned(row, 2)?,
        })
    })
}

/// How far a mailbox is filled: `NULL` = whole, empty = not at all.
fn filled(bytes: &[u8]) -> Option<UniqueId> {
    <[u8; 16]>::try_from(bytes).ok().map(UniqueId::from_bytes)
}

fn to_fill(c: &Connection) -> rusqlite::Result<Vec<(MailboxId, Option<UniqueId>)>> {
    c.prepare_cached("SELECT mailbox, filled FROM mailbox WHERE filled IS NOT NULL")?
        .query_map([], |row| {
            let bytes: Vec<u8> = row.get(1)?;
            Ok((MailboxId::from_bytes(row.get(0)?), filled(&bytes)))
        })?
        .collect()
}

/// Whether the index still is where a batch was read for.
fn stands(c: &Connection, at: Place) -> rusqlite::Result<bool> {
    match at {
        Place::History(cursor) => Ok(position(c)? == cursor),
        Place::Filling(mailbox, after) => {
            let now: Option<Option<Vec<u8>>> = c
                .query_row(
                    "SELECT filled FROM mailbox WHERE mailbox = ?1",
                    [mailbox.as_bytes()],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(matches!(now, Some(Some(bytes)) if filled(&bytes) == after))
        }
        Place::Filled(_) => Ok(false),
    }
}

fn move_to(c: &Connection, to: Place) -> rusqlite::Result<()> {
    let moved = match to {
        Place::History(cursor) => c.execute(
            "UPDATE meta SET epoch = ?1, place = ?2, floor = ?3",
            params![
                cursor.epoch as i64,
                cursor.place as i64,
                cursor.floor as i64
            ],
        ),
        Place::Filling(mailbox, after) => c.execute(
            "UPDATE mailbox SET filled = ?2 WHERE mailbox = ?1",
            params![
                mailbox.as_bytes(),
                after.as_ref().map_or(&[][..], |uid| &uid.as_bytes()[..])
            ],
        ),
        Place::Filled(mailbox) => c.execute(
            "UPDATE mailbox SET filled = NULL WHERE mailbox = ?1",
            [mailbox.as_bytes()],
        ),
    };
    moved.map(|_| ())
}
