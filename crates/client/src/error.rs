//! What can go wrong, by whose doing.

use std::fmt;
use std::io;

use restante_proto::client::ResponseCode;

use crate::Mechanism;
use crate::tls::hex;

/// Why something could not be done. After any error but [`Error::Refused`] the connection is no use
/// any more.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The network: no connection could be made, or it broke.
    Network(io::Error),
    /// The server, or the way to it, was silent for as long as [`Server::timeout`](crate::Server::timeout).
    Timeout(Waiting),
    /// The server closed the connection while replies were due.
    Closed {
        /// How many were due. With more than one the server may have dropped pipelined commands.
        outstanding: usize,
    },
    /// The server is there, but pipelined commands got no answer: it has lost some of them.
    Stalled {
        /// How many replies were due.
        outstanding: usize,
    },
    /// What the server sent is no POP3, or not at this place. No byte after it can be trusted.
    Desync {
        /// What was due, and what came instead.
        what: Box<str>,
        /// How many replies were due. With more than one the server may not manage pipelining.
        outstanding: usize,
    },
    /// The server sends more than anyone may: see [`limits`](crate::limits).
    Limit(Limit),
    /// The proxy would not.
    Proxy(Box<str>),
    /// TLS could not be agreed on, or the server's certificate is not to be trusted.
    Tls(Box<str>),
    /// The server's certificate is not the one pinned.
    Pin {
        /// The SHA-256 of the certificate that it showed.
        presented: [u8; 32],
        /// The SHA-256 of the one pinned.
        pinned: [u8; 32],
    },
    /// The server does not offer STLS, or refused it. Either it has none, or somebody on the way took
    /// it out; nothing secret was sent.
    StlsRefused(Option<Reply>),
    /// Somebody on the way sent bytes ahead of the TLS handshake.
    Injected,
    /// What the caller asked for cannot be: a file that is not there, a name with a line end.
    Configuration(Box<str>),
    /// The server offers no way to log in that the account allows.
    NoMechanism {
        /// What it offers.
        offered: Vec<Box<str>>,
        /// What the account asks for.
        minimum: Option<Mechanism>,
        /// The only one that the account takes.
        only: Option<Mechanism>,
        /// What stands in the way, and what to do.
        advice: &'static str,
    },
    /// The server did not accept the login.
    LoginRefused {
        /// How it was tried.
        mechanism: Mechanism,
        /// What the server said; `None` if it just closed the connection, as some do at a wrong
        /// password.
        reply: Option<Reply>,
    },
    /// The server could not prove that it knows the password (SCRAM's server signature is wrong).
    ServerUnproven,
    /// The server answered a command with `-ERR`. The session goes on.
    Refused {
        /// The command's keyword.
        command: &'static str,
        /// What it said.
        reply: Reply,
    },
}

impl Error {
    /// Whether the same might succeed on a new connection that pipelines nothing.
    pub const fn may_be_pipelining(&self) -> bool {
        match self {
            Self::Stalled { .. } => true,
            Self::Closed { outstanding } | Self::Desync { outstanding, .. } => *outstanding > 1,
            _ => false,
        }
    }

    /// What the server said, if that is the error.
    pub const fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply, .. } => Some(reply),
            Self::StlsRefused(reply) | Self::LoginRefused { reply, .. } => reply.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => write!(f, "network: {error}"),
            Self::Timeout(waiting) => write!(f, "timed out {waiting}"),
            Self::Closed { outstanding: 0 } => f.write_str("the server closed the connection"),
            Self::Closed { outstanding } => write!(
                f,
                "the server closed the connection while {outstanding} replies were due"
            ),
            Self::Stalled { outstanding } => write!(
                f,
                "the server does not answer {outstanding} pipelined commands"
            ),
            Self::Desync { what, .. } => write!(f, "the server does not speak POP3: {what}"),
            Self::Limit(limit) => write!(f, "the server sends {limit}"),
            Self::Proxy(what) => write!(f, "proxy: {what}"),
            Self::Tls(what) => write!(f, "TLS: {what}"),
            Self::Pin { presented, pinned } => write!(
                f,
                "the server's certificate is not the one pinned: its SHA-256 is {} instead of {}",
                hex(presented),
                hex(pinned)
            ),
            Self::StlsRefused(None) => f.write_str("the server does not offer STLS"),
            Self::StlsRefused(Some(reply)) => write!(f, "the server refused STLS: {reply}"),
            Self::Injected => f.write_str("bytes came ahead of the TLS handshake"),
            Self::Configuration(what) => f.write_str(what),
            Self::NoMechanism {
                offered,
                minimum,
                only,
                advice,
            } => no_mechanism(f, offered, *minimum, *only, advice),
            Self::LoginRefused {
                reply: Some(reply), ..
            } => write!(f, "login refused: {reply}"),
            Self::LoginRefused { reply: None, .. } => {
                f.write_str("login refused: the server closed the connection")
            }
            Self::ServerUnproven => {
                f.write_str("the server could not prove that it knows the password")
            }
            Self::Refused { command, reply } => write!(f, "{command} refused: {reply}"),
        }
    }
}

fn no_mechanism(
    f: &mut fmt::Formatter<'_>,
    offered: &[Box<str>],
    minimum: Option<Mechanism>,
    only: Option<Mechanism>,
    advice: &str,
) -> fmt::Result {
    f.write_str("no way to log in: the server offers ")?;
    f.write_str(&match offered {
        [] => "nothing".to_owned(),
        some => some.join(", "),
    })?;
    match (only, minimum) {
        (Some(only), _) => write!(f, ", and only {only} is allowed")?,
        (None, Some(minimum)) => write!(f, ", and nothing weaker than {minimum} is allowed")?,
        (None, None) => {}
    }
    write!(f, "; {advice}")
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Network(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Network(error)
    }
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Waiting {
    /// The TCP connection.
    Connection,
    /// The proxy's consent.
    Proxy,
    /// The TLS handshake.
    Handshake,
    /// The greeting.
    Greeting,
    /// A reply, or more of one.
    Reply,
    /// The server's taking what was sent.
    Writing,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "connecting",
            Self::Proxy => "waiting for the proxy",
            Self::Handshake => "in the TLS handshake",
            Self::Greeting => "waiting for the greeting",
            Self::Reply => "waiting for a reply",
            Self::Writing => "sending commands",
        })
    }
}

pub use restante_proto::client::Limit;

/// A status line's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The response code (RFC 2449 §8), if there is one.
    pub code: Option<ResponseCode>,
    /// The text after it. Octets that are not UTF-8 have become U+FFFD, control characters too.
    pub text: String,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "[{code}] {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
