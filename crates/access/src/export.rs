//! Writes mail into files that any program reads: an mbox, a Maildir, a folder or a zip of `.eml` files.
//!
//! The octets are those that the store holds, nothing added, nothing changed. What people noted of a
//! message has no place in such files, so a file of marks stands beside ([`restante_store::marks`]), and
//! an import of both gives the same mail with the same marks.
//!
//! What is there stays: an export goes into a new place, or into one that an export made, where it adds
//! what is not there yet. So one that was interrupted is simply run again; a zip, whose list of files
//! is its end, is then written anew and takes the old one's place when it is whole. Messages are durable batch by batch, each before the line that names
//! it in the file of marks.

mod eml;
mod limits;
mod maildir;
mod mbox;
mod side;
mod zipped;

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use pollster::block_on;
use restante_store::marks::Marks;
use restante_store::{
    Body, MailStore, MailboxId, MessageFilter, MessageInfo, StoreError, UniqueId,
};

use limits::{BATCH_MESSAGES, BATCH_OCTETS, PAGE_MESSAGES};

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One file, an mboxrd (RFC 4155 with reversible quoting).
    Mbox,
    /// A Maildir; read and starred are flags there.
    Maildir,
    /// A folder with one `.eml` file a message, named after its unique-id.
    Eml,
    /// A zip of such files.
    Zip,
}

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// All that is in a mailbox.
    Mailbox(MailboxId),
    /// These messages, in their order; what is gone is passed over.
    Messages(&'a [UniqueId]),
}

/// How far an export is; told after each message.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Messages so far, those left out too.
    pub messages: u64,
    /// Octets written.
    pub octets: u64,
}

/// What an export did.
#[derive(Debug, Default)]
pub struct Summary {
    /// Messages written, durably.
    pub exported: u64,
    /// Messages that an earlier run has written.
    pub already_there: u64,
    /// Octets written.
    pub octets: u64,
    /// Messages that cannot be read from the store, and why. The rest was written.
    pub failed: Vec<(UniqueId, StoreError)>,
}

/// Why an export stopped. What was written before is kept.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExportError {
    /// Something is at that place which no export made.
    Foreign(PathBuf),
    /// The export there has been changed since by another program.
    Changed(PathBuf),
    /// A file cannot be read or written.
    Io(PathBuf, io::Error),
    /// The store failed.
    Store(StoreError),
    /// The marks cannot be had.
    Marks(String),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(path) => write!(
                f,
                "{} is there already and no export of ours: name another place",
                path.display()
            ),
            Self::Changed(path) => write!(
                f,
                "{} was changed since it was exported: name another place, or move it away",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Store(error) => error.fmt(f),
            Self::Marks(error) => write!(f, "cannot read labels and marks: {error}"),
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Foreign(_) | Self::Changed(_) | Self::Marks(_) => None,
        }
    }
}

/// Gives the marks of messages, in their order.
pub type MarksOf<'a> = &'a mut dyn FnMut(&[UniqueId]) -> Result<Vec<Marks>, String>;

/// Exports to `dest`. Blocks until all is durable.
///
/// # Errors
/// See [`ExportError`]. A message that is damaged is no error but in [`Summary::failed`].
pub fn export(
    store: &dyn MailStore,
    selection: Selection<'_>,
    dest: &Path,
    format: Format,
    marks_of: MarksOf<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, ExportError> {
    let out: Box<dyn Out> = match format {
        Format::Mbox => Box::new(mbox::Mbox::open(dest)?),
        Format::Maildir => Box::new(maildir::Maildir::open(dest)?),
        Format::Eml => Box::new(eml::Eml::open(dest)?),
        Format::Zip => Box::new(zipped::Zip::open(dest)?),
    };
    let mut run = Run {
        store,
        out,
        summary: Summary::default(),
        messages: 0,
        waiting: (0, 0),
        progress,
    };
    let mut pages = Pages::new(selection);
    while let Some(page) = pages.next(store).map_err(ExportError::Store)? {
        let ids: Vec<_> = page.iter().map(|info| info.unique_id).collect();
        let marks = marks_of(&ids).map_err(ExportError::Marks)?;
        for (info, marks) in page.iter().zip(marks) {
            run.message(info, &marks)?;
        }
    }
    run.flush()?;
    run.out.finish()?;
    Ok(run.summary)
}

/// Where messages go.
trait Out {
    /// Whether an earlier run has written the message; if so, its marks are as `marks` says from now on.
    fn has(&mut self, info: &MessageInfo, marks: &Marks) -> Result<bool, ExportError>;
    /// Writes one message, or nothing of it when `body` fails.
    fn put(
        &mut self,
        info: &MessageInfo,
        marks: &Marks,
        body: &mut Octets,
    ) -> Result<(), Unwritten>;
    /// Makes durable what was written, and names it in the file of marks.
    fn flush(&mut self) -> Result<(), ExportError>;
    /// Ends the export; durable on return.
    fn finish(&mut self) -> Result<(), ExportError>;
}

/// Why a message was not written.
enum Unwritten {
    /// It cannot be read.
    Unread(StoreError),
    /// Nothing can be written any more.
    Broken(ExportError),
}

impl From<ExportError> for Unwritten {
    fn from(error: ExportError) -> Self {
        Self::Broken(error)
    }
}

/// A message's octets, in pieces.
struct Octets {
    body: Box<dyn Body>,
    piece: Vec<u8>,
}

impl Octets {
    /// The next piece; empty at the end.
    fn next(&mut self) -> Result<&[u8], Unwritten> {
        self.piece.clear();
        block_on(self.body.read(&mut self.piece)).map_err(Unwritten::Unread)?;
        Ok(&self.piece)
    }
}

struct Run<'a> {
    store: &'a dyn MailStore,
    out: Box<dyn Out>,
    summary: Summary,
    messages: u64,
    /// Messages and octets that are not durable yet.
    waiting: (u64, u64),
    progress: &'a mut dyn FnMut(Progress),
}

