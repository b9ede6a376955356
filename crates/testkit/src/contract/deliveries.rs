//! What a commit promises.

use std::collections::BTreeSet;
use std::thread;

use restante_store::{Delivery, MailboxId, Sealed, Source, StoreError, ViewId};

use super::{Bench, Make};
use crate::exec::{block_on, collect, deliver, seal};

/// A delivery of a sealed message, received long ago.
pub(super) fn to(mailbox: MailboxId, message: &Sealed) -> Delivery {
    Delivery {
        mailbox,
        message: message.clone(),
        received_ms: 1_000_000_000_000,
        source: None,
    }
}

/// Also within one commit, and whatever `received_ms` says. The unique-ids ascend, which windows rely on.
pub fn the_listing_is_in_the_order_of_delivery(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let mut ids = Vec::new();
    for batch in 0..12u64 {
        let mut deliveries = Vec::new();
        for number in 0..=batch {
            let message = seal(store, format!("{batch} {number}\r\n").as_bytes());
            let mut delivery = to(bench.mailbox, &message.expect("sealed"));
            delivery.received_ms = 2_000_000_000_000 - batch * 1_000 - number;
            deliveries.push(delivery);
        }
        ids.extend(block_on(store.commit(deliveries)).expect("stored"));
    }
    assert_eq!(bench.ids(ViewId::PLAIN), ids);
    assert!(ids.is_sorted());
    let texts = bench.texts(ViewId::PLAIN);
    assert_eq!(
        (texts[0].as_str(), texts[77].as_str()),
        ("0 0\r\n", "11 11\r\n")
    );
    let sorted = (0..12).flat_map(|b| (0..=b).map(move |n| format!("{b} {n}\r\n")));
    assert!(texts.into_iter().eq(sorted));
}

/// Not even when the message that had it is gone, nor for the same bytes.
pub fn unique_ids_are_never_used_twice(make: Make<'_>) {
    let bench = Bench::new(make);
    let other = block_on(bench.store.create_mailbox("other")).expect("made");
    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        let id = bench.deliver("the same\r\n");
        assert!(seen.insert(id));
        assert!(
            seen.insert(deliver(bench.store.as_ref(), other, b"the same\r\n").expect("stored"))
        );
        bench.delete(ViewId::PLAIN, id);
        let text = id.to_string();
        assert!((1..=70).contains(&text.len()), "RFC 1939 §7 UIDL");
        assert!(
            text.bytes().all(|b| (0x21..=0x7e).contains(&b)),
            "RFC 1939 §7 UIDL"
        );
    }
}

/// And is no error.
pub fn an_empty_commit_is_nothing(make: Make<'_>) {
    let bench = Bench::new(make);
    assert_eq!(block_on(bench.store.commit(Vec::new())), Ok(Vec::new()));
    assert_eq!(bench.count(), 0);
}

/// One message, many recipients, one commit: each gets its own unique-id.
pub fn one_message_goes_to_many_mailboxes(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let name = |n: u32| format!("user{n}");
    let create = |n| block_on(store.create_mailbox(&name(n))).expect("made");
    let mailboxes: Vec<_> = (0..40).map(create).collect();
    let message = seal(store, b"to all\r\n").expect("sealed");
    let mut deliveries: Vec<_> = mailboxes.iter().map(|m| to(*m, &message)).collect();
    // Twice to the first one: two copies, as two recipients that are one user may get.
    deliveries.push(to(mailboxes[0], &message));
    let ids = block_on(store.commit(deliveries)).expect("stored");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 41);
    for (at, mailbox) in mailboxes.iter().enumerate() {
        let all = collect(store, *mailbox, ViewId::PLAIN).expect("collected");
        assert_eq!(all.len(), if at == 0 { 2 } else { 1 });
        assert_eq!(all[0], (ids[at], b"to all\r\n".to_vec()));
    }
    assert_eq!(bench.count(), 0);
}

/// One recipient that is not there, and nobody gets it.
pub fn a_commit_is_all_or_nothing(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let message = seal(store, b"hello\r\n").expect("sealed");
    let nowhere = MailboxId::new(1, [7; 10]);
    let deliveries = vec![to(bench.mailbox, &message), to(nowhere, &message)];
    assert_eq!(
        block_on(store.commit(deliveries)),
        Err(StoreError::NotFound)
    );
    assert_eq!(bench.count(), 0);
    assert_eq!(bench.texts(ViewId::PLAIN), Vec::<String>::new());
}

/// Time of receipt and the fetcher's ledger, remote unique-ids being any octets.
pub fn what_is_known_of_a_message_is_kept(make: Make<'_>) {
    let bench = Bench::new(make);
    let store = bench.store.as_ref();
    let message = seal(store, b"fetched\r\n").expect("sealed");
    let mut delivery = to(bench.mailbox, &message);
    delivery.received_ms = 1_234_567_890_123;
    delivery.source = Some(Source {
        account: "büro".to_owned(),
        remote_id: (0..=255).collect(),
    });
    let ids = block_on(store.commit(vec![delivery.clone()])).expect("stored");
    let info = block_on(store.message(ids[0]))
        .expect("found")
        .expect("is there");
    assert_eq!(info.unique_id, ids[0]);
    assert_eq!(info.mailbox, bench.mailbox);
    assert_eq!(info.received_ms, 1_234_567_890_123);
    assert_eq!(info.source, delivery.source);
    assert_eq!(info.removed, None);
    assert_eq!((info.size, info.octets), (9, 9));
    assert_eq!(info.digest, message.digest);
}

/// Nothing is lost or doubled, and each thread's own order holds.
pub fn many_threads_deliver_at_once(make: Make<'_>) {
    let bench = Bench::new(make);
    thread::scope(|scope| {
        for thread in 0..4 {
            let bench = &bench;
            scope.spawn(move || {
                for number in 0..25 {
                    bench.deliver(&format!("{thread} {number:02}\r\n"));
                }
            });
        }
    });
    let texts = bench.texts(ViewId::PLAIN);
    assert_eq!(texts.len(), 100);
    for thread in 0..4 {
        let of = format!("{thread} ");
        let mine = texts.iter().filter(|text| text.starts_with(&of));
        assert!(
            mine.eq((0..25)
                .map(|n| format!("{thread} {n:02}\r\n"))
                .collect::<Vec<_>>()
                .iter())
        );
    }
    let ids = bench.ids(ViewId::PLAIN);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 100);
}
