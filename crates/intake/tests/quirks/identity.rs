//! Unique-ids that are not unique, or not for long.

use restante_testkit::scripted::{Message, Quirks, messages};

use crate::bench::Bench;

fn with_one_id(count: usize) -> Vec<Message> {
    let mut all = messages(count);
    all.iter_mut()
        .for_each(|message| message.id = b"same".to_vec());
    all
}

/// Told apart by TOP, remembered apart.
#[tokio::test]
async fn messages_that_share_a_unique_id_are_all_fetched_once() {
    let mut all = with_one_id(3);
    all.extend(messages(5).split_off(3));
    let bench = Bench::new(all.clone(), Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 5);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    assert_eq!(bench.count("RETR"), 5);
    // The same message as one that is there, under the same id, is no new mail to tell from it; one
    // that differs is.
    bench.server.deliver(Message::new(
        "same",
        "Subject: fourth\r\nMessage-ID: <4@x>\r\n\r\nFour.\r\n",
    ));
    assert_eq!(bench.fetch().await.summary().stored, 1);
    assert_eq!(bench.archive().len(), 6);
    let bench = bench.deleting();
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.stored, summary.deleted), (0, 6));
    assert!(bench.server.maildrop().is_empty());
    bench.assert_safe("one id");
}

/// An id of which there was one message gets a second: both are fetched, neither twice.
#[tokio::test]
async fn an_id_that_is_doubled_later_loses_nothing() {
    let first = Message::new(
        "same",
        "Subject: first\r\nMessage-ID: <1@x>\r\n\r\nOne.\r\n",
    );
    let second = Message::new(
        "same",
        "Subject: second\r\nMessage-ID: <2@x>\r\n\r\nTwo.\r\n",
    );
    let bench = Bench::new(vec![first.clone()], Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 1);
    bench.server.deliver(second.clone());
    bench.fetch().await.summary();
    bench.fetch().await.summary();
    bench.assert_archived(&[first, second]);
    let bench = bench.deleting();
    bench.fetch().await.summary();
    bench.assert_safe("doubled");
    assert_eq!(bench.archive().len(), 2);
}

/// After a migration every message has another unique-id. What is archived is recognised by its
/// header, not downloaded.
#[tokio::test]
async fn ids_that_change_overnight_bring_no_second_copies() {
    let all = messages(12);
    let bench = Bench::new(all.clone(), Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 12);
    bench.server.rename_ids(|id| [b"new-", id].concat());
    let late = Message::new(
        "late",
        "Subject: late\r\nMessage-ID: <late@x>\r\n\r\nLate.\r\n",
    );
    bench.server.deliver(late.clone());
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.recognised, summary.stored), (12, 1));
    assert_eq!(bench.count("RETR"), 13);
    let tops = bench.count("TOP");
    assert!(tops >= 12);
    // From now on the new ids are known.
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.recognised, summary.stored), (0, 0));
    assert_eq!((bench.count("RETR"), bench.count("TOP")), (13, tops));
    let mut expected = all;
    expected.push(late);
    bench.assert_archived(&expected);
}

/// Recognised by the header is not enough to delete: the octets are compared first.
#[tokio::test]
async fn a_recognised_message_is_deleted_only_when_its_octets_are_archived() {
    let all = messages(5);
    let bench = Bench::new(all.clone(), Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 5);
    bench.server.rename_ids(|id| [b"new-", id].concat());
    let bench = bench.deleting();
    for _ in 0..3 {
        bench.fetch().await.summary();
        bench.assert_safe("renamed");
    }
    assert!(bench.server.maildrop().is_empty());
    bench.assert_archived(&all);
}

/// Same header, same size, another body: a message that only looks like one in the archive.
#[tokio::test]
async fn a_message_that_only_looks_archived_is_not_lost() {
    let with = |body: &str| format!("Subject: twin\r\nMessage-ID: <twin@x>\r\n\r\n{body}\r\n");
    let old = vec![
        Message::new("a", with("body one")),
        Message::new("b", "Subject: b\r\nMessage-ID: <b@x>\r\n\r\nB.\r\n"),
    ];
    let bench = Bench::new(old.clone(), Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 2);
    let (store, state) = (bench.store.clone(), bench.world.state.clone());
    // The server is another one, where that account was moved to.
    let new = vec![
        Message::new("x", with("body TWO")),
        Message::new("y", old[1].bytes.clone()),
    ];
    let mut moved = Bench::with_store(new.clone(), Quirks::default(), store).await;
    moved.world.state = state;
    let moved = moved.deleting();
    for _ in 0..3 {
        moved.fetch().await.summary();
        moved.assert_safe("twin");
    }
    moved.assert_archived(&[old[0].clone(), old[1].clone(), new[0].clone()]);
    assert!(moved.server.maildrop().is_empty());
}

/// Who removed a message here does not want it again, by whatever account name it comes.
#[tokio::test]
async fn what_was_removed_here_is_relearnt_and_not_deleted_there() {
    let all = messages(3);
    let mut bench = Bench::new(all.clone(), Quirks::default()).await;
    bench.fetch().await.summary();
    let mailbox = bench.mailbox().expect("a mailbox");
    let page = bench
        .store
        .ledger(mailbox, &bench.account.name, None, 10)
        .await
        .expect("listed");
    let first = page[0].message.as_ref().expect("there").unique_id;
    let removed = bench.store.remove(mailbox, &[first]).await;
    removed.expect("removed");
    bench.account.name = "renamed".to_owned();
    bench.options.relearn = true;
    bench.options.limit = Some(0);
    assert_eq!(bench.fetch().await.summary().recognised, 3);
    bench.options.relearn = false;
    bench.options.limit = None;
    bench = bench.deleting();
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.stored, summary.deleted), (0, 2));
    assert_eq!(bench.server.maildrop(), all[..1]);
}
