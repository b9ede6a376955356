//! The embedded store's own matters: files, recovery, space, several handles on one folder.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::record::Record;
use super::task::{promise, wait};
use super::*;
use crate::{Change, DeletionSet};

fn now<T: Send + 'static>(future: StoreFuture<'_, T>) -> Result<T, StoreError> {
    struct Idle;
    impl std::task::Wake for Idle {
        fn wake(self: Arc<Self>) {}
    }
    let waker = Arc::new(Idle).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = future;
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::sleep(std::time::Duration::from_micros(100)),
        }
    }
}

/// Nothing is held: what is removed may be reclaimed at once.
fn at_once() -> Options {
    Options {
        hold_ms: 0,
        grace_ms: 0,
        compact: false,
        ..Options::default()
    }
}

fn held() -> Options {
    Options {
        compact: false,
        ..Options::default()
    }
}

fn open_in(folder: &Path, options: Options) -> EmbeddedStore {
    EmbeddedStore::open(folder, options).expect("the store opens")
}

fn deliver(store: &EmbeddedStore, mailbox: MailboxId, bytes: &[u8]) -> UniqueId {
    deliver_from(store, mailbox, bytes, None)
}

fn deliver_from(
    store: &EmbeddedStore,
    mailbox: MailboxId,
    bytes: &[u8],
    source: Option<crate::Source>,
) -> UniqueId {
    let mut draft = store.draft(None).expect("a draft");
    draft.write(bytes).expect("written");
    let delivery = Delivery {
        mailbox,
        message: draft.seal().expect("sealed"),
        received_ms: 1_700_000_000_000,
        source,
    };
    now(store.commit(vec![delivery])).expect("stored")[0]
}

fn read(store: &EmbeddedStore, id: UniqueId) -> Result<Vec<u8>, StoreError> {
    let mut body = now_body(store, id)?;
    let mut bytes = Vec::new();
    while wait_read(body.as_mut(), &mut bytes)? > 0 {}
    Ok(bytes)
}

fn now_body(store: &EmbeddedStore, id: UniqueId) -> Result<Box<dyn Body>, StoreError> {
    now(store.read(id))
}

fn wait_read(body: &mut dyn Body, into: &mut Vec<u8>) -> Result<usize, StoreError> {
    now(body.read(into))
}

fn listed(store: &EmbeddedStore, mailbox: MailboxId) -> Vec<UniqueId> {
    let maildrop = now(store.open(mailbox, ViewId::PLAIN, Access::Shared)).expect("opened");
    let listing = now(maildrop.listing()).expect("listed");
    listing.iter().map(|entry| entry.unique_id).collect()
}

fn delete_all(store: &EmbeddedStore, mailbox: MailboxId) {
    let maildrop = now(store.open(mailbox, ViewId::PLAIN, Access::Shared)).expect("opened");
    let mut set = DeletionSet::default();
    for at in 0..maildrop.totals().count as usize {
        set.insert(at);
    }
    now(maildrop.commit_deletions(&set)).expect("deleted");
}

fn pack_files(folder: &Path) -> Vec<PathBuf> {
    let packs = std::fs::read_dir(folder.join("packs")).expect("packs");
    let mut files: Vec<_> = packs.map(|f| f.expect("a file").path()).collect();
    files.sort();
    files
}

/// What `zstdcat packs/*` prints: by that program if it is there, else by the library.
fn zstdcat(folder: &Path) -> Vec<u8> {
    let files = pack_files(folder);
    let program = Command::new("zstdcat")
        .args(&files)
        .stderr(Stdio::null())
        .output();
    if let Ok(output) = program {
        assert!(output.status.success(), "zstdcat accepts the packs");
        return output.stdout;
    }
    let mut all = Vec::new();
    for file in files {
        let file = std::fs::File::open(file).expect("a pack");
        let mut decoder = zstd::stream::read::Decoder::new(file).expect("a decoder");
        decoder.read_to_end(&mut all).expect("zstd frames");
    }
    all
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

#[test]
fn packs_are_an_mbox_that_says_whose_mail_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let a = deliver(
        &store,
        me,
        b"Subject: a\r\n\r\nFrom here\r\n>From there\r\n",
    );
    let b = deliver(&store, me, b"no line end");
    let large = vec![b'x'; 3 * BODY];
    let c = deliver(&store, me, &large);
    let date = "Tue Nov 14 22:13:20 2023";
    let mut expected = format!(
        "From {a}@{me} {date}\nSubject: a\r\n\r\n>From here\r\n>>From there\r\n\n\
         From {b}@{me} {date}\nno line end\n\nFrom {c}@{me} {date}\n"
    )
    .into_bytes();
    expected.extend_from_slice(&large);
    expected.extend_from_slice(b"\n\n");
    assert!(zstdcat(folder.path()) == expected);
    assert_eq!(
        read(&store, a).expect("read"),
        b"Subject: a\r\n\r\nFrom here\r\n>From there\r\n"
    );
    assert_eq!(read(&store, b).expect("read"), b"no line end");
    assert!(read(&store, c).expect("read") == large);
}

