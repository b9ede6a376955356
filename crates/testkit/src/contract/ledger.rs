//! The ledger of the fetcher: what was fetched, what was seen, what may be forgotten.

use std::time::{Duration, Instant};

use restante_store::{
    Delivery, LedgerEntry, MailStore, MailboxId, Release, Seen, Source, StoreError, UniqueId,
    ViewId,
};

use super::{Bench, Make};
use crate::exec::{block_on, seal};

fn source(account: &str, remote_id: &[u8]) -> Source {
    Source {
        account: account.to_owned(),
        remote_id: remote_id.to_vec(),
    }
}

fn fetch(bench: &Bench, account: &str, remote_id: &[u8], received_ms: u64) -> UniqueId {
    let store = bench.store.as_ref();
    let message = seal(store, b"Subject: fetched\r\n\r\n").expect("sealed");
    let delivery = Delivery {
        mailbox: bench.mailbox,
        message,
        received_ms,
        source: Some(source(account, remote_id)),
    };
    block_on(store.commit(vec![delivery])).expect("stored")[0]
}

fn see(bench: &Bench, account: &str, remote_id: &[u8], received_ms: u64) {
    let seen = Seen {
        source: source(account, remote_id),
        received_ms,
    };
    block_on(bench.store.record_seen(bench.mailbox, &[seen])).expect("recorded");
}

fn forget(bench: &Bench, account: &str, remote_ids: &[&[u8]]) {
    let ids: Vec<_> = remote_ids.iter().map(|id| id.to_vec()).collect();
    block_on(bench.store.forget_seen(bench.mailbox, account, &ids)).expect("forgotten");
}

