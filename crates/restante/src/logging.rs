//! Logs go to standard error: for people on a terminal, as JSON otherwise.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `serve` tells what it does at `info`; other commands speak for themselves and log
/// only warnings, unless asked. `RESTANTE_LOG` overrides, in `tracing`'s filter language.
pub(crate) fn start(verbose: u8, serve: bool) {
    let level = match (verbose, serve) {
        (0, false) => "warn",
        (0, true) | (1, false) => "info",
        (1, true) | (2, false) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("RESTANTE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    // Started already: a door leads through more than one command.
    let _goes_on = started;
}