const BODY: usize = crate::limits::BODY_ONE_SHOT_OCTETS;

#[test]
fn large_quoted_bodies_come_back_through_spool_and_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let (mut text, mut state) = (Vec::new(), 1u64);
    while text.len() < 4 * BODY {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(9);
        text.extend_from_slice(format!(">From {state:x}\nFrom {}\n.", state >> 7).as_bytes());
    }
    let id = deliver(&store, me, &text);
    assert!(read(&store, id).expect("read") == text);
    assert!(contains(&zstdcat(folder.path()), b"\n>>From "));
}

#[test]
fn a_torn_tail_goes_to_lost_and_found_and_the_pack_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let a = deliver(&store, me, b"a\r\n");
    drop(store);
    let pack = &pack_files(folder.path())[0];
    let mut bytes = std::fs::read(pack).expect("a pack");
    let whole = bytes.clone();
    bytes.extend_from_slice(&whole[..whole.len() / 2]);
    std::fs::write(pack, &bytes).expect("torn");
    let store = open_in(folder.path(), held());
    assert_eq!(std::fs::read(pack).expect("a pack"), whole);
    let lost = std::fs::read_dir(folder.path().join("lost+found")).expect("lost");
    let lost: Vec<_> = lost.map(|f| f.expect("a file").path()).collect();
    assert_eq!(
        std::fs::read(&lost[0]).expect("a tail"),
        whole[..whole.len() / 2]
    );
    let b = deliver(&store, me, b"b\r\n");
    assert_eq!(listed(&store, me), [a, b]);
    assert_eq!(pack_files(folder.path()).len(), 1);
}

/// A batch in the middle is hurt: it is told, its neighbours stay, nothing is cut.
#[test]
fn damage_in_the_middle_is_reported_and_not_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let ids: Vec<_> = (0..3)
        .map(|n| deliver(&store, me, format!("body number {n}\r\n").as_bytes()))
        .collect();
    drop(store);
    let pack = &pack_files(folder.path())[0];
    let mut bytes = std::fs::read(pack).expect("a pack");
    let at = memchr::memmem::find(&bytes, b"body number 1").expect("stored as it is");
    bytes[at] ^= 1;
    std::fs::write(pack, &bytes).expect("hurt");
    std::fs::remove_file(folder.path().join("index.db")).expect("lost");
    let store = open_in(folder.path(), held());
    assert!(store.take_reports().iter().any(|r| r.contains("damaged")));
    assert_eq!(std::fs::read(pack).expect("a pack"), bytes);
    assert_eq!(listed(&store, me), ids);
    assert!(matches!(
        read(&store, ids[1]),
        Err(StoreError::Permanent(_))
    ));
    assert_eq!(read(&store, ids[2]).expect("read"), b"body number 2\r\n");
}

#[test]
fn compaction_takes_what_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), at_once());
    let me = now(store.create_mailbox("me")).expect("made");
    let source = crate::Source {
        account: "gmx".into(),
        remote_id: b"uid 7".to_vec(),
    };
    deliver_from(&store, me, b"the dead one\r\n", Some(source));
    delete_all(&store, me);
    let kept = deliver(&store, me, b"the living one\r\n");
    assert_eq!(store.compact_now(), Ok(1));
    let mbox = zstdcat(folder.path());
    assert!(!contains(&mbox, b"the dead one") && contains(&mbox, b"the living one"));
    assert_eq!(listed(&store, me), [kept]);
    assert_eq!(read(&store, kept).expect("read"), b"the living one\r\n");
    let before = store.dump_index().expect("dumped");
    assert!(
        before.iter().any(|line| line.starts_with("seen ")),
        "{before:?}"
    );
    store.rebuild(&mut |_| {}).expect("rebuilt");
    assert_eq!(store.dump_index().expect("dumped"), before);
    assert_eq!(store.compact_now(), Ok(0));
}

