//! Whether the archive, or a destination, is what it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use restante_store::embedded::{EmbeddedStore, Finding, PackInfo};

use crate::backup::{hex, now_ms, ours};
use crate::destination::canonical;
use crate::error::{BackupError, Result};
use crate::lease::Lease;
use crate::limits::{PIECE_OCTETS, PIECES_AT_ONCE};
use crate::manifest::{Manifest, Piece, object_path, objects};
use crate::pace::{Hooks, parallel};
use crate::repository::{Repository, Target};
use crate::state::{Kind, State};

/// The archive's own name among the places that are checked.
const ARCHIVE: &str = "archive";

/// Objects that are noted as checked together.
const NOTE: usize = 64;

/// What is found in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveReport {
    /// Packs that were looked at,
    pub packs: u64,
    /// their messages,
    pub messages: u64,
    /// and their octets.
    pub octets: u64,
    /// Packs that a check which was stopped had seen already.
    pub skipped: u64,
    /// What is damaged, one line each.
    pub damage: Vec<String>,
}

/// Looks at every octet of every pack: digests of batches and messages, and whether the index says the
/// same. One that is stopped goes on where it was.
///
/// # Errors
/// Those of the disk; damage is in the report, and noted: until a check finds none, no backup removes older
/// generations.
pub fn verify_archive(
    store: &EmbeddedStore,
    data: &Path,
    hooks: &Hooks<'_>,
) -> Result<ArchiveReport> {
    let state = State::open(data)?;
    let seen = state.checked(ARCHIVE)?;
    let name = |info: &PackInfo| format!("{}:{}", hex(&info.id), info.octets);
    let all = store.packs()?;
    let todo: Vec<_> = all
        .iter()
        .filter(|info| !seen.contains_key(&name(info)))
        .collect();
    let mut report = ArchiveReport {
        skipped: (all.len() - todo.len()) as u64,
        ..ArchiveReport::default()
    };
    let parts = parallel(&todo, PIECES_AT_ONCE, |info| {
        let part = examine(store, info, hooks)?;
        if part.damage.is_empty() && info.sealed {
            state.add_checked(ARCHIVE, &[name(info)])?;
        }
        Ok(part)
    })?;
    for part in parts {
        report.packs += part.packs;
        report.messages += part.messages;
        report.octets += part.octets;
        report.damage.extend(part.damage);
    }
    for mailbox in store.miscounted()? {
        report.damage.push(format!(
            "the index counts other messages in {mailbox} than it has: `restante rebuild`"
        ));
    }
    state.all_checked(ARCHIVE)?;
    state.archive_is(&report.damage)?;
    Ok(report)
}

fn examine(store: &EmbeddedStore, info: &PackInfo, hooks: &Hooks<'_>) -> Result<ArchiveReport> {
    let number = info.number;
    let mut report = ArchiveReport::default();
    let Some(reader) = store.open_pack(info)? else {
        // Compacted away: its messages are in a younger pack.
        return Ok(report);
    };
    let (mut at, mut strange, mut stopped) = (0, Vec::new(), None);
    let looked = reader.examine(0, true, &mut |finding| {
        match finding {
            Finding::Message(message) => {
                report.messages += 1;
                if !message.good {
                    report.damage.push(format!(
                        "message {} in pack {number:06} at octet {} is damaged",
                        message.unique_id, message.offset
                    ));
                }
                if !store.index_agrees(number, &message)? {
                    strange.push(message.unique_id);
                }
            }
            Finding::Damaged { from, to } => report.damage.push(format!(
                "pack {number:06}: octets {from} to {to} are damaged"
            )),
            Finding::Upto(next) => {
                let passed = hooks.pass(next - at);
                at = next;
                if let Err(error) = passed {
                    stopped = Some(error);
                    return Err(restante_store::StoreError::InUse);
                }
            }
        }
        Ok(())
    });
    if let Some(error) = stopped {
        return Err(error);
    }
    looked?;
    if info.short {
        report
            .damage
            .push(format!("pack {number:06} is shorter than it was"));
    }
    (report.packs, report.octets) = (1, info.octets);
    let known = store.index_count(number, info.octets)?;
    // A compactor may have moved all of it meanwhile.
    if (!strange.is_empty() || known != report.messages) && store.open_pack(info)?.is_some() {
        let lost = report.damage.is_empty();
        report.damage.extend(strange.iter().map(|id| {
            format!("the index does not know message {id} in pack {number:06}: `restante rebuild`")
        }));
        if lost && strange.is_empty() {
            report.damage.push(format!(
                "the index knows {known} messages in pack {number:06}, which has {}: `restante rebuild`",
                report.messages
            ));
        }
    }
    Ok(report)
}

