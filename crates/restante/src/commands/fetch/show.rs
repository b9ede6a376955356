//! What a fetch shows: a bar for each account on a terminal, a line for each message at -v, one JSON
//! object a line for scripts, and in the end what it came to.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use restante_intake::fetch::{Action, Progress, RunOptions, Summary};
use serde_json::json;
use tracing::info;

use super::Done;
use crate::accounts;
use crate::config::Account;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::units::{self, show_octets, show_remote_id};

/// What all accounts of a pass show.
pub(super) struct Shows {
    bars: Option<MultiProgress>,
    json: bool,
    verbose: bool,
    dry_run: bool,
}

impl Shows {
    /// Bars are for people at a terminal who do not ask for every line.
    pub(super) fn new(out: &Output, dry_run: bool) -> Self {
        let bars = output::on_terminal() && !out.json() && !out.verbose() && !dry_run;
        Self {
            bars: bars.then(MultiProgress::new),
            json: out.json(),
            verbose: out.verbose(),
            dry_run,
        }
    }

    /// What one account shows.
    pub(super) fn of(&self, account: &str) -> Show {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_prefix(account.to_owned());
            style(&bar, "{prefix:16!} {spinner} {msg}");
            bar.set_message("waits for its turn");
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        });
        Show {
            account: account.to_owned(),
            bar,
            json: self.json,
            verbose: self.verbose,
            dry_run: self.dry_run,
            messages: 0,
            done: 0,
        }
    }

    /// Takes the bars away: what follows is the summary.
    pub(super) fn finish(&self) {
        if let Some(bars) = &self.bars {
            // A terminal that is gone misses nothing.
            let _cleared = bars.clear();
        }
    }
}

fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

/// What one account shows.
pub(super) struct Show {
    account: String,
    bar: Option<ProgressBar>,
    json: bool,
    verbose: bool,
    dry_run: bool,
    messages: u64,
    done: u64,
}

impl Show {
    /// One thing that has happened.
    pub(super) fn happened(&mut self, progress: &Progress<'_>) {
        self.on_bar(progress);
        if self.dry_run
            && let Progress::Would {
                action,
                remote_id,
                octets,
            } = progress
        {
            self.would(*action, remote_id, *octets);
        }
        if self.verbose {
            self.tell(progress);
        }
    }

    /// Nothing more will happen.
    pub(super) fn finished(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn on_bar(&mut self, progress: &Progress<'_>) {
        let Some(bar) = &self.bar else { return };
        match progress {
            Progress::LoggedIn => bar.set_message("reads the list"),
            Progress::Planned {
                messages,
                octets,
                deletions,
                ..
            } => {
                (self.messages, self.done) = (*messages, 0);
                if *messages == 0 {
                    bar.set_message(format!("nothing new; {deletions} to delete there"));
                    return;
                }
                bar.set_length(*octets);
                bar.set_position(0);
                bar.reset_eta();
                style(
                    bar,
                    "{prefix:16!} [{bar:24}] {msg}  {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta} left",
                );
                bar.set_message(format!("0/{messages}"));
            }
            Progress::Received { octets } => bar.inc(*octets),
            Progress::Stored { .. } | Progress::HeadersOnly { .. } | Progress::SetAside { .. } => {
                self.done += 1;
                bar.set_message(format!("{}/{}", self.done, self.messages));
            }
            _ => {}
        }
    }

    fn would(&self, action: Action, remote_id: &[u8], octets: u64) {
        let id = show_remote_id(remote_id);
        let (word, line) = match action {
            Action::Download => ("download", "would download"),
            Action::Headers => ("headers", "would take the header of"),
            Action::Delete => ("delete", "would delete"),
            Action::DownloadAndDelete => ("download-and-delete", "would download, then delete"),
        };
        let value =
            json!({"account": self.account, "would": word, "remote_id": id, "octets": octets});
        let line = format!("{}: {line} {id} ({})", self.account, show_octets(octets));
        self.print(&value, &line);
    }

    /// A line on standard output. A script that has gone away is noticed at the summary.
    fn print(&self, value: &serde_json::Value, line: &str) {
        let out = Output::new(self.json, self.verbose);
        let _told = out.line(value, line);
    }

    /// One line a message: for people in the log, for scripts on standard output.
    fn tell(&self, progress: &Progress<'_>) {
        let account = self.account.as_str();
        let (event, remote_id, detail) = match progress {
            Progress::LoggedIn => {
                info!(account, "logged in");
                return;
            }
            Progress::Planned {
                listed, messages, ..
            } => {
                info!(account, listed, messages, "planned");
                return;
            }
            Progress::Note(text) => {
                info!(account, "{text}");
                return;
            }
            Progress::Stored {
                remote_id,
                size,
                unique_id,
            } => {
                let id = unique_id.map(|id| id.to_string());
                ("stored", remote_id, json!({"size": size, "id": id}))
            }
            Progress::HeadersOnly { remote_id, octets } => {
                ("headers-only", remote_id, json!({"octets": octets}))
            }
            Progress::Recognised {
                remote_id,
                unique_id,
            } => {
                let id = unique_id.map(|id| id.to_string());
                ("recognised", remote_id, json!({"id": id}))
            }
            Progress::SetAside { remote_id, error } => {
                ("set-aside", remote_id, json!({"error": error}))
            }
            Progress::Deleted { remote_id } => ("deleted", remote_id, json!({})),
            _ => return,
        };
        let remote_id = show_remote_id(remote_id);
        if self.json {
            let mut value = json!({"account": account, "event": event, "remote_id": remote_id});
            if let (Some(value), Some(detail)) = (value.as_object_mut(), detail.as_object()) {
                value.extend(detail.clone());
            }
            self.print(&value, "");
            return;
        }
        let size = detail["size"].as_u64().or(detail["octets"].as_u64());
        let id = detail["id"].as_str();
        let error = detail["error"].as_str();
        info!(account, remote_id, size, id, error, "{event}");
    }
}

/// What an account's fetch came to, in plain words; gives its exit code.
pub(super) fn ending(
    account: &Account,
    done: &Done,
    options: &RunOptions,
    out: &Output,
) -> Result<u8, Failure> {
    let name = &account.name;
    let (summary, elapsed) = match done {
        Ok(done) => done,
        Err(error) => {
            let code = error.kind().exit_code();
            let why = accounts::explanation(account, error);
            let text = output::printable(&error.to_string());
            let text = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text);
            if out.json() {
                let value =
                    json!({"account": name, "error": text, "code": code, "explanation": why});
                out.line(&value, "")?;
            } else {
                output::note(&format!("{name}: {text}"));
                if let Some(why) = why {
                    output::note(&format!("  {why}"));
                }
            }
            return Ok(code);
        }
    };
    let code = super::code(summary);
    if out.json() {
        out.line(&value(name, summary, code, options.dry_run), "")?;
        return Ok(code);
    }
    let seconds = elapsed.as_secs_f64();
    out.people(&format!(
        "{name}: {}",
        first_line(summary, seconds, options)
    ))?;
    for line in more_lines(summary) {
        out.people(&format!("  {line}"))?;
    }
    for aside in &summary.set_aside {
        let id = show_remote_id(&aside.remote_id);
        let error = output::printable(&aside.error);
        output::note(&format!("{name}: set aside: {id}: {error}"));
    }
    Ok(code)
}

