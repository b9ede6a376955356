//! The store in one folder: append-only packs, and an index that follows from them.
//!
//! What decides which mail exists is a record in a pack, never only a row in the index. Writing:
//! `draft` compresses, `writer` gathers what waits into a batch of `pack`, which is synced once and
//! then told to the `index` by `apply`. Reading: `maildrop` takes a snapshot from the index, `body`
//! reads the pack. `catchup` brings an index that is behind up to the packs, at worst from nothing.

mod body;
mod catchup;
mod compact;
mod decide;
mod draft;
mod examine;
mod frame;
mod history;
mod index;
mod ledger;
mod maildrop;
mod open;
mod pack;
mod record;
mod reserve;
mod salvage;
mod scan;
mod task;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::disk::{Disk, DiskFile, LockFile, RealDisk};
use crate::limits::{PACK_SEAL_OCTETS, SNAPSHOT_GRACE_MS};
use crate::{
    Access, Body, Capabilities, Changes, Cursor, Delivery, Draft, LedgerEntry, MailStore,
    MailboxId, MailboxInfo, Maildrop, MessageFilter, MessageInfo, Release, Seen, StoreError,
    StoreFuture, Tended, Tending, TombstoneId, UniqueId, ViewId, ViewInfo,
};
use draft::{EmbeddedDraft, SealedBody};
use task::{Workers, lock};
use writer::{Inbox, Request, submit};

/// How a store behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a removed message can be restored, in milliseconds; 0 = not at all.
    pub hold_ms: u64,
    /// Octets that must stay free on the file system for deliveries to be taken.
    pub min_free: u64,
    /// Whether a thread reclaims the space of removed messages.
    pub compact: bool,
    /// Whether to go on without packs that the index knows and that are not there.
    pub accept_missing: bool,
    /// Whether the index is made anew while opening, whatever state it is in. Nobody else may have the
    /// folder open.
    pub rebuild: bool,
    /// Whether the folder is kept for this store alone, which fails while another has it open.
    pub alone: bool,
    /// Hears how many octets of packs were read just now, while the index is made or brought up to them.
    pub progress: Progress,
    /// What the packs are kept on.
    pub disk: Arc<dyn Disk>,
    /// How long a removed message's bytes stay for open snapshots, in milliseconds. Shorter than
    /// [`SNAPSHOT_GRACE_MS`] for tests only.
    pub grace_ms: u64,
    /// The size at which a pack is sealed, in octets.
    pub pack_octets: u64,
    /// How much of the index is mapped into memory, in octets: quick for a server that is always asked, but
    /// it counts as memory of the process.
    pub map_octets: u64,
}

/// Somebody who is told how far opening a store is; nobody, unless said otherwise.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(u64) + Send + Sync>>);

impl Progress {
    /// Tells `hear`.
    pub fn new(hear: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    fn tell(&self, octets: u64) {
        if let Some(hear) = &self.0 {
            hear(octets);
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hold_ms: 7 * 24 * 60 * 60 * 1000,
            min_free: 0,
            compact: true,
            accept_missing: false,
            rebuild: false,
            alone: false,
            progress: Progress::default(),
            disk: Arc::new(RealDisk),
            grace_ms: SNAPSHOT_GRACE_MS,
            pack_octets: PACK_SEAL_OCTETS,
            map_octets: index::MAP_OCTETS,
        }
    }
}

pub use examine::{Finding, PackInfo, PackMessage, PackReader};
pub use open::lock_folder;
pub use salvage::{Lost, Salvaged, salvage};

/// Where a record stands in the packs, with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    pack: u32,
    offset: u64,
    octets: u64,
}

/// What all handles and threads of a store share.
#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    options: Options,
    packs: Arc<pack::Packs>,
    index: index::Index,
    inbox: Inbox,
    workers: Workers,
    last_id: Mutex<u128>,
    reports: Mutex<Vec<String>>,
    /// Held shared as long as the store is open.
    folder_lock: LockFile,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workers")
    }
}

/// The store. Clones share everything; with the last one the store's threads end.
#[derive(Debug, Clone)]
pub struct EmbeddedStore {
    inner: Arc<Inner>,
    _threads: Arc<Threads>,
}

#[derive(Debug)]
struct Threads {
    inner: Arc<Inner>,
    writer: Option<JoinHandle<()>>,
    compactor: Option<compact::Compactor>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(compactor) = self.compactor.take() {
            compactor.stop();
        }
        self.inner.inbox.close();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        self.inner.workers.close();
        self.inner.index.disconnect();
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as u64)
}

