//! Into a mailbox of our store.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use pollster::block_on;
use restante_store::{Delivery, Draft, MailStore, MailboxId, Source, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::super::{FetchError, Kind};
use super::{Archived, KeepError, Keeper, Kept, KeptAs, PIECES, Piece, Ticket, limits};
use crate::clock::now_ms;

impl Keeper {
    /// Stores into a mailbox. The entry's header is the ledger: what is told as stored has its remote
    /// unique-id on disk too.
    pub(in crate::fetch) fn mailbox(
        store: Arc<dyn MailStore>,
        mailbox: MailboxId,
        account: &str,
        archived: Archived,
    ) -> std::io::Result<Self> {
        let (pieces, incoming) = mpsc::channel(PIECES);
        let (told, kept) = mpsc::unbounded_channel();
        // One batch is being synced while the next is being filled; a third waits.
        let (batches, to_commit) = std::sync::mpsc::sync_channel(1);
        let committing = Arc::clone(&store);
        let tell = told.clone();
        thread::Builder::new()
            .name("fetch-commit".to_owned())
            .spawn(move || {
                for batch in to_commit {
                    commit(&*committing, batch, &tell);
                }
            })?;
        let mut filler = Filler {
            store,
            mailbox,
            account: account.to_owned(),
            archived,
            batches,
            runtime: Handle::current(),
            told,
            batch: Batch::default(),
            message: None,
        };
        thread::Builder::new()
            .name("fetch-store".to_owned())
            .spawn(move || filler.run(incoming))?;
        Ok(Self::new(pieces, kept))
    }
}

/// Messages that will share a sync.
#[derive(Default)]
struct Batch {
    deliveries: Vec<Delivery>,
    tickets: Vec<Ticket>,
    octets: u64,
    since: Option<Instant>,
}

/// The message that is coming in.
struct Message {
    ticket: Ticket,
    remote_id: Vec<u8>,
    /// The first error is kept until the message ends: its octets still come.
    draft: Result<Box<dyn Draft>, StoreError>,
}

struct Filler {
    store: Arc<dyn MailStore>,
    mailbox: MailboxId,
    account: String,
    archived: Archived,
    batches: std::sync::mpsc::SyncSender<Batch>,
    /// For its clock.
    runtime: Handle,
    told: mpsc::UnboundedSender<Kept>,
    batch: Batch,
    message: Option<Message>,
}

/// The store failed: what it cannot take now, it takes of nobody.
fn failed(error: &StoreError) -> KeepError {
    KeepError::Target(FetchError::new(Kind::Io, error.to_string()))
}

impl Filler {
    fn run(&mut self, mut incoming: mpsc::Receiver<Piece>) {
        loop {
            let piece = match incoming.try_recv() {
                Ok(piece) => Some(piece),
                Err(TryRecvError::Disconnected) => None,
                // Nothing waits to be compressed: what is there may as well be synced, unless it was
                // begun a moment ago.
                Err(TryRecvError::Empty) => self.next(&mut incoming),
            };
            let Some(piece) = piece else { break };
            self.take(piece);
        }
        self.hand_over();
    }

    fn next(&mut self, incoming: &mut mpsc::Receiver<Piece>) -> Option<Piece> {
        if let Some(since) = self.batch.since {
            let left = limits::BATCH_WAIT.saturating_sub(since.elapsed());
            let soon = async { tokio::time::timeout(left, incoming.recv()).await };
            match self.runtime.block_on(soon) {
                Ok(piece) => return piece,
                Err(_) => self.hand_over(),
            }
        }
        incoming.blocking_recv()
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Begin {
                ticket,
                remote_id,
                octets,
                ..
            } => {
                self.message = Some(Message {
                    ticket,
                    remote_id,
                    draft: self.store.draft(octets),
                });
            }
            Piece::Bytes(bytes) => {
                if let Some(message) = &mut self.message
                    && let Ok(draft) = &mut message.draft
                    && let Err(error) = draft.write(&bytes)
                {
                    message.draft = Err(error);
                }
            }
            Piece::End => {
                if let Some(message) = self.message.take() {
                    self.end(message);
                }
            }
            Piece::Abandon => self.message = None,
        }
    }

    fn end(&mut self, message: Message) {
        let ticket = message.ticket;
        let sealed = match message.draft.and_then(Draft::seal) {
            Ok(sealed) => sealed,
            Err(error) => return tell(&self.told, ticket, Err(failed(&error))),
        };
        let (size, digest) = (sealed.size, sealed.digest);
        if (self.archived)(&digest) {
            return tell(&self.told, ticket, Ok(KeptAs::Archived { size, digest }));
        }
        self.batch.deliveries.push(Delivery {
            mailbox: self.mailbox,
            message: sealed,
            received_ms: now_ms(),
            source: Some(Source {
                account: self.account.clone(),
                remote_id: message.remote_id,
            }),
        });
        self.batch.tickets.push(ticket);
        self.batch.octets += size;
        self.batch.since.get_or_insert_with(Instant::now);
        if self.batch.deliveries.len() >= limits::BATCH_MESSAGES
            || self.batch.octets >= limits::BATCH_OCTETS
        {
            self.hand_over();
        }
    }

    /// Waits while two batches are before it: that is what bounds the memory.
    fn hand_over(&mut self) {
        if self.batch.deliveries.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        if let Err(back) = self.batches.send(batch) {
            // The other thread panicked, which the store's own tests exclude.
            for ticket in back.0.tickets {
                tell(&self.told, ticket, Err(super::gone()));
            }
        }
    }
}

fn commit(store: &dyn MailStore, batch: Batch, told: &mpsc::UnboundedSender<Kept>) {
    let Batch {
        deliveries,
        tickets,
        ..
    } = batch;
    let facts: Vec<_> = deliveries
        .iter()
        .map(|delivery| (delivery.message.size, delivery.message.digest))
        .collect();
    match block_on(store.commit(deliveries)) {
        Ok(ids) => {
            for ((ticket, id), (size, digest)) in tickets.into_iter().zip(ids).zip(facts) {
                let stored = KeptAs::Stored {
                    unique_id: Some(id),
                    size,
                    digest,
                };
                tell(told, ticket, Ok(stored));
            }
        }
        Err(error) => {
            for ticket in tickets {
                tell(told, ticket, Err(failed(&error)));
            }
        }
    }
}

fn tell(told: &mpsc::UnboundedSender<Kept>, ticket: Ticket, outcome: Result<KeptAs, KeepError>) {
    // Whoever dropped the keeper does not want to know.
    let _unheard = told.send(Kept { ticket, outcome });
}
