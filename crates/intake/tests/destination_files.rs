//! Maildir, mbox and pipe as destinations, read back by our codecs and by Python's `mailbox`, which
//! shares no code with us.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use restante_intake::destination::{
    Destination, DestinationError, Fault, Incoming, Options, Scope, Spec, open,
};
use restante_store::maildir;
use restante_store::mbox::{Reader, Variant};
use restante_testkit::corpus;

const TIME_MS: u64 = 1_700_000_000_000;

fn incoming(id: &[u8]) -> Incoming<'_> {
    Incoming {
        account: "ann@example.org",
        remote_id: id,
        received_ms: TIME_MS,
        octets: None,
        again: false,
    }
}

async fn opened(spec: &str) -> Box<dyn Destination> {
    let spec = Spec::parse(spec).unwrap();
    open(&spec, Options::default()).await.unwrap()
}

async fn put(to: &mut Box<dyn Destination>, about: &Incoming<'_>, bytes: &[u8]) {
    try_put(to, about, bytes).await.unwrap();
}

async fn try_put(
    to: &mut Box<dyn Destination>,
    about: &Incoming<'_>,
    bytes: &[u8],
) -> Result<(), DestinationError> {
    to.begin(about).await?;
    for piece in bytes.chunks(50_000) {
        to.write(piece).await?;
    }
    to.finish().await
}

/// The awkward ones, twice as many as one flush syncs, and a large one.
fn messages() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = corpus::small().into_iter().map(|s| s.bytes).collect();
    all.extend((0..80).map(|seed| corpus::usual(seed, 3_000)));
    all.push(corpus::usual(99, 3_000_000));
    all
}

fn python(script: &str, path: &Path) -> String {
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .stderr(Stdio::inherit())
        .output()
        .expect("this test needs python3: apt install python3");
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn sorted(mut all: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    all.sort();
    all
}

fn in_maildir(path: &Path) -> Vec<Vec<u8>> {
    let all = maildir::messages(path).unwrap();
    all.iter().map(|e| fs::read(&e.path).unwrap()).collect()
}

#[tokio::test]
async fn a_maildir_has_every_octet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/Mail dir");
    let mut to = opened(&format!("maildir:{}", path.display())).await;
    let all = messages();
    for (number, message) in all.iter().enumerate() {
        put(&mut to, &incoming(&number.to_be_bytes()), message).await;
    }
    let results = to.flush().await;
    assert_eq!(results, vec![Ok(()); all.len()]);
    assert!(to.flush().await.is_empty());
    to.close().await;
    assert_eq!(sorted(in_maildir(&path)), sorted(all.clone()));
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
    let script = "import mailbox, sys\nbox = mailbox.Maildir(sys.argv[1], create=False)\n\
                  print(len(box), sum(len(box.get_bytes(k)) for k in box.keys()), box.keys() and {int(box[k].get_date()) for k in box.keys()})";
    let lengths: usize = all.iter().map(|m| m.len()).sum();
    // Python shows lines with LF.
    let pairs: usize = all
        .iter()
        .map(|m| m.windows(2).filter(|w| w == b"\r\n").count())
        .sum();
    let said = python(script, &path);
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[0], all.len().to_string());
    assert!(
        [lengths.to_string(), (lengths - pairs).to_string()].contains(&words[1].to_owned()),
        "{said}"
    );
}

#[tokio::test]
async fn a_maildir_keeps_no_half_and_no_second_copy() {
    let folder = tempfile::tempdir().unwrap();
    let spec = format!("maildir:{}", folder.path().display());
    let mut to = opened(&spec).await;
    put(&mut to, &incoming(b"1"), b"one\r\n").await;
    to.begin(&incoming(b"2")).await.unwrap();
    to.write(&vec![b'x'; 400_000]).await.unwrap();
    to.abandon().await;
    to.abandon().await;
    put(&mut to, &incoming(b"3"), b"three\r\n").await;
    // Finished and not flushed is not stored.
    assert!(in_maildir(folder.path()).is_empty());
    assert_eq!(to.flush().await.len(), 2);
    put(&mut to, &incoming(b"4"), b"four\r\n").await;
    to.close().await;
    assert_eq!(in_maildir(folder.path()).len(), 2);
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);

    // A program has shown one of them since.
    let entry = maildir::messages(folder.path()).unwrap().remove(0);
    let name = entry.path.file_name().unwrap().to_str().unwrap();
    let shown = folder.path().join("cur").join(format!("{name}:2,S"));
    fs::rename(&entry.path, shown).unwrap();
    let mut to = opened(&spec).await;
    for (id, again) in [(&b"1"[..], true), (b"3", true), (b"4", true), (b"5", false)] {
        let about = Incoming {
            again,
            ..incoming(id)
        };
        put(&mut to, &about, b"once more\r\n").await;
    }
    // Another account may have the same unique-ids.
    let other = Incoming {
        account: "b",
        again: true,
        ..incoming(b"1")
    };
    put(&mut to, &other, b"b's\r\n").await;
    assert_eq!(to.flush().await, vec![Ok(()); 5]);
    assert_eq!(
        sorted(in_maildir(folder.path())),
        [
            &b"b's\r\n"[..],
            b"once more\r\n",
            b"once more\r\n",
            b"one\r\n",
            b"three\r\n"
        ]
    );
}

