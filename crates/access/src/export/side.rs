//! The file of marks beside an export: what was written, and where to go on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use restante_store::marks::{self, End, Line, Lines, Marks, Said};
use restante_store::{MessageInfo, UniqueId};

use super::{ExportError, at, create_new, sync_folder_of};

/// What stands in the file, some 200 octets a message.
struct Known {
    digest: [u8; 32],
    received_ms: u64,
    offset: Option<u64>,
    line_end_added: bool,
    marks: Marks,
}

/// The file, and what is in it.
pub(super) struct Side {
    path: PathBuf,
    file: File,
    known: HashMap<UniqueId, Known>,
    /// Lines of messages that are not durable yet.
    waiting: Vec<u8>,
    /// Where the export ended when this run began; `None` for a new one.
    pub(super) end: Option<End>,
    changed: bool,
}

impl Side {
    /// Opens the file, or makes it. Lines behind the last end are as good as not there.
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        let known = HashMap::new();
        match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => {
                let mut side = Self {
                    path: path.to_owned(),
                    file,
                    known,
                    waiting: Vec::new(),
                    end: None,
                    changed: false,
                };
                side.read().map_err(at(path))?;
                side.rewrite()?;
                Ok(side)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut file = create_new(path).map_err(at(path))?;
                let head = marks::write_head(&mut file).and_then(|()| file.sync_all());
                head.map_err(at(path))?;
                sync_folder_of(path)?;
                Ok(Self {
                    path: path.to_owned(),
                    file,
                    known,
                    waiting: Vec::new(),
                    end: None,
                    changed: false,
                })
            }
            Err(error) => Err(at(path)(error)),
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut lines = match Lines::new(BufReader::new(&self.file)) {
            Ok(lines) => lines,
            // A crash came before its first line was there.
            Err(_) if self.file.metadata()?.len() == 0 => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut batch = Vec::new();
        while let Some(said) = lines.next_said()? {
            match said {
                Said::Message(line) => batch.push(line),
                Said::End(end) => {
                    self.end = Some(end);
                    self.known
                        .extend(batch.drain(..).filter_map(|line| known(*line)));
                }
            }
        }
        Ok(())
    }

    /// Whether the message was exported; its marks are those from now on.
    pub(super) fn has(&mut self, id: UniqueId, marks: &Marks) -> bool {
        let Some(known) = self.known.get_mut(&id) else {
            return false;
        };
        if known.marks != *marks {
            known.marks.clone_from(marks);
            self.changed = true;
        }
        true
    }

    /// Notes a message that is written, and not durable yet.
    pub(super) fn add(
        &mut self,
        info: &MessageInfo,
        marks: &Marks,
        offset: Option<u64>,
        line_end_added: bool,
    ) -> Result<(), ExportError> {
        let known = Known {
            digest: info.digest,
            received_ms: info.received_ms,
            offset,
            line_end_added,
            marks: marks.clone(),
        };
        let written = marks::write_line(&mut self.waiting, &line(info.unique_id, &known));
        written.map_err(at(&self.path))?;
        self.known.insert(info.unique_id, known);
        Ok(())
    }

    /// Names what was made durable.
    pub(super) fn flush(&mut self, octets: u64, goes_on: bool) -> Result<(), ExportError> {
        let end = End { octets, goes_on };
        let written = self
            .file
            .write_all(&self.waiting)
            .and_then(|()| marks::write_end(&mut self.file, end))
            .and_then(|()| self.file.sync_data());
        self.waiting.clear();
        self.end = Some(end);
        written.map_err(at(&self.path))
    }

    /// Ends the export.
    pub(super) fn finish(&mut self, octets: u64) -> Result<(), ExportError> {
        match self.changed {
            false => self.flush(octets, false),
            true => {
                self.waiting.clear();
                self.end = Some(End {
                    octets,
                    goes_on: false,
                });
                self.rewrite()
            }
        }
    }

    /// All lines, as the file has them.
    pub(super) fn write_all(&self, out: &mut dyn Write) -> io::Result<()> {
        marks::write_head(out)?;
        let mut ids: Vec<_> = self.known.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(known) = self.known.get(&id) {
                marks::write_line(out, &line(id, known))?;
            }
        }
        match self.end {
            Some(end) => marks::write_end(out, end),
            None => Ok(()),
        }
    }

    /// Puts a new file in the place of the old one.
    fn rewrite(&mut self) -> Result<(), ExportError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&part)(error)),
            _ => {}
        }
        let file = create_new(&part).map_err(at(&part))?;
        let mut out = BufWriter::new(file);
        let written = self.write_all(&mut out).and_then(|()| out.flush());
        written
            .and_then(|()| out.get_ref().sync_all())
            .and_then(|()| fs::rename(&part, &self.path))
            .map_err(at(&part))?;
        sync_folder_of(&self.path)?;
        self.file = out
            .into_inner()
            .map_err(|error| at(&part)(error.into_error()))?;
        self.changed = false;
        Ok(())
    }
}

fn line(id: UniqueId, known: &Known) -> Line {
    Line {
        digest: marks::hex(&known.digest),
        id: id.to_string(),
        received_ms: known.received_ms,
        offset: known.offset,
        line_end_added: known.line_end_added,
        marks: known.marks.clone(),
    }
}

/// `None`: the line names no message that could be ours.
fn known(line: Line) -> Option<(UniqueId, Known)> {
    let known = Known {
        digest: marks::unhex(&line.digest)?,
        received_ms: line.received_ms,
        offset: line.offset,
        line_end_added: line.line_end_added,
        marks: line.marks,
    };
    Some((line.id.parse().ok()?, known))
}
