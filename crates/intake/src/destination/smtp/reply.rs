//! Replies of an SMTP server.

use std::fmt;
use std::time::Duration;

use super::super::limits::{REPLY_LINE_OCTETS, REPLY_LINES};
use super::super::wire::{Broken, Until, Wire, shown};

/// A reply, however many lines.
///
/// ```text
/// Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
/// Reply-code = %x32-35 %x30-35 %x30-39
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<Vec<u8>>,
}

impl Reply {
    /// Reads one; the whole of it has to be there within `wait`.
    pub(super) async fn read(wire: &mut Wire, wait: Duration) -> Result<Self, Broken> {
        let until = Until::now_and(wait);
        let mut lines = Vec::new();
        loop {
            let line = wire.line(REPLY_LINE_OCTETS, until).await?;
            let Some((code, is_last, text)) = parse(&line) else {
                return Err(Broken::Nonsense(format!(
                    "this is no reply: {:?}",
                    shown(&line)
                )));
            };
            lines.push(text.to_vec());
            if is_last {
                return Ok(Self { code, lines });
            }
            if lines.len() >= REPLY_LINES {
                return Err(Broken::Nonsense(format!(
                    "the server sent a reply of more than {REPLY_LINES} lines"
                )));
            }
        }
    }
}

/// A line's code, whether it is the last, and its text.
fn parse(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !matches!(digits[0], b'2'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, b"")),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, shown(&self.lines.join(&b' ')))
    }
}

/// What a server can do besides, as far as it is of use here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// RFC 2920.
    pub(super) pipelining: bool,
    /// RFC 3207.
    pub(super) starttls: bool,
    /// RFC 6152.
    pub(super) eight_bit: bool,
    /// RFC 6531.
    pub(super) smtputf8: bool,
    /// RFC 1870: the largest message, in octets; without a number there is no bound.
    pub(super) size: Option<u64>,
}

impl Extensions {
    /// From the reply to EHLO or LHLO; its first line is the server's name.
    pub(super) fn parse(reply: &Reply) -> Self {
        let mut all = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("PIPELINING") => all.pipelining = true,
                Some("STARTTLS") => all.starttls = true,
                Some("8BITMIME") => all.eight_bit = true,
                Some("SMTPUTF8") => all.smtputf8 = true,
                Some("SIZE") => {
                    let bound = words.next().and_then(|word| word.parse().ok());
                    all.size = Some(bound.filter(|&bound| bound > 0).unwrap_or(u64::MAX));
                }
                _ => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed() {
        // RFC 5321 §4.2: a code alone is a reply too.
        assert_eq!(parse(b"250"), Some((250, true, &b""[..])));
        assert_eq!(parse(b"250 "), Some((250, true, &b""[..])));
        assert_eq!(
            parse(b"250-mx.example"),
            Some((250, false, &b"mx.example"[..]))
        );
        for line in [
            &b""[..],
            b"25",
            b"2500",
            b"150 a",
            b"650 a",
            b"* OK",
            b"25a b",
        ] {
            assert_eq!(parse(line), None);
        }
    }

    #[test]
    fn extensions_are_found() {
        let lines = [
            "PIPELINING is my name",
            "size 1000",
            "8BITMIME",
            "STARTTLS x",
            "X",
        ];
        let reply = Reply {
            code: 250,
            lines: lines.map(|line| line.as_bytes().to_vec()).to_vec(),
        };
        let found = Extensions::parse(&reply);
        assert_eq!(found.size, Some(1000));
        assert!(!found.pipelining && found.eight_bit && found.starttls && !found.smtputf8);
    }
}
