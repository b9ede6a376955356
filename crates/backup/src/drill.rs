//! A fire drill: the newest generation is restored beside the archive, and compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pollster::block_on as wait;
use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{MailStore, MessageFilter, MessageInfo, StoreError};

use crate::backup::{hex, now_ms};
use crate::destination::canonical;
use crate::error::{BackupError, Result};
use crate::manifest::Manifest;
use crate::pace::Hooks;
use crate::repository::{Repository, Target, random_hex};
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

/// Restores into a folder of its own in `scratch`, compares, and removes it.
///
/// # Errors
/// Those of the destination and the disk; what differs is in the report. The outcome is noted.
pub fn drill(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    scratch: &Path,
    hooks: &Hooks<'_>,
) -> Result<DrillReport> {
    let state = State::open(data)?;
    let place = canonical(&target.place)?;
    let drilled = run(store, target, scratch, hooks);
    match &drilled {
        Ok(report) if report.damage.is_empty() => {
            state.went_well(&place, Kind::Drill, now_ms())?;
        }
        Ok(report) => state.failed(&place, Kind::Drill, &report.damage.join("; "))?,
        Err(error) => state.failed(&place, Kind::Drill, &error.to_string())?,
    }
    drilled
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(
    store: &EmbeddedStore,
    target: &Target,
    scratch: &Path,
    hooks: &Hooks<'_>,
) -> Result<DrillReport> {
    let repository = Repository::open(target)?;
    let id = repository.newest(None)?;
    let manifest = repository.manifest(&id)?;
    let folder = Scratch(scratch.join(format!("drill-{}", random_hex())));
    let damage = stage::fetch(&repository, &manifest, &folder.0, hooks)?;
    damage.accept()?;
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
    let restored = EmbeddedStore::open(&folder.0, options)?;
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
