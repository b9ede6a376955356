//! `restante rule …`: what is done with messages as they arrive.

use std::process::ExitCode;

use restante_archive::{Action, ArchiveError, Page, Query, RuleId, Scope};
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
        Rule::Apply { rule, dry_run } => {
            let id = find(rule, &opened)?;
            opened.catch_up(out)?;
            if *dry_run {
                preview(id, &opened, out)?;
                return Ok(ExitCode::SUCCESS);
            }
            let messages = opened.archive.apply_rule(&all, id);
            let messages = messages.map_err(|error| no_rule(error, rule))?;
            out.line(
                &json!({"rule": id, "messages": messages}),
                &format!("Applied to {}.", units::count(messages, "message")),
            )?;
        }
        Rule::Remove { rule } => {
            let id = find(rule, &opened)?;
            let removed = opened.archive.remove_rule(&all, id);
            removed.map_err(|error| no_rule(error, rule))?;
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
    let query = Query::parse(&rule.query).map_err(ArchiveError::from)?;
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
        let results = results.map_err(|error| no_rule(error, &id.to_string()))?;
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

/// The rule of this number, else of this name, which several may have.
fn find(asked: &str, opened: &Opened) -> Result<RuleId, Failure> {
    let rules = opened.archive.rules(&Scope::all())?;
    if let Some(rule) = rules.iter().find(|rule| rule.id.to_string() == asked) {
        return Ok(rule.id);
    }
    let named: Vec<_> = rules
        .iter()
        .filter(|rule| rule.name == asked)
        .map(|rule| rule.id)
        .collect();
    match named[..] {
        [] => Err(no_rule(ArchiveError::NotFound, asked)),
        [id] => Ok(id),
        _ => {
            let ids: Vec<_> = named.iter().map(RuleId::to_string).collect();
            Err(Failure::Usage(format!(
                "several rules are called {}: say which by its number, {}",
                printable(asked),
                ids.join(" or ")
            )))
        }
    }
}

fn no_rule(error: ArchiveError, asked: &str) -> Failure {
    match error {
        ArchiveError::NotFound => Failure::NotThere(format!(
            "there is no rule {}; `restante rule list` shows them",
            printable(asked)
        )),
        other => other.into(),
    }
}
