//! `restante rebuild`: the index anew from the packs.

use std::process::ExitCode;
use std::sync::Arc;

use restante_archive::Scope;
use restante_store::MailStore;
use restante_store::embedded::{EmbeddedStore, Options, Progress, Salvaged, salvage};
use serde_json::json;

use super::archive::Opened;
use super::bar::Watch;
use super::{require_mail, store_options, wait};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// Runs `restante rebuild`, whatever state the index is in. Exits 65 when the packs hold less than
/// they should: what is damaged or missing is named.
pub(crate) fn run(
    accept_missing: bool,
    salvaging: bool,
    config: &Config,
    out: &Output,
) -> Result<ExitCode, Failure> {
    require_mail(config)?;
    let watch = Arc::new(Watch::new(out, "read"));
    let told = Arc::clone(&watch);
    let options = Options {
        accept_missing,
        rebuild: true,
        progress: Progress::new(move |octets| told.add(octets)),
        ..store_options(config, false)
    };
    let opened = if salvaging {
        salvage(config.data(), options)
    } else {
        EmbeddedStore::open(config.data(), options).map(|store| (store, Salvaged::default()))
    };
    watch.clear();
    let (store, salvaged) = opened?;
    let store = Arc::new(store);
    let messages: u64 = wait(store.mailboxes())?
        .iter()
        .map(|mailbox| mailbox.totals.count)
        .sum();
    let reports = store.take_reports();
    let found = rebuild_search(config, store, out)?;
    for report in &reports {
        output::note(&format!("store: {report}"));
    }
    for lost in &salvaged.lost {
        out.line(
            &json!({"lost": lost.unique_id.to_string(), "mailbox": lost.mailbox,
                    "pack": lost.pack}),
            &format!(
                "lost: message {} of {}, in pack {:06}",
                lost.unique_id, lost.mailbox, lost.pack
            ),
        )?;
    }
    for path in &salvaged.kept {
        output::note(&format!("the damaged pack is kept as {}", path.display()));
    }
    out.line(
        &json!({"messages": messages, "searchable": found, "reports": reports,
                "lost": salvaged.lost.len(), "rewritten": salvaged.rewritten,
                "found": salvaged.found, "renamed": salvaged.renamed}),
        &format!(
            "The index is made anew from the packs: {}. Of these, {found} can be searched.",
            units::count(messages, "message")
        ),
    )?;
    if salvaging {
        out.people(&format!(
            "Salvaged: {} written anew, {} found in lost+found, {} lost{}.",
            units::count(salvaged.rewritten.len() as u64, "pack"),
            units::count(salvaged.found, "message"),
            units::count(salvaged.lost.len() as u64, "message"),
            if salvaged.lost.is_empty() {
                ""
            } else {
                "; `restante restore SRC` brings them back from a backup"
            }
        ))?;
    }
    let well = reports.is_empty() && salvaged.lost.is_empty();
    Ok(ExitCode::from(if well { 0 } else { 65 }))
}

/// The search index anew; says how many messages are in it.
fn rebuild_search(
    config: &Config,
    store: Arc<dyn MailStore>,
    out: &Output,
) -> Result<u64, Failure> {
    let archive = super::archive::open(config, Arc::clone(&store))?;
    archive.rebuild()?;
    let opened = Opened { store, archive };
    opened.catch_up(out)?;
    Ok(opened.archive.progress(&Scope::all())?.indexed)
}
