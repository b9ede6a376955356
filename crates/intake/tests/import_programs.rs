//! Import of what other programs keep: bytes, and the marks that come with them.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use restante_intake::import::{ImportError, Marked, Marker, Options, SourceError, Summary, import};
use restante_store::marks::Marks;
use restante_store::{Delivery, MailStore, MailboxId, ViewId};
use restante_testkit::MemoryStore;
use restante_testkit::exec::{block_on, collect, seal};
use zip::write::{SimpleFileOptions, ZipWriter};

const DATE: &str = "Fri Jul  8 12:08:34 2011";

/// Keeps marks as an archive would: what is told again is merged.
#[derive(Default)]
struct Kept {
    marks: BTreeMap<String, Marks>,
    fails: bool,
}

impl Marker for Kept {
    fn mark(&mut self, marked: &[Marked]) -> Result<(), String> {
        if self.fails {
            return Err("no room for marks".to_owned());
        }
        for one in marked {
            assert!(!one.marks.is_empty());
            let marks = self.marks.entry(one.id.to_string()).or_default();
            marks.merge(one.marks.clone());
        }
        Ok(())
    }
}

struct House {
    store: MemoryStore,
    mailbox: MailboxId,
    folder: tempfile::TempDir,
    kept: Kept,
}

impl House {
    fn new() -> Self {
        let store = MemoryStore::new();
        let mailbox = block_on(store.create_mailbox("me")).unwrap();
        Self {
            store,
            mailbox,
            folder: tempfile::tempdir().unwrap(),
            kept: Kept::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn zip(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let path = self.path(name);
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    fn try_import(
        &mut self,
        path: impl AsRef<Path>,
        options: &Options,
    ) -> Result<Summary, ImportError> {
        import(
            &self.store,
            self.mailbox,
            path.as_ref(),
            options,
            &mut self.kept,
            &mut |_| (),
        )
    }

    fn import(&mut self, path: impl AsRef<Path>) -> Summary {
        let summary = self.try_import(path, &Options::default()).unwrap();
        assert!(summary.failed.is_empty(), "{:?}", summary.failed);
        summary
    }

    /// Messages as `bytes | r read or u unread, s starred, a archived, labels`.
    fn shown(&self) -> Vec<String> {
        let all = collect(&self.store, self.mailbox, ViewId::PLAIN).unwrap();
        let mut shown: Vec<_> = all
            .into_iter()
            .map(|(id, bytes)| {
                let marks = self
                    .kept
                    .marks
                    .get(&id.to_string())
                    .cloned()
                    .unwrap_or_default();
                let mut text = format!("{}|", bytes.escape_ascii());
                text.push_str(marks.read.map_or("", |read| if read { "r" } else { "u" }));
                text.push_str(if marks.starred { "s" } else { "" });
                text.push_str(if marks.archived { "a" } else { "" });
                for label in &marks.labels {
                    text.push_str(&format!(" {label}"));
                }
                text
            })
            .collect();
        shown.sort();
        shown
    }
}

#[test]
fn a_thunderbird_profile() {
    let mut house = House::new();
    let status = |status: &str, keys: &str| {
        format!(
            "From - {DATE}\nX-Account-Key: account1\nX-UIDL: 7\nX-Mozilla-Status: {status}\n\
             X-Mozilla-Status2: 00000000\nX-Mozilla-Keys: {keys}            \n"
        )
    };
    house.put("p/prefs.js", "user_pref(\"mail\", true);\n");
    house.put("p/Inbox-of-nobody", "To: not mail of the profile\n\n");
    house.put(
        "p/Mail/pop.example.org/Inbox",
        [
            status("0001", ""),
            "To: read\n\n\n".to_owned(),
            status("0009", ""),
            "To: deleted\n\n\n".to_owned(),
            status("0004", "$label1 rust"),
            "To: new and starred\n\n\n".to_owned(),
        ]
        .concat(),
    );
    house.put(
        "p/Mail/pop.example.org/Inbox.msf",
        "// <!-- <mdb:mork:z v=\"1.4\"/> -->\n",
    );
    house.put("p/Mail/pop.example.org/popstate.dat", "# POP3 State File\n");
    house.put(
        "p/Mail/Local Folders/Kunden.sbd/Müller",
        status("0001", "") + "To: customer\n\n\n",
    );
    house.put("p/Mail/Local Folders/Kunden.sbd/Müller.msf", "x");
    house.put("p/Mail/Local Folders/Kunden.msf", "x");
    house.put("p/Mail/Local Folders/Kunden", "");
    house.put("p/ImapMail/imap.example.org/Archives.msf", "x");
    house.put("p/ImapMail/imap.example.org/Archives.sbd/2019.msf", "x");
    house.put(
        "p/ImapMail/imap.example.org/Archives.sbd/2019",
        status("0001", "") + "To: read\n\n\n",
    );
    let summary = house.import(house.path("p"));
    let expected = [
        "To: customer\\n\\n|r Kunden/Müller",
        "To: new and starred\\n\\n|us important rust",
        "To: read\\n\\n|ra",
    ];
    assert_eq!(house.shown(), expected);
    assert_eq!(
        (summary.imported, summary.already_there, summary.expunged),
        (3, 1, 1)
    );
    // The same once more changes nothing.
    let summary = house.import(house.path("p"));
    assert_eq!((summary.imported, summary.already_there), (0, 4));
    assert_eq!(house.shown(), expected);
}

#[test]
fn takeout_brings_labels_to_what_was_fetched() {
    let mut house = House::new();
    let fetched = b"Delivered-To: me@gmail.com\r\nSubject: a\r\n\r\nFrom here\r\n";
    let delivery = Delivery {
        mailbox: house.mailbox,
        message: seal(&house.store, fetched).unwrap(),
        received_ms: 1,
        source: None,
    };
    block_on(house.store.commit(vec![delivery])).unwrap();
    let takeout = |line: &str| {
        let lines = [
            "From 1584@xxx Fri Jul 08 12:08:34 +0000 2011",
            "X-GM-THRID: 1584",
            "X-Gmail-Labels: Archived,Work,Unread",
            "Delivered-To: me@gmail.com",
            "Subject: a",
            "",
            ">From here",
            "",
            "From 1585@xxx Fri Jul 08 12:08:34 +0000 2011",
            "X-GM-THRID: 1584",
            "X-Gmail-Labels: =?UTF-8?Q?Papierkorb,Ge=C3=B6ffnet,Markiert?=",
            "Subject: b",
            "",
            "b",
            "",
        ];
        lines.map(|text| format!("{text}{line}")).concat()
    };
    let expected = [
        "Delivered-To: me@gmail.com\\r\\nSubject: a\\r\\n\\r\\nFrom here\\r\\n|ua Work",
        "Subject: b\\r\\n\\r\\nb\\r\\n|rs trash",
    ];
    for line in ["\r\n", "\n"] {
        let file = house.zip(
            "takeout.zip",
            &[
                ("Takeout/archive_browser.html", b"<html>"),
                (
                    "Takeout/Mail/All mail Including Spam and Trash.mbox",
                    takeout(line).as_bytes(),
                ),
            ],
        );
        let summary = house.import(&file);
        let is_first = line == "\r\n";
        assert_eq!(summary.imported, u64::from(is_first), "{line:?}");
        assert_eq!(summary.marked, 2);
        assert_eq!(house.shown(), expected);
    }
    let threads = house
        .kept
        .marks
        .values()
        .map(|marks| marks.thread.as_deref());
    assert_eq!(threads.collect::<Vec<_>>(), [Some("1584"); 2]);
}

#[test]
fn apple_mail() {
    let mut house = House::new();
    let emlx = |text: &str, flags: u32| {
        format!(
            "{:<10}\n{text}<?xml version=\"1.0\"?>\n<plist version=\"1.0\"><dict>\n\
             <key>flags</key>\n<integer>{flags}</integer>\n</dict></plist>\n",
            text.len()
        )
    };
    let folder = "V10/Kunden.mbox/5F/Data/Messages";
    house.put(&format!("{folder}/1.emlx"), emlx("To: one\n\n1", 1));
    house.put(&format!("{folder}/2.partial.emlx"), emlx("To: two\n\n", 16));
    house.put(&format!("{folder}/3.emlx"), "99\nTo: three\n\n");
    let summary = house
        .try_import(house.path("V10"), &Options::default())
        .unwrap();
    assert_eq!(
        house.shown(),
        ["To: one\\n\\n1|r Kunden", "To: two\\n\\n|us Kunden"]
    );
    assert_eq!(
        summary.partial,
        [house.path(&format!("{folder}/2.partial.emlx"))]
    );
    let (path, error) = &summary.failed[0];
    assert!(
        path.ends_with("3.emlx") && error.to_string().contains("cut short"),
        "{error}"
    );
    assert_eq!(summary.failed.len(), 1);
}

#[test]
fn a_maildir_with_flags_keywords_and_folders() {
    let mut house = House::new();
    for part in [
        "new",
        "cur",
        ".Sent/new",
        ".Sent/cur",
        ".Lists.b&APw-cher/cur",
        ".Lists.b&APw-cher/new",
    ] {
        fs::create_dir_all(house.path("m").join(part)).unwrap();
    }
    house.put("m/new/1.1.h", "To: new\n\n");
    house.put("m/cur/2.1.h:2,FRSa", "To: old\n\n");
    house.put("m/cur/3.1.h:2,DT", "To: draft\n\n");
    house.put("m/dovecot-keywords", "0 rust\n1 NonJunk\n");
    house.put("m/.Sent/cur/4.1.h:2,S", "To: sent\n\n");
    house.put("m/.Lists.b&APw-cher/cur/5.1.h:2,S", "To: list\n\n");
    house.import(house.path("m"));
    assert_eq!(
        house.shown(),
        [
            "To: draft\\n\\n|u draft trash",
            "To: list\\n\\n|r Lists/bücher",
            "To: new\\n\\n|u",
            "To: old\\n\\n|rs rust",
            "To: sent\\n\\n|r sent",
        ]
    );
}

/// In a folder and in a zip of it: the names below the root are labels, the root's own is none.
#[test]
fn folders_of_messages_are_labels() {
    let files: [(&str, &[u8]); 7] = [
        ("top.eml", b"To: top\n\n"),
        ("Spam/1.eml", b"To: spam\n\n"),
        ("Kunden/M\u{fc}ller/2.eml", b"To: kunde\n\n"),
        (
            "Kunden/box",
            b"From a Fri Jul  8 12:08:34 2011\nTo: box\n\n",
        ),
        ("Trash/3.eml", b"To: trash\n\n"),
        ("Archive/2019/4.eml", b"To: old\n\n"),
        ("INBOX/5", b"To: inbox\n\n"),
    ];
    let expected = [
        "To: box\\n|",
        "To: inbox\\n\\n|",
        "To: kunde\\n\\n| Kunden/M\u{fc}ller",
        "To: old\\n\\n|a",
        "To: spam\\n\\n| junk",
        "To: top\\n\\n|",
        "To: trash\\n\\n| trash",
    ];
    let mut house = House::new();
    for (name, bytes) in files {
        house.put(&format!("mail/{name}"), bytes);
    }
    house.import(house.path("mail"));
    assert_eq!(house.shown(), expected);
    let mut house = House::new();
    let zip = house.zip("x.zip", &files);
    house.import(zip);
    assert_eq!(house.shown(), expected);
    // What is there already gets the labels.
    let mut house = House::new();
    let flat: Vec<_> = files
        .map(|(name, bytes)| (name.rsplit('/').next().unwrap(), bytes))
        .into();
    let zip = house.zip("flat.zip", &flat);
    house.import(zip);
    let inside = files.map(|(name, bytes)| (format!("mail/{name}"), bytes));
    let inside: Vec<_> = inside
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .collect();
    let zip = house.zip("y.zip", &inside);
    let summary = house.import(zip);
    assert_eq!((summary.imported, summary.already_there), (0, 7));
    assert_eq!(house.shown(), expected);
    // Nothing but a folder of spam, and nothing but a folder called as the zip is.
    let mut house = House::new();
    let zip = house.zip("spam.zip", &[("Spam/1.eml", b"To: spam\n\n")]);
    house.import(zip);
    let zip = house.zip("mine.zip", &[("mine/1.eml", b"To: mine\n\n")]);
    house.import(zip);
    assert_eq!(house.shown(), ["To: mine\\n\\n|", "To: spam\\n\\n| junk"]);
}

#[test]
fn a_zip_of_messages_and_what_is_wrong_with_some() {
    let mut house = House::new();
    let mut bomb = b"To: a\n\n".to_vec();
    bomb.resize(40_000_000, b'a');
    let inner = fs::read(house.zip("inner.zip", &[("a.eml", b"To: a\n\n")])).unwrap();
    let file = house.zip(
        "mail.zip",
        &[
            ("1.eml", b"To: 1\r\n\r\n"),
            ("../../etc/2.eml", b"To: 2\r\n\r\n"),
            ("/3.eml", b"To: 3\r\n\r\n"),
            ("bomb.eml", &bomb),
            ("inner.zip", &inner),
            ("picture.png", b"\x89PNG"),
            ("__MACOSX/._1.eml", b"\0\x05\x16\x07"),
            ("box", format!("From a {DATE}\nTo: 4\n\n").as_bytes()),
        ],
    );
    let summary = house.try_import(&file, &Options::default()).unwrap();
    assert_eq!(
        house.shown(),
        [
            "To: 1\\r\\n\\r\\n|",
            "To: 2\\r\\n\\r\\n|",
            "To: 3\\r\\n\\r\\n|",
            "To: 4\\n|"
        ]
    );
    let failed: Vec<_> = summary
        .failed
        .iter()
        .map(|(path, error)| (path.file_name().unwrap().to_str().unwrap(), error))
        .collect();
    assert!(
        matches!(
            failed[..],
            [
                ("bomb.eml", SourceError::ZipBomb),
                ("inner.zip", SourceError::NestedZip),
                ("picture.png", SourceError::NoMail)
            ]
        ),
        "{failed:?}"
    );
    // Nothing was unpacked.
    let mut names: Vec<_> = fs::read_dir(house.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["inner.zip", "mail.zip"]);
    // Every cut of it is told, and nothing panics.
    let bytes = fs::read(&file).unwrap();
    for cut in (4..bytes.len()).step_by(997) {
        let path = house.put("cut.zip", &bytes[..cut]);
        let summary = house.try_import(&path, &Options::default()).unwrap();
        assert!(!summary.failed.is_empty(), "{cut}");
    }
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_else() {
    use std::os::unix::fs::symlink;
    let mut house = House::new();
    house.put("secret.eml", "To: secret\n\n");
    house.put("mail/real.eml", "To: real\n\n");
    symlink("../secret.eml", house.path("mail/away.eml")).unwrap();
    symlink("real.eml", house.path("mail/within.eml")).unwrap();
    fs::create_dir_all(house.path("mail/m/new")).unwrap();
    fs::create_dir_all(house.path("mail/m/cur")).unwrap();
    symlink("../../../secret.eml", house.path("mail/m/cur/1.1.h:2,S")).unwrap();
    symlink("../..", house.path("mail/m/.Up")).unwrap();
    let summary = house
        .try_import(house.path("mail"), &Options::default())
        .unwrap();
    assert_eq!(house.shown(), ["To: real\\n\\n|"]);
    assert_eq!((summary.imported, summary.already_there), (1, 1));
    let away = summary.failed.iter();
    assert_eq!(
        away.filter(|(_, error)| matches!(error, SourceError::LinkedAway))
            .count(),
        2
    );
    // What is named itself is followed.
    let link = house.path("mail/away.eml");
    assert_eq!(house.import(link).imported, 1);
}

#[test]
fn a_dry_run_stores_and_marks_nothing() {
    let mut house = House::new();
    house.put("m/cur/1.1.h:2,S", "To: a\n\n");
    house.put("m/cur/2.1.h:2,S", "To: a\n\n");
    house.put("m/cur/3.1.h:2,S", "To: b\n\n");
    fs::create_dir_all(house.path("m/new")).unwrap();
    let options = Options {
        dry_run: true,
        ..Options::default()
    };
    let summary = house.try_import(house.path("m"), &options).unwrap();
    assert_eq!(
        (summary.imported, summary.already_there, summary.marked),
        (2, 1, 3)
    );
    assert!(house.shown().is_empty() && house.kept.marks.is_empty());
    // Of a mailbox that is not made yet, too.
    let mut marker = ();
    let nowhere = MailboxId::from_bytes([0; 16]);
    let path = house.path("m");
    let summary = import(
        &house.store,
        nowhere,
        &path,
        &options,
        &mut marker,
        &mut |_| (),
    );
    assert_eq!(summary.unwrap().imported, 2);
}

#[test]
fn marks_that_were_not_kept_come_with_the_next_run() {
    let mut house = House::new();
    house.put("m/cur/1.1.h:2,FS", "To: a\n\n");
    fs::create_dir_all(house.path("m/new")).unwrap();
    house.kept.fails = true;
    let error = house.try_import(house.path("m"), &Options::default());
    assert!(
        matches!(error, Err(ImportError::Marks { imported: 1, .. })),
        "{error:?}"
    );
    house.kept.fails = false;
    let summary = house.import(house.path("m"));
    assert_eq!((summary.imported, summary.already_there), (0, 1));
    assert_eq!(house.shown(), ["To: a\\n\\n|rs"]);
}
