//! The server's end of a POP3 session: RFC 1939, 2449, 2595 §4, 3206, 5034.
//!
//! A [`Session`] takes bytes and hands out effects. Its driver's loop is
//!
//! 1. [`Session::new`] writes the greeting;
//! 2. [`Session::poll`] handles what was fed and appends replies to the driver's buffer, until it
//!    returns an [`Effect`];
//! 3. the driver does what the effect says and reports back with the method that the effect names,
//!    then polls again. Before it waits for the client it sends what is in the buffer.
//!
//! Every command gets exactly one reply, in order; pipelined commands wait in the session. A line
//! without its line end is never executed: at the end of the stream the driver drops the session.

mod authorization;
mod capabilities;
mod deletions;
mod failure;
mod opening;
mod transaction;

pub use deletions::Deletions;
pub use failure::Failure;
pub use opening::Opening;

use crate::input::{Input, Taken};
use crate::limits::{
    BAD_COMMANDS, COMMAND_LINE_OCTETS, FAILED_LOGINS, OUTPUT_OCTETS, UNIQUE_ID_OCTETS,
};
use crate::{Secret, reply};
use authorization::{Authorization, Checking};
use failure::Asked;
use transaction::{Doing, Transaction, Update};

/// What the connection allows; it changes with TLS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// TLS protects the connection.
    pub tls_active: bool,
    /// STLS is there; it is offered until TLS is active.
    pub stls: bool,
    /// Passwords are accepted without TLS. RFC 2595 §2.2: only where nobody can listen.
    pub plaintext_login: bool,
}

impl Settings {
    pub(crate) const fn login_allowed(self) -> bool {
        self.tls_active || self.plaintext_login
    }

    pub(crate) const fn stls_offered(self) -> bool {
        self.stls && !self.tls_active
    }
}

/// How a client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// USER and PASS.
    User,
    /// AUTH with PLAIN or LOGIN.
    Sasl,
}

/// What a client claims.
#[derive(Debug)]
pub struct Credentials {
    /// The login name. Octets that are not UTF-8 have become U+FFFD, which no user's name contains.
    pub login: String,
    /// The password.
    pub password: Secret,
    /// How it came.
    pub method: Method,
}

/// Count and size of a maildrop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub count: u64,
    /// Octets on the wire, without dot-stuffing.
    pub octets: u64,
}

/// A maildrop's messages, by index: message-number less one.
pub trait MaildropListing {
    /// Messages.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A message's octets on the wire, without dot-stuffing. `index` is below `len`.
    fn octets(&self, index: usize) -> u64;
    /// Appends a message's unique-id: 1 to 70 octets from 0x21 to 0x7E (RFC 1939 §7 UIDL).
    fn unique_id(&self, index: usize, into: &mut Vec<u8>);
}

/// What the driver has to do.
#[derive(Debug)]
pub enum Effect {
    /// Nothing is left to handle: send the replies, read, [`Session::feed`].
    NeedInput,
    /// [`OUTPUT_OCTETS`] of replies wait: send them, then poll on.
    Flush,
    /// Send the replies, take TLS, and go on with [`Session::over_tls`], a new value; drop this one.
    StartTls,
    /// Check, open the maildrop, and call [`Session::authenticated`].
    Authenticate(Credentials),
    /// Poll again with the listing, or call [`Session::listing_failed`].
    NeedListing,
    /// Open the body, then call [`Session::body`]. After `Ok` append the encoded body with its
    /// terminator, or drop the connection: once a part was sent there is no other way to say that a
    /// body broke off.
    Body {
        /// Which message.
        index: usize,
        /// TOP: how many lines of the body. `None` = RETR.
        top: Option<u64>,
    },
    /// Make [`Session::deletions`] durable, then call [`Session::committed`].
    CommitDeletions,
    /// Send the replies and close.
    Close(Closing),
    /// The driver has not yet reported on the last effect.
    Waiting,
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// QUIT; all that it asked for is done.
    Quit,
    /// QUIT, and the deletions were not made.
    NotRemoved,
    /// The client sends what is not POP3, or data where it must not.
    Misbehaved,
}

/// How long a client may take: the driver has the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not logged in: short.
    Authorization,
    /// RFC 1939 §3: the autologout timer must be of at least ten minutes.
    Transaction,
    /// The session is over but for its last reply.
    Ending,
}

