//! Where messages go: into drafts, past what the mailbox holds already, in batches to the store.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use restante_store::{Delivery, MailStore, MailboxId, MessageFilter, StoreError};

use super::limits::{BATCH_MESSAGES, BATCH_OCTETS, BROWSE_MESSAGES, PIECE_OCTETS};
use super::{Options, Progress, SourceError, Summary};
use pollster::block_on;

/// Why a message was not taken.
#[derive(Debug)]
pub(super) enum Stop {
    /// Its file is at fault.
    Source(io::Error),
    /// Nothing else will be taken either.
    Halt(Halt),
}

/// Why an import ends.
#[derive(Debug)]
pub(super) enum Halt {
    /// The store failed.
    Store(StoreError),
    /// The mailbox may hold no more.
    OverQuota,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Source(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Halt(Halt::Store(error))
    }
}

/// Enough of a BLAKE3 digest: nobody finds two messages with the same 128 bits by chance, and who
/// makes two on purpose loses his own mail.
type Digest = [u8; 16];

/// Takes messages. What it still holds when it is dropped is not stored: `flush` first.
pub(super) struct Sink<'a> {
    store: &'a dyn MailStore,
    mailbox: MailboxId,
    /// 16 octets a message: what the mailbox holds and what this import brought. `None` when
    /// duplicates are wanted.
    known: Option<HashSet<Digest>>,
    batch: Vec<Delivery>,
    batch_octets: u64,
    /// What the mailbox may still take, as POP3 counts octets.
    room: Option<u64>,
    messages: u64,
    piece: Vec<u8>,
    summary: Summary,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        store: &'a dyn MailStore,
        mailbox: MailboxId,
        options: &Options,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Self {
        Self {
            store,
            mailbox,
            known: (!options.duplicates).then(HashSet::new),
            batch: Vec::new(),
            batch_octets: 0,
            room: options.quota_octets,
            messages: 0,
            piece: Vec::with_capacity(PIECE_OCTETS),
            summary: Summary::default(),
            progress,
        }
    }

    /// Learns what the mailbox holds.
    pub(super) fn learn(&mut self) -> Result<(), StoreError> {
        if let Some(room) = &mut self.room {
            let mailboxes = block_on(self.store.mailboxes())?;
            let ours = mailboxes.iter().find(|found| found.id == self.mailbox);
            *room = room.saturating_sub(ours.map_or(0, |found| found.totals.octets));
        }
        let Some(known) = &mut self.known else {
            return Ok(());
        };
        let mut after = None;
        loop {
            let page = block_on(self.store.browse(
                self.mailbox,
                MessageFilter::Live,
                after,
                BROWSE_MESSAGES,
            ))?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.unique_id);
            known.extend(page.iter().map(|message| short(&message.digest)));
        }
    }

    /// Takes one message of `path`, whose octets `read` appends until it says 0.
    pub(super) fn message(
        &mut self,
        path: &Path,
        received_ms: u64,
        size_hint: Option<u64>,
        mut read: impl FnMut(&mut Vec<u8>) -> io::Result<usize>,
    ) -> Result<(), Stop> {
        let mut draft = self.store.draft(size_hint)?;
        loop {
            self.piece.clear();
            if read(&mut self.piece)? == 0 {
                break;
            }
            for part in self.piece.chunks(PIECE_OCTETS) {
                draft.write(part)?;
            }
        }
        let message = draft.seal()?;
        self.messages += 1;
        self.summary.octets += message.size;
        let is_new = match &mut self.known {
            Some(known) => known.insert(short(&message.digest)),
            None => true,
        };
        if is_new {
            if let Some(room) = &mut self.room {
                *room = room
                    .checked_sub(message.octets)
                    .ok_or(Stop::Halt(Halt::OverQuota))?;
            }
            self.batch_octets += message.size;
            self.batch.push(Delivery {
                mailbox: self.mailbox,
                message,
                received_ms,
                source: None,
            });
        } else {
            self.summary.already_there += 1;
        }
        (self.progress)(Progress {
            messages: self.messages,
            octets: self.summary.octets,
            path,
        });
        if self.batch.len() >= BATCH_MESSAGES || self.batch_octets >= BATCH_OCTETS {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores what waits.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_octets = 0;
        let stored = block_on(self.store.commit(std::mem::take(&mut self.batch)))?;
        self.summary.imported += stored.len() as u64;
        Ok(())
    }

    /// Sets a file aside.
    pub(super) fn set_aside(&mut self, path: &Path, error: impl Into<SourceError>) {
        self.summary.failed.push((path.to_owned(), error.into()));
    }

    /// Notes an mbox that did not begin with a From_ line.
    pub(super) fn headless(&mut self, path: &Path) {
        self.summary.headless.push(path.to_owned());
    }

    /// Notes folders that were not entered.
    pub(super) fn passed_by(&mut self, folders: Vec<PathBuf>) {
        self.summary.subfolders.extend(folders);
    }

    pub(super) fn into_summary(self) -> Summary {
        self.summary
    }
}

fn short(digest: &[u8; 32]) -> Digest {
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}
