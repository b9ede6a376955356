//! The POP3 server over real sockets, on the in-memory store.

#![allow(clippy::unwrap_used)]

mod devices;
mod world;

use std::time::Duration;

use restante_access::pop3::{Options, Timeouts};
use restante_net::Pace;
use restante_store::StoreError;
use restante_testkit::memory::Op;
use world::{Client, Server, message};

fn temporary() -> StoreError {
    StoreError::Temporary("the test says so".into())
}

fn impatient() -> Options {
    Options {
        timeouts: Timeouts {
            login: Duration::from_millis(400),
            autologout: Duration::from_millis(400),
            pace: Pace {
                stall: Duration::from_millis(300),
                octets_per_second: 1 << 30,
            },
            keep_listing: Duration::from_millis(50),
        },
        ..Options::default()
    }
}

#[tokio::test]
async fn a_pipelined_session_gets_every_reply_in_order() {
    let server = Server::start(Options::default()).await;
    let mut want = String::from("+OK Restante POP3 server ready\r\n+OK send PASS\r\n");
    want += "+OK 16 messages (";
    let mut octets = 0;
    let mut bodies = String::new();
    let mut commands = String::from("USER tim\r\nPASS secret words\r\n");
    for number in 1..=16 {
        let bytes = message(number);
        server.deliver(&bytes);
        // Stored with LF: the wire has a CR more for each line.
        let wire = String::from_utf8(bytes).unwrap().replace('\n', "\r\n");
        octets += wire.len();
        let stuffed = wire.replace("\r\n.", "\r\n..");
        bodies += &format!("+OK {} octets\r\n{stuffed}.\r\n", wire.len());
        commands += &format!("RETR {number}\r\n");
    }
    commands += "QUIT\r\n";
    want += &format!("{octets} octets)\r\n{bodies}+OK bye\r\n");
    let mut client = Client::connect(&server).await;
    client.send(&commands).await;
    assert_eq!(client.rest().await, want);
    assert_eq!(server.count(), 16);
}

#[tokio::test]
async fn a_pipeline_larger_than_all_buffers_does_not_block() {
    let server = Server::start(Options::default()).await;
    for number in 0..50 {
        server.deliver(&message(number).repeat(200));
    }
    let client = Client::log_in(&server).await;
    // Some 15 MB of replies to 90 kB of commands, none of which is read while they are written.
    let mut commands = String::new();
    for round in 0..200 {
        commands += &format!("RETR {}\r\nLIST\r\nNOOP\r\n", round % 50 + 1);
    }
    commands += &"NOOP\r\n".repeat(10_000);
    commands += "QUIT\r\n";
    let (mut reader, mut writer) = client.stream.into_split();
    let writing = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        writer.write_all(commands.as_bytes()).await.unwrap();
        writer
    });
    let mut all = Vec::new();
    use tokio::io::AsyncReadExt as _;
    reader.read_to_end(&mut all).await.unwrap();
    writing.await.unwrap();
    assert!(all.ends_with(b"+OK\r\n+OK bye\r\n"));
    let oks = all.windows(5).filter(|w| w == b"\r\n+OK").count();
    assert_eq!(
        oks,
        200 * 3 + 10_000 + 1 - 1,
        "the first has nothing before it"
    );
}

