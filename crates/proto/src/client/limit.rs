//! What a server sent too much of.

use std::fmt;

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
