//! Taking over what another fetcher has downloaded, so that the first run need not do it again.

use std::path::PathBuf;

use restante_client::Place;
use restante_intake::takeover::{self, Found, Mailbox};
use restante_store::{Release, Seen, Source};

use super::accounts;
use super::questions::Person;
use crate::cli::AccountAdd;
use crate::commands::wait;
use crate::config::Config;
use crate::config::account::{Account, Target};
use crate::failure::Failure;
use crate::output::Output;

/// Ids that are recorded at once: a batch is one record in the store.
const BATCH_IDS: usize = 1000;

/// Says which other programs have fetched this account, and takes over what they know if that is
/// wanted. The number of ids comes back.
pub(super) fn offer(
    adding: &AccountAdd,
    account: &Account,
    config: &Config,
    person: &Person,
    out: &Output,
) -> Result<usize, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let (Place::Tcp { host, port }, Target::Mailbox(name), Some(home)) =
        (&account.server.place, &account.target, home)
    else {
        return Ok(0);
    };
    let mailbox = Mailbox {
        host,
        port: *port,
        user: &account.user,
    };
    let mut taken = 0;
    for found in takeover::find(mailbox, &home) {
        out.people(&format!(
            "{} has fetched this account: {} in {}.",
            found.program,
            crate::units::count(u64::try_from(found.ids).unwrap_or(u64::MAX), "message"),
            found.path.display()
        ))?;
        let wanted = adding.take_over
            || person.agrees(
                "Leave out what it has downloaded (it is not in this archive then, and stays on the server) (y/n)? ",
            )?;
        if wanted {
            taken += record(&found, mailbox, account, name, config)?;
        }
    }
    Ok(taken)
}

fn record(
    found: &Found,
    mailbox: Mailbox<'_>,
    account: &Account,
    name: &str,
    config: &Config,
) -> Result<usize, Failure> {
    let ids = takeover::read(found.program, &found.path, mailbox)
        .map_err(|error| Failure::Io(format!("{}: {error}", found.path.display())))?;
    let world = accounts::world(config, std::slice::from_ref(account), false)?;
    let Some(store) = world.store else {
        return Ok(0);
    };
    let id = match wait(store.find_mailbox(name))? {
        Some(known) => known.id,
        None => {
            let id = wait(store.create_mailbox(name))?;
            // As a fetch would make it: what was taken off a server goes from here by hand alone.
            wait(store.set_release(id, Some(Release::Never)))?;
            id
        }
    };
    for batch in ids.chunks(BATCH_IDS) {
        let seen: Vec<_> = batch
            .iter()
            .map(|taken| Seen {
                source: Source {
                    account: account.name.clone(),
                    remote_id: taken.remote_id.clone(),
                },
                received_ms: taken.seen_ms.unwrap_or(0),
            })
            .collect();
        wait(store.record_seen(id, &seen))?;
    }
    Ok(ids.len())
}