/// Who begins to read the history after a message was forgotten has missed nothing, and is not sent back to
/// the start by each page that ends before it; who had begun before is.
#[test]
fn a_history_with_forgotten_messages_is_read_in_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), at_once());
    let me = now(store.create_mailbox("me")).expect("made");
    let ids: Vec<_> = (0..6)
        .map(|n| deliver(&store, me, format!("{n}\r\n").as_bytes()))
        .collect();
    let early = now(store.changes(Cursor::START, 2)).expect("told").next;
    now(store.remove(me, &ids[5..])).expect("removed");
    store.compact_now().expect("compacted");
    let (mut at, mut told) = (Cursor::START, Vec::new());
    loop {
        let page = now(store.changes(at, 2)).expect("told");
        assert!(!page.reset);
        if page.changes.is_empty() {
            break;
        }
        at = page.next;
        told.extend(page.changes.into_iter().map(|change| match change {
            Change::Added(info) => info.unique_id,
            Change::Removed(_, id) => id,
        }));
    }
    assert_eq!(told, ids[..5]);
    assert!(now(store.changes(early, 2)).expect("told").reset);
}

/// Deleted, undone, compacted, and the index lost: still there.
#[test]
fn an_undo_outlives_compaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let (back, gone) = (
        deliver(&store, me, b"back\r\n"),
        deliver(&store, me, b"gone\r\n"),
    );
    now(store.remove(me, &[back, gone])).expect("removed");
    assert_eq!(now(store.restore(me, &[back])), Ok(vec![back]));
    drop(store);
    for round in 0..3 {
        let store = open_in(folder.path(), at_once());
        assert_eq!(store.compact_now(), Ok(usize::from(round == 0)));
        store.rebuild(&mut |_| {}).expect("rebuilt");
        assert_eq!(listed(&store, me), [back], "round {round}");
        deliver_and_remove(&store, me);
        assert_eq!(store.compact_now(), Ok(1));
        assert_eq!(listed(&store, me), [back], "round {round}");
    }
}

fn deliver_and_remove(store: &EmbeddedStore, me: MailboxId) {
    let id = deliver(store, me, b"passing\r\n");
    now(store.remove(me, &[id])).expect("removed");
}

#[test]
fn two_stores_on_one_folder_see_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = open_in(folder.path(), held());
    let two = open_in(folder.path(), held());
    let me = now(one.create_mailbox("me")).expect("made");
    assert_eq!(now(two.create_mailbox("me")), Ok(me));
    let a = deliver(&one, me, b"a\r\n");
    let b = deliver(&two, me, b"b\r\n");
    assert_eq!(pack_files(folder.path()).len(), 2);
    // Made in one millisecond by two, either may come first.
    let both = [a.min(b), a.max(b)];
    for store in [&one, &two] {
        assert_eq!(listed(store, me), both);
    }
    delete_all(&two, me);
    assert_eq!(listed(&one, me), []);
    let refused = one.rebuild(&mut |_| {});
    assert!(matches!(refused, Err(StoreError::Temporary(_))));
    drop(two);
    one.rebuild(&mut |_| {}).expect("alone now");
    assert_eq!(now(one.restore(me, &[a])), Ok(vec![a]));
}

/// The writer of one pack is another handle: erasing has it seal.
#[test]
fn erasing_reaches_into_the_packs_of_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = open_in(folder.path(), held());
    let two = open_in(folder.path(), held());
    let me = now(one.create_mailbox("me")).expect("made");
    let other = now(one.create_mailbox("other")).expect("made");
    deliver(&one, me, b"secret one\r\n");
    deliver(&two, me, b"secret two\r\n");
    let kept = deliver(&two, other, b"kept\r\n");
    now(one.remove_mailbox(me, true)).expect("erased");
    let mbox = zstdcat(folder.path());
    assert!(!contains(&mbox, b"secret") && contains(&mbox, b"kept"));
    assert_eq!(read(&two, kept).expect("read"), b"kept\r\n");
    let again = now(two.create_mailbox("me")).expect("made");
    assert_ne!(again, me);
}

