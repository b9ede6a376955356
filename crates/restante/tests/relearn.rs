//! `restante account relearn` and `fetch --take-over`: what is here already, or was taken by another
//! program, is not downloaded again; and nothing is deleted that is not here, octet for octet.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/home.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod home;
#[path = "support/world.rs"]
#[allow(dead_code, reason = "other tests ask for more")]
mod world;

use std::fs;

use restante_testkit::scripted::{Message, Quirks, USER};

use home::Home;
use world::{World, told};

fn message(id: &str, message_id: Option<&str>, body: &str) -> Message {
    let field = message_id.map_or(String::new(), |id| format!("Message-ID: <{id}@x>\r\n"));
    Message::new(
        id,
        format!("From: a@x\r\n{field}Subject: s\r\n\r\n{body}\r\n"),
    )
}

/// Writes messages as files for `import`, with these line ends.
fn import(home: &Home, messages: &[&Message], line_end: &str) {
    let folder = home.path().join("mails");
    fs::create_dir_all(&folder).unwrap();
    for (number, message) in messages.iter().enumerate() {
        let text = String::from_utf8(message.bytes.clone()).unwrap();
        let text = text.replace("\r\n", line_end);
        fs::write(folder.join(format!("{number}.eml")), text).unwrap();
    }
    let made = home.tell(&["user", "add", "me", "--password-stdin"], "pencil\n");
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    home.json(&["import", folder.to_str().unwrap(), "--into", "me"], 0);
}

#[test]
fn a_renamed_account_downloads_nothing_twice_and_deletes_only_what_is_the_same() {
    let (home, world) = (Home::new(), World::plain(3));
    home.configure(&world.section("gmx", ""));
    home.json(&["fetch"], 0);
    home.configure(&world.section("web", ""));
    let retrieved = world.asked("RETR");
    let learnt = home.json(&["account", "relearn", "web"], 0);
    assert_eq!(learnt[0]["recognised"], 3, "{learnt:?}");
    assert_eq!(learnt[0]["new"], 0, "{learnt:?}");
    assert_eq!(home.json(&["fetch"], 0)[0]["stored"], 0);
    assert_eq!(world.asked("RETR"), retrieved, "nothing is downloaded");
    // Now they may go: each is read again and compared.
    let gone = home.json(&["fetch", "--keep", "none"], 0);
    assert_eq!(gone[0]["deleted"], 3, "{gone:?}");
    assert_eq!(world.asked("RETR"), retrieved + 3);
    assert!(world.server.maildrop().is_empty());
    assert_eq!(home.listed().len(), 3, "and nothing is here twice");
}

#[test]
fn what_was_imported_is_known_again_whatever_its_line_ends() {
    for (line_end, deleted) in [("\n", 0), ("\r\n", 2)] {
        let all = vec![
            message("1", Some("one"), "first"),
            message("2", Some("two"), "second"),
        ];
        let (home, world) = (Home::new(), World::with(all.clone(), Quirks::default()));
        import(&home, &[&all[0], &all[1]], line_end);
        home.configure(&world.section("gmx", ""));
        let learnt = home.json(&["account", "relearn", "gmx"], 0);
        assert_eq!(learnt[0]["recognised"], 2, "{learnt:?}");
        assert_eq!(world.asked("RETR"), 0);
        // Other line ends are other octets: they are no reason to delete, nor to store a second copy.
        let fetched = home.json(&["fetch", "--keep", "none"], 0);
        assert_eq!(fetched[0]["deleted"], deleted, "{fetched:?}");
        assert_eq!(home.listed().len(), 2);
    }
}

#[test]
fn where_headers_do_not_tell_bodies_do() {
    let all = vec![
        // No Message-ID, one header, one size.
        message("1", None, "body A"),
        message("2", None, "body B"),
        // Two copies here and there.
        message("3", Some("copy"), "same"),
        message("4", Some("copy"), "same"),
        message("5", Some("new"), "never seen"),
    ];
    let (home, world) = (Home::new(), World::with(all.clone(), Quirks::default()));
    import(&home, &[&all[1], &all[2]], "\r\n");
    home.configure(&world.section("gmx", ""));
    let learnt = home.json(&["account", "relearn", "gmx"], 0);
    // The second copy is not here: one archived message is not two.
    assert_eq!(learnt[0]["recognised"], 2, "{learnt:?}");
    assert_eq!(learnt[0]["new"], 3, "{learnt:?}");
    assert_eq!(home.json(&["fetch"], 0)[0]["stored"], 3);
    assert_eq!(home.listed().len(), 5);
}

