//! Every quantity of fetching that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// How long a unique-id that has left the listing stays in the ledger: servers show fewer messages for
/// a while and then all of them again, and use ids again only after long.
pub const VANISHED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What is received is handed to the keeper's thread in pieces of this size.
pub const KEEPER_PIECE_OCTETS: usize = 64 * 1024;

/// Octets that are received and not compressed yet: beyond it receiving waits.
pub const KEEPER_OCTETS: usize = 4 * 1024 * 1024;

/// Messages that share a sync: as many rows as an index transaction has.
pub const BATCH_MESSAGES: usize = 1_000;

/// Octets of messages that share a sync; three such batches may be under way, compressed.
pub const BATCH_OCTETS: u64 = 8 * 1024 * 1024;

/// How long a batch waits for more when nothing comes in.
pub const BATCH_WAIT: Duration = Duration::from_millis(20);
