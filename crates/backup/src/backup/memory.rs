//! The last generation of each destination, kept beside the archive: without a key what is there cannot
//! be read. Derived, and may be lost.

use std::fs;
use std::path::{Path, PathBuf};

use super::snapshot::private_folder;
use crate::error::{Result, io};
use crate::manifest::Manifest;
use crate::repository::Repository;

fn path(data: &Path, repository: &Repository) -> PathBuf {
    data.join("backup")
        .join(format!("{}.manifest", repository.id))
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
        .map_err(io(format_args!("cannot write {}", path.display())))
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
