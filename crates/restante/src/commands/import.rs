//! `restante import`: mail that people have.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use restante_intake::import::{self, ImportError, Options};
use restante_store::embedded::EmbeddedStore;
use restante_store::{MailStore, MailboxId};
use serde_json::json;

use super::bar::Bar;
use super::marks::Keeper;
use super::{archive, open_directory, open_store, wait};
use crate::cli::Import;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// Runs `restante import`. Exits 1 when something could not be taken in.
pub(crate) fn run(import: &Import, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let there = |path: &PathBuf| path.as_os_str() == "-" || path.symlink_metadata().is_ok();
    if !import.paths.iter().any(there) {
        let shown = import.paths.iter().map(|path| path.display().to_string());
        return Err(Failure::NotThere(format!(
            "there is nothing at {}",
            shown.collect::<Vec<_>>().join(", ")
        )));
    }
    let store = open_store(config, false)?;
    let (name, quota_octets) = whose(&import.into, config, &store)?;
    let mailbox = match import.dry_run {
        false => wait(store.create_mailbox(&name))?,
        // One that is not made yet holds nothing: any id of none does.
        true => wait(store.find_mailbox(&name))?
            .map_or(MailboxId::from_bytes([0; 16]), |found| found.id),
    };
    let mut bar = Bar::new(out);
    let started = Instant::now();
    let options = Options {
        duplicates: import.duplicates,
        quota_octets,
        dry_run: import.dry_run,
        ..Options::default()
    };
    let archive = archive::open(config, store.clone())?;
    if !import.dry_run {
        // Who imports mail wants to find it: its mailbox is indexed from now on.
        archive.want(mailbox)?;
    }
    let mut marker = Keeper::new(&archive, mailbox);
    let mut failed = 0;
    for path in &import.paths {
        let summary = import::import(
            &*store,
            mailbox,
            path,
            &options,
            &mut marker,
            &mut |progress| {
                bar.set(&format!(
                    "{}, {}",
                    units::count(progress.messages, "message"),
                    units::show_octets(progress.octets)
                ));
            },
        );
        match summary {
            Ok(summary) => {
                bar.suspend(|| report(out, path, &name, import.dry_run, &summary))?;
                failed += summary.failed.len();
            }
            // The path, not the store: the other paths may do better.
            Err(ImportError::Source(error)) => {
                bar.suspend(|| output::note(&format!("not taken in: {}: {error}", path.display())));
                failed += 1;
            }
            Err(error @ ImportError::OverQuota { .. }) => {
                return Err(Failure::Exists(format!("{}: {error}", path.display())));
            }
            Err(error) => return Err(Failure::Io(format!("{}: {error}", path.display()))),
        }
    }
    bar.clear();
    if marker.overfull > 0 {
        output::note(&format!(
            "{} had more labels than are kept; they have the first ones",
            units::count(marker.overfull, "message")
        ));
    }
    out.people(&format!(
        "Done in {:.1} s.",
        started.elapsed().as_secs_f64()
    ))?;
    if failed > 0 {
        output::note(&format!(
            "{failed} could not be taken in, the rest is; mend what is said above and run it again: what is there already is not stored twice"
        ));
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// The name and the quota of the mailbox that mail goes into: a user's, one that is there, as a fetch
/// makes it, or the first of all. Any other is a slip of the pen.
fn whose(
    name: &str,
    config: &Config,
    store: &EmbeddedStore,
) -> Result<(String, Option<u64>), Failure> {
    let directory = open_directory(config)?;
    if let Some(user) = directory.find_user(name)? {
        return Ok((user.name, user.quota_octets));
    }
    let name = restante_directory::user_name(name)?;
    let there = wait(store.mailboxes())?;
    let first = there.is_empty() && directory.users()?.is_empty();
    if first || there.iter().any(|mailbox| mailbox.name == name) {
        return Ok((name, None));
    }
    Err(Failure::NotThere(format!(
        "there is no user {name} and no such mailbox: make one with `restante user add {name}`; `restante status` lists what there is"
    )))
}

fn report(
    out: &Output,
    path: &std::path::Path,
    name: &str,
    dry_run: bool,
    summary: &import::Summary,
) -> Result<(), Failure> {
    let failed: Vec<_> = summary
        .failed
        .iter()
        .map(|(path, error)| json!({"path": path, "error": error.to_string()}))
        .collect();
    out.line(
        &json!({
            "path": path, "mailbox": name, "imported": summary.imported,
            "already_there": summary.already_there, "marked": summary.marked,
            "expunged": summary.expunged, "failed": failed, "headless": summary.headless,
            "partial": summary.partial, "dry_run": dry_run,
        }),
        &format!(
            "{}: {} {}; {} there already{}",
            path.display(),
            units::count(summary.imported, "message"),
            if dry_run {
                "would be taken in"
            } else {
                "taken in"
            },
            summary.already_there,
            match summary.expunged {
                0 => String::new(),
                expunged => format!("; {expunged} left out that Thunderbird had deleted"),
            }
        ),
    )?;
    for path in &summary.headless {
        output::note(&format!(
            "{}: what stands before the first From line was taken in as a message of its own",
            path.display()
        ));
    }
    for path in &summary.partial {
        output::note(&format!(
            "{}: taken in without its attachments, which Apple Mail keeps elsewhere; save the message from Mail to have it whole",
            path.display()
        ));
    }
    for (path, error) in &summary.failed {
        output::note(&format!("not taken in: {}: {error}", path.display()));
    }
    Ok(())
}
