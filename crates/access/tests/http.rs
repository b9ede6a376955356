//! A router on a real listener: what every page has, and what no peer can do.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::http::header;
use axum::routing::{get, post};
use restante_access::http::{Client, Http, Options, Timeouts};
use restante_net::{Address, Drainer, Limits, Listener, Tls, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    port: u16,
    drainer: Drainer,
    running: JoinHandle<()>,
}

async fn start(options: Options) -> Server {
    let slow = || async { tokio::time::sleep(Duration::from_secs(3)).await };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/who",
            get(|Extension(c): Extension<Client>| async move { c.tls.to_string() }),
        )
        .route(
            "/own",
            get(|| async { ([(header::CACHE_CONTROL, "private")], "x") }),
        )
        .route(
            "/put",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/large", get(|| async { vec![b'x'; 64 << 20] }))
        .route("/slow", get(slow));
    let address: Address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&address).await.unwrap();
    let port = listener.port().unwrap();
    let (drainer, drain) = Drainer::new();
    let http = Arc::new(Http::new(router, options));
    let running = tokio::spawn(run(listener, Limits::default(), http, drain));
    Server {
        port,
        drainer,
        running,
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Sends octets and reads until the server closes.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    async fn get(&self, path: &str, host: &str) -> String {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.say(&text).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all));
    // A reset after the answer is an end too.
    let _ended = read.await.expect("the server ends in time");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn every_answer_has_the_fields_that_keep_browsers_in_bounds() {
    let server = start(Options::default()).await;
    for path in ["/", "/nowhere"] {
        let answer = server.get(path, "127.0.0.1").await.to_ascii_lowercase();
        for field in [
            "content-security-policy: default-src 'none';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(answer.contains(field), "{path}: {field}: {answer}");
        }
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
    let own = server.get("/own", "localhost").await;
    assert!(own.contains("cache-control: private") && !own.contains("no-store"));
}

#[tokio::test]
async fn a_foreign_host_reaches_no_handler() {
    let server = start(Options::default()).await;
    let answer = server.get("/", "evil.example").await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(!answer.contains("hello"));
    let none = server
        .say("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(!none.contains("hello"), "{none}");
    let old = server.say("GET / HTTP/1.0\r\n\r\n").await;
    assert!(!old.contains("hello"), "{old}");
    assert!(server.get("/", "localhost").await.ends_with("hello"));
}

#[tokio::test]
async fn bodies_and_headers_are_bounded() {
    let server = start(Options {
        body_octets: 1000,
        ..Options::default()
    })
    .await;
    let post = |length: usize| {
        format!(
            "POST /put HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    assert!(server.say(&post(1000)).await.ends_with("1000"));
    assert!(server.say(&post(1001)).await.starts_with("HTTP/1.1 413 "));
    let chunked = format!(
        "POST /put HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x800)
    );
    assert!(server.say(&chunked).await.starts_with("HTTP/1.1 413 "));
    let long = "x".repeat(20_000);
    let answer = server
        .get("/", &format!("localhost\r\nCookie: {long}"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = "A: b\r\n".repeat(100);
    let answer = server.get("/", &format!("localhost\r\n{many}X: y")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn slow_requests_slow_handlers_and_slow_readers_end() {
    let server = start(Options {
        timeouts: Timeouts {
            header: Duration::from_millis(300),
            answer: Duration::from_millis(300),
            stall: Duration::from_millis(300),
        },
        ..Options::default()
    })
    .await;
    // Neither a half header nor silence holds a connection.
    assert!(
        !server
            .say("GET / HTTP/1.1\r\nHost: loc")
            .await
            .contains("hello")
    );
    assert_eq!(server.say("").await, "");
    let slow = server.get("/slow", "localhost").await;
    assert!(slow.starts_with("HTTP/1.1 503 "), "{slow}");
    // A body that never comes is the handler's wait.
    let half = "POST /put HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nxx";
    assert!(server.say(half).await.starts_with("HTTP/1.1 503 "));
    // Who asks for much and reads nothing is cut off.
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(rest(&mut stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn draining_ends_idle_connections_and_finishes_requests() {
    let server = start(Options::default()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 64];
    assert!(idle.read(&mut some).await.unwrap() > 0);
    let mut busy = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.drainer.start();
    rest(&mut idle).await;
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200 "));
    tokio::time::timeout(PATIENCE, server.running)
        .await
        .expect("it ends")
        .unwrap();
}

#[tokio::test]
async fn over_tls_handlers_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed(folder.path(), b"http/1.1").unwrap();
    let server = start(Options {
        tls: Some(Arc::new(tls)),
        ..Options::default()
    })
    .await;
    let plain = server.get("/who", "localhost").await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
    let curl = tokio::process::Command::new("curl")
        .args(["-ksi", "--max-time", "10"])
        .arg(format!("https://localhost:{}/who", server.port))
        .output()
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&curl.stdout).into_owned();
    assert!(answer.ends_with("true"), "{answer}");
    assert!(answer.contains("strict-transport-security"), "{answer}");
}
