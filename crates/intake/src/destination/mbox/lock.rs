//! Locks on an mbox, as Debian's policy has them (§11.6): fcntl first, then a dotlock; when that is
//! taken the first is given back, and both are tried again a little later.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::super::limits::{LOCK_OCTETS, LOCK_RETRY, LOCK_STALE};
use super::journal::Journal;

/// The mboxes that this process has locked: fcntl's locks are one process's, and are lost when any of
/// its files of that name is closed.
static OURS: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

/// An mbox, open and locked until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// The dotlock; none where the folder does not let us make one.
    dot: Option<File>,
    leave: bool,
    // Last: given back when all else is.
    _ours: Ours,
}

impl Lock {
    /// Opens an mbox, which is made when missing, and takes the locks. Mends what an earlier holder
    /// left torn.
    ///
    /// # Errors
    /// `WouldBlock` when a lock stays taken; what the file system reports.
    pub(super) fn take(path: &Path, wait: Duration) -> io::Result<Self> {
        let path = resolved(path)?;
        let until = Instant::now() + wait;
        loop {
            match Self::try_take(&path) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= until {
                        return Err(io::Error::new(
                            io::ErrorKind::WouldBlock,
                            format!("{error} ({} s waited)", wait.as_secs()),
                        ));
                    }
                    std::thread::sleep(LOCK_RETRY);
                }
                other => return other,
            }
        }
    }

    fn try_take(path: &Path) -> io::Result<Self> {
        let ours = Ours::take(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is no regular file",
            ));
        }
        lock_file(&file)?;
        if !is_still_there(&file, path)? {
            return Err(taken("it was replaced by another file"));
        }
        let dot = dotlock(path, &file)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            dot,
            leave: false,
            _ours: ours,
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes into the dotlock what is about to be appended, durably.
    pub(super) fn note(&mut self, journal: &Journal) -> io::Result<()> {
        let Some(dot) = &mut self.dot else {
            return Ok(());
        };
        dot.write_all(journal.line().as_bytes())?;
        dot.sync_all()?;
        sync_folder_of(&self.path)
    }

    /// Lets the dotlock stay where it is when the others are given back: the file is torn.
    pub(super) fn leave(&mut self) {
        self.leave = true;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.dot.is_some() && !self.leave {
            // What stays is found to be left over, since its process has ended or no longer holds
            // the other lock.
            let _ = fs::remove_file(dot_beside(&self.path));
        }
    }
}

/// One mbox in [`OURS`].
#[derive(Debug)]
struct Ours(PathBuf);

impl Ours {
    fn take(path: &Path) -> io::Result<Self> {
        let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
        if ours.get_or_insert_default().insert(path.to_owned()) {
            return Ok(Self(path.to_owned()));
        }
        Err(taken("another account of this process holds it"))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ours) = ours.as_mut() {
            ours.remove(&self.0);
        }
    }
}

/// The path by which everybody calls it: without links, so that all have the same dotlock.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            Ok(above.unwrap_or(Path::new(".")).canonicalize()?.join(name))
        }
        other => other,
    }
}

fn taken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, format!("it stays locked: {why}"))
}

#[cfg(unix)]
fn lock_file(file: &File) -> io::Result<()> {
    use rustix::fs::{FlockOperation, fcntl_lock};
    match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            Err(taken("another program holds it by fcntl"))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn lock_file(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(taken("another program holds it")),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the path still names the file that was opened.
#[cfg(unix)]
fn is_still_there(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_still_there(_file: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

pub(super) fn dot_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Makes the dotlock, with our process id in it. Fcntl's lock is held: two that keep to the policy
/// never are here at once.
fn dotlock(path: &Path, mbox: &File) -> io::Result<Option<File>> {
    let dot = dot_beside(path);
    for _ in 0..2 {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
        match options.open(&dot) {
            Ok(mut file) => {
                if let Err(error) = writeln!(file, "{}", std::process::id()) {
                    fs::remove_file(&dot)?;
                    return Err(error);
                }
                return Ok(Some(file));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                mend_left_over(path, &dot, mbox)?;
            }
            // A spool folder in which users make no files: its programs keep to fcntl.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                tracing::debug!(dotlock = %dot.display(), %error, "locking by fcntl alone");
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    Err(taken("its dotlock comes and goes"))
}

/// Removes a dotlock that is left over, when what was done under it is mended.
fn mend_left_over(path: &Path, dot: &Path, mbox: &File) -> io::Result<()> {
    let mut file = match File::open(dot) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    (&mut file).take(LOCK_OCTETS).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let journal = Journal::parse(&text);
    let holder = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    let is_left_over = match holder {
        // With a journal it is one of ours, and whoever writes one holds fcntl's lock too.
        Some(_) if journal.is_some() => true,
        // Ours would be in [`OURS`]: an earlier process had the same id.
        Some(pid) => u32::try_from(pid) == Ok(std::process::id()) || !is_alive(pid),
        None => {
            let modified = file.metadata()?.modified()?;
            let age = SystemTime::now().duration_since(modified);
            age.is_ok_and(|age| age > LOCK_STALE)
        }
    };
    if !is_left_over {
        return Err(taken(&format!("{} is there", dot.display())));
    }
    if let Some(journal) = journal {
        journal.mend(path, mbox)?;
    }
    fs::remove_file(dot)
}

#[cfg(unix)]
fn is_alive(pid: i32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let Some(pid) = Pid::from_raw(pid) else {
        return true;
    };
    test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

#[cfg(not(unix))]
fn is_alive(_pid: i32) -> bool {
    true
}

/// Makes the names in a file's folder durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
