//! What a backup looks at and brings over: all packs that count at one moment, and `state.db`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use restante_store::embedded::{EmbeddedStore, Finding, PackInfo, PackReader};

use super::{hex, memory, snapshot};
use crate::error::{BackupError, Result, io};
use crate::limits::{PIECE_OCTETS, PIECES_AT_ONCE};
use crate::manifest::{Manifest, Pack, Piece, object_of, object_path};
use crate::pace::{Hooks, parallel};
use crate::repository::Repository;
use crate::seal::Sealer;
use crate::state::State;

/// Packs that are open at once.
const PACKS_AT_ONCE: usize = 32;

/// How often the packs are looked at anew because a compactor took some away.
const ATTEMPTS: u32 = 20;

/// A backup under way.
pub(super) struct Work<'a> {
    repository: &'a Repository,
    hooks: &'a Hooks<'a>,
    /// What the destination has: octets by digest, without what is damaged.
    there: HashMap<String, u64>,
    /// What the last generation says of packs, by their ids.
    before: HashMap<String, Pack>,
    /// What was sent before; `None` without encryption, where the octets themselves give the name.
    sent: Option<memory::Sent>,
    /// Objects written by this backup, and their octets.
    pub(super) fresh: BTreeMap<String, u64>,
    /// Undamaged packs, and up to where.
    pub(super) good: BTreeMap<[u8; 16], u64>,
    pub(super) damage: Vec<String>,
}

