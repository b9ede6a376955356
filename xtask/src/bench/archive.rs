//! `cargo xtask bench archive`: how fast mail is taken in, indexed, found and shown, and what it takes to
//! keep it; notmuch beside, on the same mail in the same run.

mod pages;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::table::median;
use super::{Plan, machine};
use crate::process::{most_resident, run as run_program};
use crate::program::Program;
use crate::{Fallible, fail, scratch, steps, workspace};
use pages::Times;

pub(super) const ROWS: &[&str] = &["archive"];

const USER: &str = "ann";
const LIMIT: Duration = Duration::from_secs(3600);
/// Times that a command looks something up.
const RUNS: usize = 11;

/// What is looked for: its name in the example `measure`, as notmuch has it, and the most milliseconds.
const QUERIES: [(&str, &str, f64); 5] = [
    ("a rare word", "quux777", 10.0),
    ("a common word", "the", 10.0),
    ("a phrase", "\"the following\"", 10.0),
    ("a prefix", "con*", 60.0),
    (
        "sender and date",
        "from:hotmail.com date:2000-05..2000-05",
        10.0,
    ),
];

/// A query's milliseconds: in the process, by our command, by notmuch's; and how many there are.
struct Found {
    what: &'static str,
    goal: f64,
    found: f64,
    within: f64,
    ours: f64,
    notmuch: f64,
    notmuch_found: f64,
}

struct Measured {
    messages: usize,
    /// JSON lines of the example `measure`.
    told: String,
    import_seconds: f64,
    mail_octets: u64,
    /// What the file system gives the Maildir, in octets.
    maildir_disk: u64,
    list: Times,
    search: Times,
    message: Times,
    serve_octets: u64,
    notmuch_seconds: f64,
    notmuch_octets: u64,
    queries: Vec<Found>,
}

/// Runs what was asked for, prints the table and may write it down.
pub(super) fn run(plan: &Plan, words: &[&str]) -> Fallible<()> {
    let binary = steps::release()?;
    let measure = steps::release_example("restante-archive", "measure")?;
    let before = machine::load_average();
    println!("bench: load average {before}");
    let messages = if plan.quick { 10_000 } else { 100_000 };
    let measured = measured(&binary, &measure, messages)?;
    let load = format!("{before} before, {} after", machine::load_average());
    let page = page(words, &measured, &machine::describe(&binary), &load)?;
    println!("\n{page}");
    if plan.write {
        super::write_part(&workspace().join("docs/benchmarks.md"), &page)?;
    }
    Ok(())
}

fn measured(binary: &Path, measure: &Path, messages: usize) -> Fallible<Measured> {
    let folder = scratch("bench-archive")?;
    println!("  the library, {messages} messages");
    let mut command = Command::new(measure);
    command.arg(folder.path()).arg(messages.to_string());
    let said = run_program(&mut command, b"", LIMIT)?.ok("the example measure")?;
    let told = String::from_utf8(said.out)?;
    let maildir = folder.path().join("Maildir");
    println!("  the program");
    let mut program = Program::new(binary, "bench-archive-program")?;
    program.add_user(USER)?;
    let mut import = program.command(&["import", "--into", USER]);
    let import_seconds = timed(import.arg(&maildir), "restante import")?;
    // The first search makes the index.
    timed(
        &mut program.command(&["search", "quux777"]),
        "restante search",
    )?;
    program.start()?;
    let [list, search, message] = pages::measure(program.reader, USER)?;
    let serve_octets = most_resident(program.daemon()?.pid());
    program.stop()?;
    println!("  notmuch");
    let notmuch = Notmuch::new(folder.path(), &maildir)?;
    let notmuch_seconds = timed(&mut notmuch.command(&["new", "--quiet"]), "notmuch new")?;
    let mut queries = Vec::new();
    for (what, query, goal) in QUERIES {
        queries.push(found(&told, &program, &notmuch, what, query, goal)?);
    }
    let (mail_octets, maildir_disk) = size(&maildir.join("cur"))?;
    Ok(Measured {
        messages,
        told,
        import_seconds,
        mail_octets,
        maildir_disk,
        list,
        search,
        message,
        serve_octets,
        notmuch_seconds,
        notmuch_octets: size(&maildir.join(".notmuch/xapian"))?.0,
        queries,
    })
}

