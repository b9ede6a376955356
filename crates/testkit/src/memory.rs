//! A [`MailStore`] in memory: the model that the real stores are held against, and the store that
//! tests of the servers run on.
//!
//! One lock, whole messages in memory, linear searches: nothing here is clever, so that it can be
//! seen to be right. A test sets the clock with [`MemoryStore::set_now`] and makes calls fail with
//! [`MemoryStore::fail_next`] and [`MemoryStore::fail_always`].

mod ledger;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use restante_store::limits::BODY_CHUNK_OCTETS;
use restante_store::{
    Access, Body, Capabilities, Changes, Cursor, DeletionSet, Delivery, Draft, Hints, LedgerEntry,
    Listing, ListingEntry, MailStore, MailboxId, MailboxInfo, Maildrop, MessageFilter, MessageInfo,
    Release, Sealed, Seen, StoreError, StoreFuture, Tended, Tending, TombstoneId, Totals, UniqueId,
    ViewId, ViewInfo,
};

use state::{Content, State};

/// How long removed messages can be restored unless a test says otherwise: 7 days, in milliseconds.
pub const DEFAULT_HOLD_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// A call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// [`MailStore::mailboxes`].
    Mailboxes,
    /// [`MailStore::find_mailbox`].
    FindMailbox,
    /// [`MailStore::create_mailbox`].
    CreateMailbox,
    /// [`MailStore::rename_mailbox`].
    RenameMailbox,
    /// [`MailStore::remove_mailbox`].
    RemoveMailbox,
    /// [`MailStore::set_release`].
    SetRelease,
    /// [`MailStore::tend`].
    Tend,
    /// [`MailStore::views`].
    Views,
    /// [`MailStore::add_view`].
    AddView,
    /// [`MailStore::remove_view`].
    RemoveView,
    /// [`MailStore::open`].
    Open,
    /// [`MailStore::draft`].
    Draft,
    /// [`Draft::write`].
    DraftWrite,
    /// [`Draft::seal`].
    Seal,
    /// [`MailStore::commit`].
    Commit,
    /// [`MailStore::remove`].
    Remove,
    /// [`MailStore::restore`].
    Restore,
    /// [`MailStore::message`].
    Message,
    /// [`MailStore::read`].
    Read,
    /// [`MailStore::browse`].
    Browse,
    /// [`MailStore::changes`].
    Changes,
    /// [`MailStore::ledger`].
    Ledger,
    /// [`MailStore::ledger_find`].
    LedgerFind,
    /// [`MailStore::record_seen`].
    RecordSeen,
    /// [`MailStore::forget_seen`].
    ForgetSeen,
    /// [`Maildrop::listing`].
    Listing,
    /// [`Maildrop::body`].
    Body,
    /// [`Body::read`], of any body.
    BodyRead,
    /// [`Maildrop::commit_deletions`] of a set that is not empty.
    CommitDeletions,
}

/// Milliseconds since 1970 by the machine's clock.
pub fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as u64)
}

/// The store. Clones share their contents.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store that holds removed messages for [`DEFAULT_HOLD_MS`].
    pub fn new() -> Self {
        Self::with_hold(DEFAULT_HOLD_MS)
    }

    /// An empty store that holds removed messages for `hold_ms` milliseconds.
    pub fn with_hold(hold_ms: u64) -> Self {
        let state = Arc::new(Mutex::new(State::new(hold_ms)));
        Self { state }
    }

    /// The same store as the trait object that servers take.
    pub fn shared(&self) -> Arc<dyn MailStore> {
        Arc::new(self.clone())
    }

    /// Sets the clock, in milliseconds since 1970. It stands still until it is set again.
    pub fn set_now(&self, unix_ms: u64) {
        self.state().now_ms = Some(unix_ms);
    }

    /// Sets what `draft` believes of the disk: [`StoreError::Full`] while `free` < `min_free`.
    pub fn set_free(&self, free: u64, min_free: u64) {
        self.state().free = Some((free, min_free));
    }

    /// Makes the next call of `op` fail. Called twice, the next two fail.
    pub fn fail_next(&self, op: Op, error: StoreError) {
        let mut state = self.state();
        state.failures.entry(op).or_default().push_back(error);
    }

    /// Makes every call of `op` fail from now on; `None` mends it.
    pub fn fail_always(&self, op: Op, error: Option<StoreError>) {
        match error {
            Some(error) => self.state().broken.insert(op, error),
            None => self.state().broken.remove(&op),
        };
    }

    /// How often `op` was called, failures included.
    pub fn calls(&self, op: Op) -> u64 {
        self.state().calls.get(&op).copied().unwrap_or(0)
    }

    /// Drops the bytes of removed messages that are past restoring, as a compactor would.
    pub fn compact(&self) {
        self.state().compact();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, after the call was counted and has not been made to fail.
    fn enter(&self, op: Op) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.state();
        state.enter(op)?;
        Ok(state)
    }

    fn body_of(&self, op: Op, id: UniqueId) -> Result<Box<dyn Body>, StoreError> {
        let (size, content) = self.enter(op)?.content(id)?;
        let store = self.clone();
        let read = 0;
        Ok(Box::new(MemoryBody {
            store,
            size,
            content,
            read,
        }))
    }
}

