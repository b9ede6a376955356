//! `restante account`: remote mailboxes to fetch from.

mod add;
mod login;

pub(super) use add::Person;
pub(crate) use login::browse;

use std::process::ExitCode;

use restante_intake::fetch::{AccountStatus, Progress, RunOptions, State};
use serde_json::json;

use super::fetch::named;
use super::takeover;
use crate::accounts;
use crate::cli::{Account as Asked, Remote, Secrets};
use crate::config::account::{Keep, Target};
use crate::config::{Account, Config, edit};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// Runs `restante account …`.
pub(crate) fn run(command: &Asked, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        Asked::Add(adding) => add::run(adding, config, out),
        Asked::List => list(config, out),
        Asked::Test { names } => test(names, config, out),
        Asked::Login { name, device } => login::run(named(name, config)?, *device, config, out),
        Asked::Relearn {
            name,
            from: Some(path),
            ..
        } => {
            takeover::from_file(path, named(name, config)?, config, out).map(|()| ExitCode::SUCCESS)
        }
        Asked::Relearn { name, secrets, .. } => relearn(name, secrets, config, out),
        Asked::Remove { name } => remove(name, config, out),
    }
}

/// What is remembered of each account of the configuration.
pub(super) fn known(config: &Config) -> Result<Vec<(&Account, AccountStatus)>, Failure> {
    let state = State::look(&config.data().join("state.db"))?;
    let mut all = Vec::new();
    for account in config.accounts() {
        let known = state.account(&account.name)?.unwrap_or_default();
        all.push((account, known));
    }
    Ok(all)
}

/// Where an account's mail goes, for people.
fn target(account: &Account) -> String {
    match &account.target {
        Target::Mailbox(name) => name.clone(),
        Target::Destination(spec) => spec.to_string(),
    }
}

/// When it was fetched last. What a limit paused has not come to its end, and is no failure.
pub(crate) fn last_fetched(known: &AccountStatus) -> String {
    match (known.last_success_ms, known.last_start_ms) {
        (Some(at), _) => format!("fetched {}", units::show_time(at)),
        (None, Some(at)) if known.failures == 0 => {
            format!("fetched {}, not all yet", units::show_time(at))
        }
        (None, _) => "not fetched yet".to_owned(),
    }
}

