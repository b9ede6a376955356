//! LMTP, SMTP and IMAP as destinations: our own LMTP server, and servers that follow a script.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use restante_client::Secret;
use restante_intake::destination::{
    Credential, CredentialSource, Destination, DestinationError, DestinationFuture, Fault,
    Incoming, Options, Scope, Spec, open,
};
use restante_intake::lmtp::{Lmtp, Recipient, Recipients};
use restante_net::{Address, Drainer, Limits, Listener, run};
use restante_store::{MailStore, MessageFilter};
use restante_testkit::{MemoryStore, corpus};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

fn incoming(again: bool) -> Incoming<'static> {
    Incoming {
        account: "ann",
        remote_id: b"id",
        received_ms: 1_700_000_000_000,
        octets: None,
        again,
    }
}

async fn put(to: &mut Box<dyn Destination>, bytes: &[u8]) -> Result<(), DestinationError> {
    put_again(to, bytes, false).await
}

async fn put_again(
    to: &mut Box<dyn Destination>,
    bytes: &[u8],
    again: bool,
) -> Result<(), DestinationError> {
    to.begin(&incoming(again)).await?;
    for piece in bytes.chunks(10_000) {
        to.write(piece).await?;
    }
    to.finish().await?;
    to.flush().await.pop().unwrap()
}

/// What is said and heard on one connection: `>` the server says, `<` the client has to say, `*` the
/// client sends so many octets.
enum Step {
    Say(String),
    Hear(String),
    Take(Vec<u8>),
}

fn script(text: &str) -> Vec<Step> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (what, text) = line.split_at(1);
            let text = text.strip_prefix(' ').unwrap_or(text);
            let text = text.replace("\\r", "\r").replace("\\n", "\n");
            match what {
                ">" => Step::Say(format!("{text}\r\n")),
                "<" => Step::Hear(format!("{text}\r\n")),
                "*" => Step::Take(text.into_bytes()),
                _ => panic!("{line}"),
            }
        })
        .collect()
}

/// A server of as many connections as there are scripts; it closes each at its end.
async fn server(scripts: &[&str]) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scripts: Vec<_> = scripts.iter().map(|text| script(text)).collect();
    let task = tokio::spawn(async move {
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            let follow = follow(BufReader::new(stream), script);
            tokio::time::timeout(Duration::from_secs(20), follow)
                .await
                .expect("the client goes on");
        }
    });
    (port, task)
}

async fn follow(mut stream: BufReader<TcpStream>, script: Vec<Step>) {
    for step in script {
        match step {
            Step::Say(line) => stream.get_mut().write_all(line.as_bytes()).await.unwrap(),
            Step::Hear(wanted) => {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                match wanted.strip_suffix("…\r\n") {
                    Some(start) => assert!(line.starts_with(start), "{line:?} for {wanted:?}"),
                    None => assert_eq!(line, wanted),
                }
            }
            Step::Take(wanted) => {
                let mut octets = vec![0; wanted.len()];
                stream.read_exact(&mut octets).await.unwrap();
                assert_eq!(
                    octets.escape_ascii().to_string(),
                    wanted.escape_ascii().to_string()
                );
            }
        }
    }
}

async fn opened(spec: &str) -> Result<Box<dyn Destination>, DestinationError> {
    let options = Options {
        timeout: Duration::from_secs(5),
        credentials: Some(Arc::new(Keys(AtomicUsize::new(0)))),
        ..Options::default()
    };
    open(&Spec::parse(spec).unwrap(), options).await
}

async fn refused(spec: &str) -> DestinationError {
    match opened(spec).await {
        Ok(_) => panic!("{spec} opens"),
        Err(error) => error,
    }
}

/// Gives the password `pencil`; to who asks again, a token.
struct Keys(AtomicUsize);

impl CredentialSource for Keys {
    fn credential(&self, _refused: bool) -> DestinationFuture<'_, Result<Credential, String>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(Credential::Password(Secret::from("pencil"))) })
    }
}

struct Tokens;

impl CredentialSource for Tokens {
    fn credential(&self, refused: bool) -> DestinationFuture<'_, Result<Credential, String>> {
        let token = if refused { "fresh" } else { "stale" };
        Box::pin(async move { Ok(Credential::Token(Secret::from(token))) })
    }
}

// LMTP into our own server.

