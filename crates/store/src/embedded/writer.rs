//! The one thread that writes: it gathers what waits into a batch, syncs once, answers all.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::index::apply::Applier;
use super::index::{self, sql};
use super::pack::PackWriter;
use super::record::{Entry, Record};
use super::task::{Answer, Promise, lock, promise};
use super::{Inner, catchup, draft::SealedBody, now_ms, reserve, temporary};
use crate::StoreError;
use crate::limits::{BATCH_OCTETS, INDEX_TRANSACTION_ROWS};

/// How often a writer looks whether another process wants its pack sealed.
const IDLE: Duration = Duration::from_millis(250);
const BEHIND: Duration = Duration::from_millis(50);

/// Something to be written.
pub(super) trait Job: Send {
    /// Decides on records and puts them into the batch. May be called again in a later batch if this
    /// one fails.
    fn run(&mut self, batch: &mut Batch<'_, '_>);
    /// Tells how the batch ended.
    fn done(self: Box<Self>, batch: Result<(), StoreError>);
}

pub(super) enum Request {
    Write {
        job: Box<dyn Job>,
        /// Frees space in the end: may use the reserve.
        frees: bool,
        octets: u64,
        rows: usize,
    },
    /// Runs between two batches.
    Between(Box<dyn FnOnce(&mut Writer) + Send>),
    Stop,
}

struct Change<T, F> {
    decide: F,
    result: Option<Result<T, StoreError>>,
    promise: Promise<T>,
}

impl<T: Send, F> Job for Change<T, F>
where
    F: FnMut(&mut Batch<'_, '_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, batch: &mut Batch<'_, '_>) {
        self.result = Some((self.decide)(batch));
    }

    fn done(self: Box<Self>, batch: Result<(), StoreError>) {
        let Self {
            result, promise, ..
        } = *self;
        promise.keep(match (result, batch) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) | (Some(Err(error)), Ok(())) => Err(error),
            (None, Ok(())) => Err(StoreError::Temporary("the batch was left out".into())),
        });
    }
}

/// Hands something to the writer.
pub(super) fn submit<T: Send + 'static>(
    inner: &Inner,
    frees: bool,
    octets: u64,
    rows: usize,
    decide: impl FnMut(&mut Batch<'_, '_>) -> Result<T, StoreError> + Send + 'static,
) -> Answer<T> {
    let (promise, answer) = promise();
    let job = Box::new(Change {
        decide,
        result: None,
        promise,
    });
    inner.send(Request::Write {
        job,
        frees,
        octets,
        rows,
    });
    answer
}

/// A batch that jobs put records into.
pub(super) struct Batch<'w, 'c> {
    pub(super) inner: &'w Inner,
    pack: &'w mut PackWriter,
    /// None while the index cannot be written: it catches up.
    applier: Option<Applier<'c>>,
    error: Option<io::Error>,
    seal: bool,
}

