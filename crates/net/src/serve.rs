//! The accept loop: a permit before each session, refusals that cost next to nothing, and a drain
//! that ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};

use crate::limits::{ACCEPT_PAUSE, ACCEPT_PAUSE_MAX, CONNECTIONS, CONNECTIONS_PER_ADDRESS, DRAIN};
use crate::{Drain, Listener, Peer, Stream};

/// A protocol.
pub trait Handler: Send + Sync + 'static {
    /// Serves one connection until its end. Its future stands in memory as long as the connection:
    /// keep it small. It ends soon after `drain` asks, else it is dropped, which must be safe at
    /// every await. It bounds its own time: every wait for the peer has a deadline.
    fn handle(
        self: Arc<Self>,
        stream: Stream,
        peer: Peer,
        drain: Drain,
    ) -> impl Future<Output = ()> + Send;

    /// What a connection beyond a limit is told before it is closed, line end included. Empty where
    /// the protocol starts with TLS.
    fn busy(&self) -> &[u8] {
        b""
    }
}

/// How much a listener serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; one more is refused.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64); one more is refused. Loopback and Unix
    /// sockets are exempt: whoever is on this machine needs no connections to harm it.
    pub per_address: usize,
    /// How long sessions may go on once the server is asked to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            per_address: CONNECTIONS_PER_ADDRESS,
            drain: DRAIN,
        }
    }
}

/// What a session holds while it lives.
#[derive(Debug)]
struct Permit {
    _one_of_all: OwnedSemaphorePermit,
    _one_of_its_address: Option<Counted>,
}

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One connection in the count of its address.
#[derive(Debug)]
struct Counted {
    counts: Counts,
    address: IpAddr,
}

impl Counted {
    fn take(counts: &Counts, address: IpAddr, limit: usize) -> Option<Self> {
        let mut map = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = map.get(&address).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        map.insert(address, count + 1);
        drop(map);
        Some(Self {
            counts: Arc::clone(counts),
            address,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut map = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = map.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    All,
    Address,
}

/// Accepts and serves until `drain` asks; then closes the listener, waits for the sessions at most
/// [`Limits::drain`], and drops those that are left.
///
/// Refused connections never become sessions: they are told [`Handler::busy`] and closed in this very
/// loop without waiting, so that a flood costs descriptors and memory for one connection.
pub async fn run<H: Handler>(listener: Listener, limits: Limits, handler: Arc<H>, drain: Drain) {
    let all = Arc::new(Semaphore::new(
        limits.connections.min(Semaphore::MAX_PERMITS),
    ));
    let counts = Counts::default();
    let mut sessions = JoinSet::new();
    let mut asked = drain.clone();
    let mut pause = ACCEPT_PAUSE;
    let mut refusals = Refusals::default();
    loop {
        // A session needs a permit that was there before its connection was accepted.
        let permit = Arc::clone(&all).try_acquire_owned().ok();
        let accepted = tokio::select! {
            biased;
            () = asked.requested() => break,
            Some(ended) = sessions.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_peer(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::select! {
                    () = asked.requested() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                continue;
            }
        };
        pause = ACCEPT_PAUSE;
        match admit(permit, &counts, &limits, &peer) {
            Ok(permit) => {
                let session = Arc::clone(&handler).handle(stream, peer, drain.clone());
                sessions.spawn(async move {
                    session.await;
                    drop(permit);
                });
            }
            Err(refusal) => {
                // A full buffer or a lost peer: either way there is nothing more to tell.
                let _untold = stream.try_write(handler.busy());
                refusals.count(refusal, &peer);
                // A flood must not keep this thread from the sessions.
                tokio::task::yield_now().await;
            }
        }
    }
    drop(listener);
    finish(sessions, limits.drain, asked).await;
}

fn admit(
    permit: Option<OwnedSemaphorePermit>,
    counts: &Counts,
    limits: &Limits,
    peer: &Peer,
) -> Result<Permit, Refusal> {
    let one_of_all = permit.ok_or(Refusal::All)?;
    let one_of_its_address = match peer.counted_as() {
        Some(address) if !peer.is_loopback() => {
            Some(Counted::take(counts, address, limits.per_address).ok_or(Refusal::Address)?)
        }
        _ => None,
    };
    Ok(Permit {
        _one_of_all: one_of_all,
        _one_of_its_address: one_of_its_address,
    })
}

async fn finish(mut sessions: JoinSet<()>, time: Duration, mut drain: Drain) {
    let end = tokio::time::sleep(time);
    tokio::pin!(end);
    loop {
        tokio::select! {
            ended = sessions.join_next() => match ended {
                Some(ended) => report(ended),
                None => return,
            },
            () = &mut end => break,
            () = drain.forced() => break,
        }
    }
    while let Some(ended) = sessions.try_join_next() {
        report(ended);
    }
    if sessions.is_empty() {
        return;
    }
    tracing::warn!(
        sessions = sessions.len(),
        "sessions did not end in time; dropping them"
    );
    sessions.shutdown().await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        // The panic hook has told where; the other sessions go on.
        tracing::error!("a session panicked");
    }
}

/// Whether only the one connection failed that was about to be accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
    )
}

/// Tells of refusals without letting a flood fill the log: the 1st, 2nd, 4th, 8th, … of them.
#[derive(Default)]
struct Refusals(u64);

impl Refusals {
    fn count(&mut self, refusal: Refusal, peer: &Peer) {
        self.0 += 1;
        if self.0.is_power_of_two() {
            let limit = match refusal {
                Refusal::All => "limits.connections",
                Refusal::Address => "limits.connections_per_address",
            };
            tracing::warn!(%peer, limit, refused = self.0, "connection refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_limited_and_loopback_is_not() {
        let all = Arc::new(Semaphore::new(4));
        let counts = Counts::default();
        let limits = Limits {
            per_address: 1,
            ..Limits::default()
        };
        let admit = |text: &str| {
            let peer = Peer::from_socket(text.parse().expect("a socket address"));
            let permit = Arc::clone(&all).try_acquire_owned().ok();
            super::admit(permit, &counts, &limits, &peer)
        };
        let first = admit("192.0.2.1:1").expect("the first is served");
        assert_eq!(admit("192.0.2.1:2").err(), Some(Refusal::Address));
        let second = admit("192.0.2.2:1").expect("another is served");
        let third = admit("127.0.0.1:1").expect("loopback is served");
        let fourth = admit("127.0.0.1:2").expect("loopback is exempt");
        assert_eq!(admit("127.0.0.1:3").err(), Some(Refusal::All));
        drop((first, second, third, fourth));
        assert!(counts.lock().expect("not poisoned").is_empty());
        assert!(admit("192.0.2.1:3").is_ok());
    }
}
