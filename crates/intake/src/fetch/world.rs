//! What a fetch works with, and how much it is to do.

use std::fmt;
use std::sync::Arc;

use restante_store::{MailStore, UniqueId};

use super::State;

/// What a fetch works with.
#[derive(Clone)]
pub struct World {
    /// Needed by accounts whose target is a mailbox.
    pub store: Option<Arc<dyn MailStore>>,
    /// What is remembered of accounts.
    pub state: Arc<State>,
    /// Whether a verified backup holds that message.
    pub verified_backup: Arc<dyn Fn(&UniqueId) -> bool + Send + Sync>,
}

impl World {
    /// A world without backups.
    pub fn new(store: Option<Arc<dyn MailStore>>, state: Arc<State>) -> Self {
        Self {
            store,
            state,
            verified_backup: Arc::new(|_| false),
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// How much a fetch is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Tell what would be done: no RETR, no DELE, nothing written.
    pub dry_run: bool,
    /// One session only, even where the server shows a part of the maildrop in each.
    pub once: bool,
    /// The most messages to download.
    pub limit: Option<u64>,
    /// Unique-ids of the server whose messages are wanted whole, whatever `max_size` says.
    pub full: Vec<Vec<u8>>,
    /// Look for what the ledger does not know among all messages of the mailbox, whatever brought them
    /// there: what is found is noted as seen. Bodies are read from the server only where headers do not tell.
    pub relearn: bool,
    /// Go ahead although the account waits: somebody asks for it now.
    pub even_if_paused: bool,
}
