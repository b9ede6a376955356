//! `restante fetch` against servers that we did not write, and against kills, cuts and lies.

mod archive;
mod bounds;
mod crash;
mod elsewhere;
mod faults;
mod join;
mod peers;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub(crate) use bounds::peak;

use crate::Fallible;
use crate::process::{Said, run};
use crate::program::{PASSWORD_VARIABLE, Program};
use crate::tally::Cases;

/// The slowest fetch of these tests takes some seconds; one that hangs has failed.
const LIMIT: Duration = Duration::from_secs(180);

/// All cases.
pub(crate) fn run_all(binary: &Path, quick: bool, cases: &mut Cases) {
    peers::run(binary, quick, cases);
    elsewhere::run(binary, quick, cases);
    bounds::run(binary, quick, cases);
    join::run(binary, cases);
    crash::run(binary, quick, cases);
    faults::run(binary, quick, cases);
}

/// `restante fetch URL` with the password of every test; more words may follow.
pub(crate) fn fetch_command(program: &Program, url: &str, more: &[&str]) -> Command {
    let mut words = vec!["fetch", url, "--password-env", PASSWORD_VARIABLE];
    words.extend_from_slice(more);
    program.command(&words)
}

/// Runs it to its end; it has to succeed.
fn fetch(program: &Program, url: &str, more: &[&str]) -> Fallible<Said> {
    run(&mut fetch_command(program, url, more), b"", LIMIT)?.ok(&format!("restante fetch {url}"))
}
