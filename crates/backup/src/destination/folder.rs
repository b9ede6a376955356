//! A folder on any disk that is mounted. Each object is written under another name, synced, then
//! renamed; `sync` makes the names durable.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use super::{Destination, Item, UNFINISHED};
use crate::backup::now_ms;
use crate::error::{BackupError, Result, io as doing};
use crate::limits::LEASE_STALE;
use crate::repository::{is_random, random_hex};

/// Octets that are read at once where nothing is kept: they stay in the processor's cache.
const READ_OCTETS: usize = 128 * 1024;

pub(super) struct Folder {
    root: PathBuf,
    /// Folders with names that are not durable yet.
    dirty: Mutex<BTreeSet<PathBuf>>,
}

fn too_large(name: &str) -> BackupError {
    BackupError::Damage(format!("{name} is too large"))
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        let dirty = Mutex::default();
        Self { root, dirty }
    }

    fn failed(&self, what: &str, error: &io::Error) -> BackupError {
        let at = self.root.display();
        if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return BackupError::Io(format!(
                "{at} is full: make room there, or keep fewer generations; earlier backups are whole"
            ));
        }
        BackupError::Io(format!("{what} in {at}: {error}"))
    }

    /// What a disk cannot read any more is damage like any other: it is named, and the rest goes on.
    fn unread(&self, name: &str, error: &io::Error) -> BackupError {
        if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
            return BackupError::Damage(format!("{name} cannot be read: {error}"));
        }
        self.failed(&format!("cannot read {name}"), error)
    }

    /// Notes a folder with a new name in it, and those above: who made them may have ended before they
    /// were synced.
    fn note(&self, folder: &Path) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let above = folder.ancestors();
        dirty.extend(
            above
                .take_while(|at| at.starts_with(&self.root))
                .map(Path::to_owned),
        );
        // The root's own name, where it was made just now.
        if !folder.starts_with(&self.root) {
            let _ = dirty.insert(folder.to_owned());
        }
    }

    /// Makes a folder and notes those whose names are new.
    fn make(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make(parent)?;
            self.note(parent);
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.root.join(UNFINISHED);
        self.make(&unfinished)?;
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        self.make(folder)?;
        let before = unfinished.join(random_hex());
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&before)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            fs::rename(&before, &path)
        };
        let written = write();
        if written.is_err() {
            // It has no use; should it stay, `tidy` finds it.
            let _ = fs::remove_file(&before);
        }
        self.note(folder);
        written
    }

    fn open(&self, name: &str) -> Result<Option<File>> {
        match File::open(self.root.join(name)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.unread(name, &e)),
        }
    }

    fn walk(&self, folder: &Path, found: &mut Vec<Item>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            let data = match entry.metadata() {
                Ok(data) => data,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if data.is_dir() {
                self.walk(&entry.path(), found)?;
                continue;
            }
            let path = entry.path();
            let Some(name) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else {
                continue;
            };
            let modified = data.modified().ok();
            let modified = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            found.push(Item {
                name: name.to_owned(),
                octets: data.len(),
                modified_ms: modified.map_or(0, |d| d.as_millis() as u64),
            });
        }
        Ok(())
    }
}

impl Destination for Folder {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write(name, bytes)
            .map_err(|e| self.failed(&format!("cannot write {name}"), &e))
    }

    fn keep(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        self.note(path.parent().unwrap_or(&self.root));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in &*dirty {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|e| self.failed("cannot sync", &e))?;
        }
        dirty.clear();
        Ok(())
    }

    fn get(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(name)? else {
            return Ok(None);
        };
        let octets = file.metadata().map_or(0, |data| data.len());
        let mut bytes = Vec::with_capacity(octets.min(most) as usize + 1);
        file.take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| self.unread(name, &e))?;
        if bytes.len() as u64 > most {
            return Err(too_large(name));
        }
        Ok(Some(bytes))
    }

    fn digest(&self, name: &str, most: u64) -> Result<Option<(u64, blake3::Hash)>> {
        let Some(mut file) = self.open(name)? else {
            return Ok(None);
        };
        let (mut octets, mut hasher) = (0, blake3::Hasher::new());
        let mut buffer = vec![0; READ_OCTETS];
        loop {
            let read = file.read(&mut buffer).map_err(|e| self.unread(name, &e))?;
            if read == 0 {
                return Ok(Some((octets, hasher.finalize())));
            }
            octets += read as u64;
            if octets > most {
                return Err(too_large(name));
            }
            let _ = hasher.update(&buffer[..read]);
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Item>> {
        let mut found = Vec::new();
        self.walk(&self.root.join(prefix), &mut found)
            .map_err(doing(format_args!("cannot list {}", self.root.display())))?;
        Ok(found)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(self.failed(&format!("cannot remove {name}"), &e))
            }
            _ => {
                self.note(path.parent().unwrap_or(&self.root));
                Ok(())
            }
        }
    }

    fn tidy(&self) -> Result<()> {
        let mut left = Vec::new();
        self.walk(&self.root.join(UNFINISHED), &mut left)
            .map_err(doing(format_args!("cannot list {}", self.root.display())))?;
        let now = now_ms();
        left.iter()
            .filter(|item| item.name.strip_prefix(UNFINISHED).is_some_and(is_random))
            // Who arrives just now has a lease half written.
            .filter(|item| now.saturating_sub(item.modified_ms) > LEASE_STALE.as_millis() as u64)
            .try_for_each(|item| self.delete(&item.name))
    }
}
