//! Octets that rot, in a backup and in the archive: all are named, and cost their own message only.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{LIMIT, Place, USER, text, with_mail};
use crate::program::Program;
use crate::random::{Random, seed};
use crate::tally::Cases;
use crate::{Fallible, fail};

/// All cases.
pub(super) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    let places = if quick { 40 } else { 200 };
    let name = format!("one octet rotten in each of {places} places of a backup");
    cases.case(&name, || backup(binary, places));
    let turns = if quick { 6 } else { 20 };
    let name = format!("{turns} packs damaged, salvaged, and mended from a backup");
    cases.case(&name, || archive(binary, turns));
}

/// All files below a folder.
pub(super) fn files(folder: &Path, found: &mut Vec<PathBuf>) -> Fallible<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn ids(program: &Program, data: &str) -> Fallible<BTreeSet<String>> {
    let said = program.tell(&["list", "--json", "--data", data], "")?;
    let said = String::from_utf8(said.out)?;
    let id = |line: &str| {
        Some(
            line.split("\"id\":\"")
                .nth(1)?
                .split('"')
                .next()?
                .to_owned(),
        )
    };
    Ok(said.lines().filter_map(id).collect())
}

fn backup(binary: &Path, places: usize) -> Fallible<()> {
    let program = with_mail(binary, "rot", 60)?;
    let place = Place {
        name: text(&program.path("backups"))?,
        environment: Vec::new(),
    };
    place.tell(&program, &["backup", &place.name])?;
    let whole = ids(&program, &text(&program.path("data"))?)?;
    let mut objects = Vec::new();
    files(&program.path("backups/objects"), &mut objects)?;
    files(&program.path("backups/generations"), &mut objects)?;
    let total: u64 = objects
        .iter()
        .map(|p| fs::metadata(p).map_or(0, |d| d.len()))
        .sum();
    let seed = seed();
    println!("    seed {seed} (RESTANTE_SEED)");
    let mut random = Random::new(seed);
    let (mut refused, mut skipped) = (0, 0);
    for turn in 0..places {
        let mut at = random.below(total);
        let path = objects.iter().find(|path| {
            let octets = fs::metadata(path).map_or(0, |data| data.len());
            let here = at < octets;
            at -= if here { 0 } else { octets };
            here
        });
        let path = path.ok_or("a place beyond the end")?;
        let before = fs::read(path)?;
        let mut bytes = before.clone();
        bytes[at as usize] ^= 1 << random.below(8);
        fs::write(path, &bytes)?;
        let said = place.run(&program, &["verify", &place.name])?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if said.status.code() != Some(65) || !said.err.contains(&name) {
            return fail(format!("octet {at} of {name}: verify said {}", said.tail()));
        }
        if turn % 10 == 0 {
            let to = text(&program.path(&format!("restored-{turn}")))?;
            let said = place.run(&program, &["restore", &place.name, "--data", &to])?;
            if said.status.code() != Some(65) {
                return fail(format!(
                    "octet {at} of {name}: restore said {}",
                    said.tail()
                ));
            }
            refused += 1;
            if path.parent().is_some_and(|p| p.ends_with("generations"))
                || before.starts_with(b"SQLite")
            {
                fs::write(path, &before)?;
                continue;
            }
            let words = ["restore", &place.name, "--data", &to, "--skip-damaged"];
            place.run(&program, &words)?;
            let lost = whole.difference(&ids(&program, &to)?).count();
            if lost > 1 {
                return fail(format!("octet {at} of {name} cost {lost} messages"));
            }
            drop(program.tell(&["verify", "--data", &to], "")?);
            skipped += 1;
        }
        fs::write(path, &before)?;
    }
    println!(
        "    {places} named by verify; {refused} refused by restore, {skipped} restored without the damaged message"
    );
    place.tell(&program, &["verify", &place.name]).map(drop)
}

/// Flips an octet, cuts the end off, or zeroes a stretch of the archive's pack.
fn archive(binary: &Path, turns: u64) -> Fallible<()> {
    let program = with_mail(binary, "salvage", 60)?;
    let backups = text(&program.path("backups"))?;
    program.tell(&["backup", &backups], "")?;
    let data = program.path("data");
    let whole = ids(&program, &text(&data)?)?;
    let seed = seed();
    println!("    seed {seed} (RESTANTE_SEED)");
    let mut random = Random::new(seed);
    let mut lost_in_all = 0;
    for turn in 0..turns {
        let copy = program.path(&format!("copy-{turn}"));
        let copied = run_cp(&data, &copy)?;
        drop(copied);
        let pack = copy.join("packs/000001.mbox.zst");
        let mut bytes = fs::read(&pack)?;
        let octets = bytes.len() as u64;
        // Not the first record, which makes the mailbox.
        let at = (400 + random.below(octets - 400)) as usize;
        let most = match turn % 3 {
            0 => {
                bytes[at] ^= 1 << random.below(8);
                1
            }
            1 => {
                bytes.truncate(at);
                usize::MAX
            }
            _ => {
                let to = (at + 64).min(bytes.len());
                bytes[at..to].fill(0);
                3
            }
        };
        fs::write(&pack, bytes)?;
        let to = text(&copy)?;
        let mut command = program.command(&["rebuild", "--salvage", "--json", "--data", &to]);
        let said = crate::process::run(&mut command, b"", LIMIT)?;
        let told = String::from_utf8_lossy(&said.out).into_owned();
        let named: BTreeSet<String> = told
            .lines()
            .filter_map(|l| Some(l.split("\"lost\":\"").nth(1)?.split('"').next()?.to_owned()))
            .collect();
        let lost: BTreeSet<String> = whole.difference(&ids(&program, &to)?).cloned().collect();
        if lost != named || lost.len() > most {
            return fail(format!(
                "turn {turn}, octet {at}: {} messages are lost, {} named: {}",
                lost.len(),
                named.len(),
                said.tail()
            ));
        }
        drop(program.tell(&["verify", "--data", &to], "")?);
        program.tell(&["restore", &backups, "--data", &to], "")?;
        drop(program.tell(&["verify", "--data", &to], "")?);
        if ids(&program, &to)? != whole {
            return fail(format!(
                "turn {turn}: the backup did not bring back what was lost"
            ));
        }
        lost_in_all += lost.len();
        fs::remove_dir_all(copy)?;
    }
    println!("    {lost_in_all} messages lost in {turns} turns, each named, each brought back");
    let still = program.count(USER, false)?;
    if still == whole.len() {
        return Ok(());
    }
    fail("the archive that was copied from has changed")
}

fn run_cp(from: &Path, to: &Path) -> Fallible<crate::process::Said> {
    let mut command = std::process::Command::new("cp");
    run_ok(command.arg("-a").arg(from).arg(to))
}

fn run_ok(command: &mut std::process::Command) -> Fallible<crate::process::Said> {
    crate::process::run(command, b"", LIMIT)?.ok("cp")
}
