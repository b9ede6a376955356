//! Reads an mbox of any size and dialect through a small window.

use std::io::{self, Read};

use memchr::{memchr, memmem};

use super::{FromLine, Unquoter};
use crate::limits::{MBOX_FROM_LINE_OCTETS, MBOX_LOOK_OCTETS, MBOX_WINDOW_OCTETS};

/// A piece handed out, and what the window holds beside what must be seen ahead.
const PIECE: usize = 64 * 1024;

/// How much of a line is looked at for the name of a header field.
const FIELD_NAME_OCTETS: usize = MBOX_LOOK_OCTETS - MBOX_FROM_LINE_OCTETS - 2;

/// How a file writes its messages; the table is in [`crate::mbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// Looks: when the first message has a true `Content-Length`, each such field that is true is
    /// followed and those messages are taken as they stand (mboxcl2); all others are read as
    /// mboxrd, which reads mboxo right too but for lines that had a `>` of their own.
    #[default]
    Detect,
    /// `>From ` loses its `>`.
    Mboxo,
    /// `>+From ` loses one `>`.
    Mboxrd,
    /// `Content-Length` is followed where it is true; `>From ` loses its `>`.
    Mboxcl,
    /// `Content-Length` is followed where it is true; nothing is taken away.
    Mboxcl2,
}

/// What stands before a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The From_ line without its line end. `None` for what stands before a file's first From_
    /// line: that is no message anybody wrote as one, but it is not thrown away.
    pub from_line: Option<Vec<u8>>,
    /// The From_ line's date, in milliseconds since 1970.
    pub unix_ms: Option<u64>,
    /// Where in the file the From_ line begins, in octets.
    pub offset: u64,
}

/// Reads octets at an offset of the file, at most as many as fit, and says how many: 0 at its end.
pub type LookAhead<'a> = Box<dyn FnMut(u64, &mut [u8]) -> io::Result<usize> + Send + 'a>;

/// Reads an mbox front to back. Memory stays below [`MBOX_WINDOW_OCTETS`] and a few KiB, whatever
/// the file holds.
///
/// Call [`next_message`](Self::next_message), then [`read_chunk`](Self::read_chunk) until it returns
/// 0, and so on. A line starts the next message when it begins with `From `, has a date
/// ([`FromLine::parse`]) and stands behind an empty line; that one empty line, LF or CRLF, belongs to
/// the file and not to the message. Only if the file's very first From_ line has no date, a header
/// field on the following line does instead of one.
///
/// A `Content-Length` is true when at its end comes the end of the file or a From_ line, with or
/// without an empty line before; one that is not is ignored, since any sender can write that field.
pub struct Reader<'a, R> {
    read: R,
    look: Option<LookAhead<'a>>,
    variant: Variant,
    window: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    at_end: bool,
    started: bool,
    dateless: bool,
    lengths: Option<bool>,
    message: Option<Message>,
}

/// Where in a message the reader stands.
struct Message {
    line_start: bool,
    header: bool,
    /// The value of `Content-Length`; `Some(None)` when there are two that differ.
    length: Option<Option<u64>>,
    /// A true `Content-Length`: octets still to come.
    exact_left: Option<u64>,
    unquoter: Option<Unquoter>,
}

impl<R> std::fmt::Debug for Reader<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("variant", &self.variant)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl<'a, R: Read> Reader<'a, R> {
    /// Starts at the beginning of a file. A `Content-Length` past the window cannot be looked after
    /// and is not followed.
    pub fn new(read: R, variant: Variant) -> Self {
        Self {
            read,
            look: None,
            variant,
            window: vec![0; PIECE + MBOX_LOOK_OCTETS],
            start: 0,
            end: 0,
            offset: 0,
            at_end: false,
            started: false,
            dateless: false,
            lengths: None,
            message: None,
        }
    }

    /// As [`new`](Self::new), for a file that can be read at any place: `look` gets the octets at an
    /// offset, without moving `read`.
    pub fn with_look_ahead(read: R, variant: Variant, look: LookAhead<'a>) -> Self {
        Self {
            look: Some(look),
            ..Self::new(read, variant)
        }
    }

