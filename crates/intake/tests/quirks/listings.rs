//! STAT, LIST, UIDL and CAPA that are not as they should be.

use restante_testkit::scripted::{Instead, Message, Quirks, Sizes, messages};

use crate::bench::Bench;

/// Gmail lists TOP and PIPELINING only after login: CAPA is asked again.
#[tokio::test]
async fn capabilities_are_asked_for_again_after_login() {
    let quirks = Quirks {
        capabilities_before: Some(vec!["USER", "SASL PLAIN"]),
        ..Quirks::default()
    };
    let all = messages(5);
    let bench = Bench::new(all.clone(), quirks).await;
    assert_eq!(bench.fetch().await.summary().stored, 5);
    bench.assert_archived(&all);
    let commands = bench.server.commands();
    let login = commands
        .iter()
        .position(|c| c.line.starts_with("PASS") || c.line.starts_with("AUTH"));
    let login = login.expect("logged in");
    assert!(
        commands[login..].iter().any(|c| c.line == "CAPA"),
        "{commands:?}"
    );
}

/// No CAPA at all: RFC 1939 alone.
#[tokio::test]
async fn a_server_without_capa_is_fetched_from() {
    let quirks = Quirks {
        capabilities_before: None,
        capabilities_after: None,
        ..Quirks::default()
    };
    let all = messages(5);
    let bench = Bench::new(all.clone(), quirks).await;
    assert_eq!(bench.fetch().await.summary().stored, 5);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    bench.assert_archived(&all);
    assert_eq!(bench.count("RETR"), 5);
}

/// UIDL is asked for though nobody said that it is there.
#[tokio::test]
async fn uidl_works_though_it_is_not_advertised() {
    let quirks = Quirks {
        capabilities_before: Some(vec!["USER", "TOP"]),
        capabilities_after: Some(vec!["USER", "TOP"]),
        ..Quirks::default()
    };
    let all = messages(4);
    let bench = Bench::new(all.clone(), quirks).await;
    assert_eq!(bench.fetch().await.summary().stored, 4);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    assert_eq!(
        bench.ledger(),
        ["uid-1", "uid-2", "uid-3", "uid-4"].map(|id| id.as_bytes())
    );
    assert_eq!(bench.count("RETR"), 4);
    assert_eq!(bench.count("TOP"), 0);
    bench.assert_archived(&all);
}

/// Without UIDL the messages are told apart by their headers.
#[tokio::test]
async fn a_server_without_uidl_is_fetched_from_once() {
    let quirks = Quirks {
        capabilities_before: Some(vec!["USER", "TOP"]),
        capabilities_after: Some(vec!["USER", "TOP"]),
        unknown: vec!["UIDL"],
        ..Quirks::default()
    };
    let all = messages(4);
    let bench = Bench::new(all.clone(), quirks).await;
    assert_eq!(bench.fetch().await.summary().stored, 4);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    bench.assert_archived(&all);
    assert_eq!(bench.count("RETR"), 4);
    bench.server.deliver(Message::new(
        "late",
        "Subject: late\r\nMessage-ID: <late@x>\r\n\r\nLate.\r\n",
    ));
    assert_eq!(bench.fetch().await.summary().stored, 1);
    assert_eq!(bench.count("RETR"), 5);
    let bench = bench.deleting();
    assert_eq!(bench.fetch().await.summary().deleted, 5);
    assert!(bench.server.maildrop().is_empty());
    bench.assert_safe("without UIDL");
    assert_eq!(bench.archive().len(), 5);
}

/// TOP is not needed where unique-ids are good.
#[tokio::test]
async fn a_server_without_top_is_fetched_from() {
    let quirks = Quirks {
        unknown: vec!["TOP"],
        ..Quirks::default()
    };
    let all = messages(4);
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.stored, summary.deleted), (4, 4));
    bench.assert_archived(&all);
}