impl Run<'_> {
    fn message(&mut self, info: &MessageInfo, marks: &Marks) -> Result<(), ExportError> {
        self.messages += 1;
        if self.out.has(info, marks)? {
            self.summary.already_there += 1;
        } else {
            match self.write(info, marks) {
                Ok(()) => {
                    self.summary.octets += info.size;
                    self.waiting = (self.waiting.0 + 1, self.waiting.1 + info.size);
                }
                // Removed and gone while this ran.
                Err(Unwritten::Unread(StoreError::NotFound)) => {}
                Err(Unwritten::Unread(error @ StoreError::Permanent(_))) => {
                    self.summary.failed.push((info.unique_id, error));
                }
                Err(Unwritten::Unread(error)) => return Err(ExportError::Store(error)),
                Err(Unwritten::Broken(error)) => return Err(error),
            }
        }
        (self.progress)(Progress {
            messages: self.messages,
            octets: self.summary.octets,
        });
        match self.waiting.0 >= BATCH_MESSAGES || self.waiting.1 >= BATCH_OCTETS {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn write(&mut self, info: &MessageInfo, marks: &Marks) -> Result<(), Unwritten> {
        let body = block_on(self.store.read(info.unique_id)).map_err(Unwritten::Unread)?;
        let piece = Vec::new();
        self.out.put(info, marks, &mut Octets { body, piece })
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.waiting.0 > 0 {
            self.out.flush()?;
            self.summary.exported += self.waiting.0;
            self.waiting = (0, 0);
        }
        Ok(())
    }
}

/// What is selected, page by page.
struct Pages<'a> {
    selection: Selection<'a>,
    after: Option<UniqueId>,
    at: usize,
}

impl<'a> Pages<'a> {
    fn new(selection: Selection<'a>) -> Self {
        Self {
            selection,
            after: None,
            at: 0,
        }
    }

    fn next(&mut self, store: &dyn MailStore) -> Result<Option<Vec<MessageInfo>>, StoreError> {
        match self.selection {
            Selection::Mailbox(mailbox) => {
                let page = store.browse(mailbox, MessageFilter::Live, self.after, PAGE_MESSAGES);
                let page = block_on(page)?;
                self.after = page.last().map(|info| info.unique_id);
                Ok((!page.is_empty()).then_some(page))
            }
            Selection::Messages(ids) => {
                let rest = &ids[self.at..];
                let ids = &rest[..rest.len().min(PAGE_MESSAGES)];
                self.at += ids.len();
                if ids.is_empty() {
                    return Ok(None);
                }
                let mut page = Vec::with_capacity(ids.len());
                for id in ids {
                    let info = block_on(store.message(*id))?;
                    page.extend(info.filter(|info| info.removed.is_none()));
                }
                Ok(Some(page))
            }
        }
    }
}

/// For `map_err`: which file it was.
fn at(path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_owned();
    move |error| ExportError::Io(path, error)
}

/// Makes a file that is not there yet, for its owner only.
fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a folder for its owner only, and those above it.
fn make_folder(path: &Path) -> Result<(), ExportError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(at(path))
}

/// Takes a folder for an export: a new one, an empty one, or one that an export made.
fn take_folder(path: &Path) -> Result<(), ExportError> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => {
            let is_ours = path.join(restante_store::marks::FILE_NAME).is_file();
            match entries.next() {
                Some(_) if !is_ours => Err(ExportError::Foreign(path.to_owned())),
                _ => Ok(()),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(path)?;
            sync_folder_of(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(ExportError::Foreign(path.to_owned()))
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// Makes the names in the folder that holds `path` durable. Where folders cannot be opened as files there
/// is no way to ask for that.
fn sync_folder_of(path: &Path) -> Result<(), ExportError> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), ExportError> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(at(folder))?;
    }
    Ok(())
}
