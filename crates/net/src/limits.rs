//! Every quantity of the network that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// Connections that one listener serves at once, if the configuration says nothing. One more is
/// told that the server is busy and closed.
pub const CONNECTIONS: usize = 10_000;

/// Connections that one remote address (IPv6: one /64) may have open at a listener, if the
/// configuration says nothing. One more is told so and closed. Loopback and Unix sockets are exempt.
pub const CONNECTIONS_PER_ADDRESS: usize = 50;

/// How long sessions may go on once the server is asked to stop; then they are dropped.
pub const DRAIN: Duration = Duration::from_secs(20);

/// How long a TLS handshake may take altogether; then the connection is closed.
pub const HANDSHAKE: Duration = Duration::from_secs(20);

/// Octets that one read takes at most: the size of the buffer that each thread has.
pub const READ_OCTETS: usize = 16 * 1024;

/// Connections that the kernel queues for a listener: a burst waits instead of being refused.
pub const BACKLOG: u32 = 1024;

/// The first pause after `accept` failed for want of descriptors or memory. Doubles up to
/// [`ACCEPT_PAUSE_MAX`]; without it the loop would burn a core until a connection ends.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause after a failed `accept`.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Descriptors that a server asks for besides one for each connection.
pub const OPEN_FILES_SPARE: u64 = 512;

/// How long the self-signed certificate is valid, in days. Ten years: clients remember the
/// certificate itself, so a new one looks like an attack, and nobody renews it for its owner.
pub const SELF_SIGNED_DAYS: u64 = 3_650;

/// TLS 1.3 tickets sent after a full handshake. One: each resumed session brings the next.
pub const TLS13_TICKETS: usize = 1;

const _: () = assert!(CONNECTIONS_PER_ADDRESS < CONNECTIONS);
const _: () = assert!(ACCEPT_PAUSE.as_millis() < ACCEPT_PAUSE_MAX.as_millis());
