//! Goes through files and folders and hands their messages to the sink.

use std::ffi::OsString;
use std::fs::{self, DirEntry, File};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use restante_store::maildir;
use restante_store::marks::{self, Book, Marks};
use restante_store::mbox::{LookAhead, Reader, Variant};

use super::limits::{DEPTH, EMLX_LIST_OCTETS, PIECE_OCTETS};
use super::look::{Kind, kind};
use super::sink::{Halt, Origin, Sink, Stop};
use super::{SourceError, emlx, labels, unix_ms};

/// Goes through what a path holds. A store's error or a quota ends it; a file's is noted, and it goes on.
pub(super) struct Walk<'a> {
    pub(super) sink: Sink<'a>,
    pub(super) dialect: Variant,
    /// What was named, without links: links out of it are not followed.
    root: PathBuf,
    /// Which folder of a mail program this is.
    trail: Vec<String>,
    /// The other folders below what was named: where people keep single messages.
    plain: Vec<String>,
    depth: usize,
    /// What our own export says of the messages here.
    pub(super) book: Option<Book>,
}

/// A file's own facts.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) time_ms: u64,
    pub(super) octets: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(sink: Sink<'a>, dialect: Variant) -> Self {
        Self {
            sink,
            dialect,
            root: PathBuf::new(),
            trail: Vec::new(),
            plain: Vec::new(),
            depth: 0,
            book: None,
        }
    }

    /// Takes what is at `path`, following it if it is a link: somebody named it.
    pub(super) fn path(&mut self, path: &Path) -> Result<(), Halt> {
        let found = fs::canonicalize(path).and_then(|root| Ok((fs::metadata(&root)?, root)));
        let (data, root) = match found {
            Ok(found) => found,
            Err(error) => {
                self.sink.set_aside(path, error);
                return Ok(());
            }
        };
        self.root = root;
        if data.is_dir() {
            self.folder(path)
        } else if data.is_file() {
            self.file(path)
        } else {
            self.pipe(path)
        }
    }

    /// What being in this folder says.
    fn folder_marks(&self) -> Marks {
        let mut marks = Marks::default();
        labels::folder(&self.trail, &mut marks);
        marks
    }

    /// What being in this folder says of a single message. Where a mail program's folder is known, what stands around
    /// it is none of the mail's; an export of ours knows better itself.
    fn message_marks(&self) -> Marks {
        let mut marks = self.folder_marks();
        if self.trail.is_empty() && self.book.is_none() {
            labels::folder(&self.plain, &mut marks);
        }
        marks
    }

    fn folder(&mut self, folder: &Path) -> Result<(), Halt> {
        if self.depth >= DEPTH {
            self.sink.set_aside(folder, SourceError::TooDeep);
            return Ok(());
        }
        let outer = self.book.take();
        self.book = self.read_book(&folder.join(marks::FILE_NAME));
        self.depth += 1;
        let outcome = match maildir::is_maildir(folder) {
            true => self.maildir(folder),
            false => self.entries(folder),
        };
        self.depth -= 1;
        self.book = outer;
        outcome
    }

    /// What is in a folder that is no Maildir.
    fn entries(&mut self, folder: &Path) -> Result<(), Halt> {
        let entries = match sorted(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.sink.set_aside(folder, error);
                return Ok(());
            }
        };
        let shape = Shape::of(&entries);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if shape.passes_over(&name) {
                continue;
            }
            // What a link leads to counts, but a folder must not be reached by one.
            match fs::metadata(&path) {
                Ok(data) if data.is_dir() && is_link => {
                    self.sink.set_aside(&path, SourceError::LinkedFolder);
                }
                Ok(_) if is_link && !self.is_inside(&path) => {
                    self.sink.set_aside(&path, SourceError::LinkedAway);
                }
                Ok(data) if data.is_dir() => {
                    self.below(std::slice::from_ref(&name), shape, |walk| {
                        walk.folder(&path)
                    })?;
                }
                Ok(data) if data.is_file() => {
                    self.inside(shape.file_label(&name), |walk| walk.file(&path))?;
                }
                Ok(_) => self.sink.set_aside(&path, SourceError::NoFile),
                Err(error) => self.sink.set_aside(&path, error),
            }
        }
        Ok(())
    }

    /// Goes into folders, one in the other.
    pub(super) fn below(
        &mut self,
        names: &[String],
        shape: Shape,
        go: impl FnOnce(&mut Self) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let before = (self.trail.len(), self.plain.len());
        for name in names {
            match shape.folder_label(name) {
                Some(label) => self.trail.push(label.to_owned()),
                None => self.plain.push(name.to_owned()),
            }
        }
        let outcome = go(self);
        self.trail.truncate(before.0);
        self.plain.truncate(before.1);
        outcome
    }

    /// Goes into a file that is a folder of a mail program's, if `name` is one.
    fn inside(
        &mut self,
        name: Option<&str>,
        go: impl FnOnce(&mut Self) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let before = self.trail.len();
        self.trail.extend(name.map(str::to_owned));
        let outcome = go(self);
        self.trail.truncate(before);
        outcome
    }

    fn is_inside(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|path| path.starts_with(&self.root))
    }

    /// The messages of a Maildir, then its folders beside (Maildir++).
    fn maildir(&mut self, folder: &Path) -> Result<(), Halt> {
        let listed = maildir::messages(folder).and_then(|messages| {
            let keywords = maildir::keywords(folder)?;
            Ok((messages, keywords, maildir::subfolders(folder)?))
        });
        let (entries, keywords, subfolders) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.sink.set_aside(folder, error);
                return Ok(());
            }
        };
        for entry in entries {
            if entry.path.is_symlink() && !self.is_inside(&entry.path) {
                self.sink.set_aside(&entry.path, SourceError::LinkedAway);
                continue;
            }
            // A file of a Maildir is one message whatever it looks like.
            let outcome = open(&entry.path).map_err(Stop::from);
            let outcome = outcome.and_then(|(mut file, time_ms, octets)| {
                let source = Source {
                    path: &entry.path,
                    time_ms: entry.name.unix_ms.unwrap_or(time_ms),
                    octets,
                };
                let mut marks = self.folder_marks();
                flags(&entry, &keywords, &mut marks);
                self.message(&mut file, &source, marks)
            });
            self.note(&entry.path, outcome)?;
        }
        for subfolder in subfolders {
            let name = subfolder.file_name().unwrap_or_default().to_string_lossy();
            if subfolder.is_symlink() {
                self.sink.set_aside(&subfolder, SourceError::LinkedFolder);
                continue;
            }
            let path = labels::maildir_path(&name);
            let outer = std::mem::replace(&mut self.trail, path);
            let outcome = self.folder(&subfolder);
            self.trail = outer;
            outcome?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Halt> {
        let beside = marks::beside(path);
        let outer = match beside.exists() {
            true => {
                let book = self.read_book(&beside);
                Some(std::mem::replace(&mut self.book, book))
            }
            false => None,
        };
        let outcome = open(path).map_err(Stop::from);
        let outcome = outcome.and_then(|(file, time_ms, octets)| {
            let source = Source {
                path,
                time_ms,
                octets,
            };
            self.opened(file, &source)
        });
        if let Some(outer) = outer {
            self.book = outer;
        }
        self.note(path, outcome)
    }

    /// Takes a file that can be read at any place.
    fn opened(&mut self, mut file: File, source: &Source<'_>) -> Result<(), Stop> {
        let mut head = Vec::new();
        (&mut file).take(4).read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        if self.kind(&head, source.path) == Kind::Zip {
            return self.zip(file, source);
        }
        let mut beside = File::open(source.path)?;
        let look: LookAhead<'_> = Box::new(move |offset, into| {
            beside.seek(SeekFrom::Start(offset))?;
            beside.read(into)
        });
        self.any(&mut file, source, Some(look))
    }

    /// Takes what a named pipe or a device gives.
    fn pipe(&mut self, path: &Path) -> Result<(), Halt> {
        match File::open(path) {
            Ok(mut pipe) => self.stream(&mut pipe, path, unix_ms(SystemTime::now())),
            Err(error) => {
                self.sink.set_aside(path, error);
                Ok(())
            }
        }
    }

    /// Takes what a stream gives that can be read only once.
    pub(super) fn stream(
        &mut self,
        stream: &mut dyn Read,
        name: &Path,
        time_ms: u64,
    ) -> Result<(), Halt> {
        let source = Source {
            path: name,
            time_ms,
            octets: 0,
        };
        let outcome = self.any(stream, &source, None);
        self.note(name, outcome)
    }

    /// Looks what it is. In our own export an `.eml` is a message, whatever it looks like.
    fn kind(&self, head: &[u8], path: &Path) -> Kind {
        match self.book {
            Some(_) if extension(&path.to_string_lossy()) == "eml" => Kind::Message,
            _ => kind(head, path),
        }
    }

    /// Looks what it is and takes it.
    pub(super) fn any(
        &mut self,
        read: &mut dyn Read,
        source: &Source<'_>,
        look: Option<LookAhead<'_>>,
    ) -> Result<(), Stop> {
        let mut head = Vec::new();
        (&mut *read)
            .take(PIECE_OCTETS as u64)
            .read_to_end(&mut head)?;
        let kind = self.kind(&head, source.path);
        let mut whole = Cursor::new(head).chain(read);
        match kind {
            Kind::Other => Err(Stop::Source(SourceError::NoMail)),
            Kind::Zip => Err(Stop::Source(SourceError::NestedZip)),
            Kind::Message => {
                let marks = self.message_marks();
                self.message(&mut whole, source, marks)
            }
            Kind::Emlx => self.emlx(&mut whole, source),
            Kind::Mbox => {
                let dialect = match self.book {
                    Some(_) => Variant::Mboxrd,
                    None => self.dialect,
                };
                let reader = match look {
                    Some(look) => Reader::with_look_ahead(whole, dialect, look),
                    None => Reader::new(whole, dialect),
                };
                self.mbox(reader, source)
            }
        }
    }

    fn mbox<R: Read>(
        &mut self,
        mut reader: Reader<'_, R>,
        source: &Source<'_>,
    ) -> Result<(), Stop> {
        let marks = self.folder_marks();
        while let Some(envelope) = reader.next_message()? {
            if envelope.from_line.is_none() {
                self.sink.headless(source.path);
            }
            // Programs that know no date write the first second of 1970.
            let dated = envelope.unix_ms.filter(|unix_ms| *unix_ms > 0);
            let book = self.book.as_ref();
            let origin = Origin {
                path: source.path,
                received_ms: dated.unwrap_or(source.time_ms),
                octets: None,
                in_mbox: true,
                book,
                line_end_added: book.is_some_and(|book| book.line_end_added(envelope.offset)),
            };
            self.sink
                .message(&origin, marks.clone(), |into| reader.read_chunk(into))?;
        }
        Ok(())
    }

    pub(super) fn message(
        &mut self,
        read: &mut dyn Read,
        source: &Source<'_>,
        marks: Marks,
    ) -> Result<(), Stop> {
        let mut first = Vec::new();
        (&mut *read).take(1).read_to_end(&mut first)?;
        if first.is_empty() && self.book.is_none() {
            return Err(Stop::Source(SourceError::Empty));
        }
        let mut whole = Cursor::new(first).chain(read);
        self.sink
            .message(&origin(source, self.book.as_ref()), marks, |into| {
                (&mut whole).take(PIECE_OCTETS as u64).read_to_end(into)
            })
    }

    /// Takes a message of Apple Mail's.
    fn emlx(&mut self, read: &mut dyn Read, source: &Source<'_>) -> Result<(), Stop> {
        let mut first = Vec::new();
        while !first.ends_with(b"\n") && (&mut *read).take(1).read_to_end(&mut first)? > 0 {}
        let Some((octets, _)) = emlx::length(&first) else {
            return Err(Stop::Source(SourceError::NoMail));
        };
        let origin = origin(source, None);
        let mut left = octets;
        let taken = self.sink.take(&origin, |into| {
            let got = (&mut *read)
                .take(left.min(PIECE_OCTETS as u64))
                .read_to_end(into)?;
            if got == 0 && left > 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file is cut short: it says that the message is longer",
                ));
            }
            left -= got as u64;
            Ok(got)
        })?;
        let mut list = Vec::new();
        read.take(EMLX_LIST_OCTETS).read_to_end(&mut list)?;
        let mut marks = emlx::marks(&list);
        marks.merge(self.folder_marks());
        if source.path.to_string_lossy().ends_with(".partial.emlx") {
            self.sink.partial(source.path.to_owned());
        }
        match taken {
            Some(taken) => self.sink.keep(&origin, taken, marks),
            None => Ok(()),
        }
    }

    /// Reads the file of marks at `path`, if there is one.
    fn read_book(&mut self, path: &Path) -> Option<Book> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.sink.set_aside(path, error);
                return None;
            }
        };
        match Book::read(BufReader::new(file)) {
            Ok(book) => Some(book),
            Err(error) => {
                self.sink.set_aside(path, error);
                None
            }
        }
    }

    /// Sets a file aside that is at fault; passes on what ends it all.
    pub(super) fn note(&mut self, path: &Path, outcome: Result<(), Stop>) -> Result<(), Halt> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Source(error)) => {
                self.sink.set_aside(path, error);
                Ok(())
            }
            Err(Stop::Halt(halt)) => Err(halt),
        }
    }
}

