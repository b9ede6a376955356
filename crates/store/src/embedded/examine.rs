//! What backups and checks ask of the packs: which there are, their octets, and whether those are
//! what they should be.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::params;

use super::index;
use super::record::Record;
use super::scan::{Batch, Found, Scanner};
use super::{EmbeddedStore, Inner, Place, body, read_full_at, temporary};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::{MailboxId, StoreError, UniqueId};

/// How often the packs are listed anew while a compactor changes them.
const LISTINGS: u32 = 50;

/// A pack as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackInfo {
    /// Its number, which is its name: `NNNNNN.mbox.zst`.
    pub number: u32,
    /// Random: a pack that has taken another's number is another pack.
    pub id: [u8; 16],
    /// Octets up to the end of its last complete batch, or as many as there are.
    pub octets: u64,
    /// Octets that the index speaks of, and that are durable therefore: behind them power loss may
    /// put others in the place of those that are there.
    pub settled: u64,
    /// Never changes any more.
    pub sealed: bool,
    /// The index knows of more octets than there are.
    pub short: bool,
}

/// A message that stands in a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackMessage {
    /// Its unique-id.
    pub unique_id: UniqueId,
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// Where its record begins.
    pub offset: u64,
    /// Octets of record and body.
    pub octets: u64,
    /// BLAKE3 of the message.
    pub digest: [u8; 32],
    /// Whether the body has that digest.
    pub good: bool,
}

/// What is found in a pack, in the order of its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A message; `good` is looked at with `deep`, and always where octets are damaged.
    Message(PackMessage),
    /// Octets that make no batch, or are not there. Messages in them that are whole all the same
    /// have been told before.
    Damaged {
        /// The first octet,
        from: u64,
        /// and the one behind the last.
        to: u64,
    },
    /// All before this octet has been looked at.
    Upto(u64),
}

/// A pack that is open: it can be read on when its name is gone.
#[derive(Debug, Clone)]
pub struct PackReader {
    file: Arc<dyn DiskFile>,
    octets: u64,
}

impl PackReader {
    /// Opens any file that holds a pack, up to `octets`, or whole.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(path: &Path, octets: Option<u64>) -> io::Result<Self> {
        let file = RealDisk.open(path, false)?;
        let octets = octets.map_or_else(|| file.octets(), Ok)?;
        Ok(Self { file, octets })
    }

    /// Octets that count.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Fills `buf` from `offset`; says how much there was, less only at the file's end.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        read_full_at(self.file.as_ref(), buf, offset)
    }

    /// Looks at all batches from `from`, where one begins: their digests, and with `deep` each
    /// message's own. `each` hears of messages, of damage, and how far it has come.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] when a newer program wrote the pack, and the errors of `each`.
    pub fn examine(
        &self,
        from: u64,
        deep: bool,
        each: &mut dyn FnMut(Finding) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let there = self
            .file
            .octets()
            .map_err(|e| temporary("a pack cannot be read", &e))?;
        let mut scanner = Scanner::new(self.file.as_ref(), self.octets.min(there));
        let mut at = from;
        loop {
            let (records, next, damaged) = match scanner.batch(at)? {
                Batch::Whole { records, next } => (records, next, false),
                Batch::Damaged { records, next } => (records, next, true),
                Batch::Tail => {
                    let end = self.octets.min(there);
                    let records = scanner.salvage(at, end);
                    let records = records.map_err(|e| temporary("a pack cannot be read", &e))?;
                    (records, end, true)
                }
                Batch::End => break,
            };
            for found in &records {
                if let Some(message) = self.message(found, deep || damaged) {
                    each(Finding::Message(message))?;
                }
            }
            if damaged {
                each(Finding::Damaged { from: at, to: next })?;
            }
            at = next;
            each(Finding::Upto(at))?;
        }
        if at < self.octets {
            let (from, to) = (at, self.octets);
            each(Finding::Damaged { from, to })?;
        }
        Ok(())
    }

    fn message(&self, found: &Found, deep: bool) -> Option<PackMessage> {
        let Record::Entry(entry) = &found.record else {
            return None;
        };
        let place = Place {
            pack: 0,
            offset: found.offset,
            octets: found.octets,
        };
        Some(PackMessage {
            unique_id: entry.unique_id,
            mailbox: entry.mailbox,
            offset: found.offset,
            octets: found.octets,
            digest: entry.digest,
            good: !deep || body::is_good(&self.file, entry, place),
        })
    }
}

