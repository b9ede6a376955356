//! `restante search`: find messages.

use std::process::ExitCode;

use restante_archive::{Entry, Page, Query};
use restante_store::MailboxInfo;
use serde_json::{Value, json};

use super::archive::Opened;
use crate::cli::Search;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output, Screen, Style, printable};
use crate::units;

/// Messages asked for at once.
const PAGE: usize = 500;

/// Runs `restante search`. Exits 0 also when nothing is found.
pub(crate) fn run(search: &Search, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let text = search.query.join(" ");
    let query = Query::parse(&text).map_err(|error| {
        let pointer = format!(
            "{}{}",
            " ".repeat(error.at),
            "^".repeat(error.length.max(1))
        );
        Failure::Usage(format!("{error}\n    {}\n    {pointer}", printable(&text)))
    })?;
    let opened = Opened::new(config)?;
    let scope = opened.scope(search.mailbox.as_deref())?;
    opened.catch_up(out)?;
    let names = opened.names()?;
    if search.mailbox.is_none() {
        tell_unsearched(&opened)?;
    }
    let mut left = search.limit.unwrap_or(usize::MAX);
    let mut page = Page {
        limit: if search.count { 0 } else { PAGE.min(left) },
        threads: search.threads,
        count: true,
        snippets: true,
        ..Page::default()
    };
    let mut screen = Screen::new(out);
    let named = names.len() > 1 && search.mailbox.is_none();
    loop {
        let results = opened.archive.search(&scope, &query, &page)?;
        if let Some(total) = results.total {
            if search.count {
                out.line(&json!({ "count": total }), &total.to_string())?;
                break;
            }
            if !out.json() {
                output::note(&match total {
                    0 => "Nothing is found.".to_owned(),
                    _ => format!("{} found", units::count(total, "message")),
                });
            }
        }
        for entry in &results.entries {
            screen.line(&value(entry, &names), &|style| {
                line(entry, &names, named, style)
            })?;
        }
        left -= results.entries.len().min(left);
        page.after = results.next;
        page.count = false;
        page.limit = PAGE.min(left);
        if page.after.is_none() || left == 0 || screen.is_left() {
            break;
        }
    }
    screen.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn tell_unsearched(opened: &Opened) -> Result<(), Failure> {
    let unindexed = opened.archive.status()?.unindexed;
    if !unindexed.is_empty() {
        output::note(&format!(
            "not searched, as they are only served: {}; search one with --mailbox and it is indexed from then on",
            printable(&unindexed.join(", "))
        ));
    }
    Ok(())
}

/// The mailbox's name.
pub(super) fn mailbox_name<'n>(entry: &Entry, names: &'n [MailboxInfo]) -> &'n str {
    let found = names.iter().find(|mailbox| mailbox.id == entry.mailbox);
    found.map_or("", |mailbox| mailbox.name.as_str())
}

/// Seconds since 1970 as the units know them; what was before counts as then.
/// A message for scripts.
pub(super) fn value(entry: &Entry, names: &[MailboxInfo]) -> Value {
    json!({
        "id": entry.id.to_string(),
        "mailbox": mailbox_name(entry, names),
        "thread": entry.thread.to_string(),
        "date": units::json_date(entry.date),
        "size": entry.size,
        "from": entry.from.shown(),
        "from_address": entry.from.address,
        "to": entry.to,
        "subject": entry.subject,
        "account": entry.account,
        "read": entry.read,
        "starred": entry.starred,
        "archived": entry.archived,
        "junk": entry.junk,
        "newsletter": entry.newsletter,
        "attachment": entry.attachment,
        "labels": entry.labels,
        "snippet": entry.snippet.as_ref().map(|snippet| &snippet.text),
    })
}

/// A message for people, and below it what was found.
fn line(entry: &Entry, names: &[MailboxInfo], named: bool, style: Style) -> String {
    let mark = |on: bool, c: char| if on { c } else { ' ' };
    let marks: String = [
        mark(!entry.read, '•'),
        mark(entry.starred, '*'),
        mark(entry.attachment, '@'),
        mark(entry.junk, '!'),
    ]
    .iter()
    .collect();
    let mut line = format!(
        "{}  {}  {marks}  ",
        style.dim(&entry.id.to_string()),
        units::show_date(entry.date),
    );
    if named {
        line += &format!("{:<12.12}  ", printable(mailbox_name(entry, names)));
    }
    let from = format!("{:<24.24}", printable(entry.from.shown()));
    line += &style.bold_if(!entry.read, &from);
    line += "  ";
    line += &style.bold_if(!entry.read, &printable(&entry.subject));
    if entry.thread_count > 1 {
        line += &style.dim(&format!("  ({})", entry.thread_count));
    }
    for label in &entry.labels {
        line += &style.dim(&format!("  [{label}]"));
    }
    if let (Some(snippet), true) = (&entry.snippet, style.is_on()) {
        line += "\n    ";
        let mut at = 0;
        for found in &snippet.found {
            line += &printable(&snippet.text[at..found.start]);
            line += &style.found(&printable(&snippet.text[found.clone()]));
            at = found.end;
        }
        line += &printable(&snippet.text[at..]);
    }
    line
}
