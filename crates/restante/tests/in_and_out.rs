//! Export, then import elsewhere: the same bytes, times and marks. The exporter and the importer know
//! nothing of each other but the files.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use restante_access::export::{self, ExportError, Format, Selection, export};
use restante_intake::import::{self, Marked, Marker, import};
use restante_store::marks::Marks;
use restante_store::{
    Delivery, MailStore, MailboxId, MessageFilter, MessageInfo, StoreError, UniqueId,
};
use restante_testkit::exec::{block_on, read_all, seal};
use restante_testkit::{MemoryStore, Op, corpus};

const FORMS: [(Format, &str); 4] = [
    (Format::Mbox, "out.mbox"),
    (Format::Maildir, "maildir"),
    (Format::Eml, "eml"),
    (Format::Zip, "out.zip"),
];

struct House {
    store: MemoryStore,
    mailbox: MailboxId,
    marks: BTreeMap<UniqueId, Marks>,
}

impl Marker for House {
    fn mark(&mut self, marked: &[Marked]) -> Result<(), String> {
        for one in marked {
            self.marks
                .entry(one.id)
                .or_default()
                .merge(one.marks.clone());
        }
        Ok(())
    }
}

impl House {
    fn new() -> Self {
        let store = MemoryStore::new();
        let mailbox = block_on(store.create_mailbox("me")).unwrap();
        let marks = BTreeMap::new();
        Self {
            store,
            mailbox,
            marks,
        }
    }

    fn deliver(&mut self, bytes: &[u8], received_ms: u64, marks: Marks) {
        let delivery = Delivery {
            mailbox: self.mailbox,
            message: seal(&self.store, bytes).unwrap(),
            received_ms,
            source: None,
        };
        let ids = block_on(self.store.commit(vec![delivery])).unwrap();
        self.marks.insert(ids[0], marks);
    }

    /// Awkward and usual messages, each once, with all kinds of marks.
    fn full() -> Self {
        let mut house = Self::new();
        let mut all = corpus::odd();
        all.extend(corpus::small());
        all.extend(corpus::real().into_iter().step_by(20));
        let long = corpus::usual(7, 3_000_000);
        let odd: [&[u8]; 6] = [
            b"From here on\n\nFrom x Fri Jul  8 12:08:34 2011\nTo: a\n\n>From b\n",
            b"Content-Length: 3\n\nabcdef\n",
            b"X-Gmail-Labels: Trash\nX-Mozilla-Status: 0008\nTo: exactly so\n\n",
            b"X-Mozilla-Status: 0009\n\nno line end",
            b"PK\x03\x04 is no zip",
            &long,
        ];
        let odd = odd.map(<[u8]>::to_vec);
        let mut seen = std::collections::HashSet::new();
        let all = all.into_iter().map(|sample| sample.bytes).chain(odd);
        for (n, bytes) in (0u64..).zip(all) {
            if seen.insert(bytes.clone()) {
                let labels = (0..n % 3).map(|label| format!("Ärger, \"{label}\""));
                let marks = Marks {
                    read: Some(n % 2 == 0),
                    starred: n % 5 == 0,
                    archived: n % 7 == 0,
                    junk: [None, Some(true), Some(false)][n as usize % 3],
                    labels: labels.collect(),
                    thread: None,
                };
                house.deliver(&bytes, 1_310_126_914_007 + n * 1_001, marks);
            }
        }
        house
    }

    fn infos(&self) -> Vec<MessageInfo> {
        block_on(
            self.store
                .browse(self.mailbox, MessageFilter::Live, None, 1_000_000),
        )
        .unwrap()
    }

    /// Bytes, time and marks of each message.
    fn mail(&self) -> Vec<(Vec<u8>, u64, Marks)> {
        let infos = self.infos().into_iter();
        let mut all: Vec<_> = infos
            .map(|info| {
                let mut body = block_on(self.store.read(info.unique_id)).unwrap();
                let bytes = read_all(body.as_mut()).unwrap();
                let marks = self.marks.get(&info.unique_id).cloned();
                (bytes, info.received_ms, marks.unwrap_or_default())
            })
            .collect();
        all.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        all
    }

