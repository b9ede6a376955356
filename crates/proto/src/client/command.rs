//! Commands, as a client writes them.

use crate::limits::COMMAND_LINE_OCTETS;
use crate::{Secret, reply};

/// A command to send.
#[derive(Debug)]
pub enum Command<'a> {
    /// RFC 2449 §5 CAPA.
    Capa,
    /// RFC 2595 §4 STLS.
    Stls,
    /// RFC 1939 §7 USER.
    User(&'a str),
    /// RFC 1939 §7 PASS.
    Pass(&'a Secret),
    /// RFC 1939 §7 APOP: the name, and the digest in hexadecimal.
    Apop(&'a str, &'a str),
    /// RFC 5034 §4 AUTH: the mechanism, and an initial response if there is one. It is sent along if
    /// the whole line fits 255 octets; else the server asks for it, see [`Event::Challenge`].
    ///
    /// [`Event::Challenge`]: super::Event::Challenge
    Auth(&'a str, Option<&'a [u8]>),
    /// RFC 1939 §5 STAT.
    Stat,
    /// RFC 1939 §5 LIST, of all messages.
    List,
    /// RFC 1939 §5 LIST, of one message.
    ListOne(u64),
    /// RFC 1939 §7 UIDL, of all messages.
    Uidl,
    /// RFC 1939 §7 UIDL, of one message.
    UidlOne(u64),
    /// RFC 1939 §5 RETR.
    Retr(u64),
    /// RFC 1939 §7 TOP: message and lines.
    Top(u64, u64),
    /// RFC 1939 §5 DELE.
    Dele(u64),
    /// RFC 1939 §5 NOOP.
    Noop,
    /// RFC 1939 §5 RSET.
    Rset,
    /// RFC 1939 §5, §6 QUIT.
    Quit,
}

/// What a reply is the reply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Nothing: the server speaks first.
    Greeting,
    /// CAPA.
    Capa,
    /// STLS.
    Stls,
    /// USER.
    User,
    /// PASS.
    Pass,
    /// APOP.
    Apop,
    /// AUTH.
    Auth,
    /// STAT.
    Stat,
    /// LIST.
    List,
    /// LIST of one message.
    ListOne(u64),
    /// UIDL.
    Uidl,
    /// UIDL of one message.
    UidlOne(u64),
    /// RETR.
    Retr(u64),
    /// TOP.
    Top(u64),
    /// DELE.
    Dele(u64),
    /// NOOP.
    Noop,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

impl Asked {
    /// The command's keyword; `greeting` for what no command asked for.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Capa => "CAPA",
            Self::Stls => "STLS",
            Self::User => "USER",
            Self::Pass => "PASS",
            Self::Apop => "APOP",
            Self::Auth => "AUTH",
            Self::Stat => "STAT",
            Self::List | Self::ListOne(_) => "LIST",
            Self::Uidl | Self::UidlOne(_) => "UIDL",
            Self::Retr(_) => "RETR",
            Self::Top(_) => "TOP",
            Self::Dele(_) => "DELE",
            Self::Noop => "NOOP",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
        }
    }
}

/// An argument holds what no command line can: a CR, a LF or a NUL. Nothing of the command is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadArgument;

/// Whether an argument stays within its line, whatever it holds.
fn fits_a_line(argument: &[u8]) -> Result<(), BadArgument> {
    if argument
        .iter()
        .any(|octet| matches!(octet, b'\r' | b'\n' | 0))
    {
        Err(BadArgument)
    } else {
        Ok(())
    }
}

