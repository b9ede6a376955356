//! Getting out of damaged packs all that is whole, and saying what is not.
//!
//! A damaged pack is written anew without what cannot be read, and takes the old one's place; the old
//! one goes to `lost+found/`, where a later attempt finds all its octets. So do ends that recovery cut
//! off: messages that are whole in them are stored again, once, under the same unique-ids. Nothing else in
//! them counts: a deletion there was never acknowledged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::index::{self, Index, sql};
use super::pack::PackWriter;
use super::record::Record;
use super::scan::{Batch, Found, Scanner};
use super::{EmbeddedStore, Inner, Options, Place, body, catchup, compact, random_id, temporary};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::{MailboxId, StoreError, UniqueId};

/// A message that could not be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub unique_id: UniqueId,
    /// Its mailbox's name, or its id when the name is lost.
    pub mailbox: String,
    /// The pack it stood in.
    pub pack: u32,
}

/// What came of salvaging.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Damaged packs that were written anew.
    pub rewritten: Vec<u32>,
    /// Messages that were in ends cut off before, and are stored again.
    pub found: u64,
    /// Messages that are lost. Complete when the index was there; without it those whose records
    /// could be read.
    pub lost: Vec<Lost>,
    /// Mailboxes whose record was lost, under the names they have now.
    pub renamed: Vec<String>,
    /// Where the damaged packs are.
    pub kept: Vec<PathBuf>,
}

/// What the index knew before.
#[derive(Default)]
struct Before {
    messages: BTreeMap<UniqueId, (MailboxId, u32)>,
    names: BTreeMap<MailboxId, String>,
}

/// Opens the store with nobody else in it, builds the index anew and salvages what is damaged.
///
/// # Errors
/// Those of [`EmbeddedStore::open`]; [`StoreError::Full`] without room for a damaged pack's copy.
pub fn salvage(folder: &Path, options: Options) -> Result<(EmbeddedStore, Salvaged), StoreError> {
    let options = Options {
        alone: true,
        rebuild: true,
        compact: false,
        ..options
    };
    let before = remember(folder);
    let store = EmbeddedStore::open(folder, options)?;
    let inner = &store.inner;
    let _lock = compact::lock(inner)?;
    let mut c = compact::connect(inner)?;
    let mut done = Salvaged::default();
    let mut bad = BTreeMap::new();
    for info in store.packs()? {
        inner.options.progress.tell(info.octets);
        let damaged = bad_in(&store, &info, &mut bad)?;
        if damaged {
            done.kept.push(rewrite(inner, &mut c, info.number)?);
            done.rewritten.push(info.number);
        }
    }
    done.found = from_tails(inner, &mut c)?;
    done.renamed = name_nameless(&store, &before)?;
    done.lost = missing(inner, &before, bad)?;
    Ok((store, done))
}

fn remember(folder: &Path) -> Before {
    let mut before = Before::default();
    let Ok(folder) = folder.canonicalize() else {
        return before;
    };
    let index = Index::new(&folder, 0);
    if index.check().is_err() {
        return before;
    }
    // Best effort: an index that cannot be read tells nothing.
    let read = index.read(|c| {
        let mut ask = c.prepare("SELECT mailbox, name FROM mailboxes WHERE name IS NOT NULL")?;
        let mut rows = ask.query([])?;
        while let Some(row) = rows.next()? {
            let id = MailboxId::from_bytes(row.get(0)?);
            before.names.insert(id, row.get(1)?);
        }
        let mut ask = c.prepare(
            "SELECT e.unique_id, m.mailbox, e.pack FROM messages e
             JOIN mailboxes m ON m.id = e.mailbox
             WHERE e.removed_ms IS NULL AND m.removed_ms IS NULL",
        )?;
        let mut rows = ask.query([])?;
        while let Some(row) = rows.next()? {
            let mailbox = MailboxId::from_bytes(row.get(1)?);
            let at = (mailbox, row.get(2)?);
            before
                .messages
                .insert(UniqueId::from_bytes(row.get(0)?), at);
        }
        Ok(())
    });
    if read.is_err() {
        return Before::default();
    }
    index.disconnect();
    before
}

