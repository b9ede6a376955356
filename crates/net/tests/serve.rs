//! Listeners, limits and drain, on loopback.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use restante_net::{
    Address, Deadline, Drain, Drainer, Handler, Limits, Listener, Pace, Peer, Stream,
};
use restante_net::{read_before, run, write_all};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Greets, then sends back what it gets. Says goodbye when the server stops.
#[derive(Default)]
struct Echo {
    deaf_to_drain: bool,
    served: AtomicUsize,
}

impl Handler for Echo {
    async fn handle(self: Arc<Self>, mut stream: Stream, peer: Peer, mut drain: Drain) {
        assert!(peer.is_loopback());
        self.served.fetch_add(1, Ordering::Relaxed);
        let pace = Pace::default();
        let mut deadline = Deadline::after(Duration::from_secs(30));
        let mut buffer = Vec::new();
        let mut reply = b"hello\n".to_vec();
        loop {
            if write_all(&mut stream, &reply, &mut deadline, pace)
                .await
                .is_err()
            {
                return;
            }
            buffer.clear();
            deadline.set(Duration::from_secs(30));
            tokio::select! {
                read = read_before(&mut stream, &mut buffer, &mut deadline) => {
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                    reply.clone_from(&buffer);
                }
                () = drain.requested(), if !self.deaf_to_drain => {
                    let _gone = write_all(&mut stream, b"bye\n", &mut deadline, pace).await;
                    return;
                }
            }
        }
    }

    fn busy(&self) -> &[u8] {
        b"busy\n"
    }
}

struct Server {
    port: u16,
    drainer: Drainer,
    task: tokio::task::JoinHandle<()>,
    handler: Arc<Echo>,
}

async fn serve(handler: Echo, limits: Limits) -> Server {
    let address: Address = "127.0.0.1:0".parse().expect("an address");
    let listener = Listener::bind(&address).await.expect("a free port");
    let port = listener.port().expect("TCP");
    let (drainer, drain) = Drainer::new();
    let handler = Arc::new(handler);
    let task = tokio::spawn(run(listener, limits, Arc::clone(&handler), drain));
    Server {
        port,
        drainer,
        task,
        handler,
    }
}

async fn line(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    while text.last() != Some(&b'\n') {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

async fn connect(port: u16) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("connects");
    let greeting = line(&mut stream).await.unwrap_or_default();
    (stream, greeting)
}

#[tokio::test]
async fn beyond_the_limit_connections_are_told_and_closed() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = serve(Echo::default(), limits).await;
    let (first, greeting) = connect(server.port).await;
    assert_eq!(greeting, "hello\n");
    let (_second, greeting) = connect(server.port).await;
    assert_eq!(greeting, "hello\n");
    let (mut third, refusal) = connect(server.port).await;
    assert_eq!(refusal, "busy\n");
    assert_eq!(third.read(&mut [0; 8]).await.expect("a clean end"), 0);
    drop(first);
    let start = Instant::now();
    while connect(server.port).await.1 != "hello\n" {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "the permit came back"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.handler.served.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_slow_those_inside() {
    let limits = Limits {
        connections: 12,
        ..Limits::default()
    };
    let server = serve(Echo::default(), limits).await;
    let mut inside = Vec::new();
    for _ in 0..12 {
        let (stream, greeting) = connect(server.port).await;
        assert_eq!(greeting, "hello\n");
        inside.push(stream);
    }
    let port = server.port;
    let flood = tokio::spawn(async move {
        for _ in 0..500 {
            drop(TcpStream::connect(("127.0.0.1", port)).await);
        }
    });
    let mut times = Vec::new();
    while !flood.is_finished() || times.is_empty() {
        for stream in &mut inside {
            let start = Instant::now();
            stream.write_all(b"ping\n").await.expect("still served");
            assert_eq!(line(stream).await.expect("still served"), "ping\n");
            times.push(start.elapsed());
        }
    }
    flood.await.expect("the flood ends");
    times.sort();
    let median = times[times.len() / 2];
    assert!(median < Duration::from_millis(20), "{median:?}");
    assert_eq!(server.handler.served.load(Ordering::Relaxed), 12);
}

#[tokio::test]
async fn drain_ends_sessions_politely_and_closes_the_door() {
    let server = serve(Echo::default(), Limits::default()).await;
    let (mut stream, _greeting) = connect(server.port).await;
    server.drainer.start();
    assert_eq!(line(&mut stream).await.expect("a goodbye"), "bye\n");
    server.task.await.expect("run returns");
    assert!(
        TcpStream::connect(("127.0.0.1", server.port))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn drain_is_bounded_and_can_be_cut_short() {
    for force in [false, true] {
        let limits = Limits {
            drain: Duration::from_millis(if force { 60_000 } else { 50 }),
            ..Limits::default()
        };
        let deaf = Echo {
            deaf_to_drain: true,
            ..Echo::default()
        };
        let server = serve(deaf, limits).await;
        let (mut stream, _greeting) = connect(server.port).await;
        let start = Instant::now();
        server.drainer.start();
        if force {
            server.drainer.force();
        }
        server.task.await.expect("run returns");
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(line(&mut stream).await.unwrap_or_default(), "");
    }
}

#[tokio::test]
async fn localhost_listens_on_all_its_addresses_with_one_port() {
    let address: Address = "localhost:0".parse().expect("an address");
    let listener = Listener::bind(&address).await.expect("localhost resolves");
    let port = listener.port().expect("TCP");
    assert_ne!(port, 0);
    for host in tokio::net::lookup_host(("localhost", port))
        .await
        .expect("resolves")
    {
        match TcpStream::connect(host).await {
            Ok(_) => {}
            // A machine without IPv6 may still have ::1 in its hosts file.
            Err(error) => assert!(host.is_ipv6(), "{host}: {error}"),
        }
    }
    let taken = Address::Tcp("127.0.0.1".to_owned(), port);
    let error = Listener::bind(&taken).await.expect_err("the port is taken");
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_replaced_only_when_nobody_listens() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("l");
    let address = Address::Unix(path.clone());
    let listener = Listener::bind_with_mode(&address, 0o600)
        .await
        .expect("binds");
    let mode = std::fs::metadata(&path)
        .expect("is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = Listener::bind(&address).await.expect_err("in use");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    drop(listener);
    assert!(!path.exists(), "the socket goes with its listener");

    drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
    assert!(path.exists(), "a stale socket");
    let listener = Listener::bind(&address)
        .await
        .expect("the stale one is replaced");
    let (drainer, drain) = Drainer::new();
    let task = tokio::spawn(run(
        listener,
        Limits::default(),
        Arc::new(Echo::default()),
        drain,
    ));
    let mut stream = tokio::net::UnixStream::connect(&path)
        .await
        .expect("connects");
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).await.expect("greets");
    assert_eq!(&greeting, b"hello\n");
    drainer.start();
    task.await.expect("run returns");

    std::fs::write(&path, "mail").expect("writes");
    let error = Listener::bind(&address).await.expect_err("a file is there");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).expect("untouched"), b"mail");
}
