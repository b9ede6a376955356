//! The pack files: their names, reading them, and the one that this process appends to.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::draft::{Blocks, SealedBody};
use super::record::{Entry, PackHead, Record};
use super::scan::{Batch, Scanner};
use super::task::lock;
use super::{Place, frame, random_id, read_full_at, temporary, write_all_at};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};
use crate::limits::OPEN_PACKS;

const WRITE_OCTETS: usize = 1024 * 1024;

/// The pack files of a store.
#[derive(Debug)]
pub(super) struct Packs {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) lost: PathBuf,
    open: Mutex<HashMap<u32, Arc<dyn DiskFile>>>,
}

impl Packs {
    pub(super) fn new(disk: Arc<dyn Disk>, data: &std::path::Path) -> Self {
        Self {
            disk,
            folder: data.join("packs"),
            lost: data.join("lost+found"),
            open: Mutex::default(),
        }
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:06}.mbox.zst"))
    }

    /// Numbers of the packs that are there, ascending.
    pub(super) fn list(&self) -> io::Result<Vec<u32>> {
        let names = self.disk.list(&self.folder)?;
        let number = |name: &String| name.strip_suffix(".mbox.zst")?.parse().ok();
        let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The pack, open for reading.
    pub(super) fn reader(&self, number: u32) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = lock(&self.open).get(&number) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path(number), false)?;
        let mut open = lock(&self.open);
        if open.len() >= OPEN_PACKS
            && let Some(&other) = open.keys().next()
        {
            open.remove(&other);
        }
        open.insert(number, Arc::clone(&file));
        Ok(file)
    }

    /// Closes a pack that was removed, so that its space is free.
    pub(super) fn forget(&self, number: u32) {
        lock(&self.open).remove(&number);
    }

    /// Closes those that are not there any more: another process may have removed them.
    pub(super) fn forget_missing(&self) {
        if let Ok(there) = self.list() {
            lock(&self.open).retain(|number, _| there.binary_search(number).is_ok());
        }
    }

    pub(super) fn head(&self, number: u32) -> Result<Option<PackHead>, StoreError> {
        let file = self
            .disk
            .open(&self.path(number), false)
            .map_err(|e| temporary("a pack cannot be opened", &e))?;
        let mut bytes = vec![0; 64 * 1024];
        let read = read_full_at(file.as_ref(), &mut bytes, 0);
        let read = read.map_err(|e| temporary("a pack cannot be read", &e))?;
        match Record::decode(&bytes[..read]) {
            Ok((Record::Pack(head), _)) => Ok(Some(head)),
            Err(super::record::Bad::Newer(version)) => Err(super::record::Bad::newer(version)),
            _ => Ok(None),
        }
    }

    /// Locks an unsealed pack whose writer is gone and makes it end with its last good batch;
    /// `from` is where a batch is known to begin. `None` if someone holds it, or it is not there.
    pub(super) fn recover(&self, number: u32, from: u64) -> Result<Option<Recovered>, StoreError> {
        let fault = |e: io::Error| temporary(&format!("pack {number:06} cannot be recovered"), &e);
        let file = match self.disk.open(&self.path(number), true) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fault(e)),
        };
        // Between opening and locking it may have been removed, and its number given to another.
        let path = self.path(number);
        if !file.try_lock().map_err(fault)? || !file.is_at(&path).map_err(fault)? {
            return Ok(None);
        }
        let octets = file.octets().map_err(fault)?;
        if from > octets {
            let what = format!(
                "pack {number:06} is shorter than the index knows: put back the whole one, or run `restante rebuild` to go on with what is left"
            );
            return Err(StoreError::Permanent(what));
        }
        let (mut end, mut sealed, mut rescued) = (from, false, None);
        let mut scanner = Scanner::new(file.as_ref(), octets);
        loop {
            match scanner.batch(end)? {
                Batch::Whole { records, next } => {
                    sealed = matches!(records.last().map(|f| &f.record), Some(Record::Seal));
                    end = next;
                }
                // Told when the index catches up with it.
                Batch::Damaged { next, .. } => end = next,
                Batch::End => break,
                Batch::Tail => {
                    let name = self.rescue(number, file.as_ref(), end, octets);
                    let name = name.map_err(fault)?;
                    rescued = Some(format!(
                        "pack {number:06}: octets {end} to {octets} are no complete batch; they are in lost+found/{name}"
                    ));
                    break;
                }
            }
        }
        if end == 0 {
            // Its maker may be about to lock it: then it finds it gone and takes another number.
            self.disk.unlink(&path).map_err(fault)?;
            self.disk.sync_dir(&self.folder).map_err(fault)?;
            return Ok(None);
        }
        // What its writer left behind may be in memory only, and so may the name.
        file.sync_data().map_err(fault)?;
        self.disk.sync_dir(&self.folder).map_err(fault)?;
        Ok(Some(Recovered {
            file,
            end,
            sealed,
            rescued,
        }))
    }

    /// Copies an unfinished tail to `lost+found/`, then cuts it off.
    fn rescue(&self, number: u32, file: &dyn DiskFile, from: u64, to: u64) -> io::Result<String> {
        let id = u64::from_be_bytes(random_id()[..8].try_into().expect("8 of 16 octets"));
        let name = format!("{number:06}-{from}-{id:016x}.tail");
        self.disk.create_dir_all(&self.lost)?;
        let copy = self.disk.create_new(&self.lost.join(&name))?;
        let mut buf = vec![0; 256 * 1024];
        let mut at = from;
        while at < to {
            let want = (to - at).min(buf.len() as u64) as usize;
            let read = read_full_at(file, &mut buf[..want], at)?;
            if read == 0 {
                break;
            }
            write_all_at(copy.as_ref(), &buf[..read], at - from)?;
            at += read as u64;
        }
        copy.sync_data()?;
        self.disk.sync_dir(&self.lost)?;
        file.set_len(from)?;
        file.sync_data()?;
        Ok(name)
    }
}

