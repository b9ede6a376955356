//! What time alone does: views that nobody uses, messages that are too old.

use restante_store::{Access, Release, StoreError, Tended, Tending, ViewId};

use super::{Bench, Make, delete_in, ids_of};
use crate::exec::block_on;
use crate::memory::wall_clock_ms;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const EXPIRY_MS: u64 = 90 * DAY_MS;

/// Tends as if so many days had passed: views lapse after 90.
fn tend(bench: &Bench, days: u64) -> Tended {
    let due = Tending {
        max_age_ms: None,
        view_expiry_ms: Some(EXPIRY_MS),
    };
    let now_ms = wall_clock_ms() + days * DAY_MS;
    block_on(bench.store.tend(bench.mailbox, due, now_ms)).expect("tended")
}

/// The same for messages, which leave after 30.
fn tend_age(bench: &Bench, days: u64) -> Tended {
    let due = Tending {
        max_age_ms: Some(30 * DAY_MS),
        view_expiry_ms: None,
    };
    let now_ms = wall_clock_ms() + days * DAY_MS;
    block_on(bench.store.tend(bench.mailbox, due, now_ms)).expect("tended")
}

fn lapsed(bench: &Bench, view: ViewId) -> bool {
    let views = block_on(bench.store.views(bench.mailbox)).expect("told");
    let found = views.iter().find(|v| v.id == view);
    found.expect("it is there").lapsed
}

/// It holds back while it counts, and not a day longer.
pub fn a_view_unseen_for_long_holds_nothing_back(make: Make<'_>) {
    let bench = Bench::new(make);
    let (phone, laptop) = (bench.view("phone"), bench.view("laptop"));
    let (gone, kept) = (bench.deliver("a\r\n"), bench.deliver("b\r\n"));
    bench.delete(phone, gone);
    assert_eq!(tend(&bench, 89), Tended::default());
    let mut all = tend(&bench, 91);
    all.lapsed.sort();
    // Made within a millisecond, either may come first.
    assert_eq!(all.lapsed, [phone.min(laptop), phone.max(laptop)]);
    // While no view counts, nobody is there to say that a message is done with.
    assert_eq!((all.released, bench.count()), (0, 2));
    assert_eq!(bench.ids(phone), [kept]);
    assert!(!lapsed(&bench, phone) && lapsed(&bench, laptop));
    let done = tend(&bench, 0);
    assert_eq!((done.lapsed, done.released, done.aged), (vec![], 1, 0));
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.ids(phone), [kept]);
    // It does not wait for the next tending either.
    bench.delete(phone, kept);
    assert_eq!(bench.count(), 0);
}

/// All that is there and that it has not deleted, and from then on it is waited for again.
pub fn a_view_that_returns_gets_what_is_there(make: Make<'_>) {
    let bench = Bench::new(make);
    let (phone, laptop) = (bench.view("phone"), bench.view("laptop"));
    let ids: Vec<_> = (0..4).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    bench.delete(laptop, ids[0]);
    tend(&bench, 100);
    assert_eq!(bench.ids(phone), ids);
    bench.delete(phone, ids[1]);
    assert_eq!(bench.count(), 3, "the laptop's wish does not count");
    let drop = bench.open(laptop);
    assert_eq!(ids_of(drop.as_ref()), [ids[2], ids[3]]);
    assert!(!lapsed(&bench, laptop));
    bench.delete(phone, ids[2]);
    assert_eq!(bench.count(), 3, "the laptop's wish counts again");
    delete_in(drop.as_ref(), &[ids[2], ids[3]]).expect("deleted");
    assert_eq!(bench.ids(phone), [ids[0], ids[3]]);
    assert_eq!(bench.count(), 2);
    bench.delete(phone, ids[3]);
    bench.delete(phone, ids[0]);
    assert_eq!(bench.count(), 0);
}

/// Once there are devices it is one.
pub fn the_plain_login_lapses_too(make: Make<'_>) {
    let bench = Bench::new(make);
    let early = bench.deliver("a\r\n");
    assert_eq!(bench.ids(ViewId::PLAIN), [early]);
    // Without devices there is nothing to lapse for.
    assert_eq!(tend(&bench, 1000), Tended::default());
    let phone = bench.view("phone");
    bench.delete(phone, early);
    assert_eq!(tend(&bench, 89), Tended::default());
    assert_eq!(bench.count(), 1);
    assert!(tend(&bench, 91).lapsed.contains(&ViewId::PLAIN));
    assert_eq!(bench.ids(phone), []);
    assert_eq!(tend(&bench, 0).released, 1);
    let late = bench.deliver("b\r\n");
    assert_eq!(bench.ids(ViewId::PLAIN), [late]);
    bench.delete(phone, late);
    assert_eq!(bench.count(), 1);
    bench.delete(ViewId::PLAIN, late);
    assert_eq!(bench.count(), 0);
}

/// Also when it is opened while there is no device to wait for it.
pub fn the_plain_login_counts_again_when_devices_come_again(make: Make<'_>) {
    let bench = Bench::new(make);
    bench.open(ViewId::PLAIN);
    let first = bench.view("first");
    assert!(tend(&bench, 91).lapsed.contains(&ViewId::PLAIN));
    block_on(bench.store.remove_view(bench.mailbox, first)).expect("removed");
    bench.open(ViewId::PLAIN);
    let second = bench.view("second");
    let id = bench.deliver("a\r\n");
    assert!(!lapsed(&bench, ViewId::PLAIN));
    bench.delete(second, id);
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.ids(ViewId::PLAIN), [id]);
}