/// Sizes and hints of a message, counted from their definitions in [`Sealed`] and [`Hints`].
pub fn measure(bytes: &[u8]) -> (u64, Hints) {
    let bare_lf = |at: &usize| bytes[*at] == b'\n' && (*at == 0 || bytes[*at - 1] != b'\r');
    let bare_lfs = (0..bytes.len()).filter(bare_lf).count() as u64;
    let no_end = !bytes.is_empty() && !bytes.ends_with(b"\n");
    let hints = Hints {
        all_crlf: bare_lfs == 0 && !no_end,
        dot_lines: bytes.starts_with(b".") || bytes.windows(2).any(|two| two == b"\n."),
    };
    let octets = bytes.len() as u64 + bare_lfs + if no_end { 2 } else { 0 };
    (octets, hints)
}

struct MemoryDraft {
    store: MemoryStore,
    bytes: Vec<u8>,
}

impl Draft for MemoryDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.store.enter(Op::DraftWrite).map(drop)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn seal(self: Box<Self>) -> Result<Sealed, StoreError> {
        self.store.enter(Op::Seal).map(drop)?;
        let bytes = self.bytes;
        let (octets, hints) = measure(&bytes);
        Ok(Sealed {
            size: bytes.len() as u64,
            octets,
            digest: *blake3::hash(&bytes).as_bytes(),
            hints,
            inner: Arc::new(Content { bytes, hints }),
        })
    }
}

struct MemoryBody {
    store: MemoryStore,
    size: u64,
    content: Arc<Content>,
    read: usize,
}

impl Body for MemoryBody {
    fn hints(&self) -> Hints {
        self.content.hints
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read<'a>(&'a mut self, into: &'a mut Vec<u8>) -> StoreFuture<'a, usize> {
        Box::pin(async move {
            self.store.enter(Op::BodyRead).map(drop)?;
            let rest = &self.content.bytes[self.read..];
            let piece = &rest[..rest.len().min(BODY_CHUNK_OCTETS)];
            into.extend_from_slice(piece);
            self.read += piece.len();
            Ok(piece.len())
        })
    }
}

struct MemoryMaildrop {
    store: MemoryStore,
    mailbox: MailboxId,
    view: ViewId,
    listing: Arc<[ListingEntry]>,
    access: Access,
}

impl Drop for MemoryMaildrop {
    fn drop(&mut self) {
        if self.access == Access::Exclusive
            && let Ok(mailbox) = self.store.state().mailbox(self.mailbox)
        {
            mailbox.exclusive = false;
        }
    }
}

impl Maildrop for MemoryMaildrop {
    fn totals(&self) -> Totals {
        state::totals(self.listing.iter().map(|entry| entry.octets))
    }

    fn listing(&self) -> StoreFuture<'_, Arc<Listing>> {
        Box::pin(async move {
            self.store.enter(Op::Listing).map(drop)?;
            Ok(Arc::clone(&self.listing))
        })
    }

    /// Nothing to do: the snapshot is the listing.
    fn forget_listing(&self) {}

    fn body(&self, index: usize) -> StoreFuture<'_, Box<dyn Body>> {
        Box::pin(async move {
            let entry = self.listing.get(index).ok_or(StoreError::NotFound)?;
            self.store.body_of(Op::Body, entry.unique_id)
        })
    }

    fn commit_deletions<'a>(&'a self, set: &'a DeletionSet) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if set.is_empty() {
                return Ok(());
            }
            let mut ids = Vec::with_capacity(set.len());
            for index in set.iter() {
                let entry = self.listing.get(index).ok_or(StoreError::NotFound)?;
                ids.push(entry.unique_id);
            }
            let mut state = self.store.enter(Op::CommitDeletions)?;
            state.delete(self.mailbox, self.view, &ids)
        })
    }
}

