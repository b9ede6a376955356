//! Addresses of destinations, as typed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use restante_client::Place;

/// How a connection to an SMTP or IMAP server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protection {
    /// TLS from the first octet.
    Implicit,
    /// STARTTLS, without which nothing is sent.
    Required,
    /// STARTTLS when it is offered, except to this machine itself. Once offered, a handshake that
    /// fails is an error: there is no way back to plain text.
    Offered,
    /// In clear.
    DangerPlaintext,
}

/// Where mail goes.
///
/// ```text
/// maildir:PATH
/// mbox:PATH
/// lmtp:HOST:PORT?to=USER@HOST      lmtp:unix:PATH?to=USER@HOST
/// smtp:HOST[:PORT]?to=USER@HOST    with &tls=required or &tls=none
/// imaps://USER@HOST[:PORT]/MAILBOX
/// imap://USER@HOST[:PORT]/MAILBOX  STARTTLS is required, but for ?tls=none on this machine itself
/// pipe:COMMAND
/// ```
///
/// An IPv6 address stands in brackets. In an IMAP address `%` and two hexadecimal digits stand for any
/// octet (RFC 5092), an `@` in the user need not be written so, and no mailbox is `INBOX`. `?to=` may be
/// missing when the recipient is known otherwise. What is shown by `Display` parses to the same, and
/// holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spec {
    /// A Maildir; made when missing.
    Maildir(PathBuf),
    /// An mbox file, written as mboxrd; made when missing.
    Mbox(PathBuf),
    /// An LMTP server, in clear.
    Lmtp {
        /// Where it listens.
        place: Place,
        /// Who gets the mail.
        recipient: Option<String>,
    },
    /// An SMTP server, without log-in: one's own.
    Smtp {
        /// Where it listens.
        place: Place,
        /// `Offered`, `Required` or `DangerPlaintext`.
        protection: Protection,
        /// Who gets the mail.
        recipient: Option<String>,
    },
    /// A mailbox of an IMAP server; made when missing.
    Imap {
        /// Where it listens.
        place: Place,
        /// `Implicit` or `Required`; `DangerPlaintext` on this machine itself only.
        protection: Protection,
        /// Who logs in.
        user: String,
        /// The mailbox's name.
        mailbox: String,
    },
    /// A program, run by `sh -c` for each message, which it reads from standard input to the end. Its
    /// environment has `RESTANTE_ACCOUNT`, `RESTANTE_UNIQUE_ID` (as the server has it, octets that are
    /// not printable ASCII as `%XX`), `RESTANTE_OCTETS`, `RESTANTE_RECEIVED` (seconds since 1970) and
    /// `RESTANTE_AGAIN` (`1` when an earlier attempt may have succeeded, else `0`).
    Pipe {
        /// What the shell runs.
        command: String,
    },
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError(String);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpecError {}

fn wrong<T>(what: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError(what.into()))
}

impl Spec {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return wrong(format!(
                "{text:?} is no destination: maildir:, mbox:, lmtp:, smtp:, imaps://, imap:// or pipe: stands in front"
            ));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "maildir" => path(rest).map(Self::Maildir),
            "mbox" => path(rest).map(Self::Mbox),
            "lmtp" => lmtp(rest),
            "smtp" => smtp(rest),
            "imaps" => imap(rest, Protection::Implicit),
            "imap" => imap(rest, Protection::Required),
            "pipe" if rest.trim().is_empty() => wrong("pipe: needs a command"),
            "pipe" => Ok(Self::Pipe {
                command: rest.to_owned(),
            }),
            _ => wrong(format!(
                "{scheme}: is no destination; there are maildir:, mbox:, lmtp:, smtp:, imaps://, imap:// and pipe:"
            )),
        }
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        Self::parse(text)
    }
}

fn path(text: &str) -> Result<PathBuf, SpecError> {
    if text.is_empty() || text.contains('\0') {
        return wrong("a path is missing");
    }
    Ok(PathBuf::from(text))
}

fn lmtp(rest: &str) -> Result<Spec, SpecError> {
    let (place, query) = split_query(rest);
    let query = Query::parse(query)?;
    if query.protection.is_some() {
        return wrong("lmtp: has no TLS (RFC 2033 is for this machine and its own network)");
    }
    Ok(Spec::Lmtp {
        place: place_of(place, None)?,
        recipient: query.recipient,
    })
}

fn smtp(rest: &str) -> Result<Spec, SpecError> {
    let (place, query) = split_query(rest);
    let query = Query::parse(query)?;
    Ok(Spec::Smtp {
        place: place_of(place, Some(25))?,
        protection: query.protection.unwrap_or(Protection::Offered),
        recipient: query.recipient,
    })
}

