//! A Maildir. The unique-id is a part of each file's name, which is how an export knows its own again.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use restante_store::maildir::{Draft, Flags, Writer, mark_of, messages};
use restante_store::marks::{self, Marks};
use restante_store::{MessageInfo, UniqueId};

use super::side::Side;
use super::{ExportError, Octets, Out, Unwritten, at, take_folder};

pub(super) struct Maildir {
    path: PathBuf,
    writer: Writer,
    side: Side,
    there: HashSet<UniqueId>,
    drafts: Vec<Draft>,
}

impl Maildir {
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        take_folder(path)?;
        let side = Side::open(&path.join(marks::FILE_NAME))?;
        let writer = Writer::create(path).map_err(at(path))?;
        let names = messages(path).map_err(at(path))?;
        let there = names.iter().filter_map(|entry| {
            let name = entry.path.file_name()?.to_str()?;
            mark_of(name)?.parse().ok()
        });
        Ok(Self {
            path: path.to_owned(),
            there: there.collect(),
            writer,
            side,
            drafts: Vec::new(),
        })
    }
}

/// What is neither read nor starred is as new as when it came.
fn flags(marks: &Marks) -> Option<Flags> {
    let seen = marks.read == Some(true);
    (seen || marks.starred).then(|| Flags {
        seen,
        flagged: marks.starred,
        ..Flags::default()
    })
}

impl Out for Maildir {
    fn has(&mut self, info: &MessageInfo, marks: &Marks) -> Result<bool, ExportError> {
        let is_there = self.there.contains(&info.unique_id);
        if is_there && !self.side.has(info.unique_id, marks) {
            // Its file came before a crash, its line did not.
            self.side.add(info, marks, None, false)?;
        }
        Ok(is_there)
    }

    fn put(
        &mut self,
        info: &MessageInfo,
        marks: &Marks,
        body: &mut Octets,
    ) -> Result<(), Unwritten> {
        let id = info.unique_id.to_string();
        let draft = self.writer.draft(info.received_ms, Some(&id));
        let mut draft = draft.map_err(at(&self.path))?;
        loop {
            let piece = body.next()?;
            if piece.is_empty() {
                break;
            }
            draft.write_all(piece).map_err(at(&self.path))?;
        }
        if let Some(flags) = flags(marks) {
            draft.flag(flags);
        }
        self.drafts.push(draft);
        self.side.add(info, marks, None, false)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        for delivered in self.writer.deliver_all(std::mem::take(&mut self.drafts)) {
            delivered.map_err(at(&self.path))?;
        }
        self.side.flush(0, true)
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        self.side.finish(0)
    }
}
