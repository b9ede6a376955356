//! A generation's files, written beside the archive first: `restore-<generation>/`.
//!
//! A pack has its name there once all of it is checked and synced, so that a restore that was cut off
//! goes on where it was. `complete` says that all is there: from then on it is finished, by whoever
//! opens the folder next; without it the archive is as it was. `damaged` says that packs have their names
//! although they are not whole: one that is not complete is begun anew, and from one that is the archive is
//! salvaged when it is in its place.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use restante_store::embedded::{EmbeddedStore, Finding, Options, PackReader, lock_folder, salvage};

use crate::error::{BackupError, Result, io};
use crate::limits::{PIECE_OCTETS, PIECES_AT_ONCE};
use crate::manifest::{Manifest, Pack, Piece};
use crate::pace::{Hooks, parallel};
use crate::repository::Repository;

const PREFIX: &str = "restore-";
const COMPLETE: &str = "complete";
const DAMAGED: &str = "damaged";

/// Packs that are written at once.
const PACKS_AT_ONCE: usize = 8;

/// Damage that was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// What is damaged at the destination, one line each.
    pub(crate) objects: Vec<String>,
    /// Their names.
    pub(crate) bad: BTreeSet<String>,
    /// What that means for messages, one line each.
    pub(crate) messages: Vec<String>,
    /// Files with damage, which have not their names yet: a name says that a file was checked.
    unnamed: Vec<(PathBuf, PathBuf)>,
}

impl Damage {
    /// Takes what is damaged in `folder` as it is: from now on it has its name.
    pub(crate) fn accept(&self, folder: &Path) -> Result<()> {
        if !self.unnamed.is_empty() {
            mark(folder, DAMAGED)?;
        }
        for (from, to) in &self.unnamed {
            fs::rename(from, to).map_err(io(format_args!("cannot write {}", to.display())))?;
        }
        Ok(())
    }
}

/// Makes an empty file that says something of a folder, durably.
fn mark(folder: &Path, name: &str) -> Result<()> {
    File::create(folder.join(name))
        .and_then(|file| file.sync_all())
        .map_err(io("a restore cannot be completed"))?;
    sync_folder(folder)
}

pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io(format_args!("cannot make {}", folder.display())))
}

pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io(format_args!("cannot sync {}", folder.display())))
}

