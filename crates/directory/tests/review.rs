//! Mistakes seen in a review, each kept as a test.

use std::fs;

use restante_directory::{AuthError, Directory, Options};
use restante_proto::Secret;

const HASH: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";

struct House {
    _folder: tempfile::TempDir,
    directory: Directory,
}

fn house(passwd: &[u8], domains: &[&str]) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    fs::write(&file, passwd).expect("the file");
    let options = Options {
        passwd_file: Some(file),
        domains: domains.iter().map(|d| (*d).to_owned()).collect(),
        ..Options::default()
    };
    let directory =
        Directory::open(&folder.path().join("state.db"), options).expect("the folder is new");
    House {
        _folder: folder,
        directory,
    }
}

/// A hash that cannot be read must not make an MTA bounce the user's mail.
#[tokio::test]
async fn a_user_whose_hash_is_unusable_takes_mail_but_is_not_let_in() {
    let text = format!(
        "bob:{{PLAIN}}x\nann::1000:1000\neve:*\nbig:{HASH}::::::userdb_quota_rule=*:storage=lots\n"
    );
    let house = house(text.as_bytes(), &[]);
    for name in ["bob", "ann", "eve", "big"] {
        let found = house.directory.find_address(name).unwrap();
        assert!(
            found.is_some_and(|user| user.quota_octets.is_none()),
            "{name}"
        );
    }
    for (name, password) in [("bob", "x"), ("ann", "x"), ("eve", "*"), ("ann", "")] {
        let verdict = house
            .directory
            .authenticate(name, &Secret::from(password), None)
            .await;
        assert_eq!(verdict, Err(AuthError::Refused), "{name}");
    }
}

/// One stray octet must not make a temporary failure of everybody's login.
#[tokio::test]
async fn a_line_that_is_not_utf8_takes_nobody_else_away() {
    let mut text = format!("ann:{HASH}\n").into_bytes();
    text.extend(b"# J\xfcrgen\nj\xfcrgen:x\n");
    text.extend(format!("bob:{HASH}\n").bytes());
    let house = house(&text, &[]);
    for name in ["ann", "bob"] {
        let verdict = house
            .directory
            .authenticate(name, &Secret::from("correct horse"), None)
            .await;
        assert_eq!(verdict.map(|user| user.name), Ok(name.to_owned()));
    }
    assert_eq!(house.directory.users().unwrap().len(), 2);
}

/// Fields with which Dovecot keeps somebody out must not let them in here.
#[tokio::test]
async fn who_is_kept_out_by_a_field_is_not_let_in() {
    let text = format!(
        "a:{HASH}::::::nologin=y\nb:{HASH}::::::x=y allow_nets=10.0.0.0/8\nc:{HASH}:1:1::/home/c:/usr/sbin/nologin:\n"
    );
    let house = house(text.as_bytes(), &[]);
    for (name, let_in) in [("a", false), ("b", false), ("c", true)] {
        let verdict = house
            .directory
            .authenticate(name, &Secret::from("correct horse"), None)
            .await;
        assert_eq!(verdict.is_ok(), let_in, "{name}");
        assert!(house.directory.find_user(name).unwrap().is_some(), "{name}");
    }
}

/// Dovecot's quota rules: zero is no bound; a size without a unit is kibibytes in a rule, octets else.
#[test]
fn quotas_have_dovecots_units() {
    for (fields, octets) in [
        ("userdb_quota_rule=*:storage=0", None),
        ("userdb_quota_rule=*:storage=5", Some(5 << 10)),
        ("userdb_quota_rule=*:storage=1G:messages=9", Some(1 << 30)),
        ("userdb_quota_storage_size=5", Some(5)),
        ("userdb_quota_storage_size=unlimited", None),
    ] {
        let house = house(format!("bob:{HASH}::::::{fields}\n").as_bytes(), &[]);
        let user = house.directory.find_user("bob").unwrap().expect(fields);
        assert_eq!(user.quota_octets, octets, "{fields}");
    }
}

/// A quoted `@` must not reach the user of another domain.
#[test]
fn a_quoted_at_sign_reaches_nobody() {
    let text = format!("bob@other.org:{HASH}\n");
    let house = house(text.as_bytes(), &["example.org"]);
    let found = house
        .directory
        .find_address("\"bob@other.org\"@example.org");
    assert_eq!(found, Ok(None));
    assert!(
        house
            .directory
            .find_address("bob@other.org")
            .unwrap()
            .is_some()
    );
}

/// bcrypt reads its key as a C string and repeats it; and an empty password is none.
#[tokio::test]
async fn passwords_that_are_not_what_they_seem_are_refused() {
    let house = house(format!("bob:{HASH}\n").as_bytes(), &[]);
    let doubled = Secret::from("correct horse\0correct horse");
    let verdict = house.directory.authenticate("bob", &doubled, None).await;
    assert_eq!(verdict, Err(AuthError::Refused));
    for bad in ["", "a\nb", "a\0b", &"x".repeat(249)] {
        let added = house.directory.add_user("new", &Secret::from(bad), None);
        assert!(added.is_err(), "{bad:?}");
    }
    // Until the file has settled nobody can tell.
    tokio::time::sleep(restante_directory::limits::PASSWD_FILE_SETTLED * 2).await;
    assert_eq!(house.directory.find_user("new"), Ok(None));
}

/// One line must not hold a hash worker for hours.
#[test]
fn a_hash_that_takes_hours_is_not_computed() {
    let started = std::time::Instant::now();
    let text = "a:$5$rounds=999999999$x$EvwUMvyF0nENttzA9uwvpyMaFRGjlqrHX10fF2YUlyA\nb:$2b$31$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e\nc:$argon2id$v=19$m=1024,t=99999999,p=1$d4jyE19pbnqVmj1gq+W08g$+uS81xYo/UOjUAMNkT8YbIbEtKbQQX5p0W2PXSST1Vw\n";
    let house = house(text.as_bytes(), &[]);
    let (done, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for name in ["a", "b", "c"] {
            let verdict =
                runtime.block_on(house.directory.authenticate(name, &Secret::from("x"), None));
            done.send(verdict).unwrap();
        }
        runtime.shutdown_background();
    });
    for _ in 0..3 {
        let verdict = waits.recv_timeout(std::time::Duration::from_secs(10));
        assert_eq!(
            verdict,
            Ok(Err(AuthError::Refused)),
            "{:?}",
            started.elapsed()
        );
    }
}

/// SQLite does not wait when two connections change the journal mode at once.
#[test]
fn many_open_a_new_file_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.db");
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| Directory::open(&path, Options::default()).map(drop)))
                .collect();
            for one in opened {
                assert_eq!(one.join().unwrap(), Ok(()));
            }
        });
    }
}
