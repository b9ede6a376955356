//! Bringing what is missing from one archive into another, under the same unique-ids.

use std::collections::BTreeMap;

use pollster::block_on as wait;
use restante_store::embedded::EmbeddedStore;
use restante_store::{
    Delivery, MailStore, MailboxId, MailboxInfo, MessageFilter, MessageInfo, Sealed, StoreError,
    UniqueId,
};

use crate::error::{BackupError, Result};
use crate::limits::{MERGE_MESSAGES, MERGE_OCTETS};
use crate::pace::Hooks;

/// What a merge came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Messages that the source has.
    pub(crate) messages: u64,
    /// Those that the target lacked, by mailbox.
    pub(crate) missing: BTreeMap<String, u64>,
    /// Those that are damaged in the source.
    pub(crate) unreadable: Vec<UniqueId>,
}

const PAGE: usize = 1_000;

/// Brings the live messages of `from` that `to` lacks. With `dry_run` only counts them.
pub(crate) fn merge(
    from: &EmbeddedStore,
    to: &EmbeddedStore,
    only: Option<&str>,
    dry_run: bool,
    hooks: &Hooks<'_>,
) -> Result<Merged> {
    let mailboxes = wait(from.mailboxes())?;
    let wanted: Vec<&MailboxInfo> = mailboxes
        .iter()
        .filter(|mailbox| only.is_none_or(|name| mailbox.name == name))
        .collect();
    if let (Some(name), true) = (only, wanted.is_empty()) {
        let names: Vec<_> = mailboxes.iter().map(|m| m.name.as_str()).collect();
        return Err(BackupError::NotThere(format!(
            "the backup has no mailbox {name}; it has: {}",
            names.join(", ")
        )));
    }
    let mut merged = Merged::default();
    for mailbox in wanted {
        let into = match counterpart(to, mailbox)? {
            None if !dry_run => Some(wait(to.create_mailbox(&mailbox.name))?),
            known => known,
        };
        let missing = one(from, to, mailbox.id, into, &mut merged, hooks)?;
        if missing > 0 {
            let _ = merged.missing.insert(mailbox.name.clone(), missing);
        }
    }
    Ok(merged)
}

/// The same mailbox, or the one that has its name.
fn counterpart(to: &EmbeddedStore, mailbox: &MailboxInfo) -> Result<Option<MailboxId>> {
    let all = wait(to.mailboxes())?;
    let same = all.iter().find(|other| other.id == mailbox.id);
    let named = || all.iter().find(|other| other.name == mailbox.name);
    Ok(same.or_else(named).map(|other| other.id))
}

/// `into`: `None` only looks.
fn one(
    from: &EmbeddedStore,
    to: &EmbeddedStore,
    mailbox: MailboxId,
    into: Option<MailboxId>,
    merged: &mut Merged,
    hooks: &Hooks<'_>,
) -> Result<u64> {
    let (mut after, mut missing) = (None, 0);
    let (mut batch, mut octets) = (Vec::new(), 0);
    loop {
        let page = wait(from.browse(mailbox, MessageFilter::Live, after, PAGE))?;
        for info in &page {
            merged.messages += 1;
            hooks.pass(info.size)?;
            let there = wait(to.message(info.unique_id))?;
            if there.is_some_and(|there| there.removed.is_none()) {
                continue;
            }
            missing += 1;
            let Some(into) = into else { continue };
            match copy(from, to, info)? {
                None => merged.unreadable.push(info.unique_id),
                Some(message) => {
                    octets += message.size;
                    let delivery = Delivery {
                        mailbox: into,
                        message,
                        received_ms: info.received_ms,
                        source: info.source.clone(),
                    };
                    batch.push((info.unique_id, delivery));
                }
            }
            if batch.len() >= MERGE_MESSAGES || octets >= MERGE_OCTETS {
                wait(to.adopt(std::mem::take(&mut batch)))?;
                octets = 0;
            }
        }
        after = page.last().map(|info| info.unique_id);
        if page.len() < PAGE {
            break;
        }
    }
    if !batch.is_empty() {
        wait(to.adopt(batch))?;
    }
    Ok(missing)
}

/// A message of one store, ready to be stored in another; `None` when it is damaged.
fn copy(from: &EmbeddedStore, to: &EmbeddedStore, info: &MessageInfo) -> Result<Option<Sealed>> {
    let mut body = match wait(from.read(info.unique_id)) {
        Ok(body) => body,
        Err(StoreError::Permanent(_) | StoreError::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut draft = to.draft(Some(info.size))?;
    let mut piece = Vec::new();
    loop {
        piece.clear();
        match wait(body.read(&mut piece)) {
            Ok(0) => break,
            Ok(_) => draft.write(&piece)?,
            Err(StoreError::Permanent(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let message = draft.seal()?;
    Ok((message.digest == info.digest).then_some(message))
}
