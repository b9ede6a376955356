//! RFC 1939 §5 and §6: the TRANSACTION and UPDATE states.

use super::authorization::{Authenticated, fault_outcome};
use super::{
    BYE, COMMAND_LIMIT, Closing, Deletions, Effect, MaildropListing, Outcome, State, Step, Totals,
    take_command, unique_id,
};
use crate::command::{Command, Number, parse};
use crate::input::Input;
use crate::limits::{OUTPUT_OCTETS, UNIQUE_ID_OCTETS};
use crate::{dot, reply};

/// A command that needs the listing. Its message, if it names one, has been found visible.
#[derive(Clone, Copy)]
enum Wanted {
    Size(usize),
    UniqueId(usize),
    Delete(usize),
    Body { index: usize, top: Option<u64> },
    Scan(Column),
}

/// Which listing is being sent.
#[derive(Clone, Copy)]
enum Column {
    Octets,
    UniqueId,
}

/// What the session is in the middle of.
#[derive(Clone, Copy)]
pub(super) enum Doing {
    /// It reads commands.
    Nothing,
    /// A command waits for the listing.
    Want(WantedListing),
    /// A listing is under way.
    Scan(ScanPlace),
    /// The driver opens a body for RETR.
    Retrieve { octets: u64 },
    /// The driver opens a body for TOP.
    Top,
}

#[derive(Clone, Copy)]
pub(super) struct WantedListing(Wanted);

#[derive(Clone, Copy)]
pub(super) struct ScanPlace {
    column: Column,
    next: usize,
}

/// Somebody has logged in and the maildrop is open.
pub(super) struct Transaction {
    proof: Authenticated,
    totals: Totals,
    deletions: Deletions,
    doing: Doing,
}

/// QUIT came from TRANSACTION: what is marked is being removed. Only a [`Transaction`] leads here.
pub(super) struct Update {
    _proof: Authenticated,
    deletions: Deletions,
}

impl Update {
    pub(super) const fn deletions(&self) -> &Deletions {
        &self.deletions
    }
}

impl Transaction {
    pub(super) fn new(proof: Authenticated, totals: Totals) -> Self {
        Self {
            proof,
            totals,
            deletions: Deletions::default(),
            doing: Doing::Nothing,
        }
    }

    pub(super) const fn deletions(&self) -> &Deletions {
        &self.deletions
    }

    pub(super) const fn doing(&self) -> Doing {
        self.doing
    }

    /// What was under way has been answered.
    pub(super) fn rest(&mut self) {
        self.doing = Doing::Nothing;
    }

    /// The one way to a message: its index, unless the number is 0, above the maildrop's count, or of
    /// a message marked as deleted.
    fn visible(&self, number: Number) -> Result<usize, Outcome> {
        let index = match number.0.checked_sub(1) {
            Some(index) if index < self.totals.count => usize::try_from(index).ok(),
            _ => None,
        };
        match index {
            None => Err(Outcome::Say("-ERR no such message")),
            Some(index) if self.deletions.contains(index) => {
                Err(Outcome::Say("-ERR the message is deleted"))
            }
            Some(index) => Ok(index),
        }
    }

    /// What is not marked as deleted.
    fn remaining(&self) -> Totals {
        Totals {
            count: self.totals.count.saturating_sub(self.deletions.count()),
            octets: self.totals.octets.saturating_sub(self.deletions.octets()),
        }
    }

    fn say(self, outcome: Outcome) -> Step {
        Step::new(State::Transaction(self), outcome)
    }

    fn ask(self, effect: Effect) -> Step {
        Step {
            effect: Some(effect),
            ..self.say(Outcome::Nothing)
        }
    }

    /// Handles one line, or goes on with what is under way.
    pub(super) fn step<L>(
        mut self,
        input: &mut Input,
        listing: Option<&L>,
        out: &mut Vec<u8>,
    ) -> Step
    where
        L: MaildropListing + ?Sized,
    {
        match (self.doing, listing) {
            (Doing::Nothing, _) => match take_command(input, COMMAND_LIMIT) {
                Ok(line) => match parse(line) {
                    Ok(command) => self.command(command),
                    Err(fault) => self.say(fault_outcome(fault)),
                },
                Err(no_line) => no_line.step(State::Transaction(self)),
            },
            (Doing::Want(_) | Doing::Scan(_), None) => self.ask(Effect::NeedListing),
            (Doing::Want(WantedListing(wanted)), Some(listing)) => {
                self.doing = Doing::Nothing;
                self.with_listing(wanted, listing)
            }
            (Doing::Scan(mut place), Some(listing)) => {
                self.doing = if self.scan(&mut place, listing, out) {
                    Doing::Nothing
                } else {
                    Doing::Scan(place)
                };
                self.say(Outcome::Nothing)
            }
            (Doing::Retrieve { .. } | Doing::Top, _) => self.ask(Effect::Waiting),
        }
    }

