//! Taking over what another fetcher has downloaded, so that it is not downloaded again.

use std::path::{Path, PathBuf};

use pollster::block_on as wait;
use restante_client::Place;
use restante_intake::destination;
use restante_intake::fetch::{self, State};
use restante_intake::takeover::{self, Found, Mailbox, SeenId};
use serde_json::json;

use super::account::Person;
use super::make_private_folder;
use crate::accounts;
use crate::config::Config;
use crate::config::account::{Account, Target};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// How to go about what other programs have downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Leave it out.
    TakeOver,
    /// Ask, if somebody is there; else say how it could be left out.
    Ask,
    /// Say how it could be left out, and change nothing.
    Say,
}

fn mailbox(account: &Account) -> Option<Mailbox<'_>> {
    let Place::Tcp { host, port } = &account.server.place else {
        return None;
    };
    Some(Mailbox {
        host,
        port: *port,
        user: &account.user,
    })
}

/// Says which other programs have fetched this account, and takes over what they know if that is
/// wanted. The number of ids that were new comes back.
pub(crate) fn offer(
    wish: Wish,
    account: &Account,
    config: &Config,
    person: &Person,
    out: &Output,
) -> Result<u64, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let (Some(mailbox), Some(home)) = (mailbox(account), home) else {
        return Ok(0);
    };
    let mut taken = 0;
    let mut asked = false;
    for found in takeover::find(mailbox, &home) {
        let said = format!(
            "{} has fetched {}: {} in {}.",
            found.program,
            account.name,
            units::count(u64::try_from(found.ids).unwrap_or(u64::MAX), "message"),
            found.path.display()
        );
        let wanted = match wish {
            Wish::TakeOver => true,
            Wish::Ask if person.is_there() => {
                output::note(&said);
                asked = true;
                person.agrees(
                    "Leave out what it has downloaded (it is not in this archive then, and stays on the server) (y/n)? ",
                )?
            }
            Wish::Ask | Wish::Say => {
                output::note(&format!(
                    "{said} All of them are downloaded again; --take-over leaves them out."
                ));
                false
            }
        };
        if wanted {
            let ids = read(&found, mailbox)?;
            let new = record(&ids, account, config)?;
            out.people(&format!(
                "{} of {} left out.",
                units::count(new, "message"),
                found.program
            ))?;
            taken += new;
        }
    }
    if asked {
        // A person is asked once: from now on the account is known.
        make_private_folder(config.data())?;
        State::open(&config.data().join("state.db"))?.set_next_run(&account.name, None)?;
    }
    Ok(taken)
}

/// Before a fetch: what other programs have is left out if that is wanted, and offered once, before an
/// account is fetched for the first time.
pub(crate) fn before_fetch(
    wanted: bool,
    dry_run: bool,
    accounts: &[Account],
    config: &Config,
    person: &Person,
    out: &Output,
) -> Result<(), Failure> {
    let state = State::look(&config.data().join("state.db"))?;
    for account in accounts {
        let first = state.account(&account.name)?.is_none();
        let wish = match (wanted, dry_run) {
            (true, _) => Wish::TakeOver,
            (false, true) => Wish::Say,
            (false, false) => Wish::Ask,
        };
        if first || wanted {
            offer(wish, account, config, person, out)?;
        }
    }
    Ok(())
}

/// Takes over what one file says of the account.
pub(crate) fn from_file(
    path: &Path,
    account: &Account,
    config: &Config,
    out: &Output,
) -> Result<(), Failure> {
    let Some(mailbox) = mailbox(account) else {
        return Err(Failure::Usage(format!(
            "{} is on this machine: no other program's file names it",
            account.name
        )));
    };
    let wrong = |error| Failure::Data(format!("{}: {error}", path.display()));
    let Some(program) = takeover::identify(path).map_err(wrong)? else {
        return Err(Failure::Data(format!(
            "{} is no state file of getmail, fetchmail, mpop or Thunderbird",
            path.display()
        )));
    };
    let ids = takeover::read(program, path, mailbox).map_err(wrong)?;
    if ids.is_empty() {
        return Err(Failure::Data(format!(
            "{}, of {program}, has nothing of {} at {}",
            path.display(),
            account.user,
            account.server.place
        )));
    }
    let new = record(&ids, account, config)?;
    out.line(
        &json!({"account": account.name, "program": program.to_string(), "ids": ids.len(),
                "taken_over": new}),
        &format!(
            "{}: {program} has downloaded {}; {new} of them were not known here. None of them is downloaded, and none deleted.",
            account.name,
            units::count(u64::try_from(ids.len()).unwrap_or(u64::MAX), "message"),
        ),
    )
}

fn read(found: &Found, mailbox: Mailbox<'_>) -> Result<Vec<SeenId>, Failure> {
    takeover::read(found.program, &found.path, mailbox)
        .map_err(|error| Failure::Io(format!("{}: {error}", found.path.display())))
}

fn record(ids: &[SeenId], account: &Account, config: &Config) -> Result<u64, Failure> {
    let world = accounts::world(config, std::slice::from_ref(account), false)?;
    let target = match &account.target {
        Target::Mailbox(name) => fetch::Target::Mailbox(name.clone()),
        // Nothing is sent there: its name is all that counts.
        Target::Destination(spec) => {
            fetch::Target::elsewhere(spec.clone(), destination::Options::default())
        }
    };
    let taken = fetch::take_over(&account.name, &target, &world, ids);
    Ok(wait(taken)?)
}
