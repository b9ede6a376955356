//! What a server says, by its meaning.

use super::{Asked, Reply};

/// What has come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// `+OK`. For CAPA, LIST, UIDL, RETR and TOP the lines follow, and then [`Event::End`]; any other
    /// command is done. STAT and the listings of one message have events of their own.
    Positive(Asked, Reply<'a>),
    /// `-ERR`: the command is done.
    Negative(Asked, Reply<'a>),
    /// AUTH goes on: answer with [`respond`] or [`cancel`]. The challenge is no longer Base64.
    ///
    /// [`respond`]: super::Session::respond
    /// [`cancel`]: super::Session::cancel
    Challenge(&'a [u8]),
    /// A line of CAPA.
    Capability(&'a [u8]),
    /// STAT's answer.
    Totals {
        /// Messages.
        count: u64,
        /// Octets.
        octets: u64,
    },
    /// A line of LIST, or the answer to LIST of one message.
    Scan {
        /// The message-number.
        number: u64,
        /// Octets.
        octets: u64,
    },
    /// A line of UIDL, or the answer to UIDL of one message.
    UniqueId {
        /// The message-number.
        number: u64,
        /// The unique-id.
        id: &'a [u8],
    },
    /// More of a message: without dot-stuffing, line ends as they were sent.
    Chunk(&'a [u8]),
    /// The listing or message is complete.
    End(Asked),
}