/// Looks something up in every way.
fn found(
    told: &str,
    program: &Program,
    notmuch: &Notmuch,
    what: &'static str,
    query: &str,
    goal: f64,
) -> Fallible<Found> {
    let line = line(told, &format!("\"name\":\"{what}\""))?;
    // Ours needs no end of a month that is named as such.
    let ours = query.replace("..2000-05", "");
    let counted = run_program(&mut notmuch.command(&["count", query]), b"", LIMIT)?;
    let counted = String::from_utf8(counted.ok("notmuch count")?.out)?;
    let often = |command: &mut dyn FnMut() -> Command| -> Fallible<f64> {
        let times: Fallible<Vec<f64>> = (0..RUNS)
            .map(|_| Ok(timed(&mut command(), what)? * 1000.0))
            .collect();
        Ok(median(&times?))
    };
    Ok(Found {
        what,
        goal,
        found: number(line, "found")?,
        within: number(line, "median_ms")?,
        ours: often(&mut || program.command(&["search", "--limit", "50", "--json", &ours]))?,
        notmuch: often(&mut || {
            notmuch.command(&["search", "--limit=50", "--output=summary", query])
        })?,
        notmuch_found: counted.trim().parse()?,
    })
}

/// notmuch on a Maildir, with a configuration of its own.
struct Notmuch {
    configuration: PathBuf,
}

impl Notmuch {
    fn new(folder: &Path, maildir: &Path) -> Fallible<Self> {
        let configuration = folder.join("notmuch-config");
        let text = format!(
            "[database]\npath={}\n[user]\nname=x\nprimary_email=x@example.org\n\
             [new]\ntags=new\n[maildir]\nsynchronize_flags=false\n",
            maildir.display()
        );
        fs::write(&configuration, text)?;
        Ok(Self { configuration })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("notmuch");
        command
            .args(words)
            .env("NOTMUCH_CONFIG", &self.configuration);
        command
    }
}

fn timed(command: &mut Command, what: &str) -> Fallible<f64> {
    let begun = Instant::now();
    drop(run_program(command, b"", LIMIT)?.ok(what)?);
    Ok(begun.elapsed().as_secs_f64())
}

/// Octets of the files in a folder, and octets that the disk gives them.
fn size(folder: &Path) -> Fallible<(u64, u64)> {
    let (mut octets, mut disk) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let found = entry?.metadata()?;
        octets += found.len();
        disk += found.blocks() * 512;
    }
    Ok((octets, disk))
}

fn line<'t>(told: &'t str, with: &str) -> Fallible<&'t str> {
    let found = told.lines().find(|line| line.contains(with));
    found.ok_or_else(|| format!("measure said nothing of {with}:\n{told}").into())
}

/// A number of a JSON line.
fn number(line: &str, name: &str) -> Fallible<f64> {
    let Some((_, after)) = line.split_once(&format!("\"{name}\":")) else {
        return fail(format!("measure said no {name}: {line}"));
    };
    let end = after.find([',', '}']).unwrap_or(after.len());
    Ok(after[..end].trim().parse()?)
}

/// A row: what, ours, notmuch, the goal, and whether it is reached.
fn row(table: &mut String, what: &str, ours: &str, notmuch: &str, goal: Option<(String, bool)>) {
    let (goal, reached) = match goal {
        Some((goal, true)) => (goal, "yes"),
        Some((goal, false)) => (goal, "**no**"),
        None => ("–".to_owned(), "–"),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        table,
        "| {what} | {ours} | {notmuch} | {goal} | {reached} |"
    );
}

