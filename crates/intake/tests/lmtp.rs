//! LMTP over loopback, into the in-memory store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use restante_intake::lmtp::{Lmtp, Options, Recipient, Recipients};
use restante_net::{Address, Drainer, Limits, Listener, run};
use restante_store::{MailStore, MessageFilter, StoreError};
use restante_testkit::{MemoryStore, Op};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// `a`, `b`, … have mailboxes; `small` has a quota; `broken` cannot be looked up.
struct Book(HashMap<&'static str, Option<u64>>);

impl Recipients for Book {
    fn find(&self, address: &str) -> Result<Option<Recipient>, String> {
        let user = address.strip_suffix("@x.example").unwrap_or(address);
        if user == "broken" {
            return Err("the users' database is locked".to_owned());
        }
        Ok(self.0.get(user).map(|quota| Recipient {
            mailbox: user.to_owned(),
            quota_octets: *quota,
        }))
    }
}

struct Server {
    store: MemoryStore,
    port: u16,
    drainer: Drainer,
}

async fn server_with(options: Options) -> Server {
    let store = MemoryStore::new();
    let users = [
        ("a", None),
        ("b", None),
        ("c", None),
        ("small", Some(300)),
        ("a b", None),
    ];
    let book = Arc::new(Book(HashMap::from(users)));
    let lmtp = Arc::new(Lmtp::new(store.shared(), book, options));
    let address: Address = "127.0.0.1:0".parse().expect("an address");
    let listener = Listener::bind(&address).await.expect("a port");
    let port = listener.port().expect("TCP");
    let (drainer, drain) = Drainer::new();
    tokio::spawn(run(listener, Limits::default(), lmtp, drain));
    Server {
        store,
        port,
        drainer,
    }
}

async fn server() -> Server {
    server_with(Options {
        hostname: "mail.example".to_owned(),
        max_message_octets: 10_000,
        ..Options::default()
    })
    .await
}

impl Server {
    /// The messages of a user, as they were stored.
    async fn messages(&self, user: &str) -> Vec<String> {
        let Some(mailbox) = self.store.find_mailbox(user).await.expect("finds") else {
            return Vec::new();
        };
        let browsed = self
            .store
            .browse(mailbox.id, MessageFilter::Live, None, 1_000);
        let mut messages = Vec::new();
        for info in browsed.await.expect("browses") {
            let mut body = self.store.read(info.unique_id).await.expect("reads");
            let mut bytes = Vec::new();
            while body.read(&mut bytes).await.expect("reads") > 0 {}
            messages.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        messages
    }

    async fn connect(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port))
            .await
            .expect("connects");
        let mut client = Client(BufReader::new(stream));
        assert_eq!(client.reply().await, "220 mail.example LMTP Restante");
        client
    }

    /// Connected, and past LHLO.
    async fn greeted(&self) -> Client {
        let mut client = self.connect().await;
        let reply = client.ask("LHLO mta.example").await;
        assert!(reply.starts_with("250-mail.example\n"), "{reply}");
        client
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0
            .get_mut()
            .write_all(bytes.as_ref())
            .await
            .expect("sends");
    }

    /// One reply, its lines joined with LF; empty at the end of the connection.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line);
            let read = tokio::time::timeout(Duration::from_secs(10), read).await;
            if read.expect("a reply in time").unwrap_or(0) == 0 {
                return reply;
            }
            assert!(line.len() <= 512, "RFC 5321 §4.5.3.1.5");
            let line = line.strip_suffix("\r\n").expect("CRLF");
            reply.push_str(line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
            reply.push('\n');
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n")).await;
        self.reply().await
    }

    async fn expect(&mut self, line: &str, reply: &str) {
        let got = self.ask(line).await;
        assert!(got.starts_with(reply), "{line}: {got}, expected {reply}");
    }

    /// MAIL, RCPT for each of `to`, and DATA up to its 354.
    async fn begin(&mut self, to: &[&str]) {
        self.expect("MAIL FROM:<s@y.example>", "250 2.1.0").await;
        for to in to {
            self.expect(&format!("RCPT TO:<{to}>"), "250 2.1.5").await;
        }
        self.expect("DATA", "354 ").await;
    }
}

