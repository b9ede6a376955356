//! Zips: of `.eml` files, of mbox files, of what Google Takeout gives. Nothing is unpacked: the files in
//! one are read as streams, so a name in it leads nowhere.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use restante_store::marks::{self, Book};
use zip::ZipArchive;
use zip::result::ZipError;

use super::limits::{ZIP_DIRECTORY_OCTETS, ZIP_GROWTH, ZIP_SPARE_OCTETS};
use super::sink::{Halt, Stop};
use super::walk::{Shape, Source, Walk};
use super::{SourceError, labels, unix_ms};

impl Walk<'_> {
    /// Takes the files in a zip, in its own order.
    pub(super) fn zip(&mut self, file: File, source: &Source<'_>) -> Result<(), Stop> {
        let left = Rc::new(Cell::new(ZIP_DIRECTORY_OCTETS));
        let whole = Whole {
            file: BufReader::new(file),
            left: left.clone(),
        };
        let mut zip = ZipArchive::new(whole).map_err(|error| Stop::Source(told(error)))?;
        // What is read of the file from here on is bounded by what comes out.
        left.set(u64::MAX);
        let outer = self.book.take();
        self.book = self.zipped_book(&mut zip, source);
        let mut left = grown(source.octets);
        let root = root(&zip, source.path);
        let mut outcome = Ok(());
        for at in 0..zip.len() {
            outcome = self.zipped(&mut zip, at, (source, root.as_deref()), &mut left);
            if outcome.is_err() {
                break;
            }
        }
        self.book = outer;
        outcome.map_err(Stop::Halt)
    }

    /// Takes one file; `left` is what all that are still to come may grow to. The zip comes with the name of its
    /// outermost folder.
    fn zipped(
        &mut self,
        zip: &mut ZipArchive<Whole>,
        at: usize,
        (source, root): (&Source<'_>, Option<&str>),
        left: &mut u64,
    ) -> Result<(), Halt> {
        let mut entry = match zip.by_index(at) {
            Ok(entry) => entry,
            Err(error) => {
                self.sink.set_aside(source.path, told(error));
                return Ok(());
            }
        };
        let name = String::from_utf8_lossy(entry.name_raw());
        let name = name.replace(char::is_control, "\u{fffd}");
        let path = source
            .path
            .join(Path::new(&name).strip_prefix("/").unwrap_or(name.as_ref()));
        if !entry.is_file() || !is_mail(&name) {
            return Ok(());
        }
        let mut folders = folders(&name);
        if root.is_some() && folders.first().map(String::as_str) == root {
            folders.remove(0);
        }
        let allowed = grown(entry.compressed_size()).min(*left);
        let inside = Source {
            path: &path,
            time_ms: entry
                .last_modified()
                .and_then(zip_ms)
                .unwrap_or(source.time_ms),
            octets: entry.size().min(allowed),
        };
        let mut bounded = Bounded {
            read: &mut entry,
            left: allowed,
        };
        self.below(&folders, Shape::Plain, |walk| {
            let mut outcome = walk.any(&mut bounded, &inside, None);
            let over = bounded.left == 0;
            *left -= allowed - bounded.left;
            if over && matches!(outcome, Err(Stop::Source(SourceError::Io(_)))) {
                outcome = Err(Stop::Source(SourceError::ZipBomb));
            }
            walk.note(&path, outcome)
        })
    }

    /// The file of marks of a zip that we exported.
    fn zipped_book(&mut self, zip: &mut ZipArchive<Whole>, source: &Source<'_>) -> Option<Book> {
        let entry = zip.by_name(marks::FILE_NAME).ok()?;
        let allowed = grown(entry.compressed_size());
        let bounded = Bounded {
            read: entry,
            left: allowed,
        };
        match Book::read(BufReader::new(bounded)) {
            Ok(book) => Some(book),
            Err(error) => {
                self.sink
                    .set_aside(&source.path.join(marks::FILE_NAME), error);
                None
            }
        }
    }
}

/// Whether a file of this name in a zip may be mail.
fn is_mail(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    !last.starts_with('.')
        && !last.ends_with(marks::FILE_NAME)
        && last != "archive_browser.html"
        && !name.starts_with("__MACOSX/")
}

/// The folders in a file's name, the outermost first; none of a name that leads out of the zip. What is within a
/// Maildir++ folder is in that alone.
fn folders(name: &str) -> Vec<String> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let parts = folder.split('/');
    let mut parts: Vec<_> = parts.filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Vec::new();
    }
    if let Some(&("cur" | "new")) = parts.last() {
        parts.pop();
        if let Some(folder) = parts.last().filter(|part| part.starts_with('.')) {
            return labels::maildir_path(folder);
        }
    }
    parts.into_iter().map(str::to_owned).collect()
}

/// The folder that was packed, when all that is in the zip is in one: it is called as the zip is, or holds folders
/// itself. Where it is a usual folder of mail, such as `Spam`, its name says something.
fn root(zip: &ZipArchive<Whole>, path: &Path) -> Option<String> {
    let names: Vec<_> = zip
        .file_names_raw()
        .map(String::from_utf8_lossy)
        .filter(|name| !name.ends_with('/') && is_mail(name))
        .collect();
    let all: Vec<_> = names.iter().map(|name| folders(name)).collect();
    let first = all.first()?.first()?;
    let is_packed = path.file_stem().is_some_and(|stem| stem == first.as_str())
        || all.iter().any(|folders| folders.len() > 1);
    let is_shared = all.iter().all(|folders| folders.first() == Some(first));
    (is_shared && is_packed && !labels::is_usual(first)).then(|| first.clone())
}

fn grown(octets: u64) -> u64 {
    octets
        .saturating_mul(ZIP_GROWTH)
        .saturating_add(ZIP_SPARE_OCTETS)
}

fn told(error: ZipError) -> SourceError {
    match error {
        ZipError::Io(error) => SourceError::Io(error),
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => SourceError::Encrypted,
        error => SourceError::Io(io::Error::other(error.to_string())),
    }
}

/// A zip says no time zone: it is taken as UTC.
fn zip_ms(time: zip::DateTime) -> Option<u64> {
    let small = |value: u8| i8::try_from(value).ok();
    let time = jiff::civil::DateTime::new(
        i16::try_from(time.year()).ok()?,
        small(time.month())?,
        small(time.day())?,
        small(time.hour())?,
        small(time.minute())?,
        small(time.second())?,
        0,
    );
    let time = time.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(unix_ms(time.timestamp().into()))
}

/// The zip's file, of which `left` octets may be read.
struct Whole {
    file: BufReader<File>,
    left: Rc<Cell<u64>>,
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(into)?;
        let left = self.left.get().checked_sub(got as u64);
        self.left.set(left.ok_or_else(|| {
            io::Error::other("its list of files is longer than can be remembered")
        })?);
        Ok(got)
    }
}

impl Seek for Whole {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Fails when more than `left` octets come.
struct Bounded<R> {
    read: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            // An end right here is none too many.
            return match self.read.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other("there is more of it than mail can be")),
            };
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let got = self.read.read(&mut into[..most])?;
        self.left -= got as u64;
        Ok(got)
    }
}
