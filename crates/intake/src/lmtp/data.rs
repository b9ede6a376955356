//! The message as it crosses the wire (RFC 5321 §4.5.2).
//!
//! The end is exactly CRLF.CRLF. A lone LF or CR ends no line: `LF.LF`, `LF.CRLF`, `CR.CR` and their
//! like are a part of the message. A server that takes them for its end lets one message smuggle
//! another past the MTA in front.

use memchr::memmem;

/// Takes the dots off, and finds the end. Feed it from the first octet after `354` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unstuffer {
    /// After a CRLF; also at the start, since DATA's own CRLF stands before it.
    LineStart,
    /// After a dot at the start of a line; not handed on.
    Dot,
    /// After that dot and a CR; neither handed on.
    DotCr,
    /// Within a line, after a CR that was handed on.
    Cr,
    /// Within a line.
    Text,
    /// After the end.
    End,
}

impl Unstuffer {
    /// Hands the message's octets to `emit`, in order. Returns how much of `bytes` belongs to the
    /// message with its end; less than all only once the end has come.
    pub(super) fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) -> usize {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match *self {
                Self::End => break,
                Self::LineStart if byte == b'.' => {
                    *self = Self::Dot;
                    at += 1;
                }
                Self::Dot if byte == b'\r' => {
                    *self = Self::DotCr;
                    at += 1;
                }
                Self::DotCr if byte == b'\n' => {
                    *self = Self::End;
                    at += 1;
                }
                Self::DotCr => {
                    emit(b"\r");
                    *self = Self::Cr;
                }
                Self::Cr if byte == b'\n' => {
                    emit(b"\n");
                    *self = Self::LineStart;
                    at += 1;
                }
                Self::LineStart | Self::Dot | Self::Cr => *self = Self::Text,
                Self::Text => at += self.text(&bytes[at..], &mut emit),
            }
        }
        at
    }

    /// Hands on all up to a line that starts with a dot.
    fn text(&mut self, rest: &[u8], emit: &mut impl FnMut(&[u8])) -> usize {
        let taken = match memmem::find(rest, b"\r\n.") {
            Some(found) => {
                *self = Self::LineStart;
                found + 2
            }
            None => {
                *self = if rest.ends_with(b"\r\n") {
                    Self::LineStart
                } else if rest.ends_with(b"\r") {
                    Self::Cr
                } else {
                    Self::Text
                };
                rest.len()
            }
        };
        emit(&rest[..taken]);
        taken
    }

    /// Whether the end has come.
    pub(super) fn is_done(self) -> bool {
        self == Self::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each at every split into two, and octet by octet.
    fn check(wire: &[u8], message: &[u8], rest: Option<&[u8]>) {
        let splits = (0..=wire.len()).map(|at| vec![&wire[..at], &wire[at..]]);
        for pieces in splits.chain([wire.chunks(1).collect()]) {
            let mut state = Unstuffer::LineStart;
            let (mut got, mut left) = (Vec::new(), Vec::new());
            for piece in pieces {
                let taken = state.feed(piece, |bytes| got.extend_from_slice(bytes));
                left.extend_from_slice(&piece[taken..]);
            }
            let text = String::from_utf8_lossy(wire);
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(message),
                "{text:?}"
            );
            assert_eq!(state.is_done().then_some(&left[..]), rest, "{text:?}");
        }
    }

    #[test]
    fn dots_are_taken_off_and_the_end_is_found() {
        check(b".\r\n", b"", Some(b""));
        check(b".\r\nQUIT\r\n", b"", Some(b"QUIT\r\n"));
        check(b"a\r\n.\r\nRSET\r\n", b"a\r\n", Some(b"RSET\r\n"));
        check(b"..\r\n.\r\n", b".\r\n", Some(b""));
        check(b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n", Some(b""));
        // RFC 5321 §4.5.2: a dot before other characters is deleted, doubled or not.
        check(b".a\r\n.\r\n", b"a\r\n", Some(b""));
        check(b"a.\r\n.b.\r\n.\r\n", b"a.\r\nb.\r\n", Some(b""));
        check(b"no end", b"no end", None);
        check(b"no end\r\n.\r", b"no end\r\n", None);
    }

    #[test]
    fn nothing_else_is_the_end() {
        for line in [
            &b"a\n.\nb"[..],
            b"a\n.\r\nb",
            b"a\r.\rb",
            b"a\r.\r\nb",
            b"a\n\n.\n\nb",
            b"a\r\r.\r\rb",
            b"a\0\n.\n",
            b"\n.\r\n",
        ] {
            let wire = [line, b"\r\n.\r\n"].concat();
            check(&wire, &[line, b"\r\n"].concat(), Some(b""));
        }
        // After CRLF the dot is transport's, the lone CR or LF is the message's.
        check(b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", Some(b""));
        check(b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", Some(b""));
        check(b"a\r\n.\r\r\nb\r\n.\r\n", b"a\r\n\r\r\nb\r\n", Some(b""));
        check(b"a\r\r\n.\r\n", b"a\r\r\n", Some(b""));
    }

    /// RFC 5321 §4.5.2, read the other way round.
    #[test]
    fn what_a_client_stuffs_comes_out() {
        let mut seed = 1_u64;
        for _ in 0..2_000 {
            let mut message = Vec::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                message.push(b"\r\n.a"[(seed >> 33) as usize % 4]);
            }
            message.extend_from_slice(b"\r\n");
            let mut wire = Vec::new();
            for (at, &byte) in message.iter().enumerate() {
                if byte == b'.' && (at == 0 || message[..at].ends_with(b"\r\n")) {
                    wire.push(b'.');
                }
                wire.push(byte);
            }
            wire.extend_from_slice(b".\r\n");
            check(&wire, &message, Some(b""));
        }
    }
}
