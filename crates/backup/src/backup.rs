//! Writing a generation: what is new travels, is read back, and then the generation is named.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use restante_store::MailStore;
use restante_store::embedded::{EmbeddedStore, Finding, PackInfo, PackReader};
use rusqlite::{Connection, OpenFlags};

use crate::destination::canonical;
use crate::error::{BackupError, Result, io, sql};
use crate::keep::Retention;
use crate::lease::{Lease, Purpose};
use crate::limits::{PIECE_OCTETS, PIECES_AT_ONCE};
use crate::manifest::{Mailbox, Manifest, Pack, Piece, generation_path, object_path};
use crate::pace::{Hooks, parallel};
use crate::prune::{PruneReport, prune};
use crate::repository::{Repository, Target, generation_id};
use crate::state::{Done, Kind, State};

/// Packs that are open at once.
const PACKS_AT_ONCE: usize = 32;

/// How often the packs are looked at anew because a compactor took some away.
const ATTEMPTS: u32 = 20;

/// What a backup came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The generation's name.
    pub generation: String,
    /// When it was begun, in milliseconds since 1970.
    pub at_ms: u64,
    /// Messages in it.
    pub messages: u64,
    /// Octets of packs and `state.db` in it.
    pub octets: u64,
    /// Objects that were written,
    pub objects: u64,
    /// and their octets.
    pub written: u64,
    /// What was found damaged in the archive, one line each. It is in the backup as it is.
    pub damage: Vec<String>,
    /// What pruning came to, if it was asked for.
    pub pruned: Option<PruneReport>,
    /// Why pruning failed: the backup is good all the same.
    pub prune_error: Option<String>,
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as u64)
}

/// Octets as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Backs the archive up, and removes what `keep` does not name. `anew`: begin where a backup was once
/// and is not any more.
///
/// # Errors
/// Earlier generations are whole whatever happens. The failure is noted in `state.db` too.
pub fn backup(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    keep: Option<&Retention>,
    anew: bool,
    hooks: &Hooks<'_>,
) -> Result<BackupReport> {
    let state = State::open(data)?;
    let place = canonical(&target.place)?;
    if anew {
        state.forget(&place)?;
    }
    let done = run(store, data, target, keep, &state, hooks);
    if let Err(error) = &done {
        state.failed(&place, Kind::Backup, &error.to_string())?;
    }
    done
}

fn run(
    store: &EmbeddedStore,
    data: &Path,
    target: &Target,
    keep: Option<&Retention>,
    state: &State,
    hooks: &Hooks<'_>,
) -> Result<BackupReport> {
    let known = state.known(&canonical(&target.place)?)?;
    let known = known.as_ref().map(|(id, how)| (id.as_str(), how.as_str()));
    let repository = Repository::open_or_make(target, known)?;
    state.meet(&repository.place, &repository.id, &repository.encryption)?;
    let lease = Lease::take(&repository.destination, Purpose::Writing)?;
    let mut work = Work::begin(&repository, state, data, hooks)?;
    // After all that are there, however fast they follow and whatever the clock does.
    let newest = repository.generations()?.last().map_or(0, |(_, at)| *at);
    let now = now_ms();
    let at_ms = now.max(newest + 1);
    let mailboxes = pollster::block_on(store.mailboxes())?;
    let mut manifest = Manifest {
        id: generation_id(at_ms),
        at_ms,
        mailboxes: mailboxes
            .into_iter()
            .map(|mailbox| Mailbox {
                name: mailbox.name,
                messages: mailbox.totals.count,
                octets: mailbox.totals.octets,
            })
            .collect(),
        ..Manifest::default()
    };
    // Before the packs: what it speaks of is in them.
    manifest.state = work.state(data)?;
    manifest.packs = work.packs(store)?;
    work.check_written(&manifest)?;
    let bytes = manifest.encode(&repository.sealer)?;
    let path = generation_path(&manifest.id);
    repository.destination.put(&path, &bytes)?;
    repository.destination.sync()?;
    if repository.generation_bytes(&manifest.id)? != bytes {
        return Err(BackupError::Damage(format!(
            "generation {} does not read back as it was written: the destination cannot be trusted",
            manifest.id
        )));
    }
    remember(data, &repository, &manifest)?;
    let packs: Vec<_> = work
        .good
        .iter()
        .map(|(id, octets)| (*id, *octets))
        .collect();
    state.backed_up(
        &repository.place,
        &Done {
            generation: &manifest.id,
            at_ms: now,
            messages: manifest.messages(),
            octets: manifest.octets(),
            packs: &packs,
        },
    )?;
    let mut report = BackupReport {
        generation: manifest.id.clone(),
        at_ms,
        messages: manifest.messages(),
        octets: manifest.octets(),
        objects: work.fresh.len() as u64,
        written: work.fresh.values().sum(),
        damage: work.damage,
        ..BackupReport::default()
    };
    drop(lease);
    if let Some(keep) = keep {
        match prune(&repository, keep, Some(&manifest.id), hooks) {
            Ok(pruned) => report.pruned = Some(pruned),
            Err(error) => report.prune_error = Some(error.to_string()),
        }
    }
    Ok(report)
}

/// Where the last generation of a place is remembered: derived, may be lost.
fn memory(data: &Path, repository: &Repository) -> PathBuf {
    data.join("backup")
        .join(format!("{}.manifest", repository.id))
}

fn private_folder(data: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = data.join("backup");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(io(format_args!("cannot make {}", folder.display())))?;
    Ok(folder)
}

