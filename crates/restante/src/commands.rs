//! The commands, one file a subject, and what they share: opening the data folder.

pub(crate) mod about;
pub(crate) mod account;
pub(crate) mod archive;
pub(crate) mod backup;
mod bar;
pub(crate) mod device;
mod dns;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod fetch;
pub(crate) mod import;
pub(crate) mod mail;
pub(crate) mod mark;
mod marks;
pub(crate) mod newsletter;
pub(crate) mod read;
pub(crate) mod rebuild;
pub(crate) mod rule;
pub(crate) mod search;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod takeover;
pub(crate) mod user;

use std::sync::Arc;

use pollster::block_on as wait;
use restante_directory::{Directory, Options as DirectoryOptions};
use restante_store::embedded::{EmbeddedStore, Options as StoreOptions};
use restante_store::{MailStore, MailboxInfo};

use crate::config::Config;
use crate::failure::Failure;
use crate::output;

/// Opens the store; makes the data folder if there is none. Only `serve` stays: it compacts in the background,
/// and maps the index.
pub(crate) fn open_store(config: &Config, serving: bool) -> Result<Arc<EmbeddedStore>, Failure> {
    if restante_backup::finish_half_done(config.data())? {
        output::note("a restore that was cut off is finished");
    }
    let options = store_options(config, serving);
    Ok(Arc::new(EmbeddedStore::open(config.data(), options)?))
}

fn store_options(config: &Config, serving: bool) -> StoreOptions {
    let default = StoreOptions::default();
    StoreOptions {
        hold_ms: config.hold_ms(),
        min_free: config.min_free(),
        compact: serving,
        map_octets: if serving { default.map_octets } else { 0 },
        ..default
    }
}

/// Says what the store found while it was opened, such as damage. `serve` logs it instead.
fn tell_reports(store: &EmbeddedStore) {
    for report in store.take_reports() {
        output::note(&format!("store: {report}"));
    }
}

/// For a command that has nothing to do where there is no mail.
fn require_mail(config: &Config) -> Result<(), Failure> {
    restante_backup::finish_half_done(config.data())?;
    if !is_there(&config.data().join("packs"))? {
        return Err(Failure::NotThere(format!(
            "there is no mail in {} yet: start `restante serve`, take mail in with `restante import`, or name another folder with --data",
            config.data().display()
        )));
    }
    Ok(())
}

/// Opens the store for a command that has nothing to do where there is no mail.
fn open_existing_store(config: &Config) -> Result<Arc<EmbeddedStore>, Failure> {
    require_mail(config)?;
    let store = open_store(config, false)?;
    tell_reports(&store);
    Ok(store)
}

/// Whether something is at the path; not being allowed to look is an error, not an absence.
fn is_there(path: &std::path::Path) -> Result<bool, Failure> {
    path.try_exists().map_err(Failure::io(format_args!(
        "cannot look into {}",
        path.display()
    )))
}

/// Opens the users for a command that makes none: it makes no folder either.
fn open_existing_directory(config: &Config) -> Result<Directory, Failure> {
    if config.passwd_file().is_none() && !is_there(&config.data().join("state.db"))? {
        return Err(Failure::NotThere(format!(
            "there are no users in {} yet: make one with `restante user add NAME`, or name another folder with --data",
            config.data().display()
        )));
    }
    open_directory(config)
}

/// Opens the users. The folder is made like the store's: for its owner only.
pub(crate) fn open_directory(config: &Config) -> Result<Directory, Failure> {
    make_private_folder(config.data())?;
    let options = DirectoryOptions {
        passwd_file: config.passwd_file().map(Into::into),
        domains: config.domains().to_vec(),
        ..DirectoryOptions::default()
    };
    Ok(Directory::open(&config.data().join("state.db"), options)?)
}

pub(crate) fn make_private_folder(folder: &std::path::Path) -> Result<(), Failure> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(Failure::io(format_args!(
        "cannot make the folder {}; make it, or name another",
        folder.display()
    )))
}

/// The mailbox of that name, or an error that says which there are.
fn find_mailbox(store: &dyn MailStore, name: &str) -> Result<MailboxInfo, Failure> {
    if let Some(found) = wait(store.find_mailbox(name))? {
        return Ok(found);
    }
    let names: Vec<_> = wait(store.mailboxes())?
        .into_iter()
        .map(|mailbox| mailbox.name)
        .collect();
    Err(Failure::NotThere(if names.is_empty() {
        format!("there is no mailbox {name}, nor any other yet")
    } else {
        format!(
            "there is no mailbox {name}; there are: {}",
            names.join(", ")
        )
    }))
}
