//! An mbox file as destination: appended under lock, as mboxrd.
//!
//! Messages gather in a spool, quoted already, so that the lock is held only while they are copied and
//! synced. The dotlock tells what the file was before: after a crash in the midst of it the torn
//! end is cut off again, see [`journal`].

mod journal;
mod lock;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memchr::memmem;
use restante_store::mbox::Writer;

use super::away::{Away, fault_of, is_full};
use super::error::{DestinationError, Fault};
use super::limits::{BATCH_OCTETS, LARGE_OCTETS, LOCK_WAIT};
use super::spool::Spool;
use super::{Destination, DestinationFuture, Incoming, mark};
use journal::Journal;
use lock::Lock;

/// What stands behind a mark in a From_ line, in the sender's place.
const SENDER: &str = "@restante.invalid";

/// Gathers messages in a spool; appends them to the file when flushed.
pub(super) struct Mbox {
    path: PathBuf,
    batch: Away<Batch>,
    current: Option<Current>,
    /// Messages in the batch: `false` for one that the file had already.
    pending: Vec<bool>,
    results: Vec<Result<(), DestinationError>>,
}

/// What waits for the disk.
struct Batch {
    path: PathBuf,
    /// Gone only while a method replaces it.
    writer: Option<Writer<Spool>>,
    spool: Option<PathBuf>,
    /// Octets of messages that are finished.
    whole: u64,
    /// All octets so far, for telling what a write may wait for.
    octets: u64,
    /// The marks of messages that were in the file when it was first asked.
    marks: Option<HashSet<[u8; MARK_OCTETS]>>,
}

const MARK_OCTETS: usize = 24;

struct Current {
    is_there: bool,
    octets: u64,
}

impl Mbox {
    pub(super) async fn open(
        path: &Path,
        spool: Option<PathBuf>,
    ) -> Result<Self, DestinationError> {
        let mut mbox = Self {
            path: path.to_owned(),
            batch: Away::new(Batch {
                path: path.to_owned(),
                writer: Some(Writer::new(Spool::new(spool.clone()))),
                spool,
                whole: 0,
                octets: 0,
                marks: None,
            }),
            current: None,
            pending: Vec::new(),
            results: Vec::new(),
        };
        // What an earlier run tore is mended now, and a folder that takes no file is known now.
        let locked = mbox
            .batch
            .work(|batch| Lock::take(&batch.path, LOCK_WAIT).map(drop));
        locked
            .await?
            .map_err(|e| mbox.error("cannot be opened", 0, &e))?;
        Ok(mbox)
    }

    fn error(&self, what: &str, octets: u64, error: &io::Error) -> DestinationError {
        let text = format!("the mbox {} {what}: {error}", self.path.display());
        if error.kind() == io::ErrorKind::WouldBlock {
            return DestinationError::whole(Fault::Temporary, text);
        }
        if is_full(error) && octets > LARGE_OCTETS {
            return DestinationError::message(Fault::Io, text);
        }
        DestinationError::whole(fault_of(error), text)
    }

