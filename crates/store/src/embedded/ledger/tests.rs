//! What compaction, rebuilding and erasing do to the ledger.

use std::path::Path;
use std::time::Instant;

use restante_testkit::exec::block_on;

use super::*;
use crate::embedded::{EmbeddedStore, Options};
use crate::{Access, DeletionSet, Delivery, MailStore, Release, Source, ViewId};

fn open_in(folder: &Path) -> EmbeddedStore {
    let options = Options {
        hold_ms: 0,
        grace_ms: 0,
        compact: false,
        ..Options::default()
    };
    EmbeddedStore::open(folder, options).expect("the store opens")
}

struct Bench {
    folder: tempfile::TempDir,
    store: EmbeddedStore,
    me: MailboxId,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open_in(folder.path());
        let me = block_on(store.create_mailbox("me")).expect("made");
        Self { folder, store, me }
    }

    fn fetch(&self, remote_id: &str) -> UniqueId {
        let mut draft = self.store.draft(None).expect("a draft");
        draft.write(b"fetched\r\n").expect("written");
        let delivery = Delivery {
            mailbox: self.me,
            message: draft.seal().expect("sealed"),
            received_ms: 1_700_000_000_000,
            source: Some(source(remote_id)),
        };
        block_on(self.store.commit(vec![delivery])).expect("stored")[0]
    }

    fn remove(&self, id: UniqueId) {
        block_on(self.store.remove(self.me, &[id])).expect("removed");
    }

    fn see(&self, remote_ids: &[&str]) {
        let seen: Vec<_> = remote_ids.iter().map(|id| seen(id)).collect();
        block_on(self.store.record_seen(self.me, &seen)).expect("recorded");
    }

    fn forget(&self, remote_ids: &[&str]) {
        let ids: Vec<_> = remote_ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        block_on(self.store.forget_seen(self.me, "gmx", &ids)).expect("forgotten");
    }

    /// The remote unique-ids of the ledger, and whether their message is there; the same from an
    /// index that is made anew.
    fn ledger(&self) -> Vec<(String, bool)> {
        let look = || {
            let all = block_on(self.store.ledger(self.me, "gmx", None, 100)).expect("listed");
            let line = |entry: LedgerEntry| {
                let id = String::from_utf8(entry.remote_id).expect("text");
                (id, entry.message.is_some())
            };
            all.into_iter().map(line).collect::<Vec<_>>()
        };
        let (before, dump) = (look(), self.store.dump_index().expect("dumped"));
        self.store.rebuild(&mut |_| {}).expect("rebuilt");
        assert_eq!(self.store.dump_index().expect("dumped"), dump);
        assert_eq!(look(), before);
        before
    }

    /// How often octets are in the packs: records are not compressed.
    fn packs_have(&self, text: &str) -> usize {
        let files = std::fs::read_dir(self.folder.path().join("packs")).expect("listed");
        let count = |file: std::fs::DirEntry| {
            let bytes = std::fs::read(file.path()).expect("read");
            let windows = bytes.windows(text.len());
            windows.filter(|w| *w == text.as_bytes()).count()
        };
        files.map(|file| count(file.expect("a file"))).sum()
    }

    /// Something dead in the pack that is written to, so that it is rewritten; the next record comes
    /// into another.
    fn compact(&self) {
        self.remove(self.fetch("passing"));
        assert_eq!(self.store.compact_now(), Ok(1));
        self.forget(&["passing"]);
    }
}

fn source(remote_id: &str) -> Source {
    Source {
        account: "gmx".into(),
        remote_id: remote_id.into(),
    }
}

fn seen(remote_id: &str) -> Seen {
    Seen {
        source: source(remote_id),
        received_ms: 5,
    }
}

fn lines(all: &[(&str, bool)]) -> Vec<(String, bool)> {
    all.iter()
        .map(|(id, there)| ((*id).to_owned(), *there))
        .collect()
}

