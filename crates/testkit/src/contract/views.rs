//! Per-device views: one device's DELE is not another's.

use restante_store::{Access, DeletionSet, Release, StoreError, ViewId};

use super::{Bench, Make, ids_of};
use crate::exec::block_on;

fn two_views(make: Make<'_>, release: Release) -> (Bench, ViewId, ViewId) {
    let bench = Bench::new(make);
    let (phone, laptop) = (bench.view("phone"), bench.view("laptop"));
    block_on(bench.store.set_release(bench.mailbox, Some(release))).expect("set");
    let info = block_on(bench.store.find_mailbox("me")).expect("found");
    assert_eq!(info.expect("is there").release, release);
    (bench, phone, laptop)
}

/// RFC 1939's one maildrop, whoever asks.
pub fn at_once_deletes_in_every_view(make: Make<'_>) {
    let (bench, phone, laptop) = two_views(make, Release::AtOnce);
    let gone = bench.deliver("gone\r\n");
    bench.deliver("kept\r\n");
    bench.delete(phone, gone);
    for view in [phone, laptop, ViewId::PLAIN] {
        assert_eq!(bench.texts(view), ["kept\r\n"]);
        assert_eq!(bench.open(view).totals().count, 1);
    }
    assert_eq!(bench.count(), 1);
}

/// The message stays in the mailbox for ever, even when every view has hidden it.
pub fn never_hides_in_one_view_only(make: Make<'_>) {
    let (bench, phone, laptop) = two_views(make, Release::Never);
    let id = bench.deliver("a\r\n");
    bench.delete(phone, id);
    assert_eq!(bench.texts(phone), Vec::<String>::new());
    assert_eq!(bench.open(phone).totals().count, 0);
    assert_eq!(bench.texts(laptop), ["a\r\n"]);
    assert_eq!(bench.texts(ViewId::PLAIN), ["a\r\n"]);
    bench.delete(laptop, id);
    bench.delete(ViewId::PLAIN, id);
    assert_eq!(bench.open(ViewId::PLAIN).totals().octets, 0);
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.open(bench.view("new")).totals().count, 1);
}

/// It leaves when the last has hidden it, not before, and not twice.
pub fn all_devices_waits_for_the_last_view(make: Make<'_>) {
    let (bench, phone, laptop) = two_views(make, Release::AllDevices);
    let id = bench.deliver("a\r\n");
    let kept = bench.deliver("b\r\n");
    bench.delete(phone, id);
    assert_eq!(bench.ids(phone), [kept]);
    assert_eq!(bench.ids(laptop), [id, kept]);
    assert_eq!(bench.count(), 2);
    bench.delete(phone, kept);
    bench.delete(laptop, id);
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.ids(laptop), [kept]);
    let info = block_on(bench.store.message(id)).expect("found");
    assert!(info.expect("restorable").removed.is_some());
}

/// The plain login is a device like another once someone has used it.
pub fn all_devices_waits_for_the_plain_login_once_used(make: Make<'_>) {
    let (bench, phone, laptop) = two_views(make, Release::AllDevices);
    let id = bench.deliver("a\r\n");
    assert_eq!(bench.ids(ViewId::PLAIN), [id]);
    bench.delete(phone, id);
    bench.delete(laptop, id);
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.ids(ViewId::PLAIN), [id]);
    bench.delete(ViewId::PLAIN, id);
    assert_eq!(bench.count(), 0);
}

/// What was hidden stays hidden; the next deletion goes by the new rule.
pub fn release_counts_from_the_next_deletion_on(make: Make<'_>) {
    let (bench, phone, laptop) = two_views(make, Release::Never);
    let hidden = bench.deliver("hidden\r\n");
    let second = bench.deliver("second\r\n");
    bench.delete(phone, hidden);
    block_on(
        bench
            .store
            .set_release(bench.mailbox, Some(Release::AtOnce)),
    )
    .expect("set");
    assert_eq!(bench.ids(phone), [second]);
    assert_eq!(bench.ids(laptop), [hidden, second]);
    bench.delete(phone, second);
    assert_eq!(bench.ids(laptop), [hidden]);
    assert_eq!(bench.count(), 1);
}

/// Also what another view has hidden.
pub fn a_new_view_sees_what_is_live(make: Make<'_>) {
    let (bench, phone, _) = two_views(make, Release::AllDevices);
    let ids: Vec<_> = (0..3).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    bench.delete(phone, ids[0]);
    block_on(bench.store.remove(bench.mailbox, &[ids[1]])).expect("removed");
    let new = bench.view("tablet");
    assert_eq!(bench.ids(new), [ids[0], ids[2]]);
    assert_eq!(
        (
            bench.open(new).totals().count,
            bench.open(new).totals().octets
        ),
        (2, 6)
    );
}