    async fn begin(&mut self, incoming: &Incoming<'_>) -> Result<(), DestinationError> {
        self.abandon().await;
        let mark = mark(incoming);
        let mut is_there = false;
        if incoming.again {
            let wanted = mark.clone();
            let found = self.batch.work(move |batch| batch.has(&wanted)).await?;
            is_there = found.map_err(|e| self.error("cannot be read", 0, &e))?;
        }
        self.current = Some(Current {
            is_there,
            octets: 0,
        });
        if is_there {
            return Ok(());
        }
        let (sender, received_ms) = (format!("{mark}{SENDER}"), incoming.received_ms);
        // A From_ line may be the octets that spill, as any others.
        self.add(200, move |writer| writer.begin(&sender, received_ms))
            .await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DestinationError> {
        let Some(current) = &mut self.current else {
            return Err(super::not_begun());
        };
        if current.is_there {
            return Ok(());
        }
        current.octets += bytes.len() as u64;
        // Quoting makes it larger by a sixth at most: `From ` alone in each line.
        let larger = bytes.len() + bytes.len() / 5 + 16;
        if self.batch.here()?.may_wait(larger) {
            let bytes = bytes.to_vec();
            return self.add(larger, move |writer| writer.write(&bytes)).await;
        }
        let done = self.batch.here()?.add(|writer| writer.write(bytes));
        self.check(done).await
    }

    /// Adds to the batch, on this thread if that does not wait for the disk.
    async fn add(
        &mut self,
        octets: usize,
        write: impl FnOnce(&mut Writer<Spool>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), DestinationError> {
        let done = if self.batch.here()?.may_wait(octets) {
            self.batch.work(|batch| batch.add(write)).await?
        } else {
            self.batch.here()?.add(write)
        };
        self.check(done).await
    }

    async fn check(&mut self, done: io::Result<()>) -> Result<(), DestinationError> {
        let Err(error) = done else { return Ok(()) };
        let octets = self.current.as_ref().map_or(0, |current| current.octets);
        let error = self.error("cannot be spooled", octets, &error);
        self.abandon().await;
        Err(error)
    }

    async fn finish(&mut self) -> Result<(), DestinationError> {
        let Some(current) = &self.current else {
            return Err(super::not_begun());
        };
        let is_new = !current.is_there;
        if is_new {
            self.add(16, Writer::end).await?;
        }
        self.current = None;
        self.pending.push(is_new);
        let batch = self.batch.here()?;
        batch.whole = batch.octets;
        if batch.whole >= BATCH_OCTETS {
            self.deliver().await;
        }
        Ok(())
    }

    async fn abandon(&mut self) {
        if self.current.take().is_some_and(|current| !current.is_there) {
            // A batch that is gone says so in the next call.
            let _ = self.batch.work(Batch::forget).await;
        }
    }

    async fn deliver(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return;
        }
        let stored = match self.batch.work(Batch::deliver).await {
            Ok(result) => result.map_err(|e| self.error("cannot be appended to", 0, &e)),
            Err(gone) => Err(gone),
        };
        let results = pending
            .into_iter()
            .map(|is_new| if is_new { stored.clone() } else { Ok(()) });
        self.results.extend(results);
    }
}

impl Batch {
    fn may_wait(&self, octets: usize) -> bool {
        // The writer hides its spool; that one spills when this much is in memory at the latest.
        (self.octets + octets as u64) >= super::limits::SPOOL_MEMORY_OCTETS as u64
    }

    fn add(&mut self, write: impl FnOnce(&mut Writer<Spool>) -> io::Result<()>) -> io::Result<()> {
        let mut writer = self.take();
        let done = write(&mut writer);
        // What the quoter holds back counts with the next octets, or at the end.
        let spool = writer.get_ref();
        self.octets = spool.octets();
        self.writer = Some(writer);
        done
    }

    fn take(&mut self) -> Writer<Spool> {
        let spool = &self.spool;
        let fresh = || Writer::new(Spool::new(spool.clone()));
        self.writer.take().unwrap_or_else(fresh)
    }

    /// Drops what is there of a message that is not finished.
    fn forget(&mut self) {
        let mut spool = self.take().into_inner();
        spool.truncate(self.whole);
        self.octets = self.whole;
        self.writer = Some(Writer::new(spool));
    }

    fn deliver(&mut self) -> io::Result<()> {
        let mut spool = self.take().into_inner();
        let (whole, now) = (self.whole, Spool::new(self.spool.clone()));
        self.writer = Some(Writer::new(now));
        self.whole = 0;
        self.octets = 0;
        if whole == 0 {
            return Ok(());
        }
        append(&self.path, &mut spool, whole)
    }

