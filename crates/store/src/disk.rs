//! What the packs ask of a disk, as a trait, so that tests can put a faulty one beneath them.
//!
//! What is assumed of a real disk: after `sync_data` of a file its octets survive power loss; after
//! `sync_dir` so do the names in that folder. Nothing is assumed of octets or names that were not
//! synced: they may be there, be gone, or be there in part. A failed sync means that nothing is
//! known of what was written since the last good one, and asking again does not help.

mod lock;
mod real;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use lock::LockFile;
pub use real::RealDisk;
pub(crate) use real::network_file_system;

/// A file system, as far as packs use one. Paths are absolute.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Makes a file that must not be there yet (`O_EXCL`), mode 0600, for reading and writing.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there, for reading, or for both.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a file without a name, for a body too large for memory; it goes when it is dropped.
    fn spool(&self, folder: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a folder, mode 0700, and its parents; one that is there is no error.
    fn create_dir_all(&self, folder: &Path) -> io::Result<()>;
    /// Names of the files in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Renames a file within one file system, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; who has it open reads on.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
    /// Octets that an unprivileged writer may still use on the folder's file system.
    fn free_octets(&self, folder: &Path) -> io::Result<u64>;
}

/// One open file of a [`Disk`].
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads up to `buf.len()` octets from `offset`; 0 only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// As `read_at`, but `None` when the octets would have to come from the device: the caller then
    /// reads on a thread that may wait.
    fn read_at_no_wait(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>>;
    /// Writes some of `bytes` at `offset`, which may be past the end, and says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts or extends the file.
    fn set_len(&self, octets: u64) -> io::Result<()>;
    /// The file's size in octets.
    fn octets(&self) -> io::Result<u64>;
    /// Makes contents and size durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// Takes the file's exclusive lock if it is free (`flock`); held until the file is dropped or
    /// the process ends, however it ends.
    fn try_lock(&self) -> io::Result<bool>;
    /// Whether the path names this very file: who has locked one must know that it is the one that
    /// others find, and not one whose name is gone or was given to another.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}
