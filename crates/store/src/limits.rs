//! Every quantity of the store that has a bound: unit in the name, the reason, what happens at it.

/// A pack is sealed, and never changed again, when it has reached this size.
pub const PACK_SEAL_OCTETS: u64 = 64 * 1024 * 1024;

/// A compressed body larger than this leaves memory for an unlinked spool file.
pub const DRAFT_MEMORY_OCTETS: usize = 256 * 1024;

/// A body is handed out in chunks of at most this size, so that a large message never stands in
/// memory whole.
pub const BODY_CHUNK_OCTETS: usize = 64 * 1024;

/// Rows that one index transaction carries at most: a longer one would keep other processes out.
pub const INDEX_TRANSACTION_ROWS: usize = 1_000;

/// Space kept for tombstones: a full disk can still be emptied.
pub const TOMBSTONE_RESERVE_OCTETS: u64 = 1024 * 1024;

/// A removed message's bytes stay at least this long for snapshots that are open, in milliseconds.
pub const SNAPSHOT_GRACE_MS: u64 = 60 * 60 * 1000;

/// Longest From_ line that starts a message in an mbox; a longer line is text. RFC 4155 gives none,
/// RFC 5321 §4.5.3.1.3 allows a sender 256 octets.
pub const MBOX_FROM_LINE_OCTETS: usize = 1_000;

/// How far ahead an mbox must be seen to tell a From_ line: an empty line, that line, the name of a
/// header field.
pub const MBOX_LOOK_OCTETS: usize = 1_200;

/// A `Content-Length` in an mbox that can be read only once is followed up to this size, since the
/// body has to be in memory to see what is behind it; beyond, From_ lines alone count.
pub const MBOX_WINDOW_OCTETS: usize = 1024 * 1024;

const _: () = assert!(MBOX_FROM_LINE_OCTETS + 2 < MBOX_LOOK_OCTETS);
const _: () = assert!(MBOX_LOOK_OCTETS < MBOX_WINDOW_OCTETS);
const _: () = assert!((DRAFT_MEMORY_OCTETS as u64) < PACK_SEAL_OCTETS);
const _: () = assert!(BODY_CHUNK_OCTETS <= DRAFT_MEMORY_OCTETS);

/// Threads of a store that wait for the device on behalf of readers; more readers queue.
pub const WORKER_THREADS: usize = 8;

/// A message up to this size, in memory and compressed, is decompressed in one go.
pub const BODY_ONE_SHOT_OCTETS: usize = 256 * 1024;

/// A message up to this size is kept as it came and compressed in one go when it is complete: a
/// compressor that knows the size needs little memory.
pub const DRAFT_ONE_SHOT_OCTETS: usize = 64 * 1024;

/// Listings up to this many messages are read on the caller's thread (under a millisecond).
pub const LISTING_INLINE_MESSAGES: u64 = 1_000;

/// Octets that one batch of a pack gathers at most before it is synced, unless one request is
/// larger: what waits longer than a sync of this much takes is latency for the others.
pub const BATCH_OCTETS: u64 = 16 * 1024 * 1024;

/// Packs that a process keeps open for reading; the next one takes an arbitrary one's place.
pub const OPEN_PACKS: usize = 256;

/// A header frame larger than this is damage: a QUIT of a million messages takes 16 MB.
pub const RECORD_OCTETS: usize = 256 * 1024 * 1024;

/// Ledger entries up to this many are looked up on the caller's thread (under 2 milliseconds).
pub const LEDGER_INLINE_ENTRIES: usize = 500;

/// A view's opening is written down if the last one that was is so long ago, in milliseconds: clients
/// that look every minute must not cost a sync each. So a view may be taken for unseen so much too early.
pub const VIEW_USE_MS: u64 = 6 * 60 * 60 * 1000;

/// Longest line of a file of marks: some thousand labels. The file is refused at a longer one.
pub const MARKS_LINE_OCTETS: u64 = 1024 * 1024;

/// Messages that a file of marks may name, since an import keeps some 150 octets of each in memory;
/// the file is refused when it names more.
pub const MARKS_MESSAGES: u64 = 4_000_000;

/// How much of a Maildir's `dovecot-keywords` is read: 26 words are far less.
pub const MAILDIR_KEYWORDS_OCTETS: u64 = 64 * 1024;
