//! Damage to packs costs the messages in the damaged octets, and no others; which, is told.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pollster::block_on as wait;
use restante_store::embedded::{EmbeddedStore, Finding, Options, PackReader, salvage};
use restante_store::{
    Access, DeletionSet, Delivery, MailStore, MessageFilter, StoreError, Totals, UniqueId,
};

fn options() -> Options {
    Options {
        compact: false,
        pack_octets: 60_000,
        ..Options::default()
    }
}

/// Thirty messages in two mailboxes and several packs; one is removed.
fn archive(folder: &Path) -> BTreeSet<UniqueId> {
    let store = EmbeddedStore::open(folder, options()).unwrap();
    let mut ids = BTreeSet::new();
    for number in 0..30u32 {
        let name = if number % 3 == 0 { "bob" } else { "ann" };
        let mailbox = wait(store.create_mailbox(name)).unwrap();
        let mut draft = store.draft(None).unwrap();
        draft.write(b"Subject: x\r\n\r\n").unwrap();
        for line in 0..100 + number {
            let digest = blake3::hash(&[number.to_le_bytes(), line.to_le_bytes()].concat());
            draft.write(format!("{digest}\r\n").as_bytes()).unwrap();
        }
        let delivery = Delivery {
            mailbox,
            message: draft.seal().unwrap(),
            received_ms: 1_700_000_000_000,
            source: None,
        };
        ids.extend(wait(store.commit(vec![delivery])).unwrap());
    }
    let first = *ids.first().unwrap();
    let mailbox = wait(store.message(first)).unwrap().unwrap().mailbox;
    wait(store.remove(mailbox, &[first])).unwrap();
    ids.remove(&first);
    // One device has deleted every other message, another none.
    let phone = wait(store.add_view(mailbox, "phone", false)).unwrap();
    wait(store.add_view(mailbox, "laptop", false)).unwrap();
    let opened = wait(store.open(mailbox, phone, Access::Shared)).unwrap();
    let mut deleted = DeletionSet::default();
    for index in (0..opened.totals().count as usize).step_by(2) {
        deleted.insert(index);
    }
    wait(opened.commit_deletions(&deleted)).unwrap();
    drop(opened);
    ids
}

/// What the index counts of each mailbox and each view.
fn counted(store: &EmbeddedStore) -> Vec<(String, Totals)> {
    let mut all = Vec::new();
    for mailbox in wait(store.mailboxes()).unwrap() {
        for view in wait(store.views(mailbox.id)).unwrap() {
            all.push((format!("{} {}", mailbox.name, view.name), view.totals));
        }
        all.push((mailbox.name, mailbox.totals));
    }
    all
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("packs")).unwrap();
    let mut all: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// The live messages, each of which has to be readable.
fn live(store: &EmbeddedStore) -> BTreeSet<UniqueId> {
    let mut ids = BTreeSet::new();
    for mailbox in wait(store.mailboxes()).unwrap() {
        for info in wait(store.browse(mailbox.id, MessageFilter::Live, None, 1_000)).unwrap() {
            let read = wait(async {
                let mut body = store.read(info.unique_id).await?;
                let mut bytes = Vec::new();
                while body.read(&mut bytes).await? > 0 {}
                Ok::<_, StoreError>(())
            });
            assert_eq!(
                read,
                Ok(()),
                "{} is listed and cannot be read",
                info.unique_id
            );
            ids.insert(info.unique_id);
        }
    }
    ids
}

/// Damages one pack, salvages, and looks whether what is lost is what is told, and at most `most`.
fn salvaged(pack: usize, damage: impl Fn(&mut Vec<u8>), with_index: bool, most: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let ids = archive(folder.path());
    let path = packs(folder.path())[pack].clone();
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    if !with_index {
        fs::remove_file(folder.path().join("index.db")).unwrap();
    }
    let (store, report) = salvage(folder.path(), options()).unwrap();
    let there = live(&store);
    let lost: BTreeSet<_> = ids.difference(&there).copied().collect();
    assert!(there.is_subset(&ids), "a removed message is back");
    assert!(lost.len() <= most, "{} are lost: {report:?}", lost.len());
    if with_index {
        let told: BTreeSet<_> = report.lost.iter().map(|lost| lost.unique_id).collect();
        assert_eq!(told, lost);
    }
    // Whatever was damaged is still there to look at.
    for kept in &report.kept {
        assert!(kept.exists());
    }
    // What was lost still counted: STAT spoke of messages that LIST did not show.
    assert_eq!(store.miscounted().unwrap(), [""; 0]);
    let totals = counted(&store);
    drop(store);
    let anew = Options {
        rebuild: true,
        ..options()
    };
    let again = EmbeddedStore::open(folder.path(), anew).unwrap();
    assert_eq!(live(&again), there);
    assert_eq!(counted(&again), totals);
    for info in again.packs().unwrap() {
        let reader = again.open_pack(&info).unwrap().unwrap();
        let whole = |finding| match finding {
            Finding::Damaged { .. } => Err(StoreError::Permanent(format!("{finding:?}"))),
            Finding::Message(message) if !message.good => Err(StoreError::NotFound),
            _ => Ok(()),
        };
        reader.examine(0, true, &mut { whole }).unwrap();
    }
    lost.len()
}

