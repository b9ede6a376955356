//! Message bodies as POP3's multi-line responses carry them: RFC 1939 §3.
//!
//! [`Encoder`] makes CRLF line ends, stuffs dots and terminates; [`Decoder`] undoes the stuffing and
//! finds the end. Both stream, in pieces of any size. The server needs the encoder alone; the decoder
//! is there for clients.

mod decoder;
mod encoder;

pub use decoder::{Decoder, LineEnds};
pub use encoder::Encoder;

/// What follows the last line of a multi-line response.
pub const TERMINATOR: &[u8] = b".\r\n";
