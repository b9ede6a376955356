//! Reading and writing so that no peer can hold anything for long: every wait has a deadline, and no
//! buffer is held while waiting.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::READ_OCTETS;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_OCTETS].into_boxed_slice());
}

/// A timer that a connection keeps. Moving it further away costs nothing until the old time has come,
/// so that it may be moved with each read.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Expires after `time`.
    pub fn after(time: Duration) -> Self {
        let at = Instant::now() + time;
        Self {
            at,
            sleep: Box::pin(sleep_until(at)),
        }
    }

    /// Expires after `time` from now instead.
    pub fn set(&mut self, time: Duration) {
        self.set_at(Instant::now() + time);
    }

    /// Expires at `at` instead.
    pub fn set_at(&mut self, at: Instant) {
        self.at = at;
        if at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
    }

    /// When it expires.
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// Ready once it has expired.
    pub async fn expired(&mut self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }

    /// As [`Self::expired`].
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at);
        }
    }
}

/// Reads once and gives what came to `take`; an empty slice means that the peer has ended its side.
/// Holds no buffer while it waits. Cancel-safe: nothing is read unless `take` is called.
pub async fn read_with<S, R>(stream: &mut S, take: impl FnOnce(&[u8]) -> R) -> io::Result<R>
where
    S: AsyncRead + Unpin,
{
    let mut take = Some(take);
    poll_fn(|cx| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            match take.take() {
                Some(take) => Poll::Ready(Ok(take(buffer.filled()))),
                None => Poll::Pending,
            }
        })
    })
    .await
}

/// Appends what one read brings, at most [`READ_OCTETS`]; 0 means that the peer has ended its side.
/// Holds no buffer while it waits; cancel-safe.
pub async fn read_some<S>(stream: &mut S, into: &mut Vec<u8>) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    read_with(stream, |bytes| {
        into.extend_from_slice(bytes);
        bytes.len()
    })
    .await
}

/// As [`read_some`], but fails with [`io::ErrorKind::TimedOut`] once `deadline` has expired.
pub async fn read_before<S>(
    stream: &mut S,
    into: &mut Vec<u8>,
    deadline: &mut Deadline,
) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    tokio::select! {
        biased;
        read = read_some(stream, into) => read,
        () = deadline.expired() => Err(timed_out("the peer sent nothing in time")),
    }
}

/// How slowly a peer may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long it may read nothing at all.
    pub stall: Duration,
    /// Octets a second that it must read on average, besides one `stall` for each [`write_all`].
    pub octets_per_second: u32,
}

impl Default for Pace {
    /// One minute, and 64 octets a second: slower than any modem, and still an end.
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(60),
            octets_per_second: 64,
        }
    }
}

/// Writes all, and flushes. Fails with [`io::ErrorKind::TimedOut`] when the peer is slower than
/// `pace`. Moves `deadline`; the caller sets it anew before it reads.
pub async fn write_all<S>(
    stream: &mut S,
    bytes: &[u8],
    deadline: &mut Deadline,
    pace: Pace,
) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let mut rest = bytes;
    let mut end = None;
    poll_fn(|cx| {
        loop {
            let step = if rest.is_empty() {
                Pin::new(&mut *stream).poll_flush(cx).map_ok(|()| None)
            } else {
                Pin::new(&mut *stream).poll_write(cx, rest).map_ok(Some)
            };
            match step {
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(Some(0))) => {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(Some(written))) => {
                    rest = &rest[written..];
                    // Renewed below when the next write has to wait.
                    if let Some(end) = end {
                        deadline.set_at((Instant::now() + pace.stall).min(end));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // The clock is only looked at once a peer lets us wait.
                    if end.is_none() {
                        let now = Instant::now();
                        let rate = u64::from(pace.octets_per_second.max(1));
                        let seconds = bytes.len() as u64 / rate;
                        end = Some(now + pace.stall + Duration::from_secs(seconds));
                        deadline.set_at(now + pace.stall);
                    }
                    return deadline
                        .poll_expired(cx)
                        .map(|()| Err(timed_out("the peer reads too slowly")));
                }
            }
        }
    })
    .await
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_at_the_deadline() {
        let (mut ours, _theirs) = duplex(64);
        let mut deadline = Deadline::after(Duration::from_secs(5));
        deadline.set(Duration::from_secs(30));
        let start = Instant::now();
        let mut into = Vec::new();
        let error = read_before(&mut ours, &mut into, &mut deadline)
            .await
            .expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(into.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_can_come_nearer() {
        let mut deadline = Deadline::after(Duration::from_secs(60));
        deadline.set(Duration::from_secs(2));
        let start = Instant::now();
        deadline.expired().await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    const PACE: Pace = Pace {
        stall: Duration::from_secs(10),
        octets_per_second: 10,
    };

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (mut ours, _theirs) = duplex(16);
        let mut deadline = Deadline::after(Duration::from_secs(1));
        let start = Instant::now();
        let error = write_all(&mut ours, &[7; 100], &mut deadline, PACE)
            .await
            .expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_served_above_the_floor_and_given_up_below() {
        for (octets, pause, served) in [(16, 1, true), (1, 9, false)] {
            let (mut ours, mut theirs) = duplex(16);
            let reader = tokio::spawn(async move {
                let mut buffer = vec![0; octets];
                while theirs.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
            });
            let mut deadline = Deadline::after(Duration::from_secs(1));
            let start = Instant::now();
            let done = write_all(&mut ours, &[7; 400], &mut deadline, PACE).await;
            assert_eq!(done.is_ok(), served, "{done:?}");
            assert!(start.elapsed().as_secs() <= 10 + 40);
            drop(ours);
            reader.await.expect("the reader does not panic");
        }
    }
}
