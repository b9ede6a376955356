//! An embedded store on a faulty disk, and the same found again after a crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::limits::TOMBSTONE_RESERVE_OCTETS;
use restante_store::{MailStore, StoreError};
use restante_testkit::disk::{FaultyDisk, Image};
use restante_testkit::exec::block_on;
use tempfile::TempDir;

use super::workload::{Driver, Subject, judge, look};

/// In which state `index.db` is found.
#[derive(Debug, Clone)]
pub(crate) enum Index {
    /// Not there.
    Missing,
    /// Octets that mean nothing.
    Garbage,
    /// As it was in this folder.
    Copy(PathBuf),
}

/// A store on a disk of its own.
pub(crate) struct Running {
    pub(crate) store: EmbeddedStore,
    pub(crate) disk: FaultyDisk,
    folder: TempDir,
    /// `index.db` as it was at some lengths of the disk's history.
    copies: Mutex<Vec<(usize, TempDir)>>,
}

/// What a store is told, besides its disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) min_free: u64,
    pub(crate) hold_ms: u64,
}

impl Settings {
    /// Nothing that was removed is ever reclaimed.
    pub(crate) const KEEP: Self = Self {
        min_free: 0,
        hold_ms: 60 * 60 * 1000,
    };
    /// A compaction reclaims all that is removed.
    pub(crate) const RECLAIM: Self = Self {
        min_free: 0,
        hold_ms: 0,
    };
}

impl Running {
    /// A new one.
    pub(crate) fn new(settings: Settings) -> Self {
        let folder = memory_folder();
        let disk = FaultyDisk::new(folder.path());
        // Too little for the reserve of 1 MiB, which would be most of what the disk remembers.
        disk.set_free(Some(TOMBSTONE_RESERVE_OCTETS));
        let store = open(folder.path(), &disk, settings).expect("a new store opens");
        let copies = Mutex::default();
        Self {
            store,
            disk,
            folder,
            copies,
        }
    }

    /// What is found of one after a crash.
    pub(crate) fn found(image: &Image, index: &Index, settings: Settings, what: &str) -> Self {
        Self::try_found(image, index, settings)
            .unwrap_or_else(|e| panic!("{what}: does not open: {e}"))
    }

    /// As `found`, when it may refuse to open.
    pub(crate) fn try_found(
        image: &Image,
        index: &Index,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let folder = memory_folder();
        match index {
            Index::Missing => {}
            Index::Garbage => {
                let garbage = b"SQLite format 3\0 it says, but it is not.".repeat(200);
                fs::write(folder.path().join("index.db"), garbage).expect("written");
            }
            Index::Copy(from) => copy_index(from, folder.path()),
        }
        let disk = FaultyDisk::from_image(folder.path(), image);
        disk.set_free(Some(TOMBSTONE_RESERVE_OCTETS));
        let store = open(folder.path(), &disk, settings)?;
        let copies = Mutex::default();
        Ok(Self {
            store,
            disk,
            folder,
            copies,
        })
    }

    /// Where `index.db` is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The copies of `index.db` that were made at compactions, and after how many operations.
    pub(crate) fn copies(&self) -> Vec<(usize, TempDir)> {
        std::mem::take(&mut self.copies.lock().expect("no test panicked"))
    }

    /// Waits until the store has written what nobody waited for (that a view was first used).
    fn settle(&self) {
        for mailbox in block_on(self.store.mailboxes()).expect("listed") {
            // Changes nothing, but is answered after all that was asked before.
            let renamed = self.store.rename_mailbox(mailbox.id, &mailbox.name);
            block_on(renamed).expect("to the name that it has");
        }
    }

    /// The index says what a rebuild says, sequence numbers aside.
    pub(crate) fn assert_index_is_a_rebuild(&self, what: &str) {
        self.settle();
        let kept = self.store.dump_index().expect("dumped");
        let rebuilt = self.store.rebuild(&mut |_| ());
        rebuilt.unwrap_or_else(|e| panic!("{what}: no rebuild: {e}"));
        let rebuilt = self.store.dump_index().expect("dumped");
        let lacks = |all: &[String], of: &[String]| -> Vec<String> {
            of.iter().filter(|l| !all.contains(l)).cloned().collect()
        };
        let (more, less) = (lacks(&rebuilt, &kept), lacks(&kept, &rebuilt));
        assert!(
            kept == rebuilt,
            "{what}: only in the index: {more:#?}; only in a rebuilt one: {less:#?}"
        );
    }
}

/// A folder for `index.db`, in memory where there is such a thing: what is tested is the packs'
/// disk, and SQLite's own syncs on a real one take most of a run's time.
fn memory_folder() -> TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder")
}

fn open(folder: &Path, disk: &FaultyDisk, settings: Settings) -> Result<EmbeddedStore, StoreError> {
    let options = Options {
        min_free: settings.min_free,
        hold_ms: settings.hold_ms,
        grace_ms: settings.hold_ms,
        compact: false,
        pack_octets: 24 * 1024,
        disk: Arc::new(disk.clone()),
        ..Options::default()
    };
    EmbeddedStore::open(folder, options)
}

fn copy_index(from: &Path, to: &Path) {
    for name in ["index.db", "index.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).expect("copied");
        }
    }
}

impl Subject for Running {
    fn mail(&self) -> &dyn MailStore {
        &self.store
    }

    fn compact(&self) -> Result<(), StoreError> {
        let copy = memory_folder();
        copy_index(self.folder.path(), copy.path());
        let mut copies = self.copies.lock().expect("no test panicked");
        copies.push((self.disk.operations(), copy));
        self.store.compact_now().map(drop)
    }
}

/// What is known after a crash in the middle of a recorded run: the step that was under way has
/// been done, or has not.
pub(crate) fn settled(history: &[(usize, Driver)], prefix: usize, again: &Running) -> Driver {
    let found = look(&again.store).expect("looked");
    let done = history
        .iter()
        .rposition(|(end, _)| *end <= prefix)
        .unwrap_or(0);
    // Of two that fit, the later: it knows the unique-ids of both.
    let known = history[done..].iter().take(2).rev();
    let mut fits = known.filter(|(_, driver)| judge(driver, &found).is_empty());
    let (_, driver) = fits.next().expect("one of them is what is found");
    driver.clone()
}
