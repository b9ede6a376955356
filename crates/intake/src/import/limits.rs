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
