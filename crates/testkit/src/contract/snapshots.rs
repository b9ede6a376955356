//! RFC 1939 §5 and §7: numbers, sizes and unique-ids hold for the session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use restante_store::{StoreError, ViewId};

use super::{Bench, Make, delete_in, ids_of};
use crate::exec::{block_on, collect_from};

/// The session that was open before goes on as it was.
pub fn a_snapshot_does_not_see_later_deliveries(make: Make<'_>) {
    let bench = Bench::new(make);
    let first = bench.deliver("1\r\n");
    let drop = bench.plain();
    assert_eq!(ids_of(drop.as_ref()), [first]);
    let second = bench.deliver("22\r\n");
    drop.forget_listing();
    assert_eq!(ids_of(drop.as_ref()), [first]);
    assert_eq!((drop.totals().count, drop.totals().octets), (1, 3));
    let later = bench.plain();
    assert_eq!(ids_of(later.as_ref()), [first, second]);
    assert_eq!((later.totals().count, later.totals().octets), (2, 7));
}

/// Its numbers stay, and its bytes can be read.
pub fn a_snapshot_keeps_what_is_deleted_later(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..5).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    let before = bench.plain();
    let held = collect_from(before.as_ref()).expect("collected");
    bench.delete(ViewId::PLAIN, ids[1]);
    bench.delete(ViewId::PLAIN, ids[3]);
    before.forget_listing();
    assert_eq!(ids_of(before.as_ref()), ids);
    assert_eq!((before.totals().count, before.totals().octets), (5, 15));
    assert_eq!(collect_from(before.as_ref()).expect("collected"), held);
    assert_eq!(bench.texts(ViewId::PLAIN), ["0\r\n", "2\r\n", "4\r\n"]);
}

/// The listing is read when first asked for, yet it is that of the opening.
pub fn a_listing_first_read_late_is_that_of_the_opening(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..3).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    let drop = bench.plain();
    bench.delete(ViewId::PLAIN, ids[0]);
    bench.deliver("later\r\n");
    bench.delete(ViewId::PLAIN, ids[2]);
    assert_eq!(ids_of(drop.as_ref()), ids);
    assert_eq!(drop.totals().count, 3);
}

/// Deleted and brought back behind its back: a session that was open all the while sees neither.
pub fn a_snapshot_survives_deletion_and_restore(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..3).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    let drop = bench.plain();
    bench.delete(ViewId::PLAIN, ids[1]);
    let back = block_on(bench.store.restore(bench.mailbox, &[ids[1]]));
    assert_eq!(back, Ok(vec![ids[1]]));
    assert_eq!(ids_of(drop.as_ref()), ids);
    drop.forget_listing();
    assert_eq!(ids_of(drop.as_ref()), ids);
    assert_eq!(drop.totals().count, 3);
}

/// A session that began while the message was away does not get it.
pub fn a_snapshot_does_not_see_what_is_restored_later(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..3).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    bench.delete(ViewId::PLAIN, ids[1]);
    let drop = bench.plain();
    block_on(bench.store.restore(bench.mailbox, &[ids[1]])).expect("restored");
    assert_eq!(ids_of(drop.as_ref()), [ids[0], ids[2]]);
    assert_eq!(drop.totals().count, 2);
    assert_eq!(bench.plain().totals().count, 3);
}

/// One past the end, and far past it.
pub fn an_index_past_the_listing_is_not_found(make: Make<'_>) {
    let bench = Bench::new(make);
    bench.deliver("1\r\n");
    let drop = bench.plain();
    for index in [1, 2, usize::MAX] {
        let error = block_on(drop.body(index))
            .map(|_| ())
            .expect_err("no such message");
        assert_eq!(error, StoreError::NotFound);
    }
}

/// One thread delivers and deletes without end; every session sees one state, whole.
pub fn snapshots_hold_under_constant_change(make: Make<'_>) {
    let bench = Bench::new(make);
    for number in 0..10 {
        bench.deliver(&format!("{number}\r\n"));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 10..60 {
                bench.deliver(&format!("{number}\r\n"));
                let drop = bench.plain();
                let oldest = ids_of(drop.as_ref())[0];
                delete_in(drop.as_ref(), &[oldest]).expect("deleted");
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let drop = bench.plain();
            let totals = drop.totals();
            let all = collect_from(drop.as_ref()).expect("collected");
            assert!((10..=11).contains(&all.len()), "{} messages", all.len());
            assert_eq!(totals.count, all.len() as u64);
            let octets: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
            assert_eq!(totals.octets, octets as u64);
            drop.forget_listing();
            assert!(
                ids_of(drop.as_ref())
                    .into_iter()
                    .eq(all.iter().map(|(id, _)| *id))
            );
        }
    });
    let last: Vec<_> = (50..60).map(|n| format!("{n}\r\n")).collect();
    assert_eq!(bench.texts(ViewId::PLAIN), last);
}
