//! Takes in the mail that people have: mbox files, Maildirs, single messages, folders and zips of them,
//! what Thunderbird and Apple Mail keep, what Google Takeout gives.
//!
//! What a path is, is found by looking at it. Every message goes in byte for byte; only what a program
//! has put around one is taken away: an mbox's From_ line and quotes ([`restante_store::mbox`]), the
//! fields that Google Takeout and Thunderbird write before the header, the property list behind a message
//! of Apple Mail's. What those say becomes marks: read, starred, archived, labels. A message that the
//! mailbox holds already is left out and its marks are merged, so that an import that was interrupted
//! is simply run again, and Takeout brings labels to what was fetched before.
//!
//! A message's received time is the date of its From_ line in an mbox, the time in its file's name
//! in a Maildir, else its file's time of modification. Of our own exports, the file of marks beside
//! ([`restante_store::marks`]) says both time and marks.
//!
//! Nothing is thrown away for a mark: what was in a trash elsewhere is taken in and labelled `trash`. Only
//! what Thunderbird has deleted already, and not yet cut out of its file, is left out, and counted.

mod annotations;
mod emlx;
mod labels;
mod limits;
mod look;
mod sink;
mod twins;
mod walk;
mod zipped;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use restante_store::marks::Marks;
use restante_store::mbox::Variant;
use restante_store::{MailStore, MailboxId, StoreError, UniqueId};

use sink::{Halt, Sink};
use walk::Walk;

/// How to import.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Store messages that the mailbox holds already once more.
    pub duplicates: bool,
    /// How mbox files are written.
    pub dialect: Variant,
    /// What the mailbox may hold, in octets as POP3 counts them; `None` = as much as there is.
    pub quota_octets: Option<u64>,
    /// Only say what would be taken in: nothing is stored, nothing marked.
    pub dry_run: bool,
}

/// A message that is in the mailbox now, and what its file says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The message.
    pub id: UniqueId,
    /// What is noted, to be added to what is known; never empty.
    pub marks: Marks,
}

/// Takes the marks.
pub trait Marker {
    /// Keeps marks of messages that are durable by now. Told again for a message that is met again.
    ///
    /// # Errors
    /// Why they cannot be kept; the import ends, and brings them once more when it is run again.
    fn mark(&mut self, marked: &[Marked]) -> Result<(), String>;
}

/// Lets all marks go.
impl Marker for () {
    fn mark(&mut self, _: &[Marked]) -> Result<(), String> {
        Ok(())
    }
}

/// How far an import is; told after each message.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Messages read so far, those left out too.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
    /// The file being read.
    pub path: &'a Path,
}

/// What an import did.
#[derive(Debug, Default)]
pub struct Summary {
    /// Messages stored, durably; with [`Options::dry_run`] those that would be.
    pub imported: u64,
    /// Messages left out since the mailbox, or what was imported before, has the same bytes.
    pub already_there: u64,
    /// Octets of all these.
    pub octets: u64,
    /// Files that could not be taken in, or not to their end, and why. The rest was.
    pub failed: Vec<(PathBuf, SourceError)>,
    /// mbox files that did not begin with a From_ line; what stood before it was taken in as a message.
    pub headless: Vec<PathBuf>,
    /// Messages left out that Thunderbird had deleted and not yet cut out of its file.
    pub expunged: u64,
    /// Messages of Apple Mail's taken in without their attachments, which it keeps elsewhere.
    pub partial: Vec<PathBuf>,
    /// Messages, new or there already, of which something was noted.
    pub marked: u64,
}

