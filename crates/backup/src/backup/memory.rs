//! The last generation of each destination, kept beside the archive: without a key what is there cannot
//! be read. And what a backup has sent that is under way: encrypted anew it would have another name. Both
//! are derived, and may be lost.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::snapshot::private_folder;
use crate::error::{Result, io};
use crate::manifest::{Manifest, Piece};
use crate::repository::Repository;

fn path(data: &Path, repository: &Repository) -> PathBuf {
    data.join("backup")
        .join(format!("{}.manifest", repository.id))
}

/// What was sent and belongs to no generation yet, a line of JSON each.
pub(super) struct Sent {
    before: HashMap<String, Piece>,
    file: Mutex<File>,
}

fn sent_path(data: &Path, repository: &Repository) -> PathBuf {
    data.join("backup").join(format!("{}.sent", repository.id))
}

impl Sent {
    /// Reads what a backup that did not end has sent.
    pub(super) fn open(data: &Path, repository: &Repository) -> Result<Self> {
        private_folder(data)?;
        let path = sent_path(data, repository);
        let text = fs::read_to_string(&path).unwrap_or_default();
        // The last line may be cut off.
        let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        let before = lines.map(|piece: Piece| (piece.digest.clone(), piece));
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(io(format_args!("cannot write {}", path.display())))?;
        Ok(Self {
            before: before.collect(),
            file: Mutex::new(file),
        })
    }

    /// What was sent of these octets, if it was.
    pub(super) fn find(&self, digest: &str, octets: u64) -> Option<&Piece> {
        let piece = self.before.get(digest)?;
        (piece.octets == octets).then_some(piece)
    }

    /// Notes what was sent. Should that be lost, it is sent again.
    pub(super) fn add(&self, piece: &Piece) {
        let Ok(line) = serde_json::to_string(piece) else {
            return;
        };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(format!("\n{line}\n").as_bytes());
    }
}

/// Whether this archive has a generation there.
pub(super) fn has(data: &Path, repository: &Repository) -> bool {
    path(data, repository).exists()
}

pub(super) fn write(data: &Path, repository: &Repository, manifest: &Manifest) -> Result<()> {
    let folder = private_folder(data)?;
    let path = path(data, repository);
    let new = folder.join(format!("{}.new", repository.id));
    let text = manifest.text()?;
    let digest = blake3::hash(text.as_bytes());
    fs::write(&new, format!("{} {digest}\n{text}", manifest.id))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(io(format_args!("cannot write {}", path.display())))?;
    // All of it belongs to a generation now; if it stays, it is of no use.
    let _ = fs::remove_file(sent_path(data, repository));
    Ok(())
}

/// The last generation: as remembered, else as it can be read. Empty: the backup looks at everything.
pub(super) fn last(data: &Path, repository: &Repository) -> Manifest {
    let remembered = fs::read_to_string(path(data, repository)).ok();
    let parsed = remembered.and_then(|text| {
        let (head, rest) = text.split_once('\n')?;
        let (id, digest) = head.split_once(' ')?;
        // What is wrong here would go into every later generation.
        if blake3::hash(rest.as_bytes()).to_hex().as_str() != digest {
            return None;
        }
        Manifest::from_text(id, rest).ok()
    });
    parsed
        .or_else(|| repository.manifest(&repository.newest(None).ok()?).ok())
        .unwrap_or_default()
}
