//! Opening the folder, its locks, and building the index anew.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::index::{Broken, Index, sql};
use super::pack::Packs;
use super::task::{Workers, promise};
use super::writer::{Inbox, Request};
use super::{Inner, Options, catchup, compact, reserve, temporary};
use crate::StoreError;
use crate::disk::{Disk, LockFile, RealDisk, network_file_system};

/// How long opening waits for another process that is just opening or rebuilding.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long opening for itself alone waits: who serves does not end by itself.
const PATIENCE_ALONE: Duration = Duration::from_secs(2);

fn lockable(path: &Path) -> Result<LockFile, StoreError> {
    LockFile::open(path).map_err(|error| unwritable("cannot be opened", path, &error))
}

/// A disk that is read-only stays so: what to do about it is told.
fn unwritable(what: &str, path: &Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => StoreError::Permanent(format!(
            "{}: {error}; locks are needed to read, too: copy the data folder to a disk that can be written, and name the copy with --data",
            path.display()
        )),
        _ => temporary(&format!("{} {what}", path.display()), error),
    }
}

fn asked(taken: std::io::Result<bool>) -> Result<bool, StoreError> {
    taken.map_err(|e| temporary("a lock cannot be taken", &e))
}

/// The folder lock, from exclusive to shared.
fn share(inner: &Inner) -> Result<(), StoreError> {
    let shared = inner.folder_lock.shared();
    shared.map_err(|e| temporary("the folder lock cannot be shared", &e))
}

/// Opens and locks a file; `None` if another holds it.
pub(super) fn lock_file(path: &Path) -> Result<Option<LockFile>, StoreError> {
    let file = lockable(path)?;
    Ok(asked(file.try_exclusive())?.then_some(file))
}