fn value(name: &str, summary: &Summary, code: u8, dry_run: bool) -> serde_json::Value {
    let set_aside: Vec<_> = summary
        .set_aside
        .iter()
        .map(|aside| json!({"remote_id": show_remote_id(&aside.remote_id), "error": aside.error, "tries": aside.tries}))
        .collect();
    json!({
        "account": name, "code": code, "dry_run": dry_run, "sessions": summary.sessions,
        "listed": summary.listed, "stored": summary.stored, "octets": summary.stored_octets,
        "headers_only": summary.headers_only, "recognised": summary.recognised,
        "deleted": summary.deleted, "unconfirmed": summary.unconfirmed,
        "await_backup": summary.await_backup, "left": summary.left, "set_aside": set_aside,
        "paused_until": summary.pause.as_ref().map(|pause| units::json_time(pause.until_ms)),
        "paused_because": summary.pause.as_ref().map(|pause| pause.reason.name()),
    })
}

fn first_line(summary: &Summary, seconds: f64, options: &RunOptions) -> String {
    let there = units::count(summary.listed, "message");
    if options.dry_run {
        return format!(
            "would download {} ({}) and delete {}; {there} on the server",
            units::count(summary.stored, "message"),
            show_octets(summary.stored_octets),
            summary.deleted,
        );
    }
    if summary.sessions == 0 {
        return "not fetched now".to_owned();
    }
    let deleted = match summary.deleted {
        0 => String::new(),
        deleted => format!("; {deleted} deleted on the server"),
    };
    if summary.stored == 0 {
        return format!("nothing new; {there} on the server{deleted}");
    }
    let rate = summary.stored_octets as f64 / seconds.max(0.001);
    format!(
        "{} ({}) in {seconds:.1} s, {}/s{deleted}; {there} on the server",
        units::count(summary.stored, "new message"),
        show_octets(summary.stored_octets),
        show_octets(rate as u64),
    )
}

fn more_lines(summary: &Summary) -> Vec<String> {
    let messages = |number| units::count(number, "message");
    let mut lines = Vec::new();
    let mut say = |number: u64, line: String| {
        if number > 0 {
            lines.push(line);
        }
    };
    say(
        summary.headers_only,
        format!(
            "only the header of {}, above max_size; `restante fetch --full ID` takes one whole",
            messages(summary.headers_only)
        ),
    );
    say(
        summary.recognised,
        format!(
            "{} known again under another unique-id",
            messages(summary.recognised)
        ),
    );
    say(
        summary.unconfirmed,
        format!(
            "{} stored, but the server did not confirm the deletion; it is asked again next time",
            messages(summary.unconfirmed)
        ),
    );
    say(
        summary.await_backup,
        format!(
            "{} stay on the server until a verified backup has them",
            messages(summary.await_backup)
        ),
    );
    say(
        summary.left,
        format!("{} left for another time", messages(summary.left)),
    );
    if let Some(pause) = &summary.pause {
        let reply = pause.reply.as_deref().map_or(String::new(), |reply| {
            format!(" (the server says: {})", output::printable(reply))
        });
        lines.push(format!(
            "waits until {}: {}{reply}",
            units::show_time(pause.until_ms),
            pause.reason
        ));
    }
    lines
}