    /// Goes to the next message, past what is left of the present one. `None` at the end.
    ///
    /// # Errors
    /// What `read` or `look` reports; the reader is then of no more use. Interrupted calls are taken
    /// up again.
    pub fn next_message(&mut self) -> io::Result<Option<Envelope>> {
        let mut rest = Vec::new();
        while self.read_chunk(&mut rest)? > 0 {
            rest.clear();
        }
        self.fill(MBOX_LOOK_OCTETS)?;
        if !self.started {
            while let Some(blank) = blank_line(self.ahead()) {
                self.skip(blank);
                self.fill(MBOX_LOOK_OCTETS)?;
            }
            self.started = true;
            let ahead = self.ahead();
            self.dateless = !is_from_line(ahead, false) && is_from_line(ahead, true);
        }
        if self.ahead().is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let mut envelope = Envelope {
            from_line: None,
            unix_ms: None,
            offset,
        };
        if is_from_line(self.ahead(), self.dateless) {
            let octets = line_octets(self.ahead());
            let line = &self.ahead()[..octets];
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            envelope.unix_ms = FromLine::parse(&line).map(|parsed| parsed.unix_ms);
            envelope.from_line = Some(line);
            self.skip(octets);
        }
        self.message = Some(Message {
            line_start: true,
            header: true,
            length: None,
            exact_left: None,
            unquoter: match (self.variant, self.lengths) {
                (Variant::Mboxcl2, _) | (Variant::Detect, Some(true)) => None,
                (Variant::Mboxo | Variant::Mboxcl, _) => Some(Unquoter::mboxo()),
                (Variant::Mboxrd | Variant::Detect, _) => Some(Unquoter::mboxrd()),
            },
        });
        if envelope.from_line.is_none()
            && let Some(message) = &mut self.message
        {
            message.header = false;
        }
        Ok(Some(envelope))
    }

    /// Appends the next octets of the message to `into`, at most some 64 KiB, and says how many; 0
    /// at its end.
    ///
    /// # Errors
    /// As [`next_message`](Self::next_message).
    pub fn read_chunk(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let before = into.len();
        while into.len() == before {
            self.fill(MBOX_LOOK_OCTETS)?;
            let Some(mut message) = self.message.take() else {
                return Ok(0);
            };
            let goes_on = match message.exact_left {
                Some(left) => self.exact(&mut message, left, into),
                None => self.lines(&mut message, into)?,
            };
            if goes_on {
                self.message = Some(message);
            } else if let Some(unquoter) = &mut message.unquoter {
                unquoter.finish(into);
            }
        }
        Ok(into.len() - before)
    }

    /// Hands out octets that a `Content-Length` counts; `false` at the end of them.
    fn exact(&mut self, message: &mut Message, left: u64, into: &mut Vec<u8>) -> bool {
        let octets = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let octets = octets.min(self.ahead().len());
        if octets == 0 {
            let blank = blank_line(self.ahead()).unwrap_or(0);
            self.skip(blank);
            return false;
        }
        self.hand_out(message, octets, into);
        message.exact_left = Some(left - octets as u64);
        true
    }

    /// Hands out lines up to the next message; `false` when it, or the end, is reached.
    fn lines(&mut self, message: &mut Message, into: &mut Vec<u8>) -> io::Result<bool> {
        let ahead = self.ahead();
        // From here on too little can be seen to tell a line from a From_ line.
        let known = match self.at_end {
            true => ahead.len(),
            false => ahead.len().saturating_sub(MBOX_LOOK_OCTETS - 1),
        };
        let (mut at, mut blank, mut body) = (0, None, false);
        while at < known.min(PIECE) {
            if message.line_start {
                let line = &ahead[at..];
                blank = blank_line(line).filter(|blank| {
                    let next = &line[*blank..];
                    next.is_empty() || is_from_line(next, self.dateless)
                });
                if blank.is_some() {
                    break;
                }
                if message.header {
                    body = blank_line(line).is_some();
                    message.header = !body;
                    note_length(line, &mut message.length);
                }
            }
            let piece = &ahead[at..ahead.len().min(at + PIECE)];
            let lf = memchr(b'\n', piece);
            message.line_start = lf.is_some();
            at += lf.map_or(piece.len(), |lf| lf + 1);
            if body {
                break;
            }
        }
        let ends = blank.is_some() || ahead.is_empty();
        self.hand_out(message, at, into);
        self.skip(blank.unwrap_or(0));
        if body {
            self.start_body(message, into)?;
        }
        Ok(!ends)
    }

    /// Decides, at the end of a header, whether `Content-Length` is followed.
    fn start_body(&mut self, message: &mut Message, into: &mut Vec<u8>) -> io::Result<()> {
        let follow = match self.variant {
            Variant::Mboxo | Variant::Mboxrd => false,
            Variant::Mboxcl | Variant::Mboxcl2 => true,
            Variant::Detect => self.lengths != Some(false),
        };
        let length = message.length.flatten().filter(|length| *length > 0);
        let mut is_true = false;
        if let (true, Some(length)) = (follow, length) {
            is_true = self.ends_at(length)?;
            message.exact_left = is_true.then_some(length);
        }
        if self.variant == Variant::Detect {
            self.lengths.get_or_insert(is_true);
            if let Some(unquoter) = &mut message.unquoter {
                unquoter.finish(into);
            }
            message.unquoter = (!is_true).then(Unquoter::mboxrd);
        }
        Ok(())
    }

