//! Writing a generation: what is new travels, is read back, and then the generation is named.

mod memory;
mod snapshot;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use restante_store::MailStore;
use restante_store::embedded::EmbeddedStore;

use crate::destination::canonical;
use crate::error::{BackupError, Result};
use crate::keep::Retention;
use crate::lease::{Lease, Purpose};
use crate::limits::GENERATIONS;
use crate::manifest::{Mailbox, Manifest, generation_path};
use crate::pace::Hooks;
use crate::prune::{PruneReport, prune};
use crate::repository::{Repository, Target, generation_id, order_of};
use crate::state::{Done, Kind, State};
use work::Work;

/// What a backup came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The generation's name.
    pub generation: String,
    /// When it was begun, in milliseconds since 1970.
    pub at_ms: u64,
    /// Messages in it.
    pub messages: u64,
    /// Octets of packs and `state.db` in it.
    pub octets: u64,
    /// Objects that were written,
    pub objects: u64,
    /// and their octets.
    pub written: u64,
    /// What was found damaged in the archive, one line each. It is in the backup as it is.
    pub damage: Vec<String>,
    /// What pruning came to, if it was asked for.
    pub pruned: Option<PruneReport>,
    /// Why pruning failed: the backup is good all the same.
    pub prune_error: Option<String>,
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as u64)
}

/// Octets as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Backs the archive up, and removes what `keep` does not name. `anew`: begin where a backup was once
/// and is not any more.
///
/// # Errors
/// Earlier generations are whole whatever happens. The failure is noted in `state.db` too.
pub fn backup(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    keep: Option<&Retention>,
    anew: bool,
    hooks: &Hooks<'_>,
) -> Result<BackupReport> {
    let state = State::open(data)?;
    let place = canonical(&target.place)?;
    if anew {
        state.forget(&place)?;
    }
    let done = run(store, data, target, keep, &state, hooks);
    match &done {
        Ok(_) | Err(BackupError::Stopped) => {}
        Err(error) => state.failed(&place, Kind::Backup, &error.to_string())?,
    }
    done
}

fn run(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    keep: Option<&Retention>,
    state: &State,
    hooks: &Hooks<'_>,
) -> Result<BackupReport> {
    let known = state.known(&canonical(&target.place)?)?;
    let known = known.as_ref().map(|(id, how)| (id.as_str(), how.as_str()));
    let repository = Repository::open_or_make(target, known)?;
    let met = ours(&repository, store, state, data)?;
    state.meet(&repository.place, &repository.id, &repository.encryption)?;
    let lease = Lease::take(&repository.destination, Purpose::Writing)?;
    let mut work = Work::begin(&repository, state, data, hooks)?;
    let mut manifest = begin(&repository, store, state, keep)?;
    // Before the packs: what it speaks of is in them.
    manifest.state = work.state(data)?;
    manifest.packs = work.packs(store)?;
    work.check_written(&manifest)?;
    if !met {
        // Another archive may have begun here at the same time.
        own(&repository, store)?;
    }
    name(&repository, &manifest)?;
    memory::write(data, &repository, &manifest)?;
    let packs: Vec<_> = work.good.iter().map(|(id, to)| (*id, *to)).collect();
    state.backed_up(
        &repository.place,
        &Done {
            generation: &manifest.id,
            at_ms: manifest.at_ms,
            messages: manifest.messages(),
            octets: manifest.octets(),
            packs: &packs,
            damage: &work.damage,
        },
    )?;
    let mut report = BackupReport {
        generation: manifest.id.clone(),
        at_ms: manifest.at_ms,
        messages: manifest.messages(),
        octets: manifest.octets(),
        objects: work.fresh.len() as u64,
        written: work.fresh.values().sum(),
        damage: work.damage,
        ..BackupReport::default()
    };
    drop(lease);
    if let Some(keep) = keep {
        if report.damage.is_empty() && !state.archive_is_damaged()? {
            match prune(&repository, keep, &manifest.id, hooks) {
                Ok(pruned) => report.pruned = Some(pruned),
                Err(error) => report.prune_error = Some(error.to_string()),
            }
        } else {
            report.prune_error = Some(KEPT_ALL.to_owned());
        }
    }
    state.pruned(&repository.place, report.prune_error.as_deref())?;
    Ok(report)
}

