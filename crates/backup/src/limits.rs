//! Every quantity of a backup that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// Packs travel in pieces cut at multiples of this: one piece is what changes when an open pack
/// grows, and what is in memory at a time.
pub const PIECE_OCTETS: usize = 8 * 1024 * 1024;

/// Nothing that is stored for a piece is larger: age adds 16 octets to each 64 KiB, and its header.
/// A larger object is damage.
pub const OBJECT_OCTETS: u64 = PIECE_OCTETS as u64 + 1024 * 1024;

/// A generation's list of pieces. At 200 octets a piece of 8 MiB it is enough for 40 TB of packs.
pub const GENERATION_OCTETS: u64 = 1024 * 1024 * 1024;

/// Pieces under way at once, each in memory twice while it is encrypted.
pub const PIECES_AT_ONCE: usize = 3;

/// Generations that a destination may hold where nobody says which to keep: the next backup asks for
/// `keep`, and whatever reads goes on.
pub const GENERATIONS: usize = 10_000;

/// A lease that is not renewed for so long is left over from a program that ended.
pub const LEASE_STALE: Duration = Duration::from_secs(30 * 60);

/// How often a lease is renewed.
pub const LEASE_RENEW: Duration = Duration::from_secs(5 * 60);

/// How long a backup waits for another's pruning.
pub const LEASE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a restore or a check waits for another's pruning; then it goes on beside it.
pub const READING_PATIENCE: Duration = Duration::from_secs(10);

/// What a check that was stopped has seen is not looked at again by the next one for so long.
pub const CHECK_GOOD_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a drill's index takes, as a part of the packs' octets: room for it is looked for before.
pub const DRILL_INDEX_PART: u64 = 8;

/// How long a destination in the network may take to be reached.
pub const NETWORK_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may be silent, with all that is tried again meanwhile: then the request has failed.
pub const NETWORK_PATIENCE: Duration = Duration::from_secs(60);

/// Octets a second of the slowest line that a backup goes over: what is sent has so much more time.
pub const NETWORK_SLOWEST: u64 = 16 * 1024;

/// What is no larger does not wait until the line is free: leases have to be renewed.
pub const SMALL_OCTETS: usize = 64 * 1024;

/// Messages that a merge brings into an archive in one batch, at most,
pub const MERGE_MESSAGES: usize = 500;
/// or so many octets of them.
pub const MERGE_OCTETS: u64 = 16 * 1024 * 1024;

/// scrypt's cost for a passphrase, as a power of two: about half a second. A file that asks for more
/// than 4 above is refused.
pub const SCRYPT_LOG_N: u8 = 17;

const _: () = assert!(LEASE_RENEW.as_secs() * 3 < LEASE_STALE.as_secs());
const _: () = assert!(OBJECT_OCTETS > PIECE_OCTETS as u64);
