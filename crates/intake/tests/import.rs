//! Import against the in-memory store.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use restante_intake::import::{ImportError, Options, SourceError, Summary, import, import_from};
use restante_store::mbox::Writer;
use restante_store::{MailStore, MailboxId, MessageFilter, StoreError, ViewId, maildir};
use restante_testkit::exec::{block_on, collect};
use restante_testkit::{MemoryStore, Op, corpus};

const DATE: &str = "Fri Jul  8 12:08:34 2011";
const DATE_MS: u64 = 1_310_126_914_000;

struct House {
    store: MemoryStore,
    mailbox: MailboxId,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let store = MemoryStore::new();
        let mailbox = block_on(store.create_mailbox("me")).unwrap();
        Self {
            store,
            mailbox,
            folder: tempfile::tempdir().unwrap(),
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

    fn import(&self, path: impl AsRef<Path>) -> Summary {
        self.import_as(path, &Options::default()).unwrap()
    }

    fn import_as(&self, path: impl AsRef<Path>, options: &Options) -> Result<Summary, ImportError> {
        import(
            &self.store,
            self.mailbox,
            path.as_ref(),
            options,
            &mut (),
            &mut |_| (),
        )
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        let all = collect(&self.store, self.mailbox, ViewId::PLAIN).unwrap();
        all.into_iter().map(|(_, bytes)| bytes).collect()
    }

    fn texts(&self) -> Vec<String> {
        let texts = self.bodies().into_iter().map(String::from_utf8);
        texts.map(Result::unwrap).collect()
    }

    fn times(&self) -> Vec<u64> {
        let page = self
            .store
            .browse(self.mailbox, MessageFilter::Live, None, 100);
        block_on(page)
            .unwrap()
            .iter()
            .map(|m| m.received_ms)
            .collect()
    }
}

fn failures(summary: &Summary) -> Vec<(String, String)> {
    let shown = summary.failed.iter().map(|(path, error)| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, error.to_string())
    });
    shown.collect()
}

#[test]
fn one_message_goes_in_byte_for_byte() {
    let house = House::new();
    let bytes = "Subject: a\r\n\r\n.\n\0From here\n\nFrom x Fri Jul  8 12:08:34 2011\nno end\r";
    let path = house.put("a.eml", bytes);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let time = UNIX_EPOCH + Duration::from_millis(1_234_567_000);
    file.set_modified(time).unwrap();
    let summary = house.import(&path);
    assert_eq!((summary.imported, summary.already_there), (1, 0));
    assert_eq!(summary.octets, bytes.len() as u64);
    assert_eq!(house.texts(), [bytes]);
    assert_eq!(house.times(), [1_234_567_000]);
}

#[test]
fn an_mbox_is_taken_apart() {
    let house = House::new();
    let path = house.put(
        "box",
        format!(
            "From a {DATE}\nS: 1\n\n>From x\n\nFrom b Thu Jan  1 00:00:00 1970\r\nS: 2\r\n\r\n2\r\n"
        ),
    );
    assert_eq!(house.import(&path).imported, 2);
    assert_eq!(house.texts(), ["S: 1\n\nFrom x\n", "S: 2\r\n\r\n2\r\n"]);
    let times = house.times();
    assert_eq!(times[0], DATE_MS);
    // The first second of 1970 is no date: the file's time counts.
    assert!(times[1] > DATE_MS);
}

#[test]
fn a_folder_is_gone_through_in_order() {
    let house = House::new();
    house.put("mail/2.eml", "S: 2\n\n");
    house.put("mail/10", "To: 10\n\n");
    house.put("mail/b/x.eml", "X-Odd: 1");
    house.put(
        "mail/b/box",
        format!("From a {DATE}\nS: box 1\n\nFrom b {DATE}\nS: box 2\n"),
    );
    house.put("mail/a.MBOX", "");
    house.put("mail/.hidden", "S: hidden\n\n");
    house.put(
        "mail/c/cur/1600000000.1.h:2,S",
        format!("From in a Maildir {DATE}\nS: c1\n"),
    );
    house.put("mail/c/new/1500000000.M5000P1.h", "S: c2\n");
    house.put("mail/c/.Sent/cur/1.1.h:2,S", "S: sent\n");
    fs::create_dir_all(house.path("mail/c/.Sent/new")).unwrap();
    let summary = house.import(house.path("mail"));
    assert_eq!(failures(&summary), []);
    assert_eq!(
        house.texts(),
        [
            "S: 2\n\n",
            "To: 10\n\n",
            "S: box 1\n",
            "S: box 2\n",
            "X-Odd: 1",
            "S: c2\n",
            &format!("From in a Maildir {DATE}\nS: c1\n"),
            "S: sent\n",
        ]
    );
    assert_eq!(summary.imported, 8);
    assert_eq!(house.times()[5..7], [1_500_000_000_005, 1_600_000_000_000]);
}

