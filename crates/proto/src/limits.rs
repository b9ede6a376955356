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

const _: () = assert!(COMMAND_LINE_OCTETS < SASL_LINE_OCTETS);
const _: () = assert!(SASL_LINE_OCTETS < SKIPPED_LINE_OCTETS);
const _: () = assert!(STATUS_LINE_OCTETS < OUTPUT_OCTETS);
