//! `cargo xtask bench server`: ours beside Dovecot and a server that stores nothing, in one table.

mod client;
mod machine;
mod mailset;
mod null;
mod peers;
mod rows;
mod table;
mod why;

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
];

/// What was asked for.
#[derive(Debug)]
struct Plan {
    runs: usize,
    only: Vec<String>,
    quick: bool,
    write: bool,
    /// How long a rate is measured.
    length: Duration,
}

impl Plan {
    fn parse(words: &[&str]) -> Fallible<Self> {
        let mut plan = Self {
            runs: 5,
            only: Vec::new(),
            quick: false,
            write: false,
            length: Duration::from_secs(3),
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--quick" => {
                    plan.quick = true;
                    plan.length = Duration::from_secs(1);
                    plan.runs = 1;
                }
                "--write" => plan.write = true,
                "--runs" => {
                    let runs = words.next().and_then(|n| n.parse().ok());
                    plan.runs = runs.filter(|&n| n > 0).ok_or("--runs takes a number")?;
                }
                "--only" => {
                    let row = words.next().filter(|row| ROWS.contains(row));
                    let row = row.ok_or(format!("--only takes one of {}", ROWS.join(" ")))?;
                    plan.only.push((*row).to_owned());
                }
                other => return fail(format!("bench server: {other} is not known")),
            }
        }
        if plan.write && !plan.only.is_empty() {
            return fail("--write needs all rows");
        }
        Ok(plan)
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
            let plan = Plan::parse(rest)?;
            if cfg!(debug_assertions) {
                return optimised(words);
            }
            server(&plan, rest).map(|()| true)
        }
        _ => fail("bench: there is `bench server [--runs N] [--only ROW]… [--quick] [--write]`"),
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
        let path = workspace().join("docs/benchmarks.md");
        std::fs::write(&path, page)?;
        println!("written to {}", path.display());
    }
    Ok(())
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
    fn a_row_that_does_not_exist_is_refused() {
        assert!(Plan::parse(&["--runs", "3", "--only", "tls"]).is_ok());
        assert!(Plan::parse(&["--only", "tsl"]).is_err());
        assert!(Plan::parse(&["--runs", "0"]).is_err());
    }
}
