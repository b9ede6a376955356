//! `restante account add`: find the server, try it, write it into the configuration.

use std::process::ExitCode;

use crate::cli::AccountAdd;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;

/// Runs `restante account add`.
pub(crate) fn run(
    _adding: &AccountAdd,
    _config: &Config,
    _out: &Output,
) -> Result<ExitCode, Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