/// Why one file, or a folder's listing, was set aside.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// It could not be read, or not to its end.
    Io(io::Error),
    /// It begins neither with a From_ line nor with a header that has a usual field, or any if it is named
    /// `.eml`.
    NoMail,
    /// It is a message without an octet.
    Empty,
    /// It is a link to a folder: those are not followed, for they may lead in a circle.
    LinkedFolder,
    /// It is a link to a file outside of what is imported.
    LinkedAway,
    /// It is a socket, a pipe or a device.
    NoFile,
    /// It stands too deep in folders.
    TooDeep,
    /// A file in a zip that a password protects.
    Encrypted,
    /// A zip in a zip, or a zip that is not a file.
    NestedZip,
    /// A zip, or a file in it, that grows out of all proportion.
    ZipBomb,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io(error) => return error.fmt(f),
            Self::NoMail => {
                "it does not look like mail: neither a From_ line nor a header (From, Subject, Date, …) at its beginning"
            }
            Self::Empty => "the file is empty",
            Self::LinkedFolder => "links to folders are not followed: import that folder by its path",
            Self::LinkedAway => {
                "it links to a file outside of what is imported: import that file by its path"
            }
            Self::NoFile => "it is neither a file nor a folder",
            Self::TooDeep => "it stands too deep in folders: import it by its path",
            Self::Encrypted => "a password protects it: unpack it and import what was in it",
            Self::NestedZip => "it is a zip that cannot be read where it is: unpack it and import what was in it",
            Self::ZipBomb => {
                "it grows to many times its size, which mail does not: unpack it yourself if you trust it"
            }
        })
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Why an import stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportError {
    /// The path given cannot be looked at.
    Source(io::Error),
    /// The store failed. What it took before is kept.
    Store {
        /// What it said.
        error: StoreError,
        /// Messages stored before, durably.
        imported: u64,
    },
    /// The marks cannot be kept. The messages that were stored before are.
    Marks {
        /// What is said of it.
        error: String,
        /// Messages stored before, durably.
        imported: u64,
    },
    /// The next message would not fit into the mailbox. What was taken before is kept.
    OverQuota {
        /// Messages stored before, durably.
        imported: u64,
    },
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Store { error, imported } => write!(
                f,
                "{error}; {imported} messages were stored before that and will be left out when it is run again"
            ),
            Self::Marks { error, imported } => write!(
                f,
                "cannot keep labels and marks: {error}; {imported} messages were stored before that, run it again for the rest"
            ),
            Self::OverQuota { imported } => write!(
                f,
                "the mailbox's quota is used up; {imported} messages were stored before that and will be left out when it is run again"
            ),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Source(error) => Some(error),
            Self::Store { error, .. } => Some(error),
            Self::Marks { .. } | Self::OverQuota { .. } => None,
        }
    }
}

/// Imports what `path` holds into a mailbox: a file with one message, an mbox file, a zip, a Maildir with
/// its folders, a profile of Thunderbird's, a folder of such files and folders (in the order of their
/// names, numbers as numbers; hidden ones are passed over), or with `-` the standard input. Blocks
/// until all is durable.
///
/// # Errors
/// See [`ImportError`]. A file that cannot be read is no error but in [`Summary::failed`].
pub fn import(
    store: &dyn MailStore,
    mailbox: MailboxId,
    path: &Path,
    options: &Options,
    marker: &mut dyn Marker,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, ImportError> {
    if path == Path::new("-") {
        let sink = Sink::new(store, mailbox, options, marker, progress);
        return import_stream(sink, &mut io::stdin().lock(), path, options);
    }
    std::fs::metadata(path).map_err(ImportError::Source)?;
    let sink = Sink::new(store, mailbox, options, marker, progress);
    run(sink, options, |walk| walk.path(path))
}

/// Imports one message or an mbox from a stream that is read once; `name` stands for it in progress
/// and summary. What has no date of its own counts as received now.
///
/// # Errors
/// As [`import`].
pub fn import_from(
    store: &dyn MailStore,
    mailbox: MailboxId,
    stream: &mut dyn Read,
    name: &Path,
    options: &Options,
) -> Result<Summary, ImportError> {
    let (mut marker, mut progress) = ((), |_: Progress<'_>| ());
    let sink = Sink::new(store, mailbox, options, &mut marker, &mut progress);
    import_stream(sink, stream, name, options)
}

fn import_stream(
    sink: Sink<'_>,
    stream: &mut dyn Read,
    name: &Path,
    options: &Options,
) -> Result<Summary, ImportError> {
    run(sink, options, |walk| {
        walk.stream(stream, name, unix_ms(SystemTime::now()))
    })
}

fn run(
    sink: Sink<'_>,
    options: &Options,
    read: impl FnOnce(&mut Walk<'_>) -> Result<(), Halt>,
) -> Result<Summary, ImportError> {
    let mut walk = Walk::new(sink, options.dialect);
    let learned = walk.sink.learn().map_err(Halt::Store);
    let mut outcome = learned.and_then(|()| read(&mut walk));
    if matches!(outcome, Ok(()) | Err(Halt::OverQuota)) {
        // What fitted is kept.
        outcome = walk.sink.flush().and(outcome);
    }
    let summary = walk.sink.into_summary();
    let imported = summary.imported;
    match outcome {
        Ok(()) => Ok(summary),
        Err(Halt::Store(error)) => Err(ImportError::Store { error, imported }),
        Err(Halt::Marks(error)) => Err(ImportError::Marks { error, imported }),
        Err(Halt::OverQuota) => Err(ImportError::OverQuota { imported }),
    }
}

/// Milliseconds since 1970; 0 for what is before.
fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
