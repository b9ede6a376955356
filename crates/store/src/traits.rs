//! The store as the rest of the program sees it: narrow, standard futures only, and free of any
//! idea of a local disk.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{MailboxId, StoreError, TombstoneId, UniqueId, ViewId};

/// A future that a store completes, from its own threads where it has to wait. Needs no runtime.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// How a mailbox is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Beside other sessions, on a snapshot. Deletions are idempotent.
    Shared,
    /// Alone among those that ask for `Exclusive`; else [`StoreError::InUse`]. The lock ends with the
    /// [`Maildrop`] or with the process.
    Exclusive,
}

/// When a message that a view has deleted leaves the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// DELE removes it for all: RFC 1939's one maildrop.
    AtOnce,
    /// Each view hides it for itself; it leaves when every live view has.
    AllDevices,
    /// Each view hides it for itself; it never leaves by itself.
    Never,
}

/// Count and size of what a view shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub count: u64,
    /// Octets as POP3 sends them, without dot-stuffing.
    pub octets: u64,
}

/// What is known of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxInfo {
    /// Never changes.
    pub id: MailboxId,
    /// Unique in the store; may change.
    pub name: String,
    /// When deleted messages leave.
    pub release: Release,
    /// Whether somebody has set `release`; else it follows from there being views.
    pub release_is_set: bool,
    /// What the mailbox holds, whatever views have hidden.
    pub totals: Totals,
}

/// What is known of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewInfo {
    /// Never changes.
    pub id: ViewId,
    /// Unique among the mailbox's views; empty for [`ViewId::PLAIN`].
    pub name: String,
    /// What the view shows now.
    pub totals: Totals,
    /// When it was last opened, in milliseconds since 1970, to [`crate::limits::VIEW_USE_MS`]; when it
    /// was made, if it never was. `None`: nobody knows.
    pub used_ms: Option<u64>,
    /// It was unseen for so long that it holds nothing back any more; opening it ends that.
    pub lapsed: bool,
}

/// What time alone does to a mailbox; see [`MailStore::tend`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tending {
    /// A message leaves when it has been in the mailbox for so many milliseconds.
    pub max_age_ms: Option<u64>,
    /// A view that was not opened for so many milliseconds holds nothing back.
    pub view_expiry_ms: Option<u64>,
}

/// What [`MailStore::tend`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tended {
    /// Views that hold nothing back from now on.
    pub lapsed: Vec<ViewId>,
    /// Messages that left since no view that counts shows them any more.
    pub released: u64,
    /// Messages that left for their age.
    pub aged: u64,
}

/// Where a fetched message came from: the ledger of the fetcher.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The account's name.
    pub account: String,
    /// The remote server's unique-id, as bytes: servers break the RFC's 70 printable characters.
    pub remote_id: Vec<u8>,
}

/// What a store knows of a message's lines, found while it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hints {
    /// Every line ends in CRLF, the last one too, and there is no other LF: it may be sent as it is.
    pub all_crlf: bool,
    /// Some line starts with a dot, counting a line after any LF.
    pub dot_lines: bool,
}

impl Hints {
    /// Whether the bytes are a POP3 multi-line body as they stand.
    pub const fn clean(self) -> bool {
        self.all_crlf && !self.dot_lines
    }
}

/// A message whose bytes are complete: cheap to clone, so that it can go to several mailboxes.
#[derive(Clone)]
pub struct Sealed {
    /// Exact octets written.
    pub size: u64,
    /// Octets as POP3 sends them, without dot-stuffing: each LF without a CR counts as two, a
    /// missing last line end as two more.
    pub octets: u64,
    /// BLAKE3 of the exact bytes.
    pub digest: [u8; 32],
    /// What is known of the lines.
    pub hints: Hints,
    /// The store's own: the compressed body.
    pub inner: Arc<dyn std::any::Any + Send + Sync>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A message being written. Dropped = discarded.
pub trait Draft: Send {
    /// Adds bytes. Compresses on the caller's thread, so keep pieces at or below 64 KiB in
    /// asynchronous code. After an error the draft is of no more use.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Ends the message.
    fn seal(self: Box<Self>) -> Result<Sealed, StoreError>;
}

/// One message for one mailbox.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where it goes.
    pub mailbox: MailboxId,
    /// What goes there.
    pub message: Sealed,
    /// Received, in milliseconds since 1970.
    pub received_ms: u64,
    /// Where it was fetched from.
    pub source: Option<Source>,
}

