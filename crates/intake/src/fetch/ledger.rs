//! What was fetched already: in the store the entries themselves, elsewhere a table.

use std::sync::Arc;

use restante_store::{
    LedgerEntry, MailStore, MailboxId, MessageInfo, Seen, Source, StoreError, UniqueId,
};

use super::state::{Remote, Stored};
use super::{FetchError, Kind};

/// The ledger of one account and target.
pub(super) struct Ledger<'a> {
    pub(super) account: &'a str,
    pub(super) remote: Remote<'a>,
    pub(super) books: Books,
    /// What vanished before this counts no more.
    pub(super) horizon_ms: u64,
}

/// Where it is kept.
#[derive(Clone)]
pub(super) enum Books {
    Mailbox(Arc<dyn MailStore>, MailboxId),
    Table,
    /// A dry run for a mailbox that is not there yet.
    Nothing,
}

/// A message in the archive, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archived {
    /// In our store.
    pub(super) unique_id: Option<UniqueId>,
    /// Exact octets.
    pub(super) size: u64,
    /// As POP3 counts them.
    pub(super) octets: u64,
    pub(super) digest: [u8; 32],
    /// The header's digest, where it is at hand.
    pub(super) header: Option<[u8; 16]>,
}

/// What is known of a unique-id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// 0 = nobody knows.
    pub(super) received_ms: u64,
    /// `None`: only seen; nothing may be deleted for it.
    pub(super) archived: Option<Archived>,
    /// The last complete listing did not have it.
    pub(super) vanished: bool,
}

impl Ledger<'_> {
    /// What is known of each id. One that vanished long ago is not known.
    pub(super) async fn find(&self, ids: &[Vec<u8>]) -> Result<Vec<Option<Known>>, FetchError> {
        let mut found = match &self.books {
            Books::Mailbox(store, mailbox) => {
                let entries = store.ledger_find(*mailbox, self.account, ids).await;
                let entries = entries.map_err(|error| store_failed(&error))?;
                entries
                    .into_iter()
                    .map(|entry| entry.map(|e| known(&e)))
                    .collect()
            }
            Books::Table => {
                let lines = self.remote.stored(ids)?;
                lines
                    .into_iter()
                    .map(|line| line.map(|l| listed(&l)))
                    .collect()
            }
            Books::Nothing => vec![None; ids.len()],
        };
        if found.iter().any(Option::is_some) && self.remote.vanished_count()? > 0 {
            let since = self.remote.vanished_since(ids)?;
            for (known, since) in found.iter_mut().zip(since) {
                let Some(since) = since else { continue };
                if since < self.horizon_ms {
                    *known = None;
                } else if let Some(known) = known {
                    known.vanished = true;
                }
            }
        }
        Ok(found)
    }

    /// What is known of an id, or of a message that has none here, however long it has not been listed.
    pub(super) async fn find_whatever_age(&self, id: &[u8]) -> Result<Option<Known>, FetchError> {
        if let Some(entry) = entry_of(id) {
            return self.entry(entry).await;
        }
        let ageless = Self {
            account: self.account,
            remote: self.remote,
            books: self.books.clone(),
            horizon_ms: 0,
        };
        let mut found = ageless.find(&[id.to_vec()]).await?;
        Ok(found.pop().flatten())
    }

    /// A message of the mailbox, whatever brought it there; `None` unless it is there now.
    async fn entry(&self, id: UniqueId) -> Result<Option<Known>, FetchError> {
        let Books::Mailbox(store, mailbox) = &self.books else {
            return Ok(None);
        };
        let found = store.message(id).await;
        let found = found.map_err(|error| store_failed(&error))?;
        let live = found.filter(|info| info.mailbox == *mailbox && info.removed.is_none());
        Ok(live.map(|info| Known {
            received_ms: info.received_ms,
            archived: Some(archived(&info)),
            vanished: false,
        }))
    }

    /// One page, by id.
    pub(super) async fn page(
        &self,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<(Vec<u8>, Known)>, FetchError> {
        match &self.books {
            Books::Mailbox(store, mailbox) => {
                let entries = store.ledger(*mailbox, self.account, after, max).await;
                let entries = entries.map_err(|error| store_failed(&error))?;
                Ok(entries
                    .into_iter()
                    .map(|entry| {
                        let known = known(&entry);
                        (entry.remote_id, known)
                    })
                    .collect())
            }
            Books::Table => {
                let lines = self.remote.stored_page(after.unwrap_or_default(), max)?;
                Ok(lines
                    .into_iter()
                    .map(|line| {
                        let known = listed(&line);
                        (line.remote_id, known)
                    })
                    .collect())
            }
            Books::Nothing => Ok(Vec::new()),
        }
    }

    /// Puts ids into the ledger without a message. Durable when ready.
    pub(super) async fn record_seen(&self, ids: &[(Vec<u8>, u64)]) -> Result<(), FetchError> {
        if ids.is_empty() {
            return Ok(());
        }
        match &self.books {
            Books::Mailbox(store, mailbox) => {
                let seen: Vec<Seen> = ids
                    .iter()
                    .map(|(id, received_ms)| Seen {
                        source: Source {
                            account: self.account.to_owned(),
                            remote_id: id.clone(),
                        },
                        received_ms: *received_ms,
                    })
                    .collect();
                let recorded = store.record_seen(*mailbox, &seen).await;
                recorded.map_err(|error| store_failed(&error))
            }
            Books::Table => {
                let lines: Vec<Stored> = ids
                    .iter()
                    .map(|(id, received_ms)| Stored {
                        remote_id: id.clone(),
                        received_ms: *received_ms,
                        size: 0,
                        digest: None,
                        header: None,
                    })
                    .collect();
                self.remote.put_stored(&lines)
            }
            Books::Nothing => Ok(()),
        }
    }

    /// Takes ids out that vanished long ago, as far as no message hangs on them.
    pub(super) async fn forget_expired(&self) -> Result<(), FetchError> {
        let ids = self.remote.expired(self.horizon_ms)?;
        for ids in ids.chunks(super::limits::LOOK_UP) {
            match &self.books {
                Books::Mailbox(store, mailbox) => {
                    let entries = store.ledger_find(*mailbox, self.account, ids).await;
                    let entries = entries.map_err(|error| store_failed(&error))?;
                    let (mut seen, mut gone) = (Vec::new(), Vec::new());
                    for (id, entry) in ids.iter().zip(entries) {
                        match entry {
                            None => gone.push(id.clone()),
                            Some(entry) if entry.message.is_none() => seen.push(id.clone()),
                            // The row stays as long as the message: it is why its id does not count.
                            Some(_) => {}
                        }
                    }
                    let forgotten = store.forget_seen(*mailbox, self.account, &seen).await;
                    forgotten.map_err(|error| store_failed(&error))?;
                    gone.append(&mut seen);
                    self.remote.unvanish(&gone)?;
                }
                Books::Table => {
                    self.remote.drop_stored(ids)?;
                    self.remote.unvanish(ids)?;
                }
                Books::Nothing => {}
            }
        }
        Ok(())
    }
}

