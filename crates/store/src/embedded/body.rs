//! Reading a message: from the page cache on the caller's thread, else on one that may wait.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::record::{Bad, Entry, Record, flag};
use super::{Inner, Place, temporary};
use crate::disk::DiskFile;
use crate::limits::{BODY_CHUNK_OCTETS, BODY_ONE_SHOT_OCTETS};
use crate::mbox::Unquoter;
use crate::{Body, Hints, StoreError, StoreFuture, UniqueId};

/// A record's frame is smaller than this unless a remote unique-id is very long.
const HEAD_OCTETS: usize = 4096;
const READ_OCTETS: usize = 32 * 1024;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why a step of reading did not succeed.
enum Stop {
    /// The device would have to be waited for.
    Wait,
    /// There is another record at this place: the pack was compacted.
    Moved,
    Failed(StoreError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Moved;
        }
        Self::Failed(temporary("a pack cannot be read", &error))
    }
}

fn damaged(id: UniqueId, place: Place) -> StoreError {
    StoreError::Permanent(format!(
        "message {id} is damaged in pack {:06} at octet {}: `restante rebuild` lists the damage",
        place.pack, place.offset
    ))
}

/// Reads all of `buf` that the file has.
fn fill(file: &dyn DiskFile, buf: &mut [u8], offset: u64, wait: bool) -> Result<usize, Stop> {
    if wait {
        return Ok(super::read_full_at(file, buf, offset)?);
    }
    let mut done = 0;
    while done < buf.len() {
        match file.read_at_no_wait(&mut buf[done..], offset + done as u64)? {
            None => return Err(Stop::Wait),
            Some(0) => break,
            Some(read) => done += read,
        }
    }
    Ok(done)
}

/// Opens a message's body; looks its place up anew, once, when it was moved.
pub(super) async fn open(
    inner: &Arc<Inner>,
    id: UniqueId,
    place: Place,
) -> Result<Box<dyn Body>, StoreError> {
    match start(inner, id, place).await {
        Err(Stop::Moved) => {}
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Wait) => return Err(StoreError::Temporary("a read went astray".into())),
        Ok(body) => return Ok(Box::new(body)),
    }
    let place = inner.place(id)?.ok_or(StoreError::NotFound)?;
    match start(inner, id, place).await {
        Ok(body) => Ok(Box::new(body)),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Moved | Stop::Wait) => match inner.place(id)? {
            None => Err(StoreError::NotFound),
            Some(_) => Err(damaged(id, place)),
        },
    }
}

async fn start(inner: &Arc<Inner>, id: UniqueId, place: Place) -> Result<EmbeddedBody, Stop> {
    let again = match load(inner, id, place, false) {
        Err(Stop::Wait) => Arc::clone(inner),
        other => return other.map(|part| EmbeddedBody::new(inner, part)),
    };
    let outcome = inner.workers.run(move || Ok(load(&again, id, place, true)));
    let part = outcome.await.map_err(Stop::Failed)??;
    Ok(EmbeddedBody::new(inner, part))
}

/// What there is of an opened message.
struct Part {
    hints: Hints,
    size: u64,
    state: State,
}

enum State {
    /// All of it: checked, and how much was handed out.
    Whole {
        bytes: Vec<u8>,
        at: usize,
        end: usize,
    },
    Streamed(Box<Stream>),
    /// A step was given up half way.
    Lost,
}

fn load(inner: &Inner, id: UniqueId, place: Place, wait: bool) -> Result<Part, Stop> {
    let file = inner.packs.reader(place.pack)?;
    SCRATCH.with_borrow_mut(|scratch| {
        let whole = place.octets <= (BODY_ONE_SHOT_OCTETS + HEAD_OCTETS) as u64;
        let want = if whole {
            place.octets as usize
        } else {
            HEAD_OCTETS
        };
        scratch.resize(want, 0);
        let mut read = fill(file.as_ref(), scratch, place.offset, wait)?;
        let (entry, head) = loop {
            match Record::decode(&scratch[..read]) {
                Ok((Record::Entry(entry), head)) => break (entry, head),
                Err(Bad::Short(octets)) if octets < place.octets && octets > read as u64 => {
                    scratch.resize(octets as usize, 0);
                    read = fill(file.as_ref(), scratch, place.offset, wait)?;
                    if (read as u64) < octets {
                        return Err(Stop::Moved);
                    }
                }
                _ => return Err(Stop::Moved),
            }
        };
        if entry.unique_id != id || head as u64 + entry.frame != place.octets {
            return Err(Stop::Moved);
        }
        let hints = Hints {
            all_crlf: entry.flags & flag::ALL_CRLF != 0,
            dot_lines: entry.flags & flag::DOT_LINES != 0,
        };
        let size = entry.size;
        let state = if whole && size <= BODY_ONE_SHOT_OCTETS as u64 {
            let frame = scratch.get(head..read).unwrap_or_default();
            let (bytes, at) = unpack(&entry, frame).ok_or(Stop::Failed(damaged(id, place)))?;
            let end = at + size as usize;
            State::Whole { bytes, at, end }
        } else {
            let from = place.offset + head as u64;
            State::Streamed(Box::new(Stream::new(file, from, &entry, place)))
        };
        // A thread that once read a large record need not keep its space.
        if scratch.capacity() > 2 * BODY_ONE_SHOT_OCTETS {
            *scratch = Vec::new();
        }
        Ok(Part { hints, size, state })
    })
}