#[tokio::test]
async fn a_message_for_several_has_a_reply_for_each() {
    let server = server().await;
    let mut client = server.connect().await;
    // RFC 2033 §4.1; RFC 1870 §3, RFC 2034 §3, RFC 2920 §3, RFC 6152 §2, RFC 6531 §3.1.
    let reply = client.ask("LHLO mta.example").await;
    let mut lines: Vec<&str> = reply.lines().skip(1).map(|line| &line[4..]).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
            "PIPELINING",
            "SIZE 10000",
            "SMTPUTF8"
        ]
    );
    client
        .expect("MAIL FROM:<s@y.example> SIZE=20 BODY=8BITMIME", "250 2.1.0")
        .await;
    client.expect("RCPT TO:<a@x.example>", "250 2.1.5").await;
    client
        .expect("RCPT TO:<nobody@x.example>", "550 5.1.1")
        .await;
    client
        .expect("RCPT TO:<small@x.example>", "250 2.1.5")
        .await;
    client
        .expect("RCPT TO:<broken@x.example>", "451 4.3.0")
        .await;
    client
        .expect("RCPT TO:<\"a b\"@x.example>", "250 2.1.5")
        .await;
    client.expect("DATA", "354 ").await;
    let body = format!("Subject: hi\r\n\r\n..dot\r\n{}\r\n", "x".repeat(300));
    client.send(format!("{body}.\r\n")).await;
    // RFC 2033 §4.2: in the order of the accepted RCPTs.
    assert!(client.reply().await.starts_with("250 2.0.0 "));
    assert!(client.reply().await.starts_with("452 4.2.2 "));
    assert!(client.reply().await.starts_with("250 2.0.0 "));
    client.expect("QUIT", "221 2.0.0").await;
    assert_eq!(client.reply().await, "");

    let text = body.replace("\r\n..", "\r\n.");
    let path = "Return-Path: <s@y.example>\r\nDelivered-To: ";
    assert_eq!(
        server.messages("a").await,
        [format!("{path}a@x.example\r\n{text}")]
    );
    assert_eq!(
        server.messages("a b").await,
        [format!("{path}\"a b\"@x.example\r\n{text}")]
    );
    assert!(server.messages("small").await.is_empty());
    assert_eq!(server.store.calls(Op::Commit), 1, "one commit for all");
}

#[tokio::test]
async fn the_null_sender_utf8_and_bare_names() {
    let server = server().await;
    let mut client = server.greeted().await;
    client.expect("MAIL FROM:<>", "250 2.1.0").await;
    client.expect("RCPT TO:<a>", "250 2.1.5").await;
    client
        .expect("RCPT TO:<\u{e4}@x.example>", "553 5.6.7")
        .await;
    client.expect("DATA", "354 ").await;
    client.send(".\r\n").await;
    assert!(client.reply().await.starts_with("250 "));
    assert_eq!(
        server.messages("a").await,
        ["Return-Path: <>\r\nDelivered-To: a\r\n"]
    );
    client
        .expect("MAIL FROM:<\u{e4}@y.example> SMTPUTF8", "250 2.1.0")
        .await;
    client
        .expect("RCPT TO:<\u{e4}@x.example>", "550 5.1.1")
        .await;
}

/// RFC 5321 §4.1.4 and RFC 2033 §4.
#[tokio::test]
async fn commands_out_of_order_and_bad_ones() {
    let server = server().await;
    let mut client = server.connect().await;
    client.expect("MAIL FROM:<s@y.example>", "503 5.5.1").await;
    client.expect("RCPT TO:<a@x.example>", "503 5.5.1").await;
    client.expect("DATA", "503 5.5.1").await;
    client.expect("HELO me", "500 ").await;
    client.expect("EHLO me", "500 ").await;
    client.expect("NOOP", "250 2.0.0").await;
    client.expect("RSET", "250 2.0.0").await;
    client.expect("MAIL FROM:<s@y.example>", "503 5.5.1").await;
    client.expect("LHLO me", "250-").await;
    client.expect("DATA", "503 5.5.1").await;
    client
        .expect("MAIL FROM:<s@y.example> SIZE=10001", "552 5.3.4")
        .await;
    client
        .expect(
            "MAIL FROM:<s@y.example> SIZE=99999999999999999999999",
            "552 5.3.4",
        )
        .await;
    client
        .expect("MAIL FROM:<s@y.example> X=1", "555 5.5.4")
        .await;
    client.expect("MAIL FROM:<s@y.example>", "250 2.1.0").await;
    client.expect("MAIL FROM:<s@y.example>", "503 5.5.1").await;
    client
        .expect("RCPT TO:<nobody@x.example>", "550 5.1.1")
        .await;
    client.expect("DATA", "503 5.5.1").await;
    client.expect("RCPT TO:<a@x.example>", "250 2.1.5").await;
    client.expect("RSET", "250 2.0.0").await;
    client.expect("DATA", "503 5.5.1").await;
    client.expect("VRFY a", "252 ").await;
    client.expect("HELP", "214 ").await;
    client.expect("STARTTLS", "502 5.5.1").await;
    client.expect("XYZZY", "500 5.5.1").await;
    client.send("NOOP\n").await;
    assert!(client.reply().await.starts_with("500 5.5.2"));
    client.expect("QUIT", "221 ").await;
}