/// Keeps every other process out of a data folder, whether there is a store in it yet or not, until
/// the file is dropped.
///
/// # Errors
/// [`StoreError::Temporary`] while somebody has it open.
pub fn lock_folder(folder: &Path) -> Result<LockFile, StoreError> {
    let fault = |e: std::io::Error| temporary("the data folder cannot be made", &e);
    RealDisk.create_dir_all(folder).map_err(fault)?;
    own(folder)?;
    let file = lockable(&folder.join("lock"))?;
    let since = Instant::now();
    while !asked(file.try_exclusive())? {
        if since.elapsed() > PATIENCE_ALONE {
            let what = "another process uses the data folder: stop it first";
            return Err(StoreError::Temporary(what.into()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(file)
}

pub(super) fn open(
    folder: &Path,
    options: Options,
    inbox: Inbox,
) -> Result<Arc<Inner>, StoreError> {
    let disk = Arc::clone(&options.disk);
    let fault = |e: std::io::Error| temporary("the data folder cannot be made", &e);
    RealDisk.create_dir_all(folder).map_err(fault)?;
    if let Some(kind) = network_file_system(folder).map_err(fault)? {
        return Err(StoreError::Permanent(format!(
            "{} is on a network file system ({kind}), where locks and syncs cannot be trusted: choose a local folder",
            folder.display()
        )));
    }
    let folder = folder.canonicalize().map_err(fault)?;
    own(&folder)?;
    RealDisk
        .create_dir_all(&folder.join("locks"))
        .map_err(fault)?;
    let packs = Packs::new(disk, &folder);
    packs.disk.create_dir_all(&packs.folder).map_err(fault)?;
    packs.disk.sync_dir(&folder).map_err(fault)?;
    let folder_lock = lockable(&folder.join("lock"))?;
    let inner = Arc::new(Inner {
        index: Index::new(&folder, options.map_octets),
        packs: Arc::new(packs),
        folder,
        options,
        inbox,
        workers: Workers::default(),
        last_id: Mutex::new(0),
        reports: Mutex::default(),
        folder_lock,
    });
    enter(&inner)?;
    reserve::keep(&inner);
    Ok(inner)
}

/// Refuses a folder of another user, in which files made now could not be read by that one's
/// service; keeps others out of one's own.
fn own(folder: &Path) -> Result<(), StoreError> {
    let fault = |e: std::io::Error| temporary("the data folder cannot be looked at", &e);
    let there = std::fs::metadata(folder).map_err(fault)?;
    let me = rustix::process::geteuid().as_raw();
    if there.uid() != me {
        let (at, owner) = (folder.display(), there.uid());
        return Err(StoreError::Permanent(format!(
            "the data folder {at} belongs to uid {owner}: run this as its owner (sudo -u '#{owner}' …)"
        )));
    }
    if there.mode() & 0o077 != 0 {
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder, private)
            .map_err(|error| unwritable("cannot be made private", folder, &error))?;
    }
    Ok(())
}

/// Takes the folder lock shared, with the index in order. Whoever is first has it exclusively for a
/// moment, and may replace an index that cannot be used.
fn enter(inner: &Inner) -> Result<(), StoreError> {
    let since = Instant::now();
    loop {
        let alone = asked(inner.folder_lock.try_exclusive())?;
        if !alone && (inner.options.alone || !asked(inner.folder_lock.try_shared())?) {
            if inner.options.alone && since.elapsed() > PATIENCE_ALONE {
                let what = "another process uses the data folder: stop it first";
                return Err(StoreError::Temporary(what.into()));
            }
            if since.elapsed() > PATIENCE {
                let what = "another process has the data folder for itself: try again later";
                return Err(StoreError::Temporary(what.into()));
            }
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let entered = settle(inner, alone);
        if alone && !inner.options.alone {
            // From exclusive to shared; between the two another may slip in, which does no harm.
            share(inner)?;
        }
        return entered;
    }
}

fn settle(inner: &Inner, alone: bool) -> Result<(), StoreError> {
    let usable = match inner.index.check() {
        Ok(()) => match all_there(inner) {
            Err(StoreError::Permanent(_)) if alone && !inner.index.is_sound() => false,
            there => there?,
        },
        Err(Broken::Refuse(error)) => return Err(error),
        Err(Broken::Rebuild) => false,
    };
    if inner.options.rebuild || !usable {
        if !alone {
            let what = "the index has to be made anew while another process uses the folder: stop that one first";
            return Err(StoreError::Temporary(what.into()));
        }
        make_anew(inner)?;
    }
    match ready(inner) {
        // It is derived: what SQLite cannot read is made again, once.
        Err(StoreError::Permanent(_)) if alone && !inner.index.is_sound() => {
            inner.report(vec!["the index is damaged; it is made anew".into()]);
            make_anew(inner)?;
            ready(inner)
        }
        done => done,
    }
}

/// Builds the index, and tells when it has fewer messages than the one before.
fn make_anew(inner: &Inner) -> Result<(), StoreError> {
    let count = || {
        let sum = "SELECT coalesce(sum(count), 0) FROM mailboxes WHERE removed_ms IS NULL";
        inner
            .index
            .read(|c| c.query_row(sum, [], |row| row.get::<_, i64>(0)))
    };
    let before = if inner.index.check().is_ok() {
        count().ok()
    } else {
        None
    };
    build(inner, &mut |octets| inner.options.progress.tell(octets))?;
    let after = count()?;
    if let Some(before) = before.filter(|before| *before > after) {
        inner.report(vec![format!(
            "the packs hold {after} messages, {} fewer than the index knew",
            before - after
        )]);
    }
    Ok(())
}

/// Brings the index up to the packs.
fn ready(inner: &Inner) -> Result<(), StoreError> {
    let mut c = inner.index.connect()?;
    compact::finish_half_done(inner, &mut c)?;
    catchup::catch_up_all(inner, &mut c, &mut |octets| {
        inner.options.progress.tell(octets);
    })?;
    // Stamps and views follow the same clock: after it went back, a rename must still count.
    let last: Option<[u8; 16]> = c
        .query_row(
            "SELECT max(id) FROM (
                 SELECT max(unique_id) AS id FROM messages UNION ALL
                 SELECT max(stamp) FROM mailboxes UNION ALL
                 SELECT max(release_stamp) FROM mailboxes UNION ALL
                 SELECT max(view) FROM views)",
            [],
            |row| row.get(0),
        )
        .map_err(sql)?;
    *super::task::lock(&inner.last_id) = last.map_or(0, u128::from_be_bytes);
    Ok(())
}

/// Whether the packs that the index knows are there; not so if it is older than a compaction. A pack
/// that is gone without another in its place is mail that is gone: that is never passed over.
fn all_there(inner: &Inner) -> Result<bool, StoreError> {
    let known = |()| inner.index.read(super::index::pack_numbers);
    let missing = |numbers: &[u32]| -> Result<Vec<u32>, StoreError> {
        let there = inner.packs.list();
        let there = there.map_err(|e| temporary("the packs cannot be listed", &e))?;
        let gone = numbers.iter().filter(|n| there.binary_search(n).is_err());
        Ok(gone.copied().collect())
    };
    let gone = missing(&known(())?)?;
    if gone.is_empty() {
        return Ok(true);
    }
    // A compactor may have taken one away just now: then the index does not speak of it any more.
    let still = known(())?;
    let mut gone: Vec<u32> = gone.into_iter().filter(|n| still.contains(n)).collect();
    if gone.is_empty() {
        return Ok(true);
    }
    if inner.options.accept_missing {
        return Ok(false);
    }
    let there = inner.packs.list();
    for number in there.map_err(|e| temporary("the packs cannot be listed", &e))? {
        if let Some(head) = inner.packs.head(number)? {
            gone.retain(|old| !head.replaces.contains(old));
        }
    }
    let Some(number) = gone.first() else {
        return Ok(false);
    };
    Err(StoreError::Permanent(format!(
        "pack {number:06} is missing: put it back (is the disk mounted?), or run `restante rebuild --accept-missing` to go on without it"
    )))
}

/// Builds an index beside the one that is there, then puts it in its place.
fn build(inner: &Inner, progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
    let fault = |e: std::io::Error| temporary("the new index cannot take its place", &e);
    let new = inner.index.beside();
    new.create()?;
    let mut c = new.connect()?;
    compact::discard_unfinished(inner)?;
    catchup::catch_up_all(inner, &mut c, progress)?;
    let place = c.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    place.map_err(sql)?;
    drop(c);
    std::fs::File::open(&new.path)
        .and_then(|file| file.sync_all())
        .map_err(fault)?;
    inner.index.disconnect();
    // The old file first: without its log it could be taken for a whole one.
    for suffix in ["", "-wal", "-shm"] {
        let mut path = inner.index.path.clone().into_os_string();
        path.push(suffix);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fault(e)),
            _ => {}
        }
    }
    std::fs::rename(&new.path, &inner.index.path).map_err(fault)?;
    inner.index.disconnect();
    Ok(())
}

/// Builds the index anew while the store is open: alone in the folder, between two batches.
pub(super) fn rebuild(inner: &Arc<Inner>, progress: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
    let _compactor = compact::lock(inner)?;
    if !asked(inner.folder_lock.try_exclusive())? {
        // A failed conversion may have lost the shared lock.
        share(inner)?;
        let what = "another process uses the data folder: stop it first";
        return Err(StoreError::Temporary(what.into()));
    }
    let (told, hear) = std::sync::mpsc::channel();
    let (promise, answer) = promise();
    let work = Arc::clone(inner);
    inner.send(Request::Between(Box::new(move |writer| {
        writer.c = None;
        // The writer's own pack is locked by itself, and whole up to its end: it lets go of it.
        writer.release();
        promise.keep(build(&work, &mut |octets| {
            let _ = told.send(octets);
        }));
    })));
    for octets in hear {
        progress(octets);
    }
    let built = super::task::wait(answer);
    share(inner)?;
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_read_only_is_told_as_such() {
        let path = Path::new("/archive/lock");
        let told = |kind: std::io::ErrorKind| unwritable("cannot be opened", path, &kind.into());
        let error = told(std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(matches!(error, StoreError::Permanent(_)));
        let text = error.to_string();
        assert!(
            text.contains("/archive/lock") && text.contains("--data"),
            "{text}"
        );
        let error = told(std::io::ErrorKind::PermissionDenied);
        assert!(matches!(error, StoreError::Temporary(_)));
        assert!(error.to_string().contains("/archive/lock"), "{error}");
    }
}
