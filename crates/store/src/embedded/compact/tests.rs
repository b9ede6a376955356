//! The compactor's own steps: what stops it, and what it finishes.

use std::path::Path;

use restante_testkit::exec::block_on;

use super::*;
use crate::embedded::{EmbeddedStore, Options};
use crate::{Delivery, MailStore, MessageFilter, UniqueId};

fn open_in(folder: &Path) -> EmbeddedStore {
    let options = Options {
        hold_ms: 0,
        grace_ms: 0,
        compact: false,
        ..Options::default()
    };
    EmbeddedStore::open(folder, options).expect("the store opens")
}

fn deliver(store: &EmbeddedStore, mailbox: MailboxId, bytes: &[u8]) -> UniqueId {
    let mut draft = store.draft(None).expect("a draft");
    draft.write(bytes).expect("written");
    let delivery = Delivery {
        mailbox,
        message: draft.seal().expect("sealed"),
        received_ms: 1_700_000_000_000,
        source: None,
    };
    block_on(store.commit(vec![delivery])).expect("stored")[0]
}

fn live(store: &EmbeddedStore, mailbox: MailboxId) -> Vec<UniqueId> {
    let all = block_on(store.browse(mailbox, MessageFilter::Live, None, 100));
    all.expect("browsed").iter().map(|m| m.unique_id).collect()
}

/// A store with one removed message, in a pack that is not sealed yet.
fn with_dead(folder: &Path) -> (EmbeddedStore, MailboxId, UniqueId) {
    let store = open_in(folder);
    let me = block_on(store.create_mailbox("me")).expect("made");
    let (dead, kept) = (
        deliver(&store, me, b"dead\r\n"),
        deliver(&store, me, b"kept\r\n"),
    );
    block_on(store.remove(me, &[dead])).expect("removed");
    (store, me, kept)
}

#[test]
fn a_store_that_closes_does_not_wait_for_all_packs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, me, kept) = with_dead(folder.path());
    let inner = &store.inner;
    let before = inner.packs.list().expect("listed");
    assert_eq!(run(inner, true, &|| true), Ok(0));
    seal(inner, before[0]);
    // Told to stop when the copy is under way: what was begun is discarded.
    let mut c = connect(inner).expect("connected");
    let stopped = rewrite(inner, &mut c, before[0], &|| true);
    assert!(
        matches!(stopped, Err(StoreError::Temporary(_))),
        "{stopped:?}"
    );
    assert_eq!(inner.packs.list().expect("listed"), before);
    assert_eq!(live(&store, me), [kept]);
    assert_eq!(store.compact_now(), Ok(1));
    assert_eq!(live(&store, me), [kept]);
}

#[test]
fn a_lock_that_cannot_be_opened_is_told_and_one_that_is_held_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path());
    let inner = &store.inner;
    let held = lock(inner).expect("locked");
    assert_eq!(tick(inner, &|| false), Ok(()));
    drop(held);
    let path = folder.path().join("locks").join("compactor");
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder in its place");
    let told = tick(inner, &|| false);
    assert!(matches!(told, Err(StoreError::Temporary(_))), "{told:?}");
}

/// A replacement is finished with an index that has not read all of what it replaces.
#[test]
fn an_older_index_learns_all_from_a_half_done_replacement() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path());
    let me = block_on(store.create_mailbox("me")).expect("made");
    let (a, b) = (deliver(&store, me, b"a\r\n"), deliver(&store, me, b"b\r\n"));
    let index = |name: &str| folder.path().join(name);
    let c = store.inner.index.connect().expect("connected");
    let older = index("older.db");
    let into = older.to_str().expect("a path");
    c.execute("VACUUM INTO ?", [into]).expect("copied");
    drop(c);
    let other = block_on(store.create_mailbox("other")).expect("made");
    let view = block_on(store.add_view(other, "phone", false)).expect("made");
    let hidden = deliver(&store, other, b"hidden\r\n");
    block_on(store.set_release(other, Some(crate::Release::Never))).expect("set");
    let drop_ = block_on(store.open(other, view, crate::Access::Shared)).expect("opened");
    let mut set = crate::DeletionSet::default();
    set.insert(0);
    block_on(drop_.commit_deletions(&set)).expect("hidden");
    drop(drop_);
    block_on(store.rename_mailbox(me, "myself")).expect("renamed");
    block_on(store.remove(me, &[a])).expect("removed");
    let inner = &store.inner;
    let old = inner.packs.list().expect("listed")[0];
    seal(inner, old);
    let mut c = connect(inner).expect("connected");
    let dead = copy::drop_dead(inner, &mut c, old, cutoff(inner)).expect("marked");
    assert_eq!(dead.len(), 1);
    copy::copy(inner, &c, old, &dead, &|| false).expect("copied");
    drop(c);
    let expected = {
        let (me, other) = (live(&store, me), live(&store, other));
        (me, other)
    };
    assert_eq!(expected, (vec![b], vec![hidden]));
    drop(store);
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(index(name));
    }
    std::fs::rename(&older, index("index.db")).expect("the older index");
    let options = Options {
        compact: false,
        ..Options::default()
    };
    let store = EmbeddedStore::open(folder.path(), options).expect("opened");
    assert_eq!((live(&store, me), live(&store, other)), expected);
    let names = block_on(store.mailboxes()).expect("listed");
    let names: Vec<_> = names.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["myself", "other"]);
    let kept = store.dump_index().expect("dumped");
    assert!(
        kept.iter().any(|line| line.starts_with("hidden ")),
        "{kept:#?}"
    );
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert_eq!(store.dump_index().expect("dumped"), kept);
    assert_eq!(store.inner.packs.list().expect("listed").len(), 1);
}
