//! Undo, browsing, and telling what changed.

use std::thread;
use std::time::Duration;

use restante_store::{Change, Cursor, MessageFilter, Release, StoreError, UniqueId, ViewId};

use super::{Bench, Make};
use crate::exec::{block_on, deliver, read_all};

fn browse(bench: &Bench, filter: MessageFilter) -> Vec<UniqueId> {
    let found = block_on(bench.store.browse(bench.mailbox, filter, None, 1_000));
    found
        .expect("browsed")
        .iter()
        .map(|m| m.unique_id)
        .collect()
}

/// Under the same unique-id, with the same bytes, in every view.
pub fn a_deletion_can_be_undone(make: Make<'_>) {
    let bench = Bench::new(make);
    let view = bench.view("phone");
    block_on(
        bench
            .store
            .set_release(bench.mailbox, Some(Release::AtOnce)),
    )
    .expect("set");
    let ids: Vec<_> = (0..4).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    bench.delete(ViewId::PLAIN, ids[1]);
    bench.delete(ViewId::PLAIN, ids[2]);
    assert_eq!(browse(&bench, MessageFilter::Deleted), [ids[1], ids[2]]);
    assert_eq!(browse(&bench, MessageFilter::Live), [ids[0], ids[3]]);
    let mut body = block_on(bench.store.read(ids[1])).expect("opened");
    assert_eq!(read_all(body.as_mut()), Ok(b"1\r\n".to_vec()));
    let back = block_on(bench.store.restore(bench.mailbox, &[ids[1]]));
    assert_eq!(back, Ok(vec![ids[1]]));
    assert_eq!(browse(&bench, MessageFilter::Deleted), [ids[2]]);
    for through in [ViewId::PLAIN, view] {
        let mut texts = bench.texts(through);
        texts.sort();
        assert_eq!(texts, ["0\r\n", "1\r\n", "3\r\n"]);
        assert_eq!(bench.open(through).totals().octets, 9);
    }
    let info = block_on(bench.store.message(ids[1]))
        .expect("found")
        .expect("is there");
    assert_eq!(info.removed, None);
}

/// Each undo cancels the deletion before it, and no later one.
pub fn undo_and_delete_take_turns(make: Make<'_>) {
    let bench = Bench::new(make);
    let id = bench.deliver("a\r\n");
    for _ in 0..4 {
        bench.delete(ViewId::PLAIN, id);
        assert_eq!(bench.count(), 0);
        let back = block_on(bench.store.restore(bench.mailbox, &[id]));
        assert_eq!(back, Ok(vec![id]));
        assert_eq!(bench.texts(ViewId::PLAIN), ["a\r\n"]);
    }
    bench.delete(ViewId::PLAIN, id);
    assert_eq!(bench.ids(ViewId::PLAIN), Vec::<UniqueId>::new());
}

/// Not what is live, unknown, or of another mailbox.
pub fn restore_returns_only_what_came_back(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let other = block_on(store.create_mailbox("other")).expect("made");
    let foreign = deliver(store, other, b"foreign\r\n").expect("stored");
    block_on(store.remove(other, &[foreign])).expect("removed");
    let live = bench.deliver("live\r\n");
    let gone = bench.deliver("gone\r\n");
    bench.delete(ViewId::PLAIN, gone);
    let unknown = UniqueId::new(5, [5; 10]);
    let back = block_on(store.restore(bench.mailbox, &[live, unknown, foreign, gone]));
    assert_eq!(back, Ok(vec![gone]));
    assert_eq!(block_on(store.restore(bench.mailbox, &[gone])), Ok(vec![]));
    assert_eq!(block_on(store.restore(bench.mailbox, &[])), Ok(vec![]));
    assert_eq!(bench.count(), 2);
    let info = block_on(store.message(foreign))
        .expect("found")
        .expect("restorable");
    assert!(info.removed.is_some());
}

/// Hidden by a view, or removed because every view hid it: back for all.
pub fn restore_shows_hidden_messages_again(make: Make<'_>) {
    let bench = Bench::new(make);
    let (phone, laptop) = (bench.view("phone"), bench.view("laptop"));
    block_on(
        bench
            .store
            .set_release(bench.mailbox, Some(Release::AllDevices)),
    )
    .expect("set");
    let hidden = bench.deliver("hidden\r\n");
    let left = bench.deliver("left\r\n");
    bench.delete(phone, hidden);
    bench.delete(phone, left);
    bench.delete(laptop, left);
    assert_eq!((bench.count(), bench.open(phone).totals().count), (1, 0));
    block_on(bench.store.restore(bench.mailbox, &[hidden, left])).expect("restored");
    for view in [phone, laptop] {
        let mut texts = bench.texts(view);
        texts.sort();
        assert_eq!(texts, ["hidden\r\n", "left\r\n"]);
        assert_eq!(bench.open(view).totals().octets, 14);
    }
    bench.delete(phone, left);
    assert_eq!(bench.count(), 2);
    assert_eq!(bench.ids(phone), [hidden]);
}

