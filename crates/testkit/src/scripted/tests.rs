//! The server by itself, asked octet by octet.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Sends all of `input` at once and reads to the end, or until nothing comes for a moment.
async fn ask(server: &ScriptedServer, input: &str) -> String {
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("connected");
    stream.write_all(input.as_bytes()).await.expect("sent");
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    let patience = Duration::from_millis(300);
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(patience, stream.read(&mut some)).await {
        all.extend_from_slice(&some[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

const LOGIN: &str = "USER ann\r\nPASS correct horse\r\n";

async fn started(count: usize, quirks: Quirks) -> ScriptedServer {
    let server = ScriptedServer::start(messages(count), quirks).await;
    server.expect("the server starts")
}

fn session(commands: &str) -> String {
    format!("{LOGIN}{commands}")
}

#[tokio::test]
async fn by_default_it_is_rfc_1939() {
    let server = started(3, Quirks::default()).await;
    let all = server.maildrop();
    let said = ask(
        &server,
        &session("STAT\r\nLIST 2\r\nUIDL\r\nDELE 2\r\nRETR 2\r\nRETR 3\r\nTOP 1 1\r\nQUIT\r\n"),
    )
    .await;
    let octets: usize = all.iter().map(|message| message.bytes.len()).sum();
    let third = String::from_utf8(all[2].bytes.clone()).expect("text");
    let stuffed = third.replace("\r\n.", "\r\n..");
    let first = String::from_utf8(all[0].bytes.clone()).expect("text");
    let header = first.split_inclusive("\r\n\r\n").next().expect("a header");
    let expected = format!(
        "+OK scripted server ready\r\n+OK send PASS\r\n+OK maildrop ready\r\n+OK 3 {octets}\r\n\
         +OK 2 {}\r\n+OK\r\n1 uid-1\r\n2 uid-2\r\n3 uid-3\r\n.\r\n+OK deleted\r\n\
         -ERR no such message\r\n+OK {} octets\r\n{stuffed}.\r\n+OK {} octets\r\n{header}\
         This is message 1.\r\n.\r\n+OK bye\r\n",
        all[1].bytes.len(),
        third.len(),
        header.len() + 20,
    );
    assert_eq!(said, expected);
    assert_eq!(server.deleted(), all[1..2]);
    assert_eq!(server.maildrop().len(), 2);
    assert_eq!(server.lines("RETR"), ["RETR 2", "RETR 3"]);
    assert_eq!(server.sessions(), 1);
}

#[tokio::test]
async fn nothing_goes_without_quit() {
    let server = started(2, Quirks::default()).await;
    ask(&server, &session("DELE 1\r\n")).await;
    assert_eq!((server.maildrop().len(), server.deleted()), (2, vec![]));
    server.change(|quirks| quirks.quit = Quit::Refuses);
    ask(&server, &session("DELE 1\r\nQUIT\r\n")).await;
    assert_eq!((server.maildrop().len(), server.deleted()), (2, vec![]));
    server.change(|quirks| quirks.quit = Quit::DeletesAndCloses);
    let said = ask(&server, &session("DELE 1\r\nQUIT\r\n")).await;
    assert!(said.ends_with("+OK deleted\r\n"), "{said}");
    assert_eq!(server.deleted().len(), 1);
}

#[tokio::test]
async fn it_cuts_where_it_is_told_and_only_as_often() {
    let cuts = vec![Cut::Octets(30), Cut::Replies(2)];
    let server = started(
        1,
        Quirks {
            cuts,
            ..Quirks::default()
        },
    )
    .await;
    let said = ask(&server, LOGIN).await;
    assert_eq!(said, "+OK scripted server ready\r\n+OK");
    let said = ask(&server, LOGIN).await;
    assert_eq!(said, "+OK scripted server ready\r\n+OK send PASS\r\n");
    assert_eq!(server.octets_sent(), 30 + 42);
    let said = ask(&server, &session("QUIT\r\n")).await;
    assert!(said.ends_with("+OK bye\r\n"), "{said}");
}

#[tokio::test]
async fn it_says_what_a_test_wants_as_often_as_it_wants() {
    let quirks = Quirks {
        instead: vec![
            Instead::say("STAT", "+OK 0 0\r\n").once(),
            Instead::refuse("RETR 2", "[SYS/TEMP] later"),
            Instead::refuse("UIDL", "no").and_close(),
        ],
        unknown: vec!["TOP"],
        ..Quirks::default()
    };
    let server = started(2, quirks).await;
    let said = ask(
        &server,
        &session("STAT\r\nSTAT\r\nRETR 2\r\nTOP 1 0\r\nUIDL\r\nNOOP\r\n"),
    )
    .await;
    let lines: Vec<_> = said.lines().skip(3).collect();
    assert_eq!(lines[0], "+OK 0 0");
    assert!(lines[1].starts_with("+OK 2 "));
    let rest = ["-ERR [SYS/TEMP] later", "-ERR unknown command", "-ERR no"];
    assert_eq!(lines[2..], rest);
}

#[tokio::test]
async fn pipelining_goes_wrong_on_request() {
    let server = started(2, Quirks::default()).await;
    server.change(|quirks| quirks.one_command_a_read = true);
    let said = ask(&server, LOGIN).await;
    assert_eq!(said, "+OK scripted server ready\r\n+OK send PASS\r\n");
    server.change(|quirks| quirks.closes_on_pipelining = true);
    assert_eq!(ask(&server, LOGIN).await, "+OK scripted server ready\r\n");
    server.change(|quirks| {
        *quirks = Quirks {
            out_of_order: true,
            ..Quirks::default()
        }
    });
    let said = ask(&server, &session("RETR 1\r\nRETR 2\r\nNOOP\r\n")).await;
    let at = |text: &str| said.find(text).expect("is there");
    assert!(at("This is message 2.") < at("This is message 1."));
    assert!(said.ends_with("+OK here\r\n"));
}

#[tokio::test]
async fn line_ends_and_dots_come_as_told() {
    let bytes = b"Subject: a\r\n\r\n.x\r\n..y\r\n".to_vec();
    let server = ScriptedServer::start(vec![Message::new("a b", bytes)], Quirks::default());
    let server = server.await.expect("the server starts");
    server.change(|quirks| {
        quirks.unstuffed = true;
        quirks.lf_terminator = true;
        quirks.extra_spaces = true;
    });
    let said = ask(&server, &session("UIDL\r\nRETR 1\r\n")).await;
    assert!(said.contains("\r\n1   a b  \r\n.\r\n"), "{said}");
    assert!(said.ends_with("\r\n.x\r\n..y\r\n.\n"), "{said}");
    server.change(|quirks| quirks.lf_only = true);
    let said = ask(&server, &session("RETR 1\r\n")).await;
    assert!(
        said.ends_with("\n.x\n..y\n.\n") && !said.contains('\r'),
        "{said}"
    );
}

#[tokio::test]
async fn a_window_shows_the_oldest_and_hides_what_was_retrieved() {
    let quirks = Quirks {
        window: Some(2),
        hides_retrieved: true,
        ..Quirks::default()
    };
    let server = started(3, quirks).await;
    let said = ask(&server, &session("RETR 1\r\nUIDL\r\nQUIT\r\n")).await;
    assert!(
        said.contains("+OK\r\n1 uid-1\r\n2 uid-2\r\n.\r\n"),
        "{said}"
    );
    let said = ask(&server, &session("UIDL\r\nQUIT\r\n")).await;
    assert!(
        said.contains("+OK\r\n1 uid-2\r\n2 uid-3\r\n.\r\n"),
        "{said}"
    );
    assert_eq!(server.maildrop().len(), 3);
}

#[tokio::test]
async fn sasl_takes_what_is_right_and_nothing_else() {
    let quirks = Quirks {
        token: Some("ya29.token"),
        ..Quirks::default()
    };
    let server = started(1, quirks).await;
    // \0ann\0correct horse
    let said = ask(
        &server,
        "AUTH PLAIN\r\nAGFubgBjb3JyZWN0IGhvcnNl\r\nQUIT\r\n",
    )
    .await;
    assert!(
        said.ends_with("+ \r\n+OK maildrop ready\r\n+OK bye\r\n"),
        "{said}"
    );
    let said = ask(&server, "AUTH PLAIN AGFubgBjb3JyZWN0IGhvcnN=\r\n").await;
    assert!(said.contains("-ERR [AUTH]"), "{said}");
    // user=ann\x01auth=Bearer ya29.token\x01\x01
    let token = "dXNlcj1hbm4BYXV0aD1CZWFyZXIgeWEyOS50b2tlbgEB";
    let said = ask(&server, &format!("AUTH XOAUTH2\r\n{token}\r\n")).await;
    assert!(said.ends_with("+OK maildrop ready\r\n"), "{said}");
    let said = ask(&server, "AUTH XOAUTH2\r\nYQ==\r\n\r\n").await;
    assert!(
        said.contains("+ eyJ") && said.contains("-ERR [AUTH]"),
        "{said}"
    );
}

#[tokio::test]
async fn what_never_ends_does_not_end() {
    for (endless, command) in [
        (Endless::Capabilities, "CAPA"),
        (Endless::Listing, "LIST"),
        (Endless::UniqueIds, "UIDL"),
        (Endless::Line, "UIDL"),
        (Endless::Message, "RETR 1"),
        (Endless::Status, "STAT"),
    ] {
        let endless = Some(endless);
        let server = started(
            1,
            Quirks {
                endless,
                ..Quirks::default()
            },
        )
        .await;
        let mut stream = TcpStream::connect(server.address())
            .await
            .expect("connected");
        let input = session(&format!("{command}\r\n"));
        stream.write_all(input.as_bytes()).await.expect("sent");
        let mut read = vec![0; 1_000_000];
        stream
            .read_exact(&mut read)
            .await
            .expect("a megabyte, and more");
    }
}