/// Generation by generation those with what is damaged now would go.
const KEPT_ALL: &str = "the archive is damaged, and they may be the last that have what it lost: mend it (`restante rebuild --salvage`, `restante restore`), then run `restante verify`";

/// A generation that comes after all that are there, however fast they follow, whatever the clock does,
/// and if a listing does not show the last one yet.
fn begin(
    repository: &Repository,
    store: &EmbeddedStore,
    state: &State,
    keep: Option<&Retention>,
) -> Result<Manifest> {
    let listed = repository.generations()?;
    if listed.len() >= GENERATIONS && keep.is_none() {
        return Err(BackupError::Usage(format!(
            "there are {} generations at {}: say which to keep, with --keep \"7 daily, 4 weekly, 12 monthly\" or `keep` in [backup], and this backup removes the others",
            listed.len(),
            repository.place
        )));
    }
    let last = state.generation(&repository.place)?;
    let last = last.as_deref().and_then(order_of);
    let newest = listed.last().map(|generation| generation.order).max(last);
    let at_ms = now_ms();
    let mailboxes = pollster::block_on(store.mailboxes())?.into_iter();
    Ok(Manifest {
        id: generation_id(newest.unwrap_or(0).saturating_add(1), at_ms),
        at_ms,
        mailboxes: mailboxes
            .map(|mailbox| Mailbox {
                name: mailbox.name,
                messages: mailbox.totals.count,
                octets: mailbox.totals.octets,
            })
            .collect(),
        ..Manifest::default()
    })
}

/// Gives a generation its name: from now on it is one.
fn name(repository: &Repository, manifest: &Manifest) -> Result<()> {
    let bytes = manifest.encode(&repository.sealer)?;
    let path = generation_path(&manifest.id);
    repository.destination.put(&path, &bytes)?;
    repository.destination.sync()?;
    if repository.generation_bytes(&manifest.id)? == bytes {
        return Ok(());
    }
    Err(BackupError::Damage(format!(
        "generation {} does not read back as it was written: the destination cannot be trusted",
        manifest.id
    )))
}

/// Whether this archive remembers a backup of its own at a destination; an error where what is there is
/// another archive's.
pub(crate) fn ours(
    repository: &Repository,
    store: &EmbeddedStore,
    state: &State,
    data: &Path,
) -> Result<bool> {
    let met = state.has_backed_up(&repository.id)? || memory::has(data, repository);
    if !met {
        own(repository, store)?;
    }
    Ok(met)
}

/// Whether what is at a destination that this archive does not remember is this archive's: two that
/// shared one would prune each other's generations.
fn own(repository: &Repository, store: &EmbeddedStore) -> Result<()> {
    for generation in repository.generations()?.iter().rev() {
        let manifest = match repository.manifest(&generation.id) {
            Ok(manifest) => manifest,
            // An older one may tell; one that pruning took away does not matter.
            Err(BackupError::Damage(_) | BackupError::NotThere(_)) => continue,
            Err(BackupError::Key(_)) => {
                return Err(BackupError::Key(format!(
                    "there are backups at {} already, and without their key nobody can tell whose: give --identity-file once, or take another folder or prefix",
                    repository.place
                )));
            }
            Err(other) => return Err(other),
        };
        let ours: BTreeSet<String> = store.packs()?.iter().map(|info| hex(&info.id)).collect();
        if manifest.packs.is_empty() || manifest.packs.iter().any(|pack| ours.contains(&pack.id)) {
            return Ok(());
        }
        return Err(BackupError::Usage(format!(
            "the backups at {} are another archive's: take another folder or prefix for this one, or bring them back first with `restante restore`",
            repository.place
        )));
    }
    Ok(())
}
