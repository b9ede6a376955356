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

/// How long a server that could not take pipelined commands is spared them.
pub const DEPTH_ONE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Messages that one session works on; the rest waits for the next session, which follows at once.
/// Each takes some three hundred octets of memory until the session ends.
pub const WORK_MESSAGES: usize = 40_000;

/// Octets of unique-ids that one session holds, for servers whose ids are long; the rest waits.
pub const WORK_ID_OCTETS: usize = 12 * 1024 * 1024;

/// Messages of a listing whose sizes are remembered until their unique-ids come, 4 octets each; those
/// beyond are of unknown size.
pub const SIZES: usize = 2_000_000;

/// Messages of a listing that are remembered by 8 octets each, to see what has vanished and what is
/// listed twice; in a larger listing nothing vanishes.
pub const LISTED: usize = 2_000_000;

/// Unique-ids looked up in the ledger at once.
pub const LOOK_UP: usize = 1_000;

/// Archived messages that are remembered by digest, 48 octets each, to recognise what comes again under
/// another unique-id; others come twice.
pub const RECOGNISE: usize = 100_000;

/// Requests that wait in the client: enough to fill any window, few enough that a deletion does not
/// wait long behind them.
pub const REQUESTS: usize = 1_024;

/// Octets of a header that are looked at, or kept for a message that is too large.
pub const HEADER_OCTETS: usize = 64 * 1024;

/// Connections in a row that bring nothing before a run gives up.
pub const FRUITLESS: u32 = 3;

/// Sessions of one run. Each but the last brings something new; a server that always has more goes
/// on in the next run.
pub const SESSIONS: u64 = 1_000;

/// A message may be so many times as large as LIST said (servers count LF as one octet, or what is
/// compressed), and [`OVERRUN_OCTETS`] more; one that goes on is set aside.
pub const OVERRUN_TIMES: u64 = 100;

/// See [`OVERRUN_TIMES`].
pub const OVERRUN_OCTETS: u64 = 64 * 1024 * 1024;

/// The most octets of a message whose size LIST did not say.
pub const UNLISTED_OCTETS: u64 = 2 * 1024 * 1024 * 1024;

/// How often a connection may break inside one message before the run leaves that message out.
pub const BREAKS: u32 = 2;

/// Refusals of RETR in a row after which the server is left alone for a while.
pub const REFUSALS: u32 = 10;

/// How long to wait before a broken connection is made again, the first time; four times as long each
/// further time.
pub const RECONNECT: Duration = Duration::from_millis(200);

/// How long an account waits when another session has its maildrop.
pub const IN_USE: Duration = Duration::from_secs(2 * 60);

/// How long an account waits when the server wants more time between logins and does not say how much.
pub const LOGIN_DELAY: Duration = Duration::from_secs(10 * 60);

/// The longest wait between logins that a server is believed (RFC 2449 §6.5 gives seconds).
pub const LOGIN_DELAY_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an account waits after a passing fault of the server.
pub const TEMPORARY: Duration = Duration::from_secs(5 * 60);

/// How long an account waits when its provider says that it has had enough for now.
pub const PROVIDER_LIMIT: Duration = Duration::from_secs(60 * 60);