fn random_id() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random octets");
    bytes
}

fn temporary(what: &str, error: &io::Error) -> StoreError {
    StoreError::Temporary(format!("{what}: {error}"))
}

/// As [`temporary`], but a full disk is told as such.
fn write_error(what: &str, error: &io::Error, inner: &Inner) -> StoreError {
    if error.kind() == io::ErrorKind::StorageFull {
        let free = inner.disk().free_octets(&inner.folder).unwrap_or(0);
        let min_free = inner.options.min_free;
        return StoreError::Full { free, min_free };
    }
    temporary(what, error)
}

fn read_full_at(file: &dyn DiskFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

fn write_all_at(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Inner {
    fn disk(&self) -> &dyn Disk {
        self.options.disk.as_ref()
    }

    fn send(&self, request: Request) {
        self.inbox.send(request);
    }

    /// Keeps what went wrong without anyone waiting for it.
    fn report(&self, what: Vec<String>) {
        let mut reports = lock(&self.reports);
        // The newest matter; an endless fault must not fill memory.
        for line in what {
            if reports.last() != Some(&line) && reports.len() < 100 {
                reports.push(line);
            }
        }
    }

    /// An id above all that this process gave out or found: max(now, last + 1).
    fn next_id(&self) -> [u8; 16] {
        let random = random_id();
        let fresh =
            u128::from(now_ms() & 0xffff_ffff_ffff) << 80 | (u128::from_be_bytes(random) >> 48);
        let step = u128::from(u64::from_be_bytes(
            random[8..].try_into().expect("8 of 16 octets"),
        ));
        let mut last = lock(&self.last_id);
        *last = fresh.max(last.saturating_add(1 + step));
        last.to_be_bytes()
    }

    /// Whether `octets` more leave free what must stay free.
    fn check_space(&self, octets: u64) -> Result<(), StoreError> {
        let min_free = self.options.min_free;
        if min_free == 0 {
            return Ok(());
        }
        let free = self.disk().free_octets(&self.folder);
        let free = free.map_err(|e| temporary("free space cannot be found out", &e))?;
        if free < min_free.saturating_add(octets) {
            return Err(StoreError::Full { free, min_free });
        }
        Ok(())
    }

    /// Takes the mailbox's lock file, whose lock the kernel releases however a process ends.
    fn lock_mailbox(&self, id: MailboxId) -> Result<LockFile, StoreError> {
        let path = self.folder.join("locks").join(id.to_string());
        open::lock_file(&path)?.ok_or(StoreError::InUse)
    }
}

impl EmbeddedStore {
    /// Opens the store in `folder`, and makes it if it is not there. Brings the index up to the
    /// packs, which may take a while when it was lost.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] on a network file system or a format that is newer than this
    /// program; [`StoreError::Temporary`] when the disk fails or another process rebuilds.
    pub fn open(folder: &Path, options: Options) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel();
        let compact = options.compact;
        let inner = open::open(folder, options, Inbox::new(sender))?;
        let pack = pack::PackWriter::new(Arc::clone(&inner.packs), inner.options.pack_octets);
        let writer = writer::Writer::new(Arc::clone(&inner), pack);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&receiver))
            .map_err(|e| temporary("the writing thread cannot start", &e))?;
        let mut threads = Threads {
            inner: Arc::clone(&inner),
            writer: Some(thread),
            compactor: None,
        };
        if compact {
            threads.compactor = Some(compact::Compactor::start(&inner)?);
        }
        let _threads = Arc::new(threads);
        Ok(Self { inner, _threads })
    }

    /// What went wrong without anyone waiting for it (damage found, an index that could not be
    /// written), once each time it is asked.
    pub fn take_reports(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.inner.reports))
    }

    /// Builds the index anew from the packs, in place. `progress` hears how many octets of packs
    /// were read. Sessions that are open have to begin anew.
    ///
    /// # Errors
    /// [`StoreError::Temporary`] while another process uses the folder.
    pub fn rebuild(&self, progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        open::rebuild(&self.inner, progress)
    }

    /// Reclaims the space of all messages that nothing promises any more, now, whatever their share;
    /// seals the current pack first if it has some. Says how many packs were rewritten.
    ///
    /// # Errors
    /// [`StoreError::Temporary`] while another compactor is at work or the disk fails.
    pub fn compact_now(&self) -> Result<usize, StoreError> {
        compact::now(&self.inner)
    }

    /// Stores messages under the unique-ids that they have already: from a backup, say. One that is
    /// in its mailbox is left alone; one that was removed comes back. Says which are new or back.
    ///
    /// # Errors
    /// As [`MailStore::commit`]; [`StoreError::NotFound`] when a mailbox is not there.
    pub fn adopt(&self, deliveries: Vec<(UniqueId, Delivery)>) -> StoreFuture<'_, Vec<UniqueId>> {
        Box::pin(async move {
            let mut all = Vec::with_capacity(deliveries.len());
            for (id, delivery) in deliveries {
                let body = Arc::clone(&delivery.message.inner).downcast::<SealedBody>();
                let foreign = |_| StoreError::Permanent("the message is of another store".into());
                all.push((id, delivery, body.map_err(foreign)?));
            }
            let octets = all.iter().map(|d| d.2.blocks.octets()).sum();
            self.inner.check_space(octets)?;
            let rows = all.len().max(1);
            submit(&self.inner, false, octets, rows, move |batch| {
                decide::adopt(batch, &all)
            })
            .await
        })
    }

    /// All that the index says, sequence numbers and places aside, as sorted lines: a rebuilt index
    /// says the same. For tests and `verify`.
    ///
    /// # Errors
    /// Those of the index.
    pub fn dump_index(&self) -> Result<Vec<String>, StoreError> {
        history::dump(&self.inner)
    }
}

