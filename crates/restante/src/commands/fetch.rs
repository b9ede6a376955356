//! `restante fetch`: one pass over accounts.

use std::process::ExitCode;

use crate::cli::Fetch;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;

/// Runs `restante fetch`.
pub(crate) fn run(_fetch: &Fetch, _config: &Config, _out: &Output) -> Result<ExitCode, Failure> {
    Err(Failure::Usage("not yet".to_owned()))
}