/// A locked pack that ends with a good batch.
pub(super) struct Recovered {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) end: u64,
    pub(super) sealed: bool,
    /// What was put aside, for who runs the program.
    pub(super) rescued: Option<String>,
}

/// A pack that is being appended to.
struct Open {
    number: u32,
    file: Arc<dyn DiskFile>,
    /// Everything before it is durable.
    durable: u64,
    /// Its name is not durable yet.
    unnamed: bool,
}

/// A batch on its way into the pack.
struct Writing {
    start: u64,
    /// Where the next octet goes.
    offset: u64,
    buf: Vec<u8>,
    hasher: blake3::Hasher,
    /// How much of `buf` went into `hasher`: large pieces hash several times faster.
    hashed: usize,
}

impl Writing {
    fn hash(&mut self) {
        self.hasher.update(&self.buf[self.hashed..]);
        self.hashed = self.buf.len();
    }
}

/// Appends batches to the pack whose lock this process holds.
pub(super) struct PackWriter {
    packs: Arc<Packs>,
    seal_octets: u64,
    current: Option<Open>,
    writing: Option<Writing>,
    /// Packs that failed, which the next pack's first record ends.
    failed: Vec<(u32, u64, Arc<dyn DiskFile>)>,
    /// Those that it ended; locked until the index knows, so that nobody adopts one.
    ended: Vec<Arc<dyn DiskFile>>,
}

