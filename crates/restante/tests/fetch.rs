//! Fetching as a person or a script meets it: flags, files, exit codes, against a server that does
//! what a test says.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/home.rs"]
mod home;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use restante_testkit::scripted::{Instead, PASSWORD, Quirks, Quit, Sizes, Tls, USER};

use home::Home;
use world::{World, once, told};

#[test]
fn a_url_is_fetched_into_an_empty_folder_and_then_nothing_is_new() {
    let (home, world) = (Home::new(), World::plain(5));
    let url = world.url();
    let first = home.json(&once(&url, &[]), 0);
    assert_eq!(first[0]["stored"], 5, "{first:?}");
    let listed = home.listed();
    assert_eq!(listed.len(), 5);
    assert_eq!(listed[0]["mailbox"], "me");
    let account = format!("{USER}@{}", world.server.address());
    assert_eq!(listed[0]["account"], account.as_str());
    let id = listed[0]["id"].as_str().unwrap();
    let shown = home.run(&["show", id, "--raw"]);
    let sent: Vec<_> = world.server.maildrop();
    assert!(sent.iter().any(|message| message.bytes == shown.stdout));
    let again = home.json(&once(&url, &[]), 0);
    assert_eq!(again[0]["stored"], 0, "{again:?}");
    assert_eq!(world.asked("RETR"), 5);
    assert_eq!(world.asked("DELE"), 0);
    assert_eq!(home.listed().len(), 5);
    let people = home.run(&once(&url, &[]));
    assert!(told(&people).contains("nothing new"), "{people:?}");
}

#[test]
fn tls_is_checked_and_may_be_pinned_or_not_asked_for() {
    let (home, world) = (
        Home::new(),
        World::new(
            2,
            Quirks {
                tls: Tls::Implicit,
                ..Quirks::default()
            },
        ),
    );
    let url = world.url().replace("pop3://", "pop3s://");
    let words = |more: &[&'static str]| {
        let mut words = vec!["fetch", "--password-env", "PW"];
        words.extend(more);
        words
    };
    let mut stranger = words(&[]);
    stranger.push(&url);
    home.json(&stranger, 77);
    assert_eq!(world.asked("PASS") + world.asked("AUTH"), 0);
    let mut any = words(&["--danger-accept-any-certificate"]);
    any.push(&url);
    assert_eq!(home.json(&any, 0)[0]["stored"], 2);
    let ca = world.server.ca_file();
    let known = url.replace("127.0.0.1", "localhost");
    let mut trusted = words(&["--ca"]);
    trusted.extend([ca.to_str().unwrap(), known.as_str()]);
    home.json(&trusted, 0);
    let zeroes = "0".repeat(64);
    let mut pinned = words(&["--pin"]);
    pinned.extend([zeroes.as_str(), url.as_str()]);
    home.json(&pinned, 77);
}

#[test]
fn a_server_without_stls_gets_no_password() {
    let (home, world) = (Home::new(), World::plain(1));
    let url = world.url();
    let output = home.run(&["fetch", &url, "--password-env", "PW"]);
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(told(&output).contains("STLS"), "{output:?}");
    assert_eq!(world.asked("PASS") + world.asked("AUTH"), 0);
}

#[test]
fn a_wrong_password_ends_with_77_and_is_told_nowhere() {
    let (home, world) = (Home::new(), World::plain(1));
    let url = world.url();
    let words = [
        "fetch",
        &url,
        "--danger-plaintext",
        "--password-stdin",
        "-vv",
    ];
    let output = home.tell(&words, "hunter2\n");
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(!told(&output).contains("hunter2"), "{output:?}");
    assert_eq!(world.server.sessions(), 1, "the same is not tried twice");
    world.server.change(|quirks| {
        quirks.instead = ["PASS", "AUTH"]
            .map(|command| Instead::refuse(command, "POP3 access is disabled for your account"))
            .to_vec();
    });
    let url_of_account = world.url();
    let disabled = home.json(&once(&url_of_account, &[]), 77);
    assert!(disabled[0]["explanation"].is_string(), "{disabled:?}");
    world.server.change(|quirks| quirks.instead.clear());
    let right = home.tell(&words, &format!("{PASSWORD}\n"));
    assert_eq!(right.status.code(), Some(0), "{right:?}");
    assert!(!told(&right).contains(PASSWORD), "{right:?}");
    assert!(
        told(&right).contains("uid-1"),
        "a line a message at -v: {right:?}"
    );
}

