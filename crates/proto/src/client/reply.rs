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
    /// Reads what stands between the brackets. Case means nothing, and a level that is not known
    /// leaves the one above it (RFC 2449 §8).
    pub fn parse(text: &str) -> Self {
        let known = [
            Self::InUse,
            Self::LoginDelay,
            Self::SysTemp,
            Self::SysPerm,
            Self::Auth,
        ];
        let is = |code: &Self| {
            let name = code.as_str();
            let (Some(head), rest) = (text.get(..name.len()), text.as_bytes().get(name.len()))
            else {
                return false;
            };
            head.eq_ignore_ascii_case(name) && matches!(rest, None | Some(b'/'))
        };
        known
            .into_iter()
            .find(is)
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

/// What follows `+OK` or `-ERR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The response code, if there is one.
    pub code: Option<ResponseCode>,
    /// The text after it, as it was sent.
    pub text: &'a [u8],
}

impl<'a> Reply<'a> {
    /// ```text
    /// single-line = status [SP text] CRLF              ; RFC 2449 §3
    /// text        = *schar / resp-code *CHAR
    /// resp-code   = "[" resp-level *("/" resp-level) "]"
    /// ```
    pub(super) fn parse(rest: &'a [u8]) -> Self {
        let text = rest.trim_ascii();
        let code = text.strip_prefix(b"[").and_then(|inner| {
            let end = memchr::memchr(b']', inner)?;
            let code = std::str::from_utf8(&inner[..end]).ok()?;
            Some((
                ResponseCode::parse(code),
                inner[end + 1..].trim_ascii_start(),
            ))
        });
        match code {
            Some((code, text)) => Self {
                code: Some(code),
                text,
            },
            None => Self { code: None, text },
        }
    }
}

/// The two status indicators; whatever else a line begins with, it is no status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Positive,
    Negative,
}

/// The status indicator (RFC 1939 §3: in upper case) and where the text begins.
pub(super) fn status(line: &[u8]) -> Option<(Status, usize)> {
    let (status, octets) = match line {
        [b'+', b'O', b'K', ..] => (Status::Positive, 3),
        [b'-', b'E', b'R', b'R', ..] => (Status::Negative, 4),
        _ => return None,
    };
    match line.get(octets) {
        Some(next) if next.is_ascii_alphanumeric() => None,
        _ => Some((status, octets)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_codes_are_read_as_rfc_2449_and_3206_have_them() {
        let code = |text: &'static str| Reply::parse(text.as_bytes());
        let reply = code(" [IN-USE] Do you have another POP session running?");
        assert_eq!(reply.code, Some(ResponseCode::InUse));
        assert_eq!(reply.text, b"Do you have another POP session running?");
        assert_eq!(
            code(" [login-delay] wait").code,
            Some(ResponseCode::LoginDelay)
        );
        assert_eq!(code("  [SYS/TEMP/DISK]").code, Some(ResponseCode::SysTemp));
        assert_eq!(code(" [SYS/PERM]x").code, Some(ResponseCode::SysPerm));
        assert_eq!(code(" [AUTH] no").code, Some(ResponseCode::Auth));
        let other = Some(ResponseCode::Other("AUTHOR".into()));
        assert_eq!(code(" [AUTHOR] no").code, other);
        assert_eq!(code(" no [AUTH]").code, None);
        assert_eq!(code(" [AUTH no").code, None);
        assert_eq!(Reply::parse(b" [\xff] a").code, None);
        assert_eq!(code("").text, b"");
    }

    #[test]
    fn a_status_line_is_nothing_else() {
        assert_eq!(status(b"+OK"), Some((Status::Positive, 3)));
        assert_eq!(status(b"-ERR no"), Some((Status::Negative, 4)));
        for line in [
            &b""[..],
            b"+",
            b"+ok",
            b"+OKAY",
            b"OK",
            b"-ER",
            b"-ERROR",
            b" +OK",
            b".",
        ] {
            assert_eq!(status(line), None, "{line:?}");
        }
    }
}
