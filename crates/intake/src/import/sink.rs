//! Where messages go: into drafts, past what the mailbox holds already, in batches to the store.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use pollster::block_on;
use restante_store::marks::{Book, Marks};
use restante_store::{
    Delivery, Draft, MailStore, MailboxId, MessageFilter, Sealed, StoreError, UniqueId,
};

use super::annotations::{self, Annotations};
use super::limits::{BATCH_MESSAGES, BATCH_OCTETS, BROWSE_MESSAGES, HEADER_OCTETS, PIECE_OCTETS};
use super::twins::Twins;
use super::{Marked, Marker, Options, Progress, SourceError, Summary};

/// Why a message was not taken.
#[derive(Debug)]
pub(super) enum Stop {
    /// Its file is at fault.
    Source(SourceError),
    /// Nothing else will be taken either.
    Halt(Halt),
}

/// Why an import ends.
#[derive(Debug)]
pub(super) enum Halt {
    /// The store failed.
    Store(StoreError),
    /// The marks cannot be kept.
    Marks(String),
    /// The mailbox may hold no more.
    OverQuota,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Source(error.into())
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

/// Where a message is that is known.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the mailbox.
    Stored(UniqueId),
    /// In the batch that waits.
    Waits(usize),
    /// Nowhere: it would be stored, were this no dry run.
    Counted,
}

/// What is known of a message before it is read.
pub(super) struct Origin<'a> {
    /// The file that it is in.
    pub(super) path: &'a Path,
    /// Received, in milliseconds since 1970.
    pub(super) received_ms: u64,
    /// About how long it is.
    pub(super) octets: Option<u64>,
    /// It stands in an mbox.
    pub(super) in_mbox: bool,
    /// What our own export says of the messages in that place.
    pub(super) book: Option<&'a Book>,
    /// The last LF may be the export's and not the message's.
    pub(super) line_end_added: bool,
}

/// A message that was read.
pub(super) struct Taken {
    message: Sealed,
    received_ms: u64,
    marks: Marks,
    twins: Vec<Digest>,
}

