//! `restante list` and `undelete`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use restante_archive::{Archive, Scope};
use restante_store::{MailStore, MailboxInfo, MessageFilter, MessageInfo, UniqueId};
use serde_json::json;

use super::archive::{Opened, parse_id};
use super::{find_mailbox, open_existing_store, wait};
use crate::cli::List;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Messages asked for at once while listing.
const PAGE: usize = 500;

/// `restante list`
pub(crate) fn list(list: &List, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let opened = Opened::new(config)?;
    let store: &dyn MailStore = &*opened.store;
    let mailboxes = match &list.mailbox {
        Some(name) => vec![find_mailbox(store, name)?],
        None => wait(store.mailboxes())?,
    };
    let filter = if list.deleted {
        MessageFilter::Deleted
    } else {
        MessageFilter::Live
    };
    let named = mailboxes.len() > 1;
    let mut shown = 0u64;
    for mailbox in &mailboxes {
        let mut after = None;
        loop {
            let page = wait(store.browse(mailbox.id, filter, after, PAGE))?;
            let Some(last) = page.last() else { break };
            after = Some(last.unique_id);
            for message in &page {
                print(&opened, mailbox, message, named, out)?;
                shown += 1;
            }
        }
    }
    if shown == 0 {
        out.people(if list.deleted {
            "Nothing is waiting to be brought back."
        } else {
            "There are no messages."
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(
    opened: &Opened,
    mailbox: &MailboxInfo,
    message: &MessageInfo,
    named: bool,
    out: &Output,
) -> Result<(), Failure> {
    // The index knows more, where it has the message; a list does not wait for it.
    let known = opened.archive.entry(&Scope::all(), message.unique_id).ok();
    let (from, subject) = match &known {
        Some(entry) => (entry.from.shown().to_owned(), entry.subject.clone()),
        None => envelope(&opened.archive, message.unique_id),
    };
    let removed = message.removed.map(|(at, _)| at);
    let value = json!({
        "id": message.unique_id.to_string(),
        "mailbox": mailbox.name,
        "received": units::json_time(message.received_ms),
        "size": message.size,
        "from": from,
        "subject": subject,
        "account": message.source.as_ref().map(|source| &source.account),
        "removed": removed.map(units::json_time),
        "read": known.as_ref().map(|entry| entry.read),
        "starred": known.as_ref().map(|entry| entry.starred),
        "labels": known.as_ref().map(|entry| &entry.labels),
    });
    let mut line = format!(
        "{}  {}  ",
        message.unique_id,
        units::show_time(message.received_ms)
    );
    if named {
        line += &format!("{:<12}  ", mailbox.name);
    }
    line += &format!(
        "{:>10}  {:<28.28}  {}",
        units::show_octets(message.size),
        from,
        subject
    );
    if let Some(at) = removed {
        line += &format!("  (removed {})", units::show_time(at));
    }
    out.line(&value, &line)
}

/// From and Subject as people know them; empty where a message has none or is damaged.
fn envelope(archive: &Archive, id: UniqueId) -> (String, String) {
    let header = archive.header(&Scope::all(), id).unwrap_or_default();
    let from = header.from.first().map(|from| from.shown().to_owned());
    (from.unwrap_or_default(), header.subject)
}

/// `restante undelete ID…`
pub(crate) fn undelete(ids: &[String], config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let store = open_existing_store(config)?;
    let mut by_mailbox = BTreeMap::<_, Vec<UniqueId>>::new();
    let mut lost = Vec::new();
    for id in ids {
        let id = parse_id(id)?;
        match wait(store.message(id))? {
            Some(message) => by_mailbox.entry(message.mailbox).or_default().push(id),
            None => lost.push(id),
        }
    }
    for (mailbox, ids) in by_mailbox {
        let back = wait(store.restore(mailbox, &ids))?;
        for id in ids {
            if back.contains(&id) {
                out.line(
                    &json!({"id": id.to_string(), "restored": true}),
                    &format!("{id} is back."),
                )?;
            } else {
                lost.push(id);
            }
        }
    }
    for id in &lost {
        let line = format!(
            "{id} cannot be brought back: it was never removed, or its time to be brought back is over."
        );
        out.line(&json!({"id": id.to_string(), "restored": false}), &line)?;
    }
    Ok(ExitCode::from(if lost.is_empty() { 0 } else { 67 }))
}
