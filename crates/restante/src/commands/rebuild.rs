//! `restante rebuild`: the index anew from the packs.

use std::process::ExitCode;

use restante_store::MailStore;
use serde_json::json;

use super::{open_existing_store, wait};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Runs `restante rebuild`.
pub(crate) fn run(config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let store = open_existing_store(config)?;
    store.rebuild(&mut |_| {})?;
    let messages: u64 = wait(store.mailboxes())?
        .iter()
        .map(|mailbox| mailbox.totals.count)
        .sum();
    out.line(
        &json!({"messages": messages}),
        &format!(
            "The index is made anew from the packs: {}.",
            units::count(messages, "message")
        ),
    )?;
    Ok(ExitCode::SUCCESS)
}
