//! Removing generations that are not kept, and the objects that none needs any more.

use std::collections::BTreeSet;

use crate::destination::Item;
use crate::error::{BackupError, Result};
use crate::keep::Retention;
use crate::lease::{Lease, Purpose};
use crate::manifest::{Manifest, generation_path, object_of, object_path, objects};
use crate::pace::Hooks;
use crate::repository::Repository;

/// What pruning came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Generations that were removed.
    pub generations: u64,
    /// Objects that were removed,
    pub objects: u64,
    /// and their octets.
    pub octets: u64,
    /// Another program was at work there, so nothing was done: the next backup prunes.
    pub busy: bool,
}

/// Removes what `keep` does not name, but never `protected`. Crash anywhere: what is left over goes
/// the next time.
pub(crate) fn prune(
    repository: &Repository,
    keep: &Retention,
    protected: &str,
    hooks: &Hooks<'_>,
) -> Result<PruneReport> {
    let destination = &repository.destination;
    let Some(_lease) = Lease::take(destination, Purpose::Pruning)? else {
        return Ok(PruneReport {
            busy: true,
            ..PruneReport::default()
        });
    };
    let mut report = PruneReport::default();
    let all = repository.generations()?;
    let mut kept = keep.kept(&all);
    // By its name: a listing may not show yet what was written just now.
    let _ = kept.insert(protected.to_owned());
    let there = destination.list("objects/")?;
    let needed = needed(repository, &kept, &there)?;
    for one in all.iter().filter(|one| !kept.contains(&one.id)) {
        hooks.go_on()?;
        destination.delete(&generation_path(&one.id))?;
        report.generations += 1;
    }
    destination.sync()?;
    for item in &there {
        // What others have put there is theirs.
        if object_of(&item.name).is_none_or(|name| needed.contains(name)) {
            continue;
        }
        hooks.go_on()?;
        destination.delete(&item.name)?;
        report.objects += 1;
        report.octets += item.octets;
    }
    destination.sync()?;
    destination.tidy()?;
    Ok(report)
}

/// All that the kept generations need, read before anything goes. Each of those names has to be there:
/// one that is not may be another, with an octet rotten in it, and pruning would take that one.
fn needed(
    repository: &Repository,
    kept: &BTreeSet<String>,
    there: &[Item],
) -> Result<BTreeSet<String>> {
    let there: BTreeSet<&str> = there
        .iter()
        .filter_map(|item| object_of(&item.name))
        .collect();
    let mut all = BTreeSet::new();
    for id in kept {
        let bytes = repository.generation_bytes(id)?;
        let mut names: BTreeSet<String> = objects(id, &bytes)?.into_iter().collect();
        match Manifest::decode(id, &bytes, &repository.opener) {
            Ok(manifest) => names.extend(manifest.pieces().map(|piece| piece.object.clone())),
            Err(BackupError::Key(_)) => {}
            Err(other) => return Err(other),
        }
        for name in &names {
            // A listing may not show yet what was written just now.
            if !there.contains(name.as_str()) && repository.stored_octets(name)?.is_none() {
                return Err(BackupError::Damage(format!(
                    "generation {id} is damaged ({} is not there): nothing is removed while it is kept; `restante verify {}` looks at all of it",
                    object_path(name),
                    repository.place
                )));
            }
        }
        all.extend(names);
    }
    Ok(all)
}
