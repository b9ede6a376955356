//! From a multi-line response to a message's bytes.

use memchr::memchr;

/// Which line ends a peer's multi-line response has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    /// RFC 1939 §3: only CRLF ends a line, only CRLF `.` CRLF (or `.` CRLF at the start) ends the
    /// response. A bare LF is content, so that no message can end the response early.
    Crlf,
    /// For servers that send bare LF: any LF ends a line, and a `.` alone on one ends the response.
    AnyLf,
}

/// Where in a line the decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// A dot at the start is held back.
    Dot,
    /// A dot and a CR at the start are held back.
    DotCr,
    Inside {
        after_cr: bool,
    },
    End,
}

/// Reads a POP3 multi-line response after its status line. Line ends come out as they came in.
///
/// A dot at a line's start is removed only where a second one follows: servers that forget to
/// stuff lose nothing.
#[derive(Debug, Clone)]
pub struct Decoder {
    line_ends: LineEnds,
    at: At,
}

impl Decoder {
    /// At the first line of a response.
    pub const fn new(line_ends: LineEnds) -> Self {
        Self {
            line_ends,
            at: At::Start,
        }
    }

    /// Whether the terminator has been seen. A response without it is cut short: never take it for
    /// a message.
    pub fn is_done(&self) -> bool {
        self.at == At::End
    }

    /// Appends the decoded bytes of `wire` to `out`; says how many octets of `wire` belong to the
    /// response. Those after the terminator are the next reply's.
    pub fn push(&mut self, wire: &[u8], out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while used < wire.len() {
            let byte = wire[used];
            match self.at {
                At::End => break,
                At::Inside { after_cr } => {
                    used += self.inside(&wire[used..], after_cr, out);
                    continue;
                }
                At::Start if byte == b'.' => self.at = At::Dot,
                At::Start => {
                    self.at = At::Inside { after_cr: false };
                    continue;
                }
                At::Dot if byte == b'.' => {
                    // Stuffed: one of the two goes, and this one is content.
                    out.push(b'.');
                    self.at = At::Inside { after_cr: false };
                }
                At::Dot if byte == b'\r' => self.at = At::DotCr,
                At::Dot if byte == b'\n' && self.line_ends == LineEnds::AnyLf => self.at = At::End,
                At::Dot => {
                    out.push(b'.');
                    self.at = At::Inside { after_cr: false };
                    continue;
                }
                At::DotCr if byte == b'\n' => self.at = At::End,
                At::DotCr => {
                    out.extend_from_slice(b".\r");
                    self.at = At::Inside { after_cr: true };
                    continue;
                }
            }
            used += 1;
        }
        used
    }

    /// Copies to the end of the line, or of what is there.
    fn inside(&mut self, wire: &[u8], after_cr: bool, out: &mut Vec<u8>) -> usize {
        let mut from = 0;
        let mut after_cr = after_cr;
        while let Some(found) = memchr(b'\n', &wire[from..]) {
            let lf = from + found;
            let has_cr = if lf == 0 {
                after_cr
            } else {
                wire[lf - 1] == b'\r'
            };
            from = lf + 1;
            after_cr = false;
            let ends = has_cr || self.line_ends == LineEnds::AnyLf;
            // Only a dot at the start of the next line needs a closer look.
            match wire.get(from) {
                Some(b'.') | None if ends => {
                    out.extend_from_slice(&wire[..from]);
                    self.at = At::Start;
                    return from;
                }
                _ => {}
            }
        }
        out.extend_from_slice(wire);
        let after_cr = match wire.last() {
            Some(&last) => last == b'\r',
            None => after_cr,
        };
        self.at = At::Inside { after_cr };
        wire.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(line_ends: LineEnds, wire: &[u8], piece: usize) -> (String, bool, usize) {
        let mut decoder = Decoder::new(line_ends);
        let mut out = Vec::new();
        let mut used = 0;
        for piece in wire.chunks(piece) {
            let took = decoder.push(piece, &mut out);
            used += took;
            if took < piece.len() {
                break;
            }
        }
        (out.escape_ascii().to_string(), decoder.is_done(), used)
    }

    fn check(line_ends: LineEnds, wire: &[u8], want: &str, done: bool, used: usize) {
        for piece in [1, 2, 3, 5, 1000] {
            assert_eq!(
                decode(line_ends, wire, piece),
                (want.to_owned(), done, used),
                "{} in pieces of {piece}",
                wire.escape_ascii()
            );
        }
    }

    #[test]
    fn the_terminator_is_exact() {
        use LineEnds::Crlf;
        check(Crlf, b".\r\n+OK", "", true, 3);
        check(Crlf, b"a\r\n.\r\n+OK", r"a\r\n", true, 6);
        check(Crlf, b"a\n.\r\nb", r"a\n.\r\nb", false, 6);
        check(Crlf, b"a\r\n.\nb", r"a\r\n.\nb", false, 6);
        check(Crlf, b"a\r\n.\rb", r"a\r\n.\rb", false, 6);
        check(Crlf, b"a\r\n.\r\r\n.\r\n", r"a\r\n.\r\r\n", true, 10);
        check(Crlf, b"a\r\n.", r"a\r\n", false, 4);
    }

    #[test]
    fn one_dot_goes_where_there_are_two() {
        use LineEnds::Crlf;
        check(
            Crlf,
            b"..\r\n...a\r\n.x\r\n.\r\n",
            r".\r\n..a\r\n.x\r\n",
            true,
            17,
        );
    }

    #[test]
    fn lf_only_servers_can_be_read() {
        use LineEnds::AnyLf;
        check(AnyLf, b"a\n..b\n.\n+OK", r"a\n.b\n", true, 8);
        check(AnyLf, b"a\r\n.\r\n", r"a\r\n", true, 6);
    }
}
