//! A Maildir as destination.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use restante_store::maildir::{Draft, Writer, mark_of};

use super::away::{Away, fault_of, is_full};
use super::error::{DestinationError, Fault};
use super::limits::{BATCH_MESSAGES, LARGE_OCTETS, MAILDIR_LEFTOVER, SPOOL_MEMORY_OCTETS};
use super::{Destination, DestinationFuture, Incoming, mark};

/// Writes into `tmp` as a message comes; syncs and moves into `new` when flushed.
pub(super) struct Maildir {
    folder: PathBuf,
    files: Away<Files>,
    current: Option<Current>,
    pending: usize,
    results: Vec<Result<(), DestinationError>>,
}

/// What waits for the disk.
struct Files {
    writer: Writer,
    folder: PathBuf,
    draft: Option<Draft>,
    /// `None` for a message that the Maildir had already.
    finished: Vec<Option<Draft>>,
    /// The marks of all messages that were there when it was first asked.
    marks: Option<HashSet<String>>,
}

struct Current {
    mark: String,
    received_ms: u64,
    octets: u64,
    /// What is not written yet.
    buffer: Vec<u8>,
    /// Nothing of it is written: it is there.
    is_there: bool,
}

impl Maildir {
    pub(super) async fn open(folder: &Path) -> Result<Self, DestinationError> {
        let path = folder.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let writer = Writer::create(&path)?;
            // Leftovers of other runs: nobody needs them, so nothing depends on their going.
            let _ = sweep(&path.join("tmp"));
            Ok(Files {
                writer,
                folder: path,
                draft: None,
                finished: Vec::new(),
                marks: None,
            })
        });
        let made: io::Result<Files> = made.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        let files = made.map_err(|e| error(folder, "cannot be made", 0, &e))?;
        Ok(Self {
            folder: folder.to_owned(),
            files: Away::new(files),
            current: None,
            pending: 0,
            results: Vec::new(),
        })
    }

    async fn begin(&mut self, incoming: &Incoming<'_>) -> Result<(), DestinationError> {
        self.abandon().await;
        let mark = mark(incoming);
        let mut is_there = false;
        if incoming.again {
            let wanted = mark.clone();
            let found = self.files.work(move |files| files.has(&wanted)).await?;
            is_there = found.map_err(|e| error(&self.folder, "cannot be read", 0, &e))?;
        }
        self.current = Some(Current {
            mark,
            received_ms: incoming.received_ms,
            octets: 0,
            buffer: Vec::new(),
            is_there,
        });
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DestinationError> {
        let Some(current) = &mut self.current else {
            return Err(super::not_begun());
        };
        if current.is_there {
            return Ok(());
        }
        current.octets += bytes.len() as u64;
        current.buffer.extend_from_slice(bytes);
        if current.buffer.len() < SPOOL_MEMORY_OCTETS {
            return Ok(());
        }
        self.pass_on(false).await
    }

    /// Writes what is buffered; all of the message has come, or not yet.
    async fn pass_on(&mut self, ends: bool) -> Result<(), DestinationError> {
        let Some(current) = &mut self.current else {
            return Err(super::not_begun());
        };
        let buffer = std::mem::take(&mut current.buffer);
        let (mark, received_ms) = (current.mark.clone(), current.received_ms);
        let written = self
            .files
            .work(move |files| files.write(received_ms, &mark, &buffer, ends));
        let result = written.await?;
        result.map_err(|e| {
            let octets = self.current.take().map_or(0, |current| current.octets);
            error(&self.folder, "cannot be written to", octets, &e)
        })
    }

    async fn finish(&mut self) -> Result<(), DestinationError> {
        match &self.current {
            None => return Err(super::not_begun()),
            Some(current) if current.is_there => self.files.here()?.finished.push(None),
            Some(_) => self.pass_on(true).await?,
        }
        self.current = None;
        self.pending += 1;
        if self.pending >= BATCH_MESSAGES {
            self.deliver().await;
        }
        Ok(())
    }

    async fn abandon(&mut self) {
        if self.current.take().is_some() {
            // What fails here leaves a file in `tmp`.
            let _ = self.files.work(|files| files.draft = None).await;
        }
    }

    /// Stores what is finished, and keeps the results.
    async fn deliver(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending == 0 {
            return;
        }
        match self.files.work(Files::deliver).await {
            Ok(results) => {
                self.results.extend(results.into_iter().map(|result| {
                    result.map_err(|e| error(&self.folder, "cannot be synced", 0, &e))
                }))
            }
            Err(gone) => self.results.extend(vec![Err(gone); pending]),
        }
    }
}

