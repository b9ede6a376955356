//! A home folder of its own, and the program in it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use restante_testkit::scripted::PASSWORD;

/// Gone when dropped.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program with nothing of ours in its environment but a path, and the scripted server's
    /// password as `PW`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restante"));
        command
            .env_clear()
            .env("HOME", self.path())
            .env("XDG_DATA_HOME", self.path().join("data"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PW", PASSWORD)
            .args(words)
            .stdin(Stdio::null());
        command
    }

    /// Runs with text on standard input.
    pub(crate) fn tell(&self, words: &[&str], text: &str) -> Output {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that has refused its arguments reads nothing, and may be gone already.
        let _gone = stdin.write_all(text.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }
}