#[test]
fn the_password_may_come_from_a_file_or_a_command() {
    let (home, world) = (Home::new(), World::plain(1));
    let url = world.url();
    let file = home.path().join("password");
    fs::write(&file, format!("{PASSWORD}\nuser: ann\n")).unwrap();
    let file = file.to_str().unwrap();
    let output = home.run(&["fetch", &url, "--danger-plaintext", "--password-file", file]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    #[cfg(unix)]
    assert!(told(&output).contains("chmod 600"), "{output:?}");
    let command = format!("cat {file}");
    let words = [
        "fetch",
        &url,
        "--danger-plaintext",
        "--password-command",
        &command,
    ];
    let output = home.run(&words);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn nobody_listening_is_69_and_a_wrong_file_is_78() {
    let home = Home::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("pop3://u@127.0.0.1:{port}");
    home.json(&once(&url, &[]), 69);
    let words = [
        "fetch",
        &url,
        "--danger-plaintext",
        "--password-file",
        "/nowhere",
    ];
    home.json(&words, 78);
    home.configure("[account.x]\nhost = 1\n");
    let output = home.run(&["fetch"]);
    assert_eq!(output.status.code(), Some(78));
    let said = told(&output);
    assert!(said.contains(":1:") && said.contains(":2:"), "{said}");
}

#[test]
fn wrong_usage_is_64_and_says_what_would_be_right() {
    let home = Home::new();
    for (words, says) in [
        (&["fetch"][..], "account add"),
        (&["fetch", "gmx"], "there are none yet"),
        (&["fetch", "pop3s://ann:pw@h"], "--password-stdin"),
        (&["fetch", "imap://ann@h"], "pop3s://user@host"),
        (&["fetch", "pop3s://a@h", "--danger-plaintext"], "pop3://"),
        (&["fetch", "pop3s://a@h", "--keep", "always"], "30 days"),
        (&["fetch", "pop3s://a@h", "--to", "nowhere"], "maildir:"),
        (
            &[
                "fetch",
                "pop3s://a@h",
                "--keep",
                "until-backed-up",
                "--to",
                "mbox:/x",
            ],
            "no backup",
        ),
        (
            &["fetch", "pop3s://a@h", "pop3s://b@h", "--password-stdin"],
            "one at a time",
        ),
        (&["account", "test", "x"], "there are none yet"),
    ] {
        let output = home.run(words);
        assert_eq!(output.status.code(), Some(64), "{words:?}: {output:?}");
        assert!(told(&output).contains(says), "{words:?}: {output:?}");
    }
    assert!(!home.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_stuck_server_is_given_up_with_69_or_75_and_a_babbling_one_with_76() {
    let home = Home::new();
    let silent = World::new(
        1,
        Quirks {
            unanswered: vec!["GREETING"],
            ..Quirks::default()
        },
    );
    let url = silent.url();
    let started = Instant::now();
    home.json(&once(&url, &["--timeout", "1 s"]), 69);
    silent
        .server
        .change(|quirks| quirks.unanswered = vec!["UIDL"]);
    home.json(&once(&url, &["--timeout", "1 s"]), 75);
    assert!(started.elapsed() < Duration::from_secs(20));
    let babbling = World::new(
        1,
        Quirks {
            instead: vec![Instead::say("STAT", "220 what?\r\n")],
            ..Quirks::default()
        },
    );
    let url = babbling.url();
    home.json(&once(&url, &[]), 76);
}

#[test]
fn a_full_or_broken_disk_is_74() {
    let (home, world) = (Home::new(), World::plain(1));
    let url = world.url();
    let file = home.path().join("a-file");
    fs::write(&file, "x").unwrap();
    let below = file.join("data");
    home.json(&once(&url, &["--data", below.to_str().unwrap()]), 74);
}

#[test]
fn keep_none_deletes_after_storing_and_a_dry_run_changes_nothing() {
    let (home, world) = (Home::new(), World::plain(3));
    let url = world.url();
    let dry = home.json(&once(&url, &["--keep", "none", "--dry-run"]), 0);
    let would: Vec<_> = dry.iter().filter(|line| !line["would"].is_null()).collect();
    assert_eq!(would.len(), 3, "{dry:?}");
    assert_eq!(would[0]["remote_id"], "uid-1");
    assert_eq!(dry.last().unwrap()["dry_run"], true);
    assert_eq!(world.asked("RETR") + world.asked("DELE"), 0);
    assert!(!home.path().join("data").exists(), "nothing was made");
    let done = home.json(&once(&url, &["--keep", "none"]), 0);
    assert_eq!(
        (&done[0]["stored"], &done[0]["deleted"]),
        (&3.into(), &3.into())
    );
    assert!(world.server.maildrop().is_empty());
    assert_eq!(world.server.deleted().len(), 3);
    assert_eq!(home.listed().len(), 3);
}

#[test]
fn a_quit_that_fails_leads_to_no_second_copy() {
    let (home, world) = (Home::new(), World::plain(2));
    let url = world.url();
    world.server.change(|quirks| quirks.quit = Quit::Refuses);
    let output = home.run(&once(&url, &["--keep", "none"]));
    assert_eq!(world.server.maildrop().len(), 2, "{output:?}");
    assert_eq!(home.listed().len(), 2);
    world.server.change(|quirks| quirks.quit = Quit::Deletes);
    let done = home.json(&once(&url, &["--keep", "none"]), 0);
    assert_eq!(done[0]["stored"], 0, "{done:?}");
    assert!(world.server.maildrop().is_empty());
    assert_eq!(home.listed().len(), 2);
}

#[test]
fn what_cannot_be_had_is_set_aside_with_1_and_the_rest_goes_on() {
    let (home, world) = (
        Home::new(),
        World::new(
            3,
            Quirks {
                instead: vec![Instead::refuse("RETR 2", "that one is broken")],
                ..Quirks::default()
            },
        ),
    );
    home.configure(&world.section("gmx", "keep = \"none\""));
    let done = home.json(&["fetch", "gmx"], 1);
    assert_eq!(done[0]["stored"], 2, "{done:?}");
    assert_eq!(done[0]["set_aside"][0]["remote_id"], "uid-2");
    let status = home.json(&["status"], 0);
    let gmx = status.iter().find(|line| line["account"] == "gmx").unwrap();
    let error = gmx["set_aside"][0]["error"].as_str().unwrap();
    assert!(error.contains("that one is broken"), "{gmx}");
    assert_eq!(world.server.maildrop().len(), 1);
    world.server.change(|quirks| quirks.instead.clear());
    let done = home.json(&["fetch", "gmx"], 0);
    assert_eq!(
        (&done[0]["stored"], &done[0]["deleted"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn limits_and_headers_leave_the_rest_for_another_time() {
    let (home, world) = (Home::new(), World::plain(4));
    let url = world.url();
    assert_eq!(home.json(&once(&url, &["--limit", "1"]), 0)[0]["stored"], 1);
    world
        .server
        .change(|quirks| quirks.sizes = Sizes::All(5000));
    let words = once(&url, &["--max-size", "1K", "--keep", "none"]);
    let done = home.json(&words, 0);
    assert_eq!(done[0]["headers_only"], 3, "{done:?}");
    assert_eq!(world.server.maildrop().len(), 3, "headers permit no DELE");
    let words = once(&url, &["--max-size", "1K", "--full", "uid-3"]);
    assert_eq!(home.json(&words, 0)[0]["stored"], 1);
    assert_eq!(home.listed().len(), 2);
}

#[test]
fn other_destinations_take_the_mail() {
    let (home, world) = (Home::new(), World::plain(2));
    let url = world.url();
    let folder = home.path().join("Maildir");
    let to = format!("maildir:{}", folder.display());
    assert_eq!(home.json(&once(&url, &["--to", &to]), 0)[0]["stored"], 2);
    assert_eq!(home.json(&once(&url, &["--to", &to]), 0)[0]["stored"], 0);
    assert_eq!(fs::read_dir(folder.join("new")).unwrap().count(), 2);
    assert!(home.listed().is_empty());
}

#[test]
fn several_accounts_are_fetched_and_one_that_fails_keeps_none_back() {
    let (home, one, two) = (Home::new(), World::plain(2), World::plain(3));
    let mut config = one.section("one", "into = \"ann\"") + &two.section("two", "into = \"bob\"");
    config += &one
        .section("three", "")
        .replace("password_env = \"PW\"", "password_env = \"NONE\"");
    home.configure(&config);
    let done = home.json(&["fetch"], 78);
    let stored = |name: &str| {
        let line = done.iter().find(|line| line["account"] == name).unwrap();
        line["stored"].clone()
    };
    assert_eq!((stored("one"), stored("two")), (2.into(), 3.into()));
    let into = |name| {
        home.listed()
            .iter()
            .filter(|l| l["mailbox"] == name)
            .count()
    };
    assert_eq!((into("ann"), into("bob")), (2, 3));
    // The same login under two names are two accounts: nothing of one is the other's.
    assert_eq!(home.json(&["fetch", "one", "two"], 0).len(), 2);
}

#[test]
fn accounts_are_listed_tried_relearnt_and_removed() {
    let (home, world) = (Home::new(), World::plain(3));
    home.configure(&format!(
        "# mine\n\n{}",
        world.section("gmx", "# keep this\n[fetch]")
    ));
    let tried = home.json(&["account", "test", "gmx"], 0);
    assert_eq!(
        (&tried[0]["works"], &tried[0]["new"]),
        (&true.into(), &3.into())
    );
    assert_eq!(world.asked("RETR"), 0);
    home.json(&["fetch"], 0);
    let listed = home.json(&["account", "list"], 0);
    assert_eq!(listed[0]["account"], "gmx");
    assert_eq!(listed[0]["stored"], 3);
    assert!(listed[0]["last_success"].is_string(), "{listed:?}");
    world.server.rename_ids(|id| [&b"other-"[..], id].concat());
    let retrieved = world.asked("RETR");
    let learnt = home.json(&["account", "relearn", "gmx"], 0);
    assert_eq!(
        (&learnt[0]["recognised"], &learnt[0]["new"]),
        (&3.into(), &0.into())
    );
    assert_eq!(world.asked("RETR"), retrieved, "nothing is downloaded");
    assert_eq!(home.json(&["fetch"], 0)[0]["stored"], 0);
    world.server.change(|quirks| {
        quirks.instead = vec![
            Instead::refuse("PASS", "[AUTH] no"),
            Instead::refuse("AUTH", "[AUTH] no"),
        ];
    });
    let refused = home.json(&["account", "test"], 77);
    assert_eq!(refused[0]["works"], false);
    home.json(&["account", "remove", "gmx"], 0);
    let file = fs::read_to_string(home.config_file()).unwrap();
    assert!(
        file.contains("# mine") && !file.contains("account"),
        "{file}"
    );
    assert_eq!(home.listed().len(), 3, "its mail stays");
}

#[test]
fn on_failure_runs_once_when_an_account_begins_to_fail() {
    let (home, world) = (Home::new(), World::plain(1));
    let notes = home.path().join("notes");
    let command = format!(
        "on_failure = 'echo \"$RESTANTE_ACCOUNT $RESTANTE_CODE\" >> {}'",
        notes.display()
    );
    home.configure(&world.section("gmx", &command));
    let refuse = || {
        vec![
            Instead::refuse("PASS", "[AUTH] no"),
            Instead::refuse("AUTH", "[AUTH] no"),
        ]
    };
    world.server.change(|quirks| quirks.instead = refuse());
    home.json(&["fetch", "gmx"], 77);
    home.json(&["fetch", "gmx"], 77);
    let noted = || fs::read_to_string(&notes).unwrap();
    assert_eq!(noted(), "gmx 77\n");
    // It never worked, so it needs somebody.
    home.json(&["status"], 1);
    world.server.change(|quirks| quirks.instead.clear());
    home.json(&["fetch", "gmx"], 0);
    home.json(&["status"], 0);
    world.server.change(|quirks| quirks.instead = refuse());
    home.json(&["fetch", "gmx"], 77);
    assert_eq!(noted(), "gmx 77\ngmx 77\n");
}

#[test]
fn two_fetches_at_once_bring_no_message_twice() {
    let (home, world) = (Home::new(), World::plain(200));
    let url = world.url();
    let words = once(&url, &[]);
    let start = || {
        home.command(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    for output in &both {
        let code = output.status.code();
        assert!(code == Some(0) || code == Some(75), "{output:?}");
    }
    assert!(both.iter().any(|output| output.status.success()));
    assert_eq!(home.listed().len(), 200);
    assert_eq!(world.asked("RETR"), 200);
}

/// A server that is ended when the test is.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(unix)]
fn signal(server: &Served, name: &str) {
    let sent = Command::new("kill")
        .args([name, &server.0.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[cfg(unix)]
#[test]
fn serve_fetches_on_schedule_reads_accounts_again_and_stops() {
    let (home, one, two) = (Home::new(), World::plain(2), World::plain(3));
    let listen = "[pop3]\nlisten = [\"127.0.0.1:0\"]\ntls_listen = []\n[lmtp]\nlisten = []\n[reader]\nlisten = []\n";
    home.configure(&format!("{listen}{}", one.section("one", "")));
    let mut server = Served(
        home.command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the first account is fetched", || home.listed().len() == 2);
    let status = home.json(&["status"], 0);
    let known = status.iter().find(|line| line["account"] == "one").unwrap();
    assert!(known["next_run"].is_string(), "{known}");
    let both = one.section("one", "") + &two.section("two", "into = \"two\"");
    home.configure(&format!("{listen}{both}"));
    signal(&server, "-HUP");
    until("the second account is fetched", || home.listed().len() == 5);
    assert_eq!(one.asked("RETR"), 2);
    signal(&server, "-TERM");
    assert!(server.0.wait().unwrap().success());
}
