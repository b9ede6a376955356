//! A fire drill: the newest generation is restored beside the archive, and compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pollster::block_on as wait;
use restante_store::disk::LockFile;
use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{MailStore, MessageFilter, MessageInfo, StoreError};

use crate::backup::{hex, now_ms, ours};
use crate::destination::canonical;
use crate::error::{BackupError, Result, io};
use crate::lease::Lease;
use crate::limits::DRILL_INDEX_PART;
use crate::manifest::Manifest;
use crate::pace::Hooks;
use crate::repository::{Repository, Target, is_random, random_hex};
use crate::stage;
use crate::state::{Kind, State};

/// What a drill found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrillReport {
    /// The generation that was restored,
    pub generation: String,
    /// and when it was begun, in milliseconds since 1970.
    pub at_ms: u64,
    /// Messages that are the same in the archive and in the restored one, read to their last octet.
    pub same: u64,
    /// Messages of the archive that came after the backup.
    pub newer: u64,
    /// What is missing or differs, one line each.
    pub damage: Vec<String>,
}

/// Restores into a folder of its own in `scratch`, compares, and removes it. `min_free`: octets that stay
/// free there.
///
/// # Errors
/// Those of the destination and the disk; what differs is in the report. The outcome is noted, unless it
/// was stopped or another drill is under way.
pub fn drill(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    scratch: &Path,
    min_free: u64,
    hooks: &Hooks<'_>,
) -> Result<DrillReport> {
    let state = State::open(data)?;
    let place = canonical(&target.place)?;
    let drilled = run(store, data, &state, target, scratch, min_free, hooks);
    let found = drilled.as_ref().map(|report| report.damage.as_slice());
    if !matches!(drilled, Err(BackupError::Busy(_) | BackupError::Stopped)) {
        state.looked_at(&place, Kind::Drill, found, now_ms())?;
    }
    drilled
}

const PREFIX: &str = "drill-";

/// A folder that goes when it is dropped; at the latest with the next drill.
struct Scratch {
    path: PathBuf,
    _lock: LockFile,
}

impl Scratch {
    /// One drill at a time: what is left of one that was killed goes first.
    fn new(parent: &Path) -> Result<Self> {
        stage::make_folder(parent)?;
        let doing = || io(format!("cannot drill in {}", parent.display()));
        let lock = LockFile::open(&parent.join("drill.lock")).map_err(doing())?;
        if !lock.try_exclusive().map_err(doing())? {
            return Err(BackupError::Busy("another drill is under way".into()));
        }
        for entry in fs::read_dir(parent).map_err(doing())? {
            let path = entry.map_err(doing())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Only one that a drill has made.
            if name.strip_prefix(PREFIX).is_some_and(is_random) && path.is_dir() {
                fs::remove_dir_all(&path).map_err(doing())?;
            }
        }
        Ok(Self {
            path: parent.join(format!("{PREFIX}{}", random_hex())),
            _lock: lock,
        })
    }

    /// An error unless a generation of so many octets has room.
    fn make_sure(parent: &Path, octets: u64, min_free: u64) -> Result<()> {
        let disk = rustix::fs::statvfs(parent)
            .map_err(|e| io(format_args!("cannot drill in {}", parent.display()))(e.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = octets + octets / DRILL_INDEX_PART;
        if free >= needed.saturating_add(min_free) {
            return Ok(());
        }
        Err(BackupError::Io(format!(
            "there is no room in {} to restore {} MiB for a drill: choose another folder with --scratch, or `scratch` in [backup]",
            parent.display(),
            needed >> 20
        )))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn run(
    store: &EmbeddedStore,
    data: &Path,
    state: &State,
    target: &Target,
    scratch: &Path,
    min_free: u64,
    hooks: &Hooks<'_>,
) -> Result<DrillReport> {
    let repository = Repository::open(target)?;
    let _lease = Lease::reading(&repository.destination);
    let id = repository.newest(None)?;
    let manifest = repository.manifest(&id)?;
    ours(&repository, store, state, data)?;
    let folder = Scratch::new(scratch)?;
    Scratch::make_sure(scratch, manifest.octets(), min_free)?;
    let damage = stage::fetch(&repository, &manifest, &folder.path, hooks)?;
    for object in &damage.bad {
        // The next backup writes it anew.
        state.add_bad(&repository.place, object)?;
    }
    damage.accept(&folder.path)?;
    let mut report = DrillReport {
        generation: id,
        at_ms: manifest.at_ms,
        damage: damage.objects,
        ..DrillReport::default()
    };
    let options = Options {
        compact: false,
        ..Options::default()
    };
    let restored = EmbeddedStore::open(&folder.path, options)?;
    compare(store, &restored, &manifest, &mut report, hooks)?;
    drop(restored);
    Ok(report)
}

const PAGE: usize = 1_000;

fn compare(
    store: &EmbeddedStore,
    restored: &EmbeddedStore,
    manifest: &Manifest,
    report: &mut DrillReport,
    hooks: &Hooks<'_>,
) -> Result<()> {
    let held: BTreeMap<&str, u64> = manifest
        .packs
        .iter()
        .map(|pack| (pack.id.as_str(), pack.octets))
        .collect();
    for mailbox in wait(store.mailboxes())? {
        let mut after = None;
        loop {
            let page = wait(store.browse(mailbox.id, MessageFilter::Live, after, PAGE))?;
            for info in &page {
                hooks.pass(info.size)?;
                let id = info.unique_id;
                let Some(there) = wait(restored.message(id))? else {
                    if stands_in(store, info, &held)? {
                        report
                            .damage
                            .push(format!("message {id} is not in the backup"));
                    } else {
                        report.newer += 1;
                    }
                    continue;
                };
                if (there.digest, there.size) != (info.digest, info.size) {
                    report.damage.push(format!("message {id} differs"));
                } else if reads(restored, info)? {
                    report.same += 1;
                } else {
                    report
                        .damage
                        .push(format!("message {id} is damaged in the backup"));
                }
            }
            after = page.last().map(|info| info.unique_id);
            if page.len() < PAGE {
                break;
            }
        }
    }
    Ok(())
}

/// Whether the generation should have the message.
fn stands_in(
    store: &EmbeddedStore,
    info: &MessageInfo,
    held: &BTreeMap<&str, u64>,
) -> Result<bool> {
    let Some((pack, end)) = store.whereabouts(info.unique_id)? else {
        return Ok(false);
    };
    let identity = store.pack_identity(pack)?;
    let octets = identity.and_then(|id| held.get(hex(&id).as_str()).copied());
    Ok(octets.is_some_and(|octets| end <= octets))
}

/// Whether a body reads to its end, where its digest is checked.
fn reads(restored: &EmbeddedStore, info: &MessageInfo) -> Result<bool> {
    let damaged = |error| match error {
        StoreError::Permanent(_) => Ok(false),
        other => Err(BackupError::from(other)),
    };
    let mut body = match wait(restored.read(info.unique_id)) {
        Ok(body) => body,
        Err(error) => return damaged(error),
    };
    let mut piece = Vec::new();
    loop {
        piece.clear();
        match wait(body.read(&mut piece)) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) => return damaged(error),
        }
    }
}
