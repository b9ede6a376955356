//! `restante status`: what there is, and whether something needs attention.

mod accounts;
mod backups;

pub(crate) use accounts::is_silent;

use std::path::Path;
use std::process::ExitCode;

use restante_store::{MailStore, ViewId, ViewInfo};
use serde_json::json;

use super::{open_directory, open_existing_store, wait};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Runs `restante status`. Exits 1 when the disk is below `min_free`, when an account has been
/// silent for too long, or when the last good backup is too old.
pub(crate) fn run(config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    // Accounts may put their mail elsewhere, or may not have brought any yet.
    let mail = config.accounts().is_empty() || super::is_there(&config.data().join("packs"))?;
    let full = mail && of_mail(config, out)?;
    let silent = accounts::run(config, out)?;
    let stale = mail && backups::run(config, out)?;
    Ok(ExitCode::from(u8::from(full || silent || stale)))
}

/// Mailboxes and the disk; whether it is too full.
fn of_mail(config: &Config, out: &Output) -> Result<bool, Failure> {
    let data = config.data();
    let store = open_existing_store(config)?;
    let users = open_directory(config)?.users()?;
    let mailboxes = wait(store.mailboxes())?;
    let packs = folder_octets(&data.join("packs"))?;
    let index = file_octets(&data.join("index.db"));
    let disk = rustix::fs::statvfs(data).map_err(|error| {
        Failure::Io(format!(
            "cannot look at the disk of {}: {error}",
            data.display()
        ))
    })?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let messages: u64 = mailboxes.iter().map(|mailbox| mailbox.totals.count).sum();
    let octets: u64 = mailboxes.iter().map(|mailbox| mailbox.totals.octets).sum();
    let full = free < config.min_free();
    let lost = rescued(&data.join("lost+found"))?;
    out.line(
        &json!({
            "data": data, "users": users.len(), "messages": messages, "octets": octets,
            "packs": packs, "index": index, "free": free, "full": full,
            "lost_and_found": lost,
        }),
        &format!(
            "{}, {} of mail, in {}",
            units::count(messages, "message"),
            units::show_octets(octets),
            data.display()
        ),
    )?;
    out.people(&format!(
        "  on disk: packs {}, index {}; free {}",
        units::show_octets(packs),
        units::show_octets(index),
        units::show_octets(free)
    ))?;
    for mailbox in &mailboxes {
        let quota = users
            .iter()
            .find(|user| user.name == mailbox.name)
            .and_then(|user| user.quota_octets);
        let line = format!(
            "  {:<24} {:>16}  {:>10}{}",
            mailbox.name,
            units::count(mailbox.totals.count, "message"),
            units::show_octets(mailbox.totals.octets),
            quota.map_or(String::new(), |quota| format!(
                " of {}",
                units::show_octets(quota)
            ))
        );
        out.line(
            &json!({"mailbox": mailbox.name, "messages": mailbox.totals.count,
                    "octets": mailbox.totals.octets, "quota": quota}),
            &line,
        )?;
        of_devices(&wait(store.views(mailbox.id))?, &mailbox.name, out)?;
    }
    of_archive(config, store, out)?;
    if full {
        out.people(&format!(
            "Attention: less than {} is free (store.min_free); new mail is refused for now.",
            units::show_octets(config.min_free())
        ))?;
    }
    if lost > 0 {
        out.people(&format!(
            "Note: {} in {}: ends of packs that a crash left unfinished, or that were damaged. Look at them, then move them away.",
            units::count(lost, "file"),
            data.join("lost+found").display()
        ))?;
    }
    Ok(full)
}

/// What waits for each device, where there are some.
fn of_devices(views: &[ViewInfo], mailbox: &str, out: &Output) -> Result<(), Failure> {
    if views.iter().all(|view| view.id == ViewId::PLAIN) {
        return Ok(());
    }
    for view in views {
        let plain = view.id == ViewId::PLAIN;
        let name = if plain { "(plain login)" } else { &view.name };
        let used = view.used_ms.map_or(String::new(), |ms| {
            format!("  last used {}", units::show_time(ms))
        });
        let lapsed = if view.lapsed {
            ", holds nothing back"
        } else {
            ""
        };
        out.line(
            &json!({
                "mailbox": mailbox, "device": (!plain).then_some(&view.name),
                "waiting": view.totals.count, "octets": view.totals.octets,
                "last_used": view.used_ms.map(units::json_time), "holds_back": !view.lapsed,
            }),
            &format!(
                "    {name:<22} {:>16}  {:>10}{used}{lapsed}",
                units::count(view.totals.count, "message"),
                units::show_octets(view.totals.octets),
            ),
        )?;
    }
    Ok(())
}

/// How far the search index is.
fn of_archive(
    config: &Config,
    store: std::sync::Arc<dyn MailStore>,
    out: &Output,
) -> Result<(), Failure> {
    let status = super::archive::open(config, store)?.status()?;
    let progress = status.progress;
    let behind = progress.total.saturating_sub(progress.indexed);
    let line = match behind {
        0 => "all there is".to_owned(),
        _ => format!(
            "{} of {}",
            progress.indexed,
            units::count(progress.total, "message")
        ),
    };
    out.line(
        &json!({"indexed": progress.indexed, "behind": behind, "search_index": status.octets,
                "unreadable": status.unreadable, "not_indexed": status.unindexed}),
        &format!(
            "  searchable: {line}; {} on disk",
            units::show_octets(status.octets)
        ),
    )
}

fn folder_octets(folder: &Path) -> Result<u64, Failure> {
    let doing = format!("cannot read {}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(Failure::io(&doing))?;
    Ok(entries
        .flatten()
        .map(|entry| file_octets(&entry.path()))
        .sum())
}

/// How many files recovery has put aside.
fn rescued(folder: &Path) -> Result<u64, Failure> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.count() as u64),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Failure::io(format_args!(
            "cannot read {}",
            folder.display()
        ))(error)),
    }
}

/// 0 for a file that has just gone: compaction goes on meanwhile.
fn file_octets(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |data| data.len())
}
