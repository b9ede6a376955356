//! The commands of `docs/format.md`, as they stand there, with nothing but `zstd`, `sqlite3` and the
//! shell's usual tools.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{LIMIT, USER, text, with_mail};
use crate::process::run;
use crate::program::Program;
use crate::{Fallible, fail, workspace};

/// All that may be used.
const TOOLS: &[&str] = &[
    "zstd", "zstdcat", "sqlite3", "sh", "cat", "grep", "cut", "sed", "wc", "paste", "tail", "head",
    "awk", "ls", "mkdir", "printf", "od", "tr",
];

/// The blocks of shell commands on the page, in their order.
fn commands() -> Fallible<Vec<String>> {
    let page = fs::read_to_string(workspace().join("docs/format.md"))?;
    let blocks = page.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("\n```").next());
    Ok(blocks.map(str::to_owned).collect())
}

fn tools(folder: &Path) -> Fallible<()> {
    fs::create_dir(folder)?;
    for tool in TOOLS {
        let found = ["/usr/bin", "/bin"]
            .iter()
            .map(|at| Path::new(at).join(tool));
        let found = found.into_iter().find(|path| path.exists());
        symlink(
            found.ok_or(format!("{tool} is missing"))?,
            folder.join(tool),
        )?;
    }
    Ok(())
}

/// How many messages an mbox has.
fn count(path: &Path) -> Fallible<usize> {
    let bytes = fs::read(path)?;
    let starts = memchr::memmem::find_iter(&bytes, b"\nFrom 0").count();
    Ok(starts + usize::from(bytes.starts_with(b"From ")))
}

fn by_hand(work: &Path, block: &str, environment: &[(&str, String)]) -> Fallible<()> {
    let mut command = Command::new("sh");
    command.args(["-e", "-u", "-c", block]).current_dir(work);
    command.env_clear().env("PATH", work.join("tools"));
    command.envs(environment.iter().map(|(n, v)| (n, v)));
    drop(run(&mut command, b"", LIMIT)?.ok("the commands of docs/format.md")?);
    Ok(())
}

pub(super) fn recovery(binary: &Path, quick: bool) -> Fallible<()> {
    let program = with_mail(binary, "by-hand", if quick { 40 } else { 200 })?;
    let messages = program.count(USER, false)?;
    program.tell(&["backup", &text(&program.path("backups"))?], "")?;
    let work = program.path("work");
    fs::create_dir(&work)?;
    tools(&work.join("tools"))?;
    let damaged = damage(&program)?;
    let environment = [
        ("ARCHIVE", text(&program.path("data"))?),
        ("BACKUP", text(&program.path("backups"))?),
        ("DAMAGED", damaged),
    ];
    for block in commands()? {
        by_hand(&work, &block, &environment)?;
    }
    let found = |name: &str| count(&work.join(name));
    let own = format!("mailbox-{USER}.mbox");
    let whole = [found("all.mbox")?, found(&own)?, found("restored.mbox")?];
    if whole != [messages; 3] {
        return fail(format!(
            "of {messages} messages {whole:?} were recovered by hand"
        ));
    }
    let salvaged = found("salvaged.mbox")?;
    let named = fs::read_to_string(work.join("damaged.txt"))?
        .lines()
        .count();
    if (salvaged, named) != (messages - 1, 1) {
        return fail(format!(
            "of a pack with one damaged message {salvaged} of {messages} were recovered, {named} named"
        ));
    }
    let sound = fs::read_to_string(work.join("restored.txt"))?;
    if sound.trim() != "ok" {
        return fail(format!("state.db put together by hand: {sound}"));
    }
    same_mail(&program, &work)
}

/// A copy of the one pack in which a message's frame does not begin as one.
fn damage(program: &Program) -> Fallible<String> {
    let pack = program.path("data/packs/000001.mbox.zst");
    let mut bytes = fs::read(&pack)?;
    let starts: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\x52\x2a\x4d\x18").collect();
    let largest = starts.windows(2).max_by_key(|pair| pair[1] - pair[0]);
    let largest = largest.ok_or("a pack without messages")?;
    // Other octets may be wrong without zstd's noticing, as frames have no checksum of their own.
    let frame = memchr::memmem::find(&bytes[largest[0]..], b"\x28\xb5\x2f\xfd");
    let frame = largest[0] + frame.ok_or("a record without a frame")?;
    bytes[frame] ^= 0xff;
    let copy = program.path("damaged.mbox.zst");
    fs::write(&copy, bytes)?;
    text(&copy)
}

/// What the program exports and what was recovered by hand hold the same messages.
fn same_mail(program: &Program, work: &Path) -> Fallible<()> {
    let listed = program.tell(&["list", "--json"], "")?.out;
    let listed = String::from_utf8(listed)?;
    let ids: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split("\"id\":\"").nth(1)?.split('"').next())
        .collect();
    let mbox = fs::read(work.join("all.mbox"))?;
    let missing = ids
        .iter()
        .filter(|id| memchr::memmem::find(&mbox, format!("From {id}@").as_bytes()).is_none());
    match missing.count() {
        0 if !ids.is_empty() => Ok(()),
        missing => fail(format!(
            "{missing} of {} ids are not in the mbox",
            ids.len()
        )),
    }
}
