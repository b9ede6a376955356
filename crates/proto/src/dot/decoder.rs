//! From a multi-line response to a message's bytes.

use memchr::memchr;

/// Which line ends a peer's multi-line response has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    /// RFC 1939 §3: only CRLF ends a line, only CRLF `.` CRLF (or `.` CRLF at the start) ends the
    /// response. A bare LF is content, so that no message can end the response early.
    Crlf,
    /// For servers that send bare LF: any LF ends a line, and a `.` alone on one ends the response; until
    /// the first line that ends in CRLF, from which on this is [`LineEnds::Crlf`].
    AnyLf,
    /// For servers of which one does not know: bare LF ends lines until the first line that ends in
    /// CRLF, from which on this is [`LineEnds::Crlf`]. Until then a `.` alone on a line that follows a
    /// bare LF, or ends in one, is the end only if nothing comes after it: [`Decoder::may_be_done`].
    Unsure,
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
    /// A dot and a line end are held back, and what came after them of a status line's first octets:
    /// perhaps the terminator.
    Perhaps {
        cr: bool,
        status: Option<(&'static [u8], usize)>,
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
    /// No line has ended yet.
    fresh: bool,
    /// The line stands behind a bare LF where only CRLF ends a line.
    soft: bool,
    doubtful: bool,
}

/// How the next reply would begin.
const STATUSES: [&[u8]; 2] = [b"+OK", b"-ERR"];

impl Decoder {
    /// At the first line of a response.
    pub const fn new(line_ends: LineEnds) -> Self {
        Self {
            line_ends,
            at: At::Start,
            fresh: true,
            soft: false,
            doubtful: false,
        }
    }

    /// Whether the terminator has been seen. A response without it is cut short: never take it for
    /// a message.
    pub fn is_done(&self) -> bool {
        self.at == At::End
    }

    /// Whether what came last ends the response if nothing follows it: see [`LineEnds::Unsure`].
    pub fn may_be_done(&self) -> bool {
        matches!(self.at, At::Perhaps { status: None, .. })
    }

    /// With [`Self::may_be_done`]: the lone dot stands behind a bare LF among lines that end in CRLF, where a
    /// server that keeps RFC 1939 §3 may have it as content.
    pub fn is_soft(&self) -> bool {
        self.soft
    }

    /// Whether a dot was alone on a line with whatever ends, and `+OK` or `-ERR` came behind it: text, or
    /// the end of this response and the next reply. With no other reply due it is text.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Takes it for the end, since nothing follows. Without effect if [`Self::may_be_done`] is not so.
    pub fn settle(&mut self) {
        if self.may_be_done() {
            self.at = At::End;
        }
    }

    /// Appends the decoded bytes of `wire` to `out`; says how many octets of `wire` belong to the
    /// response. Those after the terminator are the next reply's; when it becomes doubtful where that is
    /// ([`Self::is_doubtful`]), it stops there once, and may be given the rest.
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
                At::Dot if byte == b'.' && !self.soft => {
                    // Stuffed: one of the two goes, and this one is content.
                    out.push(b'.');
                    self.at = At::Inside { after_cr: false };
                }
                At::Dot if byte == b'\r' => self.at = At::DotCr,
                At::Dot if byte == b'\n' => self.at = self.dot_line(false),
                At::Dot => {
                    out.push(b'.');
                    self.at = At::Inside { after_cr: false };
                    continue;
                }
                At::DotCr if byte == b'\n' => self.at = self.dot_line(true),
                At::DotCr => {
                    out.extend_from_slice(b".\r");
                    self.at = At::Inside { after_cr: true };
                    continue;
                }
                At::Perhaps { cr, status } => match status_goes_on(status, byte) {
                    Some((whole, octets)) if octets == whole.len() => {
                        self.release(cr, whole, out);
                        if !std::mem::replace(&mut self.doubtful, true) {
                            return used + 1;
                        }
                    }
                    Some(status) => {
                        let status = Some(status);
                        self.at = At::Perhaps { cr, status };
                    }
                    None => {
                        let (whole, octets) = status.unwrap_or_default();
                        self.release(cr, &whole[..octets], out);
                        continue;
                    }
                },
            }
            used += 1;
        }
        used
    }

    /// What was held back is content: something follows.
    fn release(&mut self, cr: bool, begun: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(if cr { b".\r\n" } else { b".\n" });
        out.extend_from_slice(begun);
        self.line_ended(cr);
        self.soft = self.line_ends == LineEnds::Crlf && !cr;
        self.at = match begun {
            [] => At::Start,
            _ => At::Inside { after_cr: false },
        };
    }

    /// What a dot alone on a line comes to.
    fn dot_line(&self, cr: bool) -> At {
        let perhaps = At::Perhaps { cr, status: None };
        match self.line_ends {
            // A server that stuffs sends no lone dot at a line's start but the terminator's: one that ends
            // in bare LF is a sloppy terminator, if nothing follows.
            LineEnds::Crlf if !cr || self.soft => perhaps,
            LineEnds::Unsure if !(cr && self.fresh) => perhaps,
            _ => At::End,
        }
    }

    fn line_ended(&mut self, cr: bool) {
        self.fresh = false;
        if cr {
            self.line_ends = LineEnds::Crlf;
        }
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
            self.line_ended(has_cr);
            let ends = has_cr || self.line_ends != LineEnds::Crlf;
            // Only a dot at the start of the next line needs a closer look.
            match wire.get(from) {
                Some(b'.') | None => {
                    out.extend_from_slice(&wire[..from]);
                    self.at = At::Start;
                    self.soft = !ends;
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

/// A status line's beginning, one octet further.
fn status_goes_on(
    begun: Option<(&'static [u8], usize)>,
    byte: u8,
) -> Option<(&'static [u8], usize)> {
    let (whole, octets) = match begun {
        Some(begun) => begun,
        None => (*STATUSES.iter().find(|status| status[0] == byte)?, 0),
    };
    (whole[octets] == byte).then_some((whole, octets + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(line_ends: LineEnds, wire: &[u8], piece: usize) -> (String, bool, usize) {
        let mut decoder = Decoder::new(line_ends);
        let mut out = Vec::new();
        let mut used = 0;
        for piece in wire.chunks(piece) {
            let mut took = decoder.push(piece, &mut out);
            if took < piece.len() && !decoder.is_done() {
                took += decoder.push(&piece[took..], &mut out);
            }
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
        // Lines with CRLF are another sender's, whose lone dots are read as strictly as anybody's.
        check(
            AnyLf,
            b"a\r\nb\n.\nc\r\n.\r\n",
            r"a\r\nb\n.\nc\r\n",
            true,
            13,
        );
    }

    #[test]
    fn a_lf_before_any_crlf_ends_a_line_but_never_a_response() {
        use LineEnds::Unsure;
        check(Unsure, b".\r\n+OK", "", true, 3);
        check(Unsure, b"a\r\n..b\r\n.\r\n+", r"a\r\n.b\r\n", true, 11);
        check(Unsure, b"a\r\nb\n.\n.\r\n", r"a\r\nb\n.\n", false, 10);
        check(Unsure, b"a\n..b\n.\n", r"a\n.b\n", false, 8);
        check(Unsure, b"a\n.\n+OK\r\n", r"a\n.\n+OK\r\n", false, 9);
        check(
            Unsure,
            b"a\n.\r\n+OK\r\n.\r\n",
            r"a\n.\r\n+OK\r\n",
            true,
            13,
        );
        check(Unsure, b".\n", "", false, 2);
    }

    #[test]
    fn a_reply_behind_a_lone_dot_is_told_of() {
        for (wire, doubtful) in [
            (&b"a\r\n\r\nb\n.\r\n+OK 2\r\n"[..], true),
            (b"a\r\nb\r\n.\n-ERR no\r\n", true),
            (b"a\nb\n.\r\n+OK 2\r\n", true),
            (b"a\r\n.\n+O\r\n", false),
            (b"a\r\n.\n-ER-ERR\r\n", false),
            (b"a\r\n.\n\r\n+OK\r\n", false),
            (b"a\r\n.\r\n+OK\r\n", false),
        ] {
            for piece in [1, 2, 3, 5, 1000] {
                let mut decoder = Decoder::new(LineEnds::Unsure);
                let mut out = Vec::new();
                for piece in wire.chunks(piece) {
                    let used = decoder.push(piece, &mut out);
                    if !decoder.is_done() {
                        decoder.push(&piece[used..], &mut out);
                    }
                }
                assert_eq!(decoder.is_doubtful(), doubtful, "{}", wire.escape_ascii());
                // It is told of, and it is content.
                assert!(decoder.is_done() || out == wire);
            }
        }
    }

    #[test]
    fn a_dot_behind_a_bare_lf_may_end_what_has_crlf_too_but_softly() {
        let mut decoder = Decoder::new(LineEnds::Unsure);
        let mut out = Vec::new();
        decoder.push(b"a\r\n..b\n..c\n.\r\n", &mut out);
        assert!(decoder.may_be_done() && decoder.is_soft());
        decoder.settle();
        assert!(decoder.is_done());
        // Behind a bare LF no dot was stuffed, as far as one can know.
        assert_eq!(out, b"a\r\n.b\n..c\n");
    }

    #[test]
    fn what_may_be_the_end_is_made_so_by_whoever_knows() {
        let mut out = Vec::new();
        for wire in [&b"a\n.\n"[..], b"a\n.\r\n"] {
            let mut decoder = Decoder::new(LineEnds::Unsure);
            decoder.settle();
            assert_eq!(decoder.push(wire, &mut out), wire.len());
            assert!(decoder.may_be_done() && !decoder.is_done());
            decoder.settle();
            assert!(decoder.is_done());
        }
        assert_eq!(out, b"a\na\n");
    }
}