#[tokio::test]
async fn a_maildir_that_cannot_be_made_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"").unwrap();
    let spec = Spec::parse(&format!("maildir:{}/file/x", folder.path().display())).unwrap();
    let Err(error) = open(&spec, Options::default()).await else {
        panic!()
    };
    assert_eq!(error.scope(), Scope::Destination);
    assert_eq!(error.fault(), Fault::Configuration);
    assert!(error.to_string().contains("file/x"), "{error}");
}

fn in_mbox(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(fs::File::open(path).unwrap(), Variant::Mboxrd);
    let mut all = Vec::new();
    while let Some(envelope) = reader.next_message().unwrap() {
        assert_eq!(envelope.unix_ms, Some(TIME_MS));
        let mut message = Vec::new();
        while reader.read_chunk(&mut message).unwrap() > 0 {}
        all.push(message);
    }
    all
}

#[tokio::test]
async fn an_mbox_has_every_octet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box");
    let mut to = opened(&format!("mbox:{}", path.display())).await;
    let all = messages();
    for (number, message) in all.iter().enumerate() {
        put(&mut to, &incoming(&number.to_be_bytes()), message).await;
        if number % 7 == 3 {
            // What does not come whole leaves nothing, wherever the batch stands.
            to.begin(&incoming(b"half")).await.unwrap();
            to.write(&message[..message.len() / 2]).await.unwrap();
            to.write(b"\nFro").await.unwrap();
            to.abandon().await;
        }
        if number == 10 {
            assert_eq!(to.flush().await.len(), 11);
        }
    }
    assert_eq!(to.flush().await, vec![Ok(()); all.len() - 11]);
    to.close().await;
    // A last line without an end gets one: an mbox has no other way.
    let wanted: Vec<Vec<u8>> = all
        .iter()
        .map(|m| {
            if m.is_empty() || m.ends_with(b"\n") {
                m.clone()
            } else {
                [m, &b"\n"[..]].concat()
            }
        })
        .collect();
    assert_eq!(in_mbox(&path), wanted);
    let script = "import mailbox, sys\nprint(len(mailbox.mbox(sys.argv[1], create=False)))";
    assert_eq!(python(script, &path).trim(), all.len().to_string());
    assert!(!folder.path().join("box.lock").exists());
}

#[tokio::test]
async fn an_mbox_takes_up_where_others_left_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box");
    let head = b"From a@b Tue Nov 14 22:13:20 2023\nSubject: a\n\nb";
    for end in ["", "\n", "\n\n", "\r\n\r\n"] {
        fs::write(&path, [head, end.as_bytes()].concat()).unwrap();
        let mut to = opened(&format!("mbox:{}", path.display())).await;
        put(&mut to, &incoming(b"1"), b"Subject: c\n\nd\n").await;
        assert_eq!(to.flush().await, [Ok(())]);
        let all = in_mbox(&path);
        assert_eq!(all.len(), 2, "{end:?}");
        assert_eq!(all[1], b"Subject: c\n\nd\n");
        // By its mark, although a program has changed the message since.
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            text.replace("Subject: c\n", "Subject: c\nStatus: RO\n"),
        )
        .unwrap();
        let mut to = opened(&format!("mbox:{}", path.display())).await;
        for id in [&b"1"[..], b"2"] {
            let about = Incoming {
                again: true,
                ..incoming(id)
            };
            put(&mut to, &about, b"x\n").await;
        }
        assert_eq!(to.flush().await, [Ok(()), Ok(())]);
        assert_eq!(in_mbox(&path).len(), 3);
    }
}

