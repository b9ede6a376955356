//! RFC 1939 §4: the AUTHORIZATION state.

use super::{
    BYE, COMMAND_LIMIT, Closing, Credentials, Effect, Method, Opening, Outcome, Settings, State,
    Step, take_command,
};
use crate::Secret;
use crate::command::{Command, Fault, parse};
use crate::input::Input;
use crate::limits::SASL_LINE_OCTETS;
use crate::sasl::{self, Exchange, Progress};

/// Proof that somebody has logged in: only [`Checking::passed`] makes one.
pub(super) struct Authenticated(());

/// Nobody has logged in yet.
#[derive(Default)]
pub(super) struct Authorization {
    /// The name of the last USER, until PASS or another login uses it up.
    user: Option<Vec<u8>>,
    exchange: Option<Exchange>,
}

/// The driver is looking at credentials.
pub(super) struct Checking(());

impl Checking {
    pub(super) fn passed(self) -> Authenticated {
        Authenticated(())
    }
}

const NO_PLAINTEXT: &str = "-ERR passwords are not accepted without TLS";

fn refuse(reason: &'static str) -> Step {
    Authorization::default().say(Outcome::Bad(reason))
}

/// Hands credentials to the driver; no other way leads out of AUTHORIZATION.
fn check(login: &[u8], password: Secret, method: Method) -> Step {
    Step {
        state: State::Checking(Checking(())),
        outcome: Outcome::Nothing,
        effect: Some(Effect::Authenticate(Credentials {
            login: String::from_utf8_lossy(login).into_owned(),
            password,
            method,
        })),
    }
}

impl Authorization {
    fn say(self, outcome: Outcome) -> Step {
        Step::new(State::Authorization(self), outcome)
    }

    /// Whether a SASL exchange is under way.
    pub(super) const fn is_in_exchange(&self) -> bool {
        self.exchange.is_some()
    }

    /// Handles one line.
    pub(super) fn step(
        mut self,
        input: &mut Input,
        settings: Settings,
        opening: &mut Opening,
    ) -> Step {
        let exchange = self.exchange.take();
        let limit = if exchange.is_some() {
            SASL_LINE_OCTETS
        } else {
            COMMAND_LIMIT
        };
        let step = match (take_command(input, limit), exchange) {
            (Ok(line), Some(exchange)) => self.progress(exchange.line(line)),
            (Ok(line), None) => {
                let parsed = parse(line);
                opening.note(parsed.as_ref().ok());
                match parsed {
                    Ok(command) => self.command(command, settings),
                    Err(fault) => self.say(fault_outcome(fault)),
                }
            }
            (Err(super::NoLine::Partial), exchange) => {
                self.exchange = exchange;
                return super::NoLine::Partial.step(State::Authorization(self));
            }
            // An overlong response ends its exchange.
            (Err(no_line), _) => no_line.step(State::Authorization(self)),
        };
        input.wipe_taken();
        if matches!(step.effect, Some(Effect::StartTls)) && !input.is_empty() {
            // RFC 2595 §4: nothing may follow STLS before the handshake. What did is perhaps not
            // from the client, and could be taken for what it says under TLS.
            return Step::close(
                Closing::Misbehaved,
                Outcome::Say("-ERR data after STLS, closing"),
            );
        }
        step
    }

    fn command(mut self, command: Command<'_>, settings: Settings) -> Step {
        match command {
            // RFC 1939 §7 USER; state AUTHORIZATION. The same reply for known and unknown names.
            Command::User(_) if !settings.login_allowed() => refuse(NO_PLAINTEXT),
            Command::User(name) => {
                self.user = Some(name.to_vec());
                self.say(Outcome::Say("+OK send PASS"))
            }
            // RFC 1939 §7 PASS; state AUTHORIZATION, right after a USER that succeeded.
            Command::Pass(_) if !settings.login_allowed() => refuse(NO_PLAINTEXT),
            Command::Pass(password) => match self.user.take() {
                Some(user) => check(&user, Secret::new(password), Method::User),
                None => refuse("-ERR send USER first"),
            },
            // RFC 1939 §7 APOP; state AUTHORIZATION. It needs passwords stored in the clear.
            Command::Apop => refuse("-ERR APOP is not offered"),
            // RFC 5034 §4 AUTH; state AUTHORIZATION.
            Command::Auth { .. } if !settings.login_allowed() => refuse(NO_PLAINTEXT),
            Command::Auth { mechanism, initial } => {
                self.user = None;
                self.progress(sasl::start(mechanism, initial))
            }
            // RFC 2595 §4 STLS; state AUTHORIZATION.
            Command::Stls if settings.tls_active => refuse("-ERR TLS is active already"),
            Command::Stls if !settings.stls => refuse("-ERR STLS is not offered"),
            Command::Stls => Step {
                effect: Some(Effect::StartTls),
                ..Step::close(Closing::Quit, Outcome::Say("+OK begin TLS negotiation"))
            },
            // RFC 2449 §5 CAPA; state AUTHORIZATION.
            Command::Capa => self.say(Outcome::Capabilities),
            // RFC 1939 §4 QUIT; state AUTHORIZATION. No UPDATE state follows.
            Command::Quit => Step::close(Closing::Quit, Outcome::Say(BYE)),
            Command::Stat
            | Command::List(_)
            | Command::Retr(_)
            | Command::Dele(_)
            | Command::Noop
            | Command::Rset
            | Command::Top(..)
            | Command::Uidl(_) => self.say(Outcome::Bad("-ERR log in first")),
        }
    }

    /// RFC 5034 §4 AUTH; state AUTHORIZATION.
    fn progress(mut self, progress: Progress) -> Step {
        match progress {
            Progress::Challenge(text, exchange) => {
                self.exchange = Some(exchange);
                self.say(Outcome::Say(text))
            }
            Progress::Complete { login, password } => check(&login, password, Method::Sasl),
            Progress::Malformed => refuse("-ERR malformed response"),
            Progress::OtherIdentity => refuse("-ERR [AUTH] no acting for somebody else"),
            Progress::Cancelled => refuse("-ERR cancelled"),
            Progress::Unknown => refuse("-ERR unknown mechanism"),
        }
    }
}

/// What a line that is no command gets, in any state.
pub(super) const fn fault_outcome(fault: Fault) -> Outcome {
    match fault {
        Fault::Unknown => Outcome::Bad("-ERR unknown command"),
        Fault::Nul => Outcome::Bad("-ERR a command holds no NUL"),
        Fault::MissingArgument => Outcome::Bad("-ERR an argument is missing"),
        Fault::ExtraArgument => Outcome::Bad("-ERR too many arguments"),
        // Not held against the client: the session goes on.
        Fault::NotANumber => Outcome::Say("-ERR a message-number is digits only"),
        Fault::NotLines => Outcome::Say("-ERR the number of lines is digits only"),
        Fault::ExtraSpace => Outcome::Say("-ERR one space goes before each argument"),
    }
}