fn origin<'b>(source: &Source<'b>, book: Option<&'b Book>) -> Origin<'b> {
    Origin {
        path: source.path,
        received_ms: source.time_ms,
        octets: (source.octets > 0).then_some(source.octets),
        in_mbox: false,
        book,
        line_end_added: false,
    }
}

/// What the name of a Maildir's file says.
fn flags(entry: &maildir::Entry, keywords: &[String], marks: &mut Marks) {
    let flags = entry.name.flags;
    marks.read = Some(flags.seen);
    marks.starred |= flags.flagged;
    if flags.draft {
        labels::flagged_draft(marks);
    }
    if flags.trashed {
        labels::flagged_trash(marks);
    }
    for (at, word) in keywords.iter().enumerate() {
        if entry.name.keywords & (1 << at) != 0 {
            labels::keyword(word, marks);
        }
    }
}

/// Whose folder this is, as far as its names tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Anybody's.
    Plain,
    /// A profile of Thunderbird's: its mail is in two folders of it.
    Profile,
    /// A folder of Thunderbird's mail: `Name` is an mbox with `Name.msf` beside, `Name.sbd` holds folders.
    Thunderbird,
}

impl Shape {
    fn of(entries: &[DirEntry]) -> Self {
        let names = || entries.iter().map(DirEntry::file_name);
        if names().any(|name| name == "prefs.js")
            && names().any(|name| name == "Mail" || name == "ImapMail")
        {
            Self::Profile
        } else if names().any(|name| extension(&name.to_string_lossy()) == "msf") {
            Self::Thunderbird
        } else {
            Self::Plain
        }
    }

