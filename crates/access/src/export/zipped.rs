//! A zip of `.eml` files, with the file of marks in it. It has its name once it is whole; a later export
//! writes it anew beside, with what the old one holds, and puts that in its place.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use restante_store::marks::{self, End, Line, Lines, Marks, Said};
use restante_store::{MessageInfo, UniqueId};
use zip::read::ZipArchive;
use zip::result::ZipError;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::{ExportError, Octets, Out, Unwritten, at, create_new, sync_folder_of};

pub(super) struct Zip {
    path: PathBuf,
    part: PathBuf,
    /// `None` once it is finished.
    zip: Option<ZipWriter<BufWriter<File>>>,
    /// The zip that is there already, until its files are in the new one.
    before: Option<ZipArchive<BufReader<File>>>,
    /// What that one is like, so that another put in its place meanwhile is seen.
    replaces: Option<Metadata>,
    /// Where in `lines` a message is that the zip there has, and how long it is.
    known: HashMap<UniqueId, (usize, u64)>,
    /// For the file of marks, which is written last.
    lines: Vec<Line>,
    changed: bool,
}

impl Zip {
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        let replaces = look(path)?;
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            super::make_folder(parent)?;
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".restante-part");
        let part = PathBuf::from(part);
        let mut out = Self {
            path: path.to_owned(),
            part,
            zip: None,
            before: None,
            changed: replaces.is_none(),
            replaces,
            known: HashMap::new(),
            lines: Vec::new(),
        };
        if out.replaces.is_some() {
            out.learn()?;
        }
        match fs::remove_file(&out.part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&out.part)(error));
            }
            _ => {}
        }
        let file = create_new(&out.part).map_err(at(&out.part))?;
        out.zip = Some(ZipWriter::new(BufWriter::new(file)));
        Ok(out)
    }

    /// Learns what is in the zip that is there, which must be what an export wrote and nothing else.
    fn learn(&mut self) -> Result<(), ExportError> {
        let changed = || ExportError::Changed(self.path.clone());
        let file = File::open(&self.path).map_err(at(&self.path))?;
        let mut zip =
            ZipArchive::new(BufReader::new(file)).map_err(|error| foreign(&self.path, error))?;
        let side = zip.by_name(marks::FILE_NAME);
        let side = side.map_err(|error| foreign(&self.path, error))?;
        let mut side = Lines::new(BufReader::new(side)).map_err(at(&self.path))?;
        let mut ended = false;
        while let Some(said) = side.next_said().map_err(at(&self.path))? {
            match said {
                Said::Message(line) => self.lines.push(*line),
                Said::End(end) => ended = !end.goes_on,
            }
        }
        drop(side);
        for (place, line) in self.lines.iter().enumerate() {
            let id: UniqueId = line.id.parse().map_err(|_| changed())?;
            let index = zip.index_for_name(&name(id)).ok_or_else(changed)?;
            let octets = zip.by_index_raw(index).map_err(|_| changed())?.size();
            self.known.insert(id, (place, octets));
        }
        // The file of marks is one more than the messages.
        if !ended || zip.len() != self.known.len() + 1 {
            return Err(changed());
        }
        self.before = Some(zip);
        Ok(())
    }

    /// Puts what the zip there holds into the new one, as it is compressed there.
    fn copy(&mut self) -> Result<(), ExportError> {
        let (Some(mut before), Some(zip)) = (self.before.take(), &mut self.zip) else {
            return Ok(());
        };
        for index in 0..before.len() {
            let file = before.by_index_raw(index);
            let file = file.map_err(|error| at(&self.path)(io_of(error)))?;
            if file.name_raw() != marks::FILE_NAME.as_bytes() {
                let copied = zip.raw_copy_file(file);
                copied.map_err(|error| at(&self.part)(io_of(error)))?;
            }
        }
        Ok(())
    }

    /// Writes the file of marks and the zip's end; durable on return.
    fn end(&self, mut zip: ZipWriter<BufWriter<File>>) -> io::Result<()> {
        let options = SimpleFileOptions::default().unix_permissions(0o600);
        zip.start_file(marks::FILE_NAME, options).map_err(io_of)?;
        let mut side = BufWriter::new(&mut zip);
        marks::write_head(&mut side)?;
        for line in &self.lines {
            marks::write_line(&mut side, line)?;
        }
        let end = End {
            octets: 0,
            goes_on: false,
        };
        marks::write_end(&mut side, end)?;
        side.flush()?;
        drop(side);
        let mut out = zip.finish().map_err(io_of)?;
        out.flush()?;
        out.get_ref().sync_all()
    }

    /// Writes one file of the zip.
    fn message(
        zip: &mut ZipWriter<BufWriter<File>>,
        part: &Path,
        info: &MessageInfo,
        body: &mut Octets,
    ) -> Result<(), Unwritten> {
        let options = SimpleFileOptions::default()
            .unix_permissions(0o600)
            .large_file(info.size >= u64::from(u32::MAX))
            .last_modified_time(time(info.received_ms));
        zip.start_file(name(info.unique_id), options)
            .map_err(|error| at(part)(io_of(error)))?;
        loop {
            let piece = body.next()?;
            if piece.is_empty() {
                return Ok(());
            }
            zip.write_all(piece).map_err(at(part))?;
        }
    }
}

