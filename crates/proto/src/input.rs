//! Lines out of bytes as they come. Holds no memory while no byte is pending.

use memchr::memchr;
use zeroize::Zeroize;

use crate::limits::SKIPPED_LINE_OCTETS;

/// What the pending bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken<'a> {
    /// A line, without its line end.
    Line(&'a [u8]),
    /// A line longer than the limit has ended; its content is gone.
    Overlong,
    /// A line longer than [`SKIPPED_LINE_OCTETS`]: not POP3.
    Flood,
    /// No line end yet.
    Partial,
}

/// Bytes received and not yet handled.
#[derive(Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    /// Octets after `start` that are known to hold no LF.
    scanned: usize,
    /// Octets of an overlong line that were dropped; 0 = not within one.
    skipped: usize,
}

impl Input {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether no byte is pending, be it of a command that is not complete.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.bytes.len() && self.skipped == 0
    }

    /// The next line, at most `limit` octets long with its line end. A line ends with CRLF; a bare LF
    /// is accepted too, as people type one and no command can contain it.
    pub(crate) fn take_line(&mut self, limit: usize) -> Taken<'_> {
        let rest = &self.bytes[self.start..];
        let Some(found) = memchr(b'\n', &rest[self.scanned..]) else {
            return self.keep_partial(limit);
        };
        let end = self.scanned + found + 1;
        let whole = self.skipped + end;
        let from = self.start;
        self.start += end;
        self.scanned = 0;
        self.skipped = 0;
        if whole > SKIPPED_LINE_OCTETS {
            Taken::Flood
        } else if whole > limit {
            Taken::Overlong
        } else {
            let line = &self.bytes[from..from + end - 1];
            Taken::Line(line.strip_suffix(b"\r").unwrap_or(line))
        }
    }

    fn keep_partial(&mut self, limit: usize) -> Taken<'_> {
        let rest = self.bytes.len() - self.start;
        if self.skipped > 0 || rest >= limit {
            self.skipped += rest;
            self.clear();
        } else if self.start > 0 {
            // What is left is short; what was a batch of commands goes.
            self.bytes = self.bytes[self.start..].to_vec();
            self.start = 0;
            self.scanned = rest;
        } else {
            self.scanned = rest;
        }
        if self.skipped > SKIPPED_LINE_OCTETS {
            Taken::Flood
        } else {
            Taken::Partial
        }
    }

    /// Overwrites the lines that were taken: they may have held a password.
    pub(crate) fn wipe_taken(&mut self) {
        self.bytes[..self.start].zeroize();
    }

    /// Forgets all pending bytes.
    pub(crate) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.start = 0;
        self.scanned = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]], limit: usize) -> Vec<String> {
        let mut input = Input::default();
        let mut seen = Vec::new();
        for piece in pieces {
            input.feed(piece);
            loop {
                match input.take_line(limit) {
                    Taken::Line(line) => seen.push(String::from_utf8_lossy(line).into_owned()),
                    Taken::Overlong => seen.push("(overlong)".into()),
                    Taken::Flood => {
                        seen.push("(flood)".into());
                        return seen;
                    }
                    Taken::Partial => break,
                }
            }
        }
        seen
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let bytes = b"12345678\r\n123456789\r\nab\ncd\r\r\n\r\n\n";
        let want = ["12345678", "(overlong)", "ab", "cd\r", "", ""];
        assert_eq!(lines(&[bytes], 10), want);
        for cut in 0..bytes.len() {
            assert_eq!(lines(&[&bytes[..cut], &bytes[cut..]], 10), want, "{cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(lines(&single, 10), want);
    }

    #[test]
    fn nothing_is_held_without_pending_bytes() {
        let mut input = Input::default();
        input.feed(&b"NOOP\r\n".repeat(1000));
        while let Taken::Line(_) = input.take_line(255) {}
        assert_eq!(input.bytes.capacity(), 0);
        input.feed(&[b'x'; 10_000]);
        assert_eq!(input.take_line(255), Taken::Partial);
        assert_eq!(input.bytes.capacity(), 0);
        assert!(!input.is_empty(), "the line has not ended");
    }

    #[test]
    fn endless_lines_are_a_flood() {
        let big = vec![b'x'; SKIPPED_LINE_OCTETS];
        assert_eq!(lines(&[&big, b"x"], 255), ["(flood)"]);
        let mut ended = big.clone();
        ended.push(b'\n');
        assert_eq!(lines(&[&ended], 255), ["(flood)"]);
    }

    #[test]
    fn taken_lines_are_wiped() {
        let mut input = Input::default();
        input.feed(b"PASS secret\r\nNO");
        assert_eq!(input.take_line(255), Taken::Line(b"PASS secret"));
        input.wipe_taken();
        assert_eq!(&input.bytes[..13], &[0; 13]);
        assert_eq!(&input.bytes[13..], b"NO");
    }
}
