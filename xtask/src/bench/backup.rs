//! `cargo xtask bench backup`: ours beside `cp`, `b3sum`, restic and borg, on the same archive.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::mailset::Mailbox;
use super::table::median;
use super::{Plan, machine};
use crate::process::run as run_program;
use crate::program::Program;
use crate::{Fallible, steps, workspace};

pub(super) const ROWS: &[&str] = &["backup"];

const USER: &str = "ann";
const LIMIT: Duration = Duration::from_secs(1800);
/// What comes in between two backups.
const NEW: usize = 100;

/// Seconds of each run, by what was done.
#[derive(Default)]
struct Times {
    full: Vec<f64>,
    cp: Vec<f64>,
    verify: Vec<f64>,
    b3sum: Vec<f64>,
    again: Vec<f64>,
    restic: [Vec<f64>; 3],
    borg: [Vec<f64>; 3],
}

struct World {
    program: Program,
    messages: usize,
    octets: u64,
    next: usize,
    set: Mailbox,
}

/// Runs what was asked for, prints the table and may write it down.
pub(super) fn run(plan: &Plan, words: &[&str]) -> Fallible<()> {
    let binary = steps::release()?;
    let before = machine::load_average();
    println!("bench: load average {before}");
    let mut world = World::new(&binary, if plan.quick { 10_000 } else { 100_000 })?;
    let mut times = Times::default();
    for turn in 0..plan.runs {
        println!("  run {} of {}", turn + 1, plan.runs);
        world.once(&mut times)?;
    }
    let load = format!("{before} before, {} after", machine::load_average());
    let page = page(
        plan,
        words,
        &world,
        &times,
        &machine::describe(&binary),
        &load,
    );
    println!("\n{page}");
    if plan.write {
        super::write_part(&workspace().join("docs/benchmarks.md"), &page)?;
    }
    Ok(())
}

fn timed(command: &mut Command, what: &str) -> Fallible<f64> {
    let begun = Instant::now();
    drop(run_program(command, b"", LIMIT)?.ok(what)?);
    Ok(begun.elapsed().as_secs_f64())
}

/// A program with the shell's `sync` behind it: as durable as ours.
fn durable(words: &[&str], at: &Path) -> Command {
    let mut command = Command::new("sh");
    let quoted: Vec<String> = words.iter().map(|w| format!("'{w}'")).collect();
    command.args([
        "-c",
        &format!("{} && sync -f '{}'", quoted.join(" "), at.display()),
    ]);
    command
}

impl World {
    fn new(binary: &Path, messages: usize) -> Fallible<Self> {
        let program = Program::new(binary, "bench-backup")?;
        program.add_user(USER)?;
        let mut world = Self {
            program,
            messages,
            octets: 0,
            next: 0,
            set: Mailbox::new(USER, messages + 1_000, 1 << 44),
        };
        world.import(messages)?;
        for entry in fs::read_dir(world.program.path("data/packs"))? {
            world.octets += entry?.metadata()?.len();
        }
        Ok(world)
    }

    fn import(&mut self, count: usize) -> Fallible<()> {
        let path = self.program.path("new.mbox");
        let mut file = std::io::BufWriter::new(fs::File::create(&path)?);
        for index in self.next..self.next + count {
            file.write_all(b"From a@example.net Thu Jan  1 00:00:00 1970\n")?;
            file.write_all(&super::mailset::without_cr(&self.set.message(index)))?;
            file.write_all(b"\n")?;
        }
        file.flush()?;
        self.next += count;
        let mut command = self.program.command(&["import", "--into", USER]);
        timed(command.arg(&path), "restante import")?;
        Ok(fs::remove_file(path)?)
    }

    fn ours(&self, words: &[&str]) -> Fallible<f64> {
        timed(
            &mut self.program.command(words),
            &format!("restante {}", words[0]),
        )
    }

