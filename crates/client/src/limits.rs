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

/// SCRAM's least iteration count: RFC 7677 §4 has servers announce no fewer. An impostor that asks
/// for one round would get a password hash that is quickly guessed; the login fails.
pub const SCRAM_MIN_ITERATIONS: u32 = 4_096;

/// SCRAM's greatest iteration count. This many take under a second or so; a lying server could
/// otherwise have us compute for an hour. The login fails.
pub const SCRAM_MAX_ITERATIONS: u32 = 2_000_000;

/// What is kept of a server's reason against a login, for an error message; the rest is cut off.
pub const COMPLAINT_OCTETS: usize = 1_024;

/// The longest timestamp in a greeting that APOP uses: RFC 1939 §4 has replies of 512 octets. Behind a
/// longer one there is no APOP.
pub const TIMESTAMP_OCTETS: usize = 250;

/// How many addresses of one host are tried.
pub const ADDRESSES: usize = 16;

/// How long an attempt to connect may take until the next address is tried beside it (RFC 8305 §5).
pub const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// What is kept of a server's half of a handshake, to read its first message (RFC 8446 §5.1: one
/// record); what lies beyond is not looked at.
pub const SERVER_HELLO_OCTETS: usize = 16 * 1_024;

/// How long the system's certificates are held in memory before they are read again.
pub const ROOTS_KEPT: Duration = Duration::from_secs(3_600);

const _: () = assert!(SCRAM_MIN_ITERATIONS < SCRAM_MAX_ITERATIONS);
/// The silence after which a lone dot on a line of bare LF is taken for the end of a message, from a
/// server whose line ends are otherwise CRLF (see [`restante_proto::client`]). Long enough for a lost
/// packet to come again, short enough for a few messages.
pub const QUIET_END: Duration = Duration::from_secs(2);

/// Challenges of one login. No mechanism has more than four; a server that goes on is cut short.
pub const CHALLENGES: usize = 16;

/// How long a connection is given to close in due form after QUIT's reply.
pub const FAREWELL: Duration = Duration::from_secs(1);

const _: () = assert!(CHUNK_OCTETS == restante_proto::limits::INPUT_OCTETS);
