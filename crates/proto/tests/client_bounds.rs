//! What a server can do to a client's session: nothing that was not asked for.

use proptest::prelude::*;
use restante_proto::client::{Asked, Command, Event, Fault, Limit, Session};
use restante_proto::dot::Encoder;
use restante_proto::limits::{
    CAPABILITY_LINES, INPUT_OCTETS, LISTING_LINE_OCTETS, REPLY_LINE_OCTETS,
};

/// What came of some bytes: events in words, a body apart.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    events: Vec<String>,
    body: Vec<u8>,
    fault: bool,
}

/// Feeds `wire` in pieces of `piece` octets, as far as it is taken.
fn run(session: &mut Session, wire: &[u8], piece: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for mut piece in wire.chunks(piece) {
        while !piece.is_empty() {
            let took = session.feed(piece);
            assert!(took > 0, "no room, and nothing to do");
            piece = &piece[took..];
            loop {
                match session.advance() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => {
                        outcome.fault = true;
                        return outcome;
                    }
                }
                match session.event().expect("an event") {
                    Event::Chunk(bytes) => {
                        assert!(!bytes.is_empty() && bytes.len() <= INPUT_OCTETS);
                        outcome.body.extend_from_slice(bytes);
                    }
                    other => outcome.events.push(format!("{other:?}")),
                }
            }
        }
    }
    outcome
}

fn greeted(commands: &[Command<'_>]) -> Session {
    let mut session = Session::new();
    session.feed(b"+OK\r\n");
    assert_eq!(session.advance(), Ok(true));
    for command in commands {
        session.push(command).expect("a command");
    }
    session
}

/// RFC 1939 §3, from a server that sends what it stores and ends lines in CRLF: a bare LF is like any
/// other octet to it.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut line_start = true;
    for (at, &octet) in message.iter().enumerate() {
        if line_start && octet == b'.' {
            wire.push(b'.');
        }
        wire.push(octet);
        line_start = octet == b'\n' && at > 0 && message[at - 1] == b'\r';
    }
    if !line_start {
        wire.extend(b"\r\n");
    }
    wire.extend(b".\r\n");
    wire
}

/// Made of what a forger would use.
fn message() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&[u8]; 11] = [
        b"\n",
        b"\r\n",
        b"\r",
        b".",
        b".\n",
        b".\r\n",
        b"+OK\r\n",
        b"+OK forged\n",
        b"-ERR forged\r\n",
        b"a",
        b"\0\xff",
    ];
    let part = proptest::sample::select(&PARTS[..]);
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The only replies are the server's, whatever the message says and however it is cut. One that reads
    /// like two ends the session, if more was asked for than it.
    #[test]
    fn no_message_speaks_for_the_server(message in message(), piece in 1usize..50) {
        let mut wire = b"+OK\r\n".to_vec();
        wire.extend(stuffed(&message));
        wire.extend(b"-ERR from the server\r\n");
        let mut session = greeted(&[Command::Retr(1), Command::Noop]);
        let outcome = run(&mut session, &wire, piece);
        if outcome.fault {
            prop_assert_eq!(outcome.events.len(), 1, "{:?}", outcome.events);
            let alone = &wire[..wire.len() - b"-ERR from the server\r\n".len()];
            let outcome = run(&mut greeted(&[Command::Retr(1)]), alone, piece);
            prop_assert!(!outcome.fault);
            prop_assert_eq!(outcome.events.len(), 2, "{:?}", outcome.events);
        } else {
            prop_assert_eq!(outcome.events.len(), 3, "{:?}", outcome.events);
            prop_assert!(outcome.events[2].contains("Negative(Noop"));
            prop_assert_eq!(session.due(), 0);
        }
    }

    /// Behind the server's own trace fields every octet is as it was.
    #[test]
    fn a_message_comes_as_it_is(message in message(), piece in 1usize..50) {
        let mut message = [b"Received: here\r\n", &message[..]].concat();
        if !message.ends_with(b"\r\n") {
            message.extend(b"\r\n");
        }
        let wire = [b"+OK\r\n", &stuffed(&message)[..]].concat();
        let outcome = run(&mut greeted(&[Command::Retr(1)]), &wire, piece);
        prop_assert_eq!(outcome.body, message);
        prop_assert_eq!(outcome.events.len(), 2);
    }

    /// And so through our own server's encoder, which makes all line ends CRLF.
    #[test]
    fn our_own_messages_come_through(message in message(), piece in 1usize..50) {
        let mut wire = b"+OK\r\n".to_vec();
        let mut encoder = Encoder::new();
        encoder.push(&message, &mut wire);
        encoder.finish(&mut wire);
        wire.extend(b"+OK\r\n");
        let outcome = run(&mut greeted(&[Command::Top(1, 9), Command::Noop]), &wire, piece);
        prop_assert!(!outcome.fault);
        prop_assert_eq!(outcome.events.len(), 3);
    }

    /// However bytes are cut, they mean the same; and no bytes make it panic.
    #[test]
    fn cuts_mean_nothing(wire in prop_oneof![message(), proptest::collection::vec(any::<u8>(), 0..300)],
                         piece in 1usize..50) {
        let commands = [Command::Capa, Command::Stat, Command::List, Command::UidlOne(1), Command::Retr(1),
                        Command::Auth("PLAIN", None), Command::Quit];
        for from in 0..commands.len() {
            let whole = run(&mut greeted(&commands[from..]), &wire, usize::MAX);
            let cut = run(&mut greeted(&commands[from..]), &wire, piece);
            prop_assert_eq!(whole, cut);
        }
    }
}

