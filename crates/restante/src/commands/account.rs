//! `restante account`: remote mailboxes to fetch from.

mod add;

use std::process::ExitCode;

use crate::cli::Account;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;

/// Runs `restante account …`.
pub(crate) fn run(command: &Account, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        Account::Add(adding) => add::run(adding, config, out),
        _ => Err(Failure::Usage("not yet".to_owned())),
    }
}
