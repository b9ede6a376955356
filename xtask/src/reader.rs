//! The reader in Debian's Chromium, driven by npm's `playwright-core`; what is looked at and typed stands in
//! `reader/browse.mjs`.

mod mail;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{free_port, run};
use crate::program::{PASSWORD, Program};
use crate::tally::Cases;
use crate::{Fallible, fail, oauth, target_folder, workspace};

/// All of it, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(240);

/// What stands beside the installed packages, so that node finds them.
const FILES: &[(&str, &str)] = &[
    ("package.json", include_str!("reader/package.json")),
    (
        "package-lock.json",
        include_str!("reader/package-lock.json"),
    ),
    ("browse.mjs", include_str!("reader/browse.mjs")),
];

/// Where the packages are installed: beside the builds, never in the source.
fn folder() -> PathBuf {
    target_folder().join("xtask/reader")
}

/// Installs what the lock file names, and nothing else: no script of a package is run.
pub(crate) fn install() -> Fallible<()> {
    oauth::npm_ci(
        &folder(),
        FILES,
        include_str!("reader/package-lock.json"),
        "what drives the browser in the reader's tests",
    )
}

/// All cases; the screenshots of the manual are taken on the way.
pub(crate) fn run_all(binary: &Path, cases: &mut Cases) {
    let mut ready = None;
    cases.case("a reader with mail starts", || {
        install()?;
        ready = Some(World::start(binary)?);
        Ok(())
    });
    let Some(world) = ready else { return };
    let mut said = String::new();
    cases.case("the browser goes through the pages", || {
        said = world.browse()?;
        Ok(())
    });
    for line in said.lines() {
        if let Some(name) = line.strip_prefix("ok ") {
            cases.case(name, || Ok(()));
        } else if let Some(name) = line.strip_prefix("not ok ") {
            let (name, why) = name.split_once(": ").unwrap_or((name, "no reason"));
            cases.case(name, || fail(why.to_owned()));
        }
    }
}

struct World {
    program: Program,
    /// Where nobody may ever ask.
    log: u16,
    /// Where one unsubscribes.
    leave: u16,
}

impl World {
    fn start(binary: &Path) -> Fallible<Self> {
        let mut program = Program::new(binary, "reader")?;
        let (log, leave) = (free_port()?, free_port()?);
        for user in ["ann", "bob"] {
            program.add_user(user)?;
        }
        let hostile = workspace().join("crates/archive/tests/hostile.txt");
        let hostile = fs::read_to_string(hostile)?;
        for (user, messages) in [
            ("ann", mail::of_ann(leave)),
            (
                "bob",
                mail::of_bob(&hostile, &format!("http://127.0.0.1:{log}")),
            ),
        ] {
            let folder = program.path(user);
            fs::create_dir_all(&folder)?;
            for (number, message) in messages.iter().enumerate() {
                fs::write(folder.join(format!("{number:03}.eml")), message)?;
            }
            program.import(&folder, user)?;
        }
        leaving(&program)?;
        program.start()?;
        Ok(Self {
            program,
            log,
            leave,
        })
    }

    /// What the script said, a line for each case.
    fn browse(&self) -> Fallible<String> {
        let shots = target_folder().join("xtask/reader/screenshots");
        fs::create_dir_all(&shots)?;
        let mut node = Command::new("node");
        node.arg(folder().join("browse.mjs"))
            .env(
                "READER",
                format!("http://127.0.0.1:{}", self.program.reader),
            )
            .env("PASSWORD", PASSWORD)
            .env("LOG_PORT", self.log.to_string())
            .env("LEAVE_PORT", self.leave.to_string())
            .env("CERTIFICATE", self.program.path("leave.pem"))
            .env("KEY", self.program.path("leave-key.pem"))
            .env("PROFILE", self.program.path("chromium"))
            .env("SHOTS", &shots);
        let said = run(&mut node, b"", LIMIT)?;
        let out = String::from_utf8_lossy(&said.out).into_owned();
        if said.status.success() || out.contains("not ok ") {
            return Ok(out);
        }
        fail(format!("browse.mjs: {}: {}", said.status, said.tail()))
    }
}

/// A certificate for where one unsubscribes. It is no authority: one that is, no client takes for a server's.
fn leaving(program: &Program) -> Fallible<()> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "leave-key.pem", "-out", "leave.pem"])
        .current_dir(program.path(""));
    let said = run(&mut openssl, b"", Duration::from_secs(30))?.ok("openssl req")?;
    drop(said);
    Ok(())
}
