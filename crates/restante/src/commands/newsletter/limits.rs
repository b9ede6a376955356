//! Every quantity of a check that has a bound, and the bounds that others set.

/// A message with more than this is not read.
pub(super) const MESSAGE_OCTETS: u64 = 50 * 1024 * 1024;

/// Gmail shows this much of a message's HTML, then a link to the rest.
pub(super) const GMAIL_OCTETS: usize = 102 * 1024;

/// A message that is larger takes long on a telephone's connection.
pub(super) const LARGE_OCTETS: usize = 1024 * 1024;

/// Characters of a subject that a list of messages shows on a screen; a telephone shows some 40.
pub(super) const SUBJECT_CHARACTERS: usize = 70;

/// RFC 5322 §2.1.1: octets of a line, without its CRLF.
pub(super) const LINE_OCTETS: usize = 998;

/// A text part with less is none, when the HTML says this many times more.
pub(super) const STUB_TIMES: usize = 10;

/// Characters that a reader without images must see at least.
pub(super) const VISIBLE_CHARACTERS: usize = 100;

/// Seconds that a date may be ahead: clocks differ, and campaigns are written the day before.
pub(super) const AHEAD_SECONDS: i64 = 2 * 24 * 60 * 60;
