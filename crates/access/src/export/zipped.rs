//! A zip of `.eml` files, with the file of marks in it. It has its name once it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use restante_store::MessageInfo;
use restante_store::marks::{self, End, Line, Marks};
use zip::result::ZipError;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::{ExportError, Octets, Out, Unwritten, at, create_new, sync_folder_of};

pub(super) struct Zip {
    path: PathBuf,
    part: PathBuf,
    /// `None` once it is finished.
    zip: Option<ZipWriter<BufWriter<File>>>,
    /// The file of marks, which is written last.
    side: Vec<u8>,
}

impl Zip {
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        if path.symlink_metadata().is_ok() {
            return Err(ExportError::Foreign(path.to_owned()));
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            super::make_folder(parent)?;
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".restante-part");
        let part = PathBuf::from(part);
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&part)(error)),
            _ => {}
        }
        let file = create_new(&part).map_err(at(&part))?;
        let mut side = Vec::new();
        marks::write_head(&mut side).map_err(at(path))?;
        Ok(Self {
            path: path.to_owned(),
            part,
            zip: Some(ZipWriter::new(BufWriter::new(file))),
            side,
        })
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
        zip.start_file(format!("{}.eml", info.unique_id), options)
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
    fn has(&mut self, _: &MessageInfo, _: &Marks) -> Result<bool, ExportError> {
        Ok(false)
    }

    fn put(
        &mut self,
        info: &MessageInfo,
        marks: &Marks,
        body: &mut Octets,
    ) -> Result<(), Unwritten> {
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
        let line = Line {
            digest: marks::hex(&info.digest),
            id: info.unique_id.to_string(),
            received_ms: info.received_ms,
            offset: None,
            line_end_added: false,
            marks: marks.clone(),
        };
        marks::write_line(&mut self.side, &line).map_err(at(&self.part))?;
        Ok(())
    }

    /// Nothing of a zip counts before its end.
    fn flush(&mut self) -> Result<(), ExportError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        let Some(mut zip) = self.zip.take() else {
            return Ok(());
        };
        let end = End {
            octets: 0,
            goes_on: false,
        };
        marks::write_end(&mut self.side, end).map_err(at(&self.part))?;
        let options = SimpleFileOptions::default().unix_permissions(0o600);
        let whole = zip
            .start_file(marks::FILE_NAME, options)
            .and_then(|()| Ok(zip.write_all(&self.side)?))
            .and_then(|()| zip.finish())
            .map_err(io_of)
            .and_then(|mut out| {
                out.flush()?;
                out.get_ref().sync_all()
            });
        whole.map_err(at(&self.part))?;
        // Looked at once more: what came meanwhile is not ours to replace.
        if self.path.symlink_metadata().is_ok() {
            return Err(ExportError::Foreign(self.path.clone()));
        }
        fs::rename(&self.part, &self.path).map_err(at(&self.path))?;
        sync_folder_of(&self.path)
    }
}
