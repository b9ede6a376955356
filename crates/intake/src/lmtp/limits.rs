//! Every quantity of LMTP that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// The largest message, if the configuration says nothing. Announced with SIZE; 552 5.3.4 above it.
pub const MESSAGE_OCTETS: u64 = 100 * 1024 * 1024;

/// The most recipients of one message, if the configuration says nothing. RFC 5321 §4.5.3.1.8: at
/// least 100. 452 4.5.3 above it: the sender sends again for the others.
pub const RECIPIENTS: usize = 100;

/// Octets of a command line with its end. RFC 5321 §4.5.3.1.4 has 512, extensions add to it
/// (RFC 1870: 26, RFC 6152: 17, RFC 6531: 10), and addresses in UTF-8 are longer. 500 5.5.6 above it.
pub const LINE_OCTETS: usize = 1024;

/// Octets of replies that wait until pipelined commands are worked off; more are sent at once.
pub const REPLY_OCTETS: usize = 4 * 1024;

/// Commands refused as bad before a session is ended with 421: its client speaks something else.
pub const BAD_COMMANDS: u32 = 20;

/// Commands between two messages besides RCPT; more end the session with 421.
pub const IDLE_COMMANDS: u32 = 200;

/// Recipients refused since the last delivery before the session is ended with 421: a list of addresses
/// is being tried.
pub const REFUSED_RECIPIENTS: u32 = 1_000;

/// Drafts open at once in all sessions. Each compresses on its own and may keep
/// [`restante_store::limits::DRAFT_MEMORY_OCTETS`]; more have to wait.
pub const DRAFTS: usize = 128;

/// Drafts besides, for transactions of at most [`SMALL_RECIPIENTS`] when [`DRAFTS`] are taken: one
/// with many waits until many are free at once, and would hold up all that come after it.
pub const SMALL_DRAFTS: usize = 32;

/// See [`SMALL_DRAFTS`].
pub const SMALL_RECIPIENTS: usize = 4;

/// How long DATA waits for drafts of other sessions to end; then 451 4.3.2.
pub const DRAFTS_WAIT: Duration = Duration::from_secs(30);

/// How long to wait for a whole command, from the last reply on. RFC 5321 §4.5.3.2.7: at least 5
/// minutes.
pub const COMMAND_WAIT: Duration = Duration::from_secs(5 * 60);

/// How long to wait for the next piece of a message. RFC 5321 §4.5.3.2.5: 3 minutes for a block.
pub const DATA_WAIT: Duration = Duration::from_secs(3 * 60);

/// How slowly a message may come on average, besides one [`DATA_WAIT`]; slower ends the session, so
/// that nobody holds drafts by sending an octet now and then.
pub const DATA_OCTETS_PER_SECOND: u64 = 64;

/// How long a message may take altogether, however large it is; then the session ends. A sender next
/// door needs seconds for the largest.
pub const DATA_TOTAL: Duration = Duration::from_secs(60 * 60);

const _: () = assert!(RECIPIENTS <= DRAFTS);
const _: () = assert!(SMALL_RECIPIENTS <= SMALL_DRAFTS);
const _: () = assert!(DATA_WAIT.as_secs() < DATA_TOTAL.as_secs());
const _: () = assert!(LINE_OCTETS >= 512 + 26 + 17 + 10);
