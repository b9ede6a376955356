//! `cargo xtask test`: everything that has to be green, in the order that fails soonest.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tally::{Cases, Tally};
use crate::{
    Fallible, abuse, archive, backup, crash, devices, fail, fetch, interop, oauth, reader,
    setting_up, setup, target_folder, workspace,
};

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Fewer messages, kills and sessions.
    pub(crate) quick: bool,
    /// The program as people run it stands before the world, not the one of the tests.
    release: bool,
    only: Vec<String>,
}

const STEPS: &[&str] = &[
    "fmt", "clippy", "deny", "docs", "tests", "archive", "oauth", "setup", "interop", "fetch",
    "crash", "devices", "reader", "abuse", "backup", "control",
];

/// Steps that run only when they are named: `control` measures the machine.
const BY_NAME: &[&str] = &["control"];

/// All at once: built for one crate alone, what it depends on has other features and is built anew.
pub(crate) const WORKSPACE_TESTS: &[&str] = &["test", "--workspace", "--locked"];

impl Plan {
    fn parse(words: &[&str]) -> Fallible<Self> {
        let mut plan = Self {
            quick: false,
            release: false,
            only: Vec::new(),
        };
        for &word in words {
            match word {
                "--quick" => plan.quick = true,
                "--release" => plan.release = true,
                step if STEPS.contains(&step) => plan.only.push(step.to_owned()),
                other => {
                    return fail(format!(
                        "there is no step {other}; there are {}",
                        STEPS.join(" ")
                    ));
                }
            }
        }
        Ok(plan)
    }

    fn wants(&self, step: &str) -> bool {
        self.only.is_empty() && !BY_NAME.contains(&step) || self.names(step)
    }

    fn names(&self, step: &str) -> bool {
        self.only.iter().any(|name| name == step)
    }
}

/// Runs the steps; true when all passed.
pub(crate) fn test(words: &[&str]) -> Fallible<bool> {
    let plan = Plan::parse(words)?;
    let mut tally = Tally::default();
    // What takes longest is built from the start, with what the other steps leave over.
    let mut peer = None;
    if plan.only.is_empty() {
        setup::packages()?;
        peer = Some(backup::build_peer()?);
        setup::run()?;
    }
    if plan.wants("fmt") {
        tally.step("fmt", || cargo(&["fmt", "--all", "--check"], &[]));
    }
    if plan.wants("clippy") {
        let arguments = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ];
        tally.step("clippy", || cargo(&arguments, &[]));
    }
    if plan.wants("deny") {
        tally.suite("deny", deny);
    }
    if plan.wants("docs") {
        let arguments = [
            "doc",
            "--workspace",
            "--no-deps",
            "--locked",
            "--document-private-items",
        ];
        tally.step("docs", || {
            cargo(&arguments, &[("RUSTDOCFLAGS", "-D warnings")])
        });
    }
    if plan.wants("tests") {
        tally.suite("tests", cargo_test);
    }
    if plan.wants("archive") {
        tally.suite("archive", archive::run_all);
    }
    if plan.wants("oauth") {
        tally.suite("oauth", oauth::run_all);
    }
    if plan.wants("control") {
        tally.suite("control", |cases| interop::control(plan.quick, cases));
    }
    let against_the_world = [
        "setup", "interop", "fetch", "crash", "devices", "reader", "abuse", "backup",
    ];
    if against_the_world.iter().any(|step| plan.wants(step)) {
        let mut built = None;
        tally.suite("program", |cases| {
            cases.case("build", || {
                built = Some(if plan.release {
                    release()?
                } else {
                    development()?.join("restante")
                });
                Ok(())
            });
        });
        if let Some(program) = built {
            world(&plan, &program, peer, &mut tally);
        }
    }
    Ok(tally.finish())
}

fn world(plan: &Plan, program: &Path, peer: Option<backup::Building>, tally: &mut Tally) {
    if plan.wants("setup") {
        tally.suite("setup", |cases| setting_up::run_all(program, cases));
    }
    if plan.wants("reader") {
        tally.suite("reader", |cases| reader::run_all(program, cases));
    }
    if plan.wants("interop") {
        tally.suite("interop", |cases| interop::run(program, plan.quick, cases));
    }
    if plan.wants("fetch") {
        tally.suite("fetch", |cases| fetch::run_all(program, plan.quick, cases));
    }
    if plan.wants("crash") {
        tally.suite("crash", |cases| crash::run(program, plan.quick, cases));
    }
    if plan.wants("devices") {
        tally.suite("devices", |cases| devices::run_all(program, cases));
    }
    if plan.wants("abuse") {
        tally.suite("abuse", |cases| abuse::run(program, plan.quick, cases));
    }
    if plan.wants("backup") {
        tally.suite("backup", |cases| {
            if let Some(peer) = peer {
                cases.case("Garage, built", || peer.finish());
            }
            backup::run_all(program, plan.quick, cases);
        });
    }
}