fn page(words: &[&str], of: &Measured, machine: &str, load: &str) -> Fallible<String> {
    let command: Vec<&str> = words.iter().copied().filter(|&w| w != "--write").collect();
    let command = ["cargo xtask bench archive", &command.join(" ")].join(" ");
    let mut table =
        String::from("| what | ours | notmuch | goal | reached |\n|---|---:|---:|---|---|\n");
    rates(of, &mut table)?;
    sizes(of, &mut table)?;
    for (what, times) in [
        ("page: the list", &of.list),
        ("page: what a search finds", &of.search),
        ("page: a message", &of.message),
    ] {
        let ours = format!("{:.1} ms, p95 {:.1} ms", times.median, times.p95);
        let goal = ("≤ 30 ms".to_owned(), times.median <= 30.0);
        row(&mut table, what, &ours, "–", Some(goal));
    }
    let indexing = line(&of.told, "\"what\":\"memory\"")?;
    let indexing = number(indexing, "most_resident_kib")? * 1024.0;
    for (what, octets) in [
        ("most memory, storing and indexing", indexing),
        (
            "most memory of `serve`, showing pages",
            of.serve_octets as f64,
        ),
    ] {
        let memory = format!("{:.0} MB", octets / 1e6);
        row(&mut table, what, &memory, "–", None);
    }
    let mut queries = String::from(
        "| query | ours, in the process | ours, a command | notmuch, a command | found: ours, notmuch | goal, in the process | reached |\n|---|---:|---:|---:|---:|---|---|\n",
    );
    for q in &of.queries {
        let reached = if q.within <= q.goal { "yes" } else { "**no**" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            queries,
            "| {} | {:.2} ms | {:.1} ms | {:.1} ms | {}, {} | ≤ {} ms | {reached} |",
            q.what, q.within, q.ours, q.notmuch, q.found, q.notmuch_found, q.goal,
        );
    }
    Ok(format!(
        "# Benchmarks of the archive\n\n\
         `{}`: {} distinct messages, {:.0} MB.\n\n\
         {machine}- notmuch: {}\n- load average: {load}\n\n{table}\n{queries}\n{}",
        command.trim(),
        of.messages,
        of.mail_octets as f64 / 1e6,
        machine::says("notmuch", &["--version"]),
        include_str!("archive.md"),
    ))
}

fn rates(of: &Measured, table: &mut String) -> Fallible<()> {
    let mega = of.mail_octets as f64 / 1e6;
    let rate = |seconds: f64| {
        format!(
            "{:.0} messages/s, {:.1} MB/s",
            of.messages as f64 / seconds,
            mega / seconds
        )
    };
    row(
        table,
        "import of a Maildir, durable",
        &rate(of.import_seconds),
        "–",
        None,
    );
    let index = line(&of.told, "\"what\":\"index\"")?;
    let text = number(index, "text_mb_per_s")?;
    row(
        table,
        "index",
        &rate(number(index, "seconds")?),
        &rate(of.notmuch_seconds),
        None,
    );
    let goal = ("≥ 12 MB/s".to_owned(), text >= 12.0);
    row(
        table,
        "index, of readable text",
        &format!("{text:.1} MB/s"),
        "–",
        Some(goal),
    );
    Ok(())
}

fn sizes(of: &Measured, table: &mut String) -> Fallible<()> {
    let line = line(&of.told, "\"what\":\"size\"")?;
    let mail = of.mail_octets as f64;
    let kept = number(line, "packs")? + number(line, "index")?;
    let (search, text) = (number(line, "search")?, number(line, "text")?);
    let disk = of.maildir_disk as f64;
    row(
        table,
        "mail on disk, of its octets",
        &format!("{:.2}", kept / mail),
        &format!("Maildir {:.2}", disk / mail),
        Some(("≤ 0.55".to_owned(), kept <= 0.55 * mail)),
    );
    row(
        table,
        "search index, of the readable text",
        &format!("{:.2}", search / text),
        &format!("{:.2}", of.notmuch_octets as f64 / text),
        Some(("≤ 0.5".to_owned(), search <= 0.5 * text)),
    );
    let mega = |octets: f64| format!("{:.0} MB", octets / 1e6);
    row(
        table,
        "search index",
        &mega(search),
        &mega(of.notmuch_octets as f64),
        None,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_lines_of_measure() {
        let told = "{\"what\":\"a\",\"n\":1}\n{\"n\":2.5,\"what\":\"b\"}";
        let of = |with: &str| line(told, with).and_then(|line| number(line, "n"));
        assert_eq!(of("\"what\":\"a\"").ok(), Some(1.0));
        assert_eq!(of("\"what\":\"b\"").ok(), Some(2.5));
        assert!(of("\"what\":\"c\"").is_err());
        assert!(number(told, "m").is_err());
    }
}