/// Decompresses a small entry whole and checks it; says where in the result the message begins.
fn unpack(entry: &Entry, frame: &[u8]) -> Option<(Vec<u8>, usize)> {
    let content = zstd::zstd_safe::get_frame_content_size(frame).ok()??;
    // Quoting adds at most a sixth, the From_ line and the tail a few octets.
    if content > entry.size * 2 + HEAD_OCTETS as u64 {
        return None;
    }
    let mut bytes = Vec::with_capacity(content as usize);
    DECOMPRESSOR.with_borrow_mut(|context| {
        let context = context.get_or_insert_with(DCtx::create);
        context.decompress(&mut bytes, frame).ok()
    })?;
    let mut start = memchr::memchr(b'\n', &bytes)? + 1;
    if entry.flags & flag::QUOTED != 0 {
        let mut plain = Vec::with_capacity(bytes.len());
        let mut unquoter = Unquoter::mboxrd();
        unquoter.push(&bytes[start..], &mut plain);
        unquoter.finish(&mut plain);
        (bytes, start) = (plain, 0);
    }
    let message = bytes.get(start..)?.get(..entry.size as usize)?;
    (blake3::hash(message).as_bytes() == &entry.digest).then_some((bytes, start))
}

/// A message too large to be in memory.
struct Stream {
    file: Arc<dyn DiskFile>,
    /// The next octet of the frame, and its end.
    at: u64,
    end: u64,
    context: DCtx<'static>,
    input: Vec<u8>,
    used: usize,
    /// The From_ line is not passed yet.
    from_line: bool,
    unquoter: Option<Unquoter>,
    /// Decompressed, unquoted, not handed out.
    ready: Vec<u8>,
    left: u64,
    hasher: blake3::Hasher,
    digest: [u8; 32],
    id: UniqueId,
    place: Place,
}

impl Stream {
    fn new(file: Arc<dyn DiskFile>, at: u64, entry: &Entry, place: Place) -> Self {
        let quoted = entry.flags & flag::QUOTED != 0;
        Self {
            file,
            at,
            end: at + entry.frame,
            context: DCtx::create(),
            input: Vec::new(),
            used: 0,
            from_line: true,
            unquoter: quoted.then(Unquoter::mboxrd),
            ready: Vec::new(),
            left: entry.size,
            hasher: blake3::Hasher::new(),
            digest: entry.digest,
            id: entry.unique_id,
            place,
        }
    }

    /// Makes the next piece ready: a full one, or the last.
    fn advance(&mut self, wait: bool) -> Result<(), Stop> {
        while (self.ready.len() as u64) < self.left.min(BODY_CHUNK_OCTETS as u64) {
            if self.used == self.input.len() && self.at < self.end {
                let want = (self.end - self.at).min(READ_OCTETS as u64) as usize;
                let mut input = std::mem::take(&mut self.input);
                input.resize(want, 0);
                let read = fill(self.file.as_ref(), &mut input, self.at, wait);
                if read.is_err() {
                    input.clear();
                }
                (self.input, self.used) = (input, 0);
                let read = read?;
                self.input.truncate(read);
                self.at += read as u64;
            }
            if self.decompress() != Some(true) {
                return Err(Stop::Failed(damaged(self.id, self.place)));
            }
        }
        Ok(())
    }