/// Has the writer decide and write, when the future is first polled.
/// `frees`: whether it makes room in the end, and so may use the reserve on a full disk.
fn write<'a, T: Send + 'static>(
    inner: &'a Inner,
    frees: bool,
    decide: impl FnMut(&mut writer::Batch<'_, '_>) -> Result<T, StoreError> + Send + 'static,
) -> StoreFuture<'a, T> {
    Box::pin(async move { submit(inner, frees, 0, 1, decide).await })
}

impl MailStore for EmbeddedStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            views: true,
            hold_ms: self.inner.options.hold_ms,
        }
    }

    fn mailboxes(&self) -> StoreFuture<'_, Vec<MailboxInfo>> {
        Box::pin(async move { history::mailboxes(&self.inner) })
    }

    fn find_mailbox<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<MailboxInfo>> {
        Box::pin(async move { history::find_mailbox(&self.inner, name) })
    }

    fn create_mailbox<'a>(&'a self, name: &'a str) -> StoreFuture<'a, MailboxId> {
        let name = name.to_owned();
        write(&self.inner, false, move |batch| {
            decide::create(batch, &name)
        })
    }

    fn rename_mailbox<'a>(&'a self, id: MailboxId, name: &'a str) -> StoreFuture<'a, ()> {
        let name = name.to_owned();
        write(&self.inner, false, move |batch| {
            decide::rename(batch, id, &name)
        })
    }

    fn remove_mailbox(&self, id: MailboxId, erase: bool) -> StoreFuture<'_, ()> {
        let inner = &self.inner;
        let removed = write(inner, true, move |batch| {
            decide::remove_mailbox(batch, id, erase)
        });
        Box::pin(async move {
            removed.await?;
            if erase {
                let inner = Arc::clone(inner);
                let work = move || compact::erase(&inner, id);
                self.inner.workers.run(work).await?;
            }
            Ok(())
        })
    }

    fn set_release(&self, id: MailboxId, release: Option<Release>) -> StoreFuture<'_, ()> {
        write(&self.inner, false, move |batch| {
            decide::set_release(batch, id, release)
        })
    }

    fn tend(&self, id: MailboxId, due: Tending, now_ms: u64) -> StoreFuture<'_, Tended> {
        Box::pin(async move {
            let mut done = Tended::default();
            loop {
                let (part, more) = write(&self.inner, true, move |batch| {
                    decide::views::tend(batch, id, due, now_ms)
                })
                .await?;
                done.lapsed.extend(part.lapsed);
                done.released += part.released;
                done.aged += part.aged;
                if !more {
                    return Ok(done);
                }
            }
        })
    }

    fn views(&self, mailbox: MailboxId) -> StoreFuture<'_, Vec<ViewInfo>> {
        Box::pin(async move { history::views(&self.inner, mailbox) })
    }

    fn add_view<'a>(
        &'a self,
        mailbox: MailboxId,
        name: &'a str,
        from_now: bool,
    ) -> StoreFuture<'a, ViewId> {
        let name = name.to_owned();
        write(&self.inner, false, move |batch| {
            decide::views::add(batch, mailbox, &name, from_now)
        })
    }

    fn remove_view(&self, mailbox: MailboxId, view: ViewId) -> StoreFuture<'_, ()> {
        write(&self.inner, false, move |batch| {
            decide::views::remove(batch, mailbox, view)
        })
    }

    fn open(
        &self,
        mailbox: MailboxId,
        view: ViewId,
        access: Access,
    ) -> StoreFuture<'_, Box<dyn Maildrop>> {
        Box::pin(maildrop::open(&self.inner, mailbox, view, access))
    }

    fn draft(&self, size_hint: Option<u64>) -> Result<Box<dyn Draft>, StoreError> {
        self.inner.check_space(size_hint.unwrap_or(0))?;
        let inner = Arc::clone(&self.inner);
        Ok(Box::new(EmbeddedDraft::new(inner, size_hint)))
    }

    fn commit(&self, deliveries: Vec<Delivery>) -> StoreFuture<'_, Vec<UniqueId>> {
        Box::pin(async move {
            if deliveries.is_empty() {
                return Ok(Vec::new());
            }
            let mut all = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let body = Arc::clone(&delivery.message.inner).downcast::<SealedBody>();
                let foreign = |_| StoreError::Permanent("the message is of another store".into());
                all.push((delivery, body.map_err(foreign)?));
            }
            let octets = all.iter().map(|d| d.1.blocks.octets()).sum();
            self.inner.check_space(octets)?;
            let rows = all.len();
            submit(&self.inner, false, octets, rows, move |batch| {
                decide::deliver(batch, &all)
            })
            .await
        })
    }

    fn remove<'a>(
        &'a self,
        mailbox: MailboxId,
        ids: &'a [UniqueId],
    ) -> StoreFuture<'a, TombstoneId> {
        let ids = ids.to_vec();
        write(&self.inner, true, move |batch| {
            decide::remove(batch, mailbox, &ids)
        })
    }

    fn restore<'a>(
        &'a self,
        mailbox: MailboxId,
        ids: &'a [UniqueId],
    ) -> StoreFuture<'a, Vec<UniqueId>> {
        let ids = ids.to_vec();
        write(&self.inner, false, move |batch| {
            decide::restore(batch, mailbox, &ids)
        })
    }

    fn message(&self, id: UniqueId) -> StoreFuture<'_, Option<MessageInfo>> {
        Box::pin(async move { history::message(&self.inner, id) })
    }

    fn read(&self, id: UniqueId) -> StoreFuture<'_, Box<dyn Body>> {
        Box::pin(async move {
            if history::message(&self.inner, id)?.is_none() {
                return Err(StoreError::NotFound);
            }
            let place = self.inner.place(id)?.ok_or(StoreError::NotFound)?;
            body::open(&self.inner, id, place).await
        })
    }

    fn browse(
        &self,
        mailbox: MailboxId,
        filter: MessageFilter,
        after: Option<UniqueId>,
        max: usize,
    ) -> StoreFuture<'_, Vec<MessageInfo>> {
        Box::pin(async move { history::browse(&self.inner, mailbox, filter, after, max) })
    }

    fn changes(&self, after: Cursor, max: usize) -> StoreFuture<'_, Changes> {
        Box::pin(async move { history::changes(&self.inner, after, max) })
    }

    fn ledger<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> StoreFuture<'a, Vec<LedgerEntry>> {
        Box::pin(ledger::page(&self.inner, mailbox, account, after, max))
    }

    fn ledger_find<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        remote_ids: &'a [Vec<u8>],
    ) -> StoreFuture<'a, Vec<Option<LedgerEntry>>> {
        Box::pin(ledger::find(&self.inner, mailbox, account, remote_ids))
    }

    fn record_seen<'a>(&'a self, mailbox: MailboxId, seen: &'a [Seen]) -> StoreFuture<'a, ()> {
        Box::pin(ledger::record(&self.inner, mailbox, seen))
    }

    fn forget_seen<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        remote_ids: &'a [Vec<u8>],
    ) -> StoreFuture<'a, ()> {
        Box::pin(ledger::forget(&self.inner, mailbox, account, remote_ids))
    }
}
