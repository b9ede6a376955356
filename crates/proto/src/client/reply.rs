//! Status lines, as a client reads them.

use std::fmt;

/// Why a server says yes or no, for programs: RFC 2449 §8.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseCode {
    /// The maildrop is open in another session (RFC 2449 §8.1.2).
    InUse,
    /// Too soon after the last login (RFC 2449 §8.1.1).
    LoginDelay,
    /// A fault that may pass (RFC 3206 §4).
    SysTemp,
    /// A fault that somebody has to mend (RFC 3206 §4).
    SysPerm,
    /// The credentials are wrong (RFC 3206 §5).
    Auth,
    /// Another one, as it was sent.
    Other(Box<str>),
}

impl ResponseCode {
    /// Reads what stands between the brackets. Case means nothing (RFC 2449 §8).
    pub fn parse(text: &str) -> Self {
        let known = [
            Self::InUse,
            Self::LoginDelay,
            Self::SysTemp,
            Self::SysPerm,
            Self::Auth,
        ];
        known
            .into_iter()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
            .unwrap_or_else(|| Self::Other(text.into()))
    }

    /// As it stands between the brackets.
    pub fn as_str(&self) -> &str {
        match self {
            Self::InUse => "IN-USE",
            Self::LoginDelay => "LOGIN-DELAY",
            Self::SysTemp => "SYS/TEMP",
            Self::SysPerm => "SYS/PERM",
            Self::Auth => "AUTH",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