impl<'c> Batch<'_, 'c> {
    /// The index as it will be after this batch; an error while it cannot be had.
    pub(super) fn index(&self) -> Result<&'c Connection, StoreError> {
        let busy = || StoreError::Temporary("the index is busy: try again".into());
        self.applier.as_ref().map(|a| a.c).ok_or_else(busy)
    }

    /// Whether a mailbox may be delivered to; believed while the index cannot be asked.
    pub(super) fn has_index(&self) -> bool {
        self.applier.is_some()
    }

    /// Seals the pack with this batch.
    pub(super) fn seal(&mut self) -> Result<(), StoreError> {
        if self.pack.at().is_some() {
            self.begin()?;
            self.seal = true;
        }
        Ok(())
    }

    /// Seals the pack with this batch if it is that one.
    pub(super) fn seal_if(&mut self, number: u32) -> Result<(), StoreError> {
        match self.pack.at() {
            Some((current, _)) if current == number => self.seal(),
            _ => Ok(()),
        }
    }

    pub(super) fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        self.begin()?;
        let placed = self.pack.put(record);
        self.placed(placed, record)
    }

    pub(super) fn put_entry(
        &mut self,
        mut entry: Entry,
        body: &SealedBody,
    ) -> Result<(), StoreError> {
        self.begin()?;
        let placed = self.pack.put_entry(&mut entry, body);
        self.placed(placed, &Record::Entry(entry))
    }

    fn placed(
        &mut self,
        placed: io::Result<super::Place>,
        record: &Record,
    ) -> Result<(), StoreError> {
        match placed {
            Ok(place) => {
                self.apply(|applier| applier.apply(record, place));
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn apply(&mut self, what: impl FnOnce(&mut Applier<'c>) -> rusqlite::Result<()>) {
        if let Some(applier) = &mut self.applier
            && let Err(error) = what(applier)
        {
            self.inner.report(vec![sql(error).to_string()]);
            self.applier = None;
        }
    }

    fn failed(&mut self, error: io::Error) -> StoreError {
        let told = temporary("a pack cannot be written", &error);
        self.error.get_or_insert(error);
        told
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        if let Some(error) = &self.error {
            return Err(temporary("a pack cannot be written", error));
        }
        if self.pack.is_writing() {
            return Ok(());
        }
        let (number, start, head) = match self.pack.begin(&[], &[]) {
            Ok(begun) => begun,
            Err(error) => return Err(self.failed(error)),
        };
        let row = self.applier.as_ref().map(|a| index::pack_row(a.c, number));
        if !matches!(row, Some(Ok(row)) if row.unwrap_or_default().watermark == start) {
            // The index lacks an earlier batch: it has to catch up first.
            self.applier = None;
        }
        self.apply(|applier| {
            for (pack, at) in head.into_iter().flat_map(|head| head.ended) {
                applier.end_pack(pack, at)?;
            }
            Ok(())
        });
        Ok(())
    }
}

/// What the writing thread owns.
pub(super) struct Writer {
    pub(super) inner: Arc<Inner>,
    pub(super) pack: PackWriter,
    pub(super) c: Option<Connection>,
    /// Packs of which the index may not know all, and where they end.
    behind: BTreeMap<u32, u64>,
}

type Waiting = (Box<dyn Job>, bool);

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, pack: PackWriter) -> Self {
        Self {
            inner,
            pack,
            c: None,
            behind: BTreeMap::new(),
        }
    }

    /// Serves requests until told to stop.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        let (mut next, mut looked) = (None, Instant::now());
        loop {
            // By time, not by leisure: on a busy server there is never a pause.
            if looked.elapsed() >= IDLE {
                looked = Instant::now();
                self.guarded(Self::look);
            }
            let wait = if self.behind.is_empty() { IDLE } else { BEHIND };
            let request = match next.take() {
                Some(request) => Ok(request),
                None => requests.recv_timeout(wait),
            };
            match request {
                Ok(Request::Write {
                    job,
                    frees,
                    octets,
                    rows,
                }) => {
                    let mut jobs = vec![(job, frees)];
                    next = gather(requests, &mut jobs, octets, rows);
                    self.guarded(|writer| writer.process(jobs));
                }
                Ok(Request::Between(work)) => self.guarded(work),
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.guarded(Self::catch_up_later);
                }
            }
        }
    }

    /// Does what may have a fault in it: the thread outlives that, the batch does not. Those who
    /// wait for it get an error, since what they wait on is dropped.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(self)));
        if done.is_err() {
            let what = "a fault in the program stopped a batch: nothing of it is stored";
            self.inner.report(vec![what.into()]);
            self.c = None;
            if self.pack.is_writing() {
                self.pack.fail();
            }
        }
    }

    fn process(&mut self, mut jobs: Vec<Waiting>) {
        let outcome = self.batch(&mut jobs);
        let Err(error) = outcome else {
            return jobs.into_iter().for_each(|(job, _)| job.done(Ok(())));
        };
        let full = error.kind() == io::ErrorKind::StorageFull;
        let told = super::write_error("a pack cannot be written", &error, &self.inner);
        let (mut frees, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| full && job.1);
        for (job, _) in others {
            job.done(Err(told.clone()));
        }
        if frees.is_empty() {
            return;
        }
        reserve::release(&self.inner);
        let again = self.batch(&mut frees);
        let again =
            again.map_err(|e| super::write_error("a pack cannot be written", &e, &self.inner));
        for (job, _) in frees {
            job.done(again.clone());
        }
    }

    /// Puts all jobs into one batch and makes it durable.
    fn batch(&mut self, jobs: &mut [Waiting]) -> io::Result<()> {
        self.prepare();
        let tx = self.c.as_mut().and_then(|c| index::begin(c).ok());
        let applier = tx.as_ref().and_then(|tx| Applier::new(tx, now_ms()).ok());
        let mut batch = Batch {
            inner: &self.inner,
            pack: &mut self.pack,
            applier,
            error: None,
            seal: false,
        };
        for (job, _) in jobs {
            job.run(&mut batch);
        }
        let Batch {
            applier,
            mut error,
            seal,
            ..
        } = batch;
        if error.is_none() && !self.pack.is_writing() {
            // Nothing was put: nothing changed.
            return Ok(());
        }
        let number = self.pack.number();
        let finished = match error.take() {
            Some(error) => Err(error),
            None => self.pack.finish(seal, true),
        };
        let (end, sealed) = match finished {
            Ok(end) => end,
            Err(error) => {
                self.pack.fail();
                return Err(error);
            }
        };
        let number = number.expect("a batch that was finished has a pack");
        self.behind.insert(number, end);
        let applied = applier.map(|applier| {
            applier.watermark(number, end, sealed)?;
            applier.finish()
        });
        match (applied, tx) {
            (Some(Ok(())), Some(tx)) => match tx.commit() {
                Ok(()) => {
                    self.behind.remove(&number);
                    self.pack.forget_ended();
                }
                Err(error) => self.inner.report(vec![sql(error).to_string()]),
            },
            (Some(Err(error)), _) => self.inner.report(vec![sql(error).to_string()]),
            _ => {}
        }
        if self.behind.contains_key(&number) {
            // Before the replies, if it can be had now: who was answered expects to see it.
            self.catch_up();
        }
        Ok(())
    }

    /// Connects, catches up, and adopts a pack, as far as it goes: a batch can do without.
    fn prepare(&mut self) {
        if self.c.is_none() {
            self.c = self.inner.index.connect().ok();
        }
        if !self.behind.is_empty() {
            self.catch_up();
        }
        if self.pack.may_adopt()
            && let Err(error) = self.adopt()
        {
            self.inner.report(vec![error.to_string()]);
        }
    }

    fn adopt(&mut self) -> Result<(), StoreError> {
        let Some(c) = &mut self.c else { return Ok(()) };
        let packs = &self.inner.packs;
        let numbers = packs.list();
        for number in numbers.map_err(|e| temporary("the packs cannot be listed", &e))? {
            let row = index::pack_row(c, number).map_err(sql)?.unwrap_or_default();
            if row.sealed || row.ended.is_some() {
                continue;
            }
            if packs
                .head(number)?
                .is_some_and(|head| !head.replaces.is_empty())
            {
                continue;
            }
            let Some(mut found) = packs.recover(number, row.watermark)? else {
                continue;
            };
            self.inner
                .report(found.rescued.take().into_iter().collect());
            let file = found.file.as_ref();
            catchup::catch_up(&self.inner, c, number, file, found.end, &mut |_| {})?;
            if !found.sealed {
                self.pack.adopt(number, found);
                return Ok(());
            }
        }
        Ok(())
    }

    fn catch_up(&mut self) {
        let Some(c) = &mut self.c else { return };
        let inner = &self.inner;
        self.behind.retain(|&number, &mut end| {
            let file = inner.packs.reader(number);
            let file = file.map_err(|e| temporary("a pack cannot be opened", &e));
            let caught = file.and_then(|file| {
                catchup::catch_up(inner, c, number, file.as_ref(), end, &mut |_| {})
            });
            caught.is_err()
        });
        if self.behind.is_empty() {
            self.pack.forget_ended();
        }
    }

    /// Lets go of the current pack.
    pub(super) fn release(&mut self) {
        self.catch_up();
        self.pack.release();
    }

    /// Seals a pack that has no writer any more; says whether it did not.
    pub(super) fn seal_other(&mut self, number: u32) -> bool {
        self.prepare();
        if self.pack.number() == Some(number) {
            return true;
        }
        let sealed = self.seal_abandoned(number);
        if let Err(error) = sealed {
            self.inner.report(vec![error.to_string()]);
        }
        false
    }

    fn seal_abandoned(&mut self, number: u32) -> Result<(), StoreError> {
        let Some(c) = &mut self.c else { return Ok(()) };
        let fault = |e: io::Error| temporary("a pack cannot be sealed", &e);
        let packs = &self.inner.packs;
        let row = index::pack_row(c, number).map_err(sql)?.unwrap_or_default();
        let Some(found) = packs.recover(number, row.watermark)? else {
            return Ok(());
        };
        let file = Arc::clone(&found.file);
        let mut end = found.end;
        if !found.sealed {
            let mut pack = PackWriter::new(Arc::clone(packs), u64::MAX);
            pack.adopt(number, found);
            pack.begin(&[], &[]).map_err(fault)?;
            end = pack.finish(true, true).map_err(fault)?.0;
        }
        catchup::catch_up(&self.inner, c, number, file.as_ref(), end, &mut |_| {})
    }

    fn catch_up_later(&mut self) {
        if !self.behind.is_empty() {
            self.prepare();
        }
    }

    /// Seals the current pack if another process asks for it.
    fn look(&mut self) {
        let Some(number) = self.pack.number() else {
            return;
        };
        let wanted = self.inner.index.read(|c| {
            c.prepare_cached("SELECT 1 FROM packs WHERE number = ? AND seal_wanted = 1")?
                .exists([number])
        });
        if wanted == Ok(true) {
            let answer = submit(&self.inner, true, 0, 1, move |batch: &mut Batch<'_, '_>| {
                batch.seal_if(number)
            });
            drop(answer);
        }
    }
}

