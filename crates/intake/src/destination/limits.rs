//! Every quantity of a destination that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// How long any one wait may last when nothing else is said: what the fetcher grants a POP3 server.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A message up to this size waits in memory, a larger one in a file without a name. As the store's
/// drafts.
pub const SPOOL_MEMORY_OCTETS: usize = 256 * 1024;

/// A spooled message is sent in pieces of this size.
pub const PIECE_OCTETS: usize = 64 * 1024;

/// A message above this size that finds no room is set aside alone; below it, nothing else would
/// find room either.
pub const LARGE_OCTETS: u64 = 1024 * 1024;

/// Messages that one `flush` syncs at most: each is an open file until then. More are synced as they
/// come, and their results kept.
pub const BATCH_MESSAGES: usize = 64;

/// Octets of an mbox batch. More are appended as they come.
pub const BATCH_OCTETS: u64 = 16 * 1024 * 1024;

/// How long a lock on an mbox is waited for, if a lock's holder takes its time. Then the batch is
/// not stored, and may be tried again.
pub const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How often a lock that is taken is tried again.
pub const LOCK_RETRY: Duration = Duration::from_millis(100);

/// A dotlock that names no living process is left over when it is older than this (as liblockfile
/// has it).
pub const LOCK_STALE: Duration = Duration::from_secs(5 * 60);

/// Octets of a dotlock that are read.
pub const LOCK_OCTETS: u64 = 1024;

/// A file in `tmp` of a Maildir is left over when it is older than this (as the format's manual has
/// it).
pub const MAILDIR_LEFTOVER: Duration = Duration::from_secs(36 * 60 * 60);

/// How long to wait for the reply to a whole message. RFC 5321 §4.5.3.2.6: at least 10 minutes, since a
/// reply given up too early means a second copy (RFC 1047).
pub const STORED_WAIT: Duration = Duration::from_secs(10 * 60);

/// How long to wait for the reply to QUIT or LOGOUT; nothing depends on it.
pub const GOODBYE_WAIT: Duration = Duration::from_secs(5);

/// Octets of a line of an SMTP reply. RFC 5321 §4.5.3.1.5 has 512; longer ones are seen.
pub const REPLY_LINE_OCTETS: usize = 4 * 1024;

/// Lines of an SMTP reply; EHLO's has one for each extension.
pub const REPLY_LINES: usize = 200;

/// Octets of an IMAP response with its literals. The largest that is asked for is a message's header.
pub const RESPONSE_OCTETS: usize = 256 * 1024;

/// Untagged responses that may come before a tagged one: flags and counts of a mailbox that is busy.
pub const RESPONSES: usize = 10_000;

/// Messages with the same Message-ID or the same size that are looked at for an earlier copy.
pub const COPIES: usize = 50;

/// How much of a message is searched for its Message-ID.
pub const HEADER_OCTETS: usize = 128 * 1024;

/// Octets of a Message-ID that are searched for; a longer one is searched for by its beginning.
pub const MESSAGE_ID_OCTETS: usize = 200;

/// A message up to this size is sent without waiting for leave where the server has LITERAL+
/// (RFC 7888); of a larger one too much would be lost when it is refused.
pub const LITERAL_PLUS_OCTETS: u64 = 64 * 1024;

/// The same for LITERAL-, where the RFC sets the bound.
pub const LITERAL_MINUS_OCTETS: u64 = 4096;

/// How long a program may take from its start to its end.
pub const PROGRAM_WAIT: Duration = Duration::from_secs(10 * 60);

/// How long its standard error is read after it has ended: what it left running may keep it open.
pub const STDERR_WAIT: Duration = Duration::from_secs(1);

/// Octets of standard error that are kept: the last ones.
pub const STDERR_OCTETS: usize = 2 * 1024;

/// Octets of a peer's text that go into an error.
pub const TEXT_OCTETS: usize = 300;

const _: () = assert!(PIECE_OCTETS <= SPOOL_MEMORY_OCTETS);
const _: () = assert!(SPOOL_MEMORY_OCTETS as u64 <= BATCH_OCTETS);
const _: () = assert!(LITERAL_MINUS_OCTETS <= LITERAL_PLUS_OCTETS);
const _: () = assert!(HEADER_OCTETS <= RESPONSE_OCTETS);
const _: () = assert!(LOCK_WAIT.as_secs() < LOCK_STALE.as_secs());
