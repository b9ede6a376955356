//! `restante fetch`: one pass over accounts.

mod show;

use std::process::ExitCode;
use std::sync::Arc;

use restante_intake::fetch::{self, FetchError, PauseReason, RunOptions, Summary, World};
use tokio::sync::Semaphore;

use super::account::Person;
use super::takeover;
use crate::accounts;
use crate::cli::{Fetch, Remote, Secrets};
use crate::config::{Account, Config, url};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

use show::Shows;

/// Runs `restante fetch`.
pub(crate) fn run(fetch: &Fetch, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let chosen = choose(&fetch.sources, &fetch.remote, &fetch.secrets, config)?;
    if chosen.is_empty() {
        return Err(Failure::Usage(
            "there are no accounts yet: `restante account add you@example.org`, or once: `restante fetch pop3s://user@host`".to_owned(),
        ));
    }
    if !fetch.full.is_empty() && chosen.len() > 1 {
        return Err(Failure::Usage(
            "--full names a message of one account: say which account".to_owned(),
        ));
    }
    let options = RunOptions {
        dry_run: fetch.dry_run,
        once: fetch.once,
        limit: fetch.limit,
        full: fetch
            .full
            .iter()
            .flat_map(|id| units::remote_ids(id))
            .collect(),
        // Who names an account wants it now.
        even_if_paused: !fetch.sources.is_empty(),
        relearn: false,
    };
    // Where standard input is a password, nobody can answer there.
    let person = Person::new(out.json() || fetch.secrets.password_stdin);
    takeover::before_fetch(
        fetch.take_over,
        fetch.dry_run,
        &chosen,
        config,
        &person,
        out,
    )?;
    let world = accounts::world(config, &chosen, fetch.dry_run)?;
    let done = all(&chosen, &world, &options, config, out)?;
    let mut code = 0;
    for (account, done) in chosen.iter().zip(&done) {
        code = code.max(show::ending(account, done, &options, out)?);
    }
    Ok(ExitCode::from(code))
}

/// The accounts that are named, or all; URLs are accounts too. What the line says goes for each.
pub(crate) fn choose(
    sources: &[String],
    remote: &Remote,
    secrets: &Secrets,
    config: &Config,
) -> Result<Vec<Account>, Failure> {
    let mut chosen: Vec<Account> = Vec::new();
    for source in sources {
        let account = if url::is_url(source) {
            url::account(source).map_err(Failure::Usage)?
        } else {
            named(source, config)?.clone()
        };
        if chosen.iter().all(|other| other.name != account.name) {
            chosen.push(account);
        }
    }
    if sources.is_empty() {
        chosen.extend(config.accounts().iter().cloned());
    }
    if secrets.source().is_some() {
        crate::secrets::one_account_only(chosen.len())?;
    }
    for account in &mut chosen {
        accounts::apply(remote, secrets, account)?;
    }
    Ok(chosen)
}

/// The account of that name, or an error that says which there are.
pub(crate) fn named<'c>(name: &str, config: &'c Config) -> Result<&'c Account, Failure> {
    config.account(name).ok_or_else(|| {
        let names: Vec<_> = config.accounts().iter().map(|a| a.name.as_str()).collect();
        let there = if names.is_empty() {
            "there are none yet".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        Failure::Usage(format!(
            "there is no account {}; {there}. A server is named as pop3s://user@host",
            output::printable(name)
        ))
    })
}

/// How an account's fetch ended. What stopped one before it began is in it too.
pub(crate) type Done = Result<(Summary, std::time::Duration), FetchError>;

/// Fetches from the accounts, some at once.
fn all(
    chosen: &[Account],
    world: &World,
    options: &RunOptions,
    config: &Config,
    out: &Output,
) -> Result<Vec<Done>, Failure> {
    let shows = Shows::new(out, options.dry_run);
    // People are asked for passwords before anything else is shown.
    let ready: Vec<Result<fetch::Account, Failure>> = chosen
        .iter()
        .map(|account| accounts::ready(account, config.data()))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start"))?;
    let done = runtime.block_on(async {
        let at_once = Arc::new(Semaphore::new(config.fetch_parallel()));
        let mut tasks = Vec::new();
        for (account, ready) in chosen.iter().zip(ready) {
            let (at_once, world, options) = (Arc::clone(&at_once), world.clone(), options.clone());
            let on_failure = account.on_failure.clone();
            let mut show = shows.of(&account.name);
            tasks.push(tokio::spawn(async move {
                let ready = ready.map_err(|failure| unready(&failure))?;
                let _permit = at_once.acquire().await;
                let started = std::time::Instant::now();
                let mut progress = |happened: fetch::Progress<'_>| show.happened(&happened);
                let result = accounts::fetch(
                    &ready,
                    on_failure.as_deref(),
                    &world,
                    &options,
                    &mut progress,
                )
                .await;
                show.finished();
                result.map(|summary| (summary, started.elapsed()))
            }));
        }
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap_or_else(|error| {
                let what = format!("a fault of this program: {error}");
                Err(FetchError::new(fetch::Kind::Io, what))
            }));
        }
        done
    });
    shows.finish();
    Ok(done)
}

/// An account that cannot even be made ready does not keep the others from being fetched.
fn unready(failure: &Failure) -> FetchError {
    let kind = match failure {
        Failure::Io(_) => fetch::Kind::Io,
        _ => fetch::Kind::Configuration,
    };
    FetchError::new(kind, failure.to_string())
}

/// The exit code of a fetch that went through: a wait that the server asked for is no failure, a fault
/// of the server is one that may pass.
pub(crate) fn code(summary: &Summary) -> u8 {
    let fault = summary
        .pause
        .as_ref()
        .is_some_and(|pause| pause.reason == PauseReason::Temporary);
    if fault {
        75
    } else {
        u8::from(!summary.set_aside.is_empty())
    }
}
