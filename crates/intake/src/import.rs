//! Takes in the mail that people have: mbox files, Maildir folders, folders of single messages.
//!
//! What a path is, is found by looking at it. Every message goes in byte for byte; only what an mbox
//! puts around one is taken away ([`restante_store::mbox`] says what that is in each dialect). A
//! message that the mailbox holds already is left out, so that an import that was interrupted is
//! simply run again.
//!
//! A message's received time is the date of its From_ line in an mbox, the time in its file's name
//! in a Maildir, else its file's time of modification. Flags and folders of a Maildir have no
//! counterpart here: every message of `cur` and `new` is taken, those to be deleted too, and
//! Maildir++ folders beside them are named in the summary but not entered.

mod limits;
mod look;
mod sink;
mod walk;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use restante_store::mbox::Variant;
use restante_store::{MailStore, MailboxId, StoreError};

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
    /// Messages stored, durably.
    pub imported: u64,
    /// Messages left out since the mailbox, or what was imported before, has the same bytes.
    pub already_there: u64,
    /// Octets of all these.
    pub octets: u64,
    /// Files that could not be taken in, or not to their end, and why. The rest was.
    pub failed: Vec<(PathBuf, SourceError)>,
    /// mbox files that did not begin with a From_ line; what stood before it was taken in as a message.
    pub headless: Vec<PathBuf>,
    /// Maildir++ folders that were seen and not entered; each can be imported by its own path.
    pub subfolders: Vec<PathBuf>,
}

/// Why one file, or a folder's listing, was set aside.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceError {
    /// It could not be read, or not to its end.
    Io(io::Error),
    /// It begins neither with a From_ line nor with a header that has a usual field, and is not named
    /// `.eml`.
    NoMail,
    /// It is a message without an octet.
    Empty,
    /// It is a link to a folder: those are not followed, for they may lead in a circle.
    LinkedFolder,
    /// It is a socket, a pipe or a device.
    NoFile,
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
            Self::NoFile => "it is neither a file nor a folder",
        })
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::NoMail | Self::Empty | Self::LinkedFolder | Self::NoFile => None,
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
            Self::OverQuota { .. } => None,
        }
    }
}

/// Imports what `path` holds into a mailbox: a file with one message, an mbox file, a Maildir, a
/// folder of such files and folders (in the order of their names, numbers as numbers; hidden ones
/// are passed over), or with `-` the standard input. Blocks until all is durable.
///
/// # Errors
/// See [`ImportError`]. A file that cannot be read is no error but in [`Summary::failed`].
pub fn import(
    store: &dyn MailStore,
    mailbox: MailboxId,
    path: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, ImportError> {
    if path == Path::new("-") {
        return import_stream(
            store,
            mailbox,
            &mut io::stdin().lock(),
            path,
            options,
            progress,
        );
    }
    std::fs::metadata(path).map_err(ImportError::Source)?;
    run(store, mailbox, options, progress, |walk| walk.path(path))
}

/// Imports one message or an mbox from a stream that is read once; `name` stands for it in progress
/// and summary. What has no date of its own counts as received now.
///
/// # Errors
/// As [`import`].
pub fn import_stream(
    store: &dyn MailStore,
    mailbox: MailboxId,
    stream: &mut dyn Read,
    name: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, ImportError> {
    run(store, mailbox, options, progress, |walk| {
        walk.stream(stream, name, unix_ms(SystemTime::now()))
    })
}

fn run(
    store: &dyn MailStore,
    mailbox: MailboxId,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
    read: impl FnOnce(&mut Walk<'_>) -> Result<(), Halt>,
) -> Result<Summary, ImportError> {
    let sink = Sink::new(store, mailbox, options, progress);
    let mut walk = Walk::new(sink, options.dialect);
    let learned = walk.sink.learn().map_err(Halt::Store);
    let mut outcome = learned.and_then(|()| read(&mut walk));
    if matches!(outcome, Ok(()) | Err(Halt::OverQuota)) {
        // What fitted is kept.
        outcome = walk.sink.flush().map_err(Halt::Store).and(outcome);
    }
    let summary = walk.sink.into_summary();
    match outcome {
        Ok(()) => Ok(summary),
        Err(Halt::Store(error)) => Err(ImportError::Store {
            error,
            imported: summary.imported,
        }),
        Err(Halt::OverQuota) => Err(ImportError::OverQuota {
            imported: summary.imported,
        }),
    }
}

/// Milliseconds since 1970; 0 for what is before.
fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