fn name(id: UniqueId) -> String {
    format!("{id}.eml")
}

/// What is at `path`; only a file can be ours.
fn look(path: &Path) -> Result<Option<Metadata>, ExportError> {
    match path.symlink_metadata() {
        Ok(data) if data.is_file() => Ok(Some(data)),
        Ok(_) => Err(ExportError::Foreign(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Why a file cannot be read as a zip of ours.
fn foreign(path: &Path, error: ZipError) -> ExportError {
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => at(path)(error),
        _ => ExportError::Foreign(path.to_owned()),
    }
}

fn is_same(one: Option<&Metadata>, other: Option<&Metadata>) -> bool {
    let facts = |data: &Metadata| (data.len(), data.modified().ok());
    one.map(facts) == other.map(facts)
}

fn io_of(error: ZipError) -> io::Error {
    match error {
        ZipError::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

/// A zip knows even seconds from 1980 to 2107, and no time zone: UTC is written.
fn time(unix_ms: u64) -> zip::DateTime {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).ok().and_then(|time| {
        let time = time.to_zoned(jiff::tz::TimeZone::UTC);
        zip::DateTime::from_date_and_time(
            u16::try_from(time.year()).ok()?,
            u8::try_from(time.month()).ok()?,
            u8::try_from(time.day()).ok()?,
            u8::try_from(time.hour()).ok()?,
            u8::try_from(time.minute()).ok()?,
            u8::try_from(time.second()).ok()?,
        )
        .ok()
    });
    time.unwrap_or_default()
}

impl Out for Zip {
    fn has(&mut self, info: &MessageInfo, marks: &Marks) -> Result<bool, ExportError> {
        let Some((place, octets)) = self.known.get(&info.unique_id) else {
            return Ok(false);
        };
        if *octets != info.size {
            return Err(ExportError::Changed(self.path.clone()));
        }
        if let Some(line) = self.lines.get_mut(*place)
            && line.marks != *marks
        {
            line.marks.clone_from(marks);
            self.changed = true;
        }
        Ok(true)
    }

    fn put(
        &mut self,
        info: &MessageInfo,
        marks: &Marks,
        body: &mut Octets,
    ) -> Result<(), Unwritten> {
        self.copy()?;
        let Some(zip) = &mut self.zip else {
            return Ok(());
        };
        if let Err(error) = Self::message(zip, &self.part, info, body) {
            if matches!(error, Unwritten::Unread(_)) {
                let aborted = zip.abort_file();
                aborted.map_err(|error| at(&self.part)(io_of(error)))?;
            }
            return Err(error);
        }
        self.lines.push(Line {
            digest: marks::hex(&info.digest),
            id: info.unique_id.to_string(),
            received_ms: info.received_ms,
            offset: None,
            line_end_added: false,
            marks: marks.clone(),
        });
        self.changed = true;
        Ok(())
    }

    /// Nothing of a zip counts before its end.
    fn flush(&mut self) -> Result<(), ExportError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        if !self.changed {
            self.zip = None;
            return fs::remove_file(&self.part).map_err(at(&self.part));
        }
        self.copy()?;
        let Some(zip) = self.zip.take() else {
            return Ok(());
        };
        self.end(zip).map_err(at(&self.part))?;
        // Looked at once more: what came meanwhile is not ours to replace.
        if !is_same(look(&self.path)?.as_ref(), self.replaces.as_ref()) {
            return Err(ExportError::Foreign(self.path.clone()));
        }
        fs::rename(&self.part, &self.path).map_err(at(&self.path))?;
        sync_folder_of(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unwrap_used, reason = "a test may fail")]
    fn a_zip_is_ours_only_as_we_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let end = "{\"octets\":0}\n";
        let head = "{\"restante\":\"marks\",\"version\":1}\n";
        for (files, ours) in [
            (&[(marks::FILE_NAME, [head, end].concat())][..], true),
            (&[(marks::FILE_NAME, head.to_owned())], false),
            (
                &[
                    ("notes.txt", "precious".to_owned()),
                    (marks::FILE_NAME, [head, end].concat()),
                ],
                false,
            ),
        ] {
            let mut zip = ZipWriter::new(File::create(&path).unwrap());
            for (name, text) in files {
                zip.start_file(*name, SimpleFileOptions::default()).unwrap();
                zip.write_all(text.as_bytes()).unwrap();
            }
            zip.finish().unwrap();
            let before = fs::read(&path).unwrap();
            match Zip::open(&path) {
                Ok(mut out) => {
                    assert!(ours);
                    out.finish().unwrap();
                }
                Err(error) => assert!(!ours && matches!(error, ExportError::Changed(_))),
            }
            assert_eq!(fs::read(&path).unwrap(), before);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
