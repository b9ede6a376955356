//! The program as a person or a script meets it: an empty home, one command after another.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail")]

#[path = "support/home.rs"]
mod home;
#[path = "support/served.rs"]
mod served;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use home::Home;
use restante_client::Server as Remote;
use restante_intake::discover::{Answer, Net, Options as Discover, Origin, Srv, discover};
use served::{free_port, serve, start};

impl Home {
    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs, must succeed, and gives what was printed.
    fn good(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn add_user(&self, name: &str) {
        let output = self.tell(&["user", "add", name, "--password-stdin"], "secret word\n");
        assert!(output.status.success(), "{output:?}");
    }
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn mail_comes_in_is_listed_shown_and_counted() {
    let home = Home::new();
    home.add_user("ann");
    let message =
        "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\nSubject: Gr\u{fc}\u{df}e\n\nHello\n";
    let file = home.path().join("a.eml");
    fs::write(&file, message).unwrap();
    let file = file.to_str().unwrap();
    home.good(&["import", file, "--into", "ann"]);
    let again = json_lines(&home.good(&["--json", "import", file, "--into", "ann"]));
    assert_eq!(
        (&again[0]["imported"], &again[0]["already_there"]),
        (&0.into(), &1.into())
    );
    let listed = json_lines(&home.good(&["list", "--json"]));
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["from"], "J\u{fc}rgen");
    assert_eq!(listed[0]["subject"], "Gr\u{fc}\u{df}e");
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(home.good(&["show", id, "--raw"]), message);
    let status = json_lines(&home.good(&["status", "--json"]));
    assert_eq!(status[0]["messages"], 1);
    assert_eq!(
        json_lines(&home.good(&["rebuild", "--json"]))[0]["messages"],
        1
    );
    assert_eq!(json_lines(&home.good(&["list", "--json"]))[0]["id"], id);
}

/// Bytes, time and marks of what an export holds, but for the unique-ids.
fn marks_of(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("restante-marks.jsonl")).unwrap();
    let mut lines = json_lines(&text);
    lines.retain(|line| line.get("digest").is_some());
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("id");
    }
    lines.sort_by_key(|line| line["digest"].to_string());
    lines
}

#[test]
fn labels_and_marks_come_in_and_go_out_with_the_mail() {
    let home = Home::new();
    home.add_user("ann");
    let folder = home.path().join("Maildir");
    for part in ["new", "cur", ".Lists/new", ".Lists/cur"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::write(folder.join("dovecot-keywords"), "0 Garden, 2nd\n").unwrap();
    for (name, subject) in [
        ("new/1300000000.M7.h", "new"),
        ("cur/1300000001.1.h:2,FSa", "pears"),
        (".Lists/cur/1300000002.1.h:2,S", "apples"),
    ] {
        let text = format!("From: a@example.org\nSubject: {subject}\n\nbody\n");
        fs::write(folder.join(name), text).unwrap();
    }
    let folder = folder.to_str().unwrap();
    let dry = json_lines(&home.good(&["--json", "import", folder, "--into", "ann", "--dry-run"]));
    assert_eq!(
        (&dry[0]["imported"], &dry[0]["dry_run"]),
        (&3.into(), &true.into())
    );
    home.good(&["import", folder, "--into", "ann"]);
    let listed = json_lines(&home.good(&["list", "--json"]));
    let new = listed.iter().find(|line| line["subject"] == "new").unwrap();
    home.good(&["mark", new["id"].as_str().unwrap(), "--not-junk"]);
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    home.good(&["export", &path("eml"), "--format", "eml"]);
    let marks = marks_of(&home.path().join("eml"));
    assert_eq!(marks.iter().filter(|line| line["junk"] == false).count(), 1);
    let shown: Vec<_> = marks
        .iter()
        .map(|line| {
            (
                line["read"] == true,
                line["starred"] == true,
                line["labels"].to_string(),
            )
        })
        .collect();
    for expected in [
        (false, false, "null".to_owned()),
        (true, true, "[\"garden 2nd\"]".to_owned()),
        (true, false, "[\"lists\"]".to_owned()),
    ] {
        assert!(shown.contains(&expected), "{shown:?}");
    }
    for (name, form) in [("a.mbox", "mbox"), ("a.zip", "zip"), ("dir", "maildir")] {
        home.good(&["export", &path(name), "--format", form]);
        let other = Home::new();
        other.add_user("bob");
        other.good(&["import", &path(name), "--into", "bob"]);
        let back = other.path().join("back");
        other.good(&["export", back.to_str().unwrap(), "--format", "eml"]);
        assert_eq!(marks_of(&back), marks, "{name}");
    }
    let some = path("some");
    home.good(&[
        "export",
        &some,
        "--format",
        "eml",
        "--query",
        "subject:pears OR label:lists",
    ]);
    assert_eq!(marks_of(Path::new(&some)).len(), 2);
    fs::write(path("their.zip"), "precious").unwrap();
    for (words, code, says) in [
        (
            &["export", &path("x"), "--format", "eml", "--query", "from:("][..],
            64,
            "(",
        ),
        (&["export", &path("x")], 64, "--format"),
        (&["export", &path("a.zip")], 0, ""),
        (&["export", &path("their.zip")], 73, "no export of ours"),
    ] {
        let output = home.run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(says), "{words:?}: {told}");
    }
}