/// "To all views": also to one that was made from then on, after the message came.
pub fn restore_shows_to_a_view_from_now_too(make: Make<'_>) {
    let bench = Bench::new(make);
    let old = bench.deliver("old\r\n");
    bench.deliver("older, too\r\n");
    let view = block_on(bench.store.add_view(bench.mailbox, "new", true)).expect("made");
    block_on(bench.store.remove(bench.mailbox, &[old])).expect("removed");
    assert_eq!(
        block_on(bench.store.restore(bench.mailbox, &[old])),
        Ok(vec![old])
    );
    assert_eq!(bench.ids(view), [old]);
    assert_eq!(bench.open(view).totals().count, 1);
    bench.delete(view, old);
    assert_eq!(bench.ids(view), Vec::<UniqueId>::new());
}

/// Nor is it browsed or found.
pub fn past_the_hold_nothing_comes_back(make: Make<'_>) {
    for hold_ms in [0, 30] {
        let store = make(hold_ms);
        assert_eq!(store.capabilities().hold_ms, hold_ms);
        let mailbox = block_on(store.create_mailbox("me")).expect("made");
        let bench = Bench { store, mailbox };
        let id = bench.deliver("a\r\n");
        bench.delete(ViewId::PLAIN, id);
        thread::sleep(Duration::from_millis(2 * hold_ms));
        let back = block_on(bench.store.restore(mailbox, &[id]));
        assert_eq!(back, Ok(vec![]), "hold {hold_ms}");
        assert_eq!(browse(&bench, MessageFilter::Deleted), vec![]);
        assert_eq!(block_on(bench.store.message(id)), Ok(None));
        let read = block_on(bench.store.read(id)).map(|_| ());
        assert_eq!(read.expect_err("past the hold"), StoreError::NotFound);
        assert_eq!(bench.count(), 0);
    }
}

/// All messages of one removal bear its tombstone; another has another.
pub fn one_deletion_has_one_name(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let ids: Vec<_> = (0..3).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    let first = block_on(store.remove(bench.mailbox, &ids[..2])).expect("removed");
    let second = block_on(store.remove(bench.mailbox, &ids[2..])).expect("removed");
    assert_ne!(first, second);
    let removed = |id| {
        let info = block_on(store.message(id))
            .expect("found")
            .expect("restorable");
        info.removed.expect("removed")
    };
    assert_eq!((removed(ids[0]).1, removed(ids[1]).1), (first, first));
    assert_eq!(removed(ids[2]).1, second);
    let now = crate::memory::wall_clock_ms();
    assert!(
        now.abs_diff(removed(ids[0]).0) < 60_000,
        "the time is that of the removal"
    );
}

/// Pages of every size, live and deleted.
pub fn browsing_in_pages_sees_each_once(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..20)
        .map(|n| bench.deliver(&format!("{n}\r\n")))
        .collect();
    let odd: Vec<_> = ids.iter().skip(1).step_by(2).copied().collect();
    let even: Vec<_> = ids.iter().step_by(2).copied().collect();
    block_on(bench.store.remove(bench.mailbox, &odd)).expect("removed");
    for (filter, expected) in [(MessageFilter::Live, &even), (MessageFilter::Deleted, &odd)] {
        for size in [1, 3, 5, 10, 11] {
            let mut seen = Vec::new();
            loop {
                let after = seen.last().copied();
                let page = block_on(bench.store.browse(bench.mailbox, filter, after, size));
                let page = page.expect("browsed");
                assert!(page.len() <= size);
                if page.is_empty() {
                    break;
                }
                seen.extend(page.iter().map(|m| m.unique_id));
            }
            assert_eq!(&seen, expected, "{filter:?} in pages of {size}");
        }
    }
    let none = block_on(
        bench
            .store
            .browse(bench.mailbox, MessageFilter::Live, None, 0),
    );
    assert_eq!(none, Ok(vec![]));
}

/// The last of a page may be deleted before the next page is asked for.
pub fn browsing_goes_on_after_a_message_that_went(make: Make<'_>) {
    let bench = Bench::new(make);
    let ids: Vec<_> = (0..4).map(|n| bench.deliver(&format!("{n}\r\n"))).collect();
    let page = |after| {
        let found = block_on(
            bench
                .store
                .browse(bench.mailbox, MessageFilter::Live, after, 2),
        );
        let found = found.expect("browsed");
        found.iter().map(|m| m.unique_id).collect::<Vec<_>>()
    };
    assert_eq!(page(None), ids[..2]);
    bench.delete(ViewId::PLAIN, ids[1]);
    assert_eq!(page(Some(ids[1])), ids[2..]);
}

