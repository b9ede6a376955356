//! What a server sent that ends the session.

use std::fmt;

use super::Asked;

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What came is not what was due.
    Desync {
        /// What was; `None` = nothing.
        due: Option<Asked>,
        /// The beginning of what came, for people.
        got: Box<str>,
    },
    /// A message may have ended with another reply behind it, or have that as text: two messages must not
    /// become one. Asked for one at a time, they are told apart.
    Doubtful {
        /// The reply that is coming in.
        due: Option<Asked>,
    },
    /// The server sends too much of something.
    Limit(Limit),
}

impl Fault {
    pub(super) fn desync(due: Option<Asked>, got: &[u8]) -> Self {
        const SHOWN_OCTETS: usize = 60;
        let line = got
            .split(|&octet| octet == b'\n')
            .next()
            .unwrap_or_default();
        let shown = &line[..line.len().min(SHOWN_OCTETS)];
        Self::Desync {
            due,
            got: shown.escape_ascii().to_string().into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Desync { due: None, got } => write!(f, "unasked, the server sent \"{got}\""),
            Self::Desync {
                due: Some(Asked::Greeting),
                got,
            } => write!(f, "the server's greeting is \"{got}\""),
            Self::Desync {
                due: Some(asked),
                got,
            } => write!(f, "the server's answer to {} is \"{got}\"", asked.keyword()),
            Self::Doubtful { due } => write!(
                f,
                "the server's line ends do not tell where its answer to {} ends",
                due.map_or("nothing", Asked::keyword)
            ),
            Self::Limit(limit) => write!(f, "the server sends {limit}"),
        }
    }
}

impl std::error::Error for Fault {}

/// A limit that a server has gone beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// A status line, or a challenge, without an end in sight.
    StatusLine,
    /// A line of a listing without an end in sight.
    ListingLine,
    /// The lines of a listing.
    ListingLines,
    /// The lines of a capability list.
    CapabilityLines,
    /// The octets of a message.
    BodyOctets,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StatusLine => "a status line without end",
            Self::ListingLine => "a line of a listing without end",
            Self::ListingLines => "a listing without end",
            Self::CapabilityLines => "a capability list without end",
            Self::BodyOctets => "more of a message than is allowed",
        })
    }
}