/// One message as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingEntry {
    /// For ever the same.
    pub unique_id: UniqueId,
    /// Octets as POP3 sends them, without dot-stuffing.
    pub octets: u64,
}

/// The messages of a snapshot, in the mailbox's order, which is that of their unique-ids; message-number
/// 1 is index 0.
pub type Listing = [ListingEntry];

/// Indices into a listing that a session has marked as deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletionSet {
    indices: std::collections::BTreeSet<usize>,
}

impl DeletionSet {
    /// Marks; says whether it was new.
    pub fn insert(&mut self, index: usize) -> bool {
        self.indices.insert(index)
    }
    /// Whether the index is marked.
    pub fn contains(&self, index: usize) -> bool {
        self.indices.contains(&index)
    }
    /// How many are marked.
    pub fn len(&self) -> usize {
        self.indices.len()
    }
    /// Whether none is marked.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
    /// Unmarks all.
    pub fn clear(&mut self) {
        self.indices.clear();
    }
    /// The indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.indices.iter().copied()
    }
}

/// A message's exact bytes, in pieces.
pub trait Body: Send {
    /// What is known of the lines.
    fn hints(&self) -> Hints;
    /// Exact octets that all pieces together have.
    fn size(&self) -> u64;
    /// The next piece, at most [`crate::limits::BODY_CHUNK_OCTETS`], appended to `into`; says how many
    /// octets were added, 0 at the end. The body's digest has been checked when 0 is returned:
    /// damage is an error, before the last piece if the message is in one piece.
    fn read<'a>(&'a mut self, into: &'a mut Vec<u8>) -> StoreFuture<'a, usize>;
}

/// A mailbox, opened through a view: a snapshot, as POP3 wants one (RFC 1939 §5 and §7: numbers and
/// sizes hold for the session).
pub trait Maildrop: Send + Sync {
    /// Count and size at the time of opening. O(1).
    fn totals(&self) -> Totals;
    /// The snapshot's messages. Read when first asked for; `forget_listing` lets it go.
    fn listing(&self) -> StoreFuture<'_, Arc<Listing>>;
    /// Frees what `listing` keeps, while a session is idle; the next call reads the same again.
    fn forget_listing(&self);
    /// The bytes of the message at `index` of the listing. [`StoreError::NotFound`] when they are gone
    /// for good.
    fn body(&self, index: usize) -> StoreFuture<'_, Box<dyn Body>>;
    /// Deletes, as the mailbox's [`Release`] has it. All or nothing, durable when ready, idempotent:
    /// a message that is gone already is no error. An empty set touches nothing.
    fn commit_deletions<'a>(&'a self, set: &'a DeletionSet) -> StoreFuture<'a, ()>;
}

/// Which messages to browse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageFilter {
    /// Those that are in the mailbox.
    Live,
    /// Those that are removed and can still be restored.
    Deleted,
}

/// What is known of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageInfo {
    /// For ever the same.
    pub unique_id: UniqueId,
    /// Where it is.
    pub mailbox: MailboxId,
    /// Exact octets.
    pub size: u64,
    /// Octets as POP3 sends them.
    pub octets: u64,
    /// Received, in milliseconds since 1970.
    pub received_ms: u64,
    /// BLAKE3 of the exact bytes.
    pub digest: [u8; 32],
    /// Where it was fetched from.
    pub source: Option<Source>,
    /// For a removed one: when, in milliseconds since 1970, and by which deletion.
    pub removed: Option<(u64, TombstoneId)>,
}

