//! `search`, `show`, `mark`, `label`, `rule`: the archive from the shell.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/home.rs"]
mod home;

use std::fs;

use home::Home;
use serde_json::Value;

const NEWS: &str = "From: News <news@example.org>\r\nTo: ann@example.org\r\nSubject: The weekly \u{1b}[31mred\r\nDate: Wed, 1 May 2024 10:00:00 +0000\r\nList-Id: <weekly.example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Caf\u{e9} prices &amp; more</p>\r\n--b\r\nContent-Type: application/pdf; name=\"../prices.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--b--\r\n";
const NOTE: &str = "From: Bob <bob@example.net>\r\nTo: ann@example.org\r\nSubject: Lunch\r\nDate: Thu, 2 May 2024 10:00:00 +0000\r\n\r\nAt the caf\u{e9}?\r\n";

fn run(home: &Home, words: &[&str], code: i32) -> String {
    let output = home.command(words).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(home: &Home, words: &[&str]) -> Vec<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    run(home, &words, 0)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ids(found: &[Value]) -> Vec<&str> {
    found
        .iter()
        .map(|value| value["id"].as_str().unwrap())
        .collect()
}

fn home_with_mail() -> Home {
    let home = Home::new();
    let added = home.tell(&["user", "add", "ann", "--password-stdin"], "secret\n");
    assert!(added.status.success(), "{added:?}");
    for (name, message) in [("news.eml", NEWS), ("note.eml", NOTE)] {
        let path = home.path().join(name);
        fs::write(&path, message).unwrap();
        run(
            &home,
            &["import", path.to_str().unwrap(), "--into", "ann"],
            0,
        );
    }
    home
}

#[test]
fn mail_is_found_shown_and_saved() {
    let home = home_with_mail();
    let all = json(&home, &["search"]);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["subject"], "Lunch", "newest first");
    let cafe = json(&home, &["search", "cafe"]);
    assert_eq!(ids(&cafe), ids(&all));
    let news = json(&home, &["search", "list:* has:attachment"]);
    assert_eq!(news.len(), 1);
    let id = news[0]["id"].as_str().unwrap();
    assert_eq!(run(&home, &["search", "--count", "cafe"], 0), "2\n");
    assert_eq!(json(&home, &["search", "--limit", "1"]).len(), 1);
    // What is left out looks like an option, and is none.
    assert_eq!(json(&home, &["search", "cafe", "-lunch"]).len(), 1);
    assert_eq!(
        json(&home, &["search", "-v", "-x", "-subject:lunch"]).len(),
        1
    );
    assert_eq!(
        run(&home, &["search", "cafe", "-l", "--count", "-vv"], 0),
        "2\n"
    );
    run(&home, &["search", "cafe", "--lunch"], 64);

    let shown = run(&home, &["show", id], 0);
    assert!(shown.contains("Café prices & more"), "{shown}");
    assert!(shown.contains("prices.pdf"), "{shown}");
    assert!(
        !shown.contains('\u{1b}'),
        "a terminal is not given orders: {shown}"
    );
    assert!(!run(&home, &["search"], 0).contains('\u{1b}'));
    assert_eq!(run(&home, &["show", id, "--raw"], 0), NEWS);
    assert!(run(&home, &["show", id, "--headers"], 0).contains("List-Id: <weekly.example.org>"));
    assert!(run(&home, &["show", id, "--html"], 0).contains("<p>"));
    assert_eq!(
        json(&home, &["show", id])[0]["attachments"][0]["type"],
        "application/pdf"
    );
    let folder = home.path().join("saved");
    let saved = json(
        &home,
        &["show", id, "--attachments", folder.to_str().unwrap()],
    );
    let path = saved[0]["path"].as_str().unwrap();
    assert!(path.starts_with(folder.to_str().unwrap()), "{path}");
    assert_eq!(fs::read(path).unwrap(), b"%PDF-");
    // Nothing that is there is overwritten.
    let again = home
        .command(&["show", id, "--attachments", folder.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(
        told.contains("not saved: ") && told.contains("prices.pdf"),
        "{told}"
    );
    run(&home, &["show", "01k849km6lqvleomn13er6rjnt"], 67);
}

#[test]
fn a_wrong_query_says_where_and_why() {
    let home = home_with_mail();
    let output = home.command(&["search", "a form:bob"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        told.contains("character 3") && told.contains("from"),
        "{told}"
    );
    assert!(told.contains("\n    a form:bob\n      ^^^^^"), "{told}");
}

#[test]
fn marks_labels_and_rules() {
    let home = home_with_mail();
    let all = json(&home, &["search"]);
    let (note, news) = (ids(&all)[0], ids(&all)[1]);
    run(&home, &["mark", note, "--read", "--star"], 0);
    assert_eq!(ids(&json(&home, &["search", "is:starred is:read"])), [note]);
    assert_eq!(ids(&json(&home, &["search", "is:unread"])), [news]);
    run(&home, &["label", news, "--add", "Money"], 0);
    assert_eq!(ids(&json(&home, &["search", "label:money"])), [news]);
    assert_eq!(json(&home, &["label"])[0]["messages"], 1);
    run(&home, &["rebuild"], 0);
    assert_eq!(
        ids(&json(&home, &["search", "is:starred OR label:money"])),
        [note, news]
    );
    assert_eq!(
        json(&home, &["status"])
            .iter()
            .find_map(|line| line["behind"].as_u64()),
        Some(0)
    );

    let rule = json(
        &home,
        &["rule", "add", "bob", "from:bob", "--label", "friends"],
    );
    assert_eq!(rule[0]["matches"], 1);
    let path = home.path().join("more.eml");
    fs::write(&path, NOTE.replace("Lunch", "Dinner")).unwrap();
    run(
        &home,
        &["import", path.to_str().unwrap(), "--into", "ann"],
        0,
    );
    let friends = json(&home, &["search", "label:friends"]);
    assert_eq!(friends.len(), 1);
    assert_eq!(
        friends[0]["subject"], "Dinner",
        "what was there is left alone"
    );
    assert_eq!(json(&home, &["rule", "apply", "1", "--dry-run"]).len(), 2);
    assert_eq!(json(&home, &["rule", "apply", "1"])[0]["messages"], 2);
    assert_eq!(json(&home, &["search", "label:friends"]).len(), 2);
    assert_eq!(json(&home, &["rule", "apply", "bob"])[0]["messages"], 2);
    run(&home, &["rule", "remove", "1"], 0);
    run(&home, &["rule", "remove", "1"], 67);
    run(&home, &["rule", "remove", "bob"], 67);
    // Two of one name: which one is asked for must be said.
    let add = ["rule", "add", "bob", "from:bob", "--star"];
    let twins = [(); 2].map(|()| json(&home, &add)[0]["rule"].to_string());
    let refused = home.command(&["rule", "remove", "bob"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(
        twins.iter().all(|id| refused.contains(id.as_str())),
        "{refused}"
    );
    run(&home, &["rule", "remove", &twins[0]], 0);
    run(&home, &["rule", "remove", "bob"], 0);

    run(&home, &["mark", news, "--trash"], 0);
    assert_eq!(json(&home, &["search", "list:*"]).len(), 0);
    run(&home, &["undelete", news], 0);
    assert_eq!(
        ids(&json(&home, &["search", "label:money"])),
        [news],
        "marks come back with it"
    );
    run(&home, &["mark", news], 64);
}

#[test]
fn a_mailbox_that_is_only_served_is_not_indexed_until_it_is_searched() {
    let home = home_with_mail();
    let file = home.path().join("never.toml");
    fs::write(&file, "[mailbox.ann]\nindex = false\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(json(&home, &["--config", file, "search", "cafe"]).len(), 0);
    assert_eq!(json(&home, &["search", "cafe"]).len(), 2);
}
