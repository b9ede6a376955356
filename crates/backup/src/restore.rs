//! Bringing a generation back: whole into an empty folder, or what is missing into one with mail.

use std::collections::BTreeMap;
use std::path::Path;

use restante_store::MailStore;
use restante_store::embedded::{EmbeddedStore, Options, lock_folder};

use crate::error::{BackupError, Result};
use crate::lease::Lease;
use crate::manifest::Manifest;
use crate::merge::{Merged, merge};
use crate::pace::Hooks;
use crate::repository::{Repository, Target};
use crate::stage;
use crate::state::{Done, State};

/// What to restore, and how.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// The newest generation that was begun by this time, in milliseconds since 1970.
    pub at_ms: Option<u64>,
    /// Only this mailbox.
    pub mailbox: Option<String>,
    /// Only say what would be restored.
    pub dry_run: bool,
    /// Leave out what is damaged at the destination, instead of refusing.
    pub skip_damaged: bool,
    /// How the archive is opened.
    pub store: Options,
}

/// What a restore came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// The generation,
    pub generation: String,
    /// and when it was begun, in milliseconds since 1970.
    pub at_ms: u64,
    /// Messages in it, as far as they were asked for.
    pub messages: u64,
    /// Messages that were brought back, or would be, by mailbox.
    pub restored: BTreeMap<String, u64>,
    /// Whether users and accounts came back too: only where there were none.
    pub state: bool,
    /// What is damaged and was left out, one line each.
    pub damage: Vec<String>,
}

/// Restores into the data folder, with nobody else in it. Nothing that is there is overwritten.
///
/// # Errors
/// [`BackupError::Damage`] names the messages that are damaged at the destination, and nothing has
/// changed, unless they are to be left out. A restore that is cut off is finished, or begun again,
/// by the next one.
pub fn restore(
    target: &Target,
    data: &Path,
    options: &RestoreOptions,
    hooks: &Hooks<'_>,
) -> Result<RestoreReport> {
    let repository = Repository::open(target)?;
    let _lease = Lease::reading(&repository.destination);
    let id = repository.newest(options.at_ms)?;
    let manifest = repository.manifest(&id)?;
    let mut report = RestoreReport {
        generation: id.clone(),
        at_ms: manifest.at_ms,
        messages: manifest.messages(),
        ..RestoreReport::default()
    };
    stage::finish_half_done(data)?;
    let empty = || Ok::<_, BackupError>(options.mailbox.is_none() && !stage::has_packs(data)?);
    if options.dry_run && empty()? {
        let named = manifest.mailboxes.iter().filter(|m| m.messages > 0);
        report.restored = named.map(|m| (m.name.clone(), m.messages)).collect();
        report.state = !manifest.state.is_empty() && !data.join("state.db").exists();
        return Ok(report);
    }
    let lock = lock_folder(data)?;
    // Looked at under the lock: another restore may have been faster.
    let whole = empty()?;
    let staging = stage::folder_for(data, &id)?;
    let damage = stage::fetch(&repository, &manifest, &staging, hooks)?;
    if !damage.objects.is_empty() && !options.skip_damaged {
        let _ = std::fs::remove_dir_all(&staging);
        return Err(BackupError::Damage(format!(
            "generation {id} is damaged: {}. That costs: {}. Restore another one with --at, or all but this with --skip-damaged",
            damage.objects.join("; "),
            damage.messages.join("; ")
        )));
    }
    damage.accept(&staging)?;
    report.damage = damage.messages;
    if whole {
        report.state = !manifest.state.is_empty() && !data.join("state.db").exists();
        stage::install(data, &staging)?;
        drop(lock);
        // Makes the index, and takes out what is damaged.
        let store = stage::mend(data, &staging, options.store.clone())?;
        count(&store, &mut report)?;
        if report.state && damage.objects.is_empty() {
            remember(data, &repository, &manifest)?;
        }
        return Ok(report);
    }
    drop(lock);
    let merged = bring(data, &staging, options, hooks)?;
    // Its packs are of no more use; one that stays goes with the next restore.
    let _ = std::fs::remove_dir_all(&staging);
    let lost = merged.unreadable.iter();
    report.damage.extend(lost.map(|id| format!("message {id}")));
    report.damage.sort();
    report.damage.dedup();
    report.messages = merged.messages;
    report.restored = merged.missing;
    Ok(report)
}

/// What came back was taken before its own backup was done, and knows only of the one before. It does not
/// say what that covers: the next backup does.
fn remember(data: &Path, repository: &Repository, manifest: &Manifest) -> Result<()> {
    let state = State::open(data)?;
    state.meet(&repository.place, &repository.id, &repository.encryption)?;
    let done = Done {
        generation: &manifest.id,
        at_ms: manifest.at_ms,
        messages: manifest.messages(),
        octets: manifest.octets(),
        packs: &[],
        damage: &[],
    };
    state.backed_up(&repository.place, &done)
}

/// Counts what came back.
fn count(store: &EmbeddedStore, report: &mut RestoreReport) -> Result<()> {
    let mailboxes = pollster::block_on(store.mailboxes())?;
    report.messages = mailboxes.iter().map(|m| m.totals.count).sum();
    let named = mailboxes.into_iter().filter(|m| m.totals.count > 0);
    report.restored = named.map(|m| (m.name, m.totals.count)).collect();
    Ok(())
}

fn bring(
    data: &Path,
    staging: &Path,
    options: &RestoreOptions,
    hooks: &Hooks<'_>,
) -> Result<Merged> {
    let alone = |store: &Options| Options {
        alone: true,
        compact: false,
        ..store.clone()
    };
    let from = EmbeddedStore::open(staging, alone(&Options::default()))?;
    let to = EmbeddedStore::open(data, alone(&options.store))?;
    let only = options.mailbox.as_deref();
    merge(&from, &to, only, options.dry_run, hooks)
}