#[test]
fn what_is_there_is_not_stored_again_unless_wanted() {
    let house = House::new();
    house.put("a/1.eml", "S: 1\n\n");
    house.put("a/2.eml", "S: 2\n\n");
    house.put("a/3.eml", "S: 1\n\n");
    let summary = house.import(house.path("a"));
    assert_eq!((summary.imported, summary.already_there), (2, 1));
    house.put("a/4.eml", "S: 4\n\n");
    let summary = house.import(house.path("a"));
    assert_eq!((summary.imported, summary.already_there), (1, 3));
    assert_eq!(house.texts(), ["S: 1\n\n", "S: 2\n\n", "S: 4\n\n"]);
    let again = Options {
        duplicates: true,
        ..Options::default()
    };
    let summary = house.import_as(house.path("a"), &again).unwrap();
    assert_eq!((summary.imported, summary.already_there), (4, 0));
    assert_eq!(house.bodies().len(), 7);
}

#[test]
fn what_is_there_is_learnt_page_by_page() {
    let house = House::new();
    let mut file = Writer::new(Vec::new());
    for n in 0..2_500 {
        file.begin("a", DATE_MS).unwrap();
        file.write(format!("S: {n}\n\n").as_bytes()).unwrap();
        file.end().unwrap();
    }
    let path = house.put("box", file.into_inner());
    assert_eq!(house.import(&path).imported, 2_500);
    // A hundred messages share a commit.
    assert_eq!(house.store.calls(Op::Commit), 25);
    assert_eq!(house.import(&path).already_there, 2_500);
    assert_eq!(house.store.calls(Op::Commit), 25);
}

#[test]
fn one_file_at_fault_does_not_stop_the_rest() {
    let house = House::new();
    house.put("a/1.eml", "S: 1\n\n");
    house.put("a/2.eml", "");
    house.put("a/3.png", "\x7fPNG\n\n");
    house.put("a/9.eml", "S: 9\n\n");
    fs::create_dir(house.path("a/sub")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("gone", house.path("a/4.eml")).unwrap();
        std::os::unix::fs::symlink(".", house.path("a/5")).unwrap();
        std::os::unix::fs::symlink("1.eml", house.path("a/6.eml")).unwrap();
    }
    let summary = house.import(house.path("a"));
    assert_eq!(house.texts(), ["S: 1\n\n", "S: 9\n\n"]);
    let errors: Vec<_> = summary.failed.iter().map(|(_, error)| error).collect();
    #[cfg(unix)]
    assert!(
        matches!(
            errors[..],
            [
                SourceError::Empty,
                SourceError::NoMail,
                SourceError::Io(_),
                SourceError::LinkedFolder
            ]
        ),
        "{errors:?}"
    );
    assert_eq!(summary.already_there, u64::from(cfg!(unix)));
}

#[test]
fn a_path_that_is_not_there_is_an_error() {
    let house = House::new();
    let error = house.import_as("/no/such/file", &Options::default());
    assert!(matches!(error, Err(ImportError::Source(_))), "{error:?}");
}

/// Gives some octets, then fails.
struct Breaks<'a>(&'a [u8]);

impl Read for Breaks<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::other("cable cut")),
            octets => Ok(octets),
        }
    }
}

#[test]
fn a_stream_may_be_a_message_or_an_mbox_and_may_break() {
    let house = House::new();
    let take = |mut stream: &mut dyn Read| {
        let name = Path::new("stdin");
        import_from(
            &house.store,
            house.mailbox,
            &mut stream,
            name,
            &Options::default(),
        )
        .unwrap()
    };
    assert_eq!(take(&mut &b"To: 1\r\n\r\none"[..]).imported, 1);
    let file = format!("From a {DATE}\nS: 2\n\nFrom b {DATE}\nS: 3\n\n3\n");
    assert_eq!(take(&mut file.as_bytes()).imported, 2);
    assert_eq!(take(&mut &b""[..]).imported, 0);
    // What is long enough is not needed to the end before the first message goes in; the message
    // in which the stream breaks does not.
    let long = format!(
        "From a {DATE}\nS: 4\n\n{}\nFrom b {DATE}\nS: 5\n\n{}",
        "x\n".repeat(100_000),
        "y\n".repeat(100_000)
    );
    let summary = take(&mut Breaks(long.as_bytes()));
    assert_eq!(failures(&summary), [("stdin".into(), "cable cut".into())]);
    assert_eq!(summary.imported, 1);
    assert_eq!(
        house.texts()[..3],
        ["To: 1\r\n\r\none", "S: 2\n", "S: 3\n\n3\n"]
    );
    assert_eq!(house.bodies().len(), 4);
}

