//! The contract that every store keeps, on the embedded store and a real disk.

use std::cell::RefCell;
use std::sync::Arc;

use restante_store::MailStore;
use restante_store::embedded::{EmbeddedStore, Options};
use tempfile::TempDir;

/// The folders of one test; they go when it ends.
#[derive(Default)]
struct Folders(RefCell<Vec<TempDir>>);

fn maker(folders: &Folders) -> impl Fn(u64) -> Arc<dyn MailStore> + '_ {
    |hold_ms| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options {
            hold_ms,
            min_free: 0,
            ..Options::default()
        };
        let store = EmbeddedStore::open(folder.path(), options).expect("a new store opens");
        folders.0.borrow_mut().push(folder);
        Arc::new(store)
    }
}

restante_testkit::contract_tests!(maker(&Folders::default()));
