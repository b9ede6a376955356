//! DELE and QUIT, and sessions that want to be alone.

use std::thread;

use restante_store::{Access, DeletionSet, StoreError, ViewId};

use super::{Bench, Make, delete_in, ids_of};
use crate::exec::block_on;

/// Without devices there is one maildrop.
pub fn a_deletion_is_for_all_sessions(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..6).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    let drop = bench.plain();
    delete_in(drop.as_ref(), &[ids[0], ids[2], ids[5]]).expect("deleted");
    assert_eq!(bench.texts(ViewId::PLAIN), ["1\r\n", "3\r\n", "4\r\n"]);
    let totals = bench.plain().totals();
    assert_eq!((totals.count, totals.octets), (3, 9));
    assert_eq!(bench.count(), 3);
}

/// In the same session and in one that was open before.
pub fn deleting_again_is_no_error(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..3).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    let (one, two) = (bench.plain(), bench.plain());
    assert_eq!(delete_in(one.as_ref(), &ids[..2]), Ok(()));
    assert_eq!(delete_in(one.as_ref(), &ids[..2]), Ok(()));
    assert_eq!(delete_in(two.as_ref(), &ids[1..]), Ok(()));
    assert_eq!(bench.count(), 0);
    assert_eq!(bench.plain().totals().octets, 0);
}

/// Both get their `+OK`, and the totals count each message once.
pub fn two_sessions_delete_the_same_at_once(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..20)
        .map(|n| bench.deliver(&format!("{n:02}\r\n")))
        .collect();
    thread::scope(|scope| {
        for at in 0..4 {
            let (bench, ids) = (&bench, &ids);
            let drop = bench.plain();
            scope.spawn(move || delete_in(drop.as_ref(), &ids[at..at + 14]).expect("deleted"));
        }
    });
    assert_eq!(bench.ids(ViewId::PLAIN), ids[17..]);
    let totals = bench.plain().totals();
    assert_eq!((totals.count, totals.octets), (3, 12));
    assert_eq!(bench.count(), 3);
}

/// QUIT without DELE.
pub fn an_empty_set_touches_nothing(make: Make<'_>) {
    let bench = Bench::new(make);
    bench.deliver("1\r\n");
    let drop = bench.plain();
    assert_eq!(
        block_on(drop.commit_deletions(&DeletionSet::default())),
        Ok(())
    );
    assert_eq!(bench.count(), 1);
}

/// All its messages are gone, so the session's wish is fulfilled.
pub fn deletions_in_a_mailbox_that_went_are_no_error(make: Make<'_>) {
    let bench = Bench::new(make);
    let id = bench.deliver("1\r\n");
    let drop = bench.plain();
    assert_eq!(ids_of(drop.as_ref()), [id]);
    block_on(bench.store.remove_mailbox(bench.mailbox, false)).expect("removed");
    let mut set = DeletionSet::default();
    set.insert(0);
    assert_eq!(block_on(drop.commit_deletions(&set)), Ok(()));
}

/// RFC 2449 §8.1.1 IN-USE; those that share are let in.
pub fn exclusive_sessions_exclude_each_other(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    bench.deliver("1\r\n");
    let other = block_on(store.create_mailbox("other")).expect("made");
    let view = bench.view("phone");
    let alone = block_on(store.open(bench.mailbox, ViewId::PLAIN, Access::Exclusive));
    let alone = alone.expect("opened");
    for through in [ViewId::PLAIN, view] {
        let second = block_on(store.open(bench.mailbox, through, Access::Exclusive));
        assert_eq!(second.map(|_| ()).expect_err("taken"), StoreError::InUse);
    }
    assert_eq!(bench.plain().totals().count, 1);
    let elsewhere = block_on(store.open(other, ViewId::PLAIN, Access::Exclusive));
    assert!(elsewhere.is_ok());
    assert_eq!(alone.totals().count, 1);
}

/// However it ends.
pub fn an_exclusive_session_ends_with_its_maildrop(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let id = bench.deliver("1\r\n");
    for _ in 0..3 {
        let open = block_on(store.open(bench.mailbox, ViewId::PLAIN, Access::Exclusive));
        drop(open.expect("opened"));
    }
    let open = block_on(store.open(bench.mailbox, ViewId::PLAIN, Access::Exclusive));
    let open = open.expect("opened");
    delete_in(open.as_ref(), &[id]).expect("deleted");
    drop(open);
    let again = block_on(store.open(bench.mailbox, ViewId::PLAIN, Access::Exclusive));
    assert_eq!(again.expect("opened").totals().count, 0);
}