#[test]
fn what_stands_before_the_first_from_line_is_kept_and_told() {
    let house = House::new();
    let path = house.put("box", format!("tail of something\n\nFrom a {DATE}\nS: 1\n"));
    let summary = house.import(&path);
    assert_eq!(house.texts(), ["tail of something\n", "S: 1\n"]);
    assert_eq!(summary.headless, [path]);
}

#[test]
fn after_a_failure_of_the_store_the_same_import_goes_on() {
    let house = House::new();
    for n in 0..150 {
        house.put(&format!("a/{n}.eml"), format!("S: {n}\n\n"));
    }
    let full = StoreError::Full {
        free: 1,
        min_free: 2,
    };
    let mut commits = 0;
    let outcome = import(
        &house.store,
        house.mailbox,
        &house.path("a"),
        &Options::default(),
        &mut (),
        &mut |progress| {
            commits += 1;
            if progress.messages == 120 {
                house.store.fail_always(Op::Commit, Some(full.clone()));
            }
        },
    );
    match outcome {
        Err(ImportError::Store { error, imported }) => assert_eq!((error, imported), (full, 100)),
        other => panic!("{other:?}"),
    }
    assert_eq!(commits, 150);
    house.store.fail_always(Op::Commit, None);
    let summary = house.import(house.path("a"));
    assert_eq!((summary.imported, summary.already_there), (50, 100));
    assert_eq!(house.bodies().len(), 150);
}

#[test]
fn progress_counts_messages_and_octets() {
    let house = House::new();
    let path = house.put(
        "box",
        format!("From a {DATE}\nS: 1\n\nFrom b {DATE}\nS: 22\n\n"),
    );
    let mut seen = Vec::new();
    import(
        &house.store,
        house.mailbox,
        &path,
        &Options::default(),
        &mut (),
        &mut |progress| {
            assert_eq!(progress.path, path);
            seen.push((progress.messages, progress.octets));
        },
    )
    .unwrap();
    assert_eq!(seen, [(1, 5), (2, 11)]);
}

#[test]
fn the_corpus_goes_through_maildir_and_mbox_unchanged() {
    let mut all = corpus::odd();
    all.extend(corpus::small());
    all.extend(corpus::real().into_iter().step_by(10));
    all.retain(|sample| !sample.bytes.is_empty());
    let again = Options {
        duplicates: true,
        ..Options::default()
    };

    let house = House::new();
    let folder = maildir::Writer::create(&house.path("Maildir")).unwrap();
    let mut file = Writer::new(Vec::new());
    for (n, sample) in all.iter().enumerate() {
        let time = DATE_MS + n as u64;
        let deliver = folder.deliver(time, |out| out.write_all(&sample.bytes));
        deliver.unwrap();
        file.begin("a@b", time).unwrap();
        file.write(&sample.bytes).unwrap();
        file.end().unwrap();
    }
    let summary = house.import_as(house.path("Maildir"), &again).unwrap();
    assert_eq!(failures(&summary), []);
    let bodies = house.bodies();
    assert_eq!(bodies.len(), all.len());
    for (sample, bytes) in all.iter().zip(&bodies) {
        assert!(sample.bytes == *bytes, "{}", sample.name);
    }

    let path = house.put("box", file.into_inner());
    let house = House::new();
    let rd = Options {
        dialect: restante_store::mbox::Variant::Mboxrd,
        ..again
    };
    let summary = house.import_as(&path, &rd).unwrap();
    assert_eq!(failures(&summary), []);
    let bodies = house.bodies();
    assert_eq!(bodies.len(), all.len());
    for (sample, bytes) in all.iter().zip(&bodies) {
        // An mbox cannot tell that a last line end was missing.
        let added = if sample.bytes.ends_with(b"\n") { 0 } else { 1 };
        assert_eq!(sample.bytes.len() + added, bytes.len(), "{}", sample.name);
        assert!(bytes.starts_with(&sample.bytes), "{}", sample.name);
    }
}

#[test]
fn an_import_stops_at_the_quota_and_keeps_what_fitted() {
    let house = House::new();
    // 23 octets each with their CRLF.
    for number in 1..=5 {
        house.put(
            &format!("box/{number}"),
            format!("Subject: {number}\n\nabcdefg\n"),
        );
    }
    let quota = |octets| Options {
        quota_octets: Some(octets),
        ..Options::default()
    };
    let stopped = house.import_as(house.path("box"), &quota(2 * 23 + 22));
    assert!(
        matches!(stopped, Err(ImportError::OverQuota { imported: 2 })),
        "{stopped:?}"
    );
    assert_eq!(house.bodies().len(), 2);
    // What is there counts, and is not taken twice.
    let stopped = house.import_as(house.path("box"), &quota(3 * 23));
    assert!(
        matches!(stopped, Err(ImportError::OverQuota { imported: 1 })),
        "{stopped:?}"
    );
    let summary = house.import_as(house.path("box"), &quota(5 * 23)).unwrap();
    assert_eq!((summary.imported, summary.already_there), (2, 3));
}