fn list(config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    if config.accounts().is_empty() {
        out.people("There are no accounts yet: restante account add you@example.org")?;
    }
    for (account, known) in known(config)? {
        let last = match &known.last_error {
            Some((_, error)) => format!("failing: {}", output::printable(error)),
            None => last_fetched(&known),
        };
        let every = account.every.map_or("never".to_owned(), |every| {
            units::exact_duration(u64::try_from(every.as_millis()).unwrap_or(u64::MAX))
        });
        out.line(
            &json!({
                "account": account.name, "user": account.user,
                "server": account.server.place.to_string(), "keep": account.keep.to_string(),
                "target": target(account), "every": every,
                "last_success": known.last_success_ms.map(units::json_time),
                "last_error": known.last_error.as_ref().map(|(_, error)| error),
                "stored": known.stored,
            }),
            &format!(
                "{:<16} {} at {}, into {}, keep {}, every {every}: {last}",
                account.name,
                account.user,
                account.server.place,
                target(account),
                account.keep,
            ),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Logs in, looks at what is there and what would be fetched, and leaves everything as it is.
fn test(names: &[String], config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let mut chosen = Vec::new();
    for name in names {
        chosen.push(named(name, config)?);
    }
    if names.is_empty() {
        chosen.extend(config.accounts());
    }
    if chosen.is_empty() {
        return Err(Failure::Usage(
            "there are no accounts yet: restante account add you@example.org".to_owned(),
        ));
    }
    let options = RunOptions {
        dry_run: true,
        once: true,
        even_if_paused: true,
        ..RunOptions::default()
    };
    let runtime = runtime()?;
    let mut code = 0;
    for account in chosen {
        let world = accounts::world(config, std::slice::from_ref(account), true)?;
        let ready = accounts::ready(account, config.data())?;
        let mut plan = (0, 0, 0);
        let mut progress = |happened: Progress<'_>| {
            if let Progress::Planned {
                listed,
                messages,
                octets,
                ..
            } = happened
            {
                plan = (listed, messages, octets);
            }
        };
        let done = accounts::fetch(&ready, None, &world, &options, &mut progress);
        match runtime.block_on(done) {
            Ok(summary) => {
                let (listed, messages, octets) = plan;
                let pause = summary.pause.as_ref().map(|pause| pause.reason.to_string());
                let line = match &pause {
                    Some(reason) => format!("{}: the server is there, but {reason}", account.name),
                    None => format!(
                        "{}: the login works; {} there, {messages} of them new ({})",
                        account.name,
                        units::count(listed, "message"),
                        units::show_octets(octets)
                    ),
                };
                out.line(
                    &json!({"account": account.name, "works": pause.is_none(), "listed": listed,
                            "new": messages, "octets": octets, "waits": pause}),
                    &line,
                )?;
            }
            Err(error) => {
                let why = accounts::explanation(account, &error);
                let text = output::printable(&error.to_string());
                let text = text
                    .strip_prefix(&format!("{}: ", account.name))
                    .unwrap_or(&text);
                let meaning = why.map_or(String::new(), |why| format!("\n  {why}"));
                out.line(
                    &json!({"account": account.name, "works": false, "error": text,
                            "code": error.kind().exit_code(), "explanation": why}),
                    &format!("{}: {text}{meaning}", account.name),
                )?;
                code = code.max(error.kind().exit_code());
            }
        }
    }
    Ok(ExitCode::from(code))
}

/// What is on the server is told by its header where its unique-id is not known, and looked for in the
/// mailbox, whatever brought it there. Nothing is stored and nothing deleted; bodies are read, to be
/// compared, only where headers do not tell.
fn relearn(
    name: &str,
    secrets: &Secrets,
    config: &Config,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let mut account = named(name, config)?.clone();
    accounts::apply(&Remote::default(), secrets, &mut account)?;
    account.keep = Keep::Forever;
    account.max_size = None;
    let world = accounts::world(config, std::slice::from_ref(&account), false)?;
    let ready = accounts::ready(&account, config.data())?;
    let options = RunOptions {
        limit: Some(0),
        relearn: true,
        even_if_paused: true,
        ..RunOptions::default()
    };
    let mut nothing = |_: Progress<'_>| {};
    let done = accounts::fetch(&ready, None, &world, &options, &mut nothing);
    let summary = runtime()?.block_on(done)?;
    let here = summary.listed.saturating_sub(summary.left);
    out.line(
        &json!({"account": name, "listed": summary.listed, "here": here,
                "recognised": summary.recognised, "new": summary.left}),
        &format!(
            "{name}: {} on the server; {here} are here already, {} of them known again by what they are; {} are new",
            units::count(summary.listed, "message"),
            summary.recognised,
            summary.left
        ),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Takes the account out of the file; its mail, and what the archive knows of it, stays.
fn remove(name: &str, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let account = named(name, config)?;
    let Some(file) = config.file() else {
        return Err(Failure::Config("there is no configuration file".to_owned()));
    };
    edit::edit(file, |document| {
        edit::remove_section(document, "account", name);
        Ok(())
    })?;
    let state = config.data().join("state.db");
    if super::is_there(&state)? {
        State::open(&state)?.forget_account(name)?;
    }
    login::forget(account, config)?;
    out.line(
        &json!({"account": name, "removed": true}),
        &format!(
            "{name} is no longer fetched. Its mail stays; under the same name nothing of it would be fetched twice."
        ),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// For one thing that waits for a server.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start"))
}
