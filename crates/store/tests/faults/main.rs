//! Power loss after every operation, and a fault at every operation, under a scripted workload.
//!
//! What is acknowledged must be found byte for byte, what is deleted must not come back, nothing may
//! be doubled, and the index must be what a rebuild makes of the packs. The history has more
//! prefixes, crashes and states of the index than a minute has room for, so every prefix is taken
//! with some of them, chosen by a fixed seed; `RESTANTE_FAULTS=all` takes them all.

mod reopen;
mod space;
mod workload;

use std::collections::BTreeSet;

use restante_store::StoreError;
use restante_testkit::disk::{Crash, Errno, Fault, KINDS, Kind};

use reopen::{Index, Running, Settings};
use workload::{Driver, Step, Tri, bytes_of, judge, look, record, script};

fn all() -> bool {
    std::env::var_os("RESTANTE_FAULTS").is_some_and(|v| v == "all")
}

/// Deterministic choice: a hash of the two numbers.
fn choose(a: u64, b: u64, of: usize) -> usize {
    let mixed = (a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 33) % of as u64) as usize
}

const CRASHES: [Crash; 8] = [
    Crash::LoseAll,
    Crash::KeepAll,
    Crash::TornLast,
    Crash::LoseNames,
    Crash::Zeroed,
    Crash::Mixed(0),
    Crash::Mixed(1),
    Crash::Mixed(2),
];

/// A crash for a prefix: the mixed ones differ from prefix to prefix.
fn crashes(prefix: usize) -> Vec<Crash> {
    let fresh = |crash: Crash| match crash {
        Crash::Mixed(seed) => Crash::Mixed(seed + 3 * prefix as u64),
        other => other,
    };
    let chosen = CRASHES.map(fresh);
    if all() {
        return chosen.to_vec();
    }
    vec![chosen[0], chosen[1 + choose(prefix as u64, 1, 7)]]
}

#[test]
fn power_loss_at_every_moment() {
    lose_power(Settings::KEEP, &script());
}

/// Compaction now drops what is removed, so there is nothing to undo.
#[test]
fn power_loss_while_space_is_reclaimed() {
    lose_power(Settings::RECLAIM, &reclaiming());
}

fn reclaiming() -> Vec<Step> {
    let mut steps = script();
    steps.retain(|step| !matches!(step, Step::Restore(..)));
    steps.push(Step::Compact);
    // Deleted for good by now: the ledger alone still knows them, then one of them.
    steps.push(Step::Forget("me", vec![12, 32]));
    steps.push(Step::Delete("me", "plain", vec![11, 31]));
    steps.push(Step::Forget("me", vec![11]));
    steps.push(Step::Compact);
    steps
}

fn lose_power(settings: Settings, steps: &[Step]) {
    let running = Running::new(settings);
    let history = record(&running, &running.disk, steps);
    let indexes = running.copies();
    running.disk.power_off();
    let mut tried = 0;
    for prefix in 0..=running.disk.operations() {
        // The last step that was acknowledged, and the one that was under way, if any.
        let done = history
            .iter()
            .rposition(|(end, _)| *end <= prefix)
            .unwrap_or(0);
        for crash in crashes(prefix) {
            let image = running.disk.crash_at(prefix, crash);
            let older = indexes.iter().filter(|(at, _)| *at <= prefix);
            let mut kinds = vec![Index::Missing, Index::Garbage];
            kinds.extend(older.map(|(_, copy)| Index::Copy(copy.path().to_owned())));
            if !all() {
                kinds = vec![kinds.swap_remove(choose(prefix as u64, tried, kinds.len()))];
            }
            for index in kinds {
                tried += 1;
                let what = format!("after {prefix} operations, {crash:?}, {index:?}");
                let again = Running::found(&image, &index, settings, &what);
                let found = look(&again.store).unwrap_or_else(|e| panic!("{what}: {e}"));
                let before = judge(&history[done].1, &found);
                let after = history.get(done + 1).map(|(_, next)| judge(next, &found));
                let well = before.is_empty() || after.as_ref().is_some_and(Vec::is_empty);
                assert!(
                    well,
                    "{what}: after step {done} {:?}: {before:#?}\nafter the next, {:?}: {after:#?}",
                    done.checked_sub(1).map(|at| &steps[at]),
                    steps.get(done),
                );
                again.assert_index_is_a_rebuild(&what);
            }
        }
    }
    assert!(
        tried > 200,
        "the history is long enough to mean something: {tried}"
    );
}