/// An entry counts as archived only while the message is in the mailbox: one that somebody removed is
/// known, and nothing is deleted for it.
fn known(entry: &LedgerEntry) -> Known {
    let live = entry.message.as_ref().filter(|info| info.removed.is_none());
    Known {
        received_ms: entry.received_ms,
        archived: live.map(archived),
        vanished: false,
    }
}

fn archived(info: &MessageInfo) -> Archived {
    Archived {
        unique_id: Some(info.unique_id),
        size: info.size,
        octets: info.octets,
        digest: info.digest,
        header: None,
    }
}

/// What stands before the unique-id of a message of ours that was not fetched for the account. No server has
/// such ids: RFC 1939 §7 UIDL has printable octets only.
const ENTRY: &[u8] = b"\0entry:";

/// The ledger's key for a message of ours that was not fetched for the account.
pub(super) fn entry_key(id: UniqueId) -> Vec<u8> {
    [ENTRY, id.to_string().as_bytes()].concat()
}

fn entry_of(key: &[u8]) -> Option<UniqueId> {
    let text = std::str::from_utf8(key.strip_prefix(ENTRY)?).ok()?;
    text.parse().ok()
}

fn listed(line: &Stored) -> Known {
    Known {
        received_ms: line.received_ms,
        archived: line.digest.map(|digest| Archived {
            unique_id: None,
            size: line.size,
            octets: line.size,
            digest,
            header: line.header,
        }),
        vanished: false,
    }
}

/// What a store's error is to a fetch.
pub(super) fn store_failed(error: &StoreError) -> FetchError {
    let kind = match error {
        StoreError::InUse => Kind::Temporary,
        _ => Kind::Io,
    };
    FetchError::new(kind, error.to_string())
}