/// Takes messages. What it still holds when it is dropped is not stored: `flush` first.
pub(super) struct Sink<'a> {
    store: &'a dyn MailStore,
    mailbox: MailboxId,
    /// What the mailbox holds and what this import brought, 40 octets a message. `None` when
    /// duplicates are wanted.
    known: Option<HashMap<Digest, Place>>,
    batch: Vec<Delivery>,
    batch_octets: u64,
    /// Marks of messages that wait, by their place in the batch.
    batch_marks: Vec<(usize, Marks)>,
    /// Marks of messages that are stored.
    marked: Vec<Marked>,
    /// What the mailbox may still take, as POP3 counts octets.
    room: Option<u64>,
    dry_run: bool,
    messages: u64,
    piece: Vec<u8>,
    summary: Summary,
    marker: &'a mut dyn Marker,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl<'a> Sink<'a> {
    pub(super) fn new(
        store: &'a dyn MailStore,
        mailbox: MailboxId,
        options: &Options,
        marker: &'a mut dyn Marker,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Self {
        Self {
            store,
            mailbox,
            known: (!options.duplicates).then(HashMap::new),
            batch: Vec::new(),
            batch_octets: 0,
            batch_marks: Vec::new(),
            marked: Vec::new(),
            room: options.quota_octets,
            dry_run: options.dry_run,
            messages: 0,
            piece: Vec::with_capacity(PIECE_OCTETS),
            summary: Summary::default(),
            marker,
            progress,
        }
    }

    /// Learns what the mailbox holds.
    pub(super) fn learn(&mut self) -> Result<(), StoreError> {
        let mailboxes = block_on(self.store.mailboxes())?;
        let ours = mailboxes.iter().find(|found| found.id == self.mailbox);
        if let Some(room) = &mut self.room {
            *room = room.saturating_sub(ours.map_or(0, |found| found.totals.octets));
        }
        let (Some(known), Some(_)) = (&mut self.known, ours) else {
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
            let page = page.iter();
            known.extend(page.map(|info| (short(&info.digest), Place::Stored(info.unique_id))));
        }
    }

    /// Takes one message, whose octets `read` appends until it says 0, and what is known of it.
    pub(super) fn message(
        &mut self,
        origin: &Origin<'_>,
        marks: Marks,
        read: impl FnMut(&mut Vec<u8>) -> io::Result<usize>,
    ) -> Result<(), Stop> {
        match self.take(origin, read)? {
            Some(taken) => self.keep(origin, taken, marks),
            None => Ok(()),
        }
    }

    /// Reads one message. `None`: it is none any more.
    pub(super) fn take(
        &mut self,
        origin: &Origin<'_>,
        mut read: impl FnMut(&mut Vec<u8>) -> io::Result<usize>,
    ) -> Result<Option<Taken>, Stop> {
        let draft = self.store.draft(origin.octets)?;
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        let found = look(origin, &mut piece, &mut read)?;
        if found.expunged && origin.in_mbox {
            self.summary.expunged += 1;
            return Ok(None);
        }
        piece.drain(..found.strip);
        let mut feed = Feed {
            draft,
            twins: (found.strip > 0).then(Twins::default),
            held: origin.line_end_added.then(Held::default),
        };
        loop {
            for part in piece.chunks(PIECE_OCTETS) {
                feed.write(part)?;
            }
            piece.clear();
            if read(&mut piece)? == 0 {
                break;
            }
        }
        self.piece = piece;
        let (message, twins) = feed.seal(origin.book)?;
        let mut taken = Taken {
            received_ms: origin.received_ms,
            marks: found.marks,
            twins: twins.iter().map(short).collect(),
            message,
        };
        let noted = origin
            .book
            .and_then(|book| book.noted(&taken.message.digest));
        if let Some(noted) = noted {
            taken.received_ms = noted.received_ms;
            taken.marks.merge(noted.marks.clone());
        }
        Ok(Some(taken))
    }

    /// Keeps a message, if it is new, and its marks with `more`.
    pub(super) fn keep(
        &mut self,
        origin: &Origin<'_>,
        taken: Taken,
        more: Marks,
    ) -> Result<(), Stop> {
        let Taken {
            message,
            received_ms,
            mut marks,
            twins,
        } = taken;
        marks.merge(more);
        self.messages += 1;
        self.summary.octets += message.size;
        let known = self.place(short(&message.digest), &twins);
        let place = match known {
            Some(place) => {
                self.summary.already_there += 1;
                place
            }
            None => self.add(message, received_ms)?,
        };
        if !marks.is_empty() {
            self.summary.marked += 1;
            match place {
                Place::Stored(id) => self.marked.push(Marked { id, marks }),
                Place::Waits(at) => self.batch_marks.push((at, marks)),
                Place::Counted => {}
            }
        }
        (self.progress)(Progress {
            messages: self.messages,
            octets: self.summary.octets,
            path: origin.path,
        });
        let is_due = self.batch.len() >= BATCH_MESSAGES
            || self.batch_octets >= BATCH_OCTETS
            || self.marked.len() >= BROWSE_MESSAGES;
        match is_due {
            true => self.flush().map_err(Stop::Halt),
            false => Ok(()),
        }
    }

    /// Where the same message is already; if it is nowhere, notes where it will be.
    fn place(&mut self, digest: Digest, twins: &[Digest]) -> Option<Place> {
        let known = self.known.as_mut()?;
        let mut forms = std::iter::once(&digest).chain(twins);
        if let Some(place) = forms.find_map(|form| known.get(form)) {
            return Some(*place);
        }
        let place = match self.dry_run {
            true => Place::Counted,
            false => Place::Waits(self.batch.len()),
        };
        known.insert(digest, place);
        None
    }

    /// Puts a new message into the batch.
    fn add(&mut self, message: Sealed, received_ms: u64) -> Result<Place, Stop> {
        if let Some(room) = &mut self.room {
            *room = room
                .checked_sub(message.octets)
                .ok_or(Stop::Halt(Halt::OverQuota))?;
        }
        if self.dry_run {
            self.summary.imported += 1;
            return Ok(Place::Counted);
        }
        self.batch_octets += message.size;
        self.batch.push(Delivery {
            mailbox: self.mailbox,
            message,
            received_ms,
            source: None,
        });
        Ok(Place::Waits(self.batch.len() - 1))
    }

    /// Stores what waits, then its marks: a crash in between leaves messages that are there when the
    /// import is run again, and get their marks then.
    pub(super) fn flush(&mut self) -> Result<(), Halt> {
        if !self.batch.is_empty() {
            self.batch_octets = 0;
            let batch = std::mem::take(&mut self.batch);
            let digests: Vec<_> = batch.iter().map(|one| short(&one.message.digest)).collect();
            let stored = block_on(self.store.commit(batch)).map_err(Halt::Store)?;
            self.summary.imported += stored.len() as u64;
            if let Some(known) = &mut self.known {
                let places = stored.iter().map(|id| Place::Stored(*id));
                known.extend(digests.into_iter().zip(places));
            }
            for (at, marks) in self.batch_marks.drain(..) {
                let Some(id) = stored.get(at).copied() else {
                    continue;
                };
                self.marked.push(Marked { id, marks });
            }
        }
        if self.marked.is_empty() {
            return Ok(());
        }
        let marked = std::mem::take(&mut self.marked);
        if self.dry_run {
            return Ok(());
        }
        self.marker.mark(&marked).map_err(Halt::Marks)
    }

    /// Sets a file aside.
    pub(super) fn set_aside(&mut self, path: &Path, error: impl Into<SourceError>) {
        self.summary.failed.push((path.to_owned(), error.into()));
    }

    /// Notes an mbox that did not begin with a From_ line.
    pub(super) fn headless(&mut self, path: &Path) {
        self.summary.headless.push(path.to_owned());
    }

    /// Notes a message whose attachments are elsewhere.
    pub(super) fn partial(&mut self, path: PathBuf) {
        self.summary.partial.push(path);
    }

    pub(super) fn into_summary(self) -> Summary {
        self.summary
    }
}

