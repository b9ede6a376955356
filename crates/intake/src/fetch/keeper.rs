//! The storing half of a fetch: messages go in piece by piece, and come back as stored.
//!
//! The calling order for each message is [`begin`](Keeper::begin), [`write`](Keeper::write) as often as
//! needed, then [`end`](Keeper::end), or [`abandon`](Keeper::abandon) when it did not come whole. What
//! has become of a message is told by [`kept`](Keeper::kept), which may be waited for beside the
//! network; [`finish`](Keeper::finish) waits for all. Every message that was ended is told of once.
//!
//! Compressing, hashing and syncing happen on a thread of the keeper's own, so that receiving waits
//! only when [`limits::KEEPER_OCTETS`] are under way. Batches share a sync: while one is being synced
//! the next is compressed.

mod destination;
mod mailbox;

use restante_store::UniqueId;
use tokio::sync::mpsc;

use super::{FetchError, Kind, limits};

/// How a message is known to whoever handed it over.
pub(super) type Ticket = u64;

/// What became of a message.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) ticket: Ticket,
    pub(super) outcome: Result<KeptAs, KeepError>,
}

/// How a message is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeptAs {
    /// Durable.
    Stored {
        /// `None` at destinations that are not our store.
        unique_id: Option<UniqueId>,
        /// Exact octets.
        size: u64,
        digest: [u8; 32],
    },
    /// Not stored again: the very same octets are archived already.
    Archived { size: u64, digest: [u8; 32] },
}

/// Why a message is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeepError {
    /// This one cannot be taken; others may.
    Message(String),
    /// Nothing will be taken for now.
    Target(FetchError),
}

/// Whether these octets are archived already, under a unique-id that the server shows no more. Asked
/// on the keeper's thread.
pub(super) type Archived = Box<dyn Fn(&[u8; 32]) -> bool + Send>;

/// What is sent to the keeper's thread or task.
enum Piece {
    Begin {
        ticket: Ticket,
        remote_id: Vec<u8>,
        octets: Option<u64>,
        again: bool,
    },
    Bytes(Vec<u8>),
    End,
    Abandon,
}

/// Stores messages for one fetch. Dropped: what is under way may still be stored, and is not told.
pub(super) struct Keeper {
    pieces: mpsc::Sender<Piece>,
    kept: mpsc::UnboundedReceiver<Kept>,
    /// Octets of the message that is being written and not sent on yet.
    pending: Vec<u8>,
    /// Messages that were ended and not told of yet.
    outstanding: usize,
}

/// The keeper's other side has gone, which it does only when it panicked.
fn gone() -> KeepError {
    let what = "what stores messages has stopped; see the log";
    KeepError::Target(FetchError::new(Kind::Io, what))
}

impl Keeper {
    fn new(pieces: mpsc::Sender<Piece>, kept: mpsc::UnboundedReceiver<Kept>) -> Self {
        Self {
            pieces,
            kept,
            pending: Vec::new(),
            outstanding: 0,
        }
    }

    /// Begins a message. `octets`: about how many will come. `again`: an earlier attempt may have
    /// stored it without anybody's knowing.
    pub(super) async fn begin(
        &mut self,
        ticket: Ticket,
        remote_id: Vec<u8>,
        octets: Option<u64>,
        again: bool,
    ) -> Result<(), KeepError> {
        debug_assert!(self.pending.is_empty(), "the message before has ended");
        self.send(Piece::Begin {
            ticket,
            remote_id,
            octets,
            again,
        })
        .await
    }

    /// Its next octets.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), KeepError> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < limits::KEEPER_PIECE_OCTETS {
            return Ok(());
        }
        self.pass_on().await
    }

    async fn pass_on(&mut self) -> Result<(), KeepError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // A piece may wait: it takes no more memory than it is long.
        let bytes = self.pending.as_slice().to_vec();
        self.pending.clear();
        self.send(Piece::Bytes(bytes)).await
    }

    /// Ends it: from now on it is outstanding.
    pub(super) async fn end(&mut self) -> Result<(), KeepError> {
        self.pass_on().await?;
        self.send(Piece::End).await?;
        self.outstanding += 1;
        Ok(())
    }

    /// Drops what has come of the message that was begun.
    pub(super) async fn abandon(&mut self) -> Result<(), KeepError> {
        self.pending.clear();
        self.send(Piece::Abandon).await
    }

    async fn send(&mut self, piece: Piece) -> Result<(), KeepError> {
        self.pieces.send(piece).await.map_err(|_| gone())
    }

    /// Messages that were ended and not told of yet.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// What became of those that are decided; waits for the first, and for ever when none is
    /// outstanding. Loses nothing when it is dropped half-way.
    pub(super) async fn kept(&mut self) -> Result<Vec<Kept>, KeepError> {
        if self.outstanding == 0 {
            return std::future::pending().await;
        }
        let first = self.kept.recv().await.ok_or_else(gone)?;
        let mut all = vec![first];
        while let Ok(more) = self.kept.try_recv() {
            all.push(more);
        }
        self.outstanding -= all.len();
        Ok(all)
    }

    /// Stores all that is outstanding and tells of it.
    pub(super) async fn finish(self) -> Result<Vec<Kept>, KeepError> {
        let Self {
            pieces,
            mut kept,
            outstanding,
            ..
        } = self;
        // Nothing more comes: the last batch need not wait to be larger.
        drop(pieces);
        let mut all = Vec::with_capacity(outstanding);
        while all.len() < outstanding {
            all.push(kept.recv().await.ok_or_else(gone)?);
        }
        Ok(all)
    }
}

/// How many pieces may be under way.
const PIECES: usize = limits::KEEPER_OCTETS / limits::KEEPER_PIECE_OCTETS;

#[cfg(test)]
mod tests;
