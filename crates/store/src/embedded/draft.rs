//! A message being written: measured, hashed, quoted and compressed before it has a place.

use std::cell::RefCell;
use std::sync::Arc;

use memchr::memchr_iter;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use super::record::flag;
use super::{Inner, frame, temporary};
use crate::disk::DiskFile;
use crate::limits::{DRAFT_MEMORY_OCTETS, DRAFT_ONE_SHOT_OCTETS};
use crate::mbox::Quoter;
use crate::{Draft, Hints, Sealed, StoreError};

/// Fast rather than small: level 3 gains 4 % on mail and costs twice the time.
const LEVEL: i32 = 1;
/// Enough for text; what a base64 part repeats is farther away than any window.
const WINDOW_LOG: u32 = 19;
const OUT_OCTETS: usize = 64 * 1024;

/// A sealed message's compressed blocks, without a frame around them.
pub(super) struct SealedBody {
    pub(super) blocks: Blocks,
    /// The window that the blocks need.
    pub(super) window: u64,
    /// Octets that the blocks decompress to: the message with its From-lines quoted.
    pub(super) quoted: u64,
    pub(super) flags: u16,
}

pub(super) enum Blocks {
    Memory(Vec<u8>),
    Spool(Arc<dyn DiskFile>, u64),
}

impl Blocks {
    pub(super) fn octets(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spool(_, octets) => *octets,
        }
    }
}

impl SealedBody {
    /// What the last block holds: the line end that the message lacks, and mbox's empty line.
    pub(super) const fn tail(&self) -> &'static [u8] {
        if self.flags & flag::LINE_END_ADDED != 0 {
            b"\n\n"
        } else {
            b"\n"
        }
    }
}

/// What there is to know of lines, found piece by piece.
#[derive(Default)]
struct Lines {
    size: u64,
    last: Option<u8>,
    bare_lfs: u64,
    dots: bool,
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        self.dots |= bytes[0] == b'.' && matches!(self.last, None | Some(b'\n'));
        for at in memchr_iter(b'\n', bytes) {
            let before = if at > 0 {
                Some(bytes[at - 1])
            } else {
                self.last
            };
            self.bare_lfs += u64::from(before != Some(b'\r'));
            self.dots |= bytes.get(at + 1) == Some(&b'.');
        }
        self.size += bytes.len() as u64;
        self.last = Some(last);
    }

    fn end_missing(&self) -> bool {
        !matches!(self.last, None | Some(b'\n'))
    }

    fn octets(&self) -> u64 {
        self.size + self.bare_lfs + if self.end_missing() { 2 } else { 0 }
    }

    fn hints(&self) -> Hints {
        Hints {
            all_crlf: self.bare_lfs == 0 && !self.end_missing(),
            dot_lines: self.dots,
        }
    }
}

/// Where compressed octets go: memory first, then a file without a name.
struct Sink {
    store: Arc<Inner>,
    memory: Vec<u8>,
    spool: Option<(Arc<dyn DiskFile>, u64)>,
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.spool.is_none() && self.memory.len() + bytes.len() <= DRAFT_MEMORY_OCTETS {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        if self.spool.is_none() {
            let folder = &self.store.folder;
            let file = self.store.disk().spool(folder);
            let file = file.map_err(|e| temporary("a spool file cannot be made", &e))?;
            let memory = std::mem::take(&mut self.memory);
            self.spool = Some((file, 0));
            self.put(&memory)?;
        }
        if let Some((file, at)) = &mut self.spool {
            super::write_all_at(file.as_ref(), bytes, *at).map_err(|e| {
                super::write_error("the spool file cannot be written", &e, &self.store)
            })?;
            *at += bytes.len() as u64;
        }
        Ok(())
    }
}

pub(super) struct EmbeddedDraft {
    lines: Lines,
    hasher: blake3::Hasher,
    quoter: Quoter,
    /// Quoted and not compressed yet.
    plain: Vec<u8>,
    quoted: u64,
    stream: Option<CCtx<'static>>,
    sink: Sink,
    failed: bool,
}

thread_local! {
    static COMPRESSOR: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
}

fn compressor(window_log: Option<u32>) -> Result<CCtx<'static>, StoreError> {
    let none = || StoreError::Temporary("there is no memory for a compressor".into());
    let mut context = CCtx::try_create().ok_or_else(none)?;
    let level = context.set_parameter(CParameter::CompressionLevel(LEVEL));
    level.map_err(zstd_error)?;
    if let Some(log) = window_log {
        let window = context.set_parameter(CParameter::WindowLog(log));
        window.map_err(zstd_error)?;
    }
    Ok(context)
}

fn zstd_error(code: usize) -> StoreError {
    let name = zstd::zstd_safe::get_error_name(code);
    StoreError::Temporary(format!("compression failed: {name}"))
}

/// Runs the compressor over all of `plain`; with `flush` until nothing is left inside.
fn compress(
    context: &mut CCtx<'static>,
    plain: &[u8],
    flush: bool,
    sink: &mut Sink,
) -> Result<(), StoreError> {
    let directive = if flush {
        ZSTD_EndDirective::ZSTD_e_flush
    } else {
        ZSTD_EndDirective::ZSTD_e_continue
    };
    let mut input = InBuffer::around(plain);
    let mut out =
        Vec::with_capacity(OUT_OCTETS.min(zstd::zstd_safe::compress_bound(plain.len()) + 512));
    loop {
        out.clear();
        let mut output = OutBuffer::around(&mut out);
        let left = context.compress_stream2(&mut output, &mut input, directive);
        let left = left.map_err(zstd_error)?;
        sink.put(&out)?;
        if input.pos() == plain.len() && (!flush || left == 0) {
            return Ok(());
        }
    }
}

