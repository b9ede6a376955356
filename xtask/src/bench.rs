//! `cargo xtask bench server`: ours beside Dovecot and a server that stores nothing, in one table.
//! `cargo xtask bench fetch`: ours beside other fetchers. `cargo xtask bench backup`: ours beside restic and borg.
//! `cargo xtask bench archive`: ours beside notmuch.

mod archive;
mod backup;
mod client;
mod fetch;
mod machine;
mod mailset;
mod null;
mod peers;
mod rows;
mod table;
mod why;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Fallible, fail, process, steps, workspace};

use peers::Peers;

const ROWS: &[&str] = &[
    "sessions",
    "retr",
    "tls",
    "drain",
    "pipelined",
    "idle",
    "login",
    "listing",
    "lmtp",
    "devices",
];

/// What was asked for.
#[derive(Debug)]
struct Plan {
    runs: usize,
    only: Vec<String>,
    quick: bool,
    write: bool,
}

impl Plan {
    /// `bench` and its rows are what the words are held against.
    fn parse(bench: &str, rows: &[&str], words: &[&str]) -> Fallible<Self> {
        let mut plan = Self {
            runs: 5,
            only: Vec::new(),
            quick: false,
            write: false,
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--quick" => (plan.quick, plan.runs) = (true, 1),
                "--write" => plan.write = true,
                "--runs" => {
                    let runs = words.next().and_then(|n| n.parse().ok());
                    plan.runs = runs.filter(|&n| n > 0).ok_or("--runs takes a number")?;
                }
                "--only" => {
                    let row = words.next().filter(|row| rows.contains(row));
                    let row = row.ok_or(format!("--only takes one of {}", rows.join(" ")))?;
                    plan.only.push((*row).to_owned());
                }
                other => return fail(format!("bench {bench}: {other} is not known")),
            }
        }
        if plan.write && !plan.only.is_empty() {
            return fail("--write needs all rows");
        }
        Ok(plan)
    }

    /// How long a rate is measured.
    fn length(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 3 })
    }

    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == row)
    }
}

/// Runs what was asked for; true when every goal was reached or missed with a number, which is what a
/// bench is for.
pub(crate) fn run(words: &[&str]) -> Fallible<bool> {
    match words {
        ["null", rest @ ..] => null::serve(rest).map(|()| true),
        ["server", rest @ ..] => {
            let plan = Plan::parse("server", ROWS, rest)?;
            if cfg!(debug_assertions) {
                return optimised(words);
            }
            server(&plan, rest).map(|()| true)
        }
        ["fetch", rest @ ..] => {
            let plan = Plan::parse("fetch", fetch::ROWS, rest)?;
            if cfg!(debug_assertions) {
                return optimised(words);
            }
            fetch::run(&plan, rest).map(|()| true)
        }
        ["backup", rest @ ..] => {
            let plan = Plan::parse("backup", backup::ROWS, rest)?;
            if cfg!(debug_assertions) {
                return optimised(words);
            }
            backup::run(&plan, rest).map(|()| true)
        }
        ["archive", rest @ ..] => {
            let plan = Plan::parse("archive", archive::ROWS, rest)?;
            if cfg!(debug_assertions) {
                return optimised(words);
            }
            archive::run(&plan, rest).map(|()| true)
        }
        _ => fail(
            "bench: there are `bench server`, `bench fetch`, `bench backup` and `bench archive`, with [--runs N] [--only ROW]… [--quick] [--write]",
        ),
    }
}

/// A client that was not optimised would be what is measured.
fn optimised(words: &[&str]) -> Fallible<bool> {
    let status = Command::new(env!("CARGO"))
        .args([
            "run",
            "--release",
            "--locked",
            "--quiet",
            "-p",
            "xtask",
            "--",
            "bench",
        ])
        .args(words)
        .current_dir(workspace())
        .status()?;
    Ok(status.success())
}

fn server(plan: &Plan, words: &[&str]) -> Fallible<()> {
    let binary = steps::release()?;
    process::raise_open_files();
    let before = machine::load_average();
    let begun = Instant::now();
    println!("bench: load average {before}");
    let mut peers = Peers::start(&binary, plan.quick)?;
    let mut done = Vec::new();
    for row in ROWS.iter().filter(|row| plan.wants(row)) {
        match *row {
            "drain" | "pipelined" => rows::drain(plan, &mut peers, row, &mut done)?,
            "idle" => rows::idle(plan, &mut peers, &mut done)?,
            "login" => rows::login(plan, &mut peers, &mut done)?,
            "listing" => rows::listing(plan, &mut peers, &mut done)?,
            "devices" => rows::devices(plan, &mut peers, &mut done)?,
            "lmtp" => rows::lmtp(plan, &mut peers, &mut done)?,
            _ => rows::sessions(plan, &mut peers, row, &mut done)?,
        }
        peers.healthy()?;
    }
    let load = format!("{before} before, {} after", machine::load_average());
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let page = page(plan, words, &done, &machine::describe(&binary), &load);
    println!("\n{page}\n{minutes:.1} minutes");
    if plan.write {
        write_part(&workspace().join("docs/benchmarks.md"), &page)?;
    }
    Ok(())
}

/// Every part of the page begins with such a line.
const PART: &str = "# Benchmarks of ";

/// Puts a part into the page, in place of the one with the same title or behind the others.
fn write_part(path: &Path, part: &str) -> Fallible<()> {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::write(path, with_part(&before, part))?;
    println!("written to {}", path.display());
    Ok(())
}

fn with_part(page: &str, part: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for line in page.lines() {
        match parts.last_mut() {
            Some(last) if !line.starts_with(PART) => *last += &format!("{line}\n"),
            _ => parts.push(format!("{line}\n")),
        }
    }
    let title = part.lines().next();
    let part = format!("{}\n", part.trim_end());
    match parts.iter_mut().find(|old| old.lines().next() == title) {
        Some(old) => *old = part,
        None => parts.push(part),
    }
    let trimmed: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    trimmed.join("\n\n") + "\n"
}

fn page(plan: &Plan, words: &[&str], rows: &[table::Row], machine: &str, load: &str) -> String {
    let command: Vec<&str> = words.iter().copied().filter(|&w| w != "--write").collect();
    let command = ["cargo xtask bench server", &command.join(" ")].join(" ");
    let reached = rows
        .iter()
        .filter(|row| row.reached() == Some(true))
        .count();
    let missed = rows
        .iter()
        .filter(|row| row.reached() == Some(false))
        .count();
    format!(
        "# Benchmarks of the server\n\n\
         `{}`: median of {} runs; the peers take turns within a run.\n\n\
         {machine}- load average: {load}\n\n\
         {}\n\
         {reached} goals are reached, {missed} are missed.\n\n\
         {}",
        command.trim(),
        plan.runs,
        table::markdown(rows),
        include_str!("bench/method.md"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_the_place_of_the_one_before() {
        let one = "# Benchmarks of the server\n\na\n\n## x\n";
        let both = with_part(one, "# Benchmarks of the fetcher\n\nb\n");
        assert_eq!(both, format!("{one}\n# Benchmarks of the fetcher\n\nb\n"));
        assert_eq!(with_part(&both, one), both);
        assert_eq!(with_part("", one), one);
    }

    #[test]
    fn a_row_that_does_not_exist_is_refused() {
        assert!(Plan::parse("server", ROWS, &["--runs", "3", "--only", "tls"]).is_ok());
        assert!(Plan::parse("server", ROWS, &["--only", "tsl"]).is_err());
        assert!(Plan::parse("server", ROWS, &["--runs", "0"]).is_err());
    }
}
