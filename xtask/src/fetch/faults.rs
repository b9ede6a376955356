//! A disk that is full, and one that fails, under the whole program: a small file system of its own, and
//! system calls that strace lets fail. After each: what is gone from the server is in the archive, once,
//! octet for octet; and when the disk is well again, the next fetch finishes the job.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::LIMIT;
use super::crash::{ACCOUNT, World};
use crate::process::{self, Running};
use crate::tally::Cases;
use crate::{Fallible, fail, scratch};

/// EX_IOERR: a disk failed or is full.
const IO_ERROR: i32 = 74;

/// Kibibytes of the small disks: too few to begin with, and then too few at one place or another.
const DISKS_KIB: [u32; 5] = [256, 768, 1_600, 3_000, 4_500];
/// When there is room again.
const ROOM_KIB: u32 = 256 * 1024;

/// What fails, and from which call on: those before belong to the start of any program. Packs and databases
/// are written by pwrite; write is for pipes and for waking threads, which no disk fails.
const CALLS: [(&str, u64); 4] = [
    ("fdatasync", 1),
    ("fsync", 1),
    ("pwrite64", 1),
    ("openat", 12),
];

/// All cases.
pub(super) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    let disks = if quick { &DISKS_KIB[1..3] } else { &DISKS_KIB };
    let name = format!(
        "{} disks that fill up under a fetch that deletes",
        disks.len()
    );
    cases.case(&name, || full(binary, disks));
    let rounds = if quick { 2 } else { 6 };
    for (call, from) in CALLS {
        let name = format!("{rounds} times EIO from {call} under a fetch that deletes");
        cases.case(&name, || failing(binary, call, from, rounds));
    }
}

/// A program whose system calls go through another one: a script in a folder of its own.
struct Wrapped {
    folder: tempfile::TempDir,
}

impl Wrapped {
    fn new() -> Fallible<Self> {
        Ok(Self {
            folder: scratch("wrapped")?,
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("restante")
    }

    /// What `sh` runs; `"$@"` are the program's arguments.
    fn script(&self, line: &str) -> Fallible<()> {
        fs::write(self.path(), format!("#!/bin/sh\n{line}\n"))?;
        Ok(fs::set_permissions(
            self.path(),
            fs::Permissions::from_mode(0o755),
        )?)
    }
}

/// A mount namespace that lasts as long as this does, and its small file systems with it.
struct Namespace(Running);

impl Namespace {
    fn new(log: &Path) -> Fallible<Self> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sleep", "600"]);
        Ok(Self(Running::start(&mut command, "unshare", log)?))
    }

    fn command(&self) -> String {
        format!("nsenter --mount --target {}", self.0.pid())
    }

    fn run(&self, words: &str) -> Fallible<()> {
        let line = format!("{} {words}", self.command());
        let mut sh = Command::new("sh");
        sh.args(["-c", &line]);
        process::run(&mut sh, b"", Duration::from_secs(20))?
            .ok(words)
            .map(drop)
    }
}

fn full(binary: &Path, disks: &[u32]) -> Fallible<()> {
    let wrapped = Wrapped::new()?;
    let namespace = Namespace::new(&wrapped.folder.path().join("namespace.log"))?;
    wrapped.script(&format!(
        "exec {} -- {} \"$@\"",
        namespace.command(),
        binary.display()
    ))?;
    let mut stopped = 0;
    for &kib in disks {
        let mut world = World::new(&wrapped.path())?;
        // What is refused politely, before the disk is full, is another matter.
        world.program.configure("[store]\nmin_free = \"0\"\n")?;
        world.through(world.server.pop3)?;
        world.incompressible_mail(60)?;
        let data = world.program.path("data");
        fs::create_dir(&data)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
        let data = data.display();
        namespace.run(&format!(
            "mount -t tmpfs -o size={kib}k,mode=0700 tmpfs {data}"
        ))?;
        let code = fetched(&world)?;
        if code != Some(IO_ERROR) {
            return fail(format!(
                "on a disk of {kib} KiB the fetch ended with {code:?}"
            ));
        }
        stopped += usize::from(world.deleted()?.len() < 60);
        namespace.run(&format!("mount -o remount,size={ROOM_KIB}k {data}"))?;
        world.safe()?;
        world.finish()?;
        namespace.run(&format!("umount {data}"))?;
    }
    if stopped == 0 {
        return fail("no disk was full before all was fetched: the test shows nothing");
    }
    Ok(())
}

/// Its exit code; `None` if a signal ended it.
fn fetched(world: &World) -> Fallible<Option<i32>> {
    let mut command = world.program.command(&["fetch", ACCOUNT]);
    let said = process::run(&mut command, b"", LIMIT)?;
    Ok(said.status.code())
}

fn failing(binary: &Path, call: &str, from: u64, rounds: usize) -> Fallible<()> {
    let wrapped = Wrapped::new()?;
    let plain = format!("exec {} \"$@\"", binary.display());
    wrapped.script(&plain)?;
    let mut world = World::new(&wrapped.path())?;
    world.through(world.server.pop3)?;
    let calls = calls_of_a_fetch(&mut world, &wrapped, binary, call)?;
    let mut failed = 0;
    for _ in 0..rounds {
        world.new_mail()?;
        let when = from + world.random.below(calls.saturating_sub(from) + 1);
        wrapped.script(&format!(
            "exec strace -f -qq -o /dev/null -e trace={call} -e inject={call}:error=EIO:when={when} {} \"$@\"",
            binary.display()
        ))?;
        let code = fetched(&world)?;
        failed += usize::from(code != Some(0));
        wrapped.script(&plain)?;
        world.safe()?;
    }
    println!("    {failed} of {rounds} fetches failed; up to {calls} calls of {call} in a thread");
    if call == "fdatasync" && failed == 0 {
        return fail("no fetch failed though the disk did: the test shows nothing");
    }
    world.finish()
}

/// How often one thread of a fetch calls it, at most: strace counts for each thread.
fn calls_of_a_fetch(
    world: &mut World,
    wrapped: &Wrapped,
    binary: &Path,
    call: &str,
) -> Fallible<u64> {
    world.new_mail()?;
    let log = wrapped.folder.path().join("calls");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-e"])
        .arg(format!("trace={call}"))
        .arg("-o")
        .arg(&log)
        .arg(binary);
    let ours = world.program.command(&["fetch", ACCOUNT]);
    command.args(ours.get_args()).stdin(Stdio::null());
    for (name, value) in ours.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    drop(process::run(&mut command, b"", LIMIT)?.ok("strace restante fetch")?);
    let mut of_thread: HashMap<String, u64> = HashMap::new();
    for line in fs::read_to_string(log)?.lines() {
        let thread = line.split_whitespace().next().unwrap_or_default();
        if !line.contains(" resumed>") {
            *of_thread.entry(thread.to_owned()).or_default() += 1;
        }
    }
    Ok(of_thread.into_values().max().unwrap_or_default())
}
