//! Reclaiming space that fails, is killed or loses power on its way, then is done again.

use std::path::PathBuf;

use restante_store::StoreError;
use restante_testkit::disk::{Crash, Errno, Fault, Image, KINDS};

use crate::reopen::{Index, Running, Settings, settled};
use crate::workload::{Driver, Step, bytes_of, judge, look, record};

/// A full first pack with a message (13) that is removed; its tombstone stands in the second one.
fn before() -> Vec<Step> {
    vec![
        Step::Create("me", &[]),
        Step::Deliver(vec![("me", 5), ("me", 13), ("me", 21)]),
        Step::Deliver(vec![("me", 1), ("me", 2), ("me", 3)]),
        Step::Delete("me", "plain", vec![13]),
    ]
}

/// The second pack has something dead too, so that it is rewritten as well.
fn afterwards() -> [Step; 2] {
    [Step::Delete("me", "plain", vec![2]), Step::Compact]
}

/// How often the octets of the messages 5, 13 and 21 are in the packs: noise is stored as it is, and
/// the three have the same.
fn stored(image: &Image) -> usize {
    let bytes = bytes_of(13);
    let some = &bytes[bytes.len() - 200..];
    let count = |file: &Vec<u8>| file.windows(some.len()).filter(|w| *w == some).count();
    image.files.values().map(count).sum()
}

/// Goes on after a compaction that failed: nothing is lost, the next one reclaims, and neither now
/// nor in a rebuilt index does anything come back.
fn go_on(running: &Running, mut driver: Driver, what: &str) {
    for step in afterwards() {
        assert!(driver.step(running, &step), "{what}: {step:?}");
    }
    let found = look(&running.store).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(judge(&driver, &found), Vec::<String>::new(), "{what}");
    let left = stored(&running.disk.image());
    assert_eq!(left, 2, "{what}: the space comes back, and no more");
    running.disk.power_off();
    for crash in [Crash::KeepAll, Crash::LoseAll] {
        let what = format!("{what}, then {crash:?}");
        let image = running.disk.crash_at(running.disk.operations(), crash);
        let again = Running::found(&image, &Index::Missing, Settings::RECLAIM, &what);
        let found = look(&again.store).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(judge(&driver, &found), Vec::<String>::new(), "{what}");
    }
}

/// A store after the steps before a compaction, and what it acknowledged.
fn prepared(settings: Settings) -> (Running, Driver) {
    let running = Running::new(settings);
    let history = record(&running, &running.disk, &before());
    let driver = history.last().expect("steps were done").1.clone();
    (running, driver)
}

#[test]
fn a_fault_at_every_operation_of_a_compaction_then_another() {
    let (running, mut driver) = prepared(Settings::RECLAIM);
    let from = KINDS.map(|kind| running.disk.count(kind));
    assert!(driver.step(&running, &Step::Compact));
    assert_eq!(stored(&running.disk.image()), 2);
    let to = KINDS.map(|kind| running.disk.count(kind));
    let mut failed = 0;
    for (at, kind) in KINDS.into_iter().enumerate() {
        for nth in from[at]..to[at] {
            for (errno, lasting) in [(Errno::Io, false), (Errno::NoSpace, true)] {
                let torn = errno == Errno::NoSpace;
                let fault = Fault {
                    kind,
                    nth,
                    errno,
                    lasting,
                    torn,
                };
                // In the same process, and in the next one if this one is killed.
                for killed in [false, true] {
                    let what = format!("{fault:?}, killed: {killed}");
                    let (running, mut driver) = prepared(Settings::RECLAIM);
                    running.disk.fail(fault);
                    failed += usize::from(!driver.step(&running, &Step::Compact));
                    if !killed {
                        running.disk.mend();
                        go_on(&running, driver, &what);
                        continue;
                    }
                    running.disk.power_off();
                    let index = Index::Copy(running.folder().to_owned());
                    let image = running.disk.image();
                    let again = Running::found(&image, &index, Settings::RECLAIM, &what);
                    go_on(&again, driver, &what);
                }
            }
        }
    }
    assert!(failed > 20, "most faults are told: {failed}");
}

