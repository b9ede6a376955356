//! One mailbox and many devices, as a person meets them: curl collects, the command line looks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[path = "support/home.rs"]
mod home;
#[path = "support/served.rs"]
mod served;

use std::fs;
use std::process::{Command, Output};

use home::Home;
use pollster::block_on as wait;
use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{Access, DeletionSet, MailStore};
use served::{Server, serve};

fn good(home: &Home, words: &[&str]) -> String {
    let config = home.path().join("c.toml");
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend_from_slice(words);
    let output = home.command(&all).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(home: &Home, words: &[&str]) -> (Option<i32>, String) {
    let config = home.path().join("c.toml");
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend_from_slice(words);
    let output = home.command(&all).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn curl(port: u16, login: &str, password: &str, words: &[&str]) -> Output {
    Command::new("curl")
        .args(["-q", "-sS", "--max-time", "30", "--user"])
        .arg(format!("{login}:{password}"))
        .args(words)
        .arg(format!("pop3://127.0.0.1:{port}/[1-3]"))
        .output()
        .unwrap()
}

/// A home with the user `me`, three messages, and a server.
fn world(more: &str) -> (Home, Server, u16) {
    let home = Home::new();
    let added = home.tell(&["user", "add", "me", "--password-stdin"], "secret word\n");
    assert!(added.status.success(), "{added:?}");
    let (server, port) = serve(&home, &home.path().join("c.toml"), more);
    let folder = home.path().join("mail");
    fs::create_dir(&folder).unwrap();
    for n in 1..=3 {
        let text = format!("Subject: note {n}\r\n\r\nbody of {n}\r\n");
        fs::write(folder.join(format!("{n}.eml")), text).unwrap();
    }
    good(&home, &["import", folder.to_str().unwrap(), "--into", "me"]);
    (home, server, port)
}

#[test]
fn the_phone_deletes_all_and_the_laptop_still_gets_all() {
    let (home, server, port) = world("");
    let laptop = |login: &str| {
        let got = curl(port, login, "secret word", &[]);
        assert!(got.status.success(), "{got:?}");
        String::from_utf8(got.stdout).unwrap()
    };
    let all = laptop("me+laptop");
    let gone = curl(port, "me+phone", "secret word", &["-X", "DELE", "-I"]);
    assert!(gone.status.success(), "{gone:?}");
    let left = curl(port, "me+phone", "secret word", &[]);
    assert!(!left.status.success(), "the phone has deleted all");
    let again = laptop("me+laptop");
    assert_eq!(again, all);
    for n in 1..=3 {
        assert!(all.contains(&format!("body of {n}\r\n")), "{all}");
    }
    assert_eq!(json_lines(&good(&home, &["list", "--json"])).len(), 3);
    let devices = json_lines(&good(&home, &["user", "device", "list", "me", "--json"]));
    let of = |name: &str| devices.iter().find(|d| d["device"] == name).unwrap();
    assert_eq!(
        (&of("phone")["waiting"], &of("laptop")["waiting"]),
        (&0.into(), &3.into())
    );
    assert_eq!(of("phone")["address"], "127.0.0.1");
    assert_eq!(of("phone")["client"], "CAPA AUTH PLAIN");
    assert!(of("phone")["last_seen"].is_string());
    let status = good(&home, &["status"]);
    assert!(
        status.contains("laptop") && status.contains("3 messages"),
        "{status}"
    );
    // The laptop deletes too: then they go, and for a week they can come back.
    let gone = curl(port, "me+laptop", "secret word", &["-X", "DELE", "-I"]);
    assert!(gone.status.success(), "{gone:?}");
    assert_eq!(good(&home, &["list", "--json"]), "");
    assert_eq!(
        json_lines(&good(&home, &["list", "--deleted", "--json"])).len(),
        3
    );
    let log = server.stop();
    assert!(
        log.contains("\"device\":\"phone\"") && !log.contains("secret word"),
        "{log}"
    );
}

#[test]
fn a_device_has_its_own_password_until_it_is_removed() {
    let (home, _server, port) = world("");
    let made = good(
        &home,
        &[
            "user", "device", "add", "me", "tablet", "--window", "2", "--json",
        ],
    );
    let password = json_lines(&made)[0]["password"]
        .as_str()
        .unwrap()
        .to_owned();
    let get = |login: &str| {
        let got = curl(port, login, &password, &[]);
        String::from_utf8(got.stdout).unwrap()
    };
    // Two of three: the third number is not there.
    for login in ["me", "me+tablet"] {
        assert!(!get(login).contains("body of 1"), "{login}");
        assert!(get(login).contains("body of 3"), "{login}");
    }
    assert_eq!(get("me+phone"), "");
    let (code, told) = refused(&home, &["user", "device", "add", "me", "tablet"]);
    assert!(
        code == Some(73) && told.contains("--new-password"),
        "{told}"
    );
    good(
        &home,
        &["user", "device", "set", "me", "tablet", "--window", "all"],
    );
    assert!(get("me").contains("body of 1"));
    good(&home, &["user", "device", "remove", "me", "tablet"]);
    assert_eq!(get("me"), "");
    let (code, _) = refused(&home, &["user", "device", "remove", "me", "tablet"]);
    assert_eq!(code, Some(67));
    assert_eq!(good(&home, &["user", "device", "list", "--json"]), "");
}

/// A removal that was cut off leaves the view: who made the device again got its holes, and `--from-now` was
/// passed over.
#[test]
fn a_device_made_again_after_a_removal_that_was_cut_off_begins_anew() {
    let (home, _server, _) = world("");
    let store = EmbeddedStore::open(&home.path().join("data/restante"), Options::default());
    let store = store.unwrap();
    let me = wait(store.find_mailbox("me")).unwrap().unwrap().id;
    for device in ["tablet", "phone"] {
        wait(store.add_view(me, device, false)).unwrap();
    }
    let views = wait(store.views(me)).unwrap();
    let tablet = views.iter().find(|view| view.name == "tablet").unwrap().id;
    let session = wait(store.open(me, tablet, Access::Shared)).unwrap();
    let mut all = DeletionSet::default();
    for index in 0..3 {
        all.insert(index);
    }
    wait(session.commit_deletions(&all)).unwrap();
    drop((session, store));
    good(&home, &["user", "device", "add", "me", "tablet"]);
    good(
        &home,
        &["user", "device", "add", "me", "phone", "--from-now"],
    );
    let devices = json_lines(&good(&home, &["user", "device", "list", "me", "--json"]));
    let waiting = |name: &str| &devices.iter().find(|d| d["device"] == name).unwrap()["waiting"];
    assert_eq!(
        (waiting("tablet"), waiting("phone")),
        (&3.into(), &0.into())
    );
}

#[test]
fn what_is_set_holds_and_the_configuration_wins() {
    let (home, _server, port) =
        world("[mailbox.me]\nrelease = \"never\"\nmax_age = \"730 days\"\n");
    let (code, told) = refused(&home, &["user", "set", "me", "--release", "at-once"]);
    assert!(code == Some(64) && told.contains("c.toml"), "{told}");
    let (code, told) = refused(&home, &["user", "set", "me", "--device-expiry", "1 hour"]);
    assert!(code == Some(64) && told.contains("90 days"), "{told}");
    let set = |words: &[&str]| {
        let all = [&["--json", "user", "set", "me"], words].concat();
        json_lines(&good(&home, &all)).remove(0)
    };
    let now = set(&["--device-expiry", "30 days"]);
    assert_eq!(now["release"], "never");
    assert_eq!(
        (&now["max_age"], &now["device_expiry"]),
        (&"730 days".into(), &"30 days".into())
    );
    assert_eq!(
        set(&["--device-expiry", "default"])["device_expiry"],
        "90 days"
    );
    let gone = curl(port, "me", "secret word", &["-X", "DELE", "-I"]);
    assert!(gone.status.success(), "{gone:?}");
    assert_eq!(json_lines(&good(&home, &["list", "--json"])).len(), 3);
    let (code, told) = refused(&home, &["user", "set", "you", "--release", "never"]);
    assert!(code == Some(67) && told.contains("user list"), "{told}");
}
