//! What people noted of a message, and the file beside an export that carries it.
//!
//! An mbox, a Maildir or a folder of messages has no place, or no exact one, for read, starred, labels
//! and the time of receipt. Our exports therefore have a file beside them, one JSON object a line: a
//! first line that says what the file is, then a line for each message, and in the end, for an mbox,
//! how long that is. A message is known again by its digest, whatever its file is called.
//!
//! ```text
//! {"restante":"marks","version":1}
//! {"digest":"<BLAKE3, 64 hex digits>","id":"…","received_ms":1310126914000,"read":true,"labels":["rust"]}
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::limits::{MARKS_LINE_OCTETS, MARKS_MESSAGES};

/// What the file is called in a folder or a zip, and what its name ends in beside an mbox.
pub const FILE_NAME: &str = "restante-marks.jsonl";

/// What people noted of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Read; `None` when nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<bool>,
    /// Starred, flagged.
    #[serde(default, skip_serializing_if = "is_false")]
    pub starred: bool,
    /// Out of the inbox.
    #[serde(default, skip_serializing_if = "is_false")]
    pub archived: bool,
    /// Junk or not, where somebody has said so: it then counts whatever a header says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub junk: Option<bool>,
    /// Labels, as shown.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// What another program calls the thread that it puts the message into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

impl Marks {
    /// Whether nothing is noted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` knows: read and starred stay, as does what was said of junk; labels come together.
    pub fn merge(&mut self, other: Self) {
        self.read = match (self.read, other.read) {
            (Some(a), Some(b)) => Some(a || b),
            (a, b) => a.or(b),
        };
        self.starred |= other.starred;
        self.archived |= other.archived;
        self.junk = self.junk.or(other.junk);
        self.labels.extend(other.labels);
        self.thread = self.thread.take().or(other.thread);
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes by reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// A message's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// BLAKE3 of the exact bytes, as 64 hex digits.
    pub digest: String,
    /// The unique-id in the store that it was exported from.
    pub id: String,
    /// Received, in milliseconds since 1970.
    pub received_ms: u64,
    /// In an mbox: where its From_ line begins, in octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// In an mbox: the LF at the message's end is not its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub line_end_added: bool,
    /// What people noted.
    #[serde(flatten)]
    pub marks: Marks,
}

#[derive(Serialize, Deserialize)]
struct Head {
    restante: String,
    version: u32,
}

/// How far the export was durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How long the mbox beside was; 0 beside other forms.
    pub octets: u64,
    /// More was to come: what is behind may be half a message.
    #[serde(default, skip_serializing_if = "is_false")]
    pub goes_on: bool,
}

const VERSION: u32 = 1;

/// Where the file that belongs to the mbox `path` is.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(FILE_NAME);
    PathBuf::from(name)
}

/// Writes the first line.
///
/// # Errors
/// What `out` reports.
pub fn write_head(out: &mut dyn Write) -> io::Result<()> {
    let head = Head {
        restante: "marks".to_owned(),
        version: VERSION,
    };
    write_json(out, &head)
}

/// Writes a message's line.
///
/// # Errors
/// What `out` reports.
pub fn write_line(out: &mut dyn Write, line: &Line) -> io::Result<()> {
    write_json(out, line)
}

/// Writes how far the export is durable.
///
/// # Errors
/// What `out` reports.
pub fn write_end(out: &mut dyn Write, end: End) -> io::Result<()> {
    write_json(out, &end)
}

fn write_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    out.write_all(&text)
}

/// A digest as the file has it.
pub fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A digest from what the file has; `None` when it is none.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, octet) in digest.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

/// One thing that the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Of a message.
    Message(Box<Line>),
    /// What stands before is durable.
    End(End),
}

/// Reads the file line by line.
#[derive(Debug)]
pub struct Lines<R> {
    read: R,
    line: Vec<u8>,
    count: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// It is no such file, or of a later version, or cannot be read.
    pub fn new(read: R) -> io::Result<Self> {
        let mut lines = Self {
            read,
            line: Vec::new(),
            count: 0,
        };
        if !lines.next_line()? {
            return Err(invalid("the file is empty"));
        }
        let head: Head = serde_json::from_slice(&lines.line)
            .map_err(|_| invalid("it does not begin as a file of marks does"))?;
        if head.restante != "marks" {
            return Err(invalid("it is no file of marks"));
        }
        if head.version > VERSION {
            return Err(invalid(
                "a later version of restante wrote it: use that one",
            ));
        }
        Ok(lines)
    }

    /// The next thing said; `None` at the end, where a last line without its line end, as a crash
    /// leaves one, is no line.
    ///
    /// # Errors
    /// A line is wrong or too long, there are too many, or the file cannot be read.
    pub fn next_said(&mut self) -> io::Result<Option<Said>> {
        if !self.next_line()? {
            return Ok(None);
        }
        if let Ok(line) = serde_json::from_slice::<Line>(&self.line) {
            self.count += 1;
            if self.count > MARKS_MESSAGES {
                return Err(invalid("it names more messages than can be remembered"));
            }
            return Ok(Some(Said::Message(Box::new(line))));
        }
        match serde_json::from_slice::<End>(&self.line) {
            Ok(end) => Ok(Some(Said::End(end))),
            Err(error) => Err(invalid(&format!("a line of it is wrong: {error}"))),
        }
    }

    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        (&mut self.read)
            .take(MARKS_LINE_OCTETS)
            .read_until(b'\n', &mut self.line)?;
        if self.line.last() == Some(&b'\n') {
            return Ok(true);
        }
        if self.line.len() as u64 >= MARKS_LINE_OCTETS {
            return Err(invalid("a line of it is too long"));
        }
        Ok(false)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A whole file, as an import needs it: some 150 octets a message.
#[derive(Debug, Default)]
pub struct Book {
    messages: HashMap<[u8; 16], Noted>,
    line_end_added: HashSet<u64>,
}

/// What a [`Book`] says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Received, in milliseconds since 1970.
    pub received_ms: u64,
    /// What people noted.
    pub marks: Marks,
}

