//! The bytes of messages, as servers garble them.

use std::time::Duration;

use restante_testkit::scripted::{Instead, Message, Quirks, Sizes, messages};

use crate::bench::Bench;

/// A server of Unix: every line ends in LF alone, the terminator too. Kept as sent.
#[tokio::test]
async fn lines_that_end_in_lf_alone_are_taken() {
    let all = messages(4);
    let quirks = Quirks {
        lf_only: true,
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.stored, summary.deleted), (4, 4));
    let sent = all.into_iter().map(|message| {
        let text = String::from_utf8(message.bytes).expect("text");
        Message::new(message.id, text.replace("\r\n", "\n"))
    });
    bench.assert_archived(&sent.collect::<Vec<_>>());
}

/// A dot and LF among lines that end in CRLF might be text: it ends the message when nothing more comes.
#[tokio::test]
async fn a_terminator_that_ends_in_lf_alone_ends_a_message() {
    let all = messages(2);
    let quirks = Quirks {
        lf_terminator: true,
        ..Quirks::default()
    };
    let mut bench = Bench::new(all.clone(), quirks).await.deleting();
    bench.account.server.timeout = Duration::from_secs(5);
    assert_eq!(bench.fetch().await.summary().stored, 2);
    bench.assert_archived(&all);
    assert_eq!(bench.server.deleted().len(), 2);
}

/// CRLF here, bare LF there, in bodies and terminators of one session: what one message is and what the next
/// is told with one command at a time.
#[tokio::test]
async fn mixed_line_ends_never_make_one_message_of_two() {
    let all = vec![
        Message::new("1", "Subject: 1\r\n\r\nall CRLF\r\n"),
        // As a file of Unix behind a header of the server's own: the terminator follows a bare LF.
        Message::new("2", "Subject: 2\r\n\r\nbare\nLF\n"),
        Message::new("3", "Subject: 3\r\n\r\nends in a dot and LF\r\n"),
        Message::new("4", "Subject: 4\n\nall LF\n"),
        // Text that looks like all that.
        Message::new(
            "5",
            "Subject: 5\r\n\r\nquoted:\n.\r\n+OK 9 octets\r\nend\r\n",
        ),
        Message::new("6", "Subject: 6\r\n\r\nlast\r\n"),
    ];
    let quirks = Quirks {
        instead: vec![
            Instead::say(
                "RETR 3",
                "+OK\r\nSubject: 3\r\n\r\nends in a dot and LF\r\n.\n",
            ),
            // To a server with CRLF, what stands behind a bare LF is no line's start.
            Instead::say(
                "RETR 5",
                "+OK\r\nSubject: 5\r\n\r\nquoted:\n.\r\n+OK 9 octets\r\nend\r\n.\r\n",
            ),
        ],
        ..Quirks::default()
    };
    let mut bench = Bench::new(all.clone(), quirks).await.deleting();
    bench.account.server.timeout = Duration::from_secs(5);
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.stored, summary.deleted), (6, 6));
    assert!(summary.set_aside.is_empty());
    bench.assert_archived(&all);
    bench.assert_safe("mixed");
}

