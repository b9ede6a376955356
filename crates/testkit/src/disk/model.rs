//! What is durable and what is not, as one value that operations are applied to.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file, whatever names it has.
pub(super) type FileId = usize;

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Create(PathBuf, FileId),
    Spool(FileId),
    CreateDir(PathBuf),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    SyncDir(PathBuf),
    Write(FileId, u64, Arc<[u8]>),
    SetLen(FileId, u64),
    SyncData(FileId),
    SyncFailed(FileId),
}

/// What became of what was not synced when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// All is lost: octets and names.
    LoseAll,
    /// All is there.
    KeepAll,
    /// All is there but the second half of the last write.
    TornLast,
    /// The octets are there, the names are as they were last synced.
    LoseNames,
    /// The sizes are there, the octets are zero: the size was written before the data.
    Zeroed,
    /// Each write and each folder for itself is there, half there, holed, zero, or lost; by this
    /// seed.
    Mixed(u64),
}

/// Files and folders by their path below the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Folders.
    pub folders: Vec<PathBuf>,
    /// Files and their octets.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Image {
    /// Writes it all below a folder of the real file system.
    pub fn write_to(&self, root: &Path) -> io::Result<()> {
        for folder in &self.folders {
            fs::create_dir_all(root.join(folder))?;
        }
        for (path, bytes) in &self.files {
            fs::write(root.join(path), bytes)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// What the next sync makes durable.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Arc<[u8]>),
    SetLen(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::SetLen(octets) => bytes.resize(*octets as usize, 0),
            Self::Write(offset, written) => {
                let (start, end) = (*offset as usize, *offset as usize + written.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(written);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(FileId),
    Folder,
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    root: PathBuf,
    files: Vec<File>,
    durable: Names,
    now: Names,
    /// The file of the last write.
    last: Option<FileId>,
}

fn not_found(path: &Path) -> io::Error {
    let what = format!("{} is not there", path.display());
    io::Error::new(io::ErrorKind::NotFound, what)
}

impl State {
    pub(super) fn from_image(root: &Path, image: &Image) -> Self {
        let mut state = Self {
            root: root.to_owned(),
            ..Self::default()
        };
        state.now.insert(root.to_owned(), Node::Folder);
        for folder in &image.folders {
            state.now.insert(root.join(folder), Node::Folder);
        }
        for (path, bytes) in &image.files {
            state
                .now
                .insert(root.join(path), Node::File(state.files.len()));
            state.files.push(File {
                durable: bytes.clone(),
                now: bytes.clone(),
                pending: Vec::new(),
            });
        }
        state.durable = state.now.clone();
        state
    }

    pub(super) fn next_file(&self) -> FileId {
        self.files.len()
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<FileId> {
        match self.now.get(path) {
            Some(Node::File(file)) => Ok(*file),
            _ => Err(not_found(path)),
        }
    }

    pub(super) fn may_create(&self, path: &Path) -> io::Result<()> {
        if self.now.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let parent = path.parent().unwrap_or(path);
        self.list(parent).map(drop)
    }

    /// Folders that `create_dir_all` makes, the outermost first. Those above the root are there.
    pub(super) fn missing_folders(&self, folder: &Path) -> Vec<PathBuf> {
        let inside = folder.ancestors().filter(|a| a.starts_with(&self.root));
        let mut missing: Vec<_> = inside
            .filter(|a| !self.now.contains_key(*a))
            .map(Path::to_owned)
            .collect();
        missing.reverse();
        missing
    }

    pub(super) fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        if self.now.get(folder) != Some(&Node::Folder) {
            return Err(not_found(folder));
        }
        let inside = self.now.keys().filter(|p| p.parent() == Some(folder));
        let names = inside.filter_map(|p| p.file_name());
        Ok(names.map(|n| n.to_string_lossy().into_owned()).collect())
    }

    pub(super) fn content(&self, file: FileId) -> &[u8] {
        &self.files[file].now
    }

    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(path, file) => {
                debug_assert_eq!(*file, self.files.len());
                self.files.push(File::default());
                self.now.insert(path.clone(), Node::File(*file));
            }
            Operation::Spool(file) => {
                debug_assert_eq!(*file, self.files.len());
                self.files.push(File::default());
            }
            Operation::CreateDir(path) => {
                self.now.insert(path.clone(), Node::Folder);
            }
            Operation::Rename(from, to) => {
                if let Some(node) = self.now.remove(from) {
                    self.now.insert(to.clone(), node);
                }
            }
            Operation::Unlink(path) => {
                self.now.remove(path);
            }
            Operation::SyncDir(folder) => sync_names(&self.now, &mut self.durable, folder),
            Operation::Write(file, offset, bytes) => {
                self.last = Some(*file);
                self.change(*file, Change::Write(*offset, Arc::clone(bytes)));
            }
            Operation::SetLen(file, octets) => self.change(*file, Change::SetLen(*octets)),
            Operation::SyncData(file) => {
                let file = &mut self.files[*file];
                for change in file.pending.drain(..) {
                    change.apply(&mut file.durable);
                }
            }
            Operation::SyncFailed(file) => self.files[*file].pending.clear(),
        }
    }

    fn change(&mut self, file: FileId, change: Change) {
        let file = &mut self.files[file];
        change.apply(&mut file.now);
        file.pending.push(change);
    }

    pub(super) fn crash(&self, how: Crash) -> Image {
        let mut chance = match how {
            Crash::Mixed(seed) => Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            _ => Chance(1),
        };
        let names = match how {
            Crash::LoseAll | Crash::LoseNames => self.durable.clone(),
            Crash::KeepAll | Crash::TornLast | Crash::Zeroed => self.now.clone(),
            Crash::Mixed(_) => self.mixed_names(&mut chance),
        };
        let mut image = Image::default();
        for (path, node) in &names {
            let above = path.ancestors().skip(1);
            let mut above = above.take_while(|a| a.starts_with(&self.root));
            if !above.all(|a| names.get(a) == Some(&Node::Folder)) || *path == self.root {
                continue;
            }
            let Some(path) = super::below(&self.root, path) else {
                continue;
            };
            match node {
                Node::Folder => image.folders.push(path),
                Node::File(file) => {
                    image
                        .files
                        .insert(path, self.found(*file, how, &mut chance));
                }
            }
        }
        image
    }

    fn mixed_names(&self, chance: &mut Chance) -> Names {
        let mut names = self.durable.clone();
        let folders = self.now.iter().filter(|(_, node)| **node == Node::Folder);
        for (folder, _) in folders {
            if chance.of(2) == 0 {
                sync_names(&self.now, &mut names, folder);
            }
        }
        names
    }

    /// The octets of a file as they are found after the crash.
    fn found(&self, id: FileId, how: Crash, chance: &mut Chance) -> Vec<u8> {
        let file = &self.files[id];
        if how == Crash::KeepAll {
            // What a failed sync gave up may have reached the device all the same.
            return file.now.clone();
        }
        let mut bytes = file.durable.clone();
        let last = file.pending.len().wrapping_sub(1);
        for (at, change) in file.pending.iter().enumerate() {
            let fate = match how {
                Crash::LoseAll => Fate::Lost,
                Crash::KeepAll | Crash::LoseNames => Fate::Kept,
                Crash::TornLast if self.last == Some(id) && at == last => Fate::Torn,
                Crash::TornLast => Fate::Kept,
                Crash::Zeroed => Fate::Zero,
                Crash::Mixed(_) => FATES[chance.of(5)],
            };
            fate.apply(change, &mut bytes);
        }
        bytes
    }
}

#[derive(Clone, Copy)]
enum Fate {
    Lost,
    Kept,
    Torn,
    Zero,
    /// Both ends without the middle: a device writes in no order.
    Holed,
}

const FATES: [Fate; 5] = [Fate::Lost, Fate::Kept, Fate::Torn, Fate::Zero, Fate::Holed];

impl Fate {
    fn apply(self, change: &Change, bytes: &mut Vec<u8>) {
        match (self, change) {
            (Self::Lost, _) => {}
            (Self::Kept, change) | (_, change @ Change::SetLen(_)) => change.apply(bytes),
            (Self::Torn, Change::Write(offset, written)) => {
                let half = written[..written.len() / 2].into();
                Change::Write(*offset, half).apply(bytes);
            }
            (Self::Holed, Change::Write(offset, written)) => {
                let mut written = written.to_vec();
                let quarter = written.len() / 4;
                let end = written.len() - quarter;
                written[quarter..end].fill(0);
                Change::Write(*offset, written.into()).apply(bytes);
            }
            (Self::Zero, Change::Write(offset, written)) => {
                let zeros = vec![0; written.len()].into();
                Change::Write(*offset, zeros).apply(bytes);
            }
        }
    }
}

/// Makes the names directly in `folder` the same in `durable` as they are `now`.
fn sync_names(now: &Names, durable: &mut Names, folder: &Path) {
    durable.retain(|path, _| path.parent() != Some(folder));
    let inside = now.iter().filter(|(path, _)| path.parent() == Some(folder));
    durable.extend(inside.map(|(path, node)| (path.clone(), *node)));
}

/// xorshift64: the same on every machine.
struct Chance(u64);

impl Chance {
    fn of(&mut self, n: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % n) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Errno, Fault, FaultyDisk, Kind, write_all};
    use super::*;
    use restante_store::disk::Disk;

    fn files(image: &Image) -> Vec<(String, String)> {
        let text = |b: &Vec<u8>| String::from_utf8_lossy(b).into_owned();
        let each = image.files.iter();
        each.map(|(p, b)| (p.display().to_string(), text(b)))
            .collect()
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn what_is_not_synced_may_be_lost() {
        let root = Path::new("/data");
        let disk = FaultyDisk::new(root);
        let file = disk.create_new(&root.join("a")).expect("made");
        write_all(file.as_ref(), b"one ", 0).expect("written");
        file.sync_data().expect("synced");
        let nameless = disk.operations();
        disk.sync_dir(root).expect("synced");
        write_all(file.as_ref(), b"four", 4).expect("written");
        let all = disk.operations();
        let at = |how| files(&disk.crash_at(all, how));
        assert_eq!(files(&disk.crash_at(nameless, Crash::LoseAll)), []);
        assert_eq!(files(&disk.crash_at(nameless, Crash::LoseNames)), []);
        assert_eq!(
            files(&disk.crash_at(nameless, Crash::KeepAll)),
            [pair("a", "one ")]
        );
        assert_eq!(at(Crash::LoseAll), [pair("a", "one ")]);
        assert_eq!(at(Crash::KeepAll), [pair("a", "one four")]);
        assert_eq!(at(Crash::TornLast), [pair("a", "one fo")]);
        assert_eq!(at(Crash::Zeroed), [pair("a", "one \0\0\0\0")]);
        let mixed: std::collections::BTreeSet<_> =
            (0..50).map(|seed| at(Crash::Mixed(seed))).collect();
        assert_eq!(mixed.len(), 5);
    }

    #[test]
    fn a_failed_sync_is_never_made_good() {
        let root = Path::new("/data");
        let disk = FaultyDisk::new(root);
        let file = disk.create_new(&root.join("a")).expect("made");
        disk.sync_dir(root).expect("synced");
        disk.fail(Fault {
            kind: Kind::SyncData,
            nth: 0,
            errno: Errno::Io,
            lasting: false,
            torn: false,
        });
        write_all(file.as_ref(), b"lost", 0).expect("written");
        assert!(file.sync_data().is_err());
        write_all(file.as_ref(), b"kept", 4).expect("written");
        file.sync_data().expect("synced");
        let found = files(&disk.crash_at(disk.operations(), Crash::LoseAll));
        assert_eq!(found, [pair("a", "\0\0\0\0kept")]);
        assert_eq!(files(&disk.image()), [pair("a", "lostkept")]);
    }

    #[test]
    fn names_come_back_when_their_folder_was_not_synced() {
        let root = Path::new("/data");
        let disk = FaultyDisk::new(root);
        let packs = root.join("packs");
        disk.create_dir_all(&packs).expect("made");
        let file = disk.create_new(&packs.join("a")).expect("made");
        write_all(file.as_ref(), b"x", 0).expect("written");
        file.sync_data().expect("synced");
        disk.sync_dir(&packs).expect("synced");
        let orphan = disk.crash_at(disk.operations(), Crash::LoseAll);
        assert_eq!(
            orphan,
            Image::default(),
            "the folder itself has no durable name"
        );
        disk.sync_dir(root).expect("synced");
        disk.rename(&packs.join("a"), &packs.join("b"))
            .expect("renamed");
        let found = files(&disk.crash_at(disk.operations(), Crash::LoseAll));
        assert_eq!(found, [pair("packs/a", "x")]);
        disk.sync_dir(&packs).expect("synced");
        disk.unlink(&packs.join("b")).expect("unlinked");
        assert_eq!(files(&disk.image()), []);
        let found = files(&disk.crash_at(disk.operations(), Crash::LoseNames));
        assert_eq!(found, [pair("packs/b", "x")]);
        let mut octet = [0];
        assert_eq!(file.read_at(&mut octet, 0).expect("still open"), 1);
    }

    #[test]
    fn writes_are_short_or_torn_or_refused_as_told() {
        let root = Path::new("/data");
        let disk = FaultyDisk::new(root);
        let file = disk.create_new(&root.join("a")).expect("made");
        disk.set_short_writes(true);
        assert_eq!(file.write_at(b"abcd", 0).expect("written"), 2);
        write_all(file.as_ref(), b"cd", 2).expect("written");
        disk.set_short_writes(false);
        disk.fail(Fault {
            kind: Kind::Write,
            nth: disk.count(Kind::Write),
            errno: Errno::NoSpace,
            lasting: true,
            torn: true,
        });
        let full = file.write_at(b"efgh", 4).expect_err("no space");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(files(&disk.image()), [pair("a", "abcdef")]);
        disk.mend();
        disk.power_off();
        assert!(file.write_at(b"x", 0).is_err() && disk.list(root).is_err());
    }

    #[test]
    fn a_lock_is_held_by_one_handle_until_it_goes() {
        let root = Path::new("/data");
        let disk = FaultyDisk::new(root);
        let one = disk.create_new(&root.join("a")).expect("made");
        let two = disk.open(&root.join("a"), true).expect("opened");
        assert!(one.try_lock().expect("asked") && one.try_lock().expect("asked"));
        assert!(!two.try_lock().expect("asked"));
        drop(one);
        assert!(two.try_lock().expect("asked"));
    }
}