#[test]
fn power_loss_in_a_compaction_then_another() {
    let (running, mut driver) = prepared(Settings::RECLAIM);
    let start = running.disk.operations();
    let acknowledged = driver.clone();
    assert!(driver.step(&running, &Step::Compact));
    let copies = running.copies();
    running.disk.power_off();
    let history = [(0, acknowledged)];
    for prefix in start..=running.disk.operations() {
        for crash in [Crash::LoseAll, Crash::KeepAll, Crash::Mixed(prefix as u64)] {
            let image = running.disk.crash_at(prefix, crash);
            for index in [Index::Missing, Index::Copy(copies[0].1.path().to_owned())] {
                let what = format!("after {prefix} operations, {crash:?}, {index:?}");
                let again = Running::found(&image, &index, Settings::RECLAIM, &what);
                go_on(&again, settled(&history, prefix, &again), &what);
            }
        }
    }
}

/// An erasure that the disk cuts short is finished by the compactor, whatever the hold.
#[test]
fn what_was_to_be_erased_is_erased_later() {
    let (running, mut driver) = prepared(Settings::KEEP);
    let kind = restante_testkit::disk::Kind::Create;
    let nth = running.disk.count(kind);
    let (errno, lasting, torn) = (Errno::NoSpace, true, false);
    running.disk.fail(Fault {
        kind,
        nth,
        errno,
        lasting,
        torn,
    });
    assert!(!driver.step(&running, &Step::Erase("me")));
    assert_eq!(stored(&running.disk.image()), 3);
    running.disk.mend();
    assert!(driver.step(&running, &Step::Compact));
    assert_eq!(stored(&running.disk.image()), 0);
}

/// The first pack, with one bit turned at each of some places.
fn hurt(image: &Image) -> (PathBuf, Vec<(usize, Image)>) {
    let first = image
        .files
        .iter()
        .find(|(path, _)| path.ends_with("000001.mbox.zst"));
    let (pack, bytes) = first.expect("the first pack");
    let places = [
        bytes.len() / 3,
        bytes.len() / 2,
        bytes.len() - 150,
        bytes.len() - 20,
    ];
    let hurt = places.map(|at| {
        let mut hurt = image.clone();
        hurt.files.get_mut(pack).expect("the pack")[at] ^= 0x04;
        (at, hurt)
    });
    (pack.clone(), hurt.to_vec())
}

#[test]
fn a_damaged_pack_is_not_rewritten() {
    let (running, _) = prepared(Settings::RECLAIM);
    running.disk.power_off();
    let index = Index::Copy(running.folder().to_owned());
    let (pack, images) = hurt(&running.disk.image());
    for (at, image) in images {
        let what = format!("octet {at}");
        let again = Running::found(&image, &index, Settings::RECLAIM, &what);
        again.store.take_reports();
        assert_eq!(again.store.compact_now(), Ok(0), "{what}");
        let reports = again.store.take_reports();
        let told = |r: &String| r.contains("pack 000001 is damaged");
        assert!(reports.iter().any(told), "{what}: {reports:?}");
        assert!(
            again.disk.image().files.get(&pack) == image.files.get(&pack),
            "{what}"
        );
        let me = restante_testkit::exec::block_on(restante_store::MailStore::find_mailbox(
            &again.store,
            "me",
        ));
        let me = me.expect("asked").expect("there").id;
        let erased = restante_testkit::exec::block_on(restante_store::MailStore::remove_mailbox(
            &again.store,
            me,
            true,
        ));
        let Err(StoreError::Permanent(told)) = erased else {
            panic!("{what}: {erased:?}");
        };
        assert!(told.contains("pack 000001"), "{what}: {told}");
        assert!(
            again.disk.image().files.get(&pack) == image.files.get(&pack),
            "{what}"
        );
    }
}