/// Builds the program that people run, and says where it is.
pub(crate) fn release() -> Fallible<PathBuf> {
    cargo(&["build", "--release", "--locked", "-p", "restante"], &[])?;
    Ok(target_folder().join("release/restante"))
}

/// Builds an example of a crate as people run the program, and says where it is.
pub(crate) fn release_example(package: &str, name: &str) -> Fallible<PathBuf> {
    cargo(
        &[
            "build",
            "--release",
            "--locked",
            "-p",
            package,
            "--example",
            name,
        ],
        &[],
    )?;
    Ok(target_folder().join("release/examples").join(name))
}

/// The folder with the program and the examples of the tests. They check their arithmetic and their
/// assertions; and as `cargo test` builds them, nothing is built twice.
pub(crate) fn development() -> Fallible<PathBuf> {
    cargo(&[WORKSPACE_TESTS, &["--no-run", "--quiet"]].concat(), &[])?;
    Ok(target_folder().join("debug"))
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Fallible<()> {
    println!("cargo {}", arguments.join(" "));
    let status = Command::new("cargo")
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(workspace())
        .stdin(Stdio::null())
        .status()?;
    if status.success() {
        return Ok(());
    }
    fail(format!("cargo {} failed: {status}", arguments.join(" ")))
}

/// Licences, bans and sources need no network. Advisories do: where their database cannot be
/// fetched, that is said and does not fail, because it tells nothing about this source.
fn deny(cases: &mut Cases) {
    let program = match setup::deny() {
        Ok(program) => program,
        Err(error) => return cases.case("cargo-deny", || Err(error)),
    };
    cases.case("licences, bans, sources", || {
        // What other systems' builds would link is looked at too, and may not be here yet.
        cargo(&["fetch", "--locked"], &[])?;
        let output = Command::new(&program)
            .args([
                "--offline",
                "check",
                "--hide-inclusion-graph",
                "licenses",
                "bans",
                "sources",
            ])
            .current_dir(workspace())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        fail(String::from_utf8_lossy(&output.stderr).into_owned())
    });
    cases.case("advisories", || {
        let output = Command::new(&program)
            .args(["check", "advisories"])
            .current_dir(workspace())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Ok(());
        }
        if said.contains("failed to fetch advisory database") {
            println!(
                "  !!!    NOT CHECKED: the advisory database could not be fetched (no network?)."
            );
            println!("  !!!    Run `cargo deny check advisories` where there is one.");
            return Ok(());
        }
        fail(said)
    });
}

fn cargo_test(cases: &mut Cases) {
    println!("cargo test --workspace --locked --no-fail-fast");
    let (mut passed, mut failed) = (0, 0);
    let result = stream(
        Command::new("cargo")
            .args(WORKSPACE_TESTS)
            .arg("--no-fail-fast"),
        |line| {
            // One line a passed test is not worth reading; a failed one is.
            if let Some(rest) = line.strip_prefix("test result: ") {
                passed += count(rest, " passed");
                failed += count(rest, " failed");
            }
            !(line.starts_with("test ") && line.ends_with("... ok") || line.is_empty())
        },
    );
    cases.count(passed, failed);
    match result {
        // The failed tests are counted already; a build that fails, or a test that aborts, is not.
        Err(_) if failed > 0 => {}
        result => cases.case("cargo test", || result),
    }
}

fn count(line: &str, what: &str) -> u64 {
    let before = line.split(';').find_map(|part| part.strip_suffix(what));
    let word = before.and_then(|text| text.split_whitespace().last());
    word.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Runs a command and prints those lines of its standard output that `show` is true for.
fn stream(command: &mut Command, mut show: impl FnMut(&str) -> bool) -> Fallible<()> {
    let mut child = command
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if show(&line) {
                println!("{line}");
            }
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    fail(format!("cargo test failed: {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_line_that_ends_a_test_run() {
        let line = "FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out";
        assert_eq!((count(line, " passed"), count(line, " failed")), (12, 3));
        assert_eq!(count("nothing", " passed"), 0);
    }

    #[test]
    fn a_misspelt_step_is_refused() {
        assert!(Plan::parse(&["--quick", "interop"]).is_ok());
        assert!(Plan::parse(&["interopp"]).is_err());
    }
}