/// The store goes on after power loss: what it then acknowledges holds as well.
#[test]
fn a_second_life_and_a_second_crash() {
    let running = Running::new(Settings::KEEP);
    let steps = script();
    let (first, rest) = steps.split_at(steps.len() / 2);
    let history = record(&running, &running.disk, first);
    running.disk.power_off();
    let operations = running.disk.operations();
    let every = if all() { 1 } else { 1 + operations / 12 };
    for prefix in (0..=operations).step_by(every) {
        let crash = CRASHES[choose(prefix as u64, 7, CRASHES.len())];
        let what = format!("after {prefix} operations, {crash:?}");
        let image = running.disk.crash_at(prefix, crash);
        let again = Running::found(&image, &Index::Missing, Settings::KEEP, &what);
        let mut driver = reopen::settled(&history, prefix, &again);
        // What the first life may not have come to. Later steps find their mailboxes.
        for step in first.iter().filter(|s| matches!(s, Step::Create(..))) {
            assert!(driver.step(&again, step), "{what}: {step:?}");
        }
        let acknowledged: Vec<_> = rest.iter().map(|step| driver.step(&again, step)).collect();
        let found = look(&again.store).expect("looked");
        assert_eq!(
            judge(&driver, &found),
            Vec::<String>::new(),
            "{what}: {acknowledged:?}"
        );
        again.disk.power_off();
        for crash in [Crash::LoseAll, Crash::KeepAll, Crash::Mixed(prefix as u64)] {
            let what = format!("{what}, then {crash:?} at the end");
            let image = again.disk.crash_at(again.disk.operations(), crash);
            let third = Running::found(&image, &Index::Missing, Settings::KEEP, &what);
            let found = look(&third.store).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(judge(&driver, &found), Vec::<String>::new(), "{what}");
        }
    }
}

/// How many operations of each kind the workload needs on a sound disk.
fn counts(settings: Settings, steps: &[Step]) -> Vec<(Kind, u64, u64)> {
    let running = Running::new(settings);
    let opened: Vec<_> = KINDS.iter().map(|kind| running.disk.count(*kind)).collect();
    record(&running, &running.disk, steps);
    let ended = KINDS.iter().map(|kind| running.disk.count(*kind));
    let both = KINDS.into_iter().zip(opened).zip(ended);
    both.map(|((kind, from), to)| (kind, from, to)).collect()
}

fn faults(settings: Settings, steps: &[Step]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (kind, from, to) in counts(settings, steps) {
        for nth in from..to {
            for (errno, lasting, torn) in [
                (Errno::Io, false, false),
                (Errno::NoSpace, true, true),
                (Errno::Io, true, false),
                (Errno::NoSpace, false, true),
            ] {
                faults.push(Fault {
                    kind,
                    nth,
                    errno,
                    lasting,
                    torn,
                });
            }
        }
    }
    faults
}

