//! The mechanisms by name and strength.

use std::fmt;
use std::str::FromStr;

/// A way to log in. The order is that of preference: a greater one is tried before a lesser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// APOP (RFC 1939 §7): an MD5 of the greeting's timestamp and the password. Only when asked for,
    /// since whoever is on the way can recover passwords from it.
    Apop,
    /// USER and PASS (RFC 1939 §7); the password itself.
    UserPass,
    /// LOGIN, never a standard; the password itself.
    Login,
    /// PLAIN (RFC 4616); the password itself.
    Plain,
    /// CRAM-MD5 (RFC 2195).
    CramMd5,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-1 bound to the TLS connection (RFC 5802, RFC 9266).
    ScramSha1Plus,
    /// SCRAM-SHA-256 bound to the TLS connection (RFC 7677, RFC 9266).
    ScramSha256Plus,
    /// EXTERNAL (RFC 4422): the client certificate.
    External,
    /// XOAUTH2, Google's and Microsoft's: an access token.
    XOAuth2,
    /// OAUTHBEARER (RFC 7628): an access token.
    OAuthBearer,
}

impl Mechanism {
    /// All of them, the strongest last.
    pub const ALL: [Self; 12] = [
        Self::Apop,
        Self::UserPass,
        Self::Login,
        Self::Plain,
        Self::CramMd5,
        Self::ScramSha1,
        Self::ScramSha256,
        Self::ScramSha1Plus,
        Self::ScramSha256Plus,
        Self::External,
        Self::XOAuth2,
        Self::OAuthBearer,
    ];

    /// The name as SASL has it; `USER` and `APOP` for those that are commands of POP3.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apop => "APOP",
            Self::UserPass => "USER",
            Self::Login => "LOGIN",
            Self::Plain => "PLAIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::External => "EXTERNAL",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// Whether the server, or whoever listens, gets something that logs in elsewhere or again: the
    /// password or a token. Such mechanisms need TLS.
    pub const fn reveals_secret(self) -> bool {
        matches!(
            self,
            Self::UserPass | Self::Login | Self::Plain | Self::XOAuth2 | Self::OAuthBearer
        )
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No mechanism has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMechanism(pub String);

impl fmt::Display for UnknownMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no login mechanism is called `{}`; there are ", self.0)?;
        for (i, mechanism) in Mechanism::ALL.iter().enumerate() {
            write!(f, "{}{mechanism}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownMechanism {}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// By its name in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownMechanism(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.name().to_lowercase().parse(), Ok(mechanism));
        }
        assert!(Mechanism::ALL.is_sorted());
        let error = "GSSAPI".parse::<Mechanism>().unwrap_err().to_string();
        assert!(error.contains("`GSSAPI`") && error.contains("SCRAM-SHA-256-PLUS"));
    }
}