/// Tombstone, undo and entry in any order: the same index.
#[test]
fn an_entry_indexed_late_is_behind_every_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let a = deliver(&store, me, b"a\r\n");
    // Another process holds the index: the delivery is acknowledged all the same.
    let busy = store.inner.index.connect().expect("connected");
    busy.execute_batch("BEGIN IMMEDIATE").expect("locked");
    store.inner.send(Request::Between(Box::new(|writer| {
        let c = writer.inner.index.connect().expect("connected");
        c.busy_timeout(std::time::Duration::ZERO).expect("set");
        writer.c = Some(c);
    })));
    let b = deliver(&store, me, b"b\r\n");
    let before = now(store.open(me, ViewId::PLAIN, Access::Shared)).expect("opened");
    assert_eq!(before.totals().count, 1);
    busy.execute_batch("ROLLBACK").expect("unlocked");
    let c = deliver(&store, me, b"c\r\n");
    let listing = now(before.listing()).expect("listed");
    assert_eq!(listing.len(), 1);
    assert_eq!(listed(&store, me), [a, b, c]);
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open_in(folder.path(), held()));
    let index = index::Index::new(folder.path(), 0);
    let c = index.connect().expect("connected");
    c.pragma_update(None, "user_version", 99).expect("set");
    drop(c);
    let refused = EmbeddedStore::open(folder.path(), held()).map(drop);
    assert!(
        matches!(refused, Err(StoreError::Permanent(_))),
        "{refused:?}"
    );
}

#[test]
fn an_idle_maildrop_is_small_and_a_dropped_promise_is_an_error() {
    const { assert!(maildrop::SIZE <= 300) };
    let (promise, answer) = promise::<()>();
    drop(promise);
    assert!(wait(answer).is_err());
}

/// A maker that is interrupted between making and locking: whoever finds the empty file removes it,
/// and what is written is written to a file that has a name.
#[test]
fn an_empty_pack_is_removed_only_by_who_holds_the_one_at_the_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let packs = Arc::new(pack::Packs::new(Arc::new(RealDisk), folder.path()));
    RealDisk.create_dir_all(&packs.folder).expect("made");
    let path = packs.path(1);
    let early = RealDisk.create_new(&path).expect("made");
    assert!(packs.recover(1, 0).expect("recovered").is_none());
    assert!(!early.is_at(&path).expect("asked"), "its name is gone");
    let mut writer = pack::PackWriter::new(Arc::clone(&packs), u64::MAX);
    writer.begin(&[], &[]).expect("begun");
    assert!(early.try_lock().expect("asked") && !early.is_at(&path).expect("asked"));
    assert!(packs.recover(1, 0).expect("asked").is_none(), "it is held");
    writer.finish(false, true).expect("written");
    drop(writer);
    assert!(packs.recover(1, 0).expect("recovered").is_some());
}

/// A fault in one job fails that batch, and the next is written.
#[test]
fn a_panic_in_a_job_does_not_end_the_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let broken = submit(
        &store.inner,
        false,
        0,
        1,
        move |batch| -> Result<(), StoreError> {
            batch.put(&record::Record::PlainUsed { mailbox: me })?;
            panic!("as a fault in the program would")
        },
    );
    assert!(matches!(wait(broken), Err(StoreError::Temporary(_))));
    let id = deliver(&store, me, b"after\r\n");
    assert!(store.take_reports().iter().any(|r| r.contains("fault")));
    assert_eq!(listed(&store, me), [id]);
}

/// A pack is sealed for another process however busy its writer is.
#[test]
fn a_busy_writer_seals_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let c = store.inner.index.connect().expect("connected");
    c.execute("UPDATE packs SET seal_wanted = 1", [])
        .expect("asked");
    let since = std::time::Instant::now();
    loop {
        deliver(&store, me, b"busy\r\n");
        let row = index::pack_row(&c, 1).expect("read").expect("a row");
        if row.sealed {
            break;
        }
        assert!(since.elapsed().as_secs() < 10, "never sealed");
    }
}

