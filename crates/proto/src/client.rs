//! The client's end of a POP3 session: RFC 1939, 2449, 2595 §4, 3206, 5034.
//!
//! A [`Session`] takes commands and bytes and hands out events. Its driver's loop is
//!
//! 1. [`Session::push`] any number of commands; each is encoded whole, and its reply is due from then on;
//! 2. send [`Session::output`] and say so with [`Session::sent`];
//! 3. [`Session::advance`] until it says that there is no event; after each `true` look at
//!    [`Session::event`];
//! 4. read into [`Session::space`] and say so with [`Session::filled`], or [`Session::feed`].
//!
//! Replies come in the order of the commands. What is no status line where one is due, and bytes while
//! nothing is due, are a [`Fault`]: the session is over, and no byte after it means anything.
//!
//! # Where a message ends
//!
//! Messages are written by strangers. If one could make this client believe that it has ended before its
//! end, the rest of it would be read as replies, and could claim anything. So with a server that keeps
//! RFC 1939 §3 nothing but CRLF `.` CRLF at a line's start ends a body, and that no message contains,
//! because the server stuffs the dot. A bare LF is content.
//!
//! Servers that send bare LF are read too, on evidence that no message can give:
//!
//! - the status line of the reply itself ended in a bare LF, or a listing, its terminator included, did.
//!   Both are the server's own words;
//! - or the last line of the body is a lone dot, it stands behind a line that ended in CRLF or the body has
//!   no such line at all (a server that stuffs sends neither as text), and then there is
//!   *silence* while no other reply is due: [`Session::may_have_ended`]. How long, the driver says. A
//!   server that keeps the RFC has more to send at that point, and does not pause there at a message's
//!   wish; nor does mail that came by SMTP begin with bare LF at a server that sends CRLF, for the trace
//!   fields on its top are that server's own. Whatever follows is a fault unless it is the reply to a
//!   command sent after that silence. After [`QUIET_ENDS`] of them the server is taken for one that sends
//!   bodies with bare LF;
//! - or the lone dot stands behind a bare LF among lines with CRLF, there is that silence, and the octets before
//!   it are just as many as the server's listing says ([`Session::expect_body`]): a message can have such a
//!   dot, but not where it ends.
//!
//! While other replies are due there is no silence. Such a dot with `+OK` or `-ERR` behind it may be text, or
//! the end of one message and the reply with the next: read as text, two messages would become one. That is a
//! [`Fault`] then; with one command at a time it is told by what follows. And a body with a line that ends in
//! CRLF is read strictly from there on, whatever the server has sent before.

mod command;
mod event;
mod limit;
mod listing;
mod reply;

pub use command::{Asked, BadArgument, Command, goes_along};
pub use event::Event;
pub use limit::{Fault, Limit};
pub use reply::{Reply, ResponseCode};

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr;
use zeroize::Zeroizing;

use crate::dot::{Decoder, LineEnds};
use crate::limits::{
    CAPABILITY_LINES, INPUT_OCTETS, LISTING_LINE_OCTETS, LISTING_LINES, QUIET_ENDS,
    REPLY_LINE_OCTETS,
};
use reply::Status;

/// The last event, by places in the buffers.
#[derive(Debug, Clone)]
enum Found {
    Nothing,
    Status(Status, Asked, Range<usize>),
    Challenge,
    Capability(Range<usize>),
    Totals(u64, u64),
    Scan(u64, u64),
    UniqueId(u64, Range<usize>),
    Chunk,
    End(Asked),
}

/// What the next byte belongs to.
#[derive(Debug)]
enum Reading {
    /// A status line, or nothing.
    Status,
    /// A listing, after so many lines; whether all of them ended in bare LF.
    Lines { count: u64, all_lf: bool },
    /// A message, after so many octets.
    Body { decoder: Decoder, octets: u64 },
}

/// A line, without its line end.
struct Line {
    place: Range<usize>,
    bare_lf: bool,
}

/// A client's session. See the module for how to drive it.
pub struct Session {
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Octets after `start` that are known to hold no LF.
    scanned: usize,
    decoded: Vec<u8>,
    output: Zeroizing<Vec<u8>>,
    sent: usize,
    due: VecDeque<Asked>,
    reading: Reading,
    found: Found,
    fault: Option<Fault>,
    body_octets: Option<u64>,
    /// What the server said of the size of the message that is due alone.
    listed: Option<u64>,
    quiet_ends: u8,
}