#[tokio::test]
async fn spaces_where_none_should_be_change_nothing() {
    let quirks = Quirks {
        extra_spaces: true,
        ..Quirks::default()
    };
    let all = messages(3);
    let bench = Bench::new(all.clone(), quirks).await;
    assert_eq!(bench.fetch().await.summary().stored, 3);
    assert_eq!(
        bench.ledger(),
        ["uid-1", "uid-2", "uid-3"].map(|id| id.as_bytes())
    );
    // The same ids without the spaces are the same ids.
    bench.server.change(|quirks| quirks.extra_spaces = false);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    bench.assert_archived(&all);
}

/// RFC 1939 §7 allows 1 to 70 characters from 0x21 to 0x7E. Servers do not.
#[tokio::test]
async fn unique_ids_are_octets_whatever_the_rfc_says() {
    let ids: [&[u8]; 4] = [
        &[b'x'; 300],
        b"<with two spaces@example.org>",
        b"\xe4\xf6\xfc\xff",
        b"UID:1/2;3",
    ];
    let mut all = messages(4);
    for (message, id) in all.iter_mut().zip(ids) {
        message.id = id.to_vec();
    }
    let bench = Bench::new(all.clone(), Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 4);
    let mut expected = ids.map(<[u8]>::to_vec);
    expected.sort();
    assert_eq!(bench.ledger(), expected);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    bench.assert_archived(&all);
    let bench = bench.deleting();
    assert_eq!(bench.fetch().await.summary().deleted, 4);
    assert!(bench.server.maildrop().is_empty());
}

/// LF counted as one, compressed sizes, nonsense: for planning only.
#[tokio::test]
async fn sizes_are_not_believed() {
    for sizes in [
        Sizes::LfAsOne,
        Sizes::All(1),
        Sizes::All(0),
        Sizes::All(u64::MAX),
    ] {
        let all = messages(20);
        let quirks = Quirks {
            sizes,
            ..Quirks::default()
        };
        // The sum of such sizes is for nobody to know.
        let quirks = Quirks {
            instead: vec![Instead::say("STAT", "+OK 20 1234\r\n")],
            ..quirks
        };
        let bench = Bench::new(all.clone(), quirks).await.deleting();
        let summary = bench.fetch().await.summary();
        assert_eq!((summary.stored, summary.deleted), (20, 20), "{sizes:?}");
        bench.assert_archived(&all);
    }
}

/// Nothing is reserved because STAT says so.
#[tokio::test]
async fn an_absurd_stat_is_only_a_number() {
    for stat in [
        "+OK 4000000000 9000000000000000000\r\n",
        "+OK 99999999999999999999999 99999999999999999999999\r\n",
        "+OK 0 0\r\n",
        "+OK\r\n",
        "+OK lots of mail\r\n",
    ] {
        let quirks = Quirks {
            instead: vec![Instead::say("STAT", stat)],
            ..Quirks::default()
        };
        let all = messages(3);
        let bench = Bench::new(all.clone(), quirks).await;
        // Whatever it makes of it now, it is right when the server is.
        let told = bench.fetch().await;
        bench.assert_safe(stat);
        if let Ok(summary) = told.outcome {
            assert!(summary.stored <= 3, "{stat}");
        }
        bench.server.change(|quirks| quirks.instead.clear());
        bench.fetch().await.summary();
        bench.assert_archived(&all);
        assert_eq!(bench.count("RETR"), 3, "{stat}");
    }
}

