//! `restante import`: mail that people have.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use restante_intake::import::{self, ImportError, Options};
use restante_store::MailStore;
use serde_json::json;

use super::{open_existing_directory, open_store, wait};
use crate::cli::Import;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units;

/// Runs `restante import`. Exits 65 when something could not be taken in.
pub(crate) fn run(import: &Import, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let directory = open_existing_directory(config)?;
    let user = match directory.find_user(&import.into)? {
        Some(user) => user,
        None => {
            return Err(Failure::NotThere(format!(
                "there is no user {0}: make one with `restante user add {0}`",
                import.into
            )));
        }
    };
    let store = open_store(config, false)?;
    let mailbox = wait(store.create_mailbox(&user.name))?;
    let bar = progress_bar(out);
    let started = Instant::now();
    let options = Options {
        duplicates: import.duplicates,
        quota_octets: user.quota_octets,
        ..Options::default()
    };
    let mut failed = 0;
    for path in &import.paths {
        let summary = import::import(&*store, mailbox, path, &options, &mut |progress| {
            bar.set_message(format!(
                "{}, {}",
                units::count(progress.messages, "message"),
                units::show_octets(progress.octets)
            ));
        });
        match summary {
            Ok(summary) => {
                bar.suspend(|| report(out, path, &user.name, &summary))?;
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
    bar.finish_and_clear();
    out.people(&format!(
        "Done in {:.1} s.",
        started.elapsed().as_secs_f64()
    ))?;
    if failed > 0 {
        return Err(Failure::Data(format!(
            "{failed} could not be taken in, the rest is; mend what is said above and run it again: what is there already is not stored twice"
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn progress_bar(out: &Output) -> ProgressBar {
    if out.json() || !output::on_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn report(
    out: &Output,
    path: &std::path::Path,
    name: &str,
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
            "already_there": summary.already_there, "failed": failed,
            "headless": summary.headless, "subfolders": summary.subfolders,
        }),
        &format!(
            "{}: {} taken in; {} there already",
            path.display(),
            units::count(summary.imported, "message"),
            summary.already_there
        ),
    )?;
    for path in &summary.headless {
        output::note(&format!(
            "{}: what stands before the first From line was taken in as a message of its own",
            path.display()
        ));
    }
    for path in &summary.subfolders {
        output::note(&format!(
            "not looked into: {}; name it to import it too",
            path.display()
        ));
    }
    for (path, error) in &summary.failed {
        output::note(&format!("not taken in: {}: {error}", path.display()));
    }
    Ok(())
}