    /// Takes a step; says whether there was one to take. What came out may still be held back.
    fn decompress(&mut self) -> Option<bool> {
        let mut out = Vec::with_capacity(READ_OCTETS);
        let mut input = InBuffer::around(&self.input[self.used..]);
        let mut output = OutBuffer::around(&mut out);
        self.context
            .decompress_stream(&mut output, &mut input)
            .ok()?;
        let moved = input.pos() > 0;
        self.used += input.pos();
        let moved = moved || !out.is_empty();
        let mut bytes = out.as_slice();
        if self.from_line {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                return Some(moved);
            };
            bytes = &bytes[end + 1..];
            self.from_line = false;
        }
        let before = self.ready.len();
        match &mut self.unquoter {
            Some(unquoter) => unquoter.push(bytes, &mut self.ready),
            None => self.ready.extend_from_slice(bytes),
        }
        // Behind the message stands the tail, which is not hashed.
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        self.ready.truncate(room.max(before));
        Some(moved)
    }

    fn piece(&mut self, into: &mut Vec<u8>, wait: bool) -> Result<usize, Stop> {
        self.advance(wait)?;
        let octets = self.ready.len().min(BODY_CHUNK_OCTETS);
        let piece = &self.ready[..octets];
        self.hasher.update(piece);
        self.left -= octets as u64;
        if self.left == 0 && self.hasher.finalize().as_bytes() != &self.digest {
            return Err(Stop::Failed(damaged(self.id, self.place)));
        }
        into.extend_from_slice(piece);
        self.ready.drain(..octets);
        Ok(octets)
    }
}

/// Whether an entry's message is what its digest says. Octets that cannot be had are not.
pub(super) fn is_good(file: &Arc<dyn DiskFile>, entry: &Entry, place: Place) -> bool {
    let from = place.offset + (place.octets - entry.frame);
    let small = BODY_ONE_SHOT_OCTETS as u64;
    if entry.size <= small && entry.frame <= small {
        let mut frame = vec![0; entry.frame as usize];
        let read = super::read_full_at(file.as_ref(), &mut frame, from);
        return read.is_ok_and(|read| read == frame.len()) && unpack(entry, &frame).is_some();
    }
    let mut stream = Stream::new(Arc::clone(file), from, entry, place);
    let mut piece = Vec::with_capacity(BODY_CHUNK_OCTETS);
    // An empty message has its digest looked at too.
    loop {
        piece.clear();
        if stream.piece(&mut piece, true).is_err() {
            return false;
        }
        if stream.left == 0 {
            return true;
        }
    }
}

struct EmbeddedBody {
    inner: Arc<Inner>,
    part: Part,
}

impl EmbeddedBody {
    fn new(inner: &Arc<Inner>, part: Part) -> Self {
        let inner = Arc::clone(inner);
        Self { inner, part }
    }
}

impl Body for EmbeddedBody {
    fn hints(&self) -> Hints {
        self.part.hints
    }

    fn size(&self) -> u64 {
        self.part.size
    }

    fn read<'a>(&'a mut self, into: &'a mut Vec<u8>) -> StoreFuture<'a, usize> {
        Box::pin(async move {
            let lost = || StoreError::Temporary("the body was given up half way".into());
            match &mut self.part.state {
                State::Whole { bytes, at, end } => {
                    let octets = (*end - *at).min(BODY_CHUNK_OCTETS);
                    into.extend_from_slice(&bytes[*at..*at + octets]);
                    *at += octets;
                    return Ok(octets);
                }
                State::Streamed(stream) if stream.left == 0 => return Ok(0),
                State::Streamed(stream) => match stream.piece(into, false) {
                    Ok(octets) => return Ok(octets),
                    Err(Stop::Wait) => {}
                    Err(Stop::Failed(error)) => {
                        self.part.state = State::Lost;
                        return Err(error);
                    }
                    Err(Stop::Moved) => return Err(lost()),
                },
                State::Lost => return Err(lost()),
            }
            let State::Streamed(mut stream) = std::mem::replace(&mut self.part.state, State::Lost)
            else {
                return Err(lost());
            };
            let step = self.inner.workers.run(move || {
                let mut piece = Vec::with_capacity(BODY_CHUNK_OCTETS);
                match stream.piece(&mut piece, true) {
                    Ok(_) => Ok((stream, piece)),
                    Err(Stop::Failed(error)) => Err(error),
                    Err(Stop::Wait | Stop::Moved) => Err(StoreError::Temporary(
                        "a pack went while it was read".into(),
                    )),
                }
            });
            let (stream, piece) = step.await?;
            self.part.state = State::Streamed(stream);
            into.extend_from_slice(&piece);
            Ok(piece.len())
        })
    }
}