#[test]
fn a_flipped_octet_costs_one_message_at_most() {
    for turn in 0..12usize {
        let flip = |bytes: &mut Vec<u8>| {
            let at = 300 + (turn * 104_729) % (bytes.len() - 300);
            bytes[at] ^= 0x10;
        };
        salvaged(turn % 2, flip, turn % 3 != 0, 1);
    }
}

#[test]
fn a_cut_pack_keeps_what_is_before_the_cut() {
    let mut lost = 0;
    for part in [2, 3, 5] {
        lost += salvaged(0, |bytes| bytes.truncate(bytes.len() / part), true, 14);
    }
    assert!(lost > 0);
}

#[test]
fn a_stretch_of_zeros_costs_what_it_covers() {
    let zero = |bytes: &mut Vec<u8>| bytes[20_000..20_100].fill(0);
    let lost = salvaged(1, zero, true, 2);
    assert!(lost > 0);
}

#[test]
fn a_mailbox_whose_making_is_lost_keeps_its_name_and_its_messages() {
    // The first record of the first pack, and the batch that makes the mailbox.
    salvaged(0, |bytes| bytes[..200].fill(0), true, 1);
}

#[test]
fn a_pack_that_is_whole_has_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    archive(folder.path());
    let mut messages = 0;
    for path in packs(folder.path()) {
        let reader = PackReader::open(&path, None).unwrap();
        let mut upto = 0;
        reader
            .examine(0, true, &mut |finding| {
                match finding {
                    Finding::Message(message) => {
                        assert!(message.good);
                        messages += 1;
                    }
                    Finding::Damaged { .. } => panic!("{finding:?}"),
                    Finding::Upto(at) => upto = at,
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(upto, reader.octets());
    }
    assert_eq!(messages, 30);
}

/// What was cut off was never acknowledged: its messages are stored all the same, its deletions are not
/// carried out, and nobody gets a message twice that he has deleted since.
#[test]
fn an_end_that_was_cut_off_gives_its_messages_once_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options {
        compact: false,
        hold_ms: 0,
        grace_ms: 0,
        ..Options::default()
    };
    let deliver = |store: &EmbeddedStore, text: &[u8]| {
        let mut draft = store.draft(None).unwrap();
        draft.write(text).unwrap();
        let delivery = Delivery {
            mailbox: wait(store.create_mailbox("ann")).unwrap(),
            message: draft.seal().unwrap(),
            received_ms: 1_700_000_000_000,
            source: None,
        };
        wait(store.commit(vec![delivery])).unwrap()[0]
    };
    let path = folder.path().join("packs/000001.mbox.zst");
    let store = EmbeddedStore::open(folder.path(), options()).unwrap();
    let stays = deliver(&store, b"Subject: stays\r\n\r\nx\r\n");
    let mailbox = wait(store.message(stays)).unwrap().unwrap().mailbox;
    let before = fs::metadata(&path).unwrap().len() as usize;
    let late = deliver(&store, b"Subject: late\r\n\r\nx\r\n");
    wait(store.remove(mailbox, &[stays])).unwrap();
    drop(store);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..before]).unwrap();
    fs::remove_file(folder.path().join("index.db")).unwrap();
    let lost = folder.path().join("lost+found");
    fs::create_dir_all(&lost).unwrap();
    let tail = lost.join(format!("000001-{before}-0123456789abcdef.tail"));
    fs::write(&tail, &bytes[before..]).unwrap();
    let (store, report) = salvage(folder.path(), options()).unwrap();
    assert_eq!(report.found, 1);
    assert_eq!(live(&store), BTreeSet::from([stays, late]));
    assert!(!tail.exists() && tail.with_extension("tail.taken").exists());
    drop(store);
    let store = EmbeddedStore::open(folder.path(), options()).unwrap();
    wait(store.remove(mailbox, &[late])).unwrap();
    store.compact_now().unwrap();
    drop(store);
    let (store, report) = salvage(folder.path(), options()).unwrap();
    assert_eq!((report.found, live(&store)), (0, BTreeSet::from([stays])));
}
