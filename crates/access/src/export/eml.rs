//! A folder with one file a message: written under another name, synced, renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use restante_store::MessageInfo;
use restante_store::marks::{self, Marks};

use super::side::Side;
use super::{ExportError, Octets, Out, Unwritten, at, create_new, sync_folder, take_folder};

pub(super) struct Eml {
    path: PathBuf,
    side: Side,
    waiting: Vec<(File, PathBuf, PathBuf)>,
}

impl Eml {
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        take_folder(path)?;
        let side = Side::open(&path.join(marks::FILE_NAME))?;
        Ok(Self {
            path: path.to_owned(),
            side,
            waiting: Vec::new(),
        })
    }

    fn name(&self, info: &MessageInfo) -> PathBuf {
        self.path.join(format!("{}.eml", info.unique_id))
    }
}

impl Out for Eml {
    fn has(&mut self, info: &MessageInfo, marks: &Marks) -> Result<bool, ExportError> {
        let name = self.name(info);
        match name.symlink_metadata() {
            Ok(data) if data.is_file() && data.len() == info.size => {
                if !self.side.has(info.unique_id, marks) {
                    // The file came before a crash, its line did not.
                    self.side.add(info, marks, None, false)?;
                }
                Ok(true)
            }
            Ok(_) => Err(ExportError::Changed(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(at(&name)(error)),
        }
    }

    fn put(
        &mut self,
        info: &MessageInfo,
        marks: &Marks,
        body: &mut Octets,
    ) -> Result<(), Unwritten> {
        let name = self.name(info);
        // Hidden, so that an import passes over what a crash leaves.
        let part = self.path.join(format!(".{}.part", info.unique_id));
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&part)(error).into());
            }
            _ => {}
        }
        let mut file = create_new(&part).map_err(at(&part))?;
        loop {
            let piece = match body.next() {
                Ok(piece) => piece,
                Err(error) => {
                    // What is left of it is hidden, and gone with the next run at the latest.
                    let _ = fs::remove_file(&part);
                    return Err(error);
                }
            };
            if piece.is_empty() {
                break;
            }
            file.write_all(piece).map_err(at(&part))?;
        }
        self.waiting.push((file, part, name));
        self.side.add(info, marks, None, false)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        for (file, part, _) in &self.waiting {
            file.sync_all().map_err(at(part))?;
        }
        for (_, part, name) in self.waiting.drain(..) {
            fs::rename(&part, &name).map_err(at(&name))?;
        }
        sync_folder(&self.path)?;
        self.side.flush(0, true)
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        self.side.finish(0)
    }
}
