//! mbox files: reading all of its dialects, writing mboxrd (RFC 4155 and common practice).
//!
//! An mbox is messages one after the other, each behind a *From_ line* (`From sender date`) and
//! followed by an empty line. What the dialects do not agree on is a line of a message that itself
//! begins with `From `:
//!
//! | dialect | such a line | end of a message |
//! |---|---|---|
//! | mboxo | `From ` gets a `>`; `>From ` stays, so reading back is a guess | next From_ line |
//! | mboxrd | `>*From ` gets one more `>`, reversible | next From_ line |
//! | mboxcl | as mboxo | the field `Content-Length` |
//! | mboxcl2 | left as it is | the field `Content-Length` |
//!
//! A line starts after a LF and nowhere else: a lone CR is a character like others.

mod from_line;
mod quote;
mod reader;
mod writer;

pub use from_line::{FromLine, from_line};
pub use quote::{Quoter, Unquoter};
pub use reader::{Envelope, LookAhead, Reader, Variant};
pub use writer::Writer;

/// Whether a file that begins with `bytes` (some 64 KiB of it, or all) is an mbox: its first line that
/// is not empty is a From_ line, with a date or before a header field; or that line is no header
/// field, and further down an empty line, a From_ line with a date and a header field stand together.
pub fn is_mbox(bytes: &[u8]) -> bool {
    reader::starts_mbox(bytes)
}

/// Whether `bytes` begin with a header field's name and its colon (RFC 5322 §2.2).
pub fn is_field(bytes: &[u8]) -> bool {
    reader::is_field(bytes)
}
