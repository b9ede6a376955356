//! `cargo xtask bench server`: ours, Dovecot, and a server that stores nothing, side by side in one
//! run, with the same messages, the same kind of certificate and the same durability.

mod data;
mod load;
pub(crate) mod null;
mod peers;
mod rows;
mod table;

use std::process::{Command, Stdio};

use crate::{Fallible, fail, process, setup, steps, workspace};

use peers::Peers;
use rows::ROWS;

/// What was asked for.
struct Plan {
    runs: usize,
    only: Vec<String>,
    write: bool,
}

impl Plan {
    fn parse(words: &[&str]) -> Fallible<Self> {
        let mut plan = Self {
            runs: 5,
            only: Vec::new(),
            write: false,
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .copied()
                    .ok_or_else(|| format!("{word} wants a value"))
            };
            match word {
                "--runs" => plan.runs = value()?.parse()?,
                "--only" => plan.only.push(value()?.to_owned()),
                "--write" => plan.write = true,
                other => return fail(format!("bench server does not know {other}")),
            }
        }
        if let Some(name) = plan
            .only
            .iter()
            .find(|name| !ROWS.iter().any(|row| row.name == **name))
        {
            let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            return fail(format!(
                "there is no row {name}; there are {}",
                names.join(" ")
            ));
        }
        Ok(plan)
    }

    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == row)
    }
}

/// Runs the benchmark; true when every row reached its goal.
pub(crate) fn server(words: &[&str]) -> Fallible<bool> {
    let plan = Plan::parse(words)?;
    if cfg!(debug_assertions) {
        return again_optimised(words);
    }
    setup::run()?;
    let open_files = process::raise_open_files();
    if open_files < 12_000 {
        return fail(format!(
            "12,000 open files are needed, {open_files} are allowed: ulimit -Hn 20000"
        ));
    }
    let binary = steps::release()?;
    let rows: Vec<&rows::Row> = ROWS.iter().filter(|row| plan.wants(row.name)).collect();
    let mut peers = Peers::start(&binary, &rows)?;
    let mut results = Vec::new();
    for row in rows {
        println!("{}", row.title);
        let result = peers.measure(row, plan.runs)?;
        println!("    {}", table::line(row, &result));
        results.push((row, result));
    }
    let text = table::markdown(&results, &peers.versions()?, plan.runs, words);
    println!("\n{text}");
    if plan.write {
        std::fs::write(workspace().join("docs/benchmarks.md"), &text)?;
        println!("written to docs/benchmarks.md");
    }
    Ok(results
        .iter()
        .all(|(row, result)| table::reached(row, result)))
}

/// A harness that is not optimised would measure itself.
fn again_optimised(words: &[&str]) -> Fallible<bool> {
    let status = Command::new("cargo")
        .args([
            "run",
            "--quiet",
            "--release",
            "--locked",
            "-p",
            "xtask",
            "--",
            "bench",
            "server",
        ])
        .args(words)
        .current_dir(workspace())
        .stdin(Stdio::null())
        .status()?;
    Ok(status.success())
}