impl EmbeddedDraft {
    pub(super) fn new(store: Arc<Inner>, size_hint: Option<u64>) -> Self {
        let hint = size_hint.unwrap_or(4096).min(DRAFT_ONE_SHOT_OCTETS as u64) as usize;
        Self {
            lines: Lines::default(),
            hasher: blake3::Hasher::new(),
            quoter: Quoter::new(),
            plain: Vec::with_capacity(hint + 64),
            quoted: 0,
            stream: None,
            sink: Sink {
                store,
                memory: Vec::new(),
                spool: None,
            },
            failed: false,
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.lines.add(bytes);
        self.hasher.update(bytes);
        self.quoter.push(bytes, &mut self.plain);
        if self.plain.len() > DRAFT_ONE_SHOT_OCTETS {
            self.compress_plain(false)?;
        }
        Ok(())
    }

    fn compress_plain(&mut self, flush: bool) -> Result<(), StoreError> {
        if self.stream.is_none() {
            self.stream = Some(compressor(Some(WINDOW_LOG))?);
        }
        let context = self.stream.as_mut().expect("made just above");
        compress(context, &self.plain, flush, &mut self.sink)?;
        self.quoted += self.plain.len() as u64;
        self.plain.clear();
        Ok(())
    }

    /// The whole message in one go, by this thread's own compressor.
    fn compress_whole(&mut self) -> Result<(), StoreError> {
        COMPRESSOR.with_borrow_mut(|slot| {
            if slot.is_none() {
                *slot = Some(compressor(None)?);
            }
            let context = slot.as_mut().expect("made just above");
            context
                .reset(ResetDirective::SessionOnly)
                .map_err(zstd_error)?;
            let pledged = context.set_pledged_src_size(Some(self.plain.len() as u64));
            pledged.map_err(zstd_error)?;
            compress(context, &self.plain, true, &mut self.sink)
        })?;
        self.quoted = self.plain.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Sealed, StoreError> {
        self.quoter.finish(&mut self.plain);
        if self.stream.is_some() {
            self.compress_plain(true)?;
        } else if !self.plain.is_empty() {
            self.compress_whole()?;
        }
        let (blocks, window) = self.sink.into_blocks()?;
        let hints = self.lines.hints();
        let mut flags = 0;
        for (set, bit) in [
            (self.lines.end_missing(), flag::LINE_END_ADDED),
            (self.quoter.lines() > 0, flag::QUOTED),
            (hints.dot_lines, flag::DOT_LINES),
            (hints.all_crlf, flag::ALL_CRLF),
        ] {
            flags |= if set { bit } else { 0 };
        }
        Ok(Sealed {
            size: self.lines.size,
            octets: self.lines.octets(),
            digest: *self.hasher.finalize().as_bytes(),
            hints,
            inner: Arc::new(SealedBody {
                blocks,
                window,
                quoted: self.quoted,
                flags,
            }),
        })
    }
}

impl Sink {
    /// Takes the compressor's frame header off.
    fn into_blocks(mut self) -> Result<(Blocks, u64), StoreError> {
        let damaged = || StoreError::Temporary("the compressor made no frame".into());
        if let Some((file, octets)) = self.spool {
            let mut head = [0; 32];
            let read = super::read_full_at(file.as_ref(), &mut head, 0);
            let read = read.map_err(|e| temporary("the spool file cannot be read", &e))?;
            let (header, window) = frame::parse_header(&head[..read]).ok_or_else(damaged)?;
            // The header is passed over when the spool is read: see `PackWriter`.
            let file: Arc<dyn DiskFile> = Arc::new(Behind(file, header as u64));
            return Ok((Blocks::Spool(file, octets - header as u64), window));
        }
        if self.memory.is_empty() {
            return Ok((Blocks::Memory(Vec::new()), 0));
        }
        let (header, window) = frame::parse_header(&self.memory).ok_or_else(damaged)?;
        self.memory.drain(..header);
        self.memory.shrink_to_fit();
        Ok((Blocks::Memory(self.memory), window))
    }
}

/// A file read from an offset on.
#[derive(Debug)]
struct Behind(Arc<dyn DiskFile>, u64);

impl DiskFile for Behind {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buf, offset + self.1)
    }
    fn read_at_no_wait(&self, buf: &mut [u8], offset: u64) -> std::io::Result<Option<usize>> {
        self.0.read_at_no_wait(buf, offset + self.1)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<usize> {
        self.0.write_at(bytes, offset + self.1)
    }
    fn set_len(&self, octets: u64) -> std::io::Result<()> {
        self.0.set_len(octets + self.1)
    }
    fn octets(&self) -> std::io::Result<u64> {
        Ok(self.0.octets()?.saturating_sub(self.1))
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn try_lock(&self) -> std::io::Result<bool> {
        self.0.try_lock()
    }
    fn is_at(&self, path: &std::path::Path) -> std::io::Result<bool> {
        self.0.is_at(path)
    }
}

impl Draft for EmbeddedDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Temporary("the draft has failed before".into()));
        }
        // A large piece goes in small ones, so that memory stays bounded.
        for piece in bytes.chunks(DRAFT_ONE_SHOT_OCTETS) {
            let added = self.add(piece);
            self.failed |= added.is_err();
            added?;
        }
        Ok(())
    }

    fn seal(self: Box<Self>) -> Result<Sealed, StoreError> {
        if self.failed {
            return Err(StoreError::Temporary("the draft has failed before".into()));
        }
        self.finish()
    }
}