/// What the views had agreed on before leaves when it is tended.
pub fn what_nothing_holds_leaves_when_tended(make: Make<'_>) {
    let bench = Bench::new(make);
    let phone = bench.view("phone");
    let (gone, kept) = (bench.deliver("a\r\n"), bench.deliver("b\r\n"));
    block_on(bench.store.set_release(bench.mailbox, Some(Release::Never))).expect("set");
    bench.delete(phone, gone);
    assert_eq!(tend(&bench, 0), Tended::default());
    assert_eq!(bench.count(), 2);
    block_on(bench.store.set_release(bench.mailbox, None)).expect("set");
    assert_eq!(tend(&bench, 0).released, 1);
    assert_eq!(tend(&bench, 0), Tended::default());
    assert_eq!(bench.ids(phone), [kept]);
    let removed = block_on(bench.store.restore(bench.mailbox, &[gone]));
    assert_eq!(removed, Ok(vec![gone]));
}

/// A view from now on has deleted nothing of before, and a deletion that was cancelled is none.
pub fn what_nobody_deleted_is_not_let_go(make: Make<'_>) {
    let bench = Bench::new(make);
    let phone = bench.view("phone");
    let old = bench.deliver("a\r\n");
    bench.delete(phone, old);
    assert_eq!(bench.count(), 0);
    block_on(bench.store.restore(bench.mailbox, &[old])).expect("restored");
    block_on(bench.store.add_view(bench.mailbox, "new", true)).expect("made");
    block_on(bench.store.remove_view(bench.mailbox, phone)).expect("removed");
    assert_eq!(tend(&bench, 0), Tended::default());
    assert_eq!(bench.count(), 1);
}

/// Whatever the release, and it can be brought back, for good.
pub fn what_is_too_old_leaves(make: Make<'_>) {
    for release in [Release::AtOnce, Release::AllDevices, Release::Never] {
        let bench = Bench::new(make);
        let phone = bench.view("phone");
        block_on(bench.store.set_release(bench.mailbox, Some(release))).expect("set");
        let ids = [bench.deliver("a\r\n"), bench.deliver("b\r\n")];
        assert_eq!(tend_age(&bench, 29), Tended::default());
        let done = tend_age(&bench, 31);
        assert_eq!((done.lapsed.len(), done.released, done.aged), (0, 0, 2));
        assert_eq!((bench.count(), bench.ids(phone)), (0, vec![]));
        assert_eq!(tend_age(&bench, 31), Tended::default());
        let back = block_on(bench.store.restore(bench.mailbox, &ids[1..]));
        assert_eq!(back, Ok(vec![ids[1]]));
        assert_eq!(tend_age(&bench, 365), Tended::default());
        assert_eq!(bench.ids(phone), [ids[1]]);
    }
}

/// More than one record can name.
pub fn many_leave_in_one_tending(make: Make<'_>) {
    let bench = Bench::new(make);
    let message = crate::exec::seal(bench.store.as_ref(), b"a\r\n").expect("sealed");
    let delivery = restante_store::Delivery {
        mailbox: bench.mailbox,
        message,
        received_ms: 1,
        source: None,
    };
    block_on(bench.store.commit(vec![delivery; 2_500])).expect("stored");
    assert_eq!(tend_age(&bench, 31).aged, 2_500);
    assert_eq!(bench.count(), 0);
}

/// Then it follows from the views again.
pub fn a_release_that_nobody_sets_follows_from_the_views(make: Make<'_>) {
    let bench = Bench::new(make);
    let info = || {
        let found = block_on(bench.store.find_mailbox("me")).expect("looked up");
        let info = found.expect("it is there");
        (info.release, info.release_is_set)
    };
    assert_eq!(info(), (Release::AtOnce, false));
    let view = bench.view("phone");
    assert_eq!(info(), (Release::AllDevices, false));
    block_on(bench.store.set_release(bench.mailbox, Some(Release::Never))).expect("set");
    assert_eq!(info(), (Release::Never, true));
    block_on(bench.store.set_release(bench.mailbox, None)).expect("set");
    assert_eq!(info(), (Release::AllDevices, false));
    block_on(bench.store.remove_view(bench.mailbox, view)).expect("removed");
    assert_eq!(info(), (Release::AtOnce, false));
}

/// When each was last opened; the plain login once it was.
pub fn views_tell_of_their_use(make: Make<'_>) {
    let bench = Bench::new(make);
    let before = wall_clock_ms();
    let phone = bench.view("phone");
    let views = || block_on(bench.store.views(bench.mailbox)).expect("told");
    assert_eq!(views().len(), 1);
    bench.open(ViewId::PLAIN);
    bench.open(phone);
    // What nobody waits for is written before what comes later.
    bench.deliver("a\r\n");
    for view in views() {
        let used_ms = view.used_ms.expect("known");
        assert!((before..=wall_clock_ms()).contains(&used_ms), "{view:?}");
        assert_eq!(view.name.is_empty(), view.id == ViewId::PLAIN);
        assert_eq!(view.totals.count, 1);
    }
    assert_eq!(views().len(), 2);
    let gone = ViewId::new(1, [1; 10]);
    let open = block_on(bench.store.open(bench.mailbox, gone, Access::Shared));
    assert_eq!(open.map(drop).expect_err("not made"), StoreError::NotFound);
}
