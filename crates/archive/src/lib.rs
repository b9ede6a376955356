//! What is known of the mail: MIME, threads, full-text search and its query language, newsletters,
//! marks and rules.
//!
//! [`Archive`] follows [`MailStore::changes`] and keeps what it learns in `search.db`, which may be
//! lost at any moment. Marks, labels and rules are in `state.db`, which may not. It may fail; it loses
//! no mail and delays no delivery. Every method may be called from any thread, and waits for the
//! disk: asynchronous callers use a thread for it.

pub mod dkim;
mod error;
mod extract;
mod follow;
mod index;
pub mod limits;
mod marks;
pub mod message;
mod newsletters;
mod overview;
mod query;
pub mod render;
mod rules;
mod script;
mod search;
mod snippet;
mod state;
mod tags;
mod thread;
mod types;

use std::path::Path;
use std::sync::Arc;

use pollster::block_on as wait;
use restante_store::{MailStore, UniqueId};

pub use error::{ArchiveError, QueryError};
pub use marks::{MarkChange, Marks};
pub use newsletters::{Newsletter, NewsletterId, Unsubscribed};
pub use overview::{BigAttachment, Month, Overview, Sender};
pub use query::Query;
pub use rules::{Action, Rule, RuleId};
pub use types::{
    Address, Entry, Page, PageKey, Progress, Results, Scope, Snippet, Status, ThreadId, Threaded,
    Unsubscribe,
};

use index::Index;
use state::State;

/// Which mailboxes to index.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names of mailboxes to index whether or not somebody has asked for it.
    pub always: Vec<String>,
    /// Names of mailboxes never to index.
    pub never: Vec<String>,
}

/// What is known of the mail in one data folder.
pub struct Archive {
    store: Arc<dyn MailStore>,
    index: Index,
    state: State,
    options: Options,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").finish_non_exhaustive()
    }
}

impl Archive {
    /// Opens `search.db` in the data folder, and makes it anew if it is missing, older or garbage.
    /// `state`: an open connection to `state.db`, in which tables `archive_*` are ours.
    ///
    /// # Errors
    /// [`ArchiveError::Database`], also for a file that a newer program wrote.
    pub fn open(
        data: &Path,
        state: rusqlite::Connection,
        store: Arc<dyn MailStore>,
        options: Options,
    ) -> Result<Self, ArchiveError> {
        Ok(Self {
            store,
            index: Index::open(data)?,
            state: State::open(state)?,
            options,
        })
    }

    /// The message, taken apart for showing. Its bytes are bounded by
    /// [`limits::SHOW_OCTETS`]: `Parsed::truncated` says when there are more.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is gone or the scope does not see it.
    pub fn message(&self, scope: &Scope, id: UniqueId) -> Result<message::Parsed, ArchiveError> {
        self.visible(scope, id)?;
        let (bytes, truncated) = self.bytes(id, limits::SHOW_OCTETS)?;
        let mut parsed = message::Parsed::from_bytes(&bytes);
        parsed.truncated = truncated;
        Ok(parsed)
    }

    /// A part of the message, and its octets, decoded.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when there is no such part, or the scope does not see the message.
    pub fn part(
        &self,
        scope: &Scope,
        id: UniqueId,
        part: u32,
    ) -> Result<(message::Part, Vec<u8>), ArchiveError> {
        let mut found = None;
        self.contents(scope, id, &mut |known, content| {
            if known.id == part {
                found = Some((known.clone(), content.to_vec()));
            }
        })?;
        found.ok_or(ArchiveError::NotFound)
    }

    /// Tells every part of the message with its octets, as [`message::contents`] does.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is gone or the scope does not see it.
    pub fn contents(
        &self,
        scope: &Scope,
        id: UniqueId,
        tell: &mut dyn FnMut(&message::Part, &[u8]),
    ) -> Result<(), ArchiveError> {
        self.visible(scope, id)?;
        let (bytes, _) = self.bytes(id, limits::SHOW_OCTETS)?;
        message::contents(&bytes, tell);
        Ok(())
    }

    /// As [`Archive::message`], but of the header only: text and parts are missing. For lists, as it reads no more than
    /// [`limits::HEADER_BLOCK_OCTETS`].
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is gone or the scope does not see it.
    pub fn header(&self, scope: &Scope, id: UniqueId) -> Result<message::Parsed, ArchiveError> {
        self.visible(scope, id)?;
        let (bytes, _) = self.bytes(id, limits::HEADER_BLOCK_OCTETS)?;
        Ok(message::Parsed::of_header(&bytes))
    }

    /// Whether the scope may see the message, live or restorable.
    fn visible(
        &self,
        scope: &Scope,
        id: UniqueId,
    ) -> Result<restante_store::MessageInfo, ArchiveError> {
        wait(self.store.message(id))?
            .filter(|info| scope.contains(info.mailbox))
            .ok_or(ArchiveError::NotFound)
    }

    /// The message's octets, at most so many, and whether there are more.
    fn bytes(&self, id: UniqueId, most: usize) -> Result<(Vec<u8>, bool), ArchiveError> {
        read(&*self.store, id, most)
    }
}

/// The first octets of a message, and whether there are more.
fn read(store: &dyn MailStore, id: UniqueId, most: usize) -> Result<(Vec<u8>, bool), ArchiveError> {
    let mut body = wait(store.read(id))?;
    let size = usize::try_from(body.size()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(size.min(most));
    while bytes.len() < most {
        if wait(body.read(&mut bytes))? == 0 {
            return Ok((bytes, false));
        }
    }
    let more = bytes.len() > most || size > most;
    bytes.truncate(most);
    Ok((bytes, more))
}