#[tokio::test]
async fn long_lines_have_one_reply_and_are_passed_over() {
    let server = server().await;
    let mut client = server.greeted().await;
    for length in [1_100, 60_000] {
        client
            .send(format!("NOOP {}\r\nNOOP\r\n", "x".repeat(length)))
            .await;
        assert!(client.reply().await.starts_with("500 5.5.6"), "{length}");
        assert!(client.reply().await.starts_with("250 "), "{length}");
    }
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_one_go() {
    let server = server().await;
    let mut client = server.greeted().await;
    let group = "MAIL FROM:<s@y.example>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<no@x.example>\r\n\
                 RCPT TO:<b@x.example>\r\nDATA\r\n";
    let message = "Subject: 1\r\n\r\n1\r\n.\r\n";
    // RFC 2920 §3.1: the next group may follow the end of the message at once.
    client.send(group).await;
    let mut buffer = vec![0; 4_096];
    let read = client.0.read(&mut buffer).await.expect("replies");
    let replies = String::from_utf8_lossy(&buffer[..read]).into_owned();
    let codes: Vec<&str> = replies.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "250", "550", "250", "354"]);
    client.send(format!("{message}{group}")).await;
    for code in ["250", "250", "250", "250", "550", "250", "354"] {
        assert_eq!(&client.reply().await[..3], code);
    }
    client.send(format!("{message}QUIT\r\n")).await;
    for code in ["250", "250", "221"] {
        assert_eq!(&client.reply().await[..3], code);
    }
    assert_eq!(server.messages("a").await.len(), 2);
    assert_eq!(server.messages("b").await.len(), 2);
}

/// RFC 5321 §4.5.2: only CRLF.CRLF ends a message, whatever the MTA in front thinks.
#[tokio::test]
async fn nothing_is_smuggled() {
    let server = server().await;
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r",
        "\r.\r\n",
        "\n\n.\n\n",
        "\r\n.\n",
        "\r\n.\r.\r\n",
    ] {
        let mut client = server.greeted().await;
        client.begin(&["a@x.example"]).await;
        let smuggled =
            "MAIL FROM:<evil@y.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\nbad\r\n.\r\n";
        client.send(format!("one{end}{smuggled}QUIT\r\n")).await;
        assert!(client.reply().await.starts_with("250 2.0.0"), "{end:?}");
        assert!(
            client.reply().await.starts_with("221 "),
            "{end:?}: one reply for one message"
        );
    }
    assert!(server.messages("b").await.is_empty());
    let stored = server.messages("a").await;
    assert_eq!(stored.len(), 7);
    assert!(stored[0].ends_with(
        "one\n.\nMAIL FROM:<evil@y.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\nbad\r\n"
    ));
}

#[tokio::test]
async fn a_message_too_large_is_refused_for_each_and_the_session_goes_on() {
    let server = server().await;
    let mut client = server.greeted().await;
    client.begin(&["a@x.example", "b@x.example"]).await;
    client.send(format!("{}\r\n.\r\n", "x".repeat(9_999))).await;
    for _ in 0..2 {
        assert!(client.reply().await.starts_with("552 5.3.4"));
    }
    client.begin(&["a@x.example"]).await;
    client.send(format!("{}\r\n.\r\n", "x".repeat(9_998))).await;
    assert!(client.reply().await.starts_with("250 "));
    assert_eq!(server.messages("a").await.len(), 1);
    assert!(server.messages("b").await.is_empty());

    // One that never ends is cut off.
    client.begin(&["a@x.example"]).await;
    let endless = vec![b'x'; 64 * 1024];
    while client.0.get_mut().write_all(&endless).await.is_ok() {}
    assert_eq!(server.messages("a").await.len(), 1);
}

