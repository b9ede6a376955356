//! `restante`: keeps your mail and hands it to every device by POP3.

mod accounts;
mod backups;
mod cli;
mod commands;
mod config;
mod doors;
mod failure;
mod jobs;
mod logging;
mod mailboxes;
mod output;
mod reading;
mod secrets;
mod serve;
mod units;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Global};
use failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::words(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for = !error.use_stderr();
            let _told_as_well_as_can_be = error.print();
            return if asked_for {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(64)
            };
        }
    };
    let json = cli.global.json;
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::error(&failure, json);
            failure.code()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let Some(command) = cli.command else {
        return doors::offer(&cli.global);
    };
    run_command(command, &cli.global)
}

/// What the command line, the environment and the file come to.
fn configuration(global: &Global) -> Result<config::Config, Failure> {
    let overrides = config::Overrides {
        config: global.config.clone(),
        data: global.data.clone(),
    };
    Ok(config::load(
        &overrides,
        &config::Origin::from_environment(),
    )?)
}

/// Runs one command, as typed or as chosen at a door.
fn run_command(command: Command, global: &Global) -> Result<ExitCode, Failure> {
    match &command {
        Command::Completions { shell } => return commands::about::completions(*shell),
        Command::Man { command } => return commands::about::man(command.as_deref()),
        // It needs no mail and no configuration: who sends newsletters may have neither.
        Command::Newsletter(command) => {
            let out = output::Output::new(global.json, global.verbose > 0);
            return commands::newsletter::run(command, &out);
        }
        _ => {}
    }
    let config = configuration(global)?;
    logging::start(global.verbose, matches!(command, Command::Serve));
    let out = output::Output::new(global.json, global.verbose > 0);
    match command {
        Command::Serve => serve::run(&config),
        Command::Fetch(fetch) => commands::fetch::run(&fetch, &config, &out),
        Command::Account(command) => commands::account::run(&command, &config, &out),
        Command::Doctor(doctor) => commands::doctor::run(&doctor, &config, &out),
        Command::User(command) => commands::user::run(command, &config, &out),
        Command::List(list) => commands::mail::list(&list, &config, &out),
        Command::Search(search) => commands::search::run(&search, &config, &out),
        Command::Show(show) => commands::show::run(&show, &config, &out),
        Command::Mark(mark) => commands::mark::mark(&mark, &config, &out),
        Command::Label(label) => commands::mark::label(&label, &config, &out),
        Command::Rule(rule) => commands::rule::run(&rule, &config, &out),
        Command::Undelete { ids } => commands::mail::undelete(&ids, &config, &out),
        Command::Import(import) => commands::import::run(&import, &config, &out),
        Command::Export(export) => commands::export::run(&export, &config, &out),
        Command::Read { no_open } => commands::read::run(no_open, &config, &out),
        Command::Backup(backup) => commands::backup::backup(&backup, &config, &out),
        Command::Restore(restore) => commands::backup::restore(&restore, &config, &out),
        Command::Verify(verify) => commands::backup::verify(&verify, &config, &out),
        Command::Status => commands::status::run(&config, &out),
        Command::Rebuild {
            accept_missing,
            salvage,
        } => commands::rebuild::run(accept_missing, salvage, &config, &out),
        Command::Config(command) => commands::about::config(&command, &config, &out),
        Command::Completions { .. } | Command::Man { .. } | Command::Newsletter(_) => {
            Ok(ExitCode::SUCCESS)
        }
    }
}
