//! Whole sessions against a server made of a function from command line to reply.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod login;
mod peer;

use std::time::Duration;

use peer::{PLAIN, Peer, drain, logged_in, text};
use restante_client::{
    Closing, Connection, Credentials, Error, Event, Limit, Login, Request, Waiting, Window,
};

const WINDOW: Window = Window {
    octets: 8 << 20,
    commands: 512,
};

#[tokio::test]
async fn a_session_from_greeting_to_quit() {
    let mut session = logged_in(Peer::default()).await;
    let totals = session.stat().await.unwrap();
    assert_eq!((totals.count, totals.octets), (2, 320));
    let mut sizes = Vec::new();
    let mut listing = session.list().await.unwrap();
    while let Some(scan) = listing.next().await.unwrap() {
        sizes.push((scan.number, scan.octets));
    }
    assert_eq!(sizes, [(1, 120), (2, 200)]);
    let mut ids = Vec::new();
    let mut listing = session.unique_ids().await.unwrap();
    while let Some((number, id)) = listing.next().await.unwrap() {
        ids.push((number, id.to_vec()));
    }
    assert_eq!(ids, [(1, b"first".to_vec()), (2, b"second".to_vec())]);
    let mut body = Vec::new();
    session
        .retrieve(1, |bytes| body.extend_from_slice(bytes))
        .await
        .unwrap();
    assert_eq!(body, b"Subject: 1\r\n\r\n.dot\r\n");
    let error = session
        .retrieve(9, |_| panic!("nothing"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                command: "RETR",
                ..
            }
        ),
        "{error}"
    );
    session.delete(1).await.unwrap();
    assert!(matches!(session.quit().await, Closing::Acknowledged(_)));
}

/// Capabilities that come with login (Gmail), a listing left half-way.
#[tokio::test]
async fn capabilities_are_asked_anew_and_listings_may_be_left() {
    let mut session =
        logged_in(Peer::default().capabilities(PLAIN, "TOP\r\nUIDL\r\nPIPELINING")).await;
    assert!(!session.pipelining());
    assert!(session.capabilities().await.unwrap().has("top"));
    assert!(session.pipelining());
    let mut listing = session.list().await.unwrap();
    assert!(listing.next().await.unwrap().is_some());
    assert_eq!(session.unique_id(2).await.unwrap(), b"second");
    session.noop().await.unwrap();
}

#[tokio::test]
async fn a_survey_goes_in_one_write() {
    let peer = Peer::default();
    let writes = peer.reads();
    let session = logged_in(peer).await;
    let before = writes.lock().unwrap().len();
    let mut pipeline = session.survey(WINDOW);
    let events = drain(&mut pipeline).await.unwrap();
    assert_eq!(
        events,
        [
            "capabilities",
            "totals 2 320",
            "scan 1 120",
            "scan 2 200",
            "listed",
            "id 1 first",
            "id 2 second",
            "ids listed"
        ]
    );
    let writes = writes.lock().unwrap();
    assert_eq!(writes[before..], ["CAPA\r\nSTAT\r\nLIST\r\nUIDL\r\n"]);
}

#[tokio::test]
async fn a_refusal_in_a_pipeline_takes_nothing_with_it() {
    let mut pipeline = logged_in(Peer::default()).await.pipeline(WINDOW);
    for number in [1, 9, 2] {
        pipeline.push(Request::Retrieve {
            number,
            octets: 100,
        });
    }
    pipeline.push(Request::Delete { number: 1 });
    pipeline.push(Request::Delete { number: 9 });
    pipeline.push(Request::Top {
        number: 2,
        lines: 0,
    });
    pipeline.push(Request::Noop);
    assert_eq!(
        drain(&mut pipeline).await.unwrap(),
        [
            "began 1",
            r"chunk 1 Subject: 1\r\n\r\n.dot\r\n",
            "ended 1",
            "refused no such message",
            "began 2",
            r"chunk 2 Subject: 2\r\n\r\n.dot\r\n",
            "ended 2",
            "deleted 1",
            "refused no such message",
            "began 2",
            r"chunk 2 Subject: 2\r\n\r\n.dot\r\n",
            "ended 2",
            "alive"
        ]
    );
    assert!(matches!(
        pipeline.finish().await.unwrap().quit().await,
        Closing::Acknowledged(_)
    ));
}

/// Commands are never split over writes, and there are no more of them out than the window has.
#[tokio::test]
async fn the_window_holds_in_commands_and_octets() {
    for (window, octets, most) in [
        (
            Window {
                octets: 1000,
                commands: 4,
            },
            1,
            4,
        ),
        (
            Window {
                octets: 1000,
                commands: 512,
            },
            300,
            3,
        ),
        (
            Window {
                octets: 1000,
                commands: 512,
            },
            5000,
            1,
        ),
        (Window::ONE, 1, 1),
    ] {
        let peer = Peer::default();
        let reads = peer.reads();
        let mut pipeline = logged_in(peer).await.pipeline(window);
        let before = reads.lock().unwrap().len();
        for _ in 0..100 {
            pipeline.push(Request::Retrieve { number: 1, octets });
        }
        let events = drain(&mut pipeline).await.unwrap();
        assert_eq!(
            events.iter().filter(|event| *event == "ended 1").count(),
            100
        );
        for read in &reads.lock().unwrap()[before..] {
            assert!(read.ends_with("\r\n"), "{read:?}");
            assert!(read.matches("RETR").count() <= most, "{window:?} {read:?}");
        }
    }
}

