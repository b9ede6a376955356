//! Removing generations that are not kept, and the objects that none needs any more.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::keep::Retention;
use crate::lease::{Lease, Purpose};
use crate::manifest::{generation_path, object_of, objects};
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
    // What the kept ones need is read before anything goes.
    let mut needed = BTreeSet::new();
    for id in &kept {
        needed.extend(objects(id, &repository.generation_bytes(id)?)?);
    }
    for one in all.iter().filter(|one| !kept.contains(&one.id)) {
        hooks.go_on()?;
        destination.delete(&generation_path(&one.id))?;
        report.generations += 1;
    }
    destination.sync()?;
    for item in destination.list("objects/")? {
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
