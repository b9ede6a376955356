//! A TCP proxy that delays, breaks into small pieces, and cuts: the network between two peers.
//!
//! Delay is latency, not a slow line: pieces that arrive together leave together, each `delay`
//! after it came.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What the network does to its traffic.
#[derive(Debug, Clone)]
pub struct Network {
    /// How long each piece is under way, one way.
    pub delay: Duration,
    /// The largest piece that is passed on at once, in octets.
    pub piece_octets: usize,
    /// After so many octets to the client, counted over all connections, each connection that
    /// would get more is cut.
    pub cut_after_octets: Option<u64>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            piece_octets: 16 * 1024,
            cut_after_octets: None,
        }
    }
}

/// How much may be under way in one direction, in pieces: the peer is slowed down beyond it.
const PIECES_UNDER_WAY: usize = 4_096;

/// The proxy; it stops, and cuts its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    to_client: Arc<AtomicU64>,
    cut: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Proxy {
    /// Listens on a free port of the loopback interface and passes connections on to `server`.
    pub async fn start(server: SocketAddr, network: Network) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let to_client = Arc::new(AtomicU64::new(0));
        let (cut, _) = watch::channel(0);
        let (cuts, count) = (cut.clone(), Arc::clone(&to_client));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cut = cuts.subscribe();
                let count = Arc::clone(&count);
                tokio::spawn(connection(client, server, network.clone(), count, cut));
            }
        });
        Ok(Self {
            address,
            to_client,
            cut,
            accepting,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Octets that all clients together have been sent.
    pub fn octets_to_client(&self) -> u64 {
        self.to_client.load(Ordering::Relaxed)
    }

    /// Cuts every connection there is, with what is under way.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn connection(
    client: TcpStream,
    server: SocketAddr,
    network: Network,
    to_client: Arc<AtomicU64>,
    mut cut: watch::Receiver<u64>,
) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    // Without this the kernel would hold small pieces back to join them.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, into_client) = client.into_split();
    let (from_server, into_server) = server.into_split();
    let limit = network.cut_after_octets;
    let up = direction(from_client, into_server, &network, None);
    let down = direction(
        from_server,
        into_client,
        &network,
        Some((&to_client, limit)),
    );
    tokio::select! {
        // A direction that ended well was half-closed, and the other goes on; an error ends both.
        _ = async { tokio::try_join!(up, down) } => {}
        _ = cut.changed() => {}
    }
}

type Count<'a> = Option<(&'a AtomicU64, Option<u64>)>;

async fn direction(
    from: OwnedReadHalf,
    into: OwnedWriteHalf,
    network: &Network,
    count: Count<'_>,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(PIECES_UNDER_WAY);
    tokio::try_join!(
        receive(from, sender, network),
        pass_on(into, receiver, count)
    )?;
    Ok(())
}

async fn receive(
    mut from: OwnedReadHalf,
    sender: mpsc::Sender<(Instant, Vec<u8>)>,
    network: &Network,
) -> io::Result<()> {
    let mut buffer = vec![0; network.piece_octets.max(1)];
    loop {
        let octets = from.read(&mut buffer).await?;
        let due = Instant::now() + network.delay;
        // The empty piece is the end of the stream, and is delayed like the others.
        if sender.send((due, buffer[..octets].to_vec())).await.is_err() || octets == 0 {
            return Ok(());
        }
    }
}

async fn pass_on(
    mut into: OwnedWriteHalf,
    mut receiver: mpsc::Receiver<(Instant, Vec<u8>)>,
    count: Count<'_>,
) -> io::Result<()> {
    while let Some((due, mut piece)) = receiver.recv().await {
        sleep_until(due).await;
        if piece.is_empty() {
            return into.shutdown().await;
        }
        let mut ends = false;
        if let Some((sent, limit)) = count {
            let before = sent.load(Ordering::Relaxed);
            let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(before));
            ends = (piece.len() as u64) > room;
            piece.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        into.write_all(&piece).await?;
        if ends {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    /// A server that says back what it is told, until the end.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut into) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut into).await;
                });
            }
        });
        address
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test);
    }

    #[test]
    fn a_round_trip_takes_two_delays_however_much_is_under_way() {
        run(async {
            let delay = Duration::from_millis(40);
            let network = Network {
                delay,
                piece_octets: 100,
                ..Network::default()
            };
            let proxy = Proxy::start(echo().await, network).await.expect("started");
            let mut client = TcpStream::connect(proxy.address())
                .await
                .expect("connected");
            let start = Instant::now();
            let sent = vec![7; 50_000];
            client.write_all(&sent).await.expect("written");
            client.shutdown().await.expect("half-closed");
            let mut back = Vec::new();
            client.read_to_end(&mut back).await.expect("read");
            assert!(back == sent);
            assert!(start.elapsed() >= 2 * delay);
            assert!(
                start.elapsed() < 20 * delay,
                "it is latency, not a slow line"
            );
            assert_eq!(proxy.octets_to_client(), 50_000);
        });
    }

    #[test]
    fn a_connection_is_cut_at_the_octet() {
        run(async {
            let network = Network {
                cut_after_octets: Some(5),
                ..Network::default()
            };
            let proxy = Proxy::start(echo().await, network).await.expect("started");
            let mut client = TcpStream::connect(proxy.address())
                .await
                .expect("connected");
            client.write_all(b"12345678").await.expect("written");
            let mut back = Vec::new();
            let _ = client.read_to_end(&mut back).await;
            assert_eq!(back, b"12345");
        });
    }

    #[test]
    fn all_connections_are_cut_on_demand() {
        run(async {
            let proxy = Proxy::start(echo().await, Network::default()).await;
            let proxy = proxy.expect("started");
            let mut client = TcpStream::connect(proxy.address())
                .await
                .expect("connected");
            client.write_all(b"a").await.expect("written");
            let mut octet = [0];
            client.read_exact(&mut octet).await.expect("read");
            proxy.cut();
            assert_eq!(client.read(&mut octet).await.unwrap_or(0), 0);
        });
    }
}
