//! Many commands at once, and their replies as they come.

use crate::limits::{WINDOW_COMMANDS, WINDOW_OCTETS};
use crate::{Capabilities, Error, Reply, Scan, Session, Totals};

/// How much may be asked for and not yet answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Octets of the messages asked for, as far as they are known. One message larger than that is
    /// asked for alone.
    pub octets: u64,
    /// Commands.
    pub commands: usize,
}

impl Window {
    /// One command at a time.
    pub const ONE: Self = Self {
        octets: u64::MAX,
        commands: 1,
    };
}

impl Default for Window {
    fn default() -> Self {
        Self {
            octets: WINDOW_OCTETS,
            commands: WINDOW_COMMANDS,
        }
    }
}

/// What can be asked for in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// CAPA.
    Capabilities,
    /// STAT.
    Stat,
    /// LIST.
    List,
    /// UIDL.
    UniqueIds,
    /// LIST of one message.
    ListOne {
        /// The message-number.
        number: u64,
    },
    /// UIDL of one message.
    UniqueId {
        /// The message-number.
        number: u64,
    },
    /// RETR.
    Retrieve {
        /// The message-number.
        number: u64,
        /// Its octets as LIST has them, for the window alone.
        octets: u64,
    },
    /// TOP.
    Top {
        /// The message-number.
        number: u64,
        /// How many lines of the body.
        lines: u64,
    },
    /// DELE.
    Delete {
        /// The message-number.
        number: u64,
    },
    /// NOOP.
    Noop,
}

/// What came back, in the order of the requests.
#[derive(Debug)]
pub enum Event<'a> {
    /// CAPA's whole answer.
    Capabilities(&'a Capabilities),
    /// STAT's answer.
    Totals(Totals),
    /// A line of LIST, or the answer to LIST of one message.
    Scan(Scan),
    /// The scan listing is complete.
    Listed,
    /// A line of UIDL, or the answer to UIDL of one message.
    UniqueId {
        /// The message-number.
        number: u64,
        /// The id, as bytes: of any length within the limit, perhaps with spaces or 8-bit octets.
        id: &'a [u8],
    },
    /// The unique-id listing is complete.
    UniqueIdsListed,
    /// A message, or the top of one, begins.
    Began {
        /// The message-number.
        number: u64,
    },
    /// More of it.
    Chunk {
        /// The message-number.
        number: u64,
        /// At most [`CHUNK_OCTETS`](crate::limits::CHUNK_OCTETS), without dot-stuffing, line ends as sent.
        bytes: &'a [u8],
    },
    /// The message, or the top of it, is whole. What is cut short never comes to this.
    Ended {
        /// The message-number.
        number: u64,
    },
    /// DELE is acknowledged.
    Deleted {
        /// The message-number.
        number: u64,
    },
    /// NOOP is acknowledged.
    Alive,
    /// `-ERR`: this request got nothing; the others go on.
    Refused {
        /// Which.
        request: Request,
        /// What the server said.
        reply: Reply,
    },
}

/// A session with requests outstanding.
///
/// [`Pipeline::push`] any number, call [`Pipeline::next`] until it returns `None`, push more at any
/// time. What waits beyond the window is not sent yet. Reading goes on while commands are being
/// written, so that neither side can wait for the other.
#[derive(Debug)]
pub struct Pipeline {}

impl Pipeline {
    /// Asks for something more. It goes out, with whatever else the window lets out, at the next
    /// [`Pipeline::next`].
    pub fn push(&mut self, _request: Request) {}

    /// How many requests have not been answered whole, sent or not.
    pub fn pending(&self) -> usize {
        0
    }

    /// The next event, or `None` when nothing is pending. Cancelled, it loses nothing.
    pub async fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        Ok(None)
    }

    /// Reads what is still due and passes over it; what was not sent yet is forgotten.
    pub async fn finish(self) -> Result<Session, Error> {
        Ok(Session {})
    }
}
