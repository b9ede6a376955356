//! Destinations that get a message only once it is there whole.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;

use super::away::{Away, is_full};
use super::error::{DestinationError, Fault};
use super::limits::LARGE_OCTETS;
use super::spool::Spool;
use super::{Destination, DestinationFuture, Incoming};

/// A whole message.
pub(super) struct Message {
    pub(super) account: String,
    pub(super) remote_id: Vec<u8>,
    pub(super) received_ms: u64,
    pub(super) again: bool,
    pub(super) facts: Facts,
    spool: Away<Spool>,
}

/// What was noticed while it came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) octets: u64,
    /// LF without a CR before it.
    pub(super) bare_lfs: u64,
    pub(super) has_nul: bool,
    pub(super) has_8bit: bool,
    pub(super) last: Option<u8>,
}

impl Facts {
    fn take(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        for at in memchr::memchr_iter(b'\n', bytes) {
            let before = match at.checked_sub(1) {
                Some(before) => Some(bytes[before]),
                None => self.last,
            };
            self.bare_lfs += u64::from(before != Some(b'\r'));
        }
        self.has_nul = self.has_nul || memchr::memchr(0, bytes).is_some();
        self.has_8bit = self.has_8bit || !bytes.is_ascii();
        self.octets += bytes.len() as u64;
        self.last = Some(last);
    }

    /// Its octets when each LF has its CR.
    pub(super) fn wire_octets(&self) -> u64 {
        self.octets + self.bare_lfs
    }
}

impl Message {
    pub(super) fn new(incoming: &Incoming<'_>, spool: Option<PathBuf>) -> Self {
        Self {
            account: incoming.account.to_owned(),
            remote_id: incoming.remote_id.to_vec(),
            received_ms: incoming.received_ms,
            again: incoming.again,
            facts: Facts::default(),
            spool: Away::new(Spool::new(spool)),
        }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), DestinationError> {
        self.facts.take(bytes);
        let written = if self.spool.here()?.would_wait(bytes.len()) {
            let bytes = bytes.to_vec();
            self.spool.work(move |s| s.write_all(&bytes)).await?
        } else {
            self.spool.here()?.write_all(bytes)
        };
        written.map_err(|e| self.error("cannot be spooled", &e))
    }

    /// The octets from `at` on, at most [`PIECE_OCTETS`](super::limits::PIECE_OCTETS); none at the
    /// end.
    pub(super) async fn piece(&mut self, at: u64) -> Result<Vec<u8>, DestinationError> {
        let read = if self.spool.here()?.is_in_memory() {
            self.spool.here()?.piece(at)
        } else {
            self.spool.work(move |spool| spool.piece(at)).await?
        };
        read.map_err(|e| self.error("cannot be read from its spool file", &e))
    }

    fn error(&self, what: &str, error: &io::Error) -> DestinationError {
        let text = format!("a message of {} octets {what}: {error}", self.facts.octets);
        if is_full(error) && self.facts.octets <= LARGE_OCTETS {
            return DestinationError::whole(Fault::Io, text);
        }
        DestinationError::message(Fault::Io, text)
    }
}

/// Stores one whole message after the other.
pub(super) trait Deliver: Send + 'static {
    /// Stores a message; on return it is stored.
    fn deliver(
        &mut self,
        message: &mut Message,
    ) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// Takes its leave.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Makes a destination of what stores whole messages.
pub(super) struct Spooled<T> {
    inner: T,
    folder: Option<PathBuf>,
    current: Option<Message>,
    stored: usize,
}

impl<T: Deliver> Spooled<T> {
    pub(super) fn new(inner: T, folder: Option<PathBuf>) -> Self {
        Self {
            inner,
            folder,
            current: None,
            stored: 0,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DestinationError> {
        let Some(message) = &mut self.current else {
            return Err(super::not_begun());
        };
        let taken = message.take(bytes).await;
        if taken.is_err() {
            self.current = None;
        }
        taken
    }

    async fn finish(&mut self) -> Result<(), DestinationError> {
        let Some(mut message) = self.current.take() else {
            return Err(super::not_begun());
        };
        self.inner.deliver(&mut message).await?;
        self.stored += 1;
        Ok(())
    }
}

impl<T: Deliver> Destination for Spooled<T> {
    fn begin<'a>(
        &'a mut self,
        incoming: &'a Incoming<'a>,
    ) -> DestinationFuture<'a, Result<(), DestinationError>> {
        self.current = Some(Message::new(incoming, self.folder.clone()));
        Box::pin(async { Ok(()) })
    }

    fn write<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> DestinationFuture<'a, Result<(), DestinationError>> {
        Box::pin(self.write(bytes))
    }

    fn finish(&mut self) -> DestinationFuture<'_, Result<(), DestinationError>> {
        Box::pin(self.finish())
    }

    fn abandon(&mut self) -> DestinationFuture<'_, ()> {
        self.current = None;
        Box::pin(async {})
    }

    fn flush(&mut self) -> DestinationFuture<'_, Vec<Result<(), DestinationError>>> {
        let stored = std::mem::take(&mut self.stored);
        Box::pin(async move { vec![Ok(()); stored] })
    }

    fn close(self: Box<Self>) -> DestinationFuture<'static, ()> {
        Box::pin(self.inner.close())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_do_not_depend_on_the_pieces() {
        let message = b"\na\r\nb\n\n\r\n\xe9\r";
        for piece in 1..=message.len() {
            let mut facts = Facts::default();
            for piece in message.chunks(piece) {
                facts.take(piece);
            }
            assert_eq!((facts.octets, facts.bare_lfs), (11, 3), "{piece}");
            assert_eq!(facts.last, Some(b'\r'));
            assert!(facts.has_8bit && !facts.has_nul);
        }
    }
}
