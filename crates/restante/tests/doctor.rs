//! `restante doctor`: the exit code says why a server cannot be examined, as `fetch` says it.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/home.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod home;
#[path = "support/world.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod world;

use std::fs;

use restante_testkit::scripted::{Instead, Quirks, Tls};

use home::Home;
use world::World;

/// Examines, must end with that code, and gives the report.
fn examine(home: &Home, target: &str, more: &[&str], code: i32) -> serde_json::Value {
    let mut words = vec!["doctor", target, "--timeout", "2 s"];
    words.extend(more);
    let report = home.json(&words, code).remove(0);
    assert_eq!(report["code"], code, "{report}");
    assert_eq!(report["failure"].is_null(), code == 0, "{report}");
    report
}

const PLAIN: [&str; 3] = ["--password-env", "PW", "--danger-plaintext"];

#[test]
fn what_can_be_examined_is_0_and_nothing_is_downloaded_or_deleted() {
    let (home, world) = (Home::new(), World::plain(4));
    let report = examine(&home, &world.url(), &PLAIN, 0);
    assert_eq!(report["maildrop"]["count"], 4);
    assert_eq!((world.asked("RETR"), world.asked("DELE")), (0, 0));
    assert!(!home.path().join("data/restante/state.db").exists());
    let people = home.run(&[&["doctor", &world.url()][..], &PLAIN].concat());
    assert_eq!(people.status.code(), Some(0));
}

#[test]
fn nobody_there_is_69() {
    let home = Home::new();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    examine(&home, &format!("127.0.0.1:{port}"), &[], 69);
    let url = format!("pop3://ann@127.0.0.1:{port}");
    examine(&home, &url, &PLAIN, 69);
}

#[test]
fn a_session_that_breaks_off_and_a_server_in_trouble_are_75() {
    let home = Home::new();
    let quirks = Quirks {
        instead: vec![Instead::say("STAT", "").and_close()],
        ..Quirks::default()
    };
    examine(&home, &World::new(2, quirks).url(), &PLAIN, 75);
    let refuse = |verb| Instead::refuse(verb, "[SYS/TEMP] come back later");
    let quirks = Quirks {
        instead: vec![refuse("PASS"), refuse("AUTH")],
        ..Quirks::default()
    };
    examine(&home, &World::new(2, quirks).url(), &PLAIN, 75);
}

#[test]
fn what_is_not_pop3_is_76() {
    let home = Home::new();
    let quirks = Quirks {
        instead: vec![Instead::say("STAT", "220 what?\r\n")],
        ..Quirks::default()
    };
    examine(&home, &World::new(1, quirks).url(), &PLAIN, 76);
}

#[test]
fn a_refused_login_and_a_certificate_that_is_not_trusted_are_77() {
    let home = Home::new();
    let refuse = |verb| Instead::refuse(verb, "[AUTH] no");
    let quirks = Quirks {
        instead: vec![refuse("PASS"), refuse("AUTH")],
        ..Quirks::default()
    };
    examine(&home, &World::new(1, quirks).url(), &PLAIN, 77);
    let quirks = Quirks {
        tls: Tls::Implicit,
        ..Quirks::default()
    };
    let world = World::new(1, quirks);
    let url = world.url().replace("pop3:", "pop3s:");
    let report = examine(&home, &url, &["--password-env", "PW"], 77);
    assert_eq!(report["certificate"]["trusted"], false);
    assert_eq!(world.asked("PASS") + world.asked("AUTH"), 0);
}

#[test]
fn what_cannot_be_configured_is_78() {
    let home = Home::new();
    let world = World::plain(1);
    let ca = home.path().join("no-such.pem");
    let url = world.url().replace("pop3:", "pop3s:");
    let more = ["--password-env", "PW", "--ca", ca.to_str().unwrap()];
    examine(&home, &url, &more, 78);
    fs::create_dir_all(home.path().join(".config/restante")).unwrap();
    home.configure("[account.gmx]\nuser = \"u\"\n");
    let output = home.run(&["doctor", "gmx"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}
