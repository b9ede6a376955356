//! `restante mark` and `label`.

use std::process::ExitCode;

use restante_archive::{MarkChange, Scope};
use serde_json::json;

use super::archive::{Opened, parse_ids};
use crate::cli::{Label, Mark};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Runs `restante mark`.
pub(crate) fn mark(mark: &Mark, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let ids = parse_ids(&mark.ids)?;
    let opened = Opened::new(config)?;
    if mark.trash {
        opened.archive.trash(&Scope::all(), &ids)?;
        let undo = format!(
            "{} removed; `restante undelete ID…` brings back.",
            units::count(ids.len() as u64, "message")
        );
        out.line(&json!({"removed": ids.len()}), &undo)?;
        return Ok(ExitCode::SUCCESS);
    }
    let choice = |yes: bool, no: bool| (yes || no).then_some(yes);
    let change = MarkChange {
        read: choice(mark.read, mark.unread),
        starred: choice(mark.star, mark.unstar),
        archived: choice(mark.archive, mark.unarchive),
        junk: choice(mark.junk, mark.not_junk),
        ..MarkChange::default()
    };
    change_marks(&opened, &ids, &change, out)
}

/// Runs `restante label`.
pub(crate) fn label(label: &Label, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let opened = Opened::new(config)?;
    if label.ids.is_empty() {
        opened.catch_up(out)?;
        for (name, messages) in opened.archive.labels(&Scope::all())? {
            out.line(
                &json!({"label": name, "messages": messages}),
                &format!("{name:<24} {:>16}", units::count(messages, "message")),
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if label.add.is_empty() && label.remove.is_empty() {
        return Err(Failure::Usage(
            "say which label with --add or --remove".to_owned(),
        ));
    }
    let change = MarkChange {
        add: label.add.clone(),
        remove: label.remove.clone(),
        ..MarkChange::default()
    };
    change_marks(&opened, &parse_ids(&label.ids)?, &change, out)
}

fn change_marks(
    opened: &Opened,
    ids: &[restante_store::UniqueId],
    change: &MarkChange,
    out: &Output,
) -> Result<ExitCode, Failure> {
    opened.archive.mark(&Scope::all(), ids, change)?;
    for id in ids {
        let marks = opened.archive.marks(&Scope::all(), *id)?;
        let mut words = Vec::new();
        words.push(if marks.read { "read" } else { "unread" });
        if marks.starred {
            words.push("starred");
        }
        if marks.archived {
            words.push("archived");
        }
        match marks.junk {
            Some(true) => words.push("junk"),
            Some(false) => words.push("not junk"),
            None => {}
        }
        let labels: String = marks
            .labels
            .iter()
            .map(|label| format!(" [{label}]"))
            .collect();
        out.line(
            &json!({"id": id.to_string(), "read": marks.read, "starred": marks.starred,
                    "archived": marks.archived, "junk": marks.junk, "labels": marks.labels}),
            &format!("{id}: {}{labels}", words.join(", ")),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