fn imap(rest: &str, protection: Protection) -> Result<Spec, SpecError> {
    let Some(rest) = rest.strip_prefix("//") else {
        return wrong("an IMAP destination is imaps://user@host/mailbox");
    };
    let (rest, query) = split_query(rest);
    let query = Query::parse(query)?;
    let protection = match (query.recipient, query.protection) {
        (Some(_), _) => return wrong("an IMAP destination has a mailbox, not to="),
        (None, None | Some(Protection::Required)) => protection,
        (None, Some(_)) if protection == Protection::Implicit => {
            return wrong("imaps: has TLS; tls=none goes with imap:");
        }
        (None, Some(other)) => other,
    };
    let (authority, mailbox) = rest.split_once('/').unwrap_or((rest, ""));
    let Some((user, host)) = authority.rsplit_once('@') else {
        return wrong("the user is missing: imaps://user@host/mailbox");
    };
    if user.contains(':') {
        return wrong("no password stands in an address: leave out what is behind the colon");
    }
    let user = unescape(user)?;
    if user.is_empty() {
        return wrong("the user is missing: imaps://user@host/mailbox");
    }
    let mailbox = match unescape(mailbox.trim_end_matches('/'))? {
        name if name.is_empty() || name.eq_ignore_ascii_case("inbox") => "INBOX".to_owned(),
        name => name,
    };
    if mailbox.chars().chain(user.chars()).any(char::is_control) {
        return wrong("user and mailbox have no control characters");
    }
    let port = if protection == Protection::Implicit {
        993
    } else {
        143
    };
    Ok(Spec::Imap {
        place: place_of(host, Some(port))?,
        protection,
        user,
        mailbox,
    })
}

/// Parts `?to=…` from what is in front; a path may have question marks of its own.
fn split_query(text: &str) -> (&str, &str) {
    let found = ["?to=", "?tls="].iter().filter_map(|key| text.rfind(key));
    match found.max() {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

#[derive(Default)]
struct Query {
    recipient: Option<String>,
    protection: Option<Protection>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, SpecError> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("to", address)) => query.recipient = Some(recipient(address)?),
                Some(("tls", "required")) => query.protection = Some(Protection::Required),
                Some(("tls", "none")) => query.protection = Some(Protection::DangerPlaintext),
                _ => {
                    return wrong(format!(
                        "{pair:?} is not known; there are to=USER@HOST, tls=required and tls=none"
                    ));
                }
            }
        }
        Ok(query)
    }
}

/// Checks an address that will stand between `<` and `>` in RCPT.
pub(super) fn recipient(address: &str) -> Result<String, SpecError> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>,".contains(c);
    if address.is_empty() || address.len() > 320 || address.contains(odd) {
        return wrong(format!("{address:?} is no address to deliver to"));
    }
    Ok(address.to_owned())
}

/// `host`, `host:port`, `[address]:port`, `unix:/path`.
fn place_of(text: &str, port: Option<u16>) -> Result<Place, SpecError> {
    #[cfg(unix)]
    if let Some(socket) = text.strip_prefix("unix:") {
        return path(socket).map(Place::Unix);
    }
    let (host, number) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(number) => (host, Some(number)),
            None => return wrong(format!("{text:?} is no host and port")),
        },
        None => match text.split_once(':') {
            Some((host, number)) => (host, Some(number)),
            None => (text, None),
        },
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || "/@[]?#".contains(c);
    if host.is_empty() || host.contains(bad) {
        return wrong(format!("{text:?} has no host"));
    }
    let port = match number {
        Some(number) => match number.parse() {
            Ok(0) | Err(_) => {
                return wrong(format!(
                    "{number:?} is no port; an IPv6 address stands in brackets"
                ));
            }
            Ok(port) => port,
        },
        None => match port {
            Some(port) => port,
            None => return wrong(format!("{text:?} has no port")),
        },
    };
    Ok(Place::tcp(host, port))
}

/// Undoes `%XX`.
fn unescape(text: &str) -> Result<String, SpecError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let digit = |at: usize| rest.get(at).and_then(|&d| char::from(d).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return wrong(format!("{text:?}: two digits stand behind %"));
        };
        octets.push((high * 16 + low) as u8);
        rest = &rest[2..];
    }
    String::from_utf8(octets).or_else(|_| wrong(format!("{text:?} is not UTF-8")))
}