/// What is found at a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupCheck {
    /// Generations there.
    pub generations: u64,
    /// Objects that were looked at,
    pub objects: u64,
    /// and their octets.
    pub octets: u64,
    /// Objects that a check which was stopped had seen already.
    pub skipped: u64,
    /// When the first of all these was looked at, in milliseconds since 1970.
    pub since_ms: u64,
    /// What is damaged or missing, one line each.
    pub damage: Vec<String>,
    /// Messages of the archive, removed ones too, that the newest generation does not hold.
    pub behind: u64,
    /// Whether manifests could be read, or only what is stored be looked at for want of a key.
    pub opened: bool,
}

/// Looks at every octet at a destination, and whether the newest generation holds what the archive
/// has. One that is stopped goes on where it was.
///
/// # Errors
/// Those of the destination; damage is in the report, and noted so that the next backup mends it.
pub fn verify_backup(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    hooks: &Hooks<'_>,
) -> Result<BackupCheck> {
    let state = State::open(data)?;
    let place = canonical(&target.place)?;
    let checked = look(store, data, target, &state, hooks);
    let found = checked.as_ref().map(|report| report.damage.as_slice());
    if !matches!(checked, Err(BackupError::Stopped)) {
        // As old as the oldest look that it rests on.
        let since = checked.as_ref().map_or(0, |report| report.since_ms);
        state.looked_at(&place, Kind::Verify, found, since)?;
    }
    checked
}

/// What a destination's generations say.
#[derive(Default)]
struct Said {
    objects: BTreeSet<String>,
    /// What an object holds, where manifests could be read.
    pieces: BTreeMap<String, Piece>,
    /// What an object is, for people.
    meaning: BTreeMap<String, String>,
    newest: Option<Manifest>,
}

fn generations(repository: &Repository, report: &mut BackupCheck) -> Result<Said> {
    let mut said = Said::default();
    report.opened = true;
    let mut shut = None;
    for one in repository.generations()? {
        let id = one.id;
        report.generations += 1;
        let bytes = repository.generation_bytes(&id)?;
        let named = match objects(&id, &bytes) {
            Ok(named) => named,
            Err(BackupError::Damage(what)) => {
                report.damage.push(what);
                continue;
            }
            Err(other) => return Err(other),
        };
        match Manifest::decode(&id, &bytes, &repository.opener) {
            Ok(manifest) => {
                let needs: BTreeSet<&str> = manifest.pieces().map(|p| p.object.as_str()).collect();
                if needs.iter().copied().ne(named.iter().map(String::as_str)) {
                    report
                        .damage
                        .push(format!("generation {id} names other objects than it needs"));
                }
                for piece in manifest.pieces() {
                    let before = said.pieces.insert(piece.object.clone(), piece.clone());
                    if before.is_some_and(|before| before != *piece) {
                        report.damage.push(format!(
                            "generation {id} says of {} what no other does",
                            object_path(&piece.object)
                        ));
                    }
                }
                for pack in &manifest.packs {
                    for (at, piece) in pack.pieces.iter().enumerate() {
                        let from = (at * PIECE_OCTETS) as u64;
                        let meaning = format!(
                            "pack {:06}, octets {from} to {}",
                            pack.number,
                            from + piece.octets
                        );
                        let _ = said.meaning.insert(piece.object.clone(), meaning);
                    }
                }
                for piece in &manifest.state {
                    let _ = said.meaning.insert(piece.object.clone(), "state.db".into());
                }
                said.newest = Some(manifest);
            }
            Err(BackupError::Key(what)) => {
                report.opened = false;
                shut = Some(what);
            }
            Err(BackupError::Damage(what)) => report.damage.push(what),
            Err(other) => return Err(other),
        }
        said.objects.extend(named);
    }
    match shut {
        // Without a key it can be said what is stored; one that opens nothing is a mistake.
        Some(what) if said.newest.is_none() && !repository.is_closed() => {
            Err(BackupError::Key(what))
        }
        _ => Ok(said),
    }
}