    fn export(&self, dest: &Path, format: Format) -> Result<export::Summary, ExportError> {
        let selection = Selection::Mailbox(self.mailbox);
        let mut marks = |ids: &[UniqueId]| {
            let marks = ids.iter().map(|id| self.marks.get(id).cloned());
            Ok(marks.map(Option::unwrap_or_default).collect())
        };
        export(
            &self.store,
            selection,
            dest,
            format,
            &mut marks,
            &mut |_| (),
        )
    }

    fn take(path: &Path) -> Self {
        let mut house = Self::new();
        let store = house.store.clone();
        let options = import::Options::default();
        let mailbox = house.mailbox;
        let summary = import(&store, mailbox, path, &options, &mut house, &mut |_| ()).unwrap();
        assert!(summary.failed.is_empty(), "{:?}", summary.failed);
        assert_eq!(summary.already_there, 0);
        house
    }
}

fn same(found: &House, expected: &House, what: &str) {
    let (found, expected) = (found.mail(), expected.mail());
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            found == expected,
            "{what}\n{}, {}, {:?}\n--- instead of\n{}, {}, {:?}",
            found.0[..found.0.len().min(400)].escape_ascii(),
            found.1,
            found.2,
            expected.0[..expected.0.len().min(400)].escape_ascii(),
            expected.1,
            expected.2,
        );
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => {
                let bytes = fs::read(&path).unwrap();
                all.insert(path, bytes);
            }
        }
    }
    all
}

#[test]
fn what_goes_out_comes_in_again() {
    let house = House::full();
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in FORMS {
        let dest = folder.path().join(name);
        let summary = house.export(&dest, format).unwrap();
        assert_eq!(summary.exported, house.infos().len() as u64);
        same(&House::take(&dest), &house, name);
    }
}

/// Prints the messages of an mbox and of a Maildir, and the Maildir's flags.
const READ: &str = r#"
import mailbox, sys
box = mailbox.mbox(sys.argv[1], create=False)
for key in box.keys(): print("mbox", box.get_bytes(key).hex())
folder = mailbox.Maildir(sys.argv[2], create=False, factory=None)
for key in folder.keys():
    octets = open(folder._path + "/" + folder._lookup(key), "rb").read()
    print("maildir", octets.hex(), folder.get_message(key).get_flags())
"#;

