//! What a server may ask of this client, at most.

use std::time::Duration;

/// How long one wait for a server may last when nobody says otherwise. RFC 1939 §3 has servers wait
/// ten minutes for clients; a server that says nothing for a minute is gone.
pub const SILENCE: Duration = Duration::from_secs(60);

/// Octets of the messages asked for and not yet read. Enough for 100 MB/s at 80 ms of round trip; more
/// would only wait in the network.
pub const WINDOW_OCTETS: u64 = 8 * 1024 * 1024;

/// Commands sent and not yet answered. Their replies' status lines alone fit the network's buffers, so
/// that a server which writes nothing until it has read everything gets there.
pub const WINDOW_COMMANDS: usize = 512;

/// The largest piece of a message that is handed out at once.
pub const CHUNK_OCTETS: usize = 64 * 1024;