impl Files {
    fn has(&mut self, mark: &str) -> io::Result<bool> {
        let marks = match &mut self.marks {
            Some(marks) => marks,
            None => self.marks.insert(marks_in(&self.folder)?),
        };
        Ok(marks.contains(mark))
    }

    fn write(&mut self, received_ms: u64, mark: &str, bytes: &[u8], ends: bool) -> io::Result<()> {
        let mut draft = match self.draft.take() {
            Some(draft) => draft,
            None => self.writer.draft(received_ms, Some(mark))?,
        };
        // With an error the draft is dropped, and its file goes.
        draft.write_all(bytes)?;
        if ends {
            draft.flush()?;
            self.finished.push(Some(draft));
        } else {
            self.draft = Some(draft);
        }
        Ok(())
    }

    fn deliver(&mut self) -> Vec<io::Result<()>> {
        let finished = std::mem::take(&mut self.finished);
        let is_new: Vec<bool> = finished.iter().map(Option::is_some).collect();
        let mut delivered = self
            .writer
            .deliver_all(finished.into_iter().flatten().collect())
            .into_iter();
        is_new
            .into_iter()
            .map(|is_new| match is_new.then(|| delivered.next()).flatten() {
                None if is_new => Err(io::Error::other("no result")),
                None => Ok(()),
                Some(result) => {
                    let file = result?;
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    if let (Some(marks), Some(mark)) = (&mut self.marks, mark_of(&name)) {
                        marks.insert(mark.to_owned());
                    }
                    Ok(())
                }
            })
            .collect()
    }
}

/// The marks of all messages. One that a program has moved to another folder is not found.
fn marks_in(folder: &Path) -> io::Result<HashSet<String>> {
    let mut marks = HashSet::new();
    for part in ["new", "cur"] {
        for entry in fs::read_dir(folder.join(part))? {
            let name = entry?.file_name();
            if let Some(mark) = mark_of(&name.to_string_lossy()) {
                marks.insert(mark.to_owned());
            }
        }
    }
    // What was found may be there and not durable yet: the run that moved it may have ended before
    // the sync.
    for part in ["new", "cur"] {
        if cfg!(unix) {
            fs::File::open(folder.join(part))?.sync_all()?;
        }
    }
    Ok(marks)
}

/// Removes what earlier runs of ours left in `tmp`.
fn sweep(tmp: &Path) -> io::Result<()> {
    let now = SystemTime::now();
    for entry in fs::read_dir(tmp)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with(".restante") {
            continue;
        }
        let age = entry.metadata()?.modified()?;
        if now
            .duration_since(age)
            .is_ok_and(|age| age > MAILDIR_LEFTOVER)
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn error(folder: &Path, what: &str, octets: u64, error: &io::Error) -> DestinationError {
    let text = format!("the Maildir {} {what}: {error}", folder.display());
    if is_full(error) && octets > LARGE_OCTETS {
        return DestinationError::message(Fault::Io, text);
    }
    DestinationError::whole(fault_of(error), text)
}

impl Destination for Maildir {
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

    fn close(mut self: Box<Self>) -> DestinationFuture<'static, ()> {
        Box::pin(async move { Self::abandon(&mut self).await })
    }
}