#[tokio::test]
async fn an_append_that_broke_off_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (path, lock) = (folder.path().join("box"), folder.path().join("box.lock"));
    let spec = format!("mbox:{}", path.display());
    let mut to = opened(&spec).await;
    put(&mut to, &incoming(b"1"), b"one\n").await;
    assert_eq!(to.flush().await, [Ok(())]);
    let before = fs::metadata(&path).unwrap().len();
    // As a process leaves it that is killed in the midst: a dotlock, and a part of the batch.
    let torn = b"From x@y Tue Nov 14 22:13:20 2023\nSubj";
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(torn)
        .unwrap();
    fs::write(&lock, format!("1\nrestante {before} {}\n", before + 1000)).unwrap();
    let mut to = opened(&spec).await;
    assert_eq!(fs::metadata(&path).unwrap().len(), before);
    assert_eq!(fs::read(folder.path().join("box.torn")).unwrap(), torn);
    assert!(!lock.exists());
    put(&mut to, &incoming(b"2"), b"two\n").await;
    assert_eq!(to.flush().await, [Ok(())]);
    assert_eq!(in_mbox(&path), [b"one\n", b"two\n"]);
    // Killed after all was written: it stays, and is found.
    let after = fs::metadata(&path).unwrap().len();
    fs::write(&lock, format!("1\nrestante {before} {after}\n")).unwrap();
    let mut to = opened(&spec).await;
    put(
        &mut to,
        &Incoming {
            again: true,
            ..incoming(b"2")
        },
        b"two\n",
    )
    .await;
    assert_eq!(to.flush().await, [Ok(())]);
    assert_eq!(in_mbox(&path), [b"one\n", b"two\n"]);
    assert!(!lock.exists());
}

/// Python locks as Debian's policy says, in the other order: `lockf`, then the dotlock.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box");
    fs::write(&path, b"").unwrap();
    let mut to = opened(&format!("mbox:{}", path.display())).await;
    let script = "import mailbox, sys, time\nbox = mailbox.mbox(sys.argv[1])\nbox.lock()\n\
                  print('locked', flush=True)\nbox.add(b'Subject: theirs\\n\\nx\\n')\ntime.sleep(1)\nbox.close()";
    let mut other = Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 7];
    other.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let begun = Instant::now();
    put(&mut to, &incoming(b"1"), b"Subject: ours\n\ny\n").await;
    assert_eq!(to.flush().await, [Ok(())]);
    assert!(begun.elapsed() > Duration::from_millis(500));
    assert!(other.wait().unwrap().success());
    let script = "import mailbox, sys\nprint([m['subject'] for m in mailbox.mbox(sys.argv[1])])";
    assert_eq!(python(script, &path).trim(), "['theirs', 'ours']");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_write_into_one_mbox() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("box");
    let spec = format!("mbox:{}", path.display());
    let tasks: Vec<_> = (0..4)
        .map(|account: u8| {
            let spec = spec.clone();
            tokio::spawn(async move {
                let mut to = opened(&spec).await;
                for id in 0..10_u8 {
                    let message = corpus::usual(u64::from(account) * 100 + u64::from(id), 20_000);
                    put(&mut to, &incoming(&[account, id]), &message).await;
                    assert_eq!(to.flush().await, [Ok(())]);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut wanted = Vec::new();
    for account in 0..4 {
        wanted.extend((0..10).map(|id| corpus::usual(account * 100 + id, 20_000)));
    }
    assert_eq!(sorted(in_mbox(&path)), sorted(wanted));
}

/// A limit on a file's size is the one way to a write error that needs no device: this test runs itself
/// with one.
#[test]
fn an_mbox_that_cannot_grow_stays_as_it_was() {
    if std::env::var_os("RESTANTE_TEST_LIMITED").is_some() {
        return limited();
    }
    let me = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" --exact --nocapture an_mbox_that_cannot_grow_stays_as_it_was"])
        .arg(me)
        .env("RESTANTE_TEST_LIMITED", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn limited() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("box");
        let spec = format!("mbox:{}", path.display());
        let mut to = opened(&spec).await;
        // 2,000 blocks of 512 octets, or of 1,024: 3 MB are too much for either.
        let size = 900_000;
        put(&mut to, &incoming(b"1"), &corpus::usual(1, size)).await;
        assert_eq!(to.flush().await, [Ok(())]);
        let before = fs::read(&path).unwrap();
        put(&mut to, &incoming(b"2"), &corpus::usual(2, size)).await;
        put(&mut to, &incoming(b"3"), b"small\n").await;
        let mut results = to.flush().await;
        if results[0].is_ok() {
            // Blocks of 1,024.
            put(&mut to, &incoming(b"4"), &corpus::usual(4, size)).await;
            results = to.flush().await;
        }
        let error = results[0].clone().unwrap_err();
        assert_eq!(
            (error.fault(), error.scope()),
            (Fault::Io, Scope::Destination)
        );
        let after = fs::read(&path).unwrap();
        assert!(after.starts_with(&before) && after.ends_with(b"\n\n"));
        assert!(!folder.path().join("box.lock").exists());
        // A message that the spool cannot hold is one message's trouble.
        let error = try_put(&mut to, &incoming(b"5"), &corpus::usual(5, 4_000_000)).await;
        assert_eq!(error.unwrap_err().scope(), Scope::Message);
        let maildir = folder.path().join("Maildir");
        let mut to = opened(&format!("maildir:{}", maildir.display())).await;
        let error = try_put(&mut to, &incoming(b"5"), &corpus::usual(5, 4_000_000)).await;
        assert_eq!(error.unwrap_err().scope(), Scope::Message);
        put(&mut to, &incoming(b"6"), b"small\n").await;
        assert_eq!(to.flush().await, [Ok(())]);
        assert_eq!(in_maildir(&maildir), [b"small\n"]);
        assert_eq!(fs::read_dir(maildir.join("tmp")).unwrap().count(), 0);
    });
}

#[tokio::test]
async fn a_program_gets_every_octet() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut to = opened(&format!("pipe:cat > {}", out.display())).await;
    let chosen = corpus::small()
        .into_iter()
        .filter(|s| s.bytes.len() != 70_000);
    for sample in chosen.map(|s| s.bytes).chain([corpus::usual(1, 2_000_000)]) {
        put(&mut to, &incoming(b"1"), &sample).await;
        assert_eq!(to.flush().await, [Ok(())]);
        assert!(fs::read(&out).unwrap() == sample);
    }
    to.begin(&incoming(b"half")).await.unwrap();
    to.write(b"half").await.unwrap();
    fs::remove_file(&out).unwrap();
    to.abandon().await;
    to.close().await;
    assert!(
        !out.exists(),
        "a message that did not come whole starts no program"
    );
}

