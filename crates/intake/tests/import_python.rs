//! Import beside Python's `mailbox`, which reads and writes mbox and Maildir and shares no code with us.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::path::Path;
use std::process::Command;

use restante_intake::import::{Options, import};
use restante_store::mbox::{Quoter, Variant, Writer};
use restante_store::{MailStore, ViewId};
use restante_testkit::exec::{block_on, collect};
use restante_testkit::{MemoryStore, corpus};

/// Writes each file of the folder `in`, by name, into an mbox and a Maildir.
const WRITE: &str = r#"
import mailbox, os, sys
os.chdir(sys.argv[1])
box, folder = mailbox.mbox("box"), mailbox.Maildir("Maildir")
for name in sorted(os.listdir("in")):
    octets = open(os.path.join("in", name), "rb").read()
    box.add(octets)
    folder.add(octets)
box.close()
"#;

/// Writes each message of an mbox, as it stands there, into a file of the folder `out`.
const READ: &str = r#"
import mailbox, os, sys
os.chdir(sys.argv[1])
os.mkdir("out")
box = mailbox.mbox("box", create=False)
for number, key in enumerate(box.keys()):
    open("out/%05d" % number, "wb").write(box.get_bytes(key))
"#;

fn python(script: &str, folder: &Path) {
    let status = Command::new("python3")
        .args(["-c", script])
        .arg(folder)
        .status()
        .expect("this test needs python3: apt install python3");
    assert!(status.success());
}

/// Usual mail that ends in a line end and has no empty line there, for Python adds and takes those.
fn mail() -> Vec<Vec<u8>> {
    let real = corpus::real();
    let step = real.len().div_ceil(200).max(1);
    let mut all: Vec<_> = real
        .into_iter()
        .step_by(step)
        .map(|sample| sample.bytes)
        .collect();
    all.push(b"Subject: a\n\nFrom here\n>From there\n>>From afar\n".to_vec());
    all.push(b"Subject: b\n\n\nFrom a Fri Jul  8 12:08:34 2011\nSubject: c\n\nx\n".to_vec());
    all.retain(|bytes| {
        // A From_ line before the header belongs to the mbox it came from.
        bytes.ends_with(b"\n") && !bytes.starts_with(b"From ") && !bytes.contains(&b'\r')
    });
    all
}

fn imported(path: &Path, dialect: Variant) -> Vec<Vec<u8>> {
    let store = MemoryStore::new();
    let mailbox = block_on(store.create_mailbox("me")).unwrap();
    let options = Options {
        duplicates: true,
        dialect,
        ..Options::default()
    };
    let summary = import(&store, mailbox, path, &options, &mut (), &mut |_| ()).unwrap();
    assert!(summary.failed.is_empty(), "{:?}", summary.failed);
    let all = collect(&store, mailbox, ViewId::PLAIN).unwrap();
    all.into_iter().map(|(_, bytes)| bytes).collect()
}

#[test]
fn what_python_writes_is_imported_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let mail = mail();
    assert!(mail.len() >= 4);
    for (n, bytes) in mail.iter().enumerate() {
        std::fs::write(folder.path().join(format!("in/{n:05}")), bytes).unwrap();
    }
    python(WRITE, folder.path());
    // Python quotes `From ` alone, so a `>From ` that was there before cannot be told: mboxo.
    let expected: Vec<_> = mail
        .iter()
        .map(|bytes| {
            let text = bytes
                .strip_prefix(b">From ")
                .map(|rest| [b"From ", rest].concat());
            replace(
                &text.unwrap_or_else(|| bytes.clone()),
                b"\n>From ",
                b"\nFrom ",
            )
        })
        .collect();
    let found = imported(&folder.path().join("box"), Variant::Mboxo);
    same(&found, &expected);
    let found = imported(&folder.path().join("Maildir"), Variant::Detect);
    same(&found, &mail);
}

#[test]
fn what_we_write_is_read_by_python() {
    let folder = tempfile::tempdir().unwrap();
    let mail = mail();
    let mut writer = Writer::new(Vec::new());
    let mut expected = Vec::new();
    for bytes in &mail {
        writer.begin("a@b", 1_310_126_914_000).unwrap();
        writer.write(bytes).unwrap();
        writer.end().unwrap();
        let (mut quoter, mut quoted) = (Quoter::new(), Vec::new());
        quoter.push(bytes, &mut quoted);
        quoter.finish(&mut quoted);
        expected.push(quoted);
    }
    std::fs::write(folder.path().join("box"), writer.into_inner()).unwrap();
    python(READ, folder.path());
    let found: Vec<_> = (0..mail.len())
        .map(|n| std::fs::read(folder.path().join(format!("out/{n:05}"))).unwrap())
        .collect();
    same(&found, &expected);
    let one_more = folder.path().join(format!("out/{:05}", mail.len()));
    assert!(!one_more.exists());
    same(
        &imported(&folder.path().join("box"), Variant::Mboxrd),
        &mail,
    );
}

fn same(found: &[Vec<u8>], expected: &[Vec<u8>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found == expected,
            "{}\n--- instead of\n{}",
            found.escape_ascii(),
            expected.escape_ascii()
        );
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(from) {
            all.extend_from_slice(to);
            at += from.len();
        } else {
            all.push(bytes[at]);
            at += 1;
        }
    }
    all
}