#[tokio::test]
async fn a_connection_cut_within_a_message_leaves_nothing() {
    let server = server().await;
    for cut in [
        "",
        "Subject: x",
        "Subject: x\r\n\r\nbody\r\n",
        "x\r\n.",
        "x\r\n.\r",
    ] {
        let mut client = server.greeted().await;
        client.begin(&["a@x.example"]).await;
        client.send(cut).await;
        client.0.get_mut().shutdown().await.expect("half-closes");
        assert_eq!(client.reply().await, "", "{cut:?}");
    }
    assert!(server.messages("a").await.is_empty());
    assert_eq!(server.store.calls(Op::Commit), 0);
}

#[tokio::test]
async fn quota_counts_what_is_declared_and_what_is_there() {
    let server = server().await;
    let mut client = server.greeted().await;
    client
        .expect("MAIL FROM:<s@y.example> SIZE=301", "250 ")
        .await;
    client
        .expect("RCPT TO:<small@x.example>", "452 4.2.2")
        .await;
    client.expect("RSET", "250 ").await;
    // Two copies in one transaction do not fit either, where one does.
    client.begin(&["small@x.example", "small@x.example"]).await;
    client.send(format!("{}\r\n.\r\n", "x".repeat(120))).await;
    assert!(client.reply().await.starts_with("250 2.0.0"));
    assert!(client.reply().await.starts_with("452 4.2.2"));
    client
        .expect("MAIL FROM:<s@y.example> SIZE=200", "250 ")
        .await;
    client
        .expect("RCPT TO:<small@x.example>", "452 4.2.2")
        .await;
    assert_eq!(server.messages("small").await.len(), 1);
}

#[tokio::test]
async fn a_failing_store_is_a_temporary_failure() {
    let server = server().await;
    let mut client = server.greeted().await;
    let failure = || StoreError::Temporary("EIO".to_owned());
    for (op, error, reply) in [
        (Op::Commit, failure(), "451 4.3.0"),
        (
            Op::Commit,
            StoreError::Full {
                free: 0,
                min_free: 1,
            },
            "452 4.3.1",
        ),
        (
            Op::Commit,
            StoreError::Permanent("damage".to_owned()),
            "451 4.3.0",
        ),
        (Op::Commit, StoreError::NotFound, "451 4.3.0"),
        (Op::Seal, failure(), "451 4.3.0"),
        (
            Op::Seal,
            StoreError::Full {
                free: 0,
                min_free: 1,
            },
            "452 4.3.1",
        ),
    ] {
        client.begin(&["a@x.example"]).await;
        server.store.fail_next(op, error);
        client.send("x\r\n.\r\n").await;
        let got = client.reply().await;
        assert!(got.starts_with(reply), "{op:?}: {got}");
    }
    for (op, error, reply) in [
        (Op::FindMailbox, failure(), "451 4.3.0"),
        (
            Op::CreateMailbox,
            StoreError::Full {
                free: 0,
                min_free: 1,
            },
            "452 4.3.1",
        ),
    ] {
        server.store.fail_next(op, error);
        client.expect("MAIL FROM:<>", "250 ").await;
        client.expect("RCPT TO:<c@x.example>", reply).await;
        client.expect("RSET", "250 ").await;
    }
    server.store.fail_next(
        Op::Draft,
        StoreError::Full {
            free: 0,
            min_free: 1,
        },
    );
    client.expect("MAIL FROM:<>", "250 ").await;
    client.expect("RCPT TO:<a@x.example>", "250 ").await;
    client.expect("DATA", "452 4.3.1").await;
    assert!(server.messages("a").await.is_empty());
}