/// A session. Each state is a type of its own, consumed on the way to the next.
enum State {
    Authorization(Authorization),
    Checking(Checking),
    Transaction(Transaction),
    Update(Update),
    Closed(Closing),
}

/// What the loop has to write for a command.
enum Outcome {
    /// A whole status line or challenge.
    Say(&'static str),
    /// The same, for a command that was unknown, malformed, out of place, or a failed login.
    Bad(&'static str),
    /// `+OK a b`.
    Numbers(u64, u64),
    /// `+OK n octets`.
    Octets(u64),
    /// `+OK n messages (m octets)`.
    Messages(Totals),
    /// `+OK number unique-id`, of the message at the index.
    UniqueId(usize),
    Capabilities,
    /// Another effect first.
    Nothing,
}

struct Step {
    state: State,
    outcome: Outcome,
    effect: Option<Effect>,
}

impl Step {
    const fn new(state: State, outcome: Outcome) -> Self {
        Self {
            state,
            outcome,
            effect: None,
        }
    }

    const fn close(why: Closing, outcome: Outcome) -> Self {
        Self::new(State::Closed(why), outcome)
    }
}

/// The server's end of one connection. Small, and without buffers while no byte is pending.
pub struct Session {
    state: State,
    input: Input,
    settings: Settings,
    opening: Opening,
    bad_commands: u8,
    /// Logins refused or not even checked. USER is a good command, so that the count of bad ones
    /// would start anew with each guess.
    failed_logins: u8,
}

impl Session {
    /// RFC 1939 §4: a new connection; appends the greeting. It has no timestamp in angle brackets:
    /// APOP is not offered.
    pub fn new(settings: Settings, out: &mut Vec<u8>) -> Self {
        reply::line(out, "+OK Restante POP3 server ready");
        Self::in_authorization(settings)
    }

    /// RFC 2595 §4: after STLS. A new value, so that nothing that was sent before TLS survives it,
    /// a name given with USER neither. `settings` are those of the connection before.
    pub fn over_tls(settings: Settings) -> Self {
        Self::in_authorization(Settings {
            tls_active: true,
            ..settings
        })
    }

    fn in_authorization(settings: Settings) -> Self {
        Self {
            state: State::Authorization(Authorization::default()),
            input: Input::default(),
            settings,
            opening: Opening::default(),
            bad_commands: 0,
            failed_logins: 0,
        }
    }

    /// Takes bytes from the client. Call it after [`Effect::NeedInput`], so that no more than one
    /// read's worth waits here.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Closed(_)) {
            self.input.feed(bytes);
        }
    }

    /// How long the client may take now.
    pub fn patience(&self) -> Patience {
        match &self.state {
            State::Authorization(_) | State::Checking(_) => Patience::Authorization,
            State::Transaction(_) => Patience::Transaction,
            State::Update(_) | State::Closed(_) => Patience::Ending,
        }
    }

    /// What the client has said before its login, on this connection or since it took TLS.
    pub const fn opening(&self) -> Opening {
        self.opening
    }

    /// The messages marked as deleted; none outside TRANSACTION and UPDATE.
    pub fn deletions(&self) -> Option<&Deletions> {
        match &self.state {
            State::Transaction(state) => Some(state.deletions()),
            State::Update(state) => Some(state.deletions()),
            State::Authorization(_) | State::Checking(_) | State::Closed(_) => None,
        }
    }

    /// Handles commands until there is something to do for the driver. `listing` is the maildrop's,
    /// if it is at hand. Status lines are written here and nowhere else.
    pub fn poll<L>(&mut self, listing: Option<&L>, out: &mut Vec<u8>) -> Effect
    where
        L: MaildropListing + ?Sized,
    {
        loop {
            if out.len() >= OUTPUT_OCTETS {
                return Effect::Flush;
            }
            let step = match std::mem::replace(&mut self.state, MOVING) {
                State::Authorization(state) => {
                    state.step(&mut self.input, self.settings, &mut self.opening)
                }
                State::Transaction(state) => state.step(&mut self.input, listing, out),
                state @ (State::Checking(_) | State::Update(_)) => {
                    self.state = state;
                    return Effect::Waiting;
                }
                State::Closed(why) => {
                    self.state = State::Closed(why);
                    return Effect::Close(why);
                }
            };
            if let Some(effect) = self.finish(step, listing, out) {
                return effect;
            }
        }
    }

