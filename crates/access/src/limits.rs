//! Every quantity of a session that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// From the connection to the login, failed attempts and a TLS handshake included. Then the
/// connection is closed: who has not logged in may not hold a place for long.
pub const LOGIN: Duration = Duration::from_secs(180);

/// From the last reply to the next complete command, once logged in. RFC 1939 §3: at least ten
/// minutes. Then the connection is closed, and nothing is deleted.
pub const AUTOLOGOUT: Duration = Duration::from_secs(600);

/// How long a session that is idle keeps its listing: the next command reads it again.
pub const KEEP_LISTING: Duration = Duration::from_secs(5);

/// How long the last reply may take to reach a client that is being turned away while it still sends.
pub const LINGER: Duration = Duration::from_secs(1);

/// Octets of such a client that are read and thrown away.
pub const LINGER_OCTETS: usize = 256 * 1024;

/// How long the reply to a login waits that was not checked: a client that tries again at once would
/// spin, and log, as fast as the line lets it.
pub const THROTTLED: Duration = Duration::from_secs(2);

/// The same for a wrong password after the first of a session: one that is remembered as wrong costs
/// no hashing, and so no time.
pub const REFUSED: Duration = Duration::from_secs(1);

/// How far the login `recent:user` goes back unless somebody says otherwise, in milliseconds: 30 days.
pub const RECENT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Lines of throttled logins, and of sessions without a login, that one address (IPv6: one /64) may
/// cause: one in this time, with the number of those that were left out.
pub const NOTICE_INTERVAL: Duration = Duration::from_secs(5);

/// Addresses whose lines are counted; beyond, all are forgotten, and each is written of anew.
pub(crate) const NOTICES: usize = 4_096;

/// From an HTTP connection's first octet, or its last answer, to the end of the next request's header.
/// Then it is closed: browsers open another.
pub const HTTP_HEADER: Duration = Duration::from_secs(30);

/// Octets of a request's line and header fields together; beyond, 431 and the connection is closed.
pub const HTTP_HEADER_OCTETS: usize = 16 * 1024;

/// Header fields of a request; beyond, 431. Browsers send about twenty.
pub const HTTP_FIELDS: usize = 64;

/// From a request's header to the beginning of its answer, its body included; then 503.
pub const HTTP_ANSWER: Duration = Duration::from_secs(60);

/// Octets of a request's body, unless a router says less; beyond, 413.
pub const HTTP_BODY_OCTETS: usize = 1024 * 1024;

/// How long a browser may take none of an answer; then the connection is closed.
pub const HTTP_STALL: Duration = Duration::from_secs(60);

/// How long a browser stays signed in to the reader without asking for a page.
pub const READER_IDLE: Duration = Duration::from_secs(12 * 3600);

/// How long a browser stays signed in to the reader at most.
pub const READER_SESSION: Duration = Duration::from_secs(7 * 24 * 3600);

/// Signed-in browsers; beyond, the one that was longest silent is signed out.
pub const READER_SESSIONS: usize = 1_000;

/// How long the token in the address that `restante read` opens counts.
pub const READER_ONE_TIME: Duration = Duration::from_secs(600);

/// Octets of a form; beyond, it is refused. A selection of the largest page fits.
pub const READER_FORM_OCTETS: usize = 128 * 1024;

/// Messages of one selection.
pub const READER_SELECTED: usize = 1_000;

/// Rows of one page of a list.
pub const READER_ROWS: usize = 50;

/// Removed messages that are listed, those removed last.
pub const READER_DELETED: usize = 200;

/// Messages of a conversation that are listed beside one of them; of a longer one, the newest.
pub const READER_THREAD: usize = 200;

/// Messages that one export takes.
pub const READER_EXPORT: usize = 100_000;

/// Octets of a text that is shown as a page; the rest is in the raw source.
pub const READER_TEXT_OCTETS: usize = 1024 * 1024;

/// How long leaving a newsletter may take.
pub const UNSUBSCRIBE: Duration = Duration::from_secs(20);

/// Octets of the answer to leaving a newsletter that are read; nobody reads more than its status.
pub const UNSUBSCRIBE_OCTETS: usize = 64 * 1024;

/// Buffers that a thread keeps between two commands, of whatever sessions.
pub(crate) const SPARE_BUFFERS: usize = 4;

/// A buffer that has grown beyond this is not kept. A session's output is at most one body piece
/// above [`restante_proto::limits::OUTPUT_OCTETS`], and stuffing seldom adds to it.
pub(crate) const SPARE_BUFFER_OCTETS: usize = 512 * 1024;

/// Octets of an address that a client of `setup` names (RFC 5321 §4.5.3.1.3, without the brackets).
/// A longer one is none.
pub(crate) const ADDRESS_OCTETS: usize = 254;

/// Octets of a request's body to `setup`. Outlook's is under 1 KB; more is refused (413).
pub const SETUP_BODY_OCTETS: usize = 16 * 1024;

/// Requests to `setup` that one address (IPv6: one /64) may make a second, in the long run. A mail program
/// makes a handful, once. More are refused (429). Loopback is exempt: a proxy there asks for everyone.
pub(crate) const SETUP_PER_SECOND: u32 = 5;

/// Requests that one address may make at once, after a while of silence.
pub(crate) const SETUP_BURST: u32 = 40;

/// Requests to `setup` from all addresses together a second.
pub(crate) const SETUP_ALL_PER_SECOND: u32 = 500;

/// Addresses whose requests to `setup` are counted; beyond, all are forgotten.
pub(crate) const SETUP_PEERS: usize = 4_096;

const _: () = assert!(SETUP_PER_SECOND <= SETUP_BURST && SETUP_BURST <= SETUP_ALL_PER_SECOND);
const _: () = assert!(AUTOLOGOUT.as_secs() >= 600);
const _: () = assert!(KEEP_LISTING.as_secs() < AUTOLOGOUT.as_secs());
const _: () = assert!(
    SPARE_BUFFER_OCTETS
        > restante_proto::limits::OUTPUT_OCTETS + restante_store::limits::BODY_CHUNK_OCTETS
);