/// A pack's random id, and the packs that it replaces.
type Identity = ([u8; 16], Vec<u32>);

/// The pack's random id, or for one whose beginning is damaged something that stands for it.
fn pack_id(inner: &Inner, number: u32) -> Result<Option<Identity>, StoreError> {
    let file = match inner.disk().open(&inner.packs.path(number), false) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(temporary("a pack cannot be opened", &e)),
    };
    let mut head = vec![0; 64 * 1024];
    let read = read_full_at(file.as_ref(), &mut head[..4096], 0);
    let mut read = read.map_err(|e| temporary("a pack cannot be read", &e))?;
    loop {
        match Record::decode(&head[..read]) {
            Ok((Record::Pack(pack), _)) => return Ok(Some((pack.id, pack.replaces))),
            // A head that names many packs.
            Err(super::record::Bad::Short(_)) if read == 4096 => {
                let more = read_full_at(file.as_ref(), &mut head, 0);
                read = more.map_err(|e| temporary("a pack cannot be read", &e))?;
                if read <= 4096 {
                    break;
                }
            }
            Err(super::record::Bad::Newer(version)) => {
                return Err(super::record::Bad::newer(version));
            }
            _ => break,
        }
    }
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(&head[..read]).as_bytes()[..16]);
    Ok(Some((id, Vec::new())))
}

/// One pack; `None` when it went meanwhile.
fn look(inner: &Inner, number: u32) -> Result<Option<(PackInfo, Vec<u32>)>, StoreError> {
    let fault = |e: io::Error| temporary("a pack cannot be read", &e);
    let Some((id, replaces)) = pack_id(inner, number)? else {
        return Ok(None);
    };
    let file = match inner.disk().open(&inner.packs.path(number), false) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(fault(e)),
    };
    let there = file.octets().map_err(fault)?;
    let row = inner.index.read(|c| index::pack_row(c, number))?;
    let row = row.unwrap_or_default();
    let sealed = row.sealed || row.ended.is_some();
    let mut end = row.ended.unwrap_or(row.watermark).max(row.watermark);
    let (short, settled) = (end > there, end);
    if !sealed && !short {
        let mut scanner = Scanner::new(file.as_ref(), there);
        while let Batch::Whole { next, .. } | Batch::Damaged { next, .. } = scanner.batch(end)? {
            end = next;
        }
    }
    let info = PackInfo {
        number,
        id,
        octets: end.min(there),
        settled: settled.min(there),
        sealed: sealed && !short,
        short,
    };
    Ok(Some((info, replaces)))
}

/// The packs that count at one moment.
fn list(inner: &Inner) -> Result<Vec<PackInfo>, StoreError> {
    let there = || {
        let list = inner.packs.list();
        list.map_err(|e| temporary("the packs cannot be listed", &e))
    };
    for _ in 0..LISTINGS {
        let before = there()?;
        let mut all = Vec::with_capacity(before.len());
        for &number in &before {
            all.extend(look(inner, number)?);
        }
        let after = there()?;
        // One that was compacted away went into another, which may not have been listed yet.
        let changed = all.len() < before.len() || before.iter().any(|n| !after.contains(n));
        let late = after.iter().filter(|n| !before.contains(n));
        let mut replaced = false;
        for &number in late {
            replaced |= pack_id(inner, number)?.is_none_or(|(_, replaces)| !replaces.is_empty());
        }
        if changed || replaced {
            std::thread::sleep(std::time::Duration::from_millis(20));
            continue;
        }
        // A replacement counts once what it replaces is gone.
        let half = |replaces: &[u32]| replaces.iter().any(|n| before.contains(n));
        all.retain(|(info, replaces)| info.octets > 0 && !half(replaces));
        return Ok(all.into_iter().map(|(info, _)| info).collect());
    }
    let what = "the packs keep changing: try again later";
    Err(StoreError::Temporary(what.into()))
}