fn told(changes: &[Change]) -> Vec<(bool, UniqueId)> {
    let tell = |change: &Change| match change {
        Change::Added(info) => (true, info.unique_id),
        Change::Removed(_, id) => (false, *id),
    };
    changes.iter().map(tell).collect()
}

/// From the start, then only what is new.
pub fn changes_are_told_in_order(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let other = block_on(store.create_mailbox("other")).expect("made");
    let a = bench.deliver("a\r\n");
    let b = deliver(store, other, b"b\r\n").expect("stored");
    let c = bench.deliver("c\r\n");
    let first = block_on(store.changes(Cursor::START, 100)).expect("told");
    assert_eq!(told(&first.changes), [(true, a), (true, b), (true, c)]);
    let Change::Added(info) = &first.changes[1] else {
        panic!("b was added")
    };
    assert_eq!((info.mailbox, info.size), (other, 3));
    let again = block_on(store.changes(first.next, 100)).expect("told");
    assert_eq!((again.changes.len(), again.reset), (0, false));
    bench.delete(ViewId::PLAIN, a);
    let d = bench.deliver("d\r\n");
    let later = block_on(store.changes(again.next, 100)).expect("told");
    assert!(!later.reset);
    assert_eq!(told(&later.changes), [(false, a), (true, d)]);
    assert_eq!(later.changes[0], Change::Removed(bench.mailbox, a));
    block_on(store.restore(bench.mailbox, &[a])).expect("restored");
    let last = block_on(store.changes(later.next, 100)).expect("told");
    assert_eq!(told(&last.changes), [(true, a)]);
    assert!(
        block_on(store.changes(last.next, 100))
            .expect("told")
            .changes
            .is_empty()
    );
}

/// As it is now, in its last place.
pub fn a_message_that_changed_twice_is_told_once(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let start = block_on(store.changes(Cursor::START, 9))
        .expect("told")
        .next;
    let a = bench.deliver("a\r\n");
    let b = bench.deliver("b\r\n");
    bench.delete(ViewId::PLAIN, a);
    let once = block_on(store.changes(start, 9)).expect("told");
    assert_eq!(told(&once.changes), [(true, b), (false, a)]);
    block_on(store.restore(bench.mailbox, &[a])).expect("restored");
    bench.delete(ViewId::PLAIN, b);
    let once = block_on(store.changes(once.next, 9)).expect("told");
    assert_eq!(told(&once.changes), [(true, a), (false, b)]);
}

/// No page is longer than asked for, and none is lost between two.
pub fn changes_come_in_pages(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let ids: Vec<_> = (0..10)
        .map(|n| bench.deliver(&format!("{n}\r\n")))
        .collect();
    // One deletion of several messages may be cut by a page too.
    block_on(store.remove(bench.mailbox, &ids[..5])).expect("removed");
    for size in [1, 2, 3, 7] {
        let (mut cursor, mut seen) = (Cursor::START, Vec::new());
        loop {
            let page = block_on(store.changes(cursor, size)).expect("told");
            assert!(page.changes.len() <= size && !page.reset);
            if page.changes.is_empty() {
                break;
            }
            cursor = page.next;
            seen.extend(told(&page.changes));
        }
        let added: Vec<_> = seen.iter().filter(|s| s.0).map(|s| s.1).collect();
        assert_eq!(added, ids[5..], "pages of {size}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 10, "pages of {size}");
    }
}

/// What one device hides is nothing to the archive.
pub fn hiding_is_no_change(make: Make<'_>) {
    let bench = Bench::new(make);
    let view = bench.view("phone");
    block_on(bench.store.set_release(bench.mailbox, Some(Release::Never))).expect("set");
    let id = bench.deliver("a\r\n");
    let before = block_on(bench.store.changes(Cursor::START, 9))
        .expect("told")
        .next;
    bench.delete(view, id);
    let after = block_on(bench.store.changes(before, 9)).expect("told");
    assert_eq!(after.changes, vec![]);
}

/// As after a rebuild: everything is told again, and said so.
pub fn a_cursor_of_another_index_starts_anew(make: Make<'_>) {
    let bench = Bench::new(make);
    let id = bench.deliver("a\r\n");
    let now = block_on(bench.store.changes(Cursor::START, 9))
        .expect("told")
        .next;
    assert_ne!(now.epoch, Cursor::START.epoch);
    let other = Cursor {
        epoch: now.epoch ^ 0x55,
        place: u64::from(u32::MAX),
        ..now
    };
    let anew = block_on(bench.store.changes(other, 9)).expect("told");
    assert!(anew.reset);
    assert_eq!(told(&anew.changes), [(true, id)]);
    assert_eq!(anew.next, now);
}