    /// Whether a message can end `octets` (at least 1) from here.
    fn ends_at(&mut self, octets: u64) -> io::Result<bool> {
        let mut seen = [0; MBOX_LOOK_OCTETS];
        let got = self.look_at(octets - 1, &mut seen)?;
        let Some((&last, next)) = seen[..got].split_first() else {
            return Ok(false);
        };
        let is_end = |next: &[u8]| next.is_empty() || is_from_line(next, self.dateless);
        Ok(match blank_line(next) {
            Some(blank) => is_end(&next[blank..]),
            None => (last == b'\n' && is_end(next)) || next.is_empty(),
        })
    }

    /// Copies what is `ahead` octets from here, without going there; 0 when it is past the end or
    /// cannot be seen.
    fn look_at(&mut self, ahead: u64, into: &mut [u8]) -> io::Result<usize> {
        let needs = usize::try_from(ahead)
            .unwrap_or(usize::MAX)
            .saturating_add(into.len());
        if self.look.is_none() && needs <= MBOX_WINDOW_OCTETS {
            self.fill(needs)?;
        }
        if needs <= self.ahead().len() || self.at_end {
            let start = usize::try_from(ahead).unwrap_or(usize::MAX);
            let seen = self.ahead().get(start..).unwrap_or_default();
            let got = seen.len().min(into.len());
            into[..got].copy_from_slice(&seen[..got]);
            return Ok(got);
        }
        let Some(look) = &mut self.look else {
            return Ok(0);
        };
        let mut got = 0;
        while got < into.len() {
            match look(self.offset + ahead + got as u64, &mut into[got..]) {
                Ok(0) => break,
                Ok(octets) => got += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    fn hand_out(&mut self, message: &mut Message, octets: usize, into: &mut Vec<u8>) {
        let bytes = &self.window[self.start..self.start + octets];
        match &mut message.unquoter {
            Some(unquoter) => unquoter.push(bytes, into),
            None => into.extend_from_slice(bytes),
        }
        self.skip(octets);
    }

    fn ahead(&self) -> &[u8] {
        &self.window[self.start..self.end]
    }

    fn skip(&mut self, octets: usize) {
        self.start += octets;
        self.offset += octets as u64;
    }

    /// Reads until `octets` can be seen ahead, or the end.
    fn fill(&mut self, octets: usize) -> io::Result<()> {
        while self.end - self.start < octets && !self.at_end {
            if self.start > 0 && self.window.len() - self.start < octets.max(PIECE) {
                self.window.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.window.len() < octets {
                self.window.resize(octets, 0);
            }
            match self.read.read(&mut self.window[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(got) => self.end += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The length of an empty line's line end, if `bytes` begin with one.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

/// Octets of the first line with its LF.
fn line_octets(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |lf| lf + 1)
}

/// Whether `bytes` begin with a line that can stand before a message. Without a date it can when
/// `dateless` says so and a header field follows.
fn is_from_line(bytes: &[u8], dateless: bool) -> bool {
    if !bytes.starts_with(b"From ") {
        return false;
    }
    let octets = line_octets(bytes);
    if octets > MBOX_FROM_LINE_OCTETS {
        return false;
    }
    FromLine::parse(&bytes[..octets]).is_some() || dateless && is_field(&bytes[octets..])
}

/// See [`super::is_mbox`].
pub(super) fn starts_mbox(mut bytes: &[u8]) -> bool {
    while let Some(blank) = blank_line(bytes) {
        bytes = &bytes[blank..];
    }
    if is_from_line(bytes, true) {
        return true;
    }
    !is_field(bytes)
        && memmem::find_iter(bytes, b"\nFrom ").any(|at| {
            let (before, line) = bytes.split_at(at + 1);
            let is_after_blank = before.ends_with(b"\n\n") || before.ends_with(b"\n\r\n");
            let next = &line[line_octets(line)..];
            is_after_blank && is_from_line(line, false) && is_field(next)
        })
}

/// See [`super::is_field`].
pub(super) fn is_field(bytes: &[u8]) -> bool {
    let bytes = &bytes[..bytes.len().min(FIELD_NAME_OCTETS)];
    let name = bytes
        .iter()
        .take_while(|octet| octet.is_ascii_graphic() && **octet != b':')
        .count();
    let rest = bytes[name..].trim_ascii_start();
    // The space before the colon is RFC 5322 §4.5's obsolete syntax; a line end is not.
    name > 0 && rest.starts_with(b":") && !bytes[name..bytes.len() - rest.len()].contains(&b'\n')
}

/// Keeps the value if `line` is the field `Content-Length`.
fn note_length(line: &[u8], length: &mut Option<Option<u64>>) {
    const NAME: &[u8] = b"Content-Length:";
    let Some((name, _)) = line.split_at_checked(NAME.len()) else {
        return;
    };
    if !name.eq_ignore_ascii_case(NAME) {
        return;
    }
    let value = &line[NAME.len()..line_octets(line)];
    let value = std::str::from_utf8(value.trim_ascii())
        .ok()
        .filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    *length = match *length {
        Some(before) if before != value => Some(None),
        _ => Some(value),
    };
}

#[cfg(test)]
mod tests;
