//! Reading a pack's records, batch by batch, telling an unfinished tail from damage.

use std::io;

use memchr::memmem;

use super::record::{Bad, Record, SKIPPABLE};
use crate::StoreError;
use crate::disk::DiskFile;

const WINDOW: usize = 1024 * 1024;

/// A record and where it stands; `octets` includes an entry's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) record: Record,
    pub(super) offset: u64,
    pub(super) octets: u64,
}

/// What stands at an offset of a pack.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// A whole batch without its commit record, and where the next begins.
    Whole { records: Vec<Found>, next: u64 },
    /// Octets that make no batch, with a good batch at `next`: the records that are whole.
    Damaged { records: Vec<Found>, next: u64 },
    /// Octets that make no batch, and nothing good behind them.
    Tail,
    /// The end.
    End,
}

/// A sliding window on a pack.
pub(super) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    end: u64,
    buf: Vec<u8>,
    at: u64,
}

impl<'a> Scanner<'a> {
    /// Looks at the first `end` octets of a pack.
    pub(super) fn new(file: &'a dyn DiskFile, end: u64) -> Self {
        let (buf, at) = (Vec::new(), 0);
        Self { file, end, buf, at }
    }

    /// Octets from `offset`, at least `want` of them if the pack has them.
    fn view(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let there = self.end.saturating_sub(offset);
        let want = (want as u64).min(there) as usize;
        let have = self.at + self.buf.len() as u64;
        if offset < self.at || offset + want as u64 > have {
            let size = (WINDOW.max(want) as u64).min(there) as usize;
            self.buf.resize(size, 0);
            let read = super::read_full_at(self.file, &mut self.buf, offset)?;
            self.buf.truncate(read);
            self.at = offset;
        }
        Ok(&self.buf[(offset - self.at) as usize..])
    }

    fn record(&mut self, offset: u64) -> io::Result<Result<(Record, u64), Bad>> {
        let there = self.end.saturating_sub(offset);
        let mut want = 4096;
        loop {
            match Record::decode(self.view(offset, want)?) {
                Ok((record, length)) => return Ok(Ok((record, length as u64))),
                Err(Bad::Short(octets)) if octets <= there && octets as usize > want => {
                    want = octets as usize;
                }
                Err(bad) => return Ok(Err(bad)),
            }
        }
    }

    fn hash(&mut self, mut from: u64, to: u64, hasher: &mut blake3::Hasher) -> io::Result<()> {
        while from < to {
            let view = self.view(from, 1)?;
            if view.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let take = (view.len() as u64).min(to - from) as usize;
            hasher.update(&view[..take]);
            from += take as u64;
        }
        Ok(())
    }

    /// What stands at `start`, which must be where a batch begins.
    pub(super) fn batch(&mut self, start: u64) -> Result<Batch, StoreError> {
        if start >= self.end {
            return Ok(Batch::End);
        }
        let failed = |e: io::Error| super::temporary("a pack cannot be read", &e);
        if let Some((records, next)) = self.whole(start)? {
            return Ok(Batch::Whole { records, next });
        }
        let Some(next) = self.good_batch_behind(start).map_err(failed)? else {
            return Ok(Batch::Tail);
        };
        let records = self.salvage(start, next).map_err(failed)?;
        Ok(Batch::Damaged { records, next })
    }

    fn whole(&mut self, start: u64) -> Result<Option<(Vec<Found>, u64)>, StoreError> {
        let failed = |e: io::Error| super::temporary("a pack cannot be read", &e);
        let mut records = Vec::new();
        let mut hasher = blake3::Hasher::new();
        let mut offset = start;
        while offset < self.end {
            let (record, length) = match self.record(offset).map_err(failed)? {
                Ok(found) => found,
                Err(Bad::Newer(version)) => return Err(Bad::newer(version)),
                Err(_) => return Ok(None),
            };
            if let Record::Commit {
                start: said,
                length: octets,
                digest,
            } = record
            {
                let good = said == start
                    && octets == offset - start
                    && hasher.finalize().as_bytes() == &digest;
                return Ok(good.then_some((records, offset + length)));
            }
            let body = if let Record::Entry(entry) = &record {
                entry.frame
            } else {
                0
            };
            let Some(next) = (offset + length)
                .checked_add(body)
                .filter(|n| *n <= self.end)
            else {
                return Ok(None);
            };
            self.hash(offset, next, &mut hasher).map_err(failed)?;
            let octets = next - offset;
            records.push(Found {
                record,
                offset,
                octets,
            });
            offset = next;
        }
        Ok(None)
    }

    /// The next place from `from` on where a record's magic number stands.
    fn next_magic(&mut self, mut from: u64) -> io::Result<Option<u64>> {
        let (magic, end) = (SKIPPABLE.to_le_bytes(), self.end);
        loop {
            let view = self.view(from, WINDOW / 2)?;
            if let Some(at) = memmem::find(view, &magic) {
                return Ok(Some(from + at as u64));
            }
            if view.len() < magic.len() || from + view.len() as u64 >= end {
                return Ok(None);
            }
            from += (view.len() - magic.len() + 1) as u64;
        }
    }

    /// Where a good batch begins behind what does not read as one.
    fn good_batch_behind(&mut self, start: u64) -> io::Result<Option<u64>> {
        let mut from = start;
        while let Some(at) = self.next_magic(from)? {
            from = at + 1;
            let Ok((
                Record::Commit {
                    start: begin,
                    length,
                    digest,
                },
                _,
            )) = self.record(at)?
            else {
                continue;
            };
            if begin >= start && begin.checked_add(length) == Some(at) {
                let mut hasher = blake3::Hasher::new();
                self.hash(begin, at, &mut hasher)?;
                if hasher.finalize().as_bytes() == &digest && begin > start {
                    return Ok(Some(begin));
                }
            }
        }
        Ok(None)
    }

    /// The records between two offsets that are whole in themselves. From the start they stand one
    /// behind the other, and all count. Behind the first that cannot be read they are searched for,
    /// past the bodies of whole entries: there a message's own octets could pass for a record, so
    /// what decides on mailboxes and packs is not believed.
    pub(super) fn salvage(&mut self, start: u64, to: u64) -> io::Result<Vec<Found>> {
        let mut records = Vec::new();
        let (mut from, mut certain) = (start, true);
        loop {
            let offset = if certain {
                Some(from)
            } else {
                self.next_magic(from)?
            };
            let Some(offset) = offset.filter(|offset| *offset < to) else {
                return Ok(records);
            };
            let Ok((record, length)) = self.record(offset)? else {
                certain = false;
                from = offset + 1;
                continue;
            };
            let body = if let Record::Entry(entry) = &record {
                entry.frame
            } else {
                0
            };
            let octets = length.saturating_add(body);
            if offset.saturating_add(octets) > to {
                certain = false;
                from = offset + length;
                continue;
            }
            from = offset + octets;
            let decides = matches!(
                record,
                Record::Pack(_)
                    | Record::Create { .. }
                    | Record::Rename { .. }
                    | Record::Release { .. }
                    | Record::RemoveMailbox { .. }
            );
            if !matches!(record, Record::Commit { .. }) && (certain || !decides) {
                records.push(Found {
                    record,
                    offset,
                    octets,
                });
            }
        }
    }
}
