//! `restante export`: mail into files that any program reads.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use restante_access::export::{self, ExportError, Selection};
use restante_archive::{Archive, ArchiveError, Page, Query, Scope};
use restante_store::{MailStore, MailboxInfo, UniqueId};
use serde_json::json;

use super::bar::Bar;
use super::{archive, find_mailbox, marks, open_existing_store, wait};
use crate::cli::{Export, ExportFormat};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// Runs `restante export`. Exits 1 when a message could not be read from the store.
pub(crate) fn run(export: &Export, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let format = format(export)?;
    let store = open_existing_store(config)?;
    let mailboxes = match &export.mailbox {
        Some(name) => vec![find_mailbox(&*store, name)?],
        None => wait(store.mailboxes())?,
    };
    let archive = archive::open(config, store.clone())?;
    let query = match &export.query {
        Some(text) => Some(indexed_query(&archive, text, &mailboxes)?),
        None => None,
    };
    let mut failed = 0;
    let mut bar = Bar::new(out);
    for mailbox in &mailboxes {
        let dest = match mailboxes.len() {
            1 => export.dest.clone(),
            _ => within(&export.dest, &mailbox.name, format),
        };
        let scope = Scope::of([mailbox.id]);
        let found = match &query {
            Some(query) => Some(found(&archive, &scope, query)?),
            None => None,
        };
        let selection = match &found {
            Some(ids) => Selection::Messages(ids),
            None => Selection::Mailbox(mailbox.id),
        };
        let exported = export::export(
            &*store,
            selection,
            &dest,
            format,
            &mut |ids| marks::of(&archive, &scope, ids),
            &mut |progress| {
                bar.set(&format!(
                    "{}, {}",
                    units::count(progress.messages, "message"),
                    units::show_octets(progress.octets)
                ));
            },
        );
        let summary = exported.map_err(failure)?;
        failed += summary.failed.len();
        bar.suspend(|| report(out, mailbox, &dest, &summary))?;
    }
    bar.clear();
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Reads the query, and brings the index up to the mail, which the query is then asked of.
fn indexed_query(
    archive: &Archive,
    text: &str,
    mailboxes: &[MailboxInfo],
) -> Result<Query, Failure> {
    let query = Query::parse(text).map_err(ArchiveError::Query)?;
    for mailbox in mailboxes {
        archive.want(mailbox.id)?;
    }
    archive.catch_up(&mut |_| ControlFlow::Continue(()))?;
    let unindexed = archive.status()?.unindexed;
    match mailboxes.iter().find(|one| unindexed.contains(&one.name)) {
        None => Ok(query),
        Some(mailbox) => Err(Failure::Config(format!(
            "the mailbox {} is not indexed, by its configuration: export it without --query",
            mailbox.name
        ))),
    }
}

/// The messages that the query finds, in the mailbox's order.
fn found(archive: &Archive, scope: &Scope, query: &Query) -> Result<Vec<UniqueId>, Failure> {
    let mut page = Page {
        limit: restante_archive::limits::PAGE,
        ..Page::default()
    };
    let mut ids = Vec::new();
    loop {
        let results = archive.search(scope, query, &page)?;
        ids.extend(results.entries.iter().map(|entry| entry.id));
        page.after = results.next;
        if page.after.is_none() {
            ids.sort_unstable();
            return Ok(ids);
        }
    }
}

/// The form asked for, or the one that the name says.
fn format(export: &Export) -> Result<export::Format, Failure> {
    let dest = &export.dest;
    let extension = dest
        .extension()
        .map(|name| name.to_string_lossy().to_lowercase());
    Ok(match (export.format, extension.as_deref()) {
        (Some(ExportFormat::Mbox), _) | (None, Some("mbox")) => export::Format::Mbox,
        (Some(ExportFormat::Zip), _) | (None, Some("zip")) => export::Format::Zip,
        (Some(ExportFormat::Maildir), _) => export::Format::Maildir,
        (Some(ExportFormat::Eml), _) => export::Format::Eml,
        (None, _) if restante_store::maildir::is_maildir(dest) => export::Format::Maildir,
        (None, _) => {
            return Err(Failure::Usage(format!(
                "{} does not say which form is wanted: end it in .mbox or .zip, or add --format mbox, maildir, eml or zip",
                dest.display()
            )));
        }
    })
}

/// Where one of several mailboxes goes: the destination is a folder then. A mailbox's name may hold what
/// leads out of a folder.
fn within(dest: &Path, mailbox: &str, format: export::Format) -> PathBuf {
    let name: String = mailbox
        .chars()
        .map(|c| match c {
            '/' | '\\' | ':' => '_',
            c if c.is_control() => '_',
            c => c,
        })
        .collect();
    let name = name.trim_start_matches('.');
    dest.join(match format {
        export::Format::Mbox => format!("{name}.mbox"),
        export::Format::Zip => format!("{name}.zip"),
        export::Format::Maildir | export::Format::Eml => name.to_owned(),
    })
}

fn failure(error: ExportError) -> Failure {
    let what = error.to_string();
    match error {
        ExportError::Foreign(_) | ExportError::Changed(_) => Failure::Exists(what),
        ExportError::Store(error) => error.into(),
        _ => Failure::Io(what),
    }
}

fn report(
    out: &Output,
    mailbox: &MailboxInfo,
    dest: &Path,
    summary: &export::Summary,
) -> Result<(), Failure> {
    let failed: Vec<_> = summary
        .failed
        .iter()
        .map(|(id, error)| json!({"id": id.to_string(), "error": error.to_string()}))
        .collect();
    out.line(
        &json!({
            "mailbox": mailbox.name, "dest": dest, "exported": summary.exported,
            "already_there": summary.already_there, "octets": summary.octets, "failed": failed,
        }),
        &format!(
            "{}: {} written to {}; {} there already",
            mailbox.name,
            units::count(summary.exported, "message"),
            dest.display(),
            summary.already_there
        ),
    )?;
    for (id, error) in &summary.failed {
        output::note(&format!("not written: {id}: {error}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_stays_in_the_folder() {
        let at = |name, format| within(Path::new("out"), name, format);
        assert_eq!(at("ann", export::Format::Mbox), Path::new("out/ann.mbox"));
        assert_eq!(at("../../x", export::Format::Eml), Path::new("out/_.._x"));
        assert_eq!(
            at("a@b.org", export::Format::Zip),
            Path::new("out/a@b.org.zip")
        );
    }
}
