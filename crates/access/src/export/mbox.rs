//! An mbox, written in place: after a crash the file of marks says how much of it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use restante_store::MessageInfo;
use restante_store::marks::{self, Marks};
use restante_store::mbox::Writer;

use super::side::Side;
use super::{ExportError, Octets, Out, Unwritten, at, create_new, sync_folder_of};

/// The file, which counts what is written into it.
struct Counted {
    file: BufWriter<File>,
    octets: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let octets = self.file.write(bytes)?;
        self.octets += octets as u64;
        Ok(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub(super) struct Mbox {
    path: PathBuf,
    side: Side,
    /// `None` only while it is taken apart.
    writer: Option<Writer<Counted>>,
}

impl Mbox {
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        let beside = marks::beside(path);
        let is_there = path.symlink_metadata().is_ok();
        if is_there && !beside.is_file() {
            return Err(ExportError::Foreign(path.to_owned()));
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
            super::make_folder(parent)?;
        }
        if !is_there {
            // Whoever took the mbox away wants it anew.
            match std::fs::remove_file(&beside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&beside)(error));
                }
                _ => {}
            }
        }
        let mut side = Side::open(&beside)?;
        let mut file = match is_there {
            true => OpenOptions::new().read(true).write(true).open(path),
            false => create_new(path),
        }
        .map_err(at(path))?;
        let octets = file.metadata().map_err(at(path))?.len();
        let whole = side.end.map_or(0, |end| end.octets);
        let is_ours = match side.end {
            // No batch of it was ever whole.
            None => true,
            Some(end) if end.goes_on => octets >= whole,
            Some(_) => octets == whole,
        };
        if !is_ours {
            return Err(ExportError::Changed(path.to_owned()));
        }
        sync_folder_of(path)?;
        // From here on what is behind is ours to cut.
        side.flush(whole, true)?;
        let cut = file
            .set_len(whole)
            .and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(at(path))?;
        Ok(Self {
            path: path.to_owned(),
            side,
            writer: Some(Writer::new(Counted {
                file: BufWriter::new(file),
                octets: whole,
            })),
        })
    }

    fn octets(&self) -> u64 {
        self.writer
            .as_ref()
            .map_or(0, |writer| writer.get_ref().octets)
    }

    fn write(
        writer: &mut Writer<Counted>,
        path: &Path,
        info: &MessageInfo,
        body: &mut Octets,
    ) -> Result<Option<u8>, Unwritten> {
        let sender = format!("{}@restante", info.unique_id);
        writer.begin(&sender, info.received_ms).map_err(at(path))?;
        let mut last = None;
        loop {
            let piece = body.next()?;
            let Some(octet) = piece.last() else { break };
            last = Some(*octet);
            writer.write(piece).map_err(at(path))?;
        }
        writer.end().map_err(at(path))?;
        Ok(last)
    }

    /// Takes away what was written behind `offset`.
    fn cut(&mut self, offset: u64) -> Result<(), ExportError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let mut counted = writer.into_inner();
        let cut = counted.file.flush().and_then(|()| {
            let file = counted.file.get_mut();
            file.set_len(offset)?;
            file.seek(SeekFrom::Start(offset))
        });
        counted.octets = cut.map_err(at(&self.path))?;
        self.writer = Some(Writer::new(counted));
        Ok(())
    }

    fn sync(&mut self) -> Result<u64, ExportError> {
        if let Some(writer) = self.writer.take() {
            let mut counted = writer.into_inner();
            let synced = counted
                .flush()
                .and_then(|()| counted.file.get_ref().sync_data());
            self.writer = Some(Writer::new(counted));
            synced.map_err(at(&self.path))?;
        }
        Ok(self.octets())
    }
}

impl Out for Mbox {
    fn has(&mut self, info: &MessageInfo, marks: &Marks) -> Result<bool, ExportError> {
        Ok(self.side.has(info.unique_id, marks))
    }

    fn put(
        &mut self,
        info: &MessageInfo,
        marks: &Marks,
        body: &mut Octets,
    ) -> Result<(), Unwritten> {
        let offset = self.octets();
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        match Self::write(writer, &self.path, info, body) {
            Ok(last) => {
                let line_end_added = last.is_some_and(|octet| octet != b'\n');
                self.side.add(info, marks, Some(offset), line_end_added)?;
                Ok(())
            }
            Err(error) => {
                self.cut(offset)?;
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        let octets = self.sync()?;
        self.side.flush(octets, true)
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        let octets = self.sync()?;
        self.side.finish(octets)
    }
}