/// Whether a pack has damage; adds the messages whose bodies are.
fn bad_in(
    store: &EmbeddedStore,
    info: &super::PackInfo,
    bad: &mut BTreeMap<UniqueId, (MailboxId, u32)>,
) -> Result<bool, StoreError> {
    let Some(reader) = store.open_pack(info)? else {
        return Ok(false);
    };
    let mut damaged = false;
    reader.examine(0, true, &mut |finding| {
        match finding {
            super::Finding::Damaged { .. } => damaged = true,
            super::Finding::Message(message) if !message.good => {
                damaged = true;
                bad.insert(message.unique_id, (message.mailbox, info.number));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(damaged)
}

/// Writes a pack anew with all that is whole in it; says where the old one is now.
fn rewrite(
    inner: &Arc<Inner>,
    c: &mut rusqlite::Connection,
    old: u32,
) -> Result<PathBuf, StoreError> {
    let fault = |e: std::io::Error| super::write_error("a pack cannot be written anew", &e, inner);
    if !compact::sealed(c, old)? {
        compact::seal(inner, old);
    }
    let there = inner.packs.list().map_err(fault)?;
    let mut ended = inner.packs.head(old)?.unwrap_or_default().ended;
    ended.retain(|(number, _)| there.contains(number));
    let file = inner.packs.reader(old).map_err(fault)?;
    let row = index::pack_row(c, old).map_err(sql)?.unwrap_or_default();
    let octets = file.octets().map_err(fault)?;
    let end = row.ended.unwrap_or(octets).min(octets);
    let mut writer = PackWriter::new(Arc::clone(&inner.packs), u64::MAX);
    let (new, _, _) = writer.begin(&[old], &ended).map_err(fault)?;
    writer.finish(false, true).map_err(fault)?;
    let mut scanner = Scanner::new(file.as_ref(), end);
    let mut at = 0;
    loop {
        let (records, next) = match scanner.batch(at)? {
            Batch::Whole { records, next } | Batch::Damaged { records, next } => (records, next),
            Batch::Tail => (scanner.salvage(at, end).map_err(fault)?, end),
            Batch::End => break,
        };
        put_whole(&mut writer, &file, &records, &mut |_| Ok(true)).map_err(fault)?;
        at = next;
    }
    writer.seal().map_err(fault)?;
    drop(writer);
    let kept = keep_aside(inner, old).map_err(fault)?;
    compact::repoint::replace(inner, c, new, &[old])?;
    Ok(kept)
}

/// Appends a batch of those records that are wanted and whose messages are what their digests say; says how
/// many messages.
fn put_whole(
    writer: &mut PackWriter,
    file: &Arc<dyn DiskFile>,
    records: &[Found],
    wanted: &mut dyn FnMut(&Record) -> std::io::Result<bool>,
) -> std::io::Result<u64> {
    let mut messages = 0;
    let mut begun = false;
    for found in records {
        let take = match &found.record {
            Record::Pack(_) | Record::Commit { .. } | Record::Seal => false,
            Record::Entry(entry) => {
                let place = Place {
                    pack: 0,
                    offset: found.offset,
                    octets: found.octets,
                };
                let take = wanted(&found.record)? && body::is_good(file, entry, place);
                messages += u64::from(take);
                take
            }
            other => wanted(other)?,
        };
        if !take {
            continue;
        }
        if !begun {
            writer.begin(&[], &[])?;
            begun = true;
        }
        writer.put_copy(file.as_ref(), found.offset, found.octets)?;
    }
    if begun {
        writer.finish(false, false)?;
    }
    Ok(messages)
}

/// Gives the pack a second name in `lost+found/`, which it keeps when the first goes.
fn keep_aside(inner: &Inner, number: u32) -> std::io::Result<PathBuf> {
    let id = u64::from_be_bytes(random_id()[..8].try_into().expect("8 of 16 octets"));
    RealDisk.create_dir_all(&inner.packs.lost)?;
    let path = inner
        .packs
        .lost
        .join(format!("{number:06}-{id:016x}.damaged"));
    std::fs::hard_link(inner.packs.path(number), &path)?;
    RealDisk.sync_dir(&inner.packs.lost)?;
    Ok(path)
}

/// What an end that recovery cut off is called once it was looked through.
const TAKEN: &str = ".taken";

/// Stores again the messages that are whole in the ends that recovery cut off and nowhere else. Each end
/// counts once: what is deleted later is not to come back out of it.
fn from_tails(inner: &Arc<Inner>, c: &mut rusqlite::Connection) -> Result<u64, StoreError> {
    let fault = |e: std::io::Error| super::write_error("a pack cannot be written", &e, inner);
    let names = match inner.disk().list(&inner.packs.lost) {
        Ok(names) => names,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(temporary("lost+found cannot be read", &e)),
    };
    let mut tails: Vec<_> = names.iter().filter(|n| n.ends_with(".tail")).collect();
    tails.sort();
    let mut found = 0;
    for name in tails {
        let file = inner.disk().open(&inner.packs.lost.join(name), false);
        let file = file.map_err(fault)?;
        let octets = file.octets().map_err(fault)?;
        let mut scanner = Scanner::new(file.as_ref(), octets);
        let records = scanner.salvage(0, octets).map_err(fault)?;
        let mut news = 0;
        for record in &records {
            if let Record::Entry(entry) = &record.record {
                news += u64::from(!is_known(c, entry.unique_id).map_err(sql)?);
            }
        }
        if news > 0 {
            found += take(inner, c, &file, &records)?;
        }
        let lost = &inner.packs.lost;
        inner
            .disk()
            .rename(&lost.join(name), &lost.join(format!("{name}{TAKEN}")))
            .and_then(|()| inner.disk().sync_dir(lost))
            .map_err(fault)?;
    }
    Ok(found)
}

/// Stores those messages of an end that are not known, in a pack of their own.
fn take(
    inner: &Arc<Inner>,
    c: &mut rusqlite::Connection,
    file: &Arc<dyn DiskFile>,
    records: &[Found],
) -> Result<u64, StoreError> {
    let fault = |e: std::io::Error| super::write_error("a pack cannot be written", &e, inner);
    let mut writer = PackWriter::new(Arc::clone(&inner.packs), u64::MAX);
    let (new, _, _) = writer.begin(&[], &[]).map_err(fault)?;
    writer.finish(false, true).map_err(fault)?;
    let mut wanted = |record: &Record| match record {
        Record::Entry(entry) => is_known(c, entry.unique_id)
            .map(|known| !known)
            .map_err(std::io::Error::other),
        _ => Ok(false),
    };
    let found = put_whole(&mut writer, file, records, &mut wanted).map_err(fault)?;
    writer.seal().map_err(fault)?;
    drop(writer);
    let pack = inner.packs.reader(new).map_err(fault)?;
    let end = pack.octets().map_err(fault)?;
    catchup::catch_up(inner, c, new, pack.as_ref(), end, &mut |_| {})?;
    Ok(found)
}

fn is_known(c: &rusqlite::Connection, id: UniqueId) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT 1 FROM messages WHERE unique_id = ?")?
        .exists([id.as_bytes()])
}

/// A mailbox whose making is lost has messages that nobody would see: it gets its name back, or one
/// that says so.
fn name_nameless(store: &EmbeddedStore, before: &Before) -> Result<Vec<String>, StoreError> {
    let nameless: Vec<MailboxId> = store.inner.index.read(|c| {
        c.prepare(
            "SELECT m.mailbox FROM mailboxes m WHERE m.name IS NULL AND m.removed_ms IS NULL
               AND EXISTS (SELECT 1 FROM messages e WHERE e.mailbox = m.id)",
        )?
        .query_map([], |row| Ok(MailboxId::from_bytes(row.get(0)?)))?
        .collect()
    })?;
    let mut names = Vec::new();
    for mailbox in nameless {
        let known = before.names.get(&mailbox).cloned();
        let name = known.unwrap_or_else(|| format!("recovered-{mailbox}"));
        let give = name.clone();
        let given = super::writer::submit(&store.inner, false, 0, 1, move |batch| {
            super::decide::name_again(batch, mailbox, &give)
        });
        super::task::wait(given)?;
        names.push(name);
    }
    Ok(names)
}

/// What was there and is not, and what was found to be damaged.
fn missing(
    inner: &Inner,
    before: &Before,
    bad: BTreeMap<UniqueId, (MailboxId, u32)>,
) -> Result<Vec<Lost>, StoreError> {
    let mut all = before.messages.clone();
    all.extend(bad);
    let mut lost = Vec::new();
    for (unique_id, (mailbox, pack)) in all {
        let (known, name) = inner.index.read(|c| {
            let name: Option<Option<String>> = c
                .prepare_cached("SELECT name FROM mailboxes WHERE mailbox = ?")?
                .query_row([mailbox.as_bytes()], |row| row.get(0))
                .optional()?;
            Ok((is_known(c, unique_id)?, name.flatten()))
        })?;
        if known {
            continue;
        }
        let name = name.or_else(|| before.names.get(&mailbox).cloned());
        lost.push(Lost {
            unique_id,
            mailbox: name.unwrap_or_else(|| mailbox.to_string()),
            pack,
        });
    }
    Ok(lost)
}