/// Without its buffers, which may hold a password or somebody's mail.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("due", &self.due.len())
            .field("reading", &self.reading)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// On a new connection: the greeting is due.
    pub fn new() -> Self {
        Self::with(VecDeque::from([Asked::Greeting]))
    }

    fn with(due: VecDeque<Asked>) -> Self {
        Self {
            input: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            decoded: Vec::new(),
            output: Zeroizing::default(),
            sent: 0,
            due,
            reading: Reading::Status,
            found: Found::Nothing,
            fault: None,
            body_octets: None,
            listed: None,
            quiet_ends: 0,
        }
    }

    /// RFC 2595 §4 STLS; state AUTHORIZATION. After its `+OK`: a new session for the encrypted
    /// connection, on which no greeting comes. `None` if bytes came ahead of the handshake, which anybody
    /// on the way may have sent.
    pub fn over_tls(self) -> Option<Self> {
        let clean = self.start == self.end && self.due.is_empty() && self.fault.is_none();
        clean.then(|| Self::with(VecDeque::new()))
    }

    /// Makes a message of more octets than that a [`Limit::BodyOctets`]. There is no such limit at first.
    pub fn limit_bodies(&mut self, octets: Option<u64>) {
        self.body_octets = octets;
    }

    /// The size of the next message as a listing has it, where that is known: it tells a lone dot that ends
    /// the message from one that is text. Goes for a message that was asked for by itself.
    pub fn expect_body(&mut self, octets: Option<u64>) {
        self.listed = octets;
    }

    /// Appends a command to the output; its reply is due.
    pub fn push(&mut self, command: &Command<'_>) -> Result<(), BadArgument> {
        self.nothing_unsolicited();
        self.reserve_output(command.octets());
        command.encode(&mut self.output)?;
        self.due.push_back(command.asked());
        Ok(())
    }

    /// Answers a challenge.
    pub fn respond(&mut self, response: &[u8]) {
        self.nothing_unsolicited();
        self.reserve_output(command::base64_octets(response.len()) + 2);
        command::base64(response, &mut self.output);
        self.output.extend_from_slice(b"\r\n");
    }

    /// Answers a challenge by giving up: RFC 5034 §4. The server says `-ERR`.
    pub fn cancel(&mut self) {
        self.nothing_unsolicited();
        self.output.extend_from_slice(b"*\r\n");
    }

    /// Bytes that came before the command cannot be its reply.
    fn nothing_unsolicited(&mut self) {
        if self.start < self.end && self.due.is_empty() && self.fault.is_none() {
            self.fault = Some(self.unsolicited());
        }
    }

    /// Makes room without leaving a copy of what may be a password in memory that was outgrown.
    fn reserve_output(&mut self, octets: usize) {
        if self.output.capacity() - self.output.len() < octets {
            let mut larger = Zeroizing::new(Vec::with_capacity((self.output.len() + octets) * 2));
            larger.extend_from_slice(&self.output[self.sent..]);
            self.output = larger;
            self.sent = 0;
        }
    }

    /// What is to be sent: whole commands, as many as were pushed.
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So many octets of the output were sent.
    pub fn sent(&mut self, octets: usize) {
        self.sent = (self.sent + octets).min(self.output.len());
        if self.sent == self.output.len() {
            use zeroize::Zeroize as _;
            self.output.zeroize();
            self.sent = 0;
        }
    }

    /// How many replies are due, one that is coming in included.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// Whether a reply has begun and is not complete.
    pub fn is_within_reply(&self) -> bool {
        !matches!(self.reading, Reading::Status)
    }

    /// Room to read into; never empty while [`Session::advance`] says that there is no event.
    pub fn space(&mut self) -> &mut [u8] {
        if self.input.is_empty() {
            self.input = vec![0; INPUT_OCTETS];
        }
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.start > 0 {
            // Part of a line, so short.
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.found = Found::Nothing;
        &mut self.input[self.end..]
    }

    /// So many octets were read into [`Session::space`].
    pub fn filled(&mut self, octets: usize) {
        self.end = (self.end + octets).min(self.input.len());
    }

    /// Copies as much of `bytes` in as there is room for; says how much.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let octets = bytes.len().min(space.len());
        space[..octets].copy_from_slice(&bytes[..octets]);
        self.filled(octets);
        octets
    }

    /// Handles bytes up to the next event; `false` = more are needed.
    pub fn advance(&mut self) -> Result<bool, Fault> {
        self.found = Found::Nothing;
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let found = match self.reading {
            Reading::Status => self.status_line(),
            Reading::Lines { .. } => self.listing_line(),
            Reading::Body { .. } => self.body(),
        };
        match found {
            Ok(Some(found)) => {
                self.found = found;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(fault) => {
                self.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// What [`Session::advance`] found; `None` if that was not `true` or bytes were read since.
    pub fn event(&self) -> Option<Event<'_>> {
        Some(match self.found {
            Found::Nothing => return None,
            Found::Status(status, asked, ref text) => {
                let reply = Reply::parse(&self.input[text.clone()]);
                match status {
                    Status::Positive => Event::Positive(asked, reply),
                    Status::Negative => Event::Negative(asked, reply),
                }
            }
            Found::Challenge => Event::Challenge(&self.decoded),
            Found::Capability(ref line) => Event::Capability(&self.input[line.clone()]),
            Found::Totals(count, octets) => Event::Totals { count, octets },
            Found::Scan(number, octets) => Event::Scan { number, octets },
            Found::UniqueId(number, ref id) => Event::UniqueId {
                number,
                id: &self.input[id.clone()],
            },
            Found::Chunk => Event::Chunk(&self.decoded),
            Found::End(asked) => Event::End(asked),
        })
    }

    /// Whether a message has ended if nothing more comes, from a server whose lines have bare LF. See
    /// the module for why only silence can tell.
    pub fn may_have_ended(&self) -> bool {
        match &self.reading {
            Reading::Body { decoder, octets } => {
                let nothing_due = self.due.len() == 1 && self.start == self.end;
                let whole = !decoder.is_soft() || self.listed == Some(*octets);
                decoder.may_be_done() && nothing_due && whole
            }
            _ => false,
        }
    }

    /// There was silence: [`Session::advance`] gives the end of the message. Without effect unless
    /// [`Session::may_have_ended`].
    pub fn end_quietly(&mut self) {
        if self.may_have_ended()
            && let Reading::Body { decoder, .. } = &mut self.reading
        {
            decoder.settle();
            self.quiet_ends = self.quiet_ends.saturating_add(1);
        }
    }

    /// ```text
    /// response  = single-line / multi-line             ; RFC 2449 §3
    /// challenge = "+" SP [base64] CRLF                 ; RFC 5034 §4
    /// ```
    fn status_line(&mut self) -> Result<Option<Found>, Fault> {
        let Some(&asked) = self.due.front() else {
            return match self.start < self.end {
                true => Err(self.unsolicited()),
                false => Ok(None),
            };
        };
        let Some(line) = self.take_line(REPLY_LINE_OCTETS, Limit::StatusLine)? else {
            return Ok(None);
        };
        let bytes = &self.input[line.place.clone()];
        if asked == Asked::Auth && matches!(bytes, [b'+'] | [b'+', b' ', ..]) {
            let text = bytes[1..].trim_ascii();
            self.decoded.clear();
            return match STANDARD.decode_vec(text, &mut self.decoded) {
                Ok(()) => Ok(Some(Found::Challenge)),
                Err(_) => Err(Fault::desync(Some(asked), bytes)),
            };
        }
        let Some((status, text)) = reply::status(bytes) else {
            return Err(Fault::desync(Some(asked), bytes));
        };
        let text = line.place.start + text..line.place.end;
        if status == Status::Negative {
            self.due.pop_front();
            return Ok(Some(Found::Status(status, asked, text)));
        }
        let found = self.positive(asked, text, line.bare_lf);
        found.map(Some).ok_or_else(|| {
            let line = &self.input[line.place.clone()];
            Fault::desync(Some(asked), line)
        })
    }

    /// After `+OK`; `None` if the rest of the line is not what was asked for.
    fn positive(&mut self, asked: Asked, text: Range<usize>, bare_lf: bool) -> Option<Found> {
        let rest = &self.input[text.clone()];
        match asked {
            Asked::Stat => {
                let (count, octets) = listing::scan(rest)?;
                self.due.pop_front();
                return Some(Found::Totals(count, octets));
            }
            Asked::ListOne(wanted) => {
                let (number, octets) = listing::scan(rest).filter(|&(n, _)| n == wanted)?;
                self.due.pop_front();
                return Some(Found::Scan(number, octets));
            }
            Asked::UidlOne(wanted) => {
                let (number, id) = listing::unique_id(rest).filter(|&(n, _)| n == wanted)?;
                let id = place_of(&self.input, id);
                self.due.pop_front();
                return Some(Found::UniqueId(number, id));
            }
            Asked::Capa | Asked::List | Asked::Uidl => {
                self.reading = Reading::Lines {
                    count: 0,
                    all_lf: true,
                };
            }
            Asked::Retr(_) | Asked::Top(_) => {
                let bare_lf = bare_lf || self.quiet_ends >= QUIET_ENDS;
                let line_ends = if bare_lf {
                    LineEnds::AnyLf
                } else {
                    LineEnds::Unsure
                };
                self.reading = Reading::Body {
                    decoder: Decoder::new(line_ends),
                    octets: 0,
                };
            }
            _ => {
                self.due.pop_front();
            }
        }
        Some(Found::Status(Status::Positive, asked, text))
    }

    fn listing_line(&mut self) -> Result<Option<Found>, Fault> {
        let Some(&asked) = self.due.front() else {
            return Ok(None);
        };
        let Some(line) = self.take_line(LISTING_LINE_OCTETS, Limit::ListingLine)? else {
            return Ok(None);
        };
        let Reading::Lines { count, all_lf } = &mut self.reading else {
            return Ok(None);
        };
        *count += 1;
        *all_lf &= line.bare_lf;
        let bytes = &self.input[line.place.clone()];
        if bytes == b"." {
            if *all_lf {
                self.quiet_ends = QUIET_ENDS;
            }
            self.reading = Reading::Status;
            self.due.pop_front();
            return Ok(Some(Found::End(asked)));
        }
        let (most, limit) = match asked {
            Asked::Capa => (CAPABILITY_LINES, Limit::CapabilityLines),
            _ => (LISTING_LINES, Limit::ListingLines),
        };
        if *count > most {
            return Err(Fault::Limit(limit));
        }
        // RFC 1939 §3 stuffs these lines too; none of them has a reason to begin with a dot.
        let bytes = match bytes {
            [b'.', b'.', ..] => &bytes[1..],
            _ => bytes,
        };
        let found = match asked {
            Asked::Capa => Some(Found::Capability(place_of(&self.input, bytes))),
            Asked::List => listing::scan(bytes).map(|(number, octets)| Found::Scan(number, octets)),
            _ => listing::unique_id(bytes)
                .map(|(number, id)| Found::UniqueId(number, place_of(&self.input, id))),
        };
        found
            .map(Some)
            .ok_or_else(|| Fault::desync(Some(asked), bytes))
    }

    fn body(&mut self) -> Result<Option<Found>, Fault> {
        let Reading::Body { decoder, octets } = &mut self.reading else {
            return Ok(None);
        };
        if decoder.is_doubtful() && self.due.len() > 1 {
            let due = self.due.front().copied();
            return Err(Fault::Doubtful { due });
        }
        self.decoded.clear();
        // What the decoder held back comes out with what releases it: room for that is left.
        let end = self.end.min(self.start + INPUT_OCTETS - 8);
        self.start += decoder.push(&self.input[self.start..end], &mut self.decoded);
        if !self.decoded.is_empty() {
            *octets = octets.saturating_add(self.decoded.len() as u64);
            if self.body_octets.is_some_and(|most| *octets > most) {
                return Err(Fault::Limit(Limit::BodyOctets));
            }
            return Ok(Some(Found::Chunk));
        }
        if decoder.is_done() {
            self.reading = Reading::Status;
            return Ok(self.due.pop_front().map(Found::End));
        }
        Ok(None)
    }

    /// The next line, which any LF ends: none of a server's own lines can contain one.
    fn take_line(&mut self, most: usize, limit: Limit) -> Result<Option<Line>, Fault> {
        let rest = &self.input[self.start..self.end];
        let Some(found) = memchr(b'\n', &rest[self.scanned..]) else {
            self.scanned = rest.len();
            return match rest.len() < most {
                true => Ok(None),
                false => Err(Fault::Limit(limit)),
            };
        };
        let lf = self.scanned + found;
        self.scanned = 0;
        if lf >= most {
            return Err(Fault::Limit(limit));
        }
        let bare_lf = lf == 0 || rest[lf - 1] != b'\r';
        let place = self.start..self.start + lf - usize::from(!bare_lf);
        self.start += lf + 1;
        Ok(Some(Line { place, bare_lf }))
    }

    fn unsolicited(&self) -> Fault {
        Fault::desync(None, &self.input[self.start..self.end])
    }
}

/// Where in `input` a part of it is.
fn place_of(input: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - input.as_ptr() as usize;
    start..start + part.len()
}
