//! Locks on files, between processes and within one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// A file that can be locked. Dropping it gives the lock back, also while a child process that is just
/// being started has a copy of it: until that becomes another program the kernel would keep the lock.
#[derive(Debug)]
pub struct LockFile(File);

impl LockFile {
    /// Opens a file that is there for its lock; makes it, mode 0600, if it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600).open(path).map(Self)
    }

    /// Takes the lock alone; false while another has it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn try_exclusive(&self) -> io::Result<bool> {
        self.ask(FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the lock with others; false while one has it alone.
    pub(crate) fn try_shared(&self) -> io::Result<bool> {
        self.ask(FlockOperation::NonBlockingLockShared)
    }

    /// Takes the lock with others, and waits for it.
    pub(crate) fn shared(&self) -> io::Result<()> {
        Ok(flock(&self.0, FlockOperation::LockShared)?)
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    fn ask(&self, how: FlockOperation) -> io::Result<bool> {
        match flock(&self.0, how) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<File> for LockFile {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_with_its_holder_though_a_child_has_a_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || LockFile::open(&folder.path().join("lock")).expect("opened");
        let held = open();
        assert!(held.try_exclusive().expect("asked"));
        // What fork does: the same open file once more.
        let _of_a_child = held.0.try_clone().expect("a copy");
        assert!(!open().try_exclusive().expect("asked"));
        drop(held);
        assert!(open().try_exclusive().expect("asked"));
    }
}