/// Something to do for a pack.
enum Job<'a> {
    /// Look at its batches from an octet on.
    Examine(&'a Open, u64),
    /// Bring over a piece.
    Bring(&'a Open, usize),
}

struct Open {
    info: PackInfo,
    reader: PackReader,
}

/// What came of a job.
enum Came {
    Examined(u32, Option<String>),
    Brought(u32, usize, Piece, How),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// The destination has it: the last generation says so, or it was read.
    There,
    Written,
}

fn pieces(octets: u64) -> usize {
    octets.div_ceil(PIECE_OCTETS as u64) as usize
}

impl<'a> Work<'a> {
    pub(super) fn begin(
        repository: &'a Repository,
        state: &State,
        data: &Path,
        hooks: &'a Hooks<'a>,
    ) -> Result<Self> {
        let bad = state.bad(&repository.place)?;
        let listed = repository.destination.list("objects/")?;
        let there = listed.into_iter().filter_map(|item| {
            let digest = object_of(&item.name)?.to_owned();
            (!bad.contains(&digest)).then_some((digest, item.octets))
        });
        let before = memory::last(data, repository).packs.into_iter();
        let sent = match repository.sealer {
            Sealer::Plain => None,
            #[cfg(feature = "age")]
            Sealer::Age(_) => Some(memory::Sent::open(data, repository)?),
        };
        Ok(Self {
            sent,
            repository,
            hooks,
            there: there.collect(),
            before: before.map(|pack| (pack.id.clone(), pack)).collect(),
            fresh: BTreeMap::new(),
            good: BTreeMap::new(),
            damage: Vec::new(),
        })
    }

    fn has(&self, piece: &Piece) -> bool {
        self.there.get(&piece.object) == Some(&piece.stored)
    }

    /// Stores octets unless they are there.
    fn store(&self, plain: &[u8], known: Option<&Piece>) -> Result<(Piece, How)> {
        let digest = blake3::hash(plain).to_hex().to_string();
        let same = known.filter(|piece| piece.digest == digest && self.has(piece));
        if let Some(piece) = same {
            return Ok((piece.clone(), How::There));
        }
        let octets = plain.len() as u64;
        let sent = self.sent.as_ref().and_then(|s| s.find(&digest, octets));
        if let Some(piece) = sent
            && self.keeps(piece)?
        {
            return Ok((piece.clone(), How::There));
        }
        let sealed = self.repository.sealer.seal(plain)?;
        let object = match &sealed {
            std::borrow::Cow::Borrowed(_) => digest.clone(),
            std::borrow::Cow::Owned(sealed) => blake3::hash(sealed).to_hex().to_string(),
        };
        let piece = Piece {
            object,
            octets,
            stored: sealed.len() as u64,
            digest,
        };
        if self.keeps(&piece)? {
            return Ok((piece, How::There));
        }
        let path = object_path(&piece.object);
        self.repository.destination.put(&path, &sealed)?;
        if let Some(sent) = &self.sent {
            sent.add(&piece);
        }
        Ok((piece, How::Written))
    }

    /// Whether an object is there that no generation speaks for, such as a backup leaves that was killed: it
    /// has to read well. Then it is made durable.
    fn keeps(&self, piece: &Piece) -> Result<bool> {
        if !self.has(piece) || self.repository.stored_octets(&piece.object)?.is_none() {
            return Ok(false);
        }
        let path = object_path(&piece.object);
        self.repository.destination.keep(&path)?;
        Ok(true)
    }

    fn note(&mut self, piece: &Piece, how: How) {
        match how {
            How::There => {}
            How::Written => {
                let _ = self.there.insert(piece.object.clone(), piece.stored);
                let _ = self.fresh.insert(piece.object.clone(), piece.stored);
            }
        }
    }

    /// `state.db`, where there is one.
    pub(super) fn state(&mut self, data: &Path) -> Result<Vec<Piece>> {
        let bytes = snapshot::of_state(data)?.unwrap_or_default();
        let mut all = Vec::new();
        for part in bytes.chunks(PIECE_OCTETS) {
            let (piece, how) = self.store(part, None)?;
            self.note(&piece, how);
            self.hooks.pass(part.len() as u64)?;
            all.push(piece);
        }
        Ok(all)
    }

    /// All packs that count at one moment.
    pub(super) fn packs(&mut self, store: &EmbeddedStore) -> Result<Vec<Pack>> {
        let mut done: HashMap<u32, Pack> = HashMap::new();
        for _ in 0..ATTEMPTS {
            let infos = store.packs()?;
            if self.bring_all(store, &infos, &mut done)? {
                let all = infos.iter().filter_map(|info| done.remove(&info.number));
                return Ok(all.collect());
            }
        }
        Err(BackupError::Busy(
            "the packs keep changing: try again later".into(),
        ))
    }

    /// Brings over those that are not done; false when one went meanwhile.
    fn bring_all(
        &mut self,
        store: &EmbeddedStore,
        infos: &[PackInfo],
        done: &mut HashMap<u32, Pack>,
    ) -> Result<bool> {
        let mut open = Vec::new();
        for info in infos {
            let id = hex(&info.id);
            if done.get(&info.number).is_some_and(|pack| pack.id == id) {
                continue;
            }
            let known = self.before.get(&id).filter(|pack| {
                // Of an open pack the end may be another by now, should the power have gone.
                pack.octets == info.octets
                    && pack.sealed
                    && info.sealed
                    && !pack.damaged
                    && !info.short
                    && pack.pieces.iter().all(|piece| self.has(piece))
            });
            if let Some(known) = known {
                let mut pack = known.clone();
                (pack.number, pack.sealed) = (info.number, info.sealed);
                let _ = self.good.insert(info.id, info.settled);
                let _ = done.insert(info.number, pack);
                continue;
            }
            let Some(reader) = store.open_pack(info)? else {
                return Ok(false);
            };
            let info = info.clone();
            open.push(Open { info, reader });
            if open.len() == PACKS_AT_ONCE {
                self.bring(&std::mem::take(&mut open), done)?;
            }
        }
        self.bring(&open, done)?;
        Ok(true)
    }

    fn bring(&mut self, open: &[Open], done: &mut HashMap<u32, Pack>) -> Result<()> {
        let mut jobs = Vec::new();
        for pack in open {
            let known = self.before.get(&hex(&pack.info.id));
            let known = known.filter(|known| !known.damaged && known.octets <= pack.info.octets);
            let sealed = known.filter(|known| known.sealed);
            jobs.push(Job::Examine(pack, sealed.map_or(0, |known| known.octets)));
            let count = pieces(pack.info.octets);
            jobs.extend((0..count).map(|at| Job::Bring(pack, at)));
        }
        let results = parallel(&jobs, PIECES_AT_ONCE, |job| self.work(job))?;
        let mut packs: HashMap<u32, Pack> = HashMap::new();
        for Open { info, .. } in open {
            let pack = Pack {
                number: info.number,
                id: hex(&info.id),
                octets: info.octets,
                sealed: info.sealed,
                damaged: info.short,
                pieces: Vec::new(),
            };
            if info.short {
                self.damage.push(format!(
                    "pack {:06} is shorter than it was: `restante rebuild --salvage`, or restore it",
                    info.number
                ));
            }
            let _ = packs.insert(info.number, pack);
        }
        for came in results {
            match came {
                Came::Examined(number, damage) => {
                    if let (Some(what), Some(pack)) = (damage, packs.get_mut(&number)) {
                        pack.damaged = true;
                        self.damage.push(what);
                    }
                }
                Came::Brought(number, at, piece, how) => {
                    self.note(&piece, how);
                    if let Some(pack) = packs.get_mut(&number) {
                        debug_assert_eq!(pack.pieces.len(), at, "jobs are in the pieces' order");
                        pack.pieces.push(piece);
                    }
                }
            }
        }
        for Open { info, .. } in open {
            if packs.get(&info.number).is_some_and(|pack| !pack.damaged) {
                let _ = self.good.insert(info.id, info.settled);
            }
        }
        done.extend(packs);
        Ok(())
    }

    fn work(&self, job: &Job<'_>) -> Result<Came> {
        self.hooks.go_on()?;
        match job {
            Job::Examine(open, from) => {
                let mut damage = None;
                let number = open.info.number;
                open.reader.examine(*from, false, &mut |finding| {
                    if let Finding::Damaged { from, to } = finding {
                        damage.get_or_insert_with(|| {
                            format!("pack {number:06}: octets {from} to {to} are damaged: `restante verify` lists the messages")
                        });
                    }
                    Ok(())
                })?;
                Ok(Came::Examined(number, damage))
            }
            Job::Bring(open, at) => {
                let start = *at as u64 * PIECE_OCTETS as u64;
                let octets = (open.info.octets - start).min(PIECE_OCTETS as u64);
                let mut plain = vec![0; octets as usize];
                let read = open.reader.read_at(&mut plain, start);
                let number = open.info.number;
                let read = read.map_err(io(format_args!("pack {number:06} cannot be read")))?;
                if read < plain.len() {
                    return Err(BackupError::Damage(format!(
                        "pack {number:06} became shorter while it was read"
                    )));
                }
                let known = self.before.get(&hex(&open.info.id));
                let known = known.and_then(|pack| pack.pieces.get(*at));
                let (piece, how) = self.store(&plain, known)?;
                self.hooks.pass(octets)?;
                Ok(Came::Brought(number, *at, piece, how))
            }
        }
    }

    /// Makes what was written durable and reads it back; then looks whether all of it is there still.
    pub(super) fn check_written(&self, manifest: &Manifest) -> Result<()> {
        self.repository.destination.sync()?;
        let new: Vec<&String> = self.fresh.keys().collect();
        parallel(&new, PIECES_AT_ONCE, |object| {
            self.hooks.go_on()?;
            match self.repository.stored_octets(object)? {
                Some(_) => Ok(()),
                None => Err(BackupError::Damage(format!(
                    "{} does not read back as it was written: the destination cannot be trusted",
                    object_path(object)
                ))),
            }
        })?;
        let listed = self.repository.destination.list("objects/")?;
        let there: HashMap<&str, u64> = listed
            .iter()
            .filter_map(|item| Some((object_of(&item.name)?, item.octets)))
            .collect();
        let unseen = |piece: &&Piece| there.get(piece.object.as_str()) != Some(&piece.stored);
        let unseen: BTreeSet<&str> = manifest
            .pieces()
            .filter(unseen)
            .map(|piece| piece.object.as_str())
            .collect();
        // A listing may be behind what was written just now.
        for object in unseen {
            if self.repository.stored_octets(object)?.is_none() {
                return Err(BackupError::Busy(format!(
                    "{} went while the backup was made: run it again",
                    object_path(object)
                )));
            }
        }
        Ok(())
    }
}
