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

/// What is wrong for good is wrong with this message; what the disk cannot take now, it takes of nobody.
fn failed(error: &StoreError) -> KeepError {
    match error {
        StoreError::Permanent(what) => KeepError::Message(what.clone()),
        _ => KeepError::Target(FetchError::new(Kind::Io, error.to_string())),
    }
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

/// Stores a batch. One that cannot be stored for the sake of a message is stored message by message.
fn commit(store: &dyn MailStore, batch: Batch, told: &mpsc::UnboundedSender<Kept>) {
    let Batch {
        deliveries,
        tickets,
        ..
    } = batch;
    // Cheap: bodies are shared.
    let single = deliveries.clone();
    match together(store, deliveries) {
        Ok(stored) => {
            for (ticket, stored) in tickets.into_iter().zip(stored) {
                tell(told, ticket, Ok(stored));
            }
        }
        Err(StoreError::Permanent(what)) if single.len() > 1 => {
            let outcomes = one_by_one(store, single, &what);
            for (ticket, outcome) in tickets.into_iter().zip(outcomes) {
                tell(told, ticket, outcome);
            }
        }
        Err(error) => {
            for ticket in tickets {
                tell(told, ticket, Err(failed(&error)));
            }
        }
    }
}

/// What none of them can be stored for is the store's own fault.
fn one_by_one(
    store: &dyn MailStore,
    deliveries: Vec<Delivery>,
    what: &str,
) -> Vec<Result<KeptAs, KeepError>> {
    let mut outcomes: Vec<Result<KeptAs, KeepError>> = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let outcome = match outcomes.last() {
            Some(Err(KeepError::Target(error))) => Err(KeepError::Target(error.clone())),
            _ => match together(store, vec![delivery]) {
                Ok(stored) => stored.into_iter().next().ok_or_else(super::gone),
                Err(error) => Err(failed(&error)),
            },
        };
        outcomes.push(outcome);
    }
    let for_itself = |outcome: &Result<_, _>| matches!(outcome, Err(KeepError::Message(_)));
    if outcomes.iter().all(for_itself) {
        let error = KeepError::Target(FetchError::new(Kind::Io, what));
        return outcomes.iter().map(|_| Err(error.clone())).collect();
    }
    outcomes
}

/// Stores, all or nothing.
fn together(store: &dyn MailStore, deliveries: Vec<Delivery>) -> Result<Vec<KeptAs>, StoreError> {
    let facts: Vec<_> = deliveries
        .iter()
        .map(|delivery| (delivery.message.size, delivery.message.digest))
        .collect();
    let ids = block_on(store.commit(deliveries))?;
    let stored = ids.into_iter().zip(facts);
    Ok(stored
        .map(|(id, (size, digest))| KeptAs::Stored {
            unique_id: Some(id),
            size,
            digest,
        })
        .collect())
}

fn tell(told: &mpsc::UnboundedSender<Kept>, ticket: Ticket, outcome: Result<KeptAs, KeepError>) {
    // Whoever dropped the keeper does not want to know.
    let _unheard = told.send(Kept { ticket, outcome });
}

#[cfg(test)]
mod tests {
    use restante_store::MessageFilter;
    use restante_testkit::{MemoryStore, Op};

    use super::*;

    /// Four messages whose batch, and then single ones, fail as said; which are told of as failing for
    /// themselves, and how many are stored.
    fn four(errors: &[StoreError]) -> (Vec<Ticket>, usize) {
        let store = MemoryStore::default();
        let mailbox = block_on(store.create_mailbox("me")).expect("made");
        let mut batch = Batch::default();
        for ticket in 1..=4 {
            let mut draft = store.draft(None).expect("begun");
            draft.write(&[b'x'; 9][..ticket]).expect("written");
            batch.deliveries.push(Delivery {
                mailbox,
                message: draft.seal().expect("sealed"),
                received_ms: 1,
                source: None,
            });
            batch.tickets.push(ticket as Ticket);
        }
        for error in errors {
            store.fail_next(Op::Commit, error.clone());
        }
        let (told, mut kept) = mpsc::unbounded_channel();
        commit(&store, batch, &told);
        let mut failed = Vec::new();
        for _ in 1..=4 {
            let Kept { ticket, outcome } = kept.try_recv().expect("all are told of");
            if let Err(KeepError::Message(_)) = outcome {
                failed.push(ticket);
            }
        }
        assert!(kept.try_recv().is_err(), "each is told of once");
        let all = block_on(store.browse(mailbox, MessageFilter::Live, None, 10));
        (failed, all.expect("listed").len())
    }

    #[test]
    fn a_message_that_cannot_be_stored_takes_none_with_it() {
        let wrong = StoreError::Permanent("no such header can be".to_owned());
        assert_eq!(four(&[wrong.clone(), wrong]), (vec![1], 3));
    }

    /// A disk that fails is not asked again for each message.
    #[test]
    fn a_disk_that_fails_ends_it_and_so_does_a_store_that_takes_nothing() {
        let broken = StoreError::Temporary("input/output error".to_owned());
        let full = StoreError::Full {
            free: 0,
            min_free: 1,
        };
        let newer = StoreError::Permanent("a pack is of a newer format".to_owned());
        assert_eq!(four(std::slice::from_ref(&broken)), (vec![], 0));
        assert_eq!(four(&[full]), (vec![], 0));
        assert_eq!(four(&vec![newer.clone(); 5]), (vec![], 0));
        // It fails while they are stored one by one.
        assert_eq!(four(&[newer.clone(), newer, broken]), (vec![1], 0));
    }
}