fn look(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    state: &State,
    hooks: &Hooks<'_>,
) -> Result<BackupCheck> {
    let repository = Repository::open(target)?;
    let _lease = Lease::reading(&repository.destination);
    state.meet(&repository.place, &repository.id, &repository.encryption)?;
    let mut report = BackupCheck {
        since_ms: now_ms(),
        ..BackupCheck::default()
    };
    let said = generations(&repository, &mut report)?;
    // Nothing is not well.
    if report.generations == 0 {
        return Err(repository.has_nothing());
    }
    if report.opened {
        ours(&repository, store, state, data)?;
    }
    let seen = state.checked(&repository.place)?;
    let (before, todo): (Vec<&String>, Vec<&String>) =
        said.objects.iter().partition(|o| seen.contains_key(*o));
    report.skipped = before.len() as u64;
    let first = before.into_iter().filter_map(|object| seen.get(object));
    report.since_ms = first.copied().chain([report.since_ms]).min().unwrap_or(0);
    let noted = Mutex::new(Vec::new());
    let note = |object: &str, all: bool| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if !object.is_empty() {
            noted.push(object.to_owned());
        }
        if noted.len() >= NOTE || all {
            state.add_checked(&repository.place, &std::mem::take(&mut *noted))?;
        }
        Ok::<(), BackupError>(())
    };
    let found = parallel(&todo, PIECES_AT_ONCE, |object| {
        let piece = said.pieces.get(*object);
        let Some(octets) = repository.checked_octets(object, piece)? else {
            state.add_bad(&repository.place, object)?;
            return Ok(Err((*object).clone()));
        };
        note(object, false)?;
        hooks.pass(octets)?;
        Ok(Ok(octets))
    });
    note("", true)?;
    for object in found? {
        report.objects += 1;
        match object {
            Ok(octets) => report.octets += octets,
            Err(object) => {
                let path = object_path(&object);
                let meaning = said.meaning.get(&object).map_or("", String::as_str);
                report
                    .damage
                    .push(format!("{path} is damaged or missing ({meaning})"));
            }
        }
    }
    if let Some(newest) = &said.newest {
        against(store, newest, &mut report)?;
    }
    state.all_checked(&repository.place)?;
    Ok(report)
}

/// The newest generation against the archive.
fn against(store: &EmbeddedStore, newest: &Manifest, report: &mut BackupCheck) -> Result<()> {
    let held: BTreeMap<&str, u64> = newest
        .packs
        .iter()
        .map(|pack| (pack.id.as_str(), pack.octets))
        .collect();
    for info in store.packs()? {
        let octets = held.get(hex(&info.id).as_str()).copied().unwrap_or(0);
        if octets > info.octets {
            report.damage.push(format!(
                "pack {:06} of the archive is shorter than in the backup: `restante restore` brings back what is missing",
                info.number
            ));
            continue;
        }
        let all = store.index_count(info.number, i64::MAX as u64)?;
        report.behind += all.saturating_sub(store.index_count(info.number, octets)?);
    }
    Ok(())
}
