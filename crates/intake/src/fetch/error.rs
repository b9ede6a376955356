//! Why a fetch ended before its work was done.

use std::fmt;

/// What kind of failure it was; the program has an exit code for each, as sysexits does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The server cannot be reached (69).
    Unavailable,
    /// Our own disk or database failed (74).
    Io,
    /// It may well work later (75): already running, a cut connection, a server's temporary failure.
    Temporary,
    /// The server does not speak POP3 as one could understand it (76).
    Protocol,
    /// The server refused to let us in, or TLS proved nothing (77).
    Permission,
    /// The account's configuration cannot work (78).
    Configuration,
}

impl Kind {
    /// The program's exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Unavailable => 69,
            Self::Io => 74,
            Self::Temporary => 75,
            Self::Protocol => 76,
            Self::Permission => 77,
            Self::Configuration => 78,
        }
    }
}

/// Why a fetch ended before its work was done. What was stored before stays stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchError {
    kind: Kind,
    what: String,
    reply: Option<String>,
}

impl FetchError {
    /// A failure of that kind; `what` says what failed and what to do.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            reply: None,
        }
    }

    /// The same with the server's own words.
    pub fn with_reply(mut self, reply: impl Into<String>) -> Self {
        self.reply = Some(reply.into());
        self
    }

    /// What kind of failure it was.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the server said, when it was its words that ended the fetch: providers' data may explain
    /// them.
    pub fn reply(&self) -> Option<&str> {
        self.reply.as_deref()
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for FetchError {}
