//! `restante account add` and a first `fetch` as a person at a terminal meets them: the questions, one after the
//! other, on a pseudo terminal.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/home.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod home;
#[path = "support/world.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod world;

use std::fs;
use std::process::Command;

use restante_testkit::scripted::{PASSWORD, USER};

use home::Home;
use world::World;

/// Waits for each question, then types the answer; prints all that was shown, and ends as the program does.
const PERSON: &str = r#"
import os, pty, select, sys, termios, time
answers = [line.split("\t") for line in sys.argv[1].split("\n") if line]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen, shown, end = b"", b"", time.monotonic() + 60
def more():
    global seen, shown
    if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        sys.exit("waited in vain: " + shown.decode(errors="replace"))
    try:
        octets = os.read(terminal, 4096)
    except OSError:
        return False
    seen, shown = seen + octets, shown + octets
    return bool(octets)
for question, answer in answers:
    while question.encode() not in seen:
        if not more():
            sys.exit("never asked %r: %s" % (question, shown.decode(errors="replace")))
    seen = seen.split(question.encode(), 1)[1]
    # Who types a password looks first whether it will be shown: the question comes before the echo goes.
    while question.startswith("Password") and termios.tcgetattr(terminal)[3] & termios.ECHO:
        if time.monotonic() > end:
            sys.exit("what is typed would be shown")
        time.sleep(0.01)
    os.write(terminal, answer.encode() + b"\n")
while more():
    pass
sys.stdout.write(shown.decode(errors="replace"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// Runs the program on a terminal, with somebody who answers; what was shown comes back.
fn converse(home: &Home, words: &[&str], answers: &[(&str, &str)], code: i32) -> String {
    let program = home.command(words);
    let lines: Vec<_> = answers.iter().map(|(q, a)| format!("{q}\t{a}")).collect();
    let mut person = Command::new("python3");
    person
        .args(["-c", PERSON, &lines.join("\n")])
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear()
        .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let said = person
        .output()
        .expect("this test needs python3: apt install python3");
    let shown = String::from_utf8_lossy(&said.stdout).into_owned();
    let why = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(code), "{shown}\n{why}");
    shown
}

/// The start of each question, and no answer: what is proposed is taken.
const KEEP: (&str, &str) = ("What stays on the server", "");
const INTO: (&str, &str) = ("Into whose mailbox", "");

/// `account add` with the server named: what is not said on the line is asked.
fn adding<'a>(host: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["account", "add", "--host", host];
    words.extend(["--security", "danger-plaintext", "--user", USER]);
    words.extend(more);
    words
}

fn file(home: &Home) -> toml::Table {
    let path = home.path().join(".config/restante/restante.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

#[test]
fn all_questions_are_asked_and_the_password_is_kept_and_never_shown() {
    let (home, world) = (Home::new(), World::plain(3));
    let host = world.server.address().to_string();
    let answers = [
        ("What stays on the server", "30 days"),
        ("Into whose mailbox", "bob"),
        ("The password", "keep"),
        ("Password of", PASSWORD),
    ];
    let shown = converse(&home, &adding(&host, &["ann@example.org"]), &answers, 0);
    assert!(shown.contains("3 messages there"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
    let account = &file(&home)["account"]["example"];
    assert_eq!(account["keep"].as_str(), Some("30 days"));
    assert_eq!(account["into"].as_str(), Some("bob"));
    let kept = fs::read_to_string(account["password_file"].as_str().unwrap()).unwrap();
    assert_eq!(kept, format!("{PASSWORD}\n"));
    home.json(&["fetch", "example"], 0);
    assert_eq!(home.listed().len(), 3);
}

#[test]
fn a_command_may_be_named_and_what_is_proposed_is_taken_by_enter() {
    let (home, world) = (Home::new(), World::plain(1));
    let host = world.server.address().to_string();
    let answers = [
        KEEP,
        INTO,
        ("The password", "command"),
        ("The command", "echo \"$PW\""),
    ];
    converse(&home, &adding(&host, &["ann@example.org"]), &answers, 0);
    let account = &file(&home)["account"]["example"];
    assert_eq!(account["password_command"].as_str(), Some("echo \"$PW\""));
    assert!(
        account
            .get("keep")
            .is_none_or(|keep| keep.as_str() == Some("forever"))
    );
    home.json(&["fetch"], 0);
    assert_eq!(world.asked("DELE"), 0);
}

#[test]
fn a_wrong_answer_or_password_leaves_nothing_behind() {
    let (home, world) = (Home::new(), World::plain(1));
    let host = world.server.address().to_string();
    let words = adding(&host, &["ann@example.org"]);
    converse(&home, &words, &[("What stays on the server", "some")], 64);
    let answers = [
        KEEP,
        INTO,
        ("The password", "keep"),
        ("Password of", "wrong"),
    ];
    converse(&home, &words, &answers, 77);
    assert!(!home.path().join(".config").exists());
    let passwords = home.path().join("data/restante/passwords");
    assert_eq!(fs::read_dir(passwords).unwrap().count(), 0);
}

/// Once at `account add`, once at the first fetch of an account that was written by hand.
#[test]
fn what_another_fetcher_has_is_offered() {
    for (answer, fetched) in [("y", 1), ("n", 3)] {
        let (home, world) = (Home::new(), World::plain(3));
        let ids = format!("{USER}@127.0.0.1 uid-1\n{USER}@127.0.0.1 uid-2\n");
        fs::write(home.path().join(".fetchids"), ids).unwrap();
        home.configure(&world.section("gmx", ""));
        let question = ("Leave out what it has downloaded", answer);
        let shown = converse(&home, &["fetch"], &[question], 0);
        assert!(
            shown.contains("fetchmail has fetched gmx: 2 messages"),
            "{shown}"
        );
        assert_eq!(world.asked("RETR"), fetched, "{shown}");
        // Asked once.
        converse(&home, &["fetch"], &[], 0);
        let host = world.server.address().to_string();
        let more = ["ann@example.org", "--name", "other", "--password-env", "PW"];
        converse(&home, &adding(&host, &more), &[KEEP, INTO, question], 0);
        let shown = home.json(&["fetch", "other"], 0);
        assert_eq!(shown[0]["stored"], fetched, "{shown:?}");
    }
}
