//! The contract on the in-memory model.

use std::sync::Arc;

use restante_store::MailStore;
use restante_testkit::MemoryStore;

fn make(hold_ms: u64) -> Arc<dyn MailStore> {
    Arc::new(MemoryStore::with_hold(hold_ms))
}

restante_testkit::contract_tests!(make);