/// One octet of input can be all that a step has, and come out only with the next.
#[test]
fn a_message_that_ends_in_held_back_octets_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    for at in 0..8 {
        let mut text = b"From the start\n".to_vec();
        text.resize(2 * BODY + at, b'x');
        text.extend_from_slice(b"\n>>>>Fro");
        let id = deliver(&store, me, &text);
        assert!(read(&store, id).expect("read") == text, "{at}");
    }
}

/// An unmounted disk is not an empty maildrop.
#[test]
fn a_missing_pack_is_refused_unless_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    deliver(&store, me, b"a\r\n");
    drop(store);
    std::fs::remove_file(&pack_files(folder.path())[0]).expect("gone");
    let refused = EmbeddedStore::open(folder.path(), held()).map(drop);
    assert!(
        matches!(&refused, Err(StoreError::Permanent(what)) if what.contains("000001 is missing")),
        "{refused:?}"
    );
    assert_eq!(pack_files(folder.path()), Vec::<PathBuf>::new());
    let store = open_in(
        folder.path(),
        Options {
            accept_missing: true,
            ..held()
        },
    );
    assert_eq!(now(store.find_mailbox("me")).expect("asked"), None);
}

/// The index is derived: garbage within it, too, is made again.
#[test]
fn a_damaged_page_of_the_index_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    for at in 0..200 {
        deliver(&store, me, format!("message {at}\r\n").as_bytes());
    }
    drop(store);
    let index = folder.path().join("index.db");
    let mut bytes = std::fs::read(&index).expect("an index");
    for page in bytes.chunks_mut(4096).skip(2) {
        page[..64].fill(0xA5);
    }
    std::fs::write(&index, bytes).expect("written");
    let store = open_in(folder.path(), held());
    let found = now(store.find_mailbox("me"))
        .expect("asked")
        .expect("there");
    assert_eq!(found.totals.count, 200);
}

/// A pack that lost its end is told as such, and `rebuild` goes on with what is left, saying how much
/// that is.
#[test]
fn a_shorter_pack_is_refused_until_the_index_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    for at in 0..10 {
        deliver(&store, me, format!("message {at}\r\n").as_bytes());
    }
    drop(store);
    let pack = &pack_files(folder.path())[0];
    let octets = std::fs::metadata(pack).expect("a pack").len();
    let file = std::fs::File::options().write(true).open(pack);
    file.and_then(|file| file.set_len(octets - 10))
        .expect("cut");
    let refused = EmbeddedStore::open(folder.path(), held()).map(drop);
    assert!(
        matches!(&refused, Err(StoreError::Permanent(what)) if what.contains("shorter")),
        "{refused:?}"
    );
    let anew = Options {
        rebuild: true,
        ..held()
    };
    let store = open_in(folder.path(), anew);
    let told = store.take_reports();
    assert!(told.iter().any(|line| line.contains("1 fewer")), "{told:?}");
    assert!(
        told.iter().any(|line| line.contains("lost+found/")),
        "{told:?}"
    );
    let found = now(store.find_mailbox("me"))
        .expect("asked")
        .expect("there");
    assert_eq!(found.totals.count, 9);
}

/// A message's own octets cannot pass for a record that makes or renames a mailbox.
#[test]
fn a_record_within_a_body_is_not_believed_after_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_in(folder.path(), held());
    let me = now(store.create_mailbox("me")).expect("made");
    let mut forged = Vec::new();
    let stamp = [0; 16];
    let create = Record::Create {
        mailbox: MailboxId::from_bytes(stamp),
        stamp,
        name: "stolen".into(),
    };
    create.encode(&mut forged);
    // Octets that do not compress, so that the frame holds them as they are.
    let mut body: Vec<u8> = (0..4000u32)
        .flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..8].to_vec())
        .collect();
    body.splice(9000..9000, forged);
    deliver(&store, me, b"first\r\n");
    deliver(&store, me, &body);
    deliver(&store, me, b"last\r\n");
    drop(store);
    let pack = &pack_files(folder.path())[0];
    let mut bytes = std::fs::read(pack).expect("a pack");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(pack, bytes).expect("written");
    let anew = Options {
        rebuild: true,
        ..held()
    };
    let store = open_in(folder.path(), anew);
    assert!(!store.take_reports().is_empty());
    assert_eq!(now(store.find_mailbox("stolen")).expect("asked"), None);
    let found = now(store.find_mailbox("me"))
        .expect("asked")
        .expect("there");
    assert_eq!(found.totals.count, 3);
}