/// Writes what an IMAP address cannot hold as `%XX`.
fn escape(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &octet in text.as_bytes() {
        let character = char::from(octet);
        if character.is_ascii_alphanumeric() || keep.contains(character) {
            out.push(character);
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = |f: &mut fmt::Formatter<'_>, recipient: &Option<String>| match recipient {
            Some(recipient) => write!(f, "?to={recipient}"),
            None => Ok(()),
        };
        match self {
            Self::Maildir(path) => write!(f, "maildir:{}", path.display()),
            Self::Mbox(path) => write!(f, "mbox:{}", path.display()),
            Self::Lmtp { place, recipient } => {
                write!(f, "lmtp:{place}")?;
                to(f, recipient)
            }
            Self::Smtp {
                place,
                protection,
                recipient,
            } => {
                write!(f, "smtp:{place}")?;
                to(f, recipient)?;
                let mark = if recipient.is_some() { '&' } else { '?' };
                match protection {
                    Protection::Required => write!(f, "{mark}tls=required"),
                    Protection::DangerPlaintext => write!(f, "{mark}tls=none"),
                    Protection::Offered | Protection::Implicit => Ok(()),
                }
            }
            Self::Imap {
                place,
                protection,
                user,
                mailbox,
            } => {
                let scheme = if *protection == Protection::Implicit {
                    "imaps"
                } else {
                    "imap"
                };
                let user = escape(user, "-._~@+=");
                write!(f, "{scheme}://{user}@{place}/{}", escape(mailbox, "-._~/"))?;
                match protection {
                    Protection::DangerPlaintext => f.write_str("?tls=none"),
                    _ => Ok(()),
                }
            }
            Self::Pipe { command } => write!(f, "pipe:{command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(text: &str) -> Spec {
        let spec = Spec::parse(text).unwrap();
        assert_eq!(spec.to_string(), text);
        assert_eq!(Spec::parse(&spec.to_string()).unwrap(), spec);
        spec
    }

    #[test]
    fn addresses_are_read_and_shown() {
        assert_eq!(same("maildir:Mail/in"), Spec::Maildir("Mail/in".into()));
        assert_eq!(same("mbox:/a b:c"), Spec::Mbox("/a b:c".into()));
        let Spec::Lmtp { place, recipient } = same("lmtp:[::1]:24?to=ann@example.org") else {
            panic!()
        };
        assert_eq!(place, Place::tcp("::1", 24));
        assert_eq!(recipient.as_deref(), Some("ann@example.org"));
        same("lmtp:127.0.0.1:1024");
        same("smtp:mx.example:25?to=a@b&tls=required");
        same("smtp:mx.example:25?tls=none");
        same("smtp:mx.example:2525?to=a@b");
        same("pipe:procmail -d $USER | cat");
        same("imap://ann@example.org@imap.example:143/INBOX");
        same("imap://ann@127.0.0.1:1143/a%3Ftls%3Dnone?tls=none");
        let Spec::Imap { user, mailbox, .. } =
            same("imaps://ann@imap.example:993/Archive/2026%20a%25")
        else {
            panic!()
        };
        assert_eq!(
            (user.as_str(), mailbox.as_str()),
            ("ann", "Archive/2026 a%")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_may_have_a_question_mark() {
        let Spec::Lmtp { place, recipient } = same("lmtp:unix:/run/a?b?to=ann") else {
            panic!()
        };
        assert_eq!(place, Place::unix("/run/a?b"));
        assert_eq!(recipient.as_deref(), Some("ann"));
    }

    #[test]
    fn what_is_missing_has_a_value() {
        for (short, long) in [
            ("smtp:mx.example", "smtp:mx.example:25"),
            ("imaps://a@h", "imaps://a@h:993/INBOX"),
            ("IMAPS://a%40b@h/inbox", "imaps://a@b@h:993/INBOX"),
            ("imap://a@[::1]/x/", "imap://a@[::1]:143/x"),
        ] {
            assert_eq!(Spec::parse(short).unwrap().to_string(), long);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "is no destination"),
            ("/home/a/Maildir", "is no destination"),
            ("ftp:x", "ftp: is no destination"),
            ("maildir:", "path"),
            ("mbox:", "path"),
            ("lmtp:host", "no port"),
            ("lmtp:host:0", "no port"),
            ("lmtp::24", "no host"),
            ("lmtp:::1:24", "no host"),
            ("lmtp:fe80::1:24", "brackets"),
            ("lmtp:h:24?to=a b", "no address"),
            ("lmtp:h:24?to=a>\r\nDATA", "no address"),
            ("lmtp:h:24?to=a&tls=none", "no TLS"),
            ("smtp:h?to=", "no address"),
            ("smtp:h?to=a&from=b", "not known"),
            ("imaps:h", "imaps://user@host"),
            ("imaps://h/x", "user"),
            ("imaps://@h/x", "user"),
            ("imaps://a:secret@h/x", "no password"),
            ("imaps://a@h/%0d%0a", "control"),
            ("imaps://a@h/%f", "two digits"),
            ("imaps://a@h/%ff", "UTF-8"),
            ("imaps://a@/x", "no host"),
            ("imaps://a@h/x?tls=none", "has TLS"),
            ("imap://a@h/x?to=b", "not to="),
            ("pipe: ", "command"),
        ] {
            let error = Spec::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("secret"));
        }
    }
}