#[test]
fn compaction_keeps_the_ledger_of_what_it_drops() {
    let bench = Bench::new();
    let dead = bench.fetch("uid-dead");
    bench.fetch("uid-live");
    bench.see(&["uid-seen"]);
    bench.remove(dead);
    let expected = lines(&[("uid-dead", false), ("uid-live", true), ("uid-seen", false)]);
    assert_eq!(bench.ledger(), expected);
    for _ in 0..3 {
        bench.compact();
        assert_eq!(bench.ledger(), expected);
    }
    let found = block_on(
        bench
            .store
            .ledger_find(bench.me, "gmx", &[b"uid-dead".to_vec()]),
    );
    let entry = found.expect("looked up").remove(0).expect("known");
    assert_eq!(
        (entry.received_ms, entry.message),
        (1_700_000_000_000, None)
    );
}

#[test]
fn what_is_forgotten_stays_so_and_its_octets_go() {
    let bench = Bench::new();
    bench.remove(bench.fetch("uid-before"));
    bench.remove(bench.fetch("uid-after"));
    bench.see(&["uid-one", "uid-two"]);
    // Before its bytes went, and while the seen record is in the same pack.
    bench.forget(&["uid-before", "uid-one"]);
    let expected = lines(&[("uid-after", false), ("uid-two", false)]);
    assert_eq!(bench.ledger(), expected);
    bench.compact();
    assert_eq!(bench.ledger(), expected);
    assert_eq!(bench.packs_have("uid-before"), 0);
    assert_eq!(bench.packs_have("uid-one"), 0);
    // In a later pack than what it forgets: it stays as long as that.
    bench.forget(&["uid-after", "uid-two"]);
    assert_eq!(bench.ledger(), []);
    assert_eq!(bench.packs_have("uid-two"), 2);
    bench.compact();
    assert_eq!(bench.ledger(), []);
    assert!(bench.packs_have("uid-two") >= 1);
    // Seen again: what forgot the first does not touch the second.
    bench.see(&["uid-two"]);
    assert_eq!(bench.ledger(), lines(&[("uid-two", false)]));
    bench.compact();
    assert_eq!(bench.ledger(), lines(&[("uid-two", false)]));
}

/// The pack with the seen record is rewritten first, then the one with what forgets it.
#[test]
fn nothing_is_left_once_both_packs_were_rewritten() {
    let bench = Bench::new();
    bench.see(&["uid-one", "uid-two"]);
    let first = bench.fetch("uid-first");
    bench.compact();
    let second = bench.fetch("uid-second");
    bench.forget(&["uid-one"]);
    bench.remove(second);
    bench.forget(&["uid-second"]);
    // Only the second pack is rewritten; the record in the first still needs what forgets it.
    assert_eq!(bench.store.compact_now(), Ok(1));
    assert_eq!(bench.packs_have("uid-one"), 2);
    assert_eq!(bench.packs_have("uid-second"), 0);
    bench.remove(first);
    bench.fetch("uid-third");
    assert_eq!(bench.store.compact_now(), Ok(1));
    assert_eq!(bench.packs_have("uid-one"), 1);
    let expected = lines(&[
        ("uid-first", false),
        ("uid-third", true),
        ("uid-two", false),
    ]);
    assert_eq!(bench.ledger(), expected);
    for _ in 0..2 {
        bench.compact();
    }
    let third = block_on(
        bench
            .store
            .ledger_find(bench.me, "gmx", &[b"uid-third".to_vec()]),
    );
    let third = third.expect("looked up").remove(0).expect("known").message;
    bench.remove(third.expect("is there").unique_id);
    assert!(bench.store.compact_now().expect("compacted") >= 1);
    let expected = lines(&[
        ("uid-first", false),
        ("uid-third", false),
        ("uid-two", false),
    ]);
    assert_eq!(bench.ledger(), expected);
}

#[test]
fn the_ledger_goes_with_its_mailbox() {
    let bench = Bench::new();
    let other = block_on(bench.store.create_mailbox("other")).expect("made");
    let kept = [seen("uid-kept")];
    block_on(bench.store.record_seen(other, &kept)).expect("recorded");
    bench.remove(bench.fetch("uid-dead"));
    bench.fetch("uid-live");
    bench.see(&["uid-seen", "uid-more"]);
    bench.forget(&["uid-more"]);
    block_on(bench.store.remove_mailbox(bench.me, false)).expect("removed");
    assert!(bench.store.compact_now().expect("compacted") >= 1);
    for id in ["uid-dead", "uid-live", "uid-seen", "uid-more"] {
        assert_eq!(bench.packs_have(id), 0, "{id}");
    }
    bench.store.rebuild(&mut |_| {}).expect("rebuilt");
    let ledger = block_on(bench.store.ledger(other, "gmx", None, 9)).expect("listed");
    assert_eq!(ledger.len(), 1);
}

