//! From a message's bytes to a multi-line response.

use memchr::memchr;

use super::TERMINATOR;

/// What the current line has had so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    /// Exactly one CR: the line is blank if LF follows.
    OnlyCr,
    Text {
        ends_in_cr: bool,
    },
}

/// Which part TOP still wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Header { body_lines: u64 },
    Body { lines_left: u64 },
    Done,
}

/// Writes a message as a POP3 multi-line body: `push` its bytes in order, then `finish`.
///
/// A line starts at the beginning and after any LF. Each line that starts with a dot gets one more,
/// the first one too (RFC 1939 §3). An LF without a CR becomes CRLF; a CR without an LF, NUL and
/// 8-bit octets stay as they are. A message whose last line has no end gets one.
#[derive(Debug, Clone)]
pub struct Encoder {
    line: Line,
    part: Part,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// For a whole message.
    pub const fn new() -> Self {
        Self {
            line: Line::Empty,
            part: Part::All,
        }
    }

    /// For TOP: the header, the blank line after it, and `body_lines` lines of the body (RFC 1939
    /// §7 TOP). A message without a blank line is all header.
    pub const fn top(body_lines: u64) -> Self {
        Self {
            line: Line::Empty,
            part: Part::Header { body_lines },
        }
    }

    /// Whether further bytes would be left out: `finish` may come at once.
    pub fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Appends the next bytes of the message, encoded.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() + bytes.len() / 32);
        // What is before `copied` is in `out`; whole runs of lines are copied at once.
        let mut copied = 0;
        let mut at = 0;
        while at < bytes.len() && self.part != Part::Done {
            if self.line == Line::Empty && bytes[at] == b'.' {
                out.extend_from_slice(&bytes[copied..at]);
                out.push(b'.');
                copied = at;
            }
            let Some(found) = memchr(b'\n', &bytes[at..]) else {
                self.continue_line(&bytes[at..]);
                at = bytes.len();
                break;
            };
            let end = at + found;
            self.continue_line(&bytes[at..end]);
            let (has_cr, blank) = match self.line {
                Line::Empty => (false, true),
                Line::OnlyCr => (true, true),
                Line::Text { ends_in_cr } => (ends_in_cr, false),
            };
            if !has_cr {
                out.extend_from_slice(&bytes[copied..end]);
                out.push(b'\r');
                copied = end;
            }
            self.line = Line::Empty;
            self.count_line(blank);
            at = end + 1;
        }
        out.extend_from_slice(&bytes[copied..at]);
    }

    fn continue_line(&mut self, text: &[u8]) {
        let Some(&last) = text.last() else { return };
        self.line = if self.line == Line::Empty && text == b"\r" {
            Line::OnlyCr
        } else {
            Line::Text {
                ends_in_cr: last == b'\r',
            }
        };
    }

    fn count_line(&mut self, blank: bool) {
        self.part = match self.part {
            Part::Header { body_lines: 0 } if blank => Part::Done,
            Part::Header { body_lines } if blank => Part::Body {
                lines_left: body_lines,
            },
            Part::Body { lines_left: 1 } => Part::Done,
            Part::Body { lines_left } => Part::Body {
                lines_left: lines_left - 1,
            },
            other => other,
        };
    }

    /// Appends what is missing of the last line, and the terminator.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.line != Line::Empty {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(TERMINATOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(mut encoder: Encoder, bytes: &[u8], piece: usize) -> String {
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            encoder.push(piece, &mut out);
        }
        encoder.finish(&mut out);
        out.escape_ascii().to_string()
    }

    fn check(encoder: &Encoder, bytes: &[u8], want: &str) {
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(
                encode(encoder.clone(), bytes, piece),
                want,
                "{} in pieces of {piece}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn lines_end_in_crlf_and_dots_are_stuffed() {
        let all = Encoder::new();
        check(&all, b"", r".\r\n");
        check(&all, b"a", r"a\r\n.\r\n");
        check(&all, b"a\r\n", r"a\r\n.\r\n");
        check(&all, b"a\nb\n", r"a\r\nb\r\n.\r\n");
        check(&all, b".", r"..\r\n.\r\n");
        check(&all, b".\r\n", r"..\r\n.\r\n");
        check(&all, b"..a\n.\n.b", r"...a\r\n..\r\n..b\r\n.\r\n");
        check(&all, b"\n\n", r"\r\n\r\n.\r\n");
    }

    #[test]
    fn odd_octets_stay() {
        let all = Encoder::new();
        check(&all, b"a\rb\r\r\n", r"a\rb\r\r\n.\r\n");
        check(&all, b"a\r", r"a\r\r\n.\r\n");
        check(&all, b"\0\xff\n", r"\x00\xff\r\n.\r\n");
        check(&all, b"\r.\n", r"\r.\r\n.\r\n");
    }

    #[test]
    fn top_counts_no_header_lines() {
        // RFC 1939 §7 TOP: "the headers of the message, the blank line separating the headers from
        // the body, and then the number of lines of the indicated message's body".
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\n.two\r\nthree";
        check(&Encoder::top(0), message, r"A: 1\r\nB: 2\r\n\r\n.\r\n");
        check(
            &Encoder::top(1),
            message,
            r"A: 1\r\nB: 2\r\n\r\none\r\n.\r\n",
        );
        check(
            &Encoder::top(2),
            message,
            r"A: 1\r\nB: 2\r\n\r\none\r\n..two\r\n.\r\n",
        );
        let all = r"A: 1\r\nB: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n";
        check(&Encoder::top(3), message, all);
        check(&Encoder::top(u64::MAX), message, all);
    }

    #[test]
    fn top_of_odd_messages() {
        check(&Encoder::top(0), b"A: 1\n\nbody\n", r"A: 1\r\n\r\n.\r\n");
        check(&Encoder::top(0), b"\r\nbody", r"\r\n.\r\n");
        check(
            &Encoder::top(0),
            b"no end of header\n",
            r"no end of header\r\n.\r\n",
        );
        check(&Encoder::top(0), b"\r\r\n\nx", r"\r\r\n\r\n.\r\n");
        check(&Encoder::top(1), b"\n\n\n", r"\r\n\r\n.\r\n");
    }

    #[test]
    fn top_says_when_it_is_done() {
        let mut encoder = Encoder::top(1);
        let mut out = Vec::new();
        encoder.push(b"A: 1\r\n\r\none\r", &mut out);
        assert!(!encoder.is_done());
        encoder.push(b"\ntwo", &mut out);
        assert!(encoder.is_done());
    }
}
