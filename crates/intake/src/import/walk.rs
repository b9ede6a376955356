//! Goes through files and folders and hands their messages to the sink.

use std::ffi::OsString;
use std::fs::{self, DirEntry, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use restante_store::maildir;
use restante_store::mbox::{LookAhead, Reader, Variant};

use super::limits::PIECE_OCTETS;
use super::look::{Kind, kind};
use super::sink::{Halt, Sink, Stop};
use super::{SourceError, unix_ms};

/// Goes through what a path holds. A store's error or a quota ends it; a file's is noted, and it goes on.
pub(super) struct Walk<'a> {
    pub(super) sink: Sink<'a>,
    dialect: Variant,
}

impl<'a> Walk<'a> {
    pub(super) fn new(sink: Sink<'a>, dialect: Variant) -> Self {
        Self { sink, dialect }
    }

    /// Takes what is at `path`, following it if it is a link: somebody named it.
    pub(super) fn path(&mut self, path: &Path) -> Result<(), Halt> {
        match fs::metadata(path) {
            Ok(data) if data.is_dir() => self.folder(path),
            Ok(data) if data.is_file() => self.file(path),
            Ok(_) => self.pipe(path),
            Err(error) => {
                self.sink.set_aside(path, error);
                Ok(())
            }
        }
    }

    fn folder(&mut self, folder: &Path) -> Result<(), Halt> {
        if maildir::is_maildir(folder) {
            return self.maildir(folder);
        }
        let entries = match sorted(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.sink.set_aside(folder, error);
                return Ok(());
            }
        };
        for entry in entries {
            let path = entry.path();
            // What a link leads to counts, but a folder must not be reached by one.
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match fs::metadata(&path) {
                Ok(data) if data.is_dir() && is_link => {
                    self.sink.set_aside(&path, SourceError::LinkedFolder);
                }
                Ok(data) if data.is_dir() => self.folder(&path)?,
                Ok(data) if data.is_file() => self.file(&path)?,
                Ok(_) => self.sink.set_aside(&path, SourceError::NoFile),
                Err(error) => self.sink.set_aside(&path, error),
            }
        }
        Ok(())
    }

    fn maildir(&mut self, folder: &Path) -> Result<(), Halt> {
        match maildir::subfolders(folder) {
            Ok(subfolders) => self.sink.passed_by(subfolders),
            Err(error) => self.sink.set_aside(folder, error),
        }
        let entries = match maildir::messages(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.sink.set_aside(folder, error);
                return Ok(());
            }
        };
        for entry in entries {
            // A file of a Maildir is one message whatever it looks like.
            let outcome = open(&entry.path).map_err(Stop::Source);
            let outcome = outcome.and_then(|(mut file, time_ms, octets)| {
                let time_ms = entry.name.unix_ms.unwrap_or(time_ms);
                self.message(&mut file, &entry.path, time_ms, octets)
            });
            self.note(&entry.path, outcome)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Halt> {
        let outcome = open(path).map_err(Stop::Source);
        let outcome = outcome.and_then(|(mut file, time_ms, octets)| {
            let mut beside = File::open(path)?;
            let look: LookAhead<'_> = Box::new(move |offset, into| {
                beside.seek(SeekFrom::Start(offset))?;
                beside.read(into)
            });
            self.any(&mut file, path, time_ms, Some((look, octets)))
        });
        self.note(path, outcome)
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
        let outcome = self.any(stream, name, time_ms, None);
        self.note(name, outcome)
    }

    /// Looks what it is and takes it.
    fn any(
        &mut self,
        read: &mut dyn Read,
        path: &Path,
        time_ms: u64,
        file: Option<(LookAhead<'_>, u64)>,
    ) -> Result<(), Stop> {
        let mut head = Vec::new();
        (&mut *read)
            .take(PIECE_OCTETS as u64)
            .read_to_end(&mut head)?;
        let kind = kind(&head, path);
        let mut whole = Cursor::new(head).chain(read);
        let octets = file.as_ref().map_or(0, |(_, octets)| *octets);
        match kind {
            Kind::Other => {
                self.sink.set_aside(path, SourceError::NoMail);
                Ok(())
            }
            Kind::Message => self.message(&mut whole, path, time_ms, octets),
            Kind::Mbox => {
                let reader = match file {
                    Some((look, _)) => Reader::with_look_ahead(whole, self.dialect, look),
                    None => Reader::new(whole, self.dialect),
                };
                self.mbox(reader, path, time_ms)
            }
        }
    }

    fn mbox<R: Read>(
        &mut self,
        mut reader: Reader<'_, R>,
        path: &Path,
        time_ms: u64,
    ) -> Result<(), Stop> {
        while let Some(envelope) = reader.next_message()? {
            if envelope.from_line.is_none() {
                self.sink.headless(path);
            }
            // Programs that know no date write the first second of 1970.
            let dated = envelope.unix_ms.filter(|unix_ms| *unix_ms > 0);
            let received_ms = dated.unwrap_or(time_ms);
            self.sink
                .message(path, received_ms, None, |into| reader.read_chunk(into))?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        read: &mut dyn Read,
        path: &Path,
        time_ms: u64,
        octets: u64,
    ) -> Result<(), Stop> {
        let mut first = Vec::new();
        (&mut *read).take(1).read_to_end(&mut first)?;
        if first.is_empty() {
            self.sink.set_aside(path, SourceError::Empty);
            return Ok(());
        }
        let mut whole = Cursor::new(first).chain(read);
        let hint = (octets > 0).then_some(octets);
        self.sink.message(path, time_ms, hint, |into| {
            (&mut whole).take(PIECE_OCTETS as u64).read_to_end(into)
        })
    }

    /// Sets a file aside that is at fault; passes on what ends it all.
    fn note(&mut self, path: &Path, outcome: Result<(), Stop>) -> Result<(), Halt> {
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