impl MailStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        let hold_ms = self.state().hold_ms;
        let views = true;
        Capabilities { views, hold_ms }
    }

    fn mailboxes(&self) -> StoreFuture<'_, Vec<MailboxInfo>> {
        Box::pin(async move { Ok(self.enter(Op::Mailboxes)?.mailboxes()) })
    }

    fn find_mailbox<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<MailboxInfo>> {
        Box::pin(async move { Ok(self.enter(Op::FindMailbox)?.find(name)) })
    }

    fn create_mailbox<'a>(&'a self, name: &'a str) -> StoreFuture<'a, MailboxId> {
        Box::pin(async move { Ok(self.enter(Op::CreateMailbox)?.create(name)) })
    }

    fn rename_mailbox<'a>(&'a self, id: MailboxId, name: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.enter(Op::RenameMailbox)?.rename(id, name) })
    }

    fn remove_mailbox(&self, id: MailboxId, erase: bool) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.enter(Op::RemoveMailbox)?.remove_mailbox(id, erase) })
    }

    fn set_release(&self, id: MailboxId, release: Option<Release>) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.enter(Op::SetRelease)?.set_release(id, release) })
    }

    fn tend(&self, id: MailboxId, due: Tending, now_ms: u64) -> StoreFuture<'_, Tended> {
        Box::pin(async move { self.enter(Op::Tend)?.tend(id, due, now_ms) })
    }

    fn views(&self, mailbox: MailboxId) -> StoreFuture<'_, Vec<ViewInfo>> {
        Box::pin(async move { self.enter(Op::Views)?.views(mailbox) })
    }

    fn add_view<'a>(
        &'a self,
        mailbox: MailboxId,
        name: &'a str,
        from_now: bool,
    ) -> StoreFuture<'a, ViewId> {
        Box::pin(async move { self.enter(Op::AddView)?.add_view(mailbox, name, from_now) })
    }

    fn remove_view(&self, mailbox: MailboxId, view: ViewId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.enter(Op::RemoveView)?.remove_view(mailbox, view) })
    }

    fn open(
        &self,
        mailbox: MailboxId,
        view: ViewId,
        access: Access,
    ) -> StoreFuture<'_, Box<dyn Maildrop>> {
        Box::pin(async move {
            let mut state = self.enter(Op::Open)?;
            if access == Access::Exclusive && state.mailbox(mailbox)?.exclusive {
                return Err(StoreError::InUse);
            }
            let listing = state.open(mailbox, view)?.into();
            if access == Access::Exclusive {
                state.mailbox(mailbox)?.exclusive = true;
            }
            let maildrop = MemoryMaildrop {
                store: self.clone(),
                mailbox,
                view,
                listing,
                access,
            };
            Ok(Box::new(maildrop) as Box<dyn Maildrop>)
        })
    }

    fn draft(&self, _size_hint: Option<u64>) -> Result<Box<dyn Draft>, StoreError> {
        let state = self.enter(Op::Draft)?;
        if let Some((free, min_free)) = state.free
            && free < min_free
        {
            return Err(StoreError::Full { free, min_free });
        }
        let bytes = Vec::new();
        let store = self.clone();
        Ok(Box::new(MemoryDraft { store, bytes }))
    }

    fn commit(&self, deliveries: Vec<Delivery>) -> StoreFuture<'_, Vec<UniqueId>> {
        Box::pin(async move {
            let mut state = self.enter(Op::Commit)?;
            let mut with_content = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let inner = Arc::clone(&delivery.message.inner);
                let foreign = |_| StoreError::Permanent("the message is of another store".into());
                let content = inner.downcast::<Content>().map_err(foreign)?;
                with_content.push((delivery, content));
            }
            state.commit(with_content)
        })
    }

    fn remove<'a>(
        &'a self,
        mailbox: MailboxId,
        ids: &'a [UniqueId],
    ) -> StoreFuture<'a, TombstoneId> {
        Box::pin(async move { self.enter(Op::Remove)?.remove(mailbox, ids) })
    }

    fn restore<'a>(
        &'a self,
        mailbox: MailboxId,
        ids: &'a [UniqueId],
    ) -> StoreFuture<'a, Vec<UniqueId>> {
        Box::pin(async move { self.enter(Op::Restore)?.restore(mailbox, ids) })
    }

    fn message(&self, id: UniqueId) -> StoreFuture<'_, Option<MessageInfo>> {
        Box::pin(async move { Ok(self.enter(Op::Message)?.message(id)) })
    }

    fn read(&self, id: UniqueId) -> StoreFuture<'_, Box<dyn Body>> {
        Box::pin(async move {
            if self.state().message(id).is_none() {
                return Err(StoreError::NotFound);
            }
            self.body_of(Op::Read, id)
        })
    }

    fn browse(
        &self,
        mailbox: MailboxId,
        filter: MessageFilter,
        after: Option<UniqueId>,
        max: usize,
    ) -> StoreFuture<'_, Vec<MessageInfo>> {
        Box::pin(async move { self.enter(Op::Browse)?.browse(mailbox, filter, after, max) })
    }

    fn changes(&self, after: Cursor, max: usize) -> StoreFuture<'_, Changes> {
        Box::pin(async move { Ok(self.enter(Op::Changes)?.changes(after, max)) })
    }

    fn ledger<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> StoreFuture<'a, Vec<LedgerEntry>> {
        Box::pin(async move {
            let mut state = self.enter(Op::Ledger)?;
            state.ledger(mailbox, account, after, max)
        })
    }

    fn ledger_find<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        remote_ids: &'a [Vec<u8>],
    ) -> StoreFuture<'a, Vec<Option<LedgerEntry>>> {
        Box::pin(async move {
            let mut state = self.enter(Op::LedgerFind)?;
            state.ledger_find(mailbox, account, remote_ids)
        })
    }

    fn record_seen<'a>(&'a self, mailbox: MailboxId, seen: &'a [Seen]) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.enter(Op::RecordSeen)?.record_seen(mailbox, seen) })
    }

    fn forget_seen<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        remote_ids: &'a [Vec<u8>],
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut state = self.enter(Op::ForgetSeen)?;
            state.forget_seen(mailbox, account, remote_ids)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{block_on, collect, deliver};

    #[test]
    fn a_call_fails_as_often_as_told_and_is_counted() {
        let store = MemoryStore::new();
        let mailbox = block_on(store.create_mailbox("me")).expect("created");
        store.fail_next(Op::Open, StoreError::Temporary("no".into()));
        let open = || block_on(store.open(mailbox, ViewId::PLAIN, Access::Shared)).map(drop);
        assert_eq!(open(), Err(StoreError::Temporary("no".into())));
        assert_eq!(open(), Ok(()));
        store.fail_always(Op::Open, Some(StoreError::InUse));
        assert_eq!(
            (open(), open()),
            (Err(StoreError::InUse), Err(StoreError::InUse))
        );
        store.fail_always(Op::Open, None);
        assert_eq!(open(), Ok(()));
        assert_eq!(store.calls(Op::Open), 5);
    }

    #[test]
    fn the_clock_decides_what_can_be_restored() {
        let store = MemoryStore::with_hold(1_000);
        store.set_now(5_000);
        let mailbox = block_on(store.create_mailbox("me")).expect("created");
        let id = deliver(&store, mailbox, b"a\r\n").expect("stored");
        block_on(store.remove(mailbox, &[id])).expect("removed");
        store.set_now(5_999);
        assert_eq!(block_on(store.restore(mailbox, &[id])), Ok(vec![id]));
        block_on(store.remove(mailbox, &[id])).expect("removed");
        store.set_now(6_999);
        assert_eq!(block_on(store.restore(mailbox, &[id])), Ok(vec![]));
        assert_eq!(collect(&store, mailbox, ViewId::PLAIN), Ok(vec![]));
    }

    #[test]
    fn a_full_disk_takes_no_draft() {
        let store = MemoryStore::new();
        store.set_free(9, 10);
        let refused = store.draft(None).map(drop);
        let (free, min_free) = (9, 10);
        assert_eq!(refused, Err(StoreError::Full { free, min_free }));
    }

    #[test]
    fn octets_count_line_ends_as_sent() {
        let all = |all_crlf, dot_lines| Hints {
            all_crlf,
            dot_lines,
        };
        assert_eq!(measure(b""), (0, all(true, false)));
        assert_eq!(measure(b"a\r\nb\r\n"), (6, all(true, false)));
        assert_eq!(measure(b"a\nb"), (6, all(false, false)));
        assert_eq!(measure(b".\r"), (4, all(false, true)));
        assert_eq!(measure(b"\n.\n"), (5, all(false, true)));
    }
}
