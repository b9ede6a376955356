//! `restante rule …`: what is done with messages as they arrive.

use std::process::ExitCode;

use restante_archive::{Action, Page, Query, Scope};
use serde_json::json;

use super::archive::Opened;
use crate::cli::{Rule, RuleAdd};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::units;

/// Messages of a preview asked for at once.
const PAGE: usize = 500;

/// Runs `restante rule …`.
pub(crate) fn run(rule: &Rule, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let opened = Opened::new(config)?;
    let all = Scope::all();
    match rule {
        Rule::Add(rule) => add(rule, &opened, out)?,
        Rule::List => {
            let names = opened.names()?;
            for rule in opened.archive.rules(&all)? {
                let mailbox = names.iter().find(|mailbox| mailbox.id == rule.mailbox);
                let mailbox = mailbox.map_or("", |mailbox| mailbox.name.as_str());
                out.line(
                    &json!({"rule": rule.id, "name": rule.name, "mailbox": mailbox,
                            "query": rule.query, "action": rule.action.to_string()}),
                    &format!(
                        "{:>4}  {:<20}  {mailbox:<12}  {}  →  {}",
                        rule.id, rule.name, rule.query, rule.action
                    ),
                )?;
            }
        }
        Rule::Apply { id, dry_run: true } => {
            opened.catch_up(out)?;
            preview(*id, &opened, out)?;
        }
        Rule::Apply { id, .. } => {
            opened.catch_up(out)?;
            let messages = opened.archive.apply_rule(&all, *id);
            let messages = messages.map_err(|error| no_rule(error, *id))?;
            out.line(
                &json!({"rule": id, "messages": messages}),
                &format!("Applied to {}.", units::count(messages, "message")),
            )?;
        }
        Rule::Remove { id } => {
            let removed = opened.archive.remove_rule(&all, *id);
            removed.map_err(|error| no_rule(error, *id))?;
            out.line(&json!({"rule": id, "removed": true}), "The rule is gone.")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(rule: &RuleAdd, opened: &Opened, out: &Output) -> Result<(), Failure> {
    let mailbox = opened.mailbox(rule.mailbox.as_deref())?;
    let action = match &rule.label {
        Some(label) => Action::Label(label.clone()),
        None if rule.star => Action::Star,
        None if rule.junk => Action::Junk,
        None if rule.archive => Action::Archive,
        None => Action::Read,
    };
    opened.archive.want(mailbox.id)?;
    // What is there has not arrived: a rule counts from now on.
    opened.catch_up(out)?;
    let id = opened
        .archive
        .add_rule(mailbox.id, &rule.name, &rule.query, &action)?;
    let page = Page {
        count: true,
        ..Page::default()
    };
    let query = Query::parse(&rule.query).map_err(restante_archive::ArchiveError::from)?;
    let found = opened
        .archive
        .search(&Scope::of([mailbox.id]), &query, &page)?;
    let found = found.total.unwrap_or(0);
    out.line(
        &json!({"rule": id, "matches": found}),
        &format!(
            "Rule {id} counts for what arrives from now on. It matches {} that are there: `restante rule apply {id}` acts on them, too.",
            units::count(found, "message")
        ),
    )
}

fn preview(id: i64, opened: &Opened, out: &Output) -> Result<(), Failure> {
    let names = opened.names()?;
    let mut page = Page {
        limit: PAGE,
        ..Page::default()
    };
    loop {
        let results = opened.archive.preview_rule(&Scope::all(), id, &page);
        let results = results.map_err(|error| no_rule(error, id))?;
        for entry in &results.entries {
            let line = format!(
                "{}  {:<24.24}  {}",
                entry.id,
                printable(entry.from.shown()),
                printable(&entry.subject)
            );
            out.line(&super::search::value(entry, &names), &line)?;
        }
        page.after = results.next;
        if page.after.is_none() {
            return Ok(());
        }
    }
}

fn no_rule(error: restante_archive::ArchiveError, id: i64) -> Failure {
    match error {
        restante_archive::ArchiveError::NotFound => Failure::NotThere(format!(
            "there is no rule {id}; `restante rule list` shows them"
        )),
        other => other.into(),
    }
}