    /// Answers [`Effect::Authenticate`]: `Ok` only when the maildrop is open and its totals are known
    /// (a maildrop that cannot be read must not look like an empty one).
    pub fn authenticated(&mut self, verdict: Result<Totals, Failure>, out: &mut Vec<u8>) {
        let State::Checking(checking) = std::mem::replace(&mut self.state, MOVING) else {
            debug_assert!(false, "no login is being checked");
            return;
        };
        let step = match verdict {
            Ok(totals) => {
                let transaction = Transaction::new(checking.passed(), totals);
                Step::new(State::Transaction(transaction), Outcome::Messages(totals))
            }
            Err(failure) => self.not_logged_in(failure),
        };
        self.answer(step, out);
    }

    fn not_logged_in(&mut self, failure: Failure) -> Step {
        self.failed_logins += u8::from(failure.is_of_client());
        if self.failed_logins >= FAILED_LOGINS {
            let text = failure.last_login_line();
            return Step::close(Closing::Misbehaved, Outcome::Say(text));
        }
        Step::new(
            State::Authorization(Authorization::default()),
            Outcome::Bad(failure.status_line(Asked::Login)),
        )
    }

    /// Whether the client waits for nothing: every command that came has its reply, and no part of
    /// another is here.
    pub fn is_between_commands(&self) -> bool {
        let at_rest = match &self.state {
            State::Authorization(state) => !state.is_in_exchange(),
            State::Transaction(state) => matches!(state.doing(), Doing::Nothing),
            State::Checking(_) | State::Update(_) | State::Closed(_) => false,
        };
        at_rest && self.input.is_empty()
    }

    /// Answers [`Effect::NeedListing`] when there is none; the command that asked gets an `-ERR`.
    pub fn listing_failed(&mut self, failure: Failure, out: &mut Vec<u8>) {
        self.resume(Outcome::Say(failure.status_line(Asked::Listing)), out);
    }

    /// Answers [`Effect::Body`]: `Ok` when the body can be read, and appends the status line that the
    /// encoded body has to follow. While nothing of that reply has been sent the driver may still take
    /// it back (truncate the buffer) and say `Err`.
    pub fn body(&mut self, opened: Result<(), Failure>, out: &mut Vec<u8>) {
        let outcome = match (opened, &self.state) {
            (Err(failure), _) => Outcome::Say(failure.status_line(Asked::Body)),
            (Ok(()), State::Transaction(state)) => match state.doing() {
                Doing::Retrieve { octets } => Outcome::Octets(octets),
                _ => Outcome::Say("+OK top of message follows"),
            },
            (Ok(()), _) => Outcome::Nothing,
        };
        self.resume(outcome, out);
    }

    fn resume(&mut self, outcome: Outcome, out: &mut Vec<u8>) {
        let State::Transaction(mut state) = std::mem::replace(&mut self.state, MOVING) else {
            debug_assert!(false, "no command waits for the store");
            return;
        };
        state.rest();
        self.answer(Step::new(State::Transaction(state), outcome), out);
    }

    /// Answers [`Effect::CommitDeletions`]: `Ok` only when all of them are durable.
    pub fn committed(&mut self, done: Result<(), Failure>, out: &mut Vec<u8>) {
        debug_assert!(matches!(self.state, State::Update(_)));
        let step = match done {
            Ok(()) => Step::close(Closing::Quit, Outcome::Say(BYE)),
            Err(failure) => {
                let text = failure.status_line(Asked::Removal);
                Step::close(Closing::NotRemoved, Outcome::Say(text))
            }
        };
        self.answer(step, out);
    }

    fn answer(&mut self, step: Step, out: &mut Vec<u8>) {
        let none: Option<&NoListing> = None;
        let effect = self.finish(step, none, out);
        debug_assert!(effect.is_none(), "an answer asks for nothing");
    }