/// Takes what waits already, until the batch is large enough; returns what cannot be in it.
fn gather(
    requests: &Receiver<Request>,
    jobs: &mut Vec<Waiting>,
    mut octets: u64,
    mut rows: usize,
) -> Option<Request> {
    while octets < BATCH_OCTETS && rows < INDEX_TRANSACTION_ROWS {
        match requests.try_recv() {
            Ok(Request::Write {
                job,
                frees,
                octets: more,
                rows: more_rows,
            }) => {
                octets = octets.saturating_add(more);
                rows += more_rows;
                jobs.push((job, frees));
            }
            Ok(other) => return Some(other),
            Err(_) => return None,
        }
    }
    None
}

/// Where requests are handed in.
#[derive(Debug)]
pub(super) struct Inbox(std::sync::Mutex<Option<Sender<Request>>>);

impl Inbox {
    pub(super) fn new(sender: Sender<Request>) -> Self {
        Self(std::sync::Mutex::new(Some(sender)))
    }

    /// A request that nobody takes is dropped, and its promise with it.
    pub(super) fn send(&self, request: Request) {
        if let Some(sender) = &*lock(&self.0) {
            let _ = sender.send(request);
        }
    }

    pub(super) fn close(&self) {
        if let Some(sender) = lock(&self.0).take() {
            let _ = sender.send(Request::Stop);
        }
    }
}