impl EmbeddedStore {
    /// The packs that count at this moment, ascending.
    ///
    /// # Errors
    /// [`StoreError::Temporary`] when the disk fails.
    pub fn packs(&self) -> Result<Vec<PackInfo>, StoreError> {
        list(&self.inner)
    }

    /// Opens a pack; `None` when it is gone: then its messages are in another one.
    ///
    /// # Errors
    /// [`StoreError::Temporary`] when the disk fails.
    pub fn open_pack(&self, info: &PackInfo) -> Result<Option<PackReader>, StoreError> {
        let file = match self
            .inner
            .disk()
            .open(&self.inner.packs.path(info.number), false)
        {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(temporary("a pack cannot be opened", &e)),
        };
        let same = pack_id(&self.inner, info.number)?.is_some_and(|(id, _)| id == info.id);
        let octets = info.octets;
        Ok(same.then_some(PackReader { file, octets }))
    }

    /// Where a message stands: pack, and the octet behind it. `None` when the index has none.
    ///
    /// # Errors
    /// Those of the index.
    pub fn whereabouts(&self, id: UniqueId) -> Result<Option<(u32, u64)>, StoreError> {
        let place = self.inner.place(id)?;
        Ok(place.map(|place| (place.pack, place.offset + place.octets)))
    }

    /// The random id of the pack with that number; `None` when there is none.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn pack_identity(&self, number: u32) -> Result<Option<[u8; 16]>, StoreError> {
        Ok(pack_id(&self.inner, number)?.map(|(id, _)| id))
    }

    /// Whether the index says of this message what the pack says: the same place, size and digest.
    /// One that it does not know any more is fine if its mailbox is gone for good.
    ///
    /// # Errors
    /// Those of the index.
    pub fn index_agrees(&self, pack: u32, message: &PackMessage) -> Result<bool, StoreError> {
        self.inner.index.read(|c| {
            c.prepare_cached(
                "SELECT 1 FROM messages WHERE unique_id = ? AND pack = ? AND start = ?
                   AND length = ? AND digest = ?",
            )?
            .exists(params![
                message.unique_id.as_bytes(),
                pack,
                message.offset as i64,
                message.octets as i64,
                message.digest
            ])
        })
    }

    /// How many messages the index knows in a pack, up to an octet.
    ///
    /// # Errors
    /// Those of the index.
    pub fn index_count(&self, pack: u32, before: u64) -> Result<u64, StoreError> {
        let count: i64 = self.inner.index.read(|c| {
            c.prepare_cached("SELECT count(*) FROM messages WHERE pack = ? AND start < ?")?
                .query_row(params![pack, before as i64], |row| row.get(0))
        })?;
        Ok(count as u64)
    }

    /// Names of mailboxes whose counters are not what their messages come to.
    ///
    /// # Errors
    /// Those of the index.
    pub fn miscounted(&self) -> Result<Vec<String>, StoreError> {
        self.inner.index.read(|c| {
            c.prepare(
                "SELECT m.name FROM mailboxes m WHERE m.removed_ms IS NULL AND m.name IS NOT NULL
                   AND (m.count, m.octets) <> (
                     SELECT count(*), coalesce(sum(e.octets), 0) FROM messages e
                     WHERE e.mailbox = m.id AND e.removed_ms IS NULL)",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
        })
    }
}