    /// What is no mail, whatever it looks like.
    fn passes_over(self, name: &str) -> bool {
        let is_marks = name.ends_with(marks::FILE_NAME);
        is_marks
            || match self {
                Self::Plain => name == "__MACOSX",
                Self::Profile => name != "Mail" && name != "ImapMail",
                Self::Thunderbird => matches!(
                    extension(name),
                    "msf" | "dat" | "html" | "json" | "sqlite" | "mozmsgs" | "rdf"
                ),
            }
    }

    fn folder_label(self, name: &str) -> Option<&str> {
        // Apple Mail's folders are called so; an mbox of that name is a file.
        let stem = name.strip_suffix(".sbd");
        stem.or_else(|| name.strip_suffix(".mbox")).or(match self {
            // Where Thunderbird keeps a file for each message, that is the folder.
            Self::Thunderbird => Some(name).filter(|name| *name != "cur" && *name != "tmp"),
            _ => None,
        })
    }

    fn file_label(self, name: &str) -> Option<&str> {
        Some(name).filter(|_| self == Self::Thunderbird)
    }
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Opens a file; with its time of modification in milliseconds since 1970, and its octets.
fn open(path: &Path) -> io::Result<(File, u64, u64)> {
    let file = File::open(path)?;
    let data = file.metadata()?;
    let time = data.modified().unwrap_or_else(|_| SystemTime::now());
    Ok((file, unix_ms(time), data.len()))
}

/// What a folder holds but for hidden names; names that are numbers, but for what follows a dot,
/// come first and as numbers: so MH folders and exports in parts have them.
fn sorted(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.collect();
    let mut entries = entries?;
    entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    entries.sort_by_cached_key(|entry| order(entry.file_name()));
    Ok(entries)
}

fn order(name: OsString) -> (bool, u64, OsString) {
    let stem = Path::new(&name).file_stem().and_then(|stem| stem.to_str());
    let number = stem.and_then(|stem| stem.parse().ok());
    (number.is_none(), number.unwrap_or(0), name)
}