    /// Everything once, in turns, each with the page cache as warm as for the others.
    fn once(&mut self, times: &mut Times) -> Fallible<()> {
        let packs = self.program.path("data/packs");
        let packs = packs.to_str().ok_or("a path that is no UTF-8")?.to_owned();
        let to = |name: &str| -> Fallible<PathBuf> {
            let path = self.program.path(name);
            let _absent = fs::remove_dir_all(&path);
            Ok(path)
        };
        let backups = to("backups")?;
        let name = backups
            .to_str()
            .ok_or("a path that is no UTF-8")?
            .to_owned();
        let all: Vec<PathBuf> = fs::read_dir(&packs)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Fallible<_>>()?;
        timed(Command::new("cat").args(&all), "cat")?;
        let copy = to("copy")?;
        fs::create_dir(&copy)?;
        let words = ["cp", "-r", &packs, copy.to_str().unwrap_or_default()];
        times.cp.push(timed(&mut durable(&words, &copy), "cp")?);
        fs::remove_dir_all(&copy)?;
        times.full.push(self.ours(&["backup", "--anew", &name])?);
        times
            .b3sum
            .push(timed(Command::new("b3sum").args(&all), "b3sum")?);
        times.verify.push(self.ours_only_backup(&name)?);
        let (restic, borg) = (to("restic")?, to("borg")?);
        let mut peers = [
            restic_commands(&restic, &packs),
            borg_commands(&borg, &packs),
        ];
        for (peer, into) in peers.iter_mut().zip([&mut times.restic, &mut times.borg]) {
            timed(&mut peer[0], "init")?;
            into[0].push(timed(&mut peer[1], "a first backup")?);
            into[1].push(timed(&mut peer[2], "a check")?);
        }
        self.import(NEW)?;
        times.again.push(self.ours(&["backup", &name])?);
        let mut again = [
            restic_commands(&restic, &packs),
            borg_commands(&borg, &packs),
        ];
        for (peer, into) in again.iter_mut().zip([&mut times.restic, &mut times.borg]) {
            into[2].push(timed(&mut peer[3], "a second backup")?);
        }
        for folder in [backups, restic, borg] {
            fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    /// `verify DEST` looks at the archive first; only what it takes longer is for the backup.
    fn ours_only_backup(&self, name: &str) -> Fallible<f64> {
        let both = self.ours(&["verify", name])?;
        let archive = self.ours(&["verify"])?;
        Ok((both - archive).max(0.001))
    }
}

/// init, a first backup, a check of all data, a second backup.
fn restic_commands(repository: &Path, packs: &str) -> [Command; 4] {
    let restic = |words: &[&str]| {
        let mut command = Command::new("restic");
        command.arg("-r").arg(repository).args(words);
        command
            .env("RESTIC_PASSWORD", "x")
            .env("RESTIC_CACHE_DIR", repository.join("cache"));
        command
    };
    [
        restic(&["init"]),
        restic(&["backup", packs]),
        restic(&["check", "--read-data"]),
        restic(&["backup", packs]),
    ]
}

fn borg_commands(repository: &Path, packs: &str) -> [Command; 4] {
    let borg = |words: &[&str], archive: &str| {
        let mut command = Command::new("borg");
        command
            .args(words)
            .arg(format!("{}{archive}", repository.display()));
        command.env("BORG_BASE_DIR", repository.with_extension("base"));
        command.env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes");
        command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command
    };
    let mut first = borg(&["create"], "::1");
    first.arg(packs);
    let mut second = borg(&["create"], "::2");
    second.arg(packs);
    [
        borg(&["init", "-e", "none"], ""),
        first,
        borg(&["check", "--verify-data"], ""),
        second,
    ]
}

fn page(
    plan: &Plan,
    words: &[&str],
    world: &World,
    times: &Times,
    machine: &str,
    load: &str,
) -> String {
    let command: Vec<&str> = words.iter().copied().filter(|&w| w != "--write").collect();
    let command = ["cargo xtask bench backup", &command.join(" ")].join(" ");
    let mega = world.octets as f64 / 1e6;
    let mut table = String::from(
        "| what | ours | beside | restic | borg | goal | reached |\n|---|---:|---:|---:|---:|---|---|\n",
    );
    let rate = |seconds: &[f64]| mega / median(seconds);
    let seconds = |of: &[f64]| format!("{:.2} s", median(of));
    let rows = [
        (
            "full backup, read back",
            &times.full,
            &times.cp,
            "`cp`, synced",
            0,
        ),
        (
            "check of all that is stored",
            &times.verify,
            &times.b3sum,
            "`b3sum`",
            1,
        ),
    ];
    for (what, ours, beside, name, at) in rows {
        let share = rate(ours) / rate(beside);
        let reached = if share >= 0.6 { "yes" } else { "**no**" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {what} | {} ({:.0} MB/s) | {name} {} ({:.0} MB/s) | {} | {} | ≥ 0.6 × its rate: {share:.2} | {reached} |",
            seconds(ours),
            rate(ours),
            seconds(beside),
            rate(beside),
            seconds(&times.restic[at]),
            seconds(&times.borg[at]),
        );
    }
    let again = median(&times.again);
    let _ = writeln!(
        table,
        "| second backup, {NEW} new messages | {again:.2} s | – | {} | {} | ≤ 2 s | {} |",
        seconds(&times.restic[2]),
        seconds(&times.borg[2]),
        if again <= 2.0 { "yes" } else { "**no**" }
    );
    format!(
        "# Benchmarks of backups\n\n\
         `{}`: median of {} runs; {} messages, {mega:.0} MB of packs.\n\n\
         {machine}- load average: {load}\n\n{table}\n{}",
        command.trim(),
        plan.runs,
        world.messages,
        include_str!("backup.md"),
    )
}