/// The numbers of a folder's packs.
pub(crate) fn has_packs(data: &Path) -> Result<bool> {
    let entries = match fs::read_dir(data.join("packs")) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(io("cannot read packs/")(e)),
    };
    for entry in entries {
        let entry = entry.map_err(io("cannot read packs/"))?;
        if entry.file_name().to_string_lossy().ends_with(".mbox.zst") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a generation is staged in a data folder; what is left of others that were never complete
/// goes, and what was taken damaged.
pub(crate) fn folder_for(data: &Path, generation: &str) -> Result<PathBuf> {
    let own = data.join(format!("{PREFIX}{generation}"));
    for other in staged(data)? {
        let goes_on = other == own && !other.join(DAMAGED).exists();
        if !goes_on && !other.join(COMPLETE).exists() {
            fs::remove_dir_all(&other)
                .map_err(io(format_args!("cannot remove {}", other.display())))?;
        }
    }
    Ok(own)
}

fn staged(data: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io(format_args!("cannot read {}", data.display()))(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io(format_args!("cannot read {}", data.display())))?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Writes all files of a generation into `folder`.
pub(crate) fn fetch(
    repository: &Repository,
    manifest: &Manifest,
    folder: &Path,
    hooks: &Hooks<'_>,
) -> Result<Damage> {
    let packs = folder.join("packs");
    make_folder(&packs)?;
    let mut damage = Damage::default();
    for group in manifest.packs.chunks(PACKS_AT_ONCE) {
        fetch_group(repository, group, &packs, hooks, &mut damage)?;
    }
    if !manifest.state.is_empty() {
        let path = folder.join("state.db");
        let bad = write_file(repository, &manifest.state, &path, hooks)?;
        if !bad.is_empty() {
            damage.unnamed.push((unfinished(&path), path.clone()));
            let names = bad.iter().map(|at| manifest.state[*at].object.clone());
            damage.bad.extend(names);
            damage.objects.extend(bad.iter().map(|at| {
                format!(
                    "state.db (users, accounts): object {}",
                    manifest.state[*at].object
                )
            }));
        }
    }
    sync_folder(&packs)?;
    sync_folder(folder)?;
    Ok(damage)
}

fn pack_name(pack: &Pack) -> String {
    format!("{:06}.mbox.zst", pack.number)
}

fn fetch_group(
    repository: &Repository,
    group: &[Pack],
    packs: &Path,
    hooks: &Hooks<'_>,
    damage: &mut Damage,
) -> Result<()> {
    for pack in group {
        let path = packs.join(pack_name(pack));
        // Its name says that it was checked.
        if fs::metadata(&path).is_ok_and(|data| data.len() == pack.octets) {
            hooks.pass(pack.octets)?;
            continue;
        }
        let bad = write_file(repository, &pack.pieces, &path, hooks)?;
        let mut ranges = BTreeSet::new();
        for at in bad {
            let start = (at * PIECE_OCTETS) as u64;
            let piece = &pack.pieces[at];
            let to = start + piece.octets;
            damage.objects.push(format!(
                "pack {:06}, octets {start} to {to}: object {}",
                pack.number, piece.object
            ));
            let _ = damage.bad.insert(piece.object.clone());
            let _ = ranges.insert((start, to));
        }
        if !ranges.is_empty() {
            let unfinished = unfinished(&path);
            name_lost(pack, &unfinished, &ranges, damage)?;
            damage.unnamed.push((unfinished, path));
        }
    }
    Ok(())
}

/// Says which messages damaged pieces cost.
fn name_lost(
    pack: &Pack,
    path: &Path,
    ranges: &BTreeSet<(u64, u64)>,
    damage: &mut Damage,
) -> Result<()> {
    let number = pack.number;
    let reader = PackReader::open(path, Some(pack.octets))
        .map_err(io(format_args!("cannot read {}", path.display())))?;
    let before = damage.messages.len();
    reader.examine(0, true, &mut |finding| {
        if let Finding::Message(message) = finding
            && !message.good
        {
            damage
                .messages
                .push(format!("message {} in pack {number:06}", message.unique_id));
        }
        Ok(())
    })?;
    if damage.messages.len() == before {
        let what = ranges.iter().map(|(from, to)| format!("{from} to {to}"));
        let what: Vec<_> = what.collect();
        damage.messages.push(format!(
            "records in pack {number:06}, octets {}",
            what.join(", ")
        ));
    }
    Ok(())
}

/// What a file is called until it was checked.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("part")
}

/// Writes a file from its pieces and syncs it; says which pieces are damaged: of those there is what
/// could be had. Without any the file gets its name.
fn write_file(
    repository: &Repository,
    pieces: &[Piece],
    path: &Path,
    hooks: &Hooks<'_>,
) -> Result<Vec<usize>> {
    let unfinished = unfinished(path);
    let doing = format!("cannot write {}", path.display());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(io(&doing))?;
    let all: Vec<usize> = (0..pieces.len()).collect();
    let came = parallel(&all, PIECES_AT_ONCE, |&at| {
        hooks.go_on()?;
        let (bytes, good) = match repository.piece(&pieces[at])? {
            Some(bytes) => (bytes, true),
            None => (repository.rescue(&pieces[at])?, false),
        };
        file.write_all_at(&bytes, (at * PIECE_OCTETS) as u64)
            .map_err(io(&doing))?;
        hooks.pass(bytes.len() as u64)?;
        Ok((!good).then_some(at))
    })?;
    file.sync_data().map_err(io(&doing))?;
    let bad: Vec<usize> = came.into_iter().flatten().collect();
    if bad.is_empty() {
        fs::rename(&unfinished, path).map_err(io(&doing))?;
    }
    Ok(bad)
}

/// Says that all is there, and puts it in its place. The folder has to be locked.
pub(crate) fn install(data: &Path, folder: &Path) -> Result<()> {
    mark(folder, COMPLETE)?;
    sync_folder(data)?;
    finish(data, folder)
}

/// Puts in its place what is there still; what has damage stays to be salvaged.
fn finish(data: &Path, folder: &Path) -> Result<()> {
    let doing = "a restore cannot be put in place";
    let packs = data.join("packs");
    make_folder(&packs)?;
    // What an index says of other packs is not so any more.
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        match fs::remove_file(data.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(doing)(e)),
            _ => {}
        }
    }
    // First: a program that finds packs and no users makes an empty one.
    let (from, to) = (folder.join("state.db"), data.join("state.db"));
    if from.exists() && !to.exists() {
        fs::rename(from, to).map_err(io(doing))?;
        sync_folder(data)?;
    }
    for entry in fs::read_dir(folder.join("packs")).map_err(io(doing))? {
        let entry = entry.map_err(io(doing))?;
        let to = packs.join(entry.file_name());
        if to.exists() {
            return Err(BackupError::Io(format!(
                "{} is there already, and is not overwritten: move it away",
                to.display()
            )));
        }
        fs::rename(entry.path(), to).map_err(io(doing))?;
    }
    sync_folder(&packs)?;
    sync_folder(data)?;
    if folder.join(DAMAGED).exists() {
        return Ok(());
    }
    remove(folder)
}

/// Removes what was staged when all of it has its place.
fn remove(folder: &Path) -> Result<()> {
    let doing = "a restore cannot be put in place";
    fs::remove_file(folder.join(COMPLETE)).map_err(io(doing))?;
    fs::remove_dir_all(folder).map_err(io(doing))
}

/// Takes out of an archive what was damaged when it was put in its place from `folder`, if anything was, and
/// opens it.
pub(crate) fn mend(data: &Path, folder: &Path, options: Options) -> Result<EmbeddedStore> {
    if folder.join(DAMAGED).exists() {
        let (store, _) = salvage(data, options)?;
        remove(folder)?;
        return Ok(store);
    }
    let alone = Options {
        alone: true,
        ..options
    };
    Ok(EmbeddedStore::open(data, alone)?)
}

/// Finishes a restore that was complete when its program ended, and salvages what was damaged in it. To be
/// called before a data folder is opened; says whether there was one.
///
/// # Errors
/// [`BackupError::Store`] while another process has the folder open.
pub fn finish_half_done(data: &Path) -> Result<bool> {
    let mut done = false;
    for folder in staged(data)? {
        if !folder.join(COMPLETE).exists() {
            continue;
        }
        let lock = lock_folder(data)?;
        // Whoever had the lock may have finished it.
        if folder.join(COMPLETE).exists() {
            finish(data, &folder)?;
            done = true;
        }
        drop(lock);
        if folder.join(DAMAGED).exists() {
            drop(mend(data, &folder, Options::default())?);
        }
    }
    Ok(done)
}