/// Nothing of before, everything after.
pub fn a_view_from_now_sees_what_comes(make: Make<'_>) {
    let bench = Bench::new(make);
    bench.deliver("old\r\n");
    let view = block_on(bench.store.add_view(bench.mailbox, "new", true)).expect("made");
    assert_eq!(bench.texts(view), Vec::<String>::new());
    assert_eq!(bench.open(view).totals().count, 0);
    bench.deliver("next\r\n");
    assert_eq!(bench.texts(view), ["next\r\n"]);
    let totals = bench.open(view).totals();
    assert_eq!((totals.count, totals.octets), (1, 6));
    assert_eq!(bench.texts(ViewId::PLAIN), ["old\r\n", "next\r\n"]);
}

/// What the first had hidden, the second sees; the first is not found any more.
pub fn a_view_made_again_is_another_view(make: Make<'_>) {
    let (bench, phone, _) = two_views(make, Release::AllDevices);
    let id = bench.deliver("a\r\n");
    bench.delete(phone, id);
    let unseen = bench.deliver("b\r\n");
    let old = bench.open(phone);
    let mut all = DeletionSet::default();
    assert_eq!(ids_of(old.as_ref()), [unseen]);
    all.insert(0);
    block_on(bench.store.remove_view(bench.mailbox, phone)).expect("removed");
    let again = bench.view("phone");
    assert_ne!(again, phone);
    assert_eq!(bench.ids(again), [id, unseen]);
    let open = block_on(bench.store.open(bench.mailbox, phone, Access::Shared));
    assert_eq!(open.map(|_| ()).expect_err("gone"), StoreError::NotFound);
    // The session that was open: its view is nobody's any more, so nothing is left to do.
    assert_eq!(block_on(old.commit_deletions(&all)), Ok(()));
    assert_eq!(bench.ids(again), [id, unseen]);
}

/// Without devices a deletion is for all: not that of the device which was the last.
pub fn the_last_view_removed_in_its_session_deletes_for_nobody(make: Make<'_>) {
    let bench = Bench::new(make);
    let phone = bench.view("phone");
    let id = bench.deliver("a\r\n");
    let session = bench.open(phone);
    let mut all = DeletionSet::default();
    assert_eq!(ids_of(session.as_ref()), [id]);
    all.insert(0);
    block_on(bench.store.remove_view(bench.mailbox, phone)).expect("removed");
    assert_eq!(block_on(session.commit_deletions(&all)), Ok(()));
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.ids(ViewId::PLAIN), [id]);
}

/// It alone held that back.
pub fn the_last_view_removed_lets_go_what_the_plain_login_deleted(make: Make<'_>) {
    let bench = Bench::new(make);
    let phone = bench.view("phone");
    let (id, other) = (bench.deliver("a\r\n"), bench.deliver("b\r\n"));
    bench.delete(ViewId::PLAIN, id);
    assert_eq!(bench.count(), 2);
    block_on(bench.store.remove_view(bench.mailbox, phone)).expect("removed");
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.ids(ViewId::PLAIN), [other]);
}

/// In two mailboxes the same name is two views.
pub fn a_view_name_is_unique_in_its_mailbox(make: Make<'_>) {
    let bench = Bench::new(make);
    bench.view("phone");
    let second = block_on(bench.store.add_view(bench.mailbox, "phone", false));
    assert!(
        matches!(second, Err(StoreError::Permanent(_))),
        "{second:?}"
    );
    let other = block_on(bench.store.create_mailbox("other")).expect("made");
    assert!(block_on(bench.store.add_view(other, "phone", false)).is_ok());
    assert_eq!(
        block_on(bench.store.views(bench.mailbox))
            .expect("told")
            .len(),
        1
    );
}

/// Each view's own count, while PLAIN needs no record.
pub fn views_tell_their_totals(make: Make<'_>) {
    let (bench, phone, laptop) = two_views(make, Release::Never);
    let id = bench.deliver("a\r\n");
    bench.deliver("bb\r\n");
    bench.delete(phone, id);
    let mut views = block_on(bench.store.views(bench.mailbox)).expect("told");
    views.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(views.len(), 2);
    assert_eq!((views[0].id, views[0].name.as_str()), (laptop, "laptop"));
    assert_eq!((views[0].totals.count, views[0].totals.octets), (2, 7));
    assert_eq!((views[1].id, views[1].name.as_str()), (phone, "phone"));
    assert_eq!((views[1].totals.count, views[1].totals.octets), (1, 4));
}

/// What it alone held back may leave; what others show does not.
pub fn a_removed_view_lets_nothing_go_that_another_shows(make: Make<'_>) {
    let (bench, phone, laptop) = two_views(make, Release::AllDevices);
    let hidden = bench.deliver("hidden on the phone\r\n");
    let shown = bench.deliver("shown on both\r\n");
    bench.delete(phone, hidden);
    block_on(bench.store.remove_view(bench.mailbox, phone)).expect("removed");
    assert_eq!(bench.ids(laptop), [hidden, shown]);
    bench.delete(laptop, hidden);
    assert_eq!(bench.ids(laptop), [shown]);
    let missing = block_on(bench.store.remove_view(bench.mailbox, phone));
    assert_eq!(missing, Err(StoreError::NotFound));
}