struct Book(HashMap<&'static str, Option<u64>>);

impl Recipients for Book {
    fn find(&self, address: &str) -> Result<Option<Recipient>, String> {
        Ok(self.0.get(address).map(|quota| Recipient {
            mailbox: address.to_owned(),
            quota_octets: *quota,
        }))
    }
}

/// As IMAP, SMTP and LMTP carry it: LF is CRLF.
fn wire(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in bytes {
        if byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

#[tokio::test]
async fn our_own_lmtp_gets_every_octet() {
    let store = MemoryStore::new();
    let book = Book(HashMap::from([
        ("ann@example.org", None),
        ("full@example.org", Some(10)),
    ]));
    let options = restante_intake::lmtp::Options::default();
    let lmtp = Arc::new(Lmtp::new(store.shared(), Arc::new(book), options));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lmtp");
    let mut drainers = Vec::new();
    let mut listen = async |address: &str| {
        let address: Address = address.parse().unwrap();
        let listener = Listener::bind(&address).await.unwrap();
        let port = listener.port();
        let (drainer, drain) = Drainer::new();
        tokio::spawn(run(listener, Limits::default(), Arc::clone(&lmtp), drain));
        drainers.push(drainer);
        port
    };
    let port = listen("127.0.0.1:0").await.unwrap();
    listen(&format!("unix:{}", socket.display())).await;
    let spec = format!("lmtp:127.0.0.1:{port}?to=ann@example.org");
    let mut to = opened(&spec).await.unwrap();
    let mut wanted = Vec::new();
    for sample in corpus::small() {
        // A final line end is added: LMTP has none but whole lines.
        let mut sent = wire(&sample.bytes);
        if !sent.ends_with(b"\r\n") && !sent.is_empty() {
            sent.extend_from_slice(b"\r\n");
        }
        assert_eq!(put(&mut to, &sample.bytes).await, Ok(()), "{}", sample.name);
        wanted.push((sample.name, sent));
    }
    to.close().await;
    let mailbox = store
        .find_mailbox("ann@example.org")
        .await
        .unwrap()
        .unwrap();
    let all = store
        .browse(mailbox.id, MessageFilter::Live, None, 1_000)
        .await
        .unwrap();
    assert_eq!(all.len(), wanted.len());
    for (info, (name, wanted)) in all.iter().zip(&wanted) {
        let mut body = store.read(info.unique_id).await.unwrap();
        let mut bytes = Vec::new();
        while body.read(&mut bytes).await.unwrap() > 0 {}
        // Return-Path and Delivered-To stand before it.
        assert!(bytes.ends_with(wanted), "{name}");
        let added = String::from_utf8_lossy(&bytes[..bytes.len() - wanted.len()]).into_owned();
        assert!(added.starts_with("Return-Path: <>\r\n"), "{added}");
        assert!(added.len() < 200, "{name}: {added}");
    }
    let mut to = opened(&format!(
        "lmtp:unix:{}?to=ann@example.org",
        socket.display()
    ))
    .await
    .unwrap();
    assert_eq!(put(&mut to, b"by socket\r\n").await, Ok(()));
    // An unknown recipient, and one over quota: no other message would fare better.
    for user in ["nobody", "full"] {
        let mut to = opened(&format!("lmtp:127.0.0.1:{port}?to={user}@example.org"))
            .await
            .unwrap();
        let error = put(&mut to, &[b'a'; 100]).await.unwrap_err();
        assert_eq!(error.scope(), Scope::Destination, "{error}");
        assert!(error.to_string().contains("RCPT"), "{error}");
    }
    let error = refused(&format!("lmtp:127.0.0.1:{port}")).await;
    assert_eq!(error.fault(), Fault::Configuration);
}

// SMTP by script.

const GREET: &str =
    "> 220 mx.example\n< EHLO …\n> 250-mx.example\n> 250-SIZE 1000\n> 250-8BITMIME\n> 250 HELP\n";
const ENVELOPE: &str = "> 250 ok\n< RCPT TO:<ann@example.org>\n> 250 ok\n< DATA\n> 354 go\n";

fn smtp(port: u16) -> String {
    format!("smtp:127.0.0.1:{port}?to=ann@example.org")
}

#[tokio::test]
async fn smtp_step_by_step() {
    // Dots are stuffed, LF becomes CRLF, and a last line is ended; size and 8-bit are announced.
    let text = format!(
        "{GREET}< MAIL FROM:<> SIZE=13 BODY=8BITMIME\n{ENVELOPE}* a\\r\\n...\\r\\n.. \\r\\né\\r\\n.\\r\\n\n> 250 2.0.0 kept\n\
         < MAIL FROM:<> SIZE=3\n> 451 4.3.0 later\n< RSET\n> 250 ok\n< QUIT\n> 221 bye"
    );
    let (port, task) = server(&[&text]).await;
    let mut to = opened(&smtp(port)).await.unwrap();
    assert_eq!(put(&mut to, "a\n..\n. \r\né".as_bytes()).await, Ok(()));
    // Too large: nothing is sent.
    let error = put(&mut to, &[b'a'; 1001]).await.unwrap_err();
    assert_eq!(
        (error.scope(), error.fault()),
        (Scope::Message, Fault::Refused)
    );
    let error = put(&mut to, b"b\r\n").await.unwrap_err();
    assert_eq!(
        (error.scope(), error.fault()),
        (Scope::Destination, Fault::Temporary)
    );
    assert!(error.to_string().contains("451 4.3.0 later"), "{error}");
    to.close().await;
    task.await.unwrap();
}

#[tokio::test]
async fn smtp_outcomes_after_the_dot() {
    let one =
        |reply: &str| format!("< MAIL FROM:<> SIZE=3\n{ENVELOPE}* a\\r\\n.\\r\\n\n> {reply}\n");
    let text = format!(
        "{GREET}{}< RSET\n> 250 ok\n{}< RSET\n> 250 ok\n{}",
        one("452-4.2.2 the mailbox\n> 452 4.2.2 is full"),
        one("554 5.6.0 we do not like it"),
        one("250 ok"),
    );
    let (port, task) = server(&[&text]).await;
    let mut to = opened(&smtp(port)).await.unwrap();
    for (fault, says) in [
        (Fault::Temporary, "452 4.2.2 the mailbox 4.2.2 is full"),
        (Fault::Refused, "554 5.6.0 we do not like it"),
    ] {
        let error = put(&mut to, b"a\r\n").await.unwrap_err();
        assert_eq!((error.scope(), error.fault()), (Scope::Message, fault));
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(put(&mut to, b"a\r\n").await, Ok(()));
    drop(to);
    task.await.unwrap();
}

#[tokio::test]
async fn smtp_commands_go_together_where_they_may() {
    let hello = "> 220 mx\n< EHLO …\n> 250-mx\n> 250 PIPELINING\n";
    // RFC 2920 §3.1: with no recipient, DATA is refused too; when it is not, the connection ends.
    let text = format!(
        "{hello}< MAIL FROM:<>\n< RCPT TO:<ann@example.org>\n< DATA\n> 250 ok\n> 550 5.1.1 nobody\n> 503 no\n\
         < RSET\n> 250 ok\n< MAIL FROM:<>\n< RCPT TO:<ann@example.org>\n< DATA\n> 250 ok\n> 450 busy\n> 354 go\n"
    );
    let (port, task) = server(&[&text]).await;
    let mut to = opened(&smtp(port)).await.unwrap();
    for fault in [Fault::Refused, Fault::Temporary] {
        let error = put(&mut to, b"a\r\n").await.unwrap_err();
        assert_eq!(
            (error.scope(), error.fault()),
            (Scope::Destination, fault),
            "{error}"
        );
    }
    task.await.unwrap();
}

#[tokio::test]
async fn smtp_connections_that_end() {
    let good = format!("< MAIL FROM:<> SIZE=3\n{ENVELOPE}* a\\r\\n.\\r\\n\n> 250 ok\n");
    // Idle too long, once closed and once with a word; then lost after the dot, which nobody can tell
    // from stored.
    let first = format!("{GREET}{good}");
    let second = format!("{GREET}{good}< MAIL FROM:<> SIZE=3\n> 421 4.4.2 idle\n");
    let third = format!("{GREET}{good}< MAIL FROM:<> SIZE=3\n{ENVELOPE}* a\\r\\n.\\r\\n\n");
    let (port, task) = server(&[&first, &second, &third]).await;
    let mut to = opened(&smtp(port)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(put(&mut to, b"a\r\n").await, Ok(()));
    }
    let error = put(&mut to, b"a\r\n").await.unwrap_err();
    assert_eq!(
        (error.scope(), error.fault()),
        (Scope::Message, Fault::Unavailable)
    );
    assert!(
        error.to_string().contains("may have been delivered"),
        "{error}"
    );
    task.await.unwrap();
    let error = put(&mut to, b"a\r\n").await.unwrap_err();
    assert_eq!(
        (error.scope(), error.fault()),
        (Scope::Destination, Fault::Unavailable)
    );
}

#[tokio::test]
async fn smtp_servers_that_are_none() {
    let long = format!("> 220 {}", "a".repeat(5000));
    let many = "> 220-x\n".repeat(300);
    for (text, fault) in [
        ("> 554 no", Fault::Refused),
        ("> 421 later", Fault::Temporary),
        ("> +OK POP3", Fault::Protocol),
        ("", Fault::Unavailable),
        (&long, Fault::Protocol),
        (&many, Fault::Protocol),
        (
            "> 220 a\n< EHLO …\n> 530 5.7.0 STARTTLS first",
            Fault::Permission,
        ),
        (
            "> 220 a\n< EHLO …\n> 502 what\n< HELO …\n> 550 no",
            Fault::Refused,
        ),
    ] {
        let (port, task) = server(&[text]).await;
        let error = refused(&smtp(port)).await;
        assert_eq!(
            (error.scope(), error.fault()),
            (Scope::Destination, fault),
            "{error}"
        );
        drop(task);
    }
}

#[tokio::test]
async fn starttls_is_not_stripped_or_preceded() {
    let (port, _task) = server(&["> 220 a\n< EHLO …\n> 250 a"]).await;
    let error = refused(&format!("{}&tls=required", smtp(port))).await;
    assert_eq!(error.fault(), Fault::Permission);
    // What comes ahead of the handshake is not taken for what comes inside.
    let text = "> 220 a\n< EHLO …\n> 250-a\n> 250 STARTTLS\n< STARTTLS\n> 220 go\\r\\n250 injected";
    let (port, _task) = server(&[text]).await;
    let error = refused(&format!("{}&tls=required", smtp(port))).await;
    assert_eq!(error.fault(), Fault::Protocol, "{error}");
    let (port, _task) = server(&["> * OK hi\n< r1 STARTTLS\n> r1 OK go\\r\\n* OK injected"]).await;
    let error = refused(&format!("imap://ann@127.0.0.1:{port}/x")).await;
    assert_eq!(error.fault(), Fault::Protocol, "{error}");
    let (port, _task) = server(&["> * OK hi\n< r1 STARTTLS\n> r1 BAD no"]).await;
    let error = refused(&format!("imap://ann@127.0.0.1:{port}/x")).await;
    assert_eq!(error.fault(), Fault::Permission);
    let (port, _task) = server(&["> * PREAUTH hi"]).await;
    let error = refused(&format!("imap://ann@127.0.0.1:{port}/x")).await;
    assert_eq!(error.fault(), Fault::Permission);
    let error = refused("imap://ann@192.0.2.1/x?tls=none").await;
    assert_eq!(error.fault(), Fault::Configuration);
}

/// Time stands still here: waits end when nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn silent_servers_are_left() {
    for scheme in ["smtp", "imap"] {
        let (port, _task) = server(&["> 220 mx\n< nothing is sent…"]).await;
        let spec = match scheme {
            "smtp" => smtp(port),
            _ => format!("imap://ann@127.0.0.1:{port}/x?tls=none"),
        };
        let error = tokio::time::timeout(Duration::from_secs(60), refused(&spec))
            .await
            .unwrap();
        assert_eq!(error.scope(), Scope::Destination);
    }
}

// IMAP by script.

fn imap(port: u16) -> String {
    format!("imap://ann@127.0.0.1:{port}/Post/Entw%C3%BCrfe?tls=none")
}

const NAME: &str = "\"Post/Entw&APw-rfe\"";
const DATE: &str = "\"14-Nov-2023 22:13:20 +0000\"";
/// `AGFubgBwZW5jaWw=` is NUL ann NUL pencil.
const LOGIN: &str = "> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\n< r1 AUTHENTICATE PLAIN\n> +\n< AGFubgBwZW5jaWw=\n\
                     > r1 OK [CAPABILITY IMAP4rev1] in\n";

#[tokio::test]
async fn imap_appends() {
    let text = format!(
        "{LOGIN}\
         < r2 APPEND {NAME} {DATE} {{8}}\n> * 3 EXISTS\n> + go\n* a\\r\\n.\\r\\nb\\r\\r\\n\n> * 4 EXISTS\n> r2 OK [APPENDUID 1 4] done\n\
         < r3 APPEND {NAME} {DATE} {{1}}\n> r3 NO [OVERQUOTA] full\n\
         < r4 APPEND {NAME} {DATE} {{1}}\n> + go\n* x\\r\\n\n> r4 NO I do not like it\n\
         < r5 APPEND {NAME} {DATE} {{1}}\n> r5 BAD what\n\
         < r6 LOGOUT\n> * BYE\n> r6 OK\n"
    );
    let (port, task) = server(&[&text]).await;
    let mut to = opened(&imap(port)).await.unwrap();
    assert_eq!(put(&mut to, b"a\r\n.\nb\r").await, Ok(()));
    let error = put(&mut to, b"x").await.unwrap_err();
    assert_eq!(
        (error.scope(), error.fault()),
        (Scope::Destination, Fault::Temporary)
    );
    for _ in 0..2 {
        let error = put(&mut to, b"x").await.unwrap_err();
        assert_eq!(
            (error.scope(), error.fault()),
            (Scope::Message, Fault::Refused)
        );
    }
    // IMAP has no NUL (RFC 3501 §4.3.1); the connection is not touched.
    let error = put(&mut to, b"a\0").await.unwrap_err();
    assert_eq!(
        (error.scope(), error.fault()),
        (Scope::Message, Fault::Refused)
    );
    to.close().await;
    task.await.unwrap();
}

#[tokio::test]
async fn imap_makes_the_mailbox() {
    let login = LOGIN.replace("IMAP4rev1] in", "IMAP4rev1 LITERAL+ APPENDLIMIT=100000] in");
    let text = format!(
        "{login}\
         < r2 APPEND {NAME} {DATE} {{3+}}\n* a\\r\\n\\r\\n\n> r2 NO [TRYCREATE] none\n\
         < r3 CREATE {NAME}\n> r3 OK\n< r4 SUBSCRIBE {NAME}\n> r4 NO not here\n\
         < r5 APPEND {NAME} {DATE} {{3+}}\n* a\\r\\n\\r\\n\n> r5 OK\n\
         < r6 APPEND {NAME} {DATE} {{70000}}\n> r6 NO [TOOBIG] too big\n"
    );
    let (port, task) = server(&[&text]).await;
    let mut to = opened(&imap(port)).await.unwrap();
    assert_eq!(put(&mut to, b"a\r\n").await, Ok(()));
    assert_eq!(
        put(&mut to, &[b'a'; 70_000]).await.unwrap_err().scope(),
        Scope::Message
    );
    assert_eq!(
        put(&mut to, &[b'a'; 100_001]).await.unwrap_err().fault(),
        Fault::Refused
    );
    drop(to);
    task.await.unwrap();
}

/// An answer that was lost: the message is looked for before it is sent again.
#[tokio::test]
async fn imap_looks_before_it_appends_again() {
    let message = b"Subject: a\r\nMessage-ID: <1@x>\r\n\r\nb\r\n";
    let octets = message.len();
    let escaped = String::from_utf8_lossy(message).replace("\r\n", "\\r\\n");
    let append = format!("APPEND {NAME} {DATE} {{{octets}}}\n> + go\n* {escaped}\\r\\n\n");
    let look = format!(
        "< r2 LIST \"\" {NAME}\n> * LIST () \"/\" {NAME}\n> r2 OK\n< r3 EXAMINE {NAME}\n> * 2 EXISTS\n> r3 OK [READ-ONLY]\n\
         < r4 UID SEARCH HEADER Message-ID \"<1@x>\"\n"
    );
    // Lost after the message; the next connection finds it, among others of another size.
    let first = format!("{LOGIN}< r2 {append}");
    let second = format!(
        "{LOGIN}{look}> * SEARCH 7 9\n> r4 OK\n< r5 UID FETCH 9 RFC822.SIZE\n> * 2 FETCH (UID 9 RFC822.SIZE 5)\n> r5 OK\n\
         < r6 UID FETCH 7 RFC822.SIZE\n> * 1 FETCH (RFC822.SIZE {octets} UID 7)\n> r6 OK\n< r7 {append}"
    );
    // The second message's answer is lost too; it is not found, and sent once more.
    let third = format!("{LOGIN}{look}> * SEARCH\n> r4 OK\n< r5 {append}> r5 OK\n");
    let (port, task) = server(&[&first, &second, &third]).await;
    let mut to = opened(&imap(port)).await.unwrap();
    assert_eq!(put(&mut to, message).await, Ok(()));
    assert_eq!(put(&mut to, message).await, Ok(()));
    task.await.unwrap();
}

/// The run before broke off: the engine says so. Without a Message-ID size and header have to do.
#[tokio::test]
async fn imap_knows_a_message_without_an_id() {
    let message = b"Subject: a\n\nb\n";
    let length = 14;
    let fetch = |uid: u32, header: &str| {
        format!(
            "UID FETCH {uid} (RFC822.SIZE BODY.PEEK[HEADER])\n\
             > * {uid} FETCH (UID {uid} RFC822.SIZE 17 BODY[HEADER] {{{length}}}\n> {header}\n> )\n"
        )
    };
    let text = format!(
        "{LOGIN}< r2 LIST \"\" {NAME}\n> * LIST () \"/\" x\n> r2 OK\n< r3 EXAMINE {NAME}\n> r3 OK\n\
         < r4 UID SEARCH LARGER 16 SMALLER 18\n> * SEARCH 3 4\n> r4 OK\n< r5 {}> r5 OK\n< r6 {}> r6 OK\n\
         < r7 LIST \"\" {NAME}\n> r7 OK\n< r8 APPEND {NAME} {DATE} {{17}}\n> + go\n* Subject: a\\r\\n\\r\\nb\\r\\n\\r\\n\n> r8 OK\n",
        fetch(4, "Subject: b\n> "),
        fetch(3, "Subject: a\n> "),
    );
    let (port, task) = server(&[&text]).await;
    let mut to = opened(&imap(port)).await.unwrap();
    assert_eq!(put_again(&mut to, message, true).await, Ok(()));
    assert_eq!(
        put_again(&mut to, message, true).await,
        Ok(()),
        "no mailbox, no copy"
    );
    drop(to);
    task.await.unwrap();
}

#[tokio::test]
async fn imap_logs_in_by_what_there_is() {
    // LOGIN where there is no AUTH=PLAIN.
    let text = "> * OK hi\n< r1 CAPABILITY\n> * CAPABILITY IMAP4rev1\n> r1 OK\n< r2 LOGIN \"ann\" \"pencil\"\n\
                > r2 NO [AUTHENTICATIONFAILED] no\n";
    let (port, task) = server(&[text]).await;
    let error = refused(&imap(port)).await;
    assert_eq!(
        (error.scope(), error.fault()),
        (Scope::Destination, Fault::Permission)
    );
    assert!(!error.to_string().contains("pencil"));
    task.await.unwrap();
    let text = "> * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\n";
    let (port, task) = server(&[text]).await;
    assert_eq!(refused(&imap(port)).await.fault(), Fault::Permission);
    task.await.unwrap();
    // A token that is refused is asked for once more. `dXNl…` are user=ann and the token.
    let text = "> * OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] hi\n< r1 AUTHENTICATE XOAUTH2\n> +\n\
                < dXNlcj1hbm4BYXV0aD1CZWFyZXIgc3RhbGUBAQ==\n> + eyJzdGF0dXMiOiI0MDAifQ==\n< \n> r1 NO old\n\
                < r2 AUTHENTICATE XOAUTH2\n> +\n< dXNlcj1hbm4BYXV0aD1CZWFyZXIgZnJlc2gBAQ==\n> r2 OK in\n\
                < r3 CAPABILITY\n> * CAPABILITY IMAP4rev1\n> r3 OK\n";
    let (port, task) = server(&[text]).await;
    let options = Options {
        timeout: Duration::from_secs(5),
        credentials: Some(Arc::new(Tokens)),
        ..Options::default()
    };
    open(&Spec::parse(&imap(port)).unwrap(), options)
        .await
        .unwrap();
    task.await.unwrap();
}