    fn finish<L>(&mut self, step: Step, listing: Option<&L>, out: &mut Vec<u8>) -> Option<Effect>
    where
        L: MaildropListing + ?Sized,
    {
        self.state = step.state;
        match step.outcome {
            Outcome::Nothing => {}
            Outcome::Bad(text) => {
                self.bad_commands += 1;
                if self.bad_commands >= BAD_COMMANDS {
                    self.state = State::Closed(Closing::Misbehaved);
                    reply::line(out, "-ERR too many bad commands, closing");
                } else {
                    reply::line(out, text);
                }
            }
            outcome => {
                self.bad_commands = 0;
                self.write(outcome, listing, out);
            }
        }
        if matches!(self.state, State::Closed(_)) {
            self.input.clear();
        }
        step.effect
    }

    fn write<L>(&self, outcome: Outcome, listing: Option<&L>, out: &mut Vec<u8>)
    where
        L: MaildropListing + ?Sized,
    {
        let two = |out: &mut Vec<u8>, a, b| {
            out.extend_from_slice(b"+OK ");
            reply::decimal(out, a);
            out.push(b' ');
            reply::decimal(out, b);
        };
        match outcome {
            Outcome::Say(text) | Outcome::Bad(text) => reply::line(out, text),
            Outcome::Numbers(a, b) => {
                two(out, a, b);
                reply::line(out, "");
            }
            Outcome::Octets(octets) => {
                out.extend_from_slice(b"+OK ");
                reply::decimal(out, octets);
                reply::line(out, " octets");
            }
            Outcome::Messages(totals) => {
                out.extend_from_slice(b"+OK ");
                reply::decimal(out, totals.count);
                out.extend_from_slice(b" messages (");
                reply::decimal(out, totals.octets);
                reply::line(out, " octets)");
            }
            Outcome::UniqueId(index) => {
                out.extend_from_slice(b"+OK ");
                reply::decimal(out, index as u64 + 1);
                out.push(b' ');
                if let Some(listing) = listing {
                    unique_id(listing, index, out);
                }
                reply::line(out, "");
            }
            Outcome::Capabilities => capabilities::write(
                self.settings,
                matches!(self.state, State::Authorization(_)),
                out,
            ),
            Outcome::Nothing => {}
        }
    }
}

/// Stands in for a state while its value is being moved.
const MOVING: State = State::Closed(Closing::Misbehaved);

const BYE: &str = "+OK bye";

/// Appends a unique-id, and holds its author to the limit.
fn unique_id<L: MaildropListing + ?Sized>(listing: &L, index: usize, out: &mut Vec<u8>) {
    let before = out.len();
    listing.unique_id(index, out);
    debug_assert!((1..=UNIQUE_ID_OCTETS).contains(&(out.len() - before)));
}

/// What the line at the front of the input is, or the step that ends here because there is none.
fn take_command(input: &mut Input, limit: usize) -> Result<&[u8], NoLine> {
    match input.take_line(limit) {
        Taken::Line(line) => Ok(line),
        Taken::Overlong => Err(NoLine::Overlong),
        Taken::Flood => Err(NoLine::Flood),
        Taken::Partial => Err(NoLine::Partial),
    }
}

#[derive(Clone, Copy)]
enum NoLine {
    Overlong,
    Flood,
    Partial,
}

impl NoLine {
    fn step(self, state: State) -> Step {
        match self {
            Self::Overlong => Step::new(state, Outcome::Bad("-ERR line too long")),
            Self::Flood => Step::close(
                Closing::Misbehaved,
                Outcome::Say("-ERR line far too long, closing"),
            ),
            Self::Partial => Step {
                state,
                outcome: Outcome::Nothing,
                effect: Some(Effect::NeedInput),
            },
        }
    }
}

const COMMAND_LIMIT: usize = COMMAND_LINE_OCTETS;

/// Stands in where a listing's type is needed and none can be.
enum NoListing {}

impl MaildropListing for NoListing {
    fn len(&self) -> usize {
        match *self {}
    }
    fn octets(&self, _: usize) -> u64 {
        match *self {}
    }
    fn unique_id(&self, _: usize, _: &mut Vec<u8>) {
        match *self {}
    }
}

impl std::fmt::Debug for Session {
    /// The state's name only: a session holds what people log in with.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Authorization(_) => "AUTHORIZATION",
            State::Checking(_) => "AUTHORIZATION, checking",
            State::Transaction(_) => "TRANSACTION",
            State::Update(_) => "UPDATE",
            State::Closed(_) => "closed",
        };
        f.debug_tuple("Session").field(&state).finish()
    }
}