/// Where neither the listing nor the line ends tell, a message is set aside, and the others come.
#[tokio::test]
async fn a_message_whose_end_nobody_can_tell_is_set_aside() {
    let all = vec![
        Message::new("1", "Subject: 1\r\n\r\nfirst\r\n"),
        Message::new("2", "Subject: 2\r\n\r\nbare\nLF\n"),
        Message::new("3", "Subject: 3\r\n\r\nthird\r\n"),
    ];
    let quirks = Quirks {
        sizes: Sizes::All(7),
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let told = bench.fetch().await;
    let summary = told.summary();
    assert_eq!(summary.set_aside.len(), 1);
    assert_eq!(summary.set_aside[0].remote_id, b"2");
    bench.assert_archived(&[all[0].clone(), all[2].clone()]);
    assert_eq!(bench.server.maildrop(), all[1..2]);
}

/// One dot goes only where there are two.
#[tokio::test]
async fn a_lone_dot_that_was_not_stuffed_is_kept() {
    let bytes = "Subject: dots\r\n\r\n.x\r\n.\tb\r\ntext\r\n";
    let all = vec![
        Message::new("1", bytes),
        Message::new("2", ".Received: at the very start\r\n\r\nbody\r\n"),
    ];
    let quirks = Quirks {
        unstuffed: true,
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await;
    assert_eq!(bench.fetch().await.summary().stored, 2);
    bench.assert_archived(&all);
}

/// Stuffing done right: all octets come back, those of lines that are dots too.
#[tokio::test]
async fn stuffed_dots_come_back_as_they_were() {
    let all = vec![
        Message::new("1", ".\r\n..\r\n...\r\n.x\r\n\r\n.\r\n"),
        Message::new("2", "\r\n"),
        Message::new("3", b"Subject: \0\xff\r\n\r\nbare\rcr\r\n".to_vec()),
        Message::new("4", b"Subject: 8\r\n\r\n\xe4\xf6\xfc\0\r\n.\r\n".to_vec()),
    ];
    let bench = Bench::new(all.clone(), Quirks::default()).await.deleting();
    assert_eq!(bench.fetch().await.summary().deleted, 4);
    bench.assert_archived(&all);
}

/// One refusal loses neither the batch nor the session, and is no deletion.
#[tokio::test]
async fn a_message_that_cannot_be_had_is_set_aside_and_the_rest_goes_on() {
    let all = messages(6);
    let quirks = Quirks {
        instead: vec![
            Instead::refuse("RETR 2", "[SYS/TEMP] cannot read it now"),
            Instead::refuse("RETR 5", "it is gone, and was never there"),
        ],
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.stored, summary.deleted), (4, 4));
    let aside: Vec<_> = summary
        .set_aside
        .iter()
        .map(|a| a.remote_id.clone())
        .collect();
    assert_eq!(aside, [b"uid-2".to_vec(), b"uid-5".to_vec()]);
    assert!(summary.set_aside[0].error.contains("cannot read it now"));
    assert_eq!(bench.server.maildrop().len(), 2);
    bench.server.change(|quirks| quirks.instead.clear());
    let summary = bench.fetch().await.summary();
    assert_eq!((summary.stored, summary.set_aside.len()), (2, 0));
    bench.assert_archived(&all);
    assert!(bench.server.maildrop().is_empty());
}

/// A refused DELE loses nothing; it is asked again.
#[tokio::test]
async fn a_deletion_that_is_refused_is_made_another_time() {
    let all = messages(3);
    let quirks = Quirks {
        instead: vec![Instead::refuse("DELE 2", "no")],
        ..Quirks::default()
    };
    let bench = Bench::new(all.clone(), quirks).await.deleting();
    let _ = bench.fetch().await;
    bench.assert_safe("refused");
    bench.server.change(|quirks| quirks.instead.clear());
    bench.fetch().await.summary();
    assert!(bench.server.maildrop().is_empty());
    bench.assert_archived(&all);
    assert_eq!(bench.count("RETR"), 3);
}

/// Larger than `max_size`: the header only, which counts for nothing and permits no DELE.
#[tokio::test]
async fn a_header_alone_is_no_message() {
    let large = format!(
        "Subject: large\r\nMessage-ID: <l@x>\r\n\r\n{}",
        "line\r\n".repeat(2_000)
    );
    let mut all = messages(2);
    all.push(Message::new("large", large));
    let mut bench = Bench::new(all.clone(), Quirks::default()).await.deleting();
    bench.account.max_size = Some(2_000);
    for _ in 0..2 {
        let _ = bench.fetch().await;
        assert_eq!(bench.server.maildrop(), all[2..]);
        bench.assert_archived(&all[..2]);
    }
    assert_eq!(bench.count("RETR"), 2);
    bench.options.full = vec![b"large".to_vec()];
    bench.fetch().await.summary();
    bench.assert_archived(&all);
    bench.assert_safe("full");
}
