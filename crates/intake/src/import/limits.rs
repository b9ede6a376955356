//! Every quantity of an import that has a bound: unit in the name, the reason, what happens at it.

/// Messages that share one commit, and so one sync of the disk, at most. Their compressed bodies wait
/// in memory, or each in a spool file, until then.
pub(super) const BATCH_MESSAGES: usize = 100;

/// A commit is also due when its messages have this many octets.
pub(super) const BATCH_OCTETS: u64 = 8 * 1024 * 1024;

/// Read at once; also how much of a file is looked at to tell what it is.
pub(super) const PIECE_OCTETS: usize = 64 * 1024;

/// Messages asked of the store at once to learn what the mailbox holds.
pub(super) const BROWSE_MESSAGES: usize = 1_000;

/// How much of a header is held to read what another program noted there; fields behind it are not
/// read as notes, and stay in the message as they are.
pub(super) const HEADER_OCTETS: usize = 64 * 1024;

/// Labels of one message; more are dropped, since any sender can write some of the fields.
pub(super) const LABELS: usize = 100;

/// A longer label is cut.
pub(super) const LABEL_OCTETS: usize = 200;

/// A longer name of a thread is cut.
pub(super) const THREAD_OCTETS: usize = 64;

/// How much of the property list behind a message of Apple Mail's is read; flags stand early.
pub(super) const EMLX_LIST_OCTETS: u64 = 64 * 1024;

/// Folders in folders; deeper ones are set aside.
pub(super) const DEPTH: usize = 64;

/// How much a zip's list of names may have, for it is held in memory; one with more is set aside.
pub(super) const ZIP_DIRECTORY_OCTETS: u64 = 256 * 1024 * 1024;

/// What a zip, and each file in it, may grow to: this many times its size and a little. A bomb is
/// set aside; mail reaches 20 where it is nothing but text.
pub(super) const ZIP_GROWTH: u64 = 200;

/// The little: short files may well be one letter over and over.
pub(super) const ZIP_SPARE_OCTETS: u64 = 1024 * 1024;

const _: () = assert!(HEADER_OCTETS >= PIECE_OCTETS);
