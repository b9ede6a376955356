//! The project's chores: `cargo xtask setup`, `test` and `bench`.
//!
//! Alone in starting other programs' servers. What it starts runs on loopback, in folders of its
//! own, and is ended by the process id that starting it gave.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to who started it"
)]

mod abuse;
mod archive;
mod backup;
mod bench;
// The one corpus of the tests, taken as source: a crate that does not compile must not keep this
// program from saying so.
#[path = "../../crates/testkit/src/corpus.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "written for another crate, which uses all of it"
)]
mod corpus;
mod courier;
mod crash;
mod cyrus;
mod devices;
mod dovecot;
mod fetch;
mod interop;
mod lmtp;
mod mail;
mod oauth;
mod pop;
mod process;
mod program;
// The delaying and cutting network, for the same reason.
#[path = "../../crates/testkit/src/proxy.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "as above")]
mod proxy;
mod random;
mod reader;
mod setting_up;
mod setup;
mod steps;
mod tally;

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// An error is a sentence for who started the chore.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// An error from a sentence.
pub(crate) fn fail<T>(what: impl Into<String>) -> Fallible<T> {
    Err(what.into().into())
}

const USAGE: &str = "\
cargo xtask setup                  install what the tests need, or say what to type
cargo xtask test [--quick] [--release] [STEP]…
                                   fmt, clippy, deny, docs, tests, then the program against the world
                                   --quick: fewer messages, kills and sessions
                                   --release: the program is the one that people run, not the tests'
                                   STEP: fmt clippy deny docs tests archive oauth setup reader interop fetch crash
                                         devices abuse; and only when named: backup control
cargo xtask bench server [--runs N] [--only ROW]… [--quick] [--write]
                                   ours beside Dovecot and a null server; --write: docs/benchmarks.md
cargo xtask bench fetch [--runs N] [--only ROW]… [--quick] [--write]
                                   ours beside mpop, fetchmail and getmail; --write: docs/benchmarks.md
cargo xtask bench backup [--runs N] [--quick] [--write]
                                   ours beside cp, b3sum, restic and borg; --write: docs/benchmarks.md
cargo xtask bench archive [--quick] [--write]
                                   ours beside notmuch; --write: docs/benchmarks.md
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["setup"] => setup::run().map(|()| true),
        ["test", rest @ ..] => steps::test(rest),
        ["bench", rest @ ..] => bench::run(rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where builds go.
pub(crate) fn target_folder() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let folder = set.unwrap_or_else(|| workspace().join("target"));
    std::path::absolute(&folder).unwrap_or(folder)
}

/// A folder on a real disk, gone when dropped: what is durable there is durable.
pub(crate) fn scratch(name: &str) -> Fallible<tempfile::TempDir> {
    let parent = target_folder().join("xtask");
    std::fs::create_dir_all(&parent)?;
    let folder = tempfile::Builder::new().prefix(name).tempdir_in(parent)?;
    // Some peers do nothing as root and must reach what is theirs in here.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}