/// Though no message of it was there.
#[test]
fn erasing_reaches_what_was_only_seen() {
    let bench = Bench::new();
    bench.see(&["uid-secret"]);
    assert_eq!(bench.packs_have("uid-secret"), 1);
    block_on(bench.store.remove_mailbox(bench.me, true)).expect("erased");
    assert_eq!(bench.packs_have("uid-secret"), 0);
    assert_eq!(bench.store.compact_now(), Ok(0));
}

/// `release = "never"`: whatever devices delete, and however long ago.
#[test]
fn never_keeps_the_bytes_past_hold_and_compaction() {
    let bench = Bench::new();
    block_on(bench.store.set_release(bench.me, Some(Release::Never))).expect("set");
    let id = bench.fetch("uid-1");
    let laptop = block_on(bench.store.add_view(bench.me, "laptop", false)).expect("made");
    let delete = |view| {
        let drop_ = block_on(bench.store.open(bench.me, view, Access::Shared)).expect("opened");
        let mut set = DeletionSet::default();
        set.insert(0);
        block_on(drop_.commit_deletions(&set)).expect("deleted");
    };
    let count = |view| {
        let drop_ = block_on(bench.store.open(bench.me, view, Access::Shared));
        drop_.expect("opened").totals().count
    };
    delete(ViewId::PLAIN);
    // Hold is 0: nothing that were removed would outlive this.
    bench.compact();
    assert_eq!((count(ViewId::PLAIN), count(laptop)), (0, 1));
    delete(laptop);
    bench.compact();
    assert_eq!((count(ViewId::PLAIN), count(laptop)), (0, 0));
    assert_eq!(bench.ledger(), lines(&[("uid-1", true)]));
    let mut body = block_on(bench.store.read(id)).expect("is there");
    let mut bytes = Vec::new();
    while block_on(body.read(&mut bytes)).expect("read") > 0 {}
    assert_eq!(bytes, b"fetched\r\n");
    let new = block_on(bench.store.add_view(bench.me, "tablet", false)).expect("made");
    assert_eq!(count(new), 1);
}

/// An index of the form before the ledger could be asked is made anew when the store is opened.
#[test]
fn an_index_of_the_first_form_is_made_anew() {
    let bench = Bench::new();
    bench.fetch("uid-1");
    bench.see(&["uid-2"]);
    let Bench { folder, store, me } = bench;
    drop(store);
    let c = Connection::open(folder.path().join("index.db")).expect("opened");
    c.execute_batch(
        "DROP TABLE seen; DROP TABLE forgotten; DROP INDEX fetched;
         CREATE TABLE seen (mailbox BLOB NOT NULL, account TEXT NOT NULL, remote BLOB NOT NULL,
             PRIMARY KEY (mailbox, account, remote)) WITHOUT ROWID;
         PRAGMA user_version = 1",
    )
    .expect("as it was");
    drop(c);
    let store = open_in(folder.path());
    let bench = Bench { folder, store, me };
    assert_eq!(bench.ledger(), lines(&[("uid-1", true), ("uid-2", false)]));
}

/// The plan of a run asks for all that a server lists. The bound is generous: builds for tests are
/// slow, and machines are busy.
#[test]
fn a_hundred_thousand_look_ups_take_no_time() {
    let bench = Bench::new();
    let id = |number: u32| format!("{number:08x}-GmailId{number:016x}").into_bytes();
    let seen: Vec<_> = (0..100_000)
        .map(|number| Seen {
            source: Source {
                account: "gmx".into(),
                remote_id: id(number),
            },
            received_ms: 1,
        })
        .collect();
    block_on(bench.store.record_seen(bench.me, &seen)).expect("recorded");
    let ids: Vec<_> = (50_000..150_000).map(id).collect();
    let since = Instant::now();
    let found = block_on(bench.store.ledger_find(bench.me, "gmx", &ids)).expect("looked up");
    let took = since.elapsed();
    assert_eq!(found.iter().flatten().count(), 50_000);
    println!("100,000 look-ups: {took:?}");
    assert!(took.as_secs() < 5, "{took:?}");
}
