//! Connections that break, and QUITs that fail.

use std::sync::Arc;

use restante_store::embedded::{EmbeddedStore, Options};
use restante_testkit::scripted::{Cut, Quirks, Quit, messages};

use crate::bench::Bench;

/// After the cut nothing is lost; the next fetch finishes the job, and nothing is there twice.
async fn survives(cut: Cut, keep: bool) -> bool {
    let what = format!("{cut:?}");
    let all = messages(6);
    let quirks = Quirks {
        cuts: vec![cut],
        ..Quirks::default()
    };
    let mut bench = Bench::new(all.clone(), quirks).await;
    if !keep {
        bench = bench.deleting();
    }
    let first = bench.fetch().await;
    bench.assert_safe(&what);
    for bytes in bench.archive() {
        assert!(
            all.iter().any(|m| m.bytes == bytes),
            "{what}: a message that never was"
        );
    }
    let reached = first.outcome.is_ok() && bench.server.sessions() == 1;
    bench.fetch().await.summary();
    bench.assert_safe(&what);
    bench.assert_archived(&all);
    assert_eq!(bench.server.maildrop().is_empty(), !keep, "{what}");
    reached
}

#[tokio::test]
async fn a_cut_after_any_reply_costs_nothing() {
    for keep in [false, true] {
        let mut untouched = false;
        for replies in 1..60 {
            untouched = survives(Cut::Replies(replies), keep).await;
            if untouched {
                break;
            }
        }
        assert!(untouched, "a session has fewer replies than that");
    }
}

/// In the middle of a status line, of a message, of the terminator.
#[tokio::test]
async fn a_cut_after_any_octet_costs_nothing() {
    let mut octets = 1;
    while !survives(Cut::Octets(octets), false).await {
        octets += 37;
        assert!(octets < 20_000, "a session has fewer octets than that");
    }
}

/// One message, cut at each octet of its reply: it is whole or it is not there.
#[tokio::test]
async fn a_message_that_is_cut_off_is_never_taken_for_a_whole_one() {
    let all = messages(3).split_off(2);
    for octets in 0..u64::MAX {
        let quirks = Quirks {
            cuts: vec![Cut::Octets(180 + octets)],
            ..Quirks::default()
        };
        let bench = Bench::new(all.clone(), quirks).await;
        let told = bench.fetch().await;
        let archive = bench.archive();
        assert!(
            archive.is_empty() || archive == [all[0].bytes.clone()],
            "after {octets}"
        );
        if told.outcome.is_ok() && bench.server.sessions() == 1 {
            break;
        }
    }
}

/// Every connection breaks inside a message: the fetch ends, and does not go round and round.
#[tokio::test]
async fn connections_that_always_break_end_the_fetch() {
    let all = messages(6);
    let quirks = Quirks {
        cuts: vec![Cut::Octets(1_200); 100],
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let _ = bench.fetch().await;
    let sessions = bench.server.sessions();
    assert!(sessions < 20, "{sessions} connections");
    bench.assert_safe("cut and cut again");
    bench.server.change(|quirks| quirks.cuts.clear());
    bench.fetch().await.summary();
    bench.assert_archived(&all);
    assert!(bench.server.maildrop().is_empty());
}

/// Deleted or not, said or not: nothing comes twice, nothing is lost.
#[tokio::test]
async fn a_quit_that_fails_brings_no_second_copy() {
    for quit in [
        Quit::DeletesSilently,
        Quit::DeletesAndCloses,
        Quit::DeletesAndDenies,
        Quit::Refuses,
        Quit::Hangs,
    ] {
        let all = messages(5);
        let quirks = Quirks {
            quit,
            ..Quirks::default()
        };
        let bench = Bench::new(all.clone(), quirks).await.deleting();
        for _ in 0..2 {
            let told = bench.fetch().await;
            if let Ok(summary) = &told.outcome {
                assert_eq!(summary.deleted, 0, "{quit:?}: nobody confirmed it");
            }
            bench.assert_safe(&format!("{quit:?}"));
        }
        bench.server.change(|quirks| quirks.quit = Quit::Deletes);
        bench.fetch().await.summary();
        assert!(bench.server.maildrop().is_empty(), "{quit:?}");
        bench.assert_archived(&all);
        assert_eq!(bench.count("RETR"), 5, "{quit:?}");
    }
}

/// The same on the store that keeps mail: cut at replies, the store opened anew each time.
#[tokio::test]
async fn cuts_cost_nothing_in_the_embedded_store() {
    for replies in (3..40).step_by(4) {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || {
            let store = EmbeddedStore::open(folder.path(), Options::default());
            Arc::new(store.expect("the store opens"))
        };
        let all = messages(8);
        let quirks = Quirks {
            cuts: vec![Cut::Replies(replies)],
            ..Quirks::default()
        };
        let mut bench = Bench::with_store(all.clone(), quirks, open())
            .await
            .deleting();
        let _ = bench.fetch().await;
        bench.assert_safe("first");
        // Nothing of the first life is left but its files.
        let nothing: Arc<dyn restante_store::MailStore> =
            restante_testkit::MemoryStore::new().shared();
        bench.store = Arc::clone(&nothing);
        bench.world.store = Some(nothing);
        let store = open();
        bench.store = store.clone();
        bench.world.store = Some(store);
        bench.fetch().await.summary();
        bench.assert_safe("second");
        bench.assert_archived(&all);
        assert!(bench.server.maildrop().is_empty());
    }
}
