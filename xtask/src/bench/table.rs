//! The table, for people: markdown.

use std::fmt::Write;
use std::fs;

use super::peers::{IDLE, Medians};
use super::rows::{Goal, Row};

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value >= 1_000.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn ratio(ours: Option<f64>, other: Option<f64>, more_is_better: bool) -> Option<f64> {
    let (ours, other) = (ours?, other?);
    Some(if more_is_better {
        ours / other
    } else {
        other / ours
    })
}

/// Whether ours reached the row's goal.
pub(super) fn reached(row: &Row, [null, dovecot, ours]: &Medians) -> bool {
    let Goal {
        of_null,
        of_dovecot,
        at_most,
    } = row.goal;
    let more = row.what.more_is_better();
    let at_least = |other: &Option<f64>, goal: Option<f64>| {
        goal.is_none_or(|goal| ratio(*ours, *other, more).is_some_and(|ratio| ratio >= goal))
    };
    at_least(null, of_null)
        && at_least(dovecot, of_dovecot)
        && at_most.is_none_or(|most| ours.is_some_and(|n| n <= most))
}

fn goal(row: &Row) -> String {
    let Goal {
        of_null,
        of_dovecot,
        at_most,
    } = row.goal;
    let mut parts = Vec::new();
    parts.extend(of_null.map(|part| format!("≥ {part} null")));
    parts.extend(of_dovecot.map(|times| format!("≥ {times} × Dovecot")));
    parts.extend(at_most.map(|most| format!("≤ {most}")));
    parts.join(", ")
}

/// One row as a line, for who watches.
pub(super) fn line(row: &Row, result: &Medians) -> String {
    let [null, dovecot, ours] = result.map(number);
    format!(
        "null {null}, Dovecot {dovecot}, restante {ours} {}",
        row.unit
    )
}

/// The whole file.
pub(super) fn markdown(
    results: &[(&Row, Medians)],
    versions: &str,
    runs: usize,
    words: &[&str],
) -> String {
    let mut text = format!(
        "# Benchmarks\n\n\
         `cargo xtask bench server{}{}` on {}, {} {versions}; {runs} runs each, everyone in turn, the median counts.\n\n\
         Dovecot runs as its documentation advises for speed (`xtask/src/dovecot.conf`), on Maildir. *null* is a server\n\
         that answers from memory and stores nothing: the ceiling of the harness, which takes its share of the same\n\
         processors. Everyone has the same messages, the same password hashes (SHA512-CRYPT), a P-256 certificate, and\n\
         16 connections at a time in the session rows, over 2,000 users. Memory is the growth of the proportional set\n\
         size of all processes over {IDLE} connections. The first login after a restart checks a password hash.\n\
         The last two columns are how many times better than the null server and Dovecot restante is.\n\n\
         | what | unit | null | Dovecot | restante | goal | reached | of null | of Dovecot |\n\
         |---|---|---:|---:|---:|---|---|---:|---:|\n",
        if words.is_empty() { "" } else { " " },
        words.join(" "),
        machine(),
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .map(|k| format!("Linux {};", k.trim()))
            .unwrap_or_default(),
    );
    for (row, result) in results {
        let [null, dovecot, ours] = *result;
        let more = row.what.more_is_better();
        let goal = goal(row);
        let verdict = match (goal.is_empty(), reached(row, result)) {
            (true, _) => "",
            (false, true) => "yes",
            (false, false) => "**no**",
        };
        let times = |other| {
            ratio(ours, other, more).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        // Writing to a String cannot fail.
        let _written = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {goal} | {verdict} | {} | {} |",
            row.title,
            row.unit,
            number(null),
            number(dovecot),
            number(ours),
            times(null),
            times(dovecot),
        );
    }
    text
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gib = kib.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) >> 20;
    format!(
        "{cores} × {}, {gib} GiB",
        model.map_or("unknown processor", |(_, name)| name)
    )
}