/// Keeps the manifest beside the archive: without a key what is at the destination cannot be read.
fn remember(data: &Path, repository: &Repository, manifest: &Manifest) -> Result<()> {
    let folder = private_folder(data)?;
    let path = memory(data, repository);
    let new = folder.join(format!("{}.new", repository.id));
    fs::write(&new, format!("{}\n{}", manifest.id, manifest.text()?))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(io(format_args!("cannot write {}", path.display())))
}

/// The last generation: as remembered, else as it can be read.
fn last(data: &Path, repository: &Repository) -> Manifest {
    let remembered = fs::read_to_string(memory(data, repository)).ok();
    let parsed = remembered.and_then(|text| {
        let (id, rest) = text.split_once('\n')?;
        Manifest::from_text(id, rest).ok()
    });
    parsed
        .or_else(|| repository.manifest(&repository.newest(None).ok()?).ok())
        .unwrap_or_default()
}

/// A backup under way.
struct Work<'a> {
    repository: &'a Repository,
    hooks: &'a Hooks<'a>,
    /// What the destination has: octets by digest, without what is damaged.
    there: HashMap<String, u64>,
    /// What the last generation says of packs, by their ids.
    before: HashMap<String, Pack>,
    /// Objects written by this backup, and their octets.
    fresh: BTreeMap<String, u64>,
    /// Objects that were there without the last generation's word for it.
    doubtful: BTreeSet<String>,
    /// Undamaged packs, and up to where.
    good: BTreeMap<[u8; 16], u64>,
    damage: Vec<String>,
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
    /// The last generation has it.
    Known,
    /// It was there.
    Found,
    Written,
}

fn pieces(octets: u64) -> usize {
    octets.div_ceil(PIECE_OCTETS as u64) as usize
}

impl<'a> Work<'a> {
    fn begin(
        repository: &'a Repository,
        state: &State,
        data: &Path,
        hooks: &'a Hooks<'a>,
    ) -> Result<Self> {
        let bad = state.bad(&repository.place)?;
        let listed = repository.destination.list("objects/")?;
        let there = listed.into_iter().filter_map(|item| {
            let digest = item.name.rsplit('/').next()?.to_owned();
            (!bad.contains(&digest)).then_some((digest, item.octets))
        });
        let before = last(data, repository).packs.into_iter();
        Ok(Self {
            repository,
            hooks,
            there: there.collect(),
            before: before.map(|pack| (pack.id.clone(), pack)).collect(),
            fresh: BTreeMap::new(),
            doubtful: BTreeSet::new(),
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
            return Ok((piece.clone(), How::Known));
        }
        let sealed = self.repository.sealer.seal(plain)?;
        let object = match &sealed {
            std::borrow::Cow::Borrowed(_) => digest.clone(),
            std::borrow::Cow::Owned(sealed) => blake3::hash(sealed).to_hex().to_string(),
        };
        let piece = Piece {
            object,
            octets: plain.len() as u64,
            stored: sealed.len() as u64,
            digest,
        };
        if self.has(&piece) {
            return Ok((piece, How::Found));
        }
        let path = object_path(&piece.object);
        self.repository.destination.put(&path, &sealed)?;
        Ok((piece, How::Written))
    }

    fn note(&mut self, piece: &Piece, how: How) {
        match how {
            How::Known => {}
            How::Found => drop(self.doubtful.insert(piece.object.clone())),
            How::Written => {
                let _ = self.there.insert(piece.object.clone(), piece.stored);
                let _ = self.fresh.insert(piece.object.clone(), piece.stored);
            }
        }
    }

    /// A consistent copy of `state.db`; nothing when there is none.
    fn state(&mut self, data: &Path) -> Result<Vec<Piece>> {
        let source = data.join("state.db");
        if !source.exists() {
            return Ok(Vec::new());
        }
        let copy = private_folder(data)?.join(format!("state-{}.db", std::process::id()));
        let _ = fs::remove_file(&copy);
        let copied = copy_database(&source, &copy)
            .and_then(|()| fs::read(&copy).map_err(io("the copy of state.db cannot be read")));
        let _ = fs::remove_file(&copy);
        let bytes = copied?;
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
    fn packs(&mut self, store: &EmbeddedStore) -> Result<Vec<Pack>> {
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
    fn check_written(&self, manifest: &Manifest) -> Result<()> {
        self.repository.destination.sync()?;
        let new: Vec<&String> = self.fresh.keys().chain(&self.doubtful).collect();
        parallel(&new, PIECES_AT_ONCE, |object| {
            self.hooks.go_on()?;
            match self.repository.stored(object)? {
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
            .filter_map(|item| Some((item.name.rsplit('/').next()?, item.octets)))
            .collect();
        let gone = |piece: &&Piece| there.get(piece.object.as_str()) != Some(&piece.stored);
        match manifest.pieces().find(gone) {
            None => Ok(()),
            Some(piece) => Err(BackupError::Busy(format!(
                "{} went while the backup was made: run it again",
                object_path(&piece.object)
            ))),
        }
    }
}

/// SQLite's own online backup: a consistent state while others write.
fn copy_database(from: &Path, to: &Path) -> Result<()> {
    let doing = "state.db cannot be copied";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(sql(doing))?;
    source
        .busy_timeout(std::time::Duration::from_secs(10))
        .map_err(sql(doing))?;
    let mut target = Connection::open(to).map_err(sql(doing))?;
    {
        let copy = rusqlite::backup::Backup::new(&source, &mut target).map_err(sql(doing))?;
        copy.run_to_completion(1_000, std::time::Duration::from_millis(2), None)
            .map_err(sql(doing))?;
    }
    // On its own, without a log beside it.
    target
        .pragma_update(None, "journal_mode", "DELETE")
        .map_err(sql(doing))
}
