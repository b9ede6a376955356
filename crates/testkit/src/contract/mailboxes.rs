//! Mailboxes: made, found, renamed, removed, erased.

use restante_store::{Access, MailboxId, MessageFilter, Release, StoreError, UniqueId, ViewId};

use super::{Bench, Make, delete_in};
use crate::exec::{block_on, collect, deliver, read_all, seal};

/// Making it again finds it; names are any text and differ by every letter.
pub fn a_name_finds_its_mailbox(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    assert_eq!(block_on(store.create_mailbox("me")), Ok(bench.mailbox));
    assert_eq!(block_on(store.find_mailbox("nobody")), Ok(None));
    let names = [
        "Me",
        "me ",
        "ada@example.org",
        "../etc",
        "ü",
        "日本",
        "a'b\"c%_",
    ];
    for name in names {
        let id = block_on(store.create_mailbox(name)).expect("made");
        assert_ne!(id, bench.mailbox);
        let info = block_on(store.find_mailbox(name))
            .expect("looked up")
            .expect("is there");
        assert_eq!((info.id, info.name.as_str()), (id, name));
        assert_eq!((info.totals.count, info.totals.octets), (0, 0));
        assert_eq!(info.release, Release::AtOnce);
    }
    let all = block_on(store.mailboxes()).expect("listed");
    let mut sorted: Vec<_> = names.into_iter().chain(["me"]).collect();
    sorted.sort_unstable();
    assert!(all.iter().map(|m| m.name.as_str()).eq(sorted));
}

/// Same id, same messages, another name; the old one is free.
pub fn a_renamed_mailbox_is_the_same_mailbox(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let id = bench.deliver("a\r\n");
    let drop = bench.plain();
    block_on(store.rename_mailbox(bench.mailbox, "you")).expect("renamed");
    assert_eq!(block_on(store.find_mailbox("me")), Ok(None));
    let info = block_on(store.find_mailbox("you"))
        .expect("looked up")
        .expect("is there");
    assert_eq!((info.id, info.totals.count), (bench.mailbox, 1));
    assert_eq!(bench.ids(ViewId::PLAIN), [id]);
    delete_in(drop.as_ref(), &[id]).expect("deleted");
    let fresh = block_on(store.create_mailbox("me")).expect("made");
    assert_ne!(fresh, bench.mailbox);
    // To the name that it has already: nothing happens.
    assert_eq!(block_on(store.rename_mailbox(bench.mailbox, "you")), Ok(()));
}

/// Both keep the names they have.
pub fn a_name_that_is_taken_is_refused(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let other = block_on(store.create_mailbox("other")).expect("made");
    let refused = block_on(store.rename_mailbox(other, "me"));
    assert!(
        matches!(refused, Err(StoreError::Permanent(_))),
        "{refused:?}"
    );
    let info = block_on(store.find_mailbox("me"))
        .expect("looked up")
        .expect("is there");
    assert_eq!(info.id, bench.mailbox);
    assert!(
        block_on(store.find_mailbox("other"))
            .expect("looked up")
            .is_some()
    );
}

/// Its name can be had again, by a mailbox that is another and empty.
pub fn a_removed_mailbox_is_gone(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    bench.deliver("a\r\n");
    block_on(store.remove_mailbox(bench.mailbox, false)).expect("removed");
    assert_eq!(block_on(store.find_mailbox("me")), Ok(None));
    assert_eq!(block_on(store.mailboxes()), Ok(Vec::new()));
    assert_unknown(store, bench.mailbox);
    let fresh = block_on(store.create_mailbox("me")).expect("made");
    assert_ne!(fresh, bench.mailbox);
    assert_eq!(collect(store, fresh, ViewId::PLAIN), Ok(Vec::new()));
}

/// Not by id, not by browsing.
pub fn an_erased_mailbox_leaves_no_bytes(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let live = bench.deliver("live\r\n");
    let deleted = bench.deliver("deleted\r\n");
    bench.delete(ViewId::PLAIN, deleted);
    block_on(store.remove_mailbox(bench.mailbox, true)).expect("erased");
    for id in [live, deleted] {
        assert_eq!(block_on(store.message(id)), Ok(None));
        let read = block_on(store.read(id)).map(|_| ());
        assert_eq!(read.expect_err("erased"), StoreError::NotFound);
    }
    assert_unknown(store, bench.mailbox);
    let fresh = block_on(store.create_mailbox("me")).expect("made");
    assert_ne!(fresh, bench.mailbox);
}