fn endless(command: &Command<'_>, head: &str, piece: &[u8]) -> Limit {
    let mut session = greeted(std::slice::from_ref(command));
    session.limit_bodies(Some(1 << 20));
    session.feed(head.as_bytes());
    let mut fed = 0usize;
    loop {
        match session.advance() {
            Ok(true) => {}
            Ok(false) => {
                assert!(session.feed(piece) > 0);
                fed += piece.len();
                assert!(fed < 4 << 20, "no end");
            }
            Err(Fault::Limit(limit)) => return limit,
            Err(fault) => panic!("{fault}"),
        }
    }
}

#[test]
fn everything_has_an_end() {
    let x = [b'x'; 1000];
    assert_eq!(endless(&Command::Noop, "+OK", &x), Limit::StatusLine);
    assert_eq!(endless(&Command::Noop, "", &x), Limit::StatusLine);
    assert_eq!(
        endless(&Command::Auth("PLAIN", None), "+ ", &x),
        Limit::StatusLine
    );
    assert_eq!(endless(&Command::List, "+OK\r\n1 ", &x), Limit::ListingLine);
    assert_eq!(endless(&Command::Uidl, "+OK\r\n", &x), Limit::ListingLine);
    assert_eq!(
        endless(&Command::Capa, "+OK\r\n", b"X\r\n"),
        Limit::CapabilityLines
    );
    assert_eq!(endless(&Command::Retr(1), "+OK\r\n", &x), Limit::BodyOctets);
    assert_eq!(
        endless(&Command::Top(1, 0), "+OK\r\n", b"\r\n"),
        Limit::BodyOctets
    );
}

#[test]
fn lines_may_be_as_long_as_the_limits() {
    for (most, command, head) in [
        (REPLY_LINE_OCTETS, Command::Noop, ""),
        (LISTING_LINE_OCTETS, Command::Uidl, "+OK\r\n"),
    ] {
        for (more, fault) in [(0, false), (1, true)] {
            let start = if head.is_empty() { "+OK " } else { "1 " };
            let text = "x".repeat(most - start.len() - 2 + more);
            let wire = format!("{head}{start}{text}\r\n");
            for piece in [1000, wire.len()] {
                let outcome = run(
                    &mut greeted(std::slice::from_ref(&command)),
                    wire.as_bytes(),
                    piece,
                );
                assert_eq!(outcome.fault, fault, "{most} and {more}");
            }
        }
    }
    let lines = "X\r\n".repeat(CAPABILITY_LINES as usize);
    let wire = format!("+OK\r\n{lines}.\r\n");
    assert!(!run(&mut greeted(&[Command::Capa]), wire.as_bytes(), 999).fault);
}

#[test]
fn a_session_is_over_after_a_fault() {
    let mut session = greeted(&[Command::Noop, Command::Noop]);
    session.feed(b"what\r\n+OK\r\n");
    let fault = session.advance().expect_err("no status line");
    assert!(matches!(
        fault,
        Fault::Desync {
            due: Some(Asked::Noop),
            ..
        }
    ));
    assert_eq!(session.advance(), Err(fault));
    assert_eq!(session.event(), None);
    assert!(session.over_tls().is_none());
}

#[test]
fn a_password_is_nowhere_to_be_seen() {
    let secret = "tanstaaf".into();
    let session = greeted(&[Command::User("tim"), Command::Pass(&secret)]);
    assert!(session.output().ends_with(b"PASS tanstaaf\r\n"));
    assert!(!format!("{session:?}").contains("tanstaaf"));
    let mut session = session;
    session.sent(session.output().len());
    assert!(session.output().is_empty());
}
