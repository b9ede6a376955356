//! The `>` before lines that look like a From_ line, put and taken away over pieces of any size.
//!
//! `>*From ` is matched octet by octet. Which of several `>` is put or taken does not show, so that
//! neither direction has to keep a run of them: at most one `>` and a part of `From ` are held back.

use memchr::memchr;

const FROM: &[u8] = b"From ";

/// Where in a line the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only `>` so far: how many, counting no further than two.
    Marks(u8),
    /// That many `>` (as above), and so many octets of `From `, at least one, all held back.
    From(u8, u8),
    /// Past the point where the line could still be one of those.
    Inside,
}

/// Turns a message into the lines of an mboxrd entry: every line `>*From ` gets one more `>`.
///
/// Call [`push`](Self::push) for each piece, then [`finish`](Self::finish).
#[derive(Debug, Clone)]
pub struct Quoter {
    place: Place,
    lines: u64,
}

impl Default for Quoter {
    fn default() -> Self {
        Self::new()
    }
}

impl Quoter {
    /// Stands at the start of a message.
    pub const fn new() -> Self {
        Self {
            place: Place::Marks(0),
            lines: 0,
        }
    }

    /// How many lines have been quoted so far.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes the next octets of the message and appends quoted ones to `into`; up to four octets
    /// are held back until more is known.
    pub fn push(&mut self, mut bytes: &[u8], into: &mut Vec<u8>) {
        while let Some(&first) = bytes.first() {
            match self.place {
                Place::Inside => {
                    bytes = copy_line(&mut self.place, bytes, into);
                }
                Place::Marks(_) if first == b'>' => {
                    into.push(first);
                    bytes = &bytes[1..];
                }
                Place::Marks(marks) => self.place = after_marks(marks, first, &mut bytes),
                Place::From(marks, held) if first == FROM[usize::from(held)] => {
                    bytes = &bytes[1..];
                    if usize::from(held) + 1 == FROM.len() {
                        into.push(b'>');
                        into.extend_from_slice(FROM);
                        self.lines += 1;
                        self.place = Place::Inside;
                    } else {
                        self.place = Place::From(marks, held + 1);
                    }
                }
                Place::From(_, held) => {
                    into.extend_from_slice(&FROM[..usize::from(held)]);
                    self.place = Place::Inside;
                }
            }
        }
    }

    /// Ends the message: appends what was held back, and stands at the start of the next one.
    pub fn finish(&mut self, into: &mut Vec<u8>) {
        if let Place::From(_, held) = self.place {
            into.extend_from_slice(&FROM[..usize::from(held)]);
        }
        self.place = Place::Marks(0);
    }
}

/// Takes the quoting away again.
///
/// Call [`push`](Self::push) for each piece, then [`finish`](Self::finish).
#[derive(Debug, Clone)]
pub struct Unquoter {
    place: Place,
    only_one: bool,
}

impl Unquoter {
    /// As mboxrd has it: every line `>+From ` loses one `>`. The exact reverse of [`Quoter`].
    pub const fn mboxrd() -> Self {
        Self {
            place: Place::Marks(0),
            only_one: false,
        }
    }

    /// As mboxo has it: a line `>From ` becomes `From `, one with more `>` stays.
    pub const fn mboxo() -> Self {
        Self {
            place: Place::Marks(0),
            only_one: true,
        }
    }

    /// Takes the next octets of an entry and appends those of the message to `into`; up to five
    /// octets are held back until more is known.
    pub fn push(&mut self, mut bytes: &[u8], into: &mut Vec<u8>) {
        while let Some(&first) = bytes.first() {
            match self.place {
                Place::Inside => {
                    bytes = copy_line(&mut self.place, bytes, into);
                }
                Place::Marks(marks) if first == b'>' => {
                    bytes = &bytes[1..];
                    // The first one waits; those behind it take its place in the output.
                    if marks > 0 {
                        into.push(first);
                    }
                    self.place = Place::Marks((marks + 1).min(2));
                }
                Place::Marks(marks) => {
                    self.place = after_marks(marks, first, &mut bytes);
                    if marks > 0 && self.place == Place::Inside {
                        into.push(b'>');
                    }
                }
                Place::From(marks, held) if first == FROM[usize::from(held)] => {
                    bytes = &bytes[1..];
                    if usize::from(held) + 1 == FROM.len() {
                        if marks == 2 && self.only_one {
                            into.push(b'>');
                        }
                        into.extend_from_slice(FROM);
                        self.place = Place::Inside;
                    } else {
                        self.place = Place::From(marks, held + 1);
                    }
                }
                Place::From(..) => {
                    self.give_back(into);
                    self.place = Place::Inside;
                }
            }
        }
    }