/// Their messages stay readable, live and deleted ones, though they may have moved.
pub fn erasing_one_spares_the_others(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let other = block_on(store.create_mailbox("other")).expect("made");
    let mut kept = Vec::new();
    for number in 0..20 {
        bench.deliver(&format!("erased {number}\r\n"));
        let bytes = format!("kept {number}\r\n").into_bytes();
        kept.push((deliver(store, other, &bytes).expect("stored"), bytes));
    }
    let snapshot = block_on(store.open(other, ViewId::PLAIN, Access::Shared)).expect("opened");
    let removed = kept.remove(3);
    block_on(store.remove(other, &[removed.0])).expect("removed");
    block_on(store.remove_mailbox(bench.mailbox, true)).expect("erased");
    assert_eq!(collect(store, other, ViewId::PLAIN), Ok(kept.clone()));
    let mut body = block_on(snapshot.body(19)).expect("opened");
    assert_eq!(read_all(body.as_mut()), Ok(b"kept 19\r\n".to_vec()));
    assert_eq!(
        block_on(store.restore(other, &[removed.0])),
        Ok(vec![removed.0])
    );
    let mut body = block_on(store.read(removed.0)).expect("opened");
    assert_eq!(read_all(body.as_mut()), Ok(removed.1));
}

fn assert_unknown(store: &dyn restante_store::MailStore, id: MailboxId) {
    const NOT: StoreError = StoreError::NotFound;
    let open = block_on(store.open(id, ViewId::PLAIN, Access::Shared));
    assert_eq!(open.map(|_| ()).expect_err("unknown"), NOT);
    let open = block_on(store.open(id, ViewId::PLAIN, Access::Exclusive));
    assert_eq!(open.map(|_| ()).expect_err("unknown"), NOT);
    let message = seal(store, b"a\r\n").expect("sealed");
    let commit = block_on(store.commit(vec![super::deliveries::to(id, &message)]));
    assert_eq!(commit, Err(NOT));
    assert_eq!(block_on(store.views(id)), Err(NOT));
    assert_eq!(block_on(store.add_view(id, "phone", false)), Err(NOT));
    assert_eq!(block_on(store.rename_mailbox(id, "x")), Err(NOT));
    assert_eq!(block_on(store.remove_mailbox(id, false)), Err(NOT));
    assert_eq!(
        block_on(store.set_release(id, Some(Release::Never))),
        Err(NOT)
    );
}

/// Mailboxes, views and messages that never were.
pub fn what_is_not_there_is_not_found(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let nowhere = MailboxId::new(1, [9; 10]);
    assert_unknown(store, nowhere);
    let no_id = UniqueId::new(1, [9; 10]);
    assert_eq!(block_on(store.message(no_id)), Ok(None));
    let read = block_on(store.read(no_id)).map(|_| ());
    assert_eq!(read.expect_err("unknown"), StoreError::NotFound);
    let browse = block_on(store.browse(nowhere, MessageFilter::Live, None, 9));
    assert_eq!(browse, Err(StoreError::NotFound));
    let no_view = ViewId::new(1, [9; 10]);
    let open = block_on(store.open(bench.mailbox, no_view, Access::Shared));
    assert_eq!(open.map(|_| ()).expect_err("unknown"), StoreError::NotFound);
    let remove = block_on(store.remove_view(bench.mailbox, no_view));
    assert_eq!(remove, Err(StoreError::NotFound));
}

/// Count and octets of the mailbox, through delivery, deletion, restore and removal.
pub fn totals_follow_what_happens(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let totals = || {
        let info = block_on(store.find_mailbox("me"))
            .expect("looked up")
            .expect("is there");
        (info.totals.count, info.totals.octets)
    };
    let a = bench.deliver("a\n");
    let b = bench.deliver("bb\r\n");
    assert_eq!(totals(), (2, 7));
    bench.delete(ViewId::PLAIN, a);
    assert_eq!(totals(), (1, 4));
    block_on(store.remove(bench.mailbox, &[a, b])).expect("removed");
    assert_eq!(totals(), (0, 0));
    block_on(store.restore(bench.mailbox, &[a])).expect("restored");
    assert_eq!(totals(), (1, 3));
    assert_eq!(bench.plain().totals().octets, 3);
}