/// A remote message that a fetcher need not take any more, though this store was not given its bytes
/// from there: they came by another way, or are gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Which message.
    pub source: Source,
    /// When it was received here, in milliseconds since 1970; 0 when nobody knows.
    pub received_ms: u64,
}

/// What the ledger of fetched messages says of one remote unique-id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The remote server's unique-id.
    pub remote_id: Vec<u8>,
    /// When it was received here, in milliseconds since 1970; 0 when nobody knows.
    pub received_ms: u64,
    /// The message, while it is in the mailbox or can still be restored; the youngest, if the server
    /// has used its unique-id again. `None`: only that it was seen is known.
    pub message: Option<MessageInfo>,
}

/// A place in the store's history; opaque. [`Cursor::START`] is before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Which index the place is in: a rebuilt one starts anew.
    pub epoch: u64,
    /// The place.
    pub place: u64,
    /// Up to which place some changes were forgotten already when this reading began: a cursor within what
    /// was forgotten before has missed nothing.
    pub floor: u64,
}

impl Cursor {
    /// Before everything.
    pub const START: Self = Self {
        epoch: 0,
        place: 0,
        floor: 0,
    };
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A message is in a mailbox: newly, or restored.
    Added(MessageInfo),
    /// A message has left a mailbox.
    Removed(MailboxId, UniqueId),
}

/// What happened after a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The cursor was of another index, or what it has not been told is forgotten: everything is told from
    /// the start again.
    pub reset: bool,
    /// In the order of their places. A message that changed twice is told once, as it is now.
    pub changes: Vec<Change>,
    /// Where to ask on.
    pub next: Cursor,
}

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Views, `AllDevices` and `Never`.
    pub views: bool,
    /// `restore` of removed messages, for how many milliseconds.
    pub hold_ms: u64,
}