    fn has(&mut self, mark: &str) -> io::Result<bool> {
        let marks = match &mut self.marks {
            Some(marks) => marks,
            None => {
                let lock = Lock::take(&self.path, LOCK_WAIT)?;
                // What is found here must be durable, whoever appended it.
                lock.file().sync_all()?;
                self.marks.insert(marks_in(lock.file())?)
            }
        };
        Ok(<[u8; MARK_OCTETS]>::try_from(mark.as_bytes()).is_ok_and(|mark| marks.contains(&mark)))
    }
}

/// Appends the first `whole` octets of a spool, and syncs; or leaves the file as it was.
fn append(path: &Path, spool: &mut Spool, whole: u64) -> io::Result<()> {
    let mut lock = Lock::take(path, LOCK_WAIT)?;
    let before = lock.file().metadata()?.len();
    let gap = gap(lock.file(), before)?;
    lock.note(&Journal {
        before,
        after: before + gap.len() as u64 + whole,
    })?;
    let written = copy(lock.file(), gap, spool, whole).and_then(|()| lock.file().sync_all());
    if let Err(error) = written {
        // The error that is told is the one that came first. A file that cannot even be cut keeps
        // its dotlock, and is cut when it is next opened.
        let cut = lock.file().set_len(before);
        if cut.and_then(|()| lock.file().sync_all()).is_err() {
            lock.leave();
        }
        return Err(error);
    }
    if before == 0 {
        lock::sync_folder_of(path)?;
    }
    Ok(())
}

fn copy(mut file: &File, gap: &[u8], spool: &mut Spool, whole: u64) -> io::Result<()> {
    file.seek(SeekFrom::End(0))?;
    file.write_all(gap)?;
    let mut at = 0;
    while at < whole {
        let mut piece = spool.piece(at)?;
        piece.truncate(usize::try_from(whole - at).unwrap_or(usize::MAX));
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// What must stand before a From_ line: an empty line, which another writer may have left out.
fn gap(mut file: &File, octets: u64) -> io::Result<&'static [u8]> {
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(octets.saturating_sub(4)))?;
    file.take(4).read_to_end(&mut end)?;
    let ends_lines = |ends: &[&[u8]]| ends.iter().any(|with| end.ends_with(with));
    Ok(
        if end.is_empty() || end == b"\n" || ends_lines(&[b"\n\n", b"\n\r\n"]) {
            b""
        } else if end.ends_with(b"\n") {
            b"\n"
        } else {
            b"\n\n"
        },
    )
}

/// The marks in all From_ lines.
fn marks_in(mut file: &File) -> io::Result<HashSet<[u8; MARK_OCTETS]>> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(1024 * 1024, file);
    let mut marks = HashSet::new();
    let mut line = Vec::new();
    loop {
        // Lines are looked at in pieces: one that does not end must not fill the memory.
        line.clear();
        let got = (&mut reader).take(256).read_until(b'\n', &mut line)?;
        if got == 0 {
            return Ok(marks);
        }
        if let Some(mark) = mark_in(&line) {
            marks.insert(mark);
        }
        if line.last() != Some(&b'\n') {
            skip_line(&mut reader)?;
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        if let Some(at) = memchr::memchr(b'\n', buffer) {
            reader.consume(at + 1);
            return Ok(());
        }
        let all = buffer.len();
        reader.consume(all);
    }
}

/// A message's own `From ` lines are quoted, so that one with our sender is ours.
fn mark_in(line: &[u8]) -> Option<[u8; MARK_OCTETS]> {
    let sender = line.strip_prefix(b"From ")?;
    let end = memmem::find(sender, SENDER.as_bytes())?;
    sender[..end].try_into().ok()
}

impl Destination for Mbox {
    fn begin<'a>(
        &'a mut self,
        incoming: &'a Incoming<'a>,
    ) -> DestinationFuture<'a, Result<(), DestinationError>> {
        Box::pin(self.begin(incoming))
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
        Box::pin(self.abandon())
    }

    fn flush(&mut self) -> DestinationFuture<'_, Vec<Result<(), DestinationError>>> {
        Box::pin(async {
            self.deliver().await;
            std::mem::take(&mut self.results)
        })
    }

    fn close(self: Box<Self>) -> DestinationFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}