#[test]
fn a_newsletter_is_checked() {
    let home = Home::new();
    let file = home.path().join("n.eml");
    fs::write(&file, "From: a@example.org\nSubject: n\n\nHello\n").unwrap();
    let found = home.run(&["--json", "newsletter", "check", file.to_str().unwrap()]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let found = json_lines(&String::from_utf8(found.stdout).unwrap());
    let codes: Vec<_> = found
        .iter()
        .map(|line| line["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        ["dkim", "date", "message-id", "list-id", "list-unsubscribe"]
    );
    let told = home.tell(&["newsletter", "check", "-"], "no message");
    assert_eq!(told.status.code(), Some(65), "{told:?}");
}

#[test]
fn users_come_change_and_go_and_their_mail_stays_unless_erased() {
    let home = Home::new();
    home.add_user("ann");
    let twice = home.tell(&["user", "add", "ann", "--password-stdin"], "x\n");
    assert_eq!(twice.status.code(), Some(73), "{twice:?}");
    assert!(
        home.tell(&["user", "passwd", "ann", "--password-stdin"], "new\n")
            .status
            .success()
    );
    let nobody = home.tell(&["user", "passwd", "bob", "--password-stdin"], "new\n");
    assert_eq!(nobody.status.code(), Some(67), "{nobody:?}");
    let empty = home.tell(&["user", "passwd", "ann", "--password-stdin"], "\n");
    assert_eq!(empty.status.code(), Some(65), "{empty:?}");
    let file = home.path().join("a.eml");
    fs::write(&file, "Subject: a rare word, xyzzyplugh\n\nbody\n").unwrap();
    home.good(&["import", file.to_str().unwrap(), "--into", "ann"]);
    home.good(&["user", "remove", "ann"]);
    assert_eq!(json_lines(&home.good(&["list", "--json"])).len(), 1);
    home.good(&["search", "xyzzyplugh"]);
    let data = home.path().join("data/restante");
    let there = || {
        let read = |name| fs::read(data.join(name)).unwrap_or_default();
        let octets = [read("search.db"), read("search.db-wal")].concat();
        octets.windows(10).any(|found| found == b"xyzzyplugh")
    };
    assert!(there(), "the word is looked for where it was");
    home.good(&["user", "remove", "ann", "--erase"]);
    assert!(!there());
    assert_eq!(home.good(&["list", "--json"]), "");
    assert_eq!(home.good(&["list", "--deleted", "--json"]), "");
    assert_eq!(home.good(&["user", "list", "--json"]), "");
}

#[test]
fn the_first_mailbox_is_made_for_what_is_taken_in_and_a_misspelt_one_is_not() {
    let home = Home::new();
    let file = home.path().join("a.eml");
    fs::write(&file, "From: a@example.org\nSubject: quux\n\nHello\n").unwrap();
    let file = file.to_str().unwrap();
    home.good(&["import", file]);
    home.good(&["import", file, "--into", "me"]);
    let found = json_lines(&home.good(&["search", "quux", "--json"]));
    assert_eq!((found.len(), &found[0]["mailbox"]), (1, &"me".into()));
    let output = home.run(&["import", file, "--into", "mee"]);
    assert_eq!(output.status.code(), Some(67));
    assert!(String::from_utf8_lossy(&output.stderr).contains("restante user add mee"));
}

#[test]
fn mistakes_are_told_with_what_to_do_and_an_exit_code() {
    let home = Home::new();
    for (words, code, says) in [
        (&["list"][..], 67, "restante import"),
        (&["show", "nonsense"], 64, "26 characters"),
        (&["import", "/nowhere"], 67, "/nowhere"),
        (&["user", "add", "ann"], 64, "--password-stdin"),
        (
            &["--config", "/nowhere.toml", "status"],
            78,
            "/nowhere.toml",
        ),
        (&[], 64, "restante serve"),
    ] {
        let output = home.run(words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(says), "{words:?}: {told}");
    }
    let file = home.path().join("c.toml");
    fs::write(&file, "[pop3]\nlisten = 110\nexclusiv = true\n").unwrap();
    let output = home.run(&["--config", file.to_str().unwrap(), "config", "check"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        told.contains("c.toml:2:") && told.contains("c.toml:3:"),
        "{told}"
    );
}

#[test]
fn the_configuration_shown_can_be_read_back() {
    let home = Home::new();
    let file = home.path().join("c.toml");
    let unusual = "[reader]\nunsubscribe_ca = \"/x.pem\"\ndanger_unsubscribe_private = true\n";
    fs::write(&file, unusual).unwrap();
    let shown = home.good(&["--config", file.to_str().unwrap(), "config", "show"]);
    for line in unusual.lines().skip(1) {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let shown = home.good(&["config", "show"]);
    fs::write(&file, &shown).unwrap();
    let again = home.good(&["--config", file.to_str().unwrap(), "config", "show"]);
    let body = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(body(&shown), body(&again));
}

#[test]
fn one_wrong_path_does_not_keep_the_others_out() {
    let home = Home::new();
    home.add_user("ann");
    let file = home.path().join("a.eml");
    fs::write(&file, "Subject: one\n\nbody\n").unwrap();
    let output = home.run(&[
        "import",
        "/nowhere",
        file.to_str().unwrap(),
        "--into",
        "ann",
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(json_lines(&home.good(&["list", "--json"])).len(), 1);
    let wrong = home.run(&["--json", "show", "nonsense"]);
    let told: serde_json::Value = serde_json::from_slice(&wrong.stderr).unwrap();
    assert_eq!(told["code"], 64);
    assert_eq!(home.run(&["nonsense"]).status.code(), Some(64));
    assert!(home.good(&["man", "user"]).contains("restante"));
}

fn dialogue(port: u16, lines: &[&str]) -> Vec<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut answers = Vec::new();
    let mut answer = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    answers.push(answer());
    for line in lines {
        (&stream)
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
        answers.push(answer());
    }
    answers
}

#[test]
fn a_deleted_message_comes_back_while_the_server_runs() {
    let home = Home::new();
    home.add_user("ann");
    let file = home.path().join("a.eml");
    fs::write(&file, "Subject: one\r\n\r\nbody\r\n").unwrap();
    let (server, port) = serve(&home, &home.path().join("c.toml"), "");
    // Another process stores; the server sees it at the next login.
    home.good(&["import", file.to_str().unwrap(), "--into", "ann"]);
    let answers = dialogue(
        port,
        &["USER ann", "PASS secret word", "STAT", "DELE 1", "QUIT"],
    );
    assert_eq!(answers[3], "+OK 1 22", "{answers:?}");
    assert!(answers[5].starts_with("+OK"), "{answers:?}");
    assert_eq!(home.good(&["list", "--json"]), "");
    let removed = json_lines(&home.good(&["list", "--deleted", "--json"]));
    assert_eq!(removed.len(), 1);
    home.good(&["undelete", removed[0]["id"].as_str().unwrap()]);
    let answers = dialogue(port, &["USER ann", "PASS secret word", "STAT", "QUIT"]);
    assert_eq!(answers[3], "+OK 1 22", "{answers:?}");
    let wrong = dialogue(port, &["USER ann", "PASS wrong"]);
    assert!(wrong[2].starts_with("-ERR [AUTH]"), "{wrong:?}");
    // A changed password counts at once, though another process changed it.
    assert!(
        home.tell(&["user", "passwd", "ann", "--password-stdin"], "new\n")
            .status
            .success()
    );
    let old = dialogue(port, &["USER ann", "PASS secret word"]);
    assert!(old[2].starts_with("-ERR [AUTH]"), "{old:?}");
    let new = dialogue(port, &["USER ann", "PASS new"]);
    assert!(new[2].starts_with("+OK"), "{new:?}");
    let log = server.stop();
    assert!(
        !log.contains("secret word") && log.contains("stopped"),
        "{log}"
    );
}

/// What a domain with `[setup]` tells the world, for `discover` to ask.
struct Told {
    records: Vec<serde_json::Value>,
    autoconfig: Vec<u8>,
}

impl Net for Told {
    fn srv<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>> {
        let name = format!("{}.", name.trim_end_matches('.'));
        let of_name = self
            .records
            .iter()
            .filter(|record| record["type"] == "SRV" && record["name"] == name.as_str());
        let number = |value: &serde_json::Value| u16::try_from(value.as_u64().unwrap()).unwrap();
        let found = of_name.map(|record| Srv {
            priority: number(&record["priority"]),
            weight: number(&record["weight"]),
            port: number(&record["port"]),
            target: record["target"].as_str().unwrap().to_owned(),
        });
        let found = found.collect();
        Box::pin(async move { found })
    }
    fn mx<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
    fn get<'a>(&'a self, url: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        let ours = url.starts_with("https://autoconfig.example.org/mail/config-v1.1.xml");
        Box::pin(async move { ours.then(|| self.autoconfig.clone()) })
    }
    fn greets<'a>(&'a self, _: &'a Remote) -> Answer<'a, bool> {
        Box::pin(async { false })
    }
}

#[tokio::test]
async fn a_domain_that_sets_clients_up_is_found_by_our_own_client() {
    let home = Home::new();
    let config = home.path().join("c.toml");
    let (pop3, http) = (free_port(), free_port());
    let text = format!(
        "domains = [\"example.org\"]\n[pop3]\nlisten = [\"127.0.0.1:{pop3}\"]\ntls_listen = []\n[lmtp]\nlisten = []\n[reader]\nlisten = []\n\
         [setup]\nhost = \"mail.example.org\"\nlisten = [\"127.0.0.1:{http}\"]\nkeep = \"30 days\"\npop3s_port = 995\n"
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    // What is shown can be read back, here too.
    let shown = home.good(&["--config", config, "config", "show"]);
    let again = home.path().join("again.toml");
    fs::write(&again, &shown).unwrap();
    let again = home.good(&["--config", again.to_str().unwrap(), "config", "show"]);
    assert!(
        shown.contains("[setup]")
            && shown.split_once('\n').unwrap().1 == again.split_once('\n').unwrap().1
    );

    let records = json_lines(&home.good(&["--config", config, "config", "dns", "--json"]));
    let _server = start(&home, config, http);
    let mut stream = TcpStream::connect(("127.0.0.1", http)).unwrap();
    stream
        .write_all(b"GET /mail/config-v1.1.xml HTTP/1.1\r\nHost: autoconfig.example.org\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    let told = Told {
        records,
        autoconfig: answer.split_off(body),
    };
    let found = discover("ann@example.org", &told, Discover::default())
        .await
        .unwrap();
    let places: Vec<_> = found
        .candidates
        .iter()
        .map(|candidate| (candidate.server.place.to_string(), candidate.origin))
        .collect();
    assert!(
        places.contains(&("mail.example.org:995".to_owned(), Origin::Srv)),
        "{places:?}"
    );
    let only_file = Told {
        records: Vec::new(),
        ..told
    };
    let found = discover("ann@example.org", &only_file, Discover::default())
        .await
        .unwrap();
    let places: Vec<_> = found
        .candidates
        .iter()
        .map(|candidate| candidate.server.place.to_string())
        .collect();
    assert_eq!(
        places,
        ["mail.example.org:995", &format!("mail.example.org:{pop3}")]
    );
}

#[test]
fn records_need_a_name_that_clients_use() {
    let home = Home::new();
    let output = home.run(&["config", "dns"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("[setup]"));
}

/// The address is for a click or a copy: nothing else stands on its line.
#[test]
#[cfg(unix)]
fn the_readers_address_has_a_line_of_its_own() {
    let home = Home::new();
    let file = home.path().join("a.eml");
    fs::write(&file, "To: a\n\n").unwrap();
    home.good(&["import", file.to_str().unwrap()]);
    let mut child = home
        .command(&["read", "--no-open"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.next().unwrap().unwrap();
    assert_eq!(told, "Your mail is here until Ctrl-C:");
    let address = lines.next().unwrap().unwrap();
    let (_, token) = address.split_once("/enter?token=").unwrap();
    assert!(
        token.bytes().all(|octet| octet.is_ascii_alphanumeric()),
        "{address}"
    );
    let id = child.id().to_string();
    let ended = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(ended.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
