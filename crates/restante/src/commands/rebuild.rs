//! `restante rebuild`: the index anew from the packs.

use std::process::ExitCode;
use std::sync::Arc;

use restante_store::MailStore;
use restante_store::embedded::{EmbeddedStore, Options};
use serde_json::json;

use super::archive::Opened;
use super::{require_mail, store_options, wait};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// Runs `restante rebuild`, whatever state the index is in. Exits 65 when the packs hold less than
/// they should: what is damaged or missing is named.
pub(crate) fn run(
    accept_missing: bool,
    config: &Config,
    out: &Output,
) -> Result<ExitCode, Failure> {
    require_mail(config)?;
    let options = Options {
        accept_missing,
        rebuild: true,
        ..store_options(config, false)
    };
    let store = Arc::new(EmbeddedStore::open(config.data(), options)?);
    let messages: u64 = wait(store.mailboxes())?
        .iter()
        .map(|mailbox| mailbox.totals.count)
        .sum();
    let reports = store.take_reports();
    let found = rebuild_search(config, store, out)?;
    for report in &reports {
        output::note(&format!("store: {report}"));
    }
    out.line(
        &json!({"messages": messages, "searchable": found, "reports": reports}),
        &format!(
            "The index is made anew from the packs: {}. Of these, {found} can be searched.",
            units::count(messages, "message")
        ),
    )?;
    Ok(ExitCode::from(if reports.is_empty() { 0 } else { 65 }))
}

/// The search index anew; says how many messages are in it.
fn rebuild_search(
    config: &Config,
    store: Arc<dyn MailStore>,
    out: &Output,
) -> Result<u64, Failure> {
    let archive = super::archive::open(config, Arc::clone(&store))()?;
    archive.rebuild()?;
    let opened = Opened { store, archive };
    opened.catch_up(out)?;
    Ok(opened.archive.progress()?.indexed)
}
