//! `state.db` as it is at one moment, while others write to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::{Result, io, sql};
use crate::repository::random_hex;

/// A copy that is older than this is left over from a backup that was killed: copying takes seconds.
const LEFT_OVER: Duration = Duration::from_secs(60 * 60);

/// The folder for what backups keep beside the archive.
pub(super) fn private_folder(data: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = data.join("backup");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(io(format_args!("cannot make {}", folder.display())))?;
    Ok(folder)
}

/// The octets of a consistent copy; `None` when there is no `state.db`.
pub(super) fn of_state(data: &Path) -> Result<Option<Vec<u8>>> {
    let source = data.join("state.db");
    if !source.exists() {
        return Ok(None);
    }
    let folder = private_folder(data)?;
    remove_left_over(&folder);
    let to = folder.join(format!("state-{}.db", random_hex()));
    let copied = copy(&source, &to)
        .and_then(|()| fs::read(&to).map_err(io("the copy of state.db cannot be read")));
    let _ = fs::remove_file(&to);
    copied.map(Some)
}

/// Copies hold hashes of passwords, and are not to stay. What cannot be removed now goes another time.
fn remove_left_over(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let modified = entry.metadata().and_then(|data| data.modified()).ok();
        let age = modified.and_then(|at| at.elapsed().ok());
        if name.to_string_lossy().starts_with("state-") && age.is_some_and(|age| age > LEFT_OVER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// SQLite's own online backup: a consistent state while others write.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let doing = "state.db cannot be copied";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(sql(doing))?;
    source
        .busy_timeout(std::time::Duration::from_secs(10))
        .map_err(sql(doing))?;
    let mut target = Connection::open(to).map_err(sql(doing))?;
    {
        let copy = rusqlite::backup::Backup::new(&source, &mut target).map_err(sql(doing))?;
        copy.run_to_completion(1_000, std::time::Duration::from_millis(2), None)
            .map_err(sql(doing))?;
    }
    // On its own, without a log beside it.
    target
        .pragma_update(None, "journal_mode", "DELETE")
        .map_err(sql(doing))
}
