//! Whether backups need somebody's attention: what `status` and the reader's overview say.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use restante_backup::PlaceStatus;

use crate::config::Backup;
use crate::units;

/// What the configuration says of backups, as it was read last.
pub(crate) type SharedBackup = Arc<RwLock<Backup>>;

/// A drill that is not done has missed its turn so often before it is complained of.
const TURNS_MISSED: u64 = 2;

/// A time that is so much in the future was taken while the clock was wrong.
const CLOCKS_DIFFER_MS: u64 = 60 * 60 * 1000;

/// How often drills are made; `None`: never. What is encrypted to recipients only cannot be read here.
pub(crate) fn drills(told: &Backup) -> Option<Duration> {
    let closed = !told.recipients.is_empty() && told.identity_file.is_none();
    told.drill.filter(|_| told.to.is_some() && !closed)
}

/// Of all places the one that counts: the configured one, or where nothing is configured the one that was
/// backed up to last, as by a script.
pub(crate) fn watched<'a>(told: &Backup, places: &'a [PlaceStatus]) -> Option<&'a PlaceStatus> {
    match &told.to {
        Some(to) => places.iter().find(|at| at.place == *to),
        None => places.iter().max_by_key(|at| at.backup_ms),
    }
}

/// What is wrong with backups, one sentence each. `known`: of the place that is [`watched`].
pub(crate) fn wrong(told: &Backup, known: Option<&PlaceStatus>, now_ms: u64) -> Vec<String> {
    let known = known.cloned().unwrap_or_default();
    let mut wrong = match told.to {
        Some(_) => due(told, &known, now_ms),
        None => Vec::new(),
    };
    let standing = [
        (
            "The last check of the archive found damage (`restante verify` again when it is mended)",
            known.archive_damage,
        ),
        (
            "The last backup holds what is damaged in the archive",
            known.damage,
        ),
        ("Older backups were not removed", known.prune_error),
    ];
    for (what, why) in standing {
        wrong.extend(why.map(|why| format!("{what}: {why}")));
    }
    let failed = [
        ("backup", known.backup_error),
        ("check of the backups", known.verify_error),
        ("drill", known.drill_error),
    ];
    for (what, error) in failed {
        wrong.extend(error.map(|error| format!("The last {what} failed: {error}")));
    }
    wrong
}

/// What is older than the configuration wants it.
fn due(told: &Backup, known: &PlaceStatus, now_ms: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let older = |at: u64, most: u64| {
        at > now_ms.saturating_add(CLOCKS_DIFFER_MS) || now_ms.saturating_sub(at) > most
    };
    match known.backup_ms {
        None => wrong.push("There is no backup yet.".to_owned()),
        Some(at) if older(at, told.stale_after_ms) => wrong.push(format!(
            "The last good backup is too old: it is of {} (backup.stale_after).",
            units::show_time(at)
        )),
        Some(_) => {}
    }
    if let (Some(every), Some(at)) = (drills(told), known.drill_ms) {
        let most = every.as_millis() as u64 * TURNS_MISSED + told.stale_after_ms;
        if older(at, most) {
            let at = units::show_time(at);
            wrong.push(format!(
                "The last drill is too old: it is of {at} (backup.drill)."
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = units::DAY_MS;
    const NOW: u64 = 20_000 * DAY;

    fn told() -> Backup {
        Backup {
            to: Some("/mnt/disk".to_owned()),
            ..Backup::default()
        }
    }

    fn first(known: &PlaceStatus) -> String {
        let said = wrong(&told(), Some(known), NOW);
        said.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn what_is_too_old_or_failed_is_said() {
        let good = PlaceStatus {
            backup_ms: Some(NOW - DAY),
            drill_ms: Some(NOW - 40 * DAY),
            ..PlaceStatus::default()
        };
        assert_eq!(first(&good), "");
        assert_eq!(wrong(&told(), None, NOW), ["There is no backup yet."]);
        assert_eq!(wrong(&Backup::default(), None, NOW), [""; 0]);
        // Nobody wants it by a time, and yet what failed is said.
        let by_hand = PlaceStatus {
            backup_ms: Some(NOW - 400 * DAY),
            archive_damage: Some("pack 3".to_owned()),
            ..PlaceStatus::default()
        };
        let places = [PlaceStatus::default(), by_hand];
        let last = watched(&Backup::default(), &places);
        let said = wrong(&Backup::default(), last, NOW);
        assert!(said.len() == 1 && said[0].contains("pack 3"), "{said:?}");
        let with = |change: fn(&mut PlaceStatus)| {
            let mut known = good.clone();
            change(&mut known);
            first(&known)
        };
        assert!(with(|known| known.backup_ms = Some(NOW - 4 * DAY)).contains("too old"));
        assert!(with(|known| known.backup_ms = Some(NOW + DAY)).contains("too old"));
        assert!(with(|known| known.drill_ms = Some(NOW - 64 * DAY)).contains("drill is too old"));
        assert!(with(|known| known.drill_error = Some("x".to_owned())).contains("drill failed: x"));
        assert!(with(|known| known.damage = Some("pack 1".to_owned())).contains("pack 1"));
        assert!(with(|known| known.archive_damage = Some("pack 2".to_owned())).contains("pack 2"));
        assert!(with(|known| known.prune_error = Some("full".to_owned())).contains("full"));
    }

    #[test]
    fn nobody_drills_without_the_key() {
        let mut told = told();
        assert!(drills(&told).is_some());
        told.recipients.push("age1x".to_owned());
        assert_eq!(drills(&told), None);
        told.identity_file = Some("key.txt".into());
        assert!(drills(&told).is_some());
    }
}