    fn command(mut self, command: Command<'_>) -> Step {
        match command {
            // RFC 1939 §5 STAT; state TRANSACTION.
            Command::Stat => {
                let totals = self.remaining();
                self.say(Outcome::Numbers(totals.count, totals.octets))
            }
            // RFC 1939 §5 LIST; state TRANSACTION.
            Command::List(None) => self.want(Wanted::Scan(Column::Octets)),
            Command::List(Some(number)) => self.want_message(number, Wanted::Size),
            // RFC 1939 §5 RETR; state TRANSACTION.
            Command::Retr(number) => {
                self.want_message(number, |index| Wanted::Body { index, top: None })
            }
            // RFC 1939 §5 DELE; state TRANSACTION.
            Command::Dele(number) => self.want_message(number, Wanted::Delete),
            // RFC 1939 §5 NOOP; state TRANSACTION.
            Command::Noop => self.say(Outcome::Say("+OK")),
            // RFC 1939 §5 RSET; state TRANSACTION.
            Command::Rset => {
                self.deletions = Deletions::default();
                let totals = self.totals;
                self.say(Outcome::Messages(totals))
            }
            // RFC 1939 §7 TOP; state TRANSACTION.
            Command::Top(number, lines) => self.want_message(number, |index| Wanted::Body {
                index,
                top: Some(lines),
            }),
            // RFC 1939 §7 UIDL; state TRANSACTION.
            Command::Uidl(None) => self.want(Wanted::Scan(Column::UniqueId)),
            Command::Uidl(Some(number)) => self.want_message(number, Wanted::UniqueId),
            // RFC 2449 §5 CAPA; state TRANSACTION.
            Command::Capa => self.say(Outcome::Capabilities),
            // RFC 1939 §6 QUIT; state TRANSACTION, on to UPDATE.
            Command::Quit if self.deletions.count() == 0 => {
                Step::close(Closing::Quit, Outcome::Say(BYE))
            }
            Command::Quit => Step {
                state: State::Update(Update {
                    _proof: self.proof,
                    deletions: self.deletions,
                }),
                outcome: Outcome::Nothing,
                effect: Some(Effect::CommitDeletions),
            },
            // RFC 5034 §4: one login in a session. RFC 2595 §4: STLS in AUTHORIZATION only.
            Command::User(_)
            | Command::Pass(_)
            | Command::Apop
            | Command::Auth { .. }
            | Command::Stls => self.say(Outcome::Bad("-ERR not after the login")),
        }
    }

    fn want_message(self, number: Number, wanted: impl FnOnce(usize) -> Wanted) -> Step {
        match self.visible(number) {
            Ok(index) => self.want(wanted(index)),
            Err(outcome) => self.say(outcome),
        }
    }

    fn want(mut self, wanted: Wanted) -> Step {
        self.doing = Doing::Want(WantedListing(wanted));
        self.say(Outcome::Nothing)
    }

    fn with_listing<L>(mut self, wanted: Wanted, listing: &L) -> Step
    where
        L: MaildropListing + ?Sized,
    {
        debug_assert_eq!(listing.len() as u64, self.totals.count);
        match wanted {
            Wanted::Size(index) => {
                let octets = listing.octets(index);
                self.say(Outcome::Numbers(index as u64 + 1, octets))
            }
            Wanted::UniqueId(index) => self.say(Outcome::UniqueId(index)),
            Wanted::Delete(index) => {
                self.deletions.insert(index, listing.octets(index));
                self.say(Outcome::Say("+OK deleted"))
            }
            Wanted::Body { index, top } => {
                self.doing = match top {
                    None => Doing::Retrieve {
                        octets: listing.octets(index),
                    },
                    Some(_) => Doing::Top,
                };
                self.ask(Effect::Body { index, top })
            }
            Wanted::Scan(column) => {
                self.doing = Doing::Scan(ScanPlace { column, next: 0 });
                let totals = self.remaining();
                self.say(Outcome::Messages(totals))
            }
        }
    }

    /// Appends lines of a listing until it is complete (then `true`) or enough wait to be sent.
    fn scan<L>(&self, place: &mut ScanPlace, listing: &L, out: &mut Vec<u8>) -> bool
    where
        L: MaildropListing + ?Sized,
    {
        // A number, a space, and the longer of the two columns.
        const LINE_OCTETS: usize = 20 + 1 + UNIQUE_ID_OCTETS + 2;
        let rest = listing.len() - place.next.min(listing.len());
        out.reserve((rest * LINE_OCTETS / 2).min(OUTPUT_OCTETS) + LINE_OCTETS);
        let marks = self.deletions.count() > 0;
        while place.next < listing.len() {
            if out.len() >= OUTPUT_OCTETS {
                return false;
            }
            let index = place.next;
            place.next += 1;
            if marks && self.deletions.contains(index) {
                continue;
            }
            reply::decimal(out, index as u64 + 1);
            out.push(b' ');
            match place.column {
                Column::Octets => reply::decimal(out, listing.octets(index)),
                Column::UniqueId => unique_id(listing, index, out),
            }
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(dot::TERMINATOR);
        true
    }
}