#[test]
fn python_reads_what_goes_out() {
    let mut house = House::new();
    let flags = |n: u64| (n.is_multiple_of(2), n.is_multiple_of(3));
    for n in 0..6 {
        let (read, starred) = flags(n);
        let marks = Marks {
            read: Some(read),
            starred,
            ..Marks::default()
        };
        house.deliver(&corpus::usual(n, 900), 1_310_126_914_000 + n, marks);
    }
    let folder = tempfile::tempdir().unwrap();
    let mbox = folder.path().join("out.mbox");
    let maildir = folder.path().join("maildir");
    house.export(&mbox, Format::Mbox).unwrap();
    house.export(&maildir, Format::Maildir).unwrap();
    let python = std::process::Command::new("python3")
        .args(["-c", READ])
        .args([&mbox, &maildir])
        .output()
        .expect("this test needs python3: apt install python3");
    assert!(python.status.success(), "{python:?}");
    let mut expected = Vec::new();
    for n in 0..6 {
        let (read, starred) = flags(n);
        let octets = corpus::usual(n, 900);
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let letters = [(starred, "F"), (read, "S")];
        let letters = letters.iter().filter(|(is_set, _)| *is_set);
        let letters: String = letters.map(|(_, letter)| *letter).collect();
        expected.push(format!("mbox {hex}"));
        expected.push(format!("maildir {hex} {letters}").trim_end().to_owned());
    }
    expected.sort();
    let text = String::from_utf8(python.stdout).unwrap();
    let mut found: Vec<_> = text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_second_export_adds_what_is_new_and_nothing_else() {
    let mut house = House::new();
    for n in 0..5 {
        house.deliver(
            &corpus::usual(n, 300),
            1_000_000_000_000 + n,
            Marks::default(),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in FORMS {
        let dest = folder.path().join(name);
        assert_eq!(house.export(&dest, format).unwrap().exported, 5);
        let before = files(folder.path());
        assert_eq!(house.export(&dest, format).unwrap().already_there, 5);
        let after = files(folder.path());
        assert!(before.keys().eq(after.keys()), "{name}");
    }
    house.deliver(b"To: new\n\n", 1_000_000_000_900, Marks::default());
    let first = *house.marks.keys().next().unwrap();
    house
        .marks
        .get_mut(&first)
        .unwrap()
        .labels
        .insert("later".to_owned());
    for (format, name) in FORMS {
        let dest = folder.path().join(name);
        let summary = house.export(&dest, format).unwrap();
        assert_eq!((summary.exported, summary.already_there), (1, 5), "{name}");
        let taken = House::take(&dest);
        let labels = taken
            .mail()
            .into_iter()
            .map(|(_, _, marks)| marks.labels.len());
        assert_eq!(labels.sum::<usize>(), 1, "{name}");
        assert_eq!(taken.infos().len(), 6);
    }
}

#[test]
fn an_export_that_was_cut_off_goes_on() {
    let mut house = House::new();
    for n in 0..450 {
        let marks = Marks {
            read: Some(n % 2 == 0),
            ..Marks::default()
        };
        house.deliver(&corpus::usual(n, 300), 1_000_000_000_000 + n, marks);
    }
    let broken = StoreError::Temporary("the disk is gone".to_owned());
    for (format, name) in FORMS {
        let folder = tempfile::tempdir().unwrap();
        let dest = folder.path().join(name);
        // Two batches are durable, and a part of the third is there.
        house.store.fail_always(Op::Read, None);
        let mut told = 0;
        let mut marks =
            |ids: &[UniqueId]| Ok(ids.iter().map(|id| house.marks[id].clone()).collect());
        let selection = Selection::Mailbox(house.mailbox);
        let cut = export(
            &house.store,
            selection,
            &dest,
            format,
            &mut marks,
            &mut |_| {
                told += 1;
                if told == 430 {
                    house.store.fail_always(Op::Read, Some(broken.clone()));
                }
            },
        );
        assert!(
            matches!(&cut, Err(ExportError::Store(error)) if *error == broken),
            "{cut:?}"
        );
        house.store.fail_always(Op::Read, None);
        let summary = house.export(&dest, format).unwrap();
        let there = if format == Format::Zip { 0 } else { 400 };
        assert_eq!(
            (summary.exported, summary.already_there),
            (450 - there, there),
            "{name}"
        );
        same(&House::take(&dest), &house, name);
    }
}

/// Every length that a crash can leave an mbox and its file of marks at, within what the syncs allow.
#[test]
fn an_mbox_goes_on_wherever_it_was_cut() {
    let mut house = House::new();
    for n in 0..3 {
        house.deliver(
            &corpus::usual(n, 120),
            1_000_000_000_000 + n,
            Marks::default(),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let dest = folder.path().join("a.mbox");
    house.export(&dest, Format::Mbox).unwrap();
    let side = restante_store::marks::beside(&dest);
    let old_mail = fs::read(&dest).unwrap();
    for n in 3..6 {
        house.deliver(
            &corpus::usual(n, 120),
            1_000_000_000_000 + n,
            Marks::default(),
        );
    }
    house.export(&dest, Format::Mbox).unwrap();
    let (mail, marks) = (fs::read(&dest).unwrap(), fs::read_to_string(&side).unwrap());
    assert!(mail.starts_with(&old_mail));
    // The mail is synced before its lines are written.
    let goes_on = format!("{{\"octets\":{},\"goes_on\":true}}\n", old_mail.len());
    let place = marks.find(&goes_on).unwrap() + goes_on.len();
    let (begun, tail) = marks.split_at(place);
    let half = (old_mail.len()..=mail.len()).map(|cut| (cut, begun.to_owned()));
    let named = (0..tail.len()).map(|cut| (mail.len(), [begun, &tail[..cut]].concat()));
    for (cut, lines) in half.chain(named) {
        fs::write(&dest, &mail[..cut]).unwrap();
        fs::write(&side, &lines).unwrap();
        house.export(&dest, Format::Mbox).unwrap();
        assert_eq!(fs::read(&dest).unwrap(), mail, "{cut}");
    }
    same(&House::take(&dest), &house, "the last one");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let mut house = House::new();
    house.deliver(b"To: a\n\n", 1, Marks::default());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("out.mbox"), "precious").unwrap();
    // A zip, of no files.
    fs::write(path("out.zip"), [&b"PK\x05\x06"[..], &[0; 18]].concat()).unwrap();
    fs::create_dir(path("eml")).unwrap();
    fs::write(path("eml/x"), "precious").unwrap();
    fs::write(path("maildir"), "precious").unwrap();
    let before = files(folder.path());
    for (format, name) in FORMS {
        let refused = house.export(&path(name), format);
        assert!(
            matches!(refused, Err(ExportError::Foreign(_))),
            "{name}: {refused:?}"
        );
    }
    assert!(before == files(folder.path()));
    // Mail that another program has added since is not cut off.
    house.export(&path("b.mbox"), Format::Mbox).unwrap();
    let mut mail = fs::read(path("b.mbox")).unwrap();
    mail.extend_from_slice(b"From b Fri Jul  8 12:08:34 2011\nTo: b\n\n");
    fs::write(path("b.mbox"), &mail).unwrap();
    let refused = house.export(&path("b.mbox"), Format::Mbox);
    assert!(
        matches!(refused, Err(ExportError::Changed(_))),
        "{refused:?}"
    );
    assert_eq!(fs::read(path("b.mbox")).unwrap(), mail);
}

#[test]
fn a_damaged_message_is_named_and_the_rest_goes_on() {
    let mut house = House::new();
    for n in 0..3 {
        house.deliver(
            &corpus::usual(n, 300),
            1_000_000_000_000 + n,
            Marks::default(),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in FORMS {
        let dest = folder.path().join(name);
        house
            .store
            .fail_next(Op::Read, StoreError::Permanent("bad frame".to_owned()));
        let summary = house.export(&dest, format).unwrap();
        assert_eq!((summary.exported, summary.failed.len()), (2, 1), "{name}");
        assert_eq!(House::take(&dest).infos().len(), 2, "{name}");
    }
}

#[test]
fn what_was_chosen_is_exported_in_its_order() {
    let mut house = House::new();
    for n in 0..4 {
        house.deliver(
            format!("To: {n}\n\n").as_bytes(),
            1_000_000_000_000,
            Marks::default(),
        );
    }
    let ids: Vec<_> = house.infos().iter().map(|info| info.unique_id).collect();
    block_on(house.store.remove(house.mailbox, &ids[1..2])).unwrap();
    let chosen = [ids[3], ids[1], ids[0]];
    let folder = tempfile::tempdir().unwrap();
    let dest = folder.path().join("some.mbox");
    let selection = Selection::Messages(&chosen);
    let mut marks = |ids: &[UniqueId]| Ok(vec![Marks::default(); ids.len()]);
    let summary = export(
        &house.store,
        selection,
        &dest,
        Format::Mbox,
        &mut marks,
        &mut |_| (),
    );
    assert_eq!(summary.unwrap().exported, 2);
    let text = fs::read_to_string(&dest).unwrap();
    let to: Vec<_> = text.lines().filter(|line| line.starts_with("To")).collect();
    assert_eq!(to, ["To: 3", "To: 0"]);
}
