//! A disk in memory that fails on demand, and that can be looked at as it would be found after the
//! power went at any moment of its history.
//!
//! Every operation that changes something is recorded. [`FaultyDisk::crash_at`] plays the first so
//! many of them again on the [`model`] of what is durable, and gives an [`Image`]: what a machine
//! that lost power then may find. A [`Fault`] makes one operation, or all from one on, fail.
//!
//! A failed sync loses what it should have made durable for good, as Linux does: a later sync that
//! succeeds does not bring it back.

pub mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use restante_store::disk::{Disk, DiskFile};

pub use model::{Crash, Image};
use model::{FileId, Operation, State};

/// What an operation does, for [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Disk::create_new`] and [`Disk::spool`].
    Create,
    /// [`Disk::open`].
    Open,
    /// [`Disk::list`].
    List,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::unlink`].
    Unlink,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`DiskFile::read_at`].
    Read,
    /// [`DiskFile::write_at`].
    Write,
    /// [`DiskFile::set_len`].
    SetLen,
    /// [`DiskFile::sync_data`].
    SyncData,
}

/// Which error an operation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errno {
    /// The device failed.
    Io,
    /// No space is left.
    NoSpace,
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::Io => io::Error::other("input/output error (injected)"),
            Errno::NoSpace => io::ErrorKind::StorageFull.into(),
        }
    }
}

/// An operation that is to fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Of which kind.
    pub kind: Kind,
    /// Which of them, counted from 0 since the disk was made.
    pub nth: u64,
    /// How.
    pub errno: Errno,
    /// Whether all later ones of that kind fail too.
    pub lasting: bool,
    /// Whether a failing write leaves the first half of its octets, as a full disk does.
    pub torn: bool,
}

#[derive(Default)]
struct World {
    /// What was there when the disk was made.
    start: State,
    now: State,
    history: Vec<Operation>,
    counts: BTreeMap<Kind, u64>,
    faults: Vec<Fault>,
    dead: bool,
    short_writes: bool,
    cold: bool,
    free: Option<u64>,
    locked: BTreeSet<FileId>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    world: Arc<Mutex<World>>,
}

impl std::fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyDisk").finish_non_exhaustive()
    }
}

impl FaultyDisk {
    /// A disk with one empty folder, `root`, that is durable.
    pub fn new(root: &Path) -> Self {
        Self::from_image(root, &Image::default())
    }

    /// A disk that holds an image under `root`, all of it durable.
    pub fn from_image(root: &Path, image: &Image) -> Self {
        let start = State::from_image(root, image);
        let world = World {
            now: start.clone(),
            start,
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        Self { world }
    }

    /// How many operations the history has.
    pub fn operations(&self) -> usize {
        self.world().history.len()
    }

    /// How many operations of a kind were asked for, failed ones included.
    pub fn count(&self, kind: Kind) -> u64 {
        self.world().counts.get(&kind).copied().unwrap_or(0)
    }

    /// Adds a fault.
    pub fn fail(&self, fault: Fault) {
        self.world().faults.push(fault);
    }

    /// Takes all faults away.
    pub fn mend(&self) {
        self.world().faults.clear();
    }

    /// From now on everything fails with EIO and nothing changes: the process is as good as dead.
    pub fn power_off(&self) {
        self.world().dead = true;
    }

    /// Whether each write takes only half of what it is given (but one octet at least).
    pub fn set_short_writes(&self, short: bool) {
        self.world().short_writes = short;
    }

    /// Whether `read_at_no_wait` finds nothing in memory.
    pub fn set_cold(&self, cold: bool) {
        self.world().cold = cold;
    }

    /// What `free_octets` tells; `None` is plenty.
    pub fn set_free(&self, octets: Option<u64>) {
        self.world().free = octets;
    }

    /// What is found under the root when the power went after the first `operations` operations.
    pub fn crash_at(&self, operations: usize, how: Crash) -> Image {
        let world = self.world();
        let mut state = world.start.clone();
        for operation in &world.history[..operations] {
            state.apply(operation);
        }
        state.crash(how)
    }

    /// What is there now, synced or not.
    pub fn image(&self) -> Image {
        self.world().now.crash(Crash::KeepAll)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, file: FileId) -> Arc<dyn DiskFile> {
        let lock = Mutex::new(false);
        let disk = self.clone();
        Arc::new(Handle { disk, file, lock })
    }
}

impl World {
    /// Counts an operation, and says which fault it meets.
    fn meet(&mut self, kind: Kind) -> Option<Fault> {
        let count = self.counts.entry(kind).or_default();
        let nth = *count;
        *count += 1;
        if self.dead {
            return Some(Fault {
                kind,
                nth,
                errno: Errno::Io,
                lasting: true,
                torn: false,
            });
        }
        let due = |f: &&Fault| f.kind == kind && (f.nth == nth || f.lasting && f.nth < nth);
        self.faults.iter().find(due).copied()
    }

    fn check(&mut self, kind: Kind) -> io::Result<()> {
        self.meet(kind)
            .map_or(Ok(()), |fault| Err(fault.errno.into()))
    }

    fn record(&mut self, operation: Operation) {
        self.now.apply(&operation);
        self.history.push(operation);
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.check(Kind::Create)?;
        world.now.may_create(path)?;
        let file = world.now.next_file();
        world.record(Operation::Create(path.to_owned(), file));
        drop(world);
        Ok(self.handle(file))
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.check(Kind::Open)?;
        let file = world.now.find(path)?;
        drop(world);
        Ok(self.handle(file))
    }

    fn spool(&self, _folder: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.check(Kind::Create)?;
        let file = world.now.next_file();
        world.record(Operation::Spool(file));
        drop(world);
        Ok(self.handle(file))
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Kind::Create)?;
        for missing in world.now.missing_folders(folder) {
            world.record(Operation::CreateDir(missing));
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.check(Kind::List)?;
        world.now.list(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Kind::Rename)?;
        world.now.find(from)?;
        world.record(Operation::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Kind::Unlink)?;
        world.now.find(path)?;
        world.record(Operation::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.check(Kind::SyncDir)?;
        world.now.list(folder)?;
        world.record(Operation::SyncDir(folder.to_owned()));
        Ok(())
    }

    fn free_octets(&self, _folder: &Path) -> io::Result<u64> {
        Ok(self.world().free.unwrap_or(u64::MAX / 2))
    }
}

#[derive(Debug)]
struct Handle {
    disk: FaultyDisk,
    file: FileId,
    /// Whether this handle holds the file's lock.
    lock: Mutex<bool>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if *self.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            self.disk.world().locked.remove(&self.file);
        }
    }
}

impl Handle {
    fn read(&self, world: &mut World, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        world.check(Kind::Read)?;
        let bytes = world.now.content(self.file);
        let start = bytes
            .len()
            .min(usize::try_from(offset).unwrap_or(usize::MAX));
        let octets = buf.len().min(bytes.len() - start);
        buf[..octets].copy_from_slice(&bytes[start..start + octets]);
        Ok(octets)
    }
}

impl DiskFile for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read(&mut self.disk.world(), buf, offset)
    }

    fn read_at_no_wait(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let mut world = self.disk.world();
        if world.cold {
            return Ok(None);
        }
        self.read(&mut world, buf, offset).map(Some)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        let fault = world.meet(Kind::Write);
        let half = (bytes.len() / 2).max(1).min(bytes.len());
        let taken = match fault {
            Some(fault) if !fault.torn => return Err(fault.errno.into()),
            Some(_) => bytes.len() / 2,
            None if world.short_writes => half,
            None => bytes.len(),
        };
        world.record(Operation::Write(self.file, offset, bytes[..taken].into()));
        fault.map_or(Ok(taken), |fault| Err(fault.errno.into()))
    }

    fn set_len(&self, octets: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.check(Kind::SetLen)?;
        world.record(Operation::SetLen(self.file, octets));
        Ok(())
    }

    fn octets(&self) -> io::Result<u64> {
        Ok(self.disk.world().now.content(self.file).len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let checked = world.check(Kind::SyncData);
        match &checked {
            Ok(()) => world.record(Operation::SyncData(self.file)),
            Err(_) => world.record(Operation::SyncFailed(self.file)),
        }
        checked
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut mine = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !*mine {
            *mine = self.disk.world().locked.insert(self.file);
        }
        Ok(*mine)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(self.disk.world().now.find(path).ok() == Some(self.file))
    }
}

/// The kinds of which a store's workload is worth failing each.
pub const KINDS: [Kind; 9] = [
    Kind::Create,
    Kind::Open,
    Kind::List,
    Kind::Rename,
    Kind::Unlink,
    Kind::SyncDir,
    Kind::Write,
    Kind::SetLen,
    Kind::SyncData,
];

/// Writes all of `bytes`, however short the writes are.
pub fn write_all(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let octets = file.write_at(bytes, offset)?;
        bytes = &bytes[octets..];
        offset += octets as u64;
    }
    Ok(())
}

/// A path below the root of a disk, as an [`Image`] names it.
pub fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    path.strip_prefix(root).ok().map(Path::to_owned)
}