/// Where PIPELINING is not advertised, one command goes at a time.
#[tokio::test]
async fn nothing_is_pipelined_that_the_server_has_not_allowed() {
    let peer = Peer::default().capabilities("USER", "USER");
    let reads = peer.reads();
    let mut pipeline = logged_in(peer).await.survey(WINDOW);
    drain(&mut pipeline).await.unwrap();
    assert!(
        reads
            .lock()
            .unwrap()
            .iter()
            .all(|read| read.matches("\r\n").count() == 1)
    );
}

/// A server that writes before it reads on: both sides' buffers are small, and neither waits for ever.
#[tokio::test(start_paused = true)]
async fn reading_goes_on_while_commands_wait_to_be_written() {
    let mut pipeline = logged_in(Peer::default().buffer(64)).await.pipeline(WINDOW);
    for _ in 0..2000 {
        pipeline.push(Request::Retrieve {
            number: 1,
            octets: 20,
        });
    }
    let events = drain(&mut pipeline).await.unwrap();
    assert_eq!(
        events.iter().filter(|event| *event == "ended 1").count(),
        2000
    );
}

/// Cut off after every octet of what the server sends: an error, and no message or listing that is
/// not whole is called so.
#[tokio::test(start_paused = true)]
async fn a_session_cut_off_anywhere_is_an_error() {
    let whole = play(usize::MAX).await.expect("a whole session");
    assert!(whole > 200);
    for budget in 0..whole {
        match play(budget).await {
            Err(Error::Closed { .. } | Error::LoginRefused { reply: None, .. }) => {}
            other => panic!("cut off after {budget}: {other:?}"),
        }
    }
}