impl Command<'_> {
    pub(super) const fn asked(&self) -> Asked {
        match self {
            Self::Capa => Asked::Capa,
            Self::Stls => Asked::Stls,
            Self::User(_) => Asked::User,
            Self::Pass(_) => Asked::Pass,
            Self::Apop(..) => Asked::Apop,
            Self::Auth(..) => Asked::Auth,
            Self::Stat => Asked::Stat,
            Self::List => Asked::List,
            Self::ListOne(number) => Asked::ListOne(*number),
            Self::Uidl => Asked::Uidl,
            Self::UidlOne(number) => Asked::UidlOne(*number),
            Self::Retr(number) => Asked::Retr(*number),
            Self::Top(number, _) => Asked::Top(*number),
            Self::Dele(number) => Asked::Dele(*number),
            Self::Noop => Asked::Noop,
            Self::Rset => Asked::Rset,
            Self::Quit => Asked::Quit,
        }
    }

    /// Octets that are enough for the line.
    pub(super) fn octets(&self) -> usize {
        // A keyword, two numbers of 20 digits, spaces and CRLF.
        const FIXED: usize = 64;
        FIXED
            + match self {
                Self::User(name) => name.len(),
                Self::Pass(password) => password.expose().len(),
                Self::Apop(name, digest) => name.len() + digest.len(),
                Self::Auth(mechanism, initial) => {
                    mechanism.len() + initial.map_or(0, |initial| base64_octets(initial.len()))
                }
                _ => 0,
            }
    }

    /// Appends the whole line, or nothing.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadArgument> {
        match self {
            Self::User(name) => fits_a_line(name.as_bytes())?,
            Self::Pass(password) => fits_a_line(password.expose())?,
            Self::Apop(name, digest) => {
                fits_a_line(name.as_bytes())?;
                fits_a_line(digest.as_bytes())?;
            }
            Self::Auth(mechanism, _) => fits_a_line(mechanism.as_bytes())?,
            _ => {}
        }
        out.extend_from_slice(self.asked().keyword().as_bytes());
        match self {
            Self::User(name) => word(out, name.as_bytes()),
            Self::Pass(password) => word(out, password.expose()),
            Self::Apop(name, digest) => {
                word(out, name.as_bytes());
                word(out, digest.as_bytes());
            }
            Self::Auth(mechanism, initial) => {
                word(out, mechanism.as_bytes());
                if let Some(initial) = initial.filter(|initial| goes_along(mechanism, initial)) {
                    out.push(b' ');
                    // RFC 5034 §4: an empty initial response is `=`.
                    match initial {
                        [] => out.push(b'='),
                        _ => base64(initial, out),
                    }
                }
            }
            Self::ListOne(number)
            | Self::UidlOne(number)
            | Self::Retr(number)
            | Self::Dele(number) => decimal(out, *number),
            Self::Top(number, lines) => {
                decimal(out, *number);
                decimal(out, *lines);
            }
            Self::Capa
            | Self::Stls
            | Self::Stat
            | Self::List
            | Self::Uidl
            | Self::Noop
            | Self::Rset
            | Self::Quit => {}
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Whether [`Command::Auth`] sends an initial response along: RFC 5034 §4 counts the whole line, CRLF
/// included, against the 255 octets of RFC 2449 §4. One that does not fit is the answer to the first
/// challenge, which is then empty.
pub fn goes_along(mechanism: &str, initial: &[u8]) -> bool {
    let octets = base64_octets(initial.len()).max(1);
    "AUTH ".len() + mechanism.len() + 1 + octets + 2 <= COMMAND_LINE_OCTETS
}

fn word(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(word);
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    out.push(b' ');
    reply::decimal(out, number);
}

pub(super) const fn base64_octets(octets: usize) -> usize {
    octets.div_ceil(3) * 4
}

/// Appends `bytes` in Base64, in place: `out` has the room, so that no copy of a secret is left in
/// memory that was outgrown.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    use base64::Engine as _;
    let at = out.len();
    out.resize(at + base64_octets(bytes.len()), 0);
    let written = base64::engine::general_purpose::STANDARD.encode_slice(bytes, &mut out[at..]);
    debug_assert_eq!(written.ok(), Some(out.len() - at));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &Command<'_>) -> String {
        let mut out = Vec::new();
        command.encode(&mut out).unwrap();
        assert!(out.len() <= command.octets());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn commands_are_those_of_rfc_1939() {
        assert_eq!(line(&Command::Top(1, 10)), "TOP 1 10\r\n");
        assert_eq!(line(&Command::List), "LIST\r\n");
        assert_eq!(
            line(&Command::UidlOne(u64::MAX)),
            "UIDL 18446744073709551615\r\n"
        );
        assert_eq!(line(&Command::User("mrose")), "USER mrose\r\n");
        let digest = "c4c9334bac560ecc979e58001b3e22fb";
        let apop = line(&Command::Apop("mrose", digest));
        assert_eq!(apop, format!("APOP mrose {digest}\r\n"));
        assert_eq!(line(&Command::Pass(&" a b ".into())), "PASS  a b \r\n");
    }

    #[test]
    fn nothing_gets_out_of_its_line() {
        let mut out = Vec::new();
        for command in [
            Command::User("tim\r\nQUIT"),
            Command::User("tim\n"),
            Command::Pass(&"a\0b".into()),
            Command::Apop("tim\r", "0"),
            Command::Auth("PLAIN\r\nQUIT", None),
        ] {
            assert_eq!(command.encode(&mut out), Err(BadArgument));
        }
        assert!(out.is_empty());
    }

    #[test]
    fn an_initial_response_goes_along_only_if_the_line_fits_255_octets() {
        // The example of RFC 5034 §6.
        let plain = Command::Auth("PLAIN", Some(b"\0test\0test"));
        assert_eq!(line(&plain), "AUTH PLAIN AHRlc3QAdGVzdA==\r\n");
        assert_eq!(
            line(&Command::Auth("EXTERNAL", Some(b""))),
            "AUTH EXTERNAL =\r\n"
        );
        assert_eq!(line(&Command::Auth("CRAM-MD5", None)), "AUTH CRAM-MD5\r\n");
        // "AUTH PLAIN " and CRLF are 13 octets: 180 octets are 240 in Base64, 183 are 244.
        assert_eq!(line(&Command::Auth("PLAIN", Some(&[0; 180]))).len(), 253);
        assert_eq!(
            line(&Command::Auth("PLAIN", Some(&[0; 183]))),
            "AUTH PLAIN\r\n"
        );
        assert_eq!(line(&Command::Auth("X", Some(&[0; 183]))).len(), 253);
    }
}