/// Runs the whole script with one fault, then looks three times: in the same process, after a
/// restart, and after power loss.
fn run_with(fault: Fault, settings: Settings, steps: &[Step]) {
    let what = format!("{fault:?}");
    let running = Running::new(settings);
    running.disk.fail(fault);
    let mut driver = Driver::default();
    for step in steps {
        driver.step(&running, step);
    }
    running.disk.mend();
    match look(&running.store) {
        Ok(found) => assert_eq!(
            judge(&driver, &found),
            Vec::<String>::new(),
            "{what}: at once"
        ),
        Err(StoreError::Temporary(_)) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    running.disk.power_off();
    for (crash, index) in [
        (Crash::KeepAll, Index::Copy(running.folder().to_owned())),
        (Crash::LoseAll, Index::Missing),
    ] {
        let what = format!("{what}, then {crash:?}, {index:?}");
        let image = running.disk.crash_at(running.disk.operations(), crash);
        let again = Running::found(&image, &index, settings, &what);
        let found = look(&again.store).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(judge(&driver, &found), Vec::<String>::new(), "{what}");
        again.assert_index_is_a_rebuild(&what);
    }
}

#[test]
fn a_fault_at_every_operation() {
    fail_each(Settings::KEEP, &script(), 100);
}

#[test]
fn a_fault_at_every_operation_while_space_is_reclaimed() {
    fail_each(Settings::RECLAIM, &reclaiming(), 50);
}

/// About so many of the faults there are, or all.
fn fail_each(settings: Settings, steps: &[Step], some: usize) {
    let faults = faults(settings, steps);
    let kinds: BTreeSet<_> = faults.iter().map(|f| f.kind).collect();
    assert!(kinds.contains(&Kind::Write) && kinds.contains(&Kind::SyncData));
    let every = if all() { 1 } else { 1 + faults.len() / some };
    for (at, fault) in faults.iter().enumerate() {
        if at % every == choose(at as u64 / every as u64, 3, every) {
            run_with(*fault, settings, steps);
        }
    }
}

/// What is written in small bites is the same in the end.
#[test]
fn short_writes_and_a_cold_cache_change_nothing() {
    let running = Running::new(Settings::KEEP);
    running.disk.set_short_writes(true);
    running.disk.set_cold(true);
    let history = record(&running, &running.disk, &script());
    let driver = &history.last().expect("steps were done").1;
    let found = look(&running.store).expect("looked");
    assert_eq!(judge(driver, &found), Vec::<String>::new());
    running.assert_index_is_a_rebuild("short writes");
}

/// On a full disk nothing is taken in, and yet deletions are possible.
#[test]
fn a_full_disk_can_be_emptied() {
    let running = Running::new(Settings {
        min_free: 10_000_000,
        ..Settings::KEEP
    });
    // Room for what comes, beyond what must stay free.
    running.disk.set_free(Some(11_000_000));
    let mut driver = Driver::default();
    assert!(driver.step(&running, &Step::Create("me", &[])));
    assert!(driver.step(&running, &Step::Deliver(vec![("me", 1), ("me", 2)])));
    running.disk.set_free(Some(9_999_999));
    let refused = restante_testkit::exec::seal(&running.store, &bytes_of(3)).map(drop);
    assert!(
        matches!(refused, Err(StoreError::Full { .. })),
        "{refused:?}"
    );
    assert!(driver.step(&running, &Step::Delete("me", "plain", vec![1])));
    let found = look(&running.store).expect("looked");
    assert_eq!(judge(&driver, &found), Vec::<String>::new());
}

/// A flipped octet is found when it is read, reported, and spreads to nothing else.
#[test]
fn damage_is_an_error_and_never_other_bytes() {
    let running = Running::new(Settings::KEEP);
    let mut driver = Driver::default();
    assert!(driver.step(&running, &Step::Create("me", &[])));
    assert!(driver.step(&running, &Step::Deliver(vec![("me", 2), ("me", 5)])));
    assert!(driver.step(&running, &Step::Deliver(vec![("me", 10)])));
    // A bad last batch cannot be told from one that power loss tore: it may be cut off.
    let last = ("me".to_owned(), "plain".to_owned(), 10);
    driver.expected.insert(last, Tri::Maybe);
    running.disk.power_off();
    let image = running.disk.image();
    let (pack, bytes) = image
        .files
        .iter()
        .max_by_key(|(_, b)| b.len())
        .expect("a pack");
    let mut damaged = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut hurt = image.clone();
        hurt.files.get_mut(pack).expect("the pack")[at] ^= 0x20;
        let what = format!("octet {at} of {}", bytes.len());
        let index = Index::Copy(running.folder().to_owned());
        let again = Running::try_found(&hurt, &index, Settings::KEEP);
        // Either is honest: not to open, or to open and refuse the one body. `look` checks octets.
        match again.and_then(|again| look(&again.store)) {
            Err(StoreError::Permanent(_) | StoreError::Temporary(_)) => damaged += 1,
            Err(error) => panic!("{what}: {error}"),
            Ok(found) => assert_eq!(judge(&driver, &found), Vec::<String>::new(), "{what}"),
        }
    }
    assert!(damaged > 30, "bodies are most of a pack: {damaged}");
}