fn find(bench: &Bench, account: &str, remote_id: &[u8]) -> Option<LedgerEntry> {
    let ids = [remote_id.to_vec()];
    let found = block_on(bench.store.ledger_find(bench.mailbox, account, &ids));
    let mut found = found.expect("looked up");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn all(store: &dyn MailStore, mailbox: MailboxId, account: &str) -> Vec<LedgerEntry> {
    block_on(store.ledger(mailbox, account, None, 1_000)).expect("listed")
}

fn ids(bench: &Bench, account: &str) -> Vec<Vec<u8>> {
    let all = all(bench.store.as_ref(), bench.mailbox, account);
    all.into_iter().map(|entry| entry.remote_id).collect()
}

/// One delivery, and the ledger says all of it; a local message is none of its business.
pub fn what_was_fetched_is_in_the_ledger(make: Make<'_>) {
    let bench = Bench::new(make);
    bench.deliver("local\r\n");
    let id = fetch(&bench, "gmx", b"uid 1", 1_700_000_000_123);
    let entry = find(&bench, "gmx", b"uid 1").expect("known");
    assert_eq!(entry.remote_id, b"uid 1");
    assert_eq!(entry.received_ms, 1_700_000_000_123);
    let message = block_on(bench.store.message(id)).expect("looked up");
    assert_eq!(entry.message, message);
    assert!(message.expect("is there").removed.is_none());
    assert_eq!(find(&bench, "gmx", b"uid 2"), None);
    assert_eq!(
        all(bench.store.as_ref(), bench.mailbox, "gmx"),
        std::slice::from_ref(&entry)
    );
    // Deleted here, it is known all the same, and the ledger says that it is deleted.
    bench.delete(ViewId::PLAIN, id);
    let after = find(&bench, "gmx", b"uid 1").expect("still known");
    assert_eq!(after.received_ms, entry.received_ms);
    let message = after.message.expect("can be restored");
    assert_eq!(message.unique_id, id);
    assert!(message.removed.is_some());
}

/// Servers use unique-ids again, against RFC 1939 §7.
pub fn an_id_used_again_is_that_of_the_youngest(make: Make<'_>) {
    let bench = Bench::new(make);
    let old = fetch(&bench, "gmx", b"1", 5_000);
    let young = fetch(&bench, "gmx", b"1", 6_000);
    let known = |want: UniqueId, at: u64| {
        let entry = find(&bench, "gmx", b"1").expect("known");
        assert_eq!(entry.message.expect("is there").unique_id, want);
        assert_eq!(entry.received_ms, at);
    };
    known(young, 6_000);
    assert_eq!(ids(&bench, "gmx"), [b"1"]);
    block_on(bench.store.remove(bench.mailbox, &[old])).expect("removed");
    known(young, 6_000);
}

/// By the octets of the remote unique-ids, whatever octets those are; each once.
pub fn the_ledger_comes_in_pages(make: Make<'_>) {
    let bench = Bench::new(make);
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for number in 0_u8..9 {
        let id = vec![b'a', 255 - number, b' '];
        fetch(&bench, "gmx", &id, 1);
        expected.push(id);
    }
    for odd in [&b""[..], b"\0", b"\xff\xff", b"a", &[b'x'; 300]] {
        see(&bench, "gmx", odd, 2);
        expected.push(odd.to_vec());
    }
    see(&bench, "gmx", b"forgotten", 2);
    forget(&bench, "gmx", &[b"forgotten"]);
    expected.sort();
    let store = bench.store.as_ref();
    for size in 1..=expected.len() + 1 {
        let mut got: Vec<Vec<u8>> = Vec::new();
        loop {
            let after = got.last().cloned();
            let page = store.ledger(bench.mailbox, "gmx", after.as_deref(), size);
            let page = block_on(page).expect("a page");
            assert!(page.len() <= size);
            let last = page.len() < size;
            got.extend(page.into_iter().map(|entry| entry.remote_id));
            if last {
                break;
            }
        }
        assert_eq!(got, expected, "pages of {size}");
    }
}

/// More than fit into a small batch, known and unknown, some twice.
pub fn many_are_looked_up_in_their_order(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let id = |number: u32| format!("uid-{number}").into_bytes();
    let seen: Vec<_> = (0..2_500)
        .map(|number| Seen {
            source: source("gmx", &id(2 * number)),
            received_ms: u64::from(number),
        })
        .collect();
    block_on(store.record_seen(bench.mailbox, &seen)).expect("recorded");
    let asked: Vec<_> = (0..5_000).chain([4, 5, 4]).rev().collect();
    let asked_ids: Vec<_> = asked.iter().map(|number| id(*number)).collect();
    let found = block_on(store.ledger_find(bench.mailbox, "gmx", &asked_ids));
    let found = found.expect("looked up");
    assert_eq!(found.len(), asked.len());
    for (number, entry) in asked.iter().zip(found) {
        let expected = number % 2 == 0;
        assert_eq!(entry.is_some(), expected, "{number}");
        if let Some(entry) = entry {
            assert_eq!(entry.remote_id, id(*number));
            assert_eq!(entry.received_ms, u64::from(number / 2));
        }
    }
    block_on(store.forget_seen(bench.mailbox, "gmx", &asked_ids)).expect("forgotten");
    assert_eq!(ids(&bench, "gmx"), Vec::<Vec<u8>>::new());
    let none = block_on(store.ledger_find(bench.mailbox, "gmx", &[]));
    assert_eq!(none, Ok(Vec::new()));
    assert_eq!(
        block_on(store.ledger(bench.mailbox, "gmx", None, 0)),
        Ok(Vec::new())
    );
}

/// The same remote unique-id is another message in another account, or mailbox.
pub fn accounts_and_mailboxes_have_their_own(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let other = block_on(store.create_mailbox("other")).expect("made");
    fetch(&bench, "gmx", b"1", 1);
    see(&bench, "gmx", b"2", 1);
    assert_eq!(ids(&bench, "GMX"), Vec::<Vec<u8>>::new());
    assert_eq!(find(&bench, "web", b"1"), None);
    assert_eq!(all(store, other, "gmx"), []);
    // One call may speak of several accounts.
    let both = ["gmx", "web", "gmx"].map(|account| Seen {
        source: source(account, b"3"),
        received_ms: 4,
    });
    block_on(store.record_seen(other, &both)).expect("recorded");
    assert_eq!(all(store, other, "gmx").len(), 1);
    assert_eq!(all(store, other, "web").len(), 1);
    assert_eq!(find(&bench, "gmx", b"3"), None);
    block_on(store.forget_seen(other, "web", &[b"3".to_vec()])).expect("forgotten");
    assert_eq!(all(store, other, "gmx").len(), 1);
    assert_eq!(all(store, other, "web"), []);
    assert_eq!(ids(&bench, "gmx"), [b"1", b"2"]);
}

/// And a delivery of it later brings the message.
pub fn what_was_seen_is_in_the_ledger_without_a_message(make: Make<'_>) {
    let bench = Bench::new(make);
    see(&bench, "gmx", b"\0top:77", 9_000);
    let entry = find(&bench, "gmx", b"\0top:77").expect("known");
    assert_eq!((entry.received_ms, &entry.message), (9_000, &None));
    assert_eq!(all(bench.store.as_ref(), bench.mailbox, "gmx"), [entry]);
    assert_eq!(bench.count(), 0);
    let id = fetch(&bench, "gmx", b"\0top:77", 9_500);
    let entry = find(&bench, "gmx", b"\0top:77").expect("known");
    assert_eq!(entry.received_ms, 9_500);
    assert_eq!(entry.message.expect("is there").unique_id, id);
    assert_eq!(ids(&bench, "gmx").len(), 1);
}

/// Neither what is seen already nor what is there gets another time.
pub fn seen_again_changes_nothing(make: Make<'_>) {
    let bench = Bench::new(make);
    see(&bench, "gmx", b"1", 100);
    see(&bench, "gmx", b"1", 200);
    assert_eq!(find(&bench, "gmx", b"1").expect("known").received_ms, 100);
    let id = fetch(&bench, "gmx", b"2", 300);
    see(&bench, "gmx", b"2", 400);
    let entry = find(&bench, "gmx", b"2").expect("known");
    assert_eq!(entry.received_ms, 300);
    assert_eq!(entry.message.expect("is there").unique_id, id);
    assert_eq!(
        block_on(bench.store.record_seen(bench.mailbox, &[])),
        Ok(())
    );
}

/// Forgotten, seen again, forgotten again: as if for the first time.
pub fn what_is_forgotten_can_be_seen_again(make: Make<'_>) {
    let bench = Bench::new(make);
    for round in 1..4 {
        see(&bench, "gmx", b"1", round);
        see(&bench, "gmx", b"2", round);
        assert_eq!(find(&bench, "gmx", b"1").expect("known").received_ms, round);
        forget(&bench, "gmx", &[b"1"]);
        assert_eq!(find(&bench, "gmx", b"1"), None);
        assert_eq!(ids(&bench, "gmx"), [b"2"]);
        // What is not known is no error.
        forget(&bench, "gmx", &[b"1", b"never"]);
        forget(&bench, "gmx", &[b"2"]);
        assert_eq!(ids(&bench, "gmx"), Vec::<Vec<u8>>::new());
    }
    forget(&bench, "gmx", &[]);
}

/// Live messages and those that can be restored: the ledger is what keeps them from coming twice.
pub fn forgetting_spares_what_is_there(make: Make<'_>) {
    let bench = Bench::new(make);
    let live = fetch(&bench, "gmx", b"live", 1);
    let held = fetch(&bench, "gmx", b"held", 2);
    block_on(bench.store.remove(bench.mailbox, &[held])).expect("removed");
    forget(&bench, "gmx", &[b"live", b"held"]);
    let message = |id: &[u8]| find(&bench, "gmx", id).expect("known").message;
    assert_eq!(message(b"live").expect("is there").unique_id, live);
    assert_eq!(message(b"held").expect("is there").unique_id, held);
    let restored = block_on(bench.store.restore(bench.mailbox, &[held]));
    assert_eq!(restored, Ok(vec![held]));
    assert!(message(b"held").expect("is there").removed.is_none());
    assert_eq!(bench.count(), 2);
    // A seen record beside it goes, and takes nothing along.
    see(&bench, "gmx", b"again", 3);
    let again = fetch(&bench, "gmx", b"again", 4);
    forget(&bench, "gmx", &[b"again"]);
    assert_eq!(message(b"again").expect("is there").unique_id, again);
}

/// Whether its bytes went already makes no difference. Then it can be forgotten, and fetched anew.
pub fn a_message_past_restoring_is_still_known(make: Make<'_>) {
    let mut bench = Bench::new(make);
    bench.store = make(1);
    bench.mailbox = block_on(bench.store.create_mailbox("me")).expect("made");
    let id = fetch(&bench, "gmx", b"1", 700);
    block_on(bench.store.remove(bench.mailbox, &[id])).expect("removed");
    let since = Instant::now();
    let entry = loop {
        let entry = find(&bench, "gmx", b"1").expect("known");
        if entry.message.is_none() {
            break entry;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{entry:?}");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!(entry.received_ms, 700);
    assert_eq!(ids(&bench, "gmx"), [b"1"]);
    see(&bench, "gmx", b"1", 900);
    assert_eq!(find(&bench, "gmx", b"1").expect("known").received_ms, 700);
    forget(&bench, "gmx", &[b"1"]);
    assert_eq!(find(&bench, "gmx", b"1"), None);
    assert_eq!(ids(&bench, "gmx"), Vec::<Vec<u8>>::new());
    let again = fetch(&bench, "gmx", b"1", 950);
    let entry = find(&bench, "gmx", b"1").expect("known");
    assert_eq!(entry.message.expect("is there").unique_id, again);
}

/// Nor has one that never was.
pub fn a_removed_mailbox_has_no_ledger(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    fetch(&bench, "gmx", b"1", 1);
    see(&bench, "gmx", b"2", 1);
    block_on(store.remove_mailbox(bench.mailbox, true)).expect("removed");
    let seen = [Seen {
        source: source("gmx", b"3"),
        received_ms: 1,
    }];
    let known = [b"1".to_vec()];
    for id in [bench.mailbox, MailboxId::new(1, [9; 10])] {
        const NOT: StoreError = StoreError::NotFound;
        assert_eq!(block_on(store.ledger(id, "gmx", None, 9)), Err(NOT));
        assert_eq!(block_on(store.ledger_find(id, "gmx", &known)), Err(NOT));
        assert_eq!(block_on(store.record_seen(id, &seen)), Err(NOT));
        assert_eq!(block_on(store.record_seen(id, &[])), Err(NOT));
        assert_eq!(block_on(store.forget_seen(id, "gmx", &known)), Err(NOT));
        assert_eq!(block_on(store.forget_seen(id, "gmx", &[])), Err(NOT));
    }
    // Another of the same name starts anew.
    let fresh = block_on(store.create_mailbox("me")).expect("made");
    assert_eq!(all(store, fresh, "gmx"), []);
}

/// What a device collects and deletes from a mailbox that is fetched into stays in the archive, and
/// other views show it.
pub fn never_keeps_what_the_plain_login_deletes(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    block_on(store.set_release(bench.mailbox, Some(Release::Never))).expect("set");
    // Asked for again, as each run of the fetcher does, nothing changes.
    assert_eq!(block_on(store.create_mailbox("me")), Ok(bench.mailbox));
    block_on(store.set_release(bench.mailbox, Some(Release::Never))).expect("set");
    let kept = fetch(&bench, "gmx", b"1", 1);
    bench.delete(ViewId::PLAIN, kept);
    assert_eq!(bench.ids(ViewId::PLAIN), []);
    assert_eq!(bench.count(), 1);
    let message = block_on(store.message(kept)).expect("looked up");
    assert!(message.expect("is there").removed.is_none());
    let entry = find(&bench, "gmx", b"1").expect("known");
    assert!(entry.message.expect("is there").removed.is_none());
    let laptop = bench.view("laptop");
    assert_eq!(bench.ids(laptop), [kept]);
    bench.delete(laptop, kept);
    assert_eq!(bench.count(), 1);
}
