//! `restante account add`, without questions, against a server that does what a test says.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/home.rs"]
mod home;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use restante_testkit::scripted::{PASSWORD, Quirks, ScriptedServer, Tls, USER, messages};
use tokio::runtime::Runtime;

use home::Home;

struct World {
    home: Home,
    server: ScriptedServer,
    _runtime: Runtime,
}

impl World {
    fn new(tls: Tls) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let quirks = Quirks {
            tls,
            ..Quirks::default()
        };
        let server = runtime
            .block_on(ScriptedServer::start(messages(3), quirks))
            .unwrap();
        Self {
            home: Home::new(),
            server,
            _runtime: runtime,
        }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join(".config/restante/restante.toml")
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        self.home.tell(words, input)
    }

    /// `account add ann@example.org --host …` with more words.
    fn add(&self, more: &[&str], input: &str) -> Output {
        let host = self.server.address().to_string();
        let mut words = vec![
            "account",
            "add",
            "ann@example.org",
            "--yes",
            "--host",
            &host,
        ];
        words.extend(more);
        self.run(&words, input)
    }
}

const PLAIN: [&str; 4] = ["--security", "danger-plaintext", "--user", USER];

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn an_account_is_tried_and_written_for_its_owner_only() {
    let world = World::new(Tls::No);
    let mut words = PLAIN.to_vec();
    words.extend(["--password-env", "PW", "--keep", "30 days", "--into", "bob"]);
    let added = world.add(&words, "");
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let told = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(told.contains("3 messages there"), "{told}");
    assert!(told.contains("POP3 shows the inbox only"), "{told}");
    assert!(told.contains("restante fetch example"), "{told}");
    let text = fs::read_to_string(world.file()).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let account = table["account"]["example"].as_table().unwrap();
    assert_eq!(account["host"].as_str(), Some("127.0.0.1"));
    assert_eq!(account["user"].as_str(), Some(USER));
    assert_eq!(account["password_env"].as_str(), Some("PW"));
    assert_eq!(account["keep"].as_str(), Some("30 days"));
    assert_eq!(account["into"].as_str(), Some("bob"));
    assert!(!text.contains(PASSWORD));
    #[cfg(unix)]
    assert_eq!(mode(&world.file()), 0o600);
    assert!(world.server.lines("RETR").is_empty() && world.server.lines("DELE").is_empty());
}

#[test]
fn comments_and_order_stay_and_a_second_account_has_another_name() {
    let world = World::new(Tls::No);
    fs::create_dir_all(world.file().parent().unwrap()).unwrap();
    let before = "# mine\ndomains = [ \"example.org\" ]  # spaces, too\n\n[account.example]\n# the old one\nhost = \"pop.example.org\"\nuser = \"x\"\n";
    fs::write(world.file(), before).unwrap();
    let mut words = PLAIN.to_vec();
    words.extend(["--password-env", "PW"]);
    let added = world.add(&words, "");
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let text = fs::read_to_string(world.file()).unwrap();
    assert!(text.starts_with(before), "{text}");
    assert!(text.contains("[account.\"ann@example.org\"]"), "{text}");
    words.extend(["--name", "example"]);
    let again = world.add(&words, "");
    assert_eq!(again.status.code(), Some(73), "{again:?}");
    assert_eq!(fs::read_to_string(world.file()).unwrap(), text);
}

#[test]
fn a_refused_login_writes_nothing_and_keeps_no_password() {
    let world = World::new(Tls::No);
    let mut words = PLAIN.to_vec();
    words.push("--password-stdin");
    let refused = world.add(&words, "wrong\n");
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    assert!(!world.file().exists());
    let kept = world.home.path().join("data/restante/passwords/example");
    assert!(!kept.exists());
    let added = world.add(&words, &format!("{PASSWORD}\n"));
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    assert_eq!(fs::read_to_string(&kept).unwrap(), format!("{PASSWORD}\n"));
    #[cfg(unix)]
    assert_eq!(mode(&kept), 0o600);
    let text = fs::read_to_string(world.file()).unwrap();
    assert!(!text.contains(PASSWORD) && text.contains("passwords/example"));
}

/// RFC 6186 §4: the whole address first, then its local part.
#[test]
fn the_local_part_is_tried_when_the_address_is_refused() {
    let world = World::new(Tls::Implicit);
    let ca = world.server.ca_file();
    let ca = ca.to_str().unwrap();
    let host = format!("localhost:{}", world.server.address().port());
    let added = world.run(
        &[
            "account",
            "add",
            "ann@example.org",
            "--yes",
            "--host",
            &host,
            "--ca",
            ca,
            "--password-env",
            "PW",
            "--json",
        ],
        "",
    );
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let told: serde_json::Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(told["user"], USER);
    assert_eq!(told["security"], "tls");
}

#[test]
fn what_another_fetcher_took_is_taken_over_when_asked() {
    let world = World::new(Tls::No);
    fs::write(
        world.home.path().join(".fetchids"),
        "ann@127.0.0.1 uid-1\nann@127.0.0.1 uid-2\nann@other.example uid-3\n",
    )
    .unwrap();
    let mut words = PLAIN.to_vec();
    words.extend(["--password-env", "PW", "--take-over", "--json"]);
    let added = world.add(&words, "");
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let told: serde_json::Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(told["taken_over"], 2);
}

#[test]
fn what_cannot_be_is_said_without_a_network() {
    let world = World::new(Tls::No);
    for (words, code, part) in [
        (
            vec!["account", "add", "ann@icloud.com", "--yes"],
            69,
            "has no POP3",
        ),
        (
            vec!["account", "add", "ann@proton.me", "--yes"],
            69,
            "restante import",
        ),
        (
            vec!["account", "add", "ann", "--yes"],
            64,
            "not a mail address",
        ),
        (vec!["account", "add", "--yes"], 64, "which address"),
        (
            vec!["account", "add", "a@b.example", "--host", "a b", "--yes"],
            64,
            "--host",
        ),
    ] {
        let said = world.run(&words, "");
        assert_eq!(said.status.code(), Some(code), "{words:?}: {said:?}");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(text.contains(part), "{words:?}: {text}");
    }
    assert!(!world.file().exists());
}
