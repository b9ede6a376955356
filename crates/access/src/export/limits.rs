//! Every quantity of an export that has a bound: unit in the name, the reason, what happens at it.

/// Messages that share one sync of the disk, at most: a crash costs that many, written once more.
pub(super) const BATCH_MESSAGES: u64 = 200;

/// A sync is also due when its messages have this many octets.
pub(super) const BATCH_OCTETS: u64 = 16 * 1024 * 1024;

/// Messages asked of the store at once.
pub(super) const PAGE_MESSAGES: usize = 1_000;