    /// Ends the message: appends what was held back, and stands at the start of the next one.
    pub fn finish(&mut self, into: &mut Vec<u8>) {
        self.give_back(into);
        self.place = Place::Marks(0);
    }

    fn give_back(&self, into: &mut Vec<u8>) {
        let (marks, held) = match self.place {
            Place::Marks(marks) => (marks, 0),
            Place::From(marks, held) => (marks, held),
            Place::Inside => return,
        };
        if marks > 0 {
            into.push(b'>');
        }
        into.extend_from_slice(&FROM[..usize::from(held)]);
    }
}

/// Copies up to and with the next LF; returns what is behind it.
fn copy_line<'a>(place: &mut Place, bytes: &'a [u8], into: &mut Vec<u8>) -> &'a [u8] {
    // Whole lines that cannot match go out in one piece: a mail has few that begin with `>` or F.
    let mut end = 0;
    while let Some(at) = memchr(b'\n', &bytes[end..]) {
        end += at + 1;
        match bytes.get(end) {
            Some(b'>' | b'F') | None => {
                *place = Place::Marks(0);
                into.extend_from_slice(&bytes[..end]);
                return &bytes[end..];
            }
            Some(_) => {}
        }
    }
    into.extend_from_slice(bytes);
    &[]
}

/// Where a line stands whose first octet that is no `>` is `first`; takes it if it is held back.
fn after_marks(marks: u8, first: u8, bytes: &mut &[u8]) -> Place {
    if first == FROM[0] {
        *bytes = &bytes[1..];
        Place::From(marks, 1)
    } else {
        Place::Inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut quoter, mut into) = (Quoter::new(), Vec::new());
        for piece in pieces {
            quoter.push(piece, &mut into);
        }
        quoter.finish(&mut into);
        into
    }

    fn unquote(mut unquoter: Unquoter, pieces: &[&[u8]]) -> Vec<u8> {
        let mut into = Vec::new();
        for piece in pieces {
            unquoter.push(piece, &mut into);
        }
        unquoter.finish(&mut into);
        into
    }

    const CASES: &[(&[u8], &[u8])] = &[
        (b"", b""),
        (b"From ", b">From "),
        (b"From", b"From"),
        (b"From\n", b"From\n"),
        (b"Fro\nFrom a\n", b"Fro\n>From a\n"),
        (b">From a\r\n>>From b\r\n", b">>From a\r\n>>>From b\r\n"),
        (b"x From a\n\rFrom b\n", b"x From a\n\rFrom b\n"),
        (b"> From a\n>Fr\n>\n>>", b"> From a\n>Fr\n>\n>>"),
        (b"\n\nFrom \n\nF", b"\n\n>From \n\nF"),
        (b">>>>>x\nFFrom \nFrom:", b">>>>>x\nFFrom \nFrom:"),
    ];

    #[test]
    fn cases_at_every_split() {
        for (plain, quoted) in CASES {
            for at in 0..=plain.len() {
                let (a, b) = plain.split_at(at);
                assert_eq!(quote(&[a, b]), *quoted, "{}", plain.escape_ascii());
            }
            for at in 0..=quoted.len() {
                let (a, b) = quoted.split_at(at);
                assert_eq!(
                    unquote(Unquoter::mboxrd(), &[a, b]),
                    *plain,
                    "{}",
                    quoted.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn mboxo_takes_one_mark_from_one() {
        let entry = b">From a\n>>From b\nFrom c\n>>>From d\n>x\n>";
        let message = b"From a\n>>From b\nFrom c\n>>>From d\n>x\n>";
        for at in 0..=entry.len() {
            let (a, b) = entry.split_at(at);
            assert_eq!(unquote(Unquoter::mboxo(), &[a, b]), message);
        }
    }

    #[test]
    fn lines_are_counted() {
        let mut quoter = Quoter::new();
        quoter.push(b"From a\nx\n>From b\n", &mut Vec::new());
        assert_eq!(quoter.lines(), 2);
    }
}
