//! What the server says (RFC 5321 §4.2, RFC 3463). No reply echoes what the client sent.

pub(super) const BUSY: &str = "421 4.3.2 Too many connections; try again later\r\n";
pub(super) const CLOSING: &str = "421 4.3.2 The server is stopping; try again later\r\n";
pub(super) const TOO_SLOW: &str = "421 4.4.2 Timeout\r\n";
pub(super) const TOO_MANY_BAD: &str = "421 4.7.0 Too many bad commands\r\n";
pub(super) const TOO_MANY_IDLE: &str = "421 4.7.0 Too many commands that deliver nothing\r\n";
pub(super) const TOO_MANY_REFUSED: &str = "421 4.7.0 Too many refused recipients\r\n";
pub(super) const ENDLESS: &str = "421 4.3.4 The message does not end\r\n";

pub(super) const BYE: &str = "221 2.0.0 Bye\r\n";
pub(super) const DONE: &str = "250 2.0.0 OK\r\n";
pub(super) const SENDER_OK: &str = "250 2.1.0 Sender OK\r\n";
pub(super) const RECIPIENT_OK: &str = "250 2.1.5 Recipient OK\r\n";
pub(super) const CANNOT_VERIFY: &str = "252 2.5.0 Cannot verify; ask with RCPT\r\n";
pub(super) const HELP: &str = "214 2.0.0 See RFC 2033\r\n";
pub(super) const GO_ON: &str = "354 End the message with <CRLF>.<CRLF>\r\n";

pub(super) const LINE_TOO_LONG: &str = "500 5.5.6 The line is too long\r\n";
pub(super) const BAD_LINE: &str =
    "500 5.5.2 A line is UTF-8 without control characters, and ends in CRLF\r\n";
pub(super) const UNKNOWN: &str = "500 5.5.1 No such command\r\n";
pub(super) const USE_LHLO: &str = "500 5.5.1 This is LMTP: use LHLO\r\n";
pub(super) const NOT_OFFERED: &str = "502 5.5.1 Not offered here\r\n";
pub(super) const BAD_SYNTAX: &str = "501 5.5.4 Wrong arguments\r\n";
pub(super) const BAD_SENDER: &str = "501 5.1.7 No such form of sender address\r\n";
pub(super) const BAD_RECIPIENT: &str = "501 5.1.3 No such form of recipient address\r\n";
pub(super) const BAD_PARAMETER: &str = "555 5.5.4 A parameter that was not offered\r\n";
pub(super) const NEEDS_UTF8: &str = "553 5.6.7 This address needs MAIL with SMTPUTF8\r\n";

pub(super) const LHLO_FIRST: &str = "503 5.5.1 LHLO comes first\r\n";
pub(super) const MAIL_FIRST: &str = "503 5.5.1 MAIL comes first\r\n";
pub(super) const NESTED_MAIL: &str = "503 5.5.1 MAIL was sent already; RSET drops it\r\n";
pub(super) const NO_RECIPIENTS: &str = "503 5.5.1 No valid recipients\r\n";

pub(super) const NO_SUCH_USER: &str = "550 5.1.1 No such user here\r\n";
pub(super) const OVER_QUOTA: &str = "452 4.2.2 The mailbox is full\r\n";
pub(super) const TOO_MANY_RECIPIENTS: &str =
    "452 4.5.3 Too many recipients; send the rest again\r\n";
pub(super) const DISK_FULL: &str = "452 4.3.1 The mail system is full\r\n";
pub(super) const FAILED: &str = "451 4.3.0 The mail system failed; try again later\r\n";
pub(super) const OVERLOADED: &str = "451 4.3.2 Too many messages at once; try again later\r\n";
pub(super) const TOO_LARGE: &str = "552 5.3.4 The message is too large\r\n";
