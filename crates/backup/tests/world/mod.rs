//! An archive, and a folder for its backups.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pollster::block_on as wait;
use restante_backup::{
    BackupError, BackupReport, Hooks, Key, RestoreOptions, RestoreReport, Target, backup, restore,
};
use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{Delivery, MailStore, MessageFilter, UniqueId};
use tempfile::TempDir;

/// Small packs, so that there are several.
pub fn options() -> Options {
    Options {
        compact: false,
        pack_octets: 200_000,
        ..Options::default()
    }
}

pub struct World {
    pub home: TempDir,
    pub store: std::sync::Arc<EmbeddedStore>,
}

fn text(number: u64, octets: usize) -> Vec<u8> {
    let mut bytes = format!("Subject: {number}\r\n\r\n").into_bytes();
    let mut line = 0u64;
    while bytes.len() < octets {
        let seed = [number, line].map(u64::to_le_bytes).concat();
        bytes.extend_from_slice(format!("{}\r\n", blake3::hash(&seed)).as_bytes());
        line += 1;
    }
    bytes
}

pub fn with<T>(work: impl FnOnce(&Hooks<'_>) -> T) -> T {
    work(&Hooks::new(&|_| {}, &|| false, None))
}

impl World {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&home.path().join("data"), options()).unwrap();
        let store = std::sync::Arc::new(store);
        Self { home, store }
    }

    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub fn target(&self, key: Key) -> Target {
        let place = self.home.path().join("backups");
        let place = place.to_str().unwrap().to_owned();
        Target { place, key }
    }

    pub fn deliver(&self, mailbox: &str, numbers: std::ops::Range<u64>) -> Vec<UniqueId> {
        let mailbox = wait(self.store.create_mailbox(mailbox)).unwrap();
        let mut all = Vec::new();
        for number in numbers {
            let octets = 500 + (number as usize * 7_919) % 9_000;
            let mut draft = self.store.draft(None).unwrap();
            draft.write(&text(number, octets)).unwrap();
            let delivery = Delivery {
                mailbox,
                message: draft.seal().unwrap(),
                received_ms: 1_700_000_000_000 + number,
                source: None,
            };
            all.extend(wait(self.store.commit(vec![delivery])).unwrap());
        }
        all
    }

    pub fn backup(&self, key: Key) -> Result<BackupReport, BackupError> {
        let target = self.target(key);
        with(|hooks| backup(&self.store, &self.data(), &target, None, false, hooks))
    }

    pub fn restore(&self, to: &str, key: Key) -> Result<RestoreReport, BackupError> {
        let to = self.home.path().join(to);
        let target = self.target(key);
        with(|hooks| restore(&target, &to, &RestoreOptions::default(), hooks))
    }
}

/// All messages with their bytes; those that cannot be read have none.
pub fn messages(store: &EmbeddedStore) -> BTreeMap<UniqueId, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for mailbox in wait(store.mailboxes()).unwrap() {
        let page = wait(store.browse(mailbox.id, MessageFilter::Live, None, 100_000)).unwrap();
        for info in page {
            let mut bytes = Vec::new();
            let read = wait(async {
                let mut body = store.read(info.unique_id).await?;
                while body.read(&mut bytes).await? > 0 {}
                Ok::<_, restante_store::StoreError>(())
            });
            all.insert(info.unique_id, read.is_ok().then_some(bytes));
        }
    }
    all
}

pub fn opened(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(folder, options()).unwrap()
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}