impl Book {
    /// Reads a file.
    ///
    /// # Errors
    /// As [`Lines`].
    pub fn read(read: impl BufRead) -> io::Result<Self> {
        let mut lines = Lines::new(read)?;
        let mut book = Self::default();
        while let Some(said) = lines.next_said()? {
            let Said::Message(line) = said else { continue };
            let Some(digest) = unhex(&line.digest) else {
                return Err(invalid("a digest in it is none"));
            };
            if let (true, Some(offset)) = (line.line_end_added, line.offset) {
                book.line_end_added.insert(offset);
            }
            let noted = Noted {
                received_ms: line.received_ms,
                marks: line.marks,
            };
            book.messages
                .entry(short(&digest))
                .and_modify(|known| known.marks.merge(noted.marks.clone()))
                .or_insert(noted);
        }
        Ok(book)
    }

    /// What it says of the message with this digest.
    pub fn noted(&self, digest: &[u8; 32]) -> Option<&Noted> {
        self.messages.get(&short(digest))
    }

    /// Whether the LF at the end of the message whose From_ line begins at `offset` is not its own.
    pub fn line_end_added(&self, offset: u64) -> bool {
        self.line_end_added.contains(&offset)
    }
}

/// Enough to know a message again.
fn short(digest: &[u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u8, labels: &[&str]) -> Line {
        Line {
            digest: hex(&[at; 32]),
            id: "x".to_owned(),
            received_ms: u64::from(at),
            offset: Some(u64::from(at)),
            line_end_added: at == 2,
            marks: Marks {
                read: Some(at == 1),
                junk: (at == 1).then_some(false),
                labels: labels.iter().map(|label| (*label).to_owned()).collect(),
                ..Marks::default()
            },
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut file = Vec::new();
        write_head(&mut file).unwrap();
        write_line(&mut file, &line(1, &["a", "ä b"])).unwrap();
        write_line(&mut file, &line(2, &[])).unwrap();
        let end = End {
            octets: 77,
            goes_on: true,
        };
        write_end(&mut file, end).unwrap();
        let mut lines = Lines::new(&file[..]).unwrap();
        let said = Said::Message(Box::new(line(1, &["ä b", "a"])));
        assert_eq!(lines.next_said().unwrap(), Some(said));
        lines.next_said().unwrap();
        assert_eq!(lines.next_said().unwrap(), Some(Said::End(end)));
        assert_eq!(lines.next_said().unwrap(), None);
        let book = Book::read(&file[..]).unwrap();
        assert_eq!(
            book.noted(&[1; 32]).unwrap().marks,
            line(1, &["a", "ä b"]).marks
        );
        assert_eq!(book.noted(&[2; 32]).unwrap().received_ms, 2);
        assert!(book.noted(&[3; 32]).is_none());
        assert!(book.line_end_added(2) && !book.line_end_added(1));
    }

    #[test]
    fn what_a_crash_or_a_stranger_leaves_is_told() {
        let mut file = Vec::new();
        write_head(&mut file).unwrap();
        write_line(&mut file, &line(1, &[])).unwrap();
        let whole = file.len();
        write_line(&mut file, &line(2, &[])).unwrap();
        for cut in whole..file.len() {
            let mut lines = Lines::new(&file[..cut]).unwrap();
            assert!(lines.next_said().unwrap().is_some());
            assert_eq!(lines.next_said().unwrap(), None, "{cut}");
        }
        let later = br#"{"restante":"marks","version":2}"#;
        for (bytes, says) in [
            (&b""[..], "empty"),
            (b"{}\n", "does not begin"),
            (
                b"{\"restante\":\"mail\",\"version\":1}\n",
                "no file of marks",
            ),
            (&[&later[..], b"\n"].concat(), "later version"),
        ] {
            let error = Book::read(bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        file.truncate(whole);
        file.extend_from_slice(b"{\"digest\":7}\n");
        assert!(Book::read(&file[..]).is_err());
        file.truncate(whole);
        file.resize(whole + 2_000_000, b' ');
        let error = Book::read(&file[..]).unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
    }

    #[test]
    fn marks_come_together() {
        let mut marks = line(1, &["a"]).marks;
        marks.merge(Marks {
            read: Some(false),
            starred: true,
            labels: BTreeSet::from(["b".to_owned()]),
            ..Marks::default()
        });
        assert_eq!(marks.read, Some(true));
        assert!(marks.starred && !marks.archived);
        assert_eq!(marks.junk, Some(false));
        assert_eq!(marks.labels.len(), 2);
    }
}