impl PackWriter {
    pub(super) fn new(packs: Arc<Packs>, seal_octets: u64) -> Self {
        Self {
            packs,
            seal_octets,
            current: None,
            writing: None,
            failed: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(super) fn number(&self) -> Option<u32> {
        self.current.as_ref().map(|open| open.number)
    }

    /// Whether a batch was begun.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// The current pack's number and where its next batch begins.
    pub(super) fn at(&self) -> Option<(u32, u64)> {
        self.current
            .as_ref()
            .map(|open| (open.number, open.durable))
    }

    /// Lets go of the current pack; anyone may adopt it.
    pub(super) fn release(&mut self) {
        self.current = None;
    }

    /// Whether a pack must be found before a batch can begin, and may be one that is there.
    pub(super) fn may_adopt(&self) -> bool {
        self.current.is_none() && self.failed.is_empty()
    }

    /// Lets go of the packs that failed and were ended: the index knows.
    pub(super) fn forget_ended(&mut self) {
        self.ended.clear();
    }

    pub(super) fn adopt(&mut self, number: u32, recovered: Recovered) {
        self.current = Some(Open {
            number,
            file: recovered.file,
            durable: recovered.end,
            unnamed: false,
        });
    }

    /// Begins a batch, in a new pack if there is none. Says where.
    pub(super) fn begin(
        &mut self,
        replaces: &[u32],
        ended: &[(u32, u64)],
    ) -> io::Result<(u32, u64, Option<PackHead>)> {
        let mut head = None;
        if self.current.is_none() {
            let (open, new) = self.create(replaces, ended)?;
            head = Some(new);
            self.current = Some(open);
        }
        let open = self.current.as_ref().expect("made just above");
        self.writing = Some(Writing {
            start: open.durable,
            offset: open.durable,
            buf: Vec::new(),
            hasher: blake3::Hasher::new(),
            hashed: 0,
        });
        let (number, start) = (open.number, open.durable);
        if let Some(head) = &head {
            self.put(&Record::Pack(head.clone()))?;
        }
        Ok((number, start, head))
    }

    fn create(&self, replaces: &[u32], ended: &[(u32, u64)]) -> io::Result<(Open, PackHead)> {
        let mut number = self.packs.list()?.last().map_or(1, |last| last + 1);
        let file = loop {
            let path = self.packs.path(number);
            match self.packs.disk.create_new(&path) {
                // Before it was locked another process may have taken it for one that a crash left
                // empty, and removed it.
                Ok(file) if file.try_lock()? && file.is_at(&path)? => break file,
                Ok(_) => number += 1,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(e),
            }
        };
        let mut all = ended.to_vec();
        all.extend(self.failed.iter().map(|(number, at, _)| (*number, *at)));
        // Also what those replaced: an older index may know of them only.
        let mut replaces = replaces.to_vec();
        for at in 0..replaces.len() {
            let head = self.packs.head(replaces[at]).map_err(io::Error::other)?;
            replaces.extend(head.into_iter().flat_map(|head| head.replaces));
        }
        let head = PackHead {
            number,
            id: random_id(),
            replaces,
            ended: all,
        };
        let open = Open {
            number,
            file,
            durable: 0,
            unnamed: true,
        };
        Ok((open, head))
    }

    /// Octets that the batch has so far.
    pub(super) fn octets(&self) -> u64 {
        self.writing.as_ref().map_or(0, |w| w.offset - w.start)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = self.writing.as_mut().expect("a batch was begun");
        writing.buf.extend_from_slice(bytes);
        writing.offset += bytes.len() as u64;
        if writing.buf.len() >= WRITE_OCTETS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let writing = self.writing.as_mut().expect("a batch was begun");
        let open = self.current.as_ref().expect("a batch has a pack");
        writing.hash();
        let at = writing.offset - writing.buf.len() as u64;
        write_all_at(open.file.as_ref(), &writing.buf, at)?;
        writing.buf.clear();
        writing.hashed = 0;
        Ok(())
    }

    fn here(&self) -> (u32, u64) {
        let open = self.current.as_ref().expect("a batch has a pack");
        let writing = self.writing.as_ref().expect("a batch was begun");
        (open.number, writing.offset)
    }

    /// Appends a record that has no body.
    pub(super) fn put(&mut self, record: &Record) -> io::Result<Place> {
        let (pack, offset) = self.here();
        let mut bytes = Vec::with_capacity(256);
        record.encode(&mut bytes);
        self.append(&bytes)?;
        let octets = bytes.len() as u64;
        Ok(Place {
            pack,
            offset,
            octets,
        })
    }

    /// Appends a message; fills in the frame's size.
    pub(super) fn put_entry(&mut self, entry: &mut Entry, body: &SealedBody) -> io::Result<Place> {
        let (pack, offset) = self.here();
        let from = frame::from_line(entry.unique_id, entry.mailbox, entry.received_ms);
        let content = from.len() as u64 + body.quoted + body.tail().len() as u64;
        let (mut head, mut tail) = (Vec::with_capacity(256), Vec::new());
        frame::start(body.window, content, &from, &mut head);
        frame::finish(body.tail(), &mut tail);
        entry.frame = (head.len() + tail.len()) as u64 + body.blocks.octets();
        let mut record = Vec::with_capacity(256);
        Record::Entry(entry.clone()).encode(&mut record);
        let octets = record.len() as u64 + entry.frame;
        self.append(&record)?;
        self.append(&head)?;
        match &body.blocks {
            Blocks::Memory(bytes) => self.append(bytes)?,
            Blocks::Spool(file, octets) => self.copy(file.as_ref(), 0, *octets)?,
        }
        self.append(&tail)?;
        Ok(Place {
            pack,
            offset,
            octets,
        })
    }

    /// Appends octets of another file as they are.
    pub(super) fn copy(&mut self, file: &dyn DiskFile, from: u64, octets: u64) -> io::Result<()> {
        let mut buf = vec![0; (256 * 1024).min(octets as usize)];
        let mut done = 0;
        while done < octets {
            let want = (octets - done).min(buf.len() as u64) as usize;
            if read_full_at(file, &mut buf[..want], from + done)? < want {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.append(&buf[..want])?;
            done += want as u64;
        }
        Ok(())
    }

    /// Appends a whole record with its body from another pack.
    pub(super) fn put_copy(
        &mut self,
        file: &dyn DiskFile,
        from: u64,
        octets: u64,
    ) -> io::Result<Place> {
        let (pack, offset) = self.here();
        self.copy(file, from, octets)?;
        Ok(Place {
            pack,
            offset,
            octets,
        })
    }

    /// Drops a batch into which nothing was put.
    pub(super) fn cancel(&mut self) {
        self.writing = None;
    }

    /// Ends the batch and, with `sync`, makes it durable; says where the pack ends and whether it is
    /// sealed. After an error the pack has failed, and so has the batch.
    pub(super) fn finish(&mut self, seal: bool, sync: bool) -> io::Result<(u64, bool)> {
        let full = self.here().1 >= self.seal_octets;
        let seal = seal || full;
        if seal {
            self.put(&Record::Seal)?;
        }
        let writing = self.writing.as_mut().expect("a batch was begun");
        writing.hash();
        let commit = Record::Commit {
            start: writing.start,
            length: writing.offset - writing.start,
            digest: *writing.hasher.finalize().as_bytes(),
        };
        self.put(&commit)?;
        self.flush()?;
        let end = self.here().1;
        let open = self.current.as_mut().expect("a batch has a pack");
        if sync {
            open.file.sync_data()?;
            if open.unnamed {
                self.packs.disk.sync_dir(&self.packs.folder)?;
                open.unnamed = false;
            }
            self.ended
                .extend(self.failed.drain(..).map(|failed| failed.2));
        }
        open.durable = end;
        self.writing = None;
        if seal && sync {
            self.current = None;
        }
        Ok((end, seal))
    }

    /// Seals the pack. The seal says that all before it is there: so it comes after a sync.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        self.sync()?;
        self.begin(&[], &[])?;
        self.finish(true, true).map(drop)
    }

    /// Makes durable what batches finished without a sync have left.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.current
            .as_ref()
            .map_or(Ok(()), |open| open.file.sync_data())
    }

    /// After an error: nothing is appended to this pack again, and the batch does not count.
    pub(super) fn fail(&mut self) {
        self.writing = None;
        let Some(open) = self.current.take() else {
            return;
        };
        let disk = &self.packs.disk;
        if open.durable == 0 && disk.unlink(&self.packs.path(open.number)).is_ok() {
            let _ = disk.sync_dir(&self.packs.folder);
            return;
        }
        // Best effort: the next pack says where this one ends, should the tail survive.
        let _ = open.file.set_len(open.durable);
        let _ = open.file.sync_data();
        self.failed.push((open.number, open.durable, open.file));
    }
}