/// For a moment the maildrop seems empty. What was fetched is not fetched again.
#[tokio::test]
async fn a_maildrop_that_seems_empty_forgets_nothing() {
    let all = messages(4);
    let bench = Bench::new(all.clone(), Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 4);
    let empty = || {
        vec![
            Instead::say("STAT", "+OK 0 0\r\n"),
            Instead::say("LIST", "+OK\r\n.\r\n"),
            Instead::say("UIDL", "+OK\r\n.\r\n"),
        ]
    };
    // STAT alone, the listings alone, all of them.
    for lies in [empty()[..1].to_vec(), empty()[1..].to_vec(), empty()] {
        bench.server.change(|quirks| quirks.instead = lies);
        let _ = bench.fetch().await;
        bench.server.change(|quirks| quirks.instead.clear());
        assert_eq!(bench.fetch().await.summary().stored, 0);
        assert_eq!(bench.ledger().len(), 4);
    }
    assert_eq!(bench.count("RETR"), 4);
    bench.assert_archived(&all);
}

/// UIDL tells of some messages only: the others are neither forgotten nor fetched twice.
#[tokio::test]
async fn a_partial_unique_id_listing_forgets_nothing() {
    let all = messages(6);
    let bench = Bench::new(all.clone(), Quirks::default()).await;
    assert_eq!(bench.fetch().await.summary().stored, 6);
    for told in [0, 1, 5] {
        bench
            .server
            .change(|quirks| quirks.unique_ids_told = Some(told));
        let _ = bench.fetch().await;
    }
    bench.server.change(|quirks| quirks.unique_ids_told = None);
    assert_eq!(bench.fetch().await.summary().stored, 0);
    assert_eq!(bench.ledger().len(), 6);
    assert_eq!(bench.count("RETR"), 6);
    bench.assert_archived(&all);
}

/// The first listing is the partial one: in the end everything is there once, and nothing that is not
/// there is deleted.
#[tokio::test]
async fn a_partial_unique_id_listing_at_first_loses_nothing() {
    let all = messages(6);
    let quirks = Quirks {
        unique_ids_told: Some(2),
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let _ = bench.fetch().await;
    bench.assert_safe("told of two");
    bench.server.change(|quirks| quirks.unique_ids_told = None);
    bench.fetch().await.summary();
    bench.assert_archived(&all);
    assert!(bench.server.maildrop().is_empty());
}

/// A listing that fails is no empty maildrop, and no reason to take everything for new.
#[tokio::test]
async fn a_listing_that_fails_for_a_moment_forgets_nothing() {
    for command in ["UIDL", "LIST", "STAT"] {
        let all = messages(4);
        let bench = Bench::new(all.clone(), Quirks::default()).await.deleting();
        bench
            .server
            .change(|quirks| quirks.quit = restante_testkit::scripted::Quit::Refuses);
        let _ = bench.fetch().await;
        assert_eq!(bench.count("RETR"), 4);
        bench.server.change(|quirks| {
            quirks.quit = restante_testkit::scripted::Quit::Deletes;
            quirks.instead = vec![Instead::refuse(command, "[SYS/TEMP] try later").once()];
        });
        let _ = bench.fetch().await;
        bench.assert_safe(command);
        let _ = bench.fetch().await;
        assert_eq!(bench.fetch().await.summary().stored, 0, "{command}");
        assert_eq!(bench.count("RETR"), 4, "{command}");
        assert!(bench.server.maildrop().is_empty(), "{command}");
        bench.assert_archived(&all);
    }
}

/// More messages than fit in any one reply of a reasonable size.
#[tokio::test]
async fn a_long_listing_is_read_as_it_comes() {
    let all: Vec<_> = (0..20_000)
        .map(|number| {
            Message::new(
                format!("id-{number:06}"),
                format!("Subject: {number}\r\n\r\n"),
            )
        })
        .collect();
    let mut bench = Bench::new(all, Quirks::default()).await;
    bench.options.limit = Some(10);
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.listed, summary.stored), (20_000, 10));
    assert_eq!(bench.fetch().await.summary().stored, 10);
    assert_eq!(bench.count("RETR"), 20);
    bench.options.limit = None;
    bench.options.dry_run = true;
    assert_eq!(bench.fetch().await.summary().stored, 19_980);
    assert_eq!((bench.count("RETR"), bench.archive().len()), (20, 20));
}