/// One header and size, another body: it is taken for the same, and not deleted for it.
#[test]
fn a_mere_resemblance_permits_no_deletion() {
    let there = message("1", Some("one"), "what the server has");
    let here = message("1", Some("one"), "what is archived...");
    let (home, world) = (
        Home::new(),
        World::with(vec![there.clone()], Quirks::default()),
    );
    import(&home, &[&here], "\r\n");
    home.configure(&world.section("gmx", ""));
    let learnt = home.json(&["account", "relearn", "gmx"], 0);
    assert_eq!(learnt[0]["recognised"], 1, "{learnt:?}");
    home.json(&["fetch", "--keep", "30 days"], 0);
    assert_eq!((world.asked("RETR"), world.asked("DELE")), (0, 0));
    home.json(&["fetch", "--keep", "none"], 0);
    let listed = home.listed();
    let bodies: Vec<_> = listed
        .iter()
        .map(|line| {
            home.run(&["show", line["id"].as_str().unwrap(), "--raw"])
                .stdout
        })
        .collect();
    assert!(
        bodies.contains(&there.bytes),
        "stored before it was deleted"
    );
    assert!(bodies.contains(&here.bytes));
    assert!(world.server.maildrop().is_empty());
}

#[test]
fn to_relearn_twice_is_to_relearn_once() {
    let (home, world) = (Home::new(), World::plain(2));
    home.configure(&world.section("gmx", ""));
    home.json(&["fetch"], 0);
    home.configure(&world.section("web", "keep = \"none\""));
    let learnt = home.json(&["account", "relearn", "web"], 0);
    assert_eq!(learnt[0]["recognised"], 2, "{learnt:?}");
    let again = home.json(&["account", "relearn", "web"], 0);
    assert_eq!(
        (&again[0]["recognised"], &again[0]["here"]),
        (&0.into(), &2.into())
    );
}

#[test]
fn a_state_file_that_is_named_is_taken_over_later_too() {
    let (home, world) = (Home::new(), World::plain(4));
    home.configure(&world.section("gmx", "keep = \"none\""));
    let file = home.path().join("ids-of-another");
    let ids = format!("{USER}@127.0.0.1 uid-1\n{USER}@127.0.0.1 uid-2\n{USER}@x.example uid-3\n");
    fs::write(&file, ids).unwrap();
    let from = [
        "account",
        "relearn",
        "gmx",
        "--from",
        file.to_str().unwrap(),
    ];
    let taken = home.json(&from, 0);
    assert_eq!(
        (&taken[0]["program"], &taken[0]["taken_over"]),
        (&"fetchmail".into(), &2.into())
    );
    assert_eq!(home.json(&from, 0)[0]["taken_over"], 0);
    let fetched = home.json(&["fetch"], 0);
    assert_eq!(
        (&fetched[0]["stored"], &fetched[0]["deleted"]),
        (&2.into(), &2.into())
    );
    assert_eq!(
        world.server.maildrop().len(),
        2,
        "what is not here stays there"
    );
    let people = home.run(&from);
    assert!(
        told(&people).contains("None of them is downloaded"),
        "{people:?}"
    );
    for text in ["what is this\n", "bob@127.0.0.1 uid-1\n"] {
        fs::write(&file, text).unwrap();
        home.json(&from, 65);
    }
    home.json(&["account", "relearn", "gmx", "--from", "/nowhere/ids"], 65);
}

#[test]
fn the_first_fetch_offers_what_another_program_has() {
    let (home, world) = (Home::new(), World::plain(3));
    let ids = home.path().join(".fetchids");
    fs::write(&ids, format!("{USER}@127.0.0.1 uid-1\n")).unwrap();
    home.configure(&world.section("gmx", ""));
    let offered = home.run(&["fetch", "--dry-run"]);
    assert!(
        told(&offered).contains("fetchmail has fetched gmx"),
        "{offered:?}"
    );
    assert!(told(&offered).contains("--take-over"), "{offered:?}");
    assert_eq!(
        home.run(&["fetch", "--dry-run", "--take-over"])
            .status
            .code(),
        Some(64)
    );
    let fetched = home.json(&["fetch", "--take-over"], 0);
    assert_eq!(fetched.last().unwrap()["stored"], 2, "{fetched:?}");
    let later = home.run(&["fetch"]);
    assert!(!told(&later).contains("fetchmail"), "{later:?}");
    assert_eq!(world.asked("RETR"), 2);
}