#[tokio::test]
async fn a_draft_that_fails_takes_no_other_with_it() {
    let server = server().await;
    let mut client = server.greeted().await;
    client.begin(&["a@x.example", "b@x.example"]).await;
    server
        .store
        .fail_next(Op::DraftWrite, StoreError::Temporary("EIO".to_owned()));
    client.send("x\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("451 4.3.0"));
    assert!(client.reply().await.starts_with("250 2.0.0"));
    assert!(server.messages("a").await.is_empty());
    assert_eq!(server.messages("b").await.len(), 1);
}

#[tokio::test]
async fn a_mailbox_removed_meanwhile_takes_no_other_with_it() {
    let server = server().await;
    let mut client = server.greeted().await;
    client.begin(&["a@x.example", "b@x.example"]).await;
    let gone = server
        .store
        .find_mailbox("a")
        .await
        .expect("finds")
        .expect("was made");
    server
        .store
        .remove_mailbox(gone.id, false)
        .await
        .expect("removes");
    client.send("x\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("451 4.3.0"));
    assert!(client.reply().await.starts_with("250 2.0.0"));
    assert_eq!(server.messages("b").await.len(), 1);
}

#[tokio::test]
async fn one_recipient_too_many_is_to_be_sent_again() {
    let server = server_with(Options {
        hostname: "mail.example".to_owned(),
        max_recipients: 2,
        ..Options::default()
    })
    .await;
    let mut client = server.greeted().await;
    client.expect("MAIL FROM:<>", "250 ").await;
    client.expect("RCPT TO:<a>", "250 ").await;
    client.expect("RCPT TO:<b>", "250 ").await;
    client.expect("RCPT TO:<c>", "452 4.5.3").await;
}

#[tokio::test]
async fn who_only_wastes_time_is_shown_out() {
    let server = server().await;
    for (line, before) in [("XYZZY", 20), ("NOOP", 200)] {
        let mut client = server.connect().await;
        for _ in 0..before {
            assert!(!client.ask(line).await.starts_with("421"), "{line}");
        }
        client.expect(line, "421 4.7.0").await;
        assert_eq!(client.reply().await, "");
    }
    let mut client = server.greeted().await;
    client.expect("MAIL FROM:<>", "250 ").await;
    for _ in 0..1_000 {
        client.expect("RCPT TO:<guess>", "550 5.1.1").await;
    }
    client.expect("RCPT TO:<guess>", "421 4.7.0").await;
}

#[tokio::test]
async fn a_stopping_server_ends_the_message_it_is_at() {
    let server = server().await;
    let mut idle = server.greeted().await;
    let mut busy = server.greeted().await;
    busy.begin(&["a@x.example"]).await;
    server.drainer.start();
    assert!(idle.reply().await.starts_with("421 4.3.2"));
    busy.send("x\r\n.\r\n").await;
    assert!(busy.reply().await.starts_with("250 2.0.0"));
    assert!(busy.reply().await.starts_with("421 4.3.2"));
    assert_eq!(server.messages("a").await.len(), 1);
}

/// The dialogue comes out the same however its octets are cut.
#[tokio::test]
async fn any_split_of_the_octets_gives_the_same_replies() {
    let server = server().await;
    let wire = "LHLO m\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\n..x\r\n.\r\nRSET\r\nQUIT\r\n";
    for at in 1..wire.len() {
        let mut client = server.connect().await;
        client.send(&wire[..at]).await;
        tokio::task::yield_now().await;
        client.send(&wire[at..]).await;
        for code in ["250-", "250 ", "250 ", "354 ", "250 ", "250 ", "221 "] {
            assert_eq!(&client.reply().await[..4], code, "{at}");
        }
    }
    let stored = server.messages("a").await;
    assert_eq!(stored.len(), wire.len() - 1);
    assert!(stored.iter().all(|text| text.ends_with("\r\n.x\r\n")));
}

#[tokio::test]
async fn a_message_for_one_does_not_wait_behind_one_for_many() {
    let server = server().await;
    let mut large = Vec::new();
    for _ in 0..2 {
        let mut client = server.greeted().await;
        client.expect("MAIL FROM:<s@y.example>", "250 ").await;
        for _ in 0..100 {
            client.expect("RCPT TO:<a@x.example>", "250 ").await;
        }
        client.send("DATA\r\n").await;
        large.push(client);
    }
    // One of them has its drafts, and the other waits for it.
    assert!(large[0].reply().await.starts_with("354 "));
    let mut small = server.greeted().await;
    small.expect("MAIL FROM:<s@y.example>", "250 ").await;
    small.expect("RCPT TO:<b@x.example>", "250 ").await;
    let taken = tokio::time::timeout(Duration::from_secs(5), small.ask("DATA")).await;
    assert!(taken.expect("it does not wait").starts_with("354 "));
}