#[tokio::test]
async fn nothing_goes_without_quit() {
    let server = Server::start(Options::default()).await;
    server.deliver(&message(1));
    server.deliver(&message(2));
    // Dropped.
    let mut client = Client::log_in(&server).await;
    assert_eq!(client.ask("DELE 1").await, "+OK deleted\r\n");
    drop(client);
    // Half-closed.
    let mut client = Client::log_in(&server).await;
    assert_eq!(client.ask("DELE 1").await, "+OK deleted\r\n");
    client.half_close().await;
    assert_eq!(client.rest().await, "");
    // Half-closed in the middle of QUIT.
    for part in ["QUIT", "QUIT\r", "QUI"] {
        let mut client = Client::log_in(&server).await;
        assert_eq!(client.ask("DELE 2").await, "+OK deleted\r\n");
        client.send(part).await;
        client.half_close().await;
        assert_eq!(client.rest().await, "");
    }
    assert_eq!(server.store.calls(Op::CommitDeletions), 0);
    // QUIT, then half-closed: it was a QUIT.
    let mut client = Client::log_in(&server).await;
    client.send("DELE 2\r\nQUIT\r\n").await;
    client.half_close().await;
    assert_eq!(client.rest().await, "+OK deleted\r\n+OK bye\r\n");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_failing_store_is_told_and_never_looks_empty() {
    let server = Server::start(Options::default()).await;
    server.deliver(&message(1));
    let permanent = StoreError::Permanent("the test says so".into());
    for (op, error, code) in [
        (Op::Open, temporary(), "[SYS/TEMP]"),
        (Op::Open, permanent.clone(), "[SYS/PERM]"),
        (Op::Open, StoreError::InUse, "[IN-USE]"),
        (Op::FindMailbox, temporary(), "[SYS/TEMP]"),
    ] {
        server.store.fail_next(op, error);
        let mut client = Client::connect(&server).await;
        client.line().await;
        client.ask("USER tim").await;
        let reply = client.ask("PASS secret words").await;
        assert!(reply.starts_with(&format!("-ERR {code} ")), "{reply}");
        // The same connection may try again.
        client.ask("USER tim").await;
        assert!(client.ask("PASS secret words").await.starts_with("+OK 1 "));
    }
    let mut client = Client::log_in(&server).await;
    for (op, command, code) in [
        (Op::Listing, "UIDL", "[SYS/TEMP]"),
        (Op::Body, "RETR 1", "[SYS/TEMP]"),
        (Op::BodyRead, "RETR 1", "[SYS/TEMP]"),
        (Op::BodyRead, "TOP 1 0", "[SYS/TEMP]"),
        (Op::CommitDeletions, "DELE 1\r\nQUIT", "[SYS/TEMP]"),
    ] {
        server.store.fail_next(op, temporary());
        let mut reply = client.ask(command).await;
        if reply == "+OK deleted\r\n" {
            reply = client.line().await;
        }
        assert!(
            reply.starts_with(&format!("-ERR {code} ")),
            "{command}: {reply}"
        );
    }
    assert_eq!(client.rest().await, "");
    assert_eq!(server.count(), 1, "a failed QUIT removes nothing");
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_the_connection() {
    let server = Server::start(Options::default()).await;
    let large = message(1).repeat(400_000);
    server.deliver(&large);
    let mut client = Client::log_in(&server).await;
    client.send("RETR 1\r\n").await;
    assert!(client.line().await.starts_with("+OK "));
    server.store.fail_always(Op::BodyRead, Some(temporary()));
    let rest = client.rest_bytes().await;
    assert!(!rest.ends_with(b"\r\n.\r\n"));
    assert!(rest.len() < large.len());
}

#[tokio::test]
async fn large_bodies_come_through_exactly() {
    let server = Server::start(Options::default()).await;
    let lf = [
        b".\n.dot\n".as_slice(),
        &message(3).repeat(10_000),
        b"no end",
    ]
    .concat();
    let crlf = b"A: b\r\n\r\nline\r\n".repeat(100_000);
    let one_line = vec![b'x'; 1_000_000];
    let odd = b"\0\xff\rbare\r\n".repeat(40_000);
    for bytes in [&lf, &crlf, &one_line, &odd] {
        server.deliver(bytes);
    }
    let mut client = Client::log_in(&server).await;
    for (number, bytes) in [&lf, &crlf, &one_line, &odd].iter().enumerate() {
        let got = client.retrieve(number + 1).await;
        let mut want = Vec::new();
        for &byte in *bytes {
            if byte == b'\n' && want.last() != Some(&b'\r') {
                want.push(b'\r');
            }
            want.push(byte);
        }
        if want.last() != Some(&b'\n') {
            want.extend(b"\r\n");
        }
        assert!(got == want, "message {}", number + 1);
        let list = client.ask(&format!("LIST {}", number + 1)).await;
        assert_eq!(list, format!("+OK {} {}\r\n", number + 1, want.len()));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let server = Server::start(impatient()).await;
    server.deliver(&message(1).repeat(200_000));
    let mut client = Client::log_in(&server).await;
    client.send("RETR 1\r\nDELE 1\r\nQUIT\r\n").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let rest = client.rest_bytes().await;
    assert!(!rest.ends_with(b"+OK bye\r\n"));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn half_a_command_buys_no_time() {
    let server = Server::start(impatient()).await;
    server.deliver(&message(1));
    for logged_in in [false, true] {
        let mut client = if logged_in {
            Client::log_in(&server).await
        } else {
            let mut client = Client::connect(&server).await;
            client.line().await;
            client
        };
        let start = std::time::Instant::now();
        let ended = async {
            loop {
                if client.try_send("x").await.is_err() || client.ended().await {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), ended)
            .await
            .expect("the server gives up");
        assert!(start.elapsed() >= Duration::from_millis(200));
    }
}

#[tokio::test]
async fn a_listing_is_forgotten_while_idle_and_read_again() {
    let mut options = impatient();
    options.timeouts.autologout = Duration::from_secs(30);
    options.timeouts.login = Duration::from_secs(30);
    let server = Server::start(options).await;
    server.deliver(&message(1));
    let mut client = Client::log_in(&server).await;
    let first = client.ask("UIDL 1").await;
    assert_eq!(client.ask("LIST 1").await[..6], *"+OK 1 ");
    assert_eq!(server.store.calls(Op::Listing), 1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.ask("UIDL 1").await, first);
    assert_eq!(server.store.calls(Op::Listing), 2);
}

#[tokio::test]
async fn a_drain_closes_idle_sessions_and_deletes_nothing() {
    let mut server = Server::start(Options::default()).await;
    server.deliver(&message(1));
    let mut client = Client::log_in(&server).await;
    let mut greeted = Client::connect(&server).await;
    greeted.line().await;
    assert_eq!(client.ask("DELE 1").await, "+OK deleted\r\n");
    let mut halfway = Client::log_in(&server).await;
    halfway.send("NOOP\r\nDELE").await;
    assert_eq!(halfway.line().await, "+OK\r\n");
    server.drainer.start();
    assert_eq!(client.rest().await, STOPPING);
    assert_eq!(greeted.rest().await, STOPPING);
    assert_eq!(halfway.rest().await, "");
    server.stopped().await;
    assert_eq!(server.count(), 1);
}

const STOPPING: &str = "-ERR [SYS/TEMP] server is shutting down\r\n";

#[tokio::test]
async fn a_client_that_always_sends_is_drained_and_timed_out() {
    for drained in [false, true] {
        let options = if drained {
            Options::default()
        } else {
            impatient()
        };
        let server = Server::start(options).await;
        let client = Client::connect(&server).await;
        let (mut reader, mut writer) = client.stream.into_split();
        let writing = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            let commands = "CAPA\r\n".repeat(10_000);
            while writer.write_all(commands.as_bytes()).await.is_ok() {}
        });
        let reading =
            tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
        if drained {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.drainer.start();
        }
        let ended = tokio::time::timeout(Duration::from_secs(10), writing).await;
        ended.expect("the server closes").unwrap();
        let _reset = reading.await.unwrap();
    }
}

#[tokio::test]
async fn the_mailbox_is_free_once_the_farewell_is_there() {
    let server = Server::start(Options {
        exclusive: true,
        ..Options::default()
    })
    .await;
    for _ in 0..200 {
        let mut client = Client::log_in(&server).await;
        assert_eq!(client.ask("QUIT").await, "+OK bye\r\n");
    }
}

#[tokio::test]
async fn one_connection_cannot_guess_for_ever() {
    let server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.line().await;
    let started = std::time::Instant::now();
    client.send(&"USER tim\r\nPASS wrong\r\n".repeat(100)).await;
    let rest = client.rest().await;
    assert!(
        rest.ends_with(" too many failed logins, closing\r\n"),
        "{rest}"
    );
    assert_eq!(rest.matches("-ERR").count(), 10);
    assert!(started.elapsed() >= Duration::from_secs(8));
}

#[tokio::test]
async fn exclusive_mailboxes_are_in_use() {
    let server = Server::start(Options {
        exclusive: true,
        ..Options::default()
    })
    .await;
    server.deliver(&message(1));
    let first = Client::log_in(&server).await;
    let mut second = Client::connect(&server).await;
    second.line().await;
    second.ask("USER tim").await;
    let reply = second.ask("PASS secret words").await;
    assert!(reply.starts_with("-ERR [IN-USE] "), "{reply}");
    drop(first);
    // The lock goes with the session, soon.
    for _ in 0..100 {
        second.ask("USER tim").await;
        if second.ask("PASS secret words").await.starts_with("+OK 1 ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lock outlives its session");
}

#[tokio::test]
async fn wrong_passwords_and_bad_commands_are_told_and_the_last_reply_arrives() {
    let server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.line().await;
    client.ask("USER tim").await;
    assert!(client.ask("PASS wrong").await.starts_with("-ERR [AUTH] "));
    // All at once, and more than is read: the farewell must not be lost in a reset.
    client.send(&"FOO\r\n".repeat(5_000)).await;
    let rest = client.rest().await;
    assert!(
        rest.ends_with("-ERR too many bad commands, closing\r\n"),
        "{rest}"
    );
}

#[tokio::test]
async fn all_of_a_long_listing_arrives() {
    let server = Server::start(Options::default()).await;
    for _ in 0..6_000 {
        server.deliver(b"a\n");
    }
    let mut client = Client::log_in(&server).await;
    client.send("UIDL\r\nLIST\r\nQUIT\r\n").await;
    let all = client.rest().await;
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines.len(), 2 * (6_000 + 2) + 1);
    for number in 1..=6_000 {
        assert!(lines[number].starts_with(&format!("{number} ")));
        assert_eq!(lines[number].len(), number.to_string().len() + 27);
        assert_eq!(lines[6_002 + number], format!("{number} 3"));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_session_is_small() {
    use restante_net::{Drainer, Handler as _, Peer, Stream};
    let (_folder, pop3, _store) = world::pop3(Options::default());
    let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
    let (_drainer, drain) = Drainer::new();
    let future = pop3.handle(Stream::Unix(ours), Peer::UNIX, drain);
    let octets = std::mem::size_of_val(&future);
    assert!(octets <= 2048, "{octets} octets");
}

fn with_tls(implicit_tls: bool) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let tls = restante_net::Tls::self_signed(folder.path(), b"pop3").unwrap();
    let options = Options {
        tls: Some(std::sync::Arc::new(tls)),
        implicit_tls,
        ..Options::default()
    };
    (folder, options)
}

#[tokio::test]
async fn what_comes_with_stls_is_refused_and_never_reaches_tls() {
    let (_folder, options) = with_tls(false);
    let server = Server::start(options).await;
    let mut client = Client::connect(&server).await;
    client.line().await;
    client.send("STLS\r\nUSER mallory\r\n").await;
    assert_eq!(client.rest().await, "-ERR data after STLS, closing\r\n");
    // Plain text where the handshake should be ends the connection without another reply.
    let mut client = Client::connect(&server).await;
    client.line().await;
    assert_eq!(client.ask("STLS").await, "+OK begin TLS negotiation\r\n");
    client.send("USER tim\r\nPASS secret words\r\n").await;
    assert!(!client.rest_bytes().await.starts_with(b"+OK"));
}

#[tokio::test]
async fn pop3s_says_nothing_in_the_clear() {
    let (_folder, options) = with_tls(true);
    let server = Server::start(options).await;
    let mut client = Client::connect(&server).await;
    client.send("USER tim\r\n").await;
    let rest = client.rest_bytes().await;
    assert!(!rest.windows(3).any(|w| w == b"+OK" || w == b"-ER"));
}