#[tokio::test]
async fn a_program_is_told_about_the_message() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let command = format!(
        "pipe:echo \"$RESTANTE_ACCOUNT|$RESTANTE_UNIQUE_ID|$RESTANTE_OCTETS|$RESTANTE_RECEIVED|$RESTANTE_AGAIN\" > {}",
        out.display()
    );
    let mut to = opened(&command).await;
    put(&mut to, &incoming(b"a b\xff"), b"hello").await;
    let said = fs::read_to_string(&out).unwrap();
    assert_eq!(said, "ann@example.org|a%20b%FF|5|1700000000|0\n");
}

/// The exit codes of sysexits.h, and the shell's own.
#[tokio::test]
async fn exit_codes_mean_what_they_say() {
    use Fault::{Configuration, Permission, Refused, Temporary};
    use Scope::{Destination, Message};
    for (command, fault, scope) in [
        ("exit 75", Temporary, Message),
        ("exit 71", Temporary, Message),
        ("exit 74", Temporary, Message),
        ("exit 73", Temporary, Message),
        ("exit 65", Refused, Message),
        ("exit 67", Refused, Message),
        ("exit 77", Permission, Message),
        ("exit 78", Configuration, Destination),
        ("kill -9 $$", Temporary, Message),
        ("restante-has-no-such-program", Configuration, Destination),
    ] {
        for size in [10, 1_000_000] {
            let mut to = opened(&format!("pipe:{command}")).await;
            let error = try_put(&mut to, &incoming(b"1"), &vec![b'a'; size])
                .await
                .unwrap_err();
            assert_eq!((error.fault(), error.scope()), (fault, scope), "{command}");
            assert!(to.flush().await.is_empty());
        }
    }
    let mut to =
        opened("pipe:cat > /dev/null; echo one >&2; printf 'two\\033\\n' >&2; exit 1").await;
    let error = try_put(&mut to, &incoming(b"1"), b"x").await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("ended with exit code 1: one / two"),
        "{error:?}"
    );
    assert!(!error.is_temporary());
}

/// A program may have read enough before the end: SIGPIPE is no failure, its exit code counts.
#[tokio::test]
async fn a_program_need_not_read_all() {
    for command in ["head -c 1 > /dev/null", "true", "exec <&-; sleep 0.1"] {
        let mut to = opened(&format!("pipe:{command}")).await;
        put(&mut to, &incoming(b"1"), &vec![b'a'; 1_000_000]).await;
        assert_eq!(to.flush().await, [Ok(())], "{command}");
    }
    // What it leaves running neither delays nor fails it.
    let begun = Instant::now();
    let mut to = opened("pipe:sleep 5 & exit 0").await;
    put(&mut to, &incoming(b"1"), b"x").await;
    let mut to = opened("pipe:sleep 5 & exit 1").await;
    assert!(try_put(&mut to, &incoming(b"1"), b"x").await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(4));
}
