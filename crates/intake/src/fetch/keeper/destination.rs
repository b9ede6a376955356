//! Into somebody else's keeping.

use tokio::sync::mpsc;

use super::super::{FetchError, Kind};
use super::{Archived, KeepError, Keeper, Kept, KeptAs, PIECES, Piece, Ticket, limits};
use crate::clock::now_ms;
use crate::destination::{Destination, DestinationError, Fault, Incoming, Scope};

impl Keeper {
    /// Stores at a destination. What is told as stored is not in any ledger yet.
    pub(in crate::fetch) fn destination(
        destination: Box<dyn Destination>,
        account: &str,
        archived: Archived,
    ) -> Self {
        let (pieces, incoming) = mpsc::channel(PIECES);
        let (told, kept) = mpsc::unbounded_channel();
        let filler = Filler {
            destination,
            account: account.to_owned(),
            archived,
            told,
            message: None,
            unflushed: Vec::new(),
            octets: 0,
            ends: None,
        };
        tokio::spawn(filler.run(incoming));
        Self::new(pieces, kept)
    }
}

/// The message that is coming in.
struct Message {
    ticket: Ticket,
    hasher: blake3::Hasher,
    size: u64,
    /// The first error is kept until the message ends: its octets still come.
    error: Option<KeepError>,
}

struct Filler {
    destination: Box<dyn Destination>,
    account: String,
    archived: Archived,
    told: mpsc::UnboundedSender<Kept>,
    message: Option<Message>,
    /// Messages that are finished and not flushed, with size and digest.
    unflushed: Vec<(Ticket, u64, [u8; 32])>,
    octets: u64,
    /// The destination takes nothing any more.
    ends: Option<KeepError>,
}

fn failed(error: &DestinationError) -> KeepError {
    match error.scope() {
        Scope::Message => KeepError::Message(error.to_string()),
        Scope::Destination => {
            let kind = match error.fault() {
                Fault::Unavailable => Kind::Unavailable,
                Fault::Io => Kind::Io,
                Fault::Temporary | Fault::Refused => Kind::Temporary,
                Fault::Protocol => Kind::Protocol,
                Fault::Permission => Kind::Permission,
                Fault::Configuration => Kind::Configuration,
            };
            KeepError::Target(FetchError::new(kind, error.to_string()))
        }
    }
}

impl Filler {
    async fn run(mut self, mut incoming: mpsc::Receiver<Piece>) {
        loop {
            // While more comes, a flush waits until it is worth it.
            let piece = match tokio::time::timeout(limits::BATCH_WAIT, incoming.recv()).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(_) => {
                    if self.message.is_none() {
                        self.flush().await;
                    }
                    match incoming.recv().await {
                        Some(piece) => piece,
                        None => break,
                    }
                }
            };
            self.take(piece).await;
        }
        self.flush().await;
        self.destination.close().await;
    }

    async fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Begin {
                ticket,
                remote_id,
                octets,
                again,
            } => {
                let mut message = Message {
                    ticket,
                    hasher: blake3::Hasher::new(),
                    size: 0,
                    error: self.ends.clone(),
                };
                let incoming = Incoming {
                    account: &self.account,
                    remote_id: &remote_id,
                    received_ms: now_ms(),
                    octets,
                    again,
                };
                if message.error.is_none() {
                    let begun = self.destination.begin(&incoming).await;
                    message.error = begun.err().as_ref().map(failed);
                }
                self.message = Some(message);
            }
            Piece::Bytes(bytes) => {
                if let Some(message) = &mut self.message
                    && message.error.is_none()
                {
                    message.hasher.update(&bytes);
                    message.size += bytes.len() as u64;
                    let written = self.destination.write(&bytes).await;
                    message.error = written.err().as_ref().map(failed);
                }
            }
            Piece::End => {
                if let Some(message) = self.message.take() {
                    self.end(message).await;
                }
            }
            Piece::Abandon => {
                if self.message.take().is_some_and(|m| m.error.is_none()) {
                    self.destination.abandon().await;
                }
            }
        }
    }

    async fn end(&mut self, message: Message) {
        let Message {
            ticket,
            hasher,
            size,
            mut error,
        } = message;
        let digest = *hasher.finalize().as_bytes();
        if error.is_none() && (self.archived)(&digest) {
            self.destination.abandon().await;
            return self.tell(ticket, Ok(KeptAs::Archived { size, digest }));
        }
        if error.is_none() {
            error = self.destination.finish().await.err().as_ref().map(failed);
        }
        if let Some(error) = error {
            if matches!(error, KeepError::Target(_)) {
                self.ends.get_or_insert_with(|| error.clone());
            }
            return self.tell(ticket, Err(error));
        }
        self.unflushed.push((ticket, size, digest));
        self.octets += size;
        if self.unflushed.len() >= limits::BATCH_MESSAGES || self.octets >= limits::BATCH_OCTETS {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        if self.unflushed.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.unflushed);
        self.octets = 0;
        let mut outcomes = self.destination.flush().await.into_iter();
        for (ticket, size, digest) in all {
            let outcome = match outcomes.next() {
                Some(Ok(())) => Ok(KeptAs::Stored {
                    unique_id: None,
                    size,
                    digest,
                }),
                Some(Err(error)) => Err(failed(&error)),
                // A destination that says nothing of a message has not stored it.
                None => Err(KeepError::Message(
                    "the destination did not say what became of it".to_owned(),
                )),
            };
            if let Err(error @ KeepError::Target(_)) = &outcome {
                self.ends.get_or_insert_with(|| error.clone());
            }
            self.tell(ticket, outcome);
        }
    }

    fn tell(&self, ticket: Ticket, outcome: Result<KeptAs, KeepError>) {
        // Whoever dropped the keeper does not want to know.
        let _unheard = self.told.send(Kept { ticket, outcome });
    }
}
