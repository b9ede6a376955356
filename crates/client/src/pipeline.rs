//! Many commands at once, and their replies as they come.

use std::collections::VecDeque;

use restante_proto::client::{self as proto, Command};

use crate::limits::{WINDOW_COMMANDS, WINDOW_OCTETS};
use crate::link::refused;
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
        /// Its octets as LIST has them; 0 = unknown. For the window, and to tell a lone dot that is text from
        /// one that ends the message where a server's line ends leave that open.
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
pub struct Pipeline {
    session: Session,
    window: Window,
    waiting: VecDeque<Request>,
    sent: VecDeque<Request>,
    /// Octets of what was sent and is not answered whole.
    octets: u64,
    /// CAPA's lines so far.
    lines: Vec<Box<str>>,
}

/// What to do with an event of the protocol's.
enum Meaning {
    /// Nothing yet: more of the same reply comes.
    Part,
    /// It is the caller's, and its request goes on.
    News,
    /// It is the caller's, and its request is done.
    Done,
}

impl Request {
    const fn octets(self) -> u64 {
        match self {
            Self::Retrieve { octets, .. } => octets,
            _ => 0,
        }
    }

    /// The octets of the message that the reply brings, as LIST has them.
    const fn listed(self) -> Option<u64> {
        match self {
            Self::Retrieve { octets, .. } if octets > 0 => Some(octets),
            _ => None,
        }
    }

    const fn command(self) -> Command<'static> {
        match self {
            Self::Capabilities => Command::Capa,
            Self::Stat => Command::Stat,
            Self::List => Command::List,
            Self::UniqueIds => Command::Uidl,
            Self::ListOne { number } => Command::ListOne(number),
            Self::UniqueId { number } => Command::UidlOne(number),
            Self::Retrieve { number, .. } => Command::Retr(number),
            Self::Top { number, lines } => Command::Top(number, lines),
            Self::Delete { number } => Command::Dele(number),
            Self::Noop => Command::Noop,
        }
    }

    const fn number(self) -> u64 {
        match self {
            Self::ListOne { number }
            | Self::UniqueId { number }
            | Self::Retrieve { number, .. }
            | Self::Top { number, .. }
            | Self::Delete { number } => number,
            Self::Capabilities | Self::Stat | Self::List | Self::UniqueIds | Self::Noop => 0,
        }
    }
}

impl Pipeline {
    pub(crate) const fn of(session: Session, window: Window) -> Self {
        Self {
            session,
            window,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            octets: 0,
            lines: Vec::new(),
        }
    }

    /// Asks for something more. It goes out, with whatever else the window lets out, at the next
    /// [`Pipeline::next`].
    pub fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// How many requests have not been answered whole, sent or not.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }

    /// Whether the server says that commands may be pipelined, by what it has said last.
    pub fn pipelining(&self) -> bool {
        self.session.pipelining()
    }

    /// Sends what the window lets out. It waits until half of it is free, so that many commands go in
    /// one write.
    fn fill(&mut self) -> Result<(), Error> {
        let commands = match self.session.pipelining() {
            true => self.window.commands.max(1),
            false => 1,
        };
        if self.sent.len() > commands / 2 || self.octets > self.window.octets / 2 {
            return Ok(());
        }
        while self.sent.len() < commands
            && let Some(&request) = self.waiting.front()
        {
            let octets = self.octets.saturating_add(request.octets());
            if octets > self.window.octets && !self.sent.is_empty() {
                break;
            }
            let alone = self.sent.is_empty() && commands == 1;
            let link = &mut self.session.link;
            link.expect_body(if alone { request.listed() } else { None });
            link.push(&request.command())?;
            self.waiting.pop_front();
            self.sent.push_back(request);
            self.octets = octets;
        }
        Ok(())
    }

    /// The next event, or `None` when nothing is pending. Cancelled, it loses nothing.
    pub async fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        self.fill()?;
        let Some(&request) = self.sent.front() else {
            return Ok(None);
        };
        loop {
            self.session.link.advance().await?;
            match self.meaning(request)? {
                Meaning::Part => {}
                Meaning::News => break,
                Meaning::Done => {
                    self.sent.pop_front();
                    self.octets = match self.sent.is_empty() {
                        // Sums that were cut off at the top of 64 bits come right again here.
                        true => 0,
                        false => self.octets.saturating_sub(request.octets()),
                    };
                    break;
                }
            }
        }
        self.told(request).map(Some)
    }

    fn meaning(&mut self, request: Request) -> Result<Meaning, Error> {
        use proto::Event as E;
        Ok(match (self.session.link.event()?, request) {
            (E::Capability(line), _) => {
                self.lines.push(String::from_utf8_lossy(line).into());
                Meaning::Part
            }
            (E::Positive(..), Request::Capabilities) => {
                self.lines.clear();
                Meaning::Part
            }
            (E::Positive(..), Request::List | Request::UniqueIds) => Meaning::Part,
            (E::End(_), Request::Capabilities) => {
                let lines = std::mem::take(&mut self.lines);
                self.session.after = Some(Capabilities::of(lines));
                Meaning::Done
            }
            (E::Positive(..), Request::Retrieve { .. } | Request::Top { .. })
            | (E::Chunk(_), _)
            | (E::Scan { .. }, Request::List)
            | (E::UniqueId { .. }, Request::UniqueIds) => Meaning::News,
            _ => Meaning::Done,
        })
    }

    fn told(&self, request: Request) -> Result<Event<'_>, Error> {
        use proto::Event as E;
        let number = request.number();
        Ok(match (self.session.link.event()?, request) {
            (E::Negative(_, reply), _) => Event::Refused {
                request,
                reply: reply.into(),
            },
            (E::Totals { count, octets }, _) => Event::Totals(Totals { count, octets }),
            (E::Scan { number, octets }, _) => Event::Scan(Scan { number, octets }),
            (E::UniqueId { number, id }, _) => Event::UniqueId { number, id },
            (E::Chunk(bytes), _) => Event::Chunk { number, bytes },
            (E::Positive(..), Request::Retrieve { .. } | Request::Top { .. }) => {
                Event::Began { number }
            }
            (E::Positive(..), Request::Delete { .. }) => Event::Deleted { number },
            (E::Positive(..), Request::Noop) => Event::Alive,
            (E::End(_), Request::Retrieve { .. } | Request::Top { .. }) => Event::Ended { number },
            (E::End(_), Request::List) => Event::Listed,
            (E::End(_), Request::UniqueIds) => Event::UniqueIdsListed,
            (E::End(_), Request::Capabilities) => match &self.session.after {
                Some(capabilities) => Event::Capabilities(capabilities),
                None => return Err(Error::Closed { outstanding: 0 }),
            },
            (other, _) => return Err(refused(&other)),
        })
    }

    /// Reads what is still due and passes over it; what was not sent yet is forgotten.
    pub async fn finish(mut self) -> Result<Session, Error> {
        self.session.link.drain().await?;
        Ok(self.session)
    }
}
