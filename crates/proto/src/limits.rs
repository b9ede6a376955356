//! Every quantity a peer controls: unit in the name, the RFC's bound, and what happens at it.

/// A command line, its CRLF included (RFC 2449 §4: 255). A longer one is answered with one `-ERR`
/// and skipped to its line end.
pub const COMMAND_LINE_OCTETS: usize = 255;

/// A client's line within a SASL exchange, its line end included. RFC 5034 §4 sets no bound but the
/// mechanism's: RFC 4616 §2 asks for three fields of 255 octets, which is 1,026 octets in Base64. A
/// longer line ends the exchange with `-ERR`.
pub const SASL_LINE_OCTETS: usize = 4096;

/// Octets that an overlong line may have before the peer counts as one that sends no POP3: the
/// session is closed.
pub const SKIPPED_LINE_OCTETS: usize = 64 * 1024;

/// A status line, its CRLF included (RFC 2449 §4: 512). Ours are constants and numbers, never what
/// the client sent, so that none comes near.
pub const STATUS_LINE_OCTETS: usize = 512;

/// Unsent replies at which a session handles no further command, and a listing pauses, until its
/// driver has sent them: a client that only writes cannot make the server hold more.
pub const OUTPUT_OCTETS: usize = 64 * 1024;

/// Bad commands in a row (unknown, malformed, out of place, a failed login) at which the session
/// is closed: nobody who speaks POP3 sends so many.
pub const BAD_COMMANDS: u8 = 20;

/// Failed logins of a session, whatever comes between them, at which it is closed: whoever guesses
/// passwords has to connect anew, and nobody types so many.
pub const FAILED_LOGINS: u8 = 10;

/// A unique-id (RFC 1939 §7 UIDL: 1 to 70 characters).
pub const UNIQUE_ID_OCTETS: usize = 70;

/// What a client reads as a status line or SASL challenge, its line end included. RFC 2449 §4 allows
/// 512, servers that echo commands and mechanisms that send tickets need more. A longer one is a
/// fault: the session is over.
pub const REPLY_LINE_OCTETS: usize = 8 * 1024;

/// What a client reads as a line of CAPA, LIST or UIDL, its line end included. RFC 1939 §7 has
/// unique-ids of 70 octets at most, servers send longer ones. A longer line is a fault.
pub const LISTING_LINE_OCTETS: usize = 4 * 1024;

/// Lines of a listing that a client reads. Maildrops of 14 million messages have been seen; at more the
/// server counts as one that never stops.
pub const LISTING_LINES: u64 = 32 * 1024 * 1024;

/// Lines of a capability list that a client reads: the registry has 20 names, and some servers add theirs.
pub const CAPABILITY_LINES: u64 = 256;

/// Octets that a client's session holds and has not handled: as much as one read brings. Also the
/// largest piece of a message that it hands out.
pub const INPUT_OCTETS: usize = 64 * 1024;

/// Responses that ended in silence (see [`client`](crate::client)) after which a server's bodies are
/// taken to have bare LF.
pub const QUIET_ENDS: u8 = 3;

const _: () = assert!(COMMAND_LINE_OCTETS < SASL_LINE_OCTETS);
const _: () = assert!(SASL_LINE_OCTETS < SKIPPED_LINE_OCTETS);
const _: () = assert!(STATUS_LINE_OCTETS < OUTPUT_OCTETS);
const _: () = assert!(REPLY_LINE_OCTETS < INPUT_OCTETS);
const _: () = assert!(LISTING_LINE_OCTETS < INPUT_OCTETS);

/// Commands of a client before its login that are remembered, to tell what client it is; further ones
/// are not.
pub const OPENING_COMMANDS: usize = 12;