/// A store of mailboxes. Every method may be called from any thread.
pub trait MailStore: Send + Sync + 'static {
    /// What this store can do.
    fn capabilities(&self) -> Capabilities;

    /// All mailboxes, by name.
    fn mailboxes(&self) -> StoreFuture<'_, Vec<MailboxInfo>>;
    /// The mailbox of that name.
    fn find_mailbox<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<MailboxInfo>>;
    /// Makes a mailbox, or finds the one that has the name already. Durable when ready.
    fn create_mailbox<'a>(&'a self, name: &'a str) -> StoreFuture<'a, MailboxId>;
    /// Renames. [`StoreError::Permanent`] when the new name is taken.
    fn rename_mailbox<'a>(&'a self, id: MailboxId, name: &'a str) -> StoreFuture<'a, ()>;
    /// Removes a mailbox and all its messages for good: nothing restores them. Their bytes go with the
    /// next compactions, and with `erase` they are gone from this store when it returns.
    fn remove_mailbox(&self, id: MailboxId, erase: bool) -> StoreFuture<'_, ()>;
    /// Sets when deleted messages leave; counts from the next deletion on. `None`: as it is when nobody
    /// sets it, [`Release::AtOnce`] without views and [`Release::AllDevices`] with some.
    fn set_release(&self, id: MailboxId, release: Option<Release>) -> StoreFuture<'_, ()>;
    /// Does what is due by time, and decides it once and for all: `now_ms` is the time in milliseconds
    /// since 1970. Views that were not opened for too long lapse; under [`Release::AllDevices`] what a
    /// view has deleted and no view that counts shows leaves, unless there is none that counts; and
    /// whatever the [`Release`], what is too old leaves, but not what was once brought back by
    /// [`MailStore::restore`]. All that leaves can be restored. Durable when ready.
    fn tend(&self, id: MailboxId, due: Tending, now_ms: u64) -> StoreFuture<'_, Tended>;

    /// The views that have a record, and [`ViewId::PLAIN`] once it was opened; it is always there.
    fn views(&self, mailbox: MailboxId) -> StoreFuture<'_, Vec<ViewInfo>>;
    /// Makes a view. It sees everything that is live, or with `from_now` what comes from now on.
    fn add_view<'a>(
        &'a self,
        mailbox: MailboxId,
        name: &'a str,
        from_now: bool,
    ) -> StoreFuture<'a, ViewId>;
    /// Removes a view; what it alone still held back may leave.
    fn remove_view(&self, mailbox: MailboxId, view: ViewId) -> StoreFuture<'_, ()>;

    /// Opens a mailbox through a view. O(1) in the number of messages. A view that had lapsed counts
    /// again from before the snapshot is taken.
    fn open(
        &self,
        mailbox: MailboxId,
        view: ViewId,
        access: Access,
    ) -> StoreFuture<'_, Box<dyn Maildrop>>;

    /// Starts a message. `size_hint` in octets only chooses buffers. [`StoreError::Full`] below
    /// `min_free`.
    fn draft(&self, size_hint: Option<u64>) -> Result<Box<dyn Draft>, StoreError>;
    /// Stores; all or nothing, durable when ready. The unique-ids are in the order of the deliveries,
    /// and above all that this store gave out before.
    fn commit(&self, deliveries: Vec<Delivery>) -> StoreFuture<'_, Vec<UniqueId>>;
    /// Removes from the mailbox for every view, whatever its [`Release`]: for tools, not for sessions.
    fn remove<'a>(
        &'a self,
        mailbox: MailboxId,
        ids: &'a [UniqueId],
    ) -> StoreFuture<'a, TombstoneId>;
    /// Brings back removed messages, and shows hidden ones to all views again. Returns those that
    /// were brought back; others are past restoring or were never removed.
    fn restore<'a>(
        &'a self,
        mailbox: MailboxId,
        ids: &'a [UniqueId],
    ) -> StoreFuture<'a, Vec<UniqueId>>;

    /// One message, wherever it is, live or still restorable.
    fn message(&self, id: UniqueId) -> StoreFuture<'_, Option<MessageInfo>>;
    /// Its bytes.
    fn read(&self, id: UniqueId) -> StoreFuture<'_, Box<dyn Body>>;
    /// Up to `max` messages of a mailbox in its order, after `after`.
    fn browse(
        &self,
        mailbox: MailboxId,
        filter: MessageFilter,
        after: Option<UniqueId>,
        max: usize,
    ) -> StoreFuture<'_, Vec<MessageInfo>>;
    /// What happened after `after`, at most `max` changes.
    fn changes(&self, after: Cursor, max: usize) -> StoreFuture<'_, Changes>;

    /// The ledger of an account, by remote unique-id as bytes: up to `max` of what was fetched into
    /// the mailbox, after `after`. A page with fewer than `max` is the last.
    ///
    /// A remote unique-id is in the ledger from the delivery that named it on, whatever becomes of the
    /// message, or from [`MailStore::record_seen`] on: until [`MailStore::forget_seen`].
    fn ledger<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        after: Option<&'a [u8]>,
        max: usize,
    ) -> StoreFuture<'a, Vec<LedgerEntry>>;
    /// What the ledger says of each of `remote_ids`, in their order: many in one call, so that
    /// nobody has to hold the whole ledger.
    fn ledger_find<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        remote_ids: &'a [Vec<u8>],
    ) -> StoreFuture<'a, Vec<Option<LedgerEntry>>>;
    /// Puts messages into the ledger without their bytes; those it has already stay as they are.
    /// Durable when ready; after an error some may be in it, and it may be called again.
    fn record_seen<'a>(&'a self, mailbox: MailboxId, seen: &'a [Seen]) -> StoreFuture<'a, ()>;
    /// Takes out of the ledger what is known only as seen. One whose message is in the mailbox, or can
    /// still be restored, stays. Durable when ready; after an error some may be out of it, and it
    /// may be called again.
    fn forget_seen<'a>(
        &'a self,
        mailbox: MailboxId,
        account: &'a str,
        remote_ids: &'a [Vec<u8>],
    ) -> StoreFuture<'a, ()>;
}