/// How many octets the server has sent in the end.
async fn play(budget: usize) -> Result<usize, Error> {
    let peer = Peer::default().budget(budget);
    let (spent, log) = (peer.spent(), peer.reads());
    let login = Login::new("tim", Credentials::Password("tanstaaf".into()));
    let connection = Connection::over_private(peer.start(), Duration::from_secs(60)).await?;
    let mut pipeline = connection.login(&login).await?.survey(WINDOW);
    pipeline.push(Request::Retrieve {
        number: 1,
        octets: 120,
    });
    pipeline.push(Request::Retrieve {
        number: 2,
        octets: 200,
    });
    let (mut body, mut began) = (Vec::new(), 0);
    while let Some(event) = pipeline.next().await? {
        match event {
            Event::Began { .. } => {
                body.clear();
                began += 1;
            }
            Event::Chunk { bytes, .. } => body.extend_from_slice(bytes),
            Event::Ended { number } => {
                assert_eq!(body, text(number).replace("\n..", "\n.").as_bytes())
            }
            _ => {}
        }
    }
    assert_eq!(began, 2);
    match pipeline.finish().await?.quit().await {
        Closing::Acknowledged(_) => {}
        Closing::Refused(reply) => panic!("{reply}"),
        Closing::Unanswered(error) => return Err(error),
    }
    assert!(log.lock().unwrap().last().unwrap().starts_with("QUIT"));
    Ok(*spent.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_timeout_wherever_it_begins() {
    let timeout = Duration::from_secs(60);
    let connection = Connection::over_private(Peer::default().silent_at("").start(), timeout).await;
    let error = connection.unwrap_err();
    assert!(
        matches!(error, Error::Timeout(Waiting::Greeting)),
        "{error}"
    );
    for command in ["CAPA", "USER", "PASS"] {
        let peer = Peer::default().silent_at(command);
        let connection = Connection::over_private(peer.start(), timeout)
            .await
            .unwrap();
        let login = Login::new("tim", Credentials::Password("tanstaaf".into()));
        let error = connection.login(&login).await.unwrap_err();
        assert!(
            matches!(error, Error::Timeout(Waiting::Reply)),
            "{command}: {error}"
        );
    }
    let mut session = logged_in(Peer::default().silent_at("STAT")).await;
    let error = session.stat().await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Waiting::Reply)), "{error}");
    // Nothing can be done with it any more.
    assert!(matches!(session.noop().await, Err(Error::Closed { .. })));
    let session = logged_in(Peer::default().silent_at("QUIT")).await;
    let closing = session.quit().await;
    assert!(matches!(
        closing,
        Closing::Unanswered(Error::Timeout(Waiting::Reply))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_reads_is_a_timeout() {
    let mut session = logged_in(Peer::default().deaf_after("NOOP").buffer(64)).await;
    session.noop().await.unwrap();
    let mut pipeline = session.pipeline(WINDOW);
    for number in 0..500 {
        pipeline.push(Request::Delete { number });
    }
    let error = drain(&mut pipeline).await.unwrap_err();
    assert!(matches!(error, Error::Timeout(Waiting::Writing)), "{error}");
}

/// Pipelining advertised and broken: input discarded after the first line, or a closed connection.
#[tokio::test(start_paused = true)]
async fn broken_pipelining_can_be_told() {
    let mut pipeline = logged_in(Peer::default().one_line_a_read())
        .await
        .survey(WINDOW);
    let error = drain(&mut pipeline).await.unwrap_err();
    assert!(
        matches!(error, Error::Stalled { outstanding: 3 }),
        "{error}"
    );
    assert!(error.may_be_pipelining());
    let mut pipeline = logged_in(Peer::default().closing_at("STAT"))
        .await
        .survey(WINDOW);
    let error = drain(&mut pipeline).await.unwrap_err();
    assert!(matches!(error, Error::Closed { outstanding: 3 }), "{error}");
    assert!(error.may_be_pipelining());
    // Replies to other questions.
    let peer = Peer::default()
        .answering("LIST 1", "+OK 2 200\r\n")
        .answering("LIST 2", "+OK 1 120\r\n");
    let mut pipeline = logged_in(peer).await.pipeline(WINDOW);
    pipeline.push(Request::ListOne { number: 1 });
    pipeline.push(Request::ListOne { number: 2 });
    let error = drain(&mut pipeline).await.unwrap_err();
    assert!(
        matches!(error, Error::Desync { .. }) && error.may_be_pipelining(),
        "{error}"
    );
    // One at a time it is what it is.
    let session = logged_in(Peer::default().closing_at("STAT")).await;
    let error = drain(&mut session.survey(Window::ONE)).await.unwrap_err();
    assert!(matches!(error, Error::Closed { outstanding: 1 }) && !error.may_be_pipelining());
}

#[tokio::test]
async fn what_never_ends_is_ended() {
    for (command, endless, want) in [
        ("CAPA", "X\r\n", Limit::CapabilityLines),
        ("LIST", "1", Limit::ListingLine),
        ("UIDL", "1 x", Limit::ListingLine),
        ("STAT", "x", Limit::StatusLine),
        ("RETR", "x", Limit::BodyOctets),
        ("TOP", "x\r\n", Limit::BodyOctets),
    ] {
        let peer = Peer::default().endless(command, endless);
        let mut session = logged_in(peer).await;
        session.limit_bodies(Some(10_000_000));
        let error = match command {
            "CAPA" => session.capabilities().await.map(drop),
            "LIST" => session.list().await.unwrap().next().await.map(drop),
            "UIDL" => session.unique_ids().await.unwrap().next().await.map(drop),
            "STAT" => session.stat().await.map(drop),
            "RETR" => {
                session
                    .retrieve(1, |bytes| assert!(bytes.len() <= 65536))
                    .await
            }
            _ => {
                session
                    .top(1, 0, |bytes| assert!(bytes.len() <= 65536))
                    .await
            }
        }
        .unwrap_err();
        assert!(
            matches!(error, Error::Limit(limit) if limit == want),
            "{command}: {error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_of_bare_lf_end_in_silence() {
    let lf = "+OK\r\nSubject: a\n\n..b\n.\n";
    let peer = Peer::default()
        .answering("RETR 1", lf)
        .answering("RETR 2", lf);
    let mut pipeline = logged_in(peer).await.pipeline(Window::ONE);
    pipeline.push(Request::Retrieve {
        number: 1,
        octets: 1,
    });
    pipeline.push(Request::Retrieve {
        number: 2,
        octets: 1,
    });
    pipeline.push(Request::Noop);
    assert_eq!(
        drain(&mut pipeline).await.unwrap(),
        [
            "began 1",
            r"chunk 1 Subject: a\n\n.b\n",
            "ended 1",
            "began 2",
            r"chunk 2 Subject: a\n\n.b\n",
            "ended 2",
            "alive"
        ]
    );
    // Pipelined, nobody can tell where one ends.
    let peer = Peer::default()
        .answering("RETR 1", lf)
        .answering("RETR 2", lf);
    let mut pipeline = logged_in(peer).await.pipeline(WINDOW);
    pipeline.push(Request::Retrieve {
        number: 1,
        octets: 1,
    });
    pipeline.push(Request::Retrieve {
        number: 2,
        octets: 1,
    });
    let error = drain(&mut pipeline).await.unwrap_err();
    assert!(error.may_be_pipelining(), "{error}");
}

#[tokio::test]
async fn unasked_bytes_end_a_session() {
    let mut session = logged_in(Peer::default().answering("NOOP", "+OK\r\n+OK\r\n")).await;
    session.noop().await.unwrap();
    let error = session.delete(1).await.unwrap_err();
    assert!(matches!(error, Error::Desync { .. }), "{error}");
}