/// Reads a message's header, as far as it is held, and what other programs noted there.
fn look(
    origin: &Origin<'_>,
    piece: &mut Vec<u8>,
    read: &mut impl FnMut(&mut Vec<u8>) -> io::Result<usize>,
) -> io::Result<Annotations> {
    let mut end = None;
    while end.is_none() && piece.len() < HEADER_OCTETS && read(piece)? > 0 {
        end = annotations::header_end(piece);
    }
    // What we exported is what the store held, to the octet.
    Ok(match origin.book {
        Some(_) => Annotations::default(),
        None => annotations::look(&piece[..end.unwrap_or(piece.len())], origin.in_mbox),
    })
}

/// The last octet, held back until it is known whether it is the message's.
#[derive(Default)]
struct Held {
    octet: Option<u8>,
    /// Of all before it.
    digest: blake3::Hasher,
}

/// A draft that is written, and what must be known of its octets beside.
struct Feed {
    draft: Box<dyn Draft>,
    twins: Option<Twins>,
    held: Option<Held>,
}

impl Feed {
    fn write(&mut self, part: &[u8]) -> Result<(), StoreError> {
        if let Some(twins) = &mut self.twins {
            twins.push(part);
        }
        let (Some(held), Some((last, front))) = (&mut self.held, part.split_last()) else {
            return self.draft.write(part);
        };
        if let Some(octet) = held.octet.replace(*last) {
            held.digest.update(&[octet]);
            self.draft.write(&[octet])?;
        }
        held.digest.update(front);
        self.draft.write(front)
    }

    fn seal(mut self, book: Option<&Book>) -> Result<(Sealed, Vec<[u8; 32]>), StoreError> {
        if let Some(Held { octet, digest }) = self.held.take()
            && let Some(octet) = octet
        {
            let digest = digest.finalize();
            let is_whole = book.is_some_and(|book| book.noted(digest.as_bytes()).is_some());
            if octet != b'\n' || !is_whole {
                self.draft.write(&[octet])?;
            }
        }
        let twins = self.twins.map(Twins::finish).unwrap_or_default();
        Ok((self.draft.seal()?, twins))
    }
}

fn short(digest: &[u8; 32]) -> Digest {
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}
