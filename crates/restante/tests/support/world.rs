//! A scripted server beside a home folder, and what the program says there.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use restante_testkit::scripted::{Message, Quirks, ScriptedServer, USER, messages};
use tokio::runtime::Runtime;

use crate::home::Home;

impl Home {
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs, must end with that code, and gives the objects that were printed.
    pub(crate) fn json(&self, words: &[&str], code: i32) -> Vec<serde_json::Value> {
        let mut all = vec!["--json"];
        all.extend(words);
        let output = self.run(&all);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        lines(&output)
    }

    pub(crate) fn listed(&self) -> Vec<serde_json::Value> {
        if !self.path().join("data/restante/packs").exists() {
            return Vec::new();
        }
        self.json(&["list"], 0)
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let folder = self.path().join(".config/restante");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("restante.toml"), text).unwrap();
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path().join(".config/restante/restante.toml")
    }
}

pub(crate) fn lines(output: &Output) -> Vec<serde_json::Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn told(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A scripted server, and what runs it.
pub(crate) struct World {
    _runtime: Runtime,
    pub(crate) server: ScriptedServer,
}

impl World {
    pub(crate) fn new(count: usize, quirks: Quirks) -> Self {
        Self::with(messages(count), quirks)
    }

    pub(crate) fn with(messages: Vec<Message>, quirks: Quirks) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime
            .block_on(ScriptedServer::start(messages, quirks))
            .unwrap();
        Self {
            _runtime: runtime,
            server,
        }
    }

    pub(crate) fn plain(count: usize) -> Self {
        Self::new(count, Quirks::default())
    }

    pub(crate) fn url(&self) -> String {
        format!("pop3://{USER}@{}", self.server.address())
    }

    /// A section of the configuration for it.
    pub(crate) fn section(&self, name: &str, more: &str) -> String {
        format!(
            "[account.{name}]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"danger-plaintext\"\nuser = \"{USER}\"\npassword_env = \"PW\"\n{more}\n",
            self.server.address().port()
        )
    }

    pub(crate) fn asked(&self, verb: &str) -> usize {
        self.server.lines(verb).len()
    }
}

/// The words of a one-shot fetch.
pub(crate) fn once<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["fetch", url, "--password-env", "PW", "--danger-plaintext"];
    words.extend(more);
    words
}
