//! The server's side of the SASL mechanisms PLAIN (RFC 4616) and LOGIN, within the framing of
//! RFC 5034 §4.
//!
//! LOGIN was never a standard; it is here because Outlook and others know nothing else. It asks for
//! the name, then the password. An initial response is taken as the name, as other servers do.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::Secret;

/// Base64 of `Username:` and `Password:`, the prompts that LOGIN clients expect.
const USERNAME: &str = "+ VXNlcm5hbWU6";
const PASSWORD: &str = "+ UGFzc3dvcmQ6";
/// RFC 5034 §4: an empty challenge is `+` and one space.
const EMPTY: &str = "+ ";

/// The names of the mechanisms, as CAPA lists them.
pub(crate) const MECHANISMS: &str = "PLAIN LOGIN";

/// An exchange that waits for the client's next line.
pub(crate) enum Exchange {
    Plain,
    LoginName,
    LoginPassword(Vec<u8>),
}

/// What follows from a client's response.
pub(crate) enum Progress {
    /// The line to send, without CRLF; the exchange goes on.
    Challenge(&'static str, Exchange),
    /// The exchange has all it needs.
    Complete { login: Vec<u8>, password: Secret },
    /// Not Base64, or not what the mechanism asks for.
    Malformed,
    /// The client wants to act as somebody else, which nobody here may.
    OtherIdentity,
    /// The client sent `*`.
    Cancelled,
    /// No such mechanism.
    Unknown,
}

/// RFC 5034 §4 AUTH; state AUTHORIZATION. `initial` is still Base64, or `=` for an empty response.
pub(crate) fn start(mechanism: &[u8], initial: Option<&[u8]>) -> Progress {
    let (exchange, challenge) = if mechanism.eq_ignore_ascii_case(b"PLAIN") {
        (Exchange::Plain, EMPTY)
    } else if mechanism.eq_ignore_ascii_case(b"LOGIN") {
        (Exchange::LoginName, USERNAME)
    } else {
        return Progress::Unknown;
    };
    match initial {
        None => Progress::Challenge(challenge, exchange),
        Some(b"=") => respond(exchange, Zeroizing::default()),
        // `*` cancels only as a line of its own; here it fails as Base64.
        Some(text) => decode(text).map_or(Progress::Malformed, |bytes| respond(exchange, bytes)),
    }
}

impl Exchange {
    /// Takes the client's line, without its line end.
    pub(crate) fn line(self, line: &[u8]) -> Progress {
        if line == b"*" {
            return Progress::Cancelled;
        }
        decode(line).map_or(Progress::Malformed, |bytes| respond(self, bytes))
    }
}

/// Strict, as RFC 5034 §4 demands: no character outside the alphabet, padding only at the end.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

fn respond(exchange: Exchange, response: Zeroizing<Vec<u8>>) -> Progress {
    match exchange {
        Exchange::Plain => plain(&response),
        Exchange::LoginName if response.is_empty() || response.contains(&0) => Progress::Malformed,
        Exchange::LoginName => {
            Progress::Challenge(PASSWORD, Exchange::LoginPassword(response.to_vec()))
        }
        Exchange::LoginPassword(_) if response.is_empty() || response.contains(&0) => {
            Progress::Malformed
        }
        Exchange::LoginPassword(login) => Progress::Complete {
            login,
            password: Secret::new(response.to_vec()),
        },
    }
}

/// ```text
/// message = [authzid] UTF8NUL authcid UTF8NUL passwd    ; RFC 4616 §2; none of them holds a NUL
/// ```
/// `authcid` and `passwd` are 1* there: empty ones are malformed.
fn plain(message: &[u8]) -> Progress {
    let mut fields = message.split(|&b| b == 0);
    let (Some(authzid), Some(authcid), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Progress::Malformed;
    };
    if authcid.is_empty() || password.is_empty() {
        Progress::Malformed
    } else if !authzid.is_empty() && authzid != authcid {
        Progress::OtherIdentity
    } else {
        Progress::Complete {
            login: authcid.to_vec(),
            password: Secret::new(password),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_message(bytes: &[u8]) -> Progress {
        start(b"plain", Some(STANDARD.encode(bytes).as_bytes()))
    }

    #[test]
    fn plain_gives_name_and_password() {
        // RFC 4616 §4, the second example without its foreign authzid.
        for message in [
            &b"\0tim\0tanstaaftanstaaf"[..],
            b"tim\0tim\0tanstaaftanstaaf",
        ] {
            let Progress::Complete { login, password } = plain_message(message) else {
                panic!("{message:?}");
            };
            assert_eq!(login, b"tim");
            assert_eq!(password.expose(), b"tanstaaftanstaaf");
        }
    }

    #[test]
    fn plain_refuses_what_rfc_4616_does_not_allow() {
        for message in [
            &b""[..],
            b"tim",
            b"\0tim",
            b"\0\0pw",
            b"\0tim\0",
            b"\0tim\0p\0w",
            b"\0\0\0",
        ] {
            assert!(
                matches!(plain_message(message), Progress::Malformed),
                "{message:?}"
            );
        }
        assert!(matches!(
            plain_message(b"Ursel\0Kurt\0xipj3plmq"),
            Progress::OtherIdentity
        ));
        assert!(matches!(start(b"PLAIN", Some(b"=")), Progress::Malformed));
    }

    #[test]
    fn base64_is_strict() {
        // RFC 5034 §4 names the first two.
        for line in [
            &b"=AAA"[..],
            b"AAA=BBB",
            b"AHRpbQBwdw",
            b"AHRp bQBwdw==",
            b"AHRpbQBwdw==x",
            b"AHRpbQBwdw==\r",
            b"-_-_",
            b"**",
        ] {
            assert!(
                matches!(Exchange::Plain.line(line), Progress::Malformed),
                "{line:?}"
            );
        }
        assert!(matches!(Exchange::Plain.line(b"*"), Progress::Cancelled));
        assert!(matches!(start(b"PLAIN", Some(b"*")), Progress::Malformed));
    }

    #[test]
    fn login_asks_twice() {
        let Progress::Challenge(prompt, exchange) = start(b"LOGIN", None) else {
            panic!();
        };
        assert_eq!(STANDARD.decode(&prompt[2..]).unwrap(), b"Username:");
        let Progress::Challenge(prompt, exchange) = exchange.line(b"dGlt") else {
            panic!();
        };
        assert_eq!(STANDARD.decode(&prompt[2..]).unwrap(), b"Password:");
        let Progress::Complete { login, password } = exchange.line(b"cHc=") else {
            panic!();
        };
        assert_eq!((&login[..], password.expose()), (&b"tim"[..], &b"pw"[..]));
        assert!(matches!(
            start(b"login", Some(b"dGlt")),
            Progress::Challenge(PASSWORD, Exchange::LoginPassword(_))
        ));
        assert!(matches!(start(b"CRAM-MD5", None), Progress::Unknown));
    }
}
