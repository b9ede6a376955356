//! The directory as its callers meet it: several processes, guesses, files that change.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use restante_directory::{AuthError, Directory, DirectoryError, Options, UserSource};
use restante_proto::Secret;

const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

fn open(folder: &tempfile::TempDir) -> Directory {
    let options = Options {
        domains: vec!["example.org".to_owned()],
        ..Options::default()
    };
    Directory::open(&folder.path().join("state.db"), options).expect("the folder is new")
}

fn secret(text: &str) -> Secret {
    text.into()
}

#[test]
fn users_come_change_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(&folder);
    assert!(directory.is_empty().unwrap());
    directory
        .add_user("Ann", &secret("x"), Some(1 << 30))
        .unwrap();
    assert_eq!(
        directory.add_user("ann", &secret("x"), None),
        Err(DirectoryError::Exists("ann".into()))
    );
    let ann = directory.find_user("ANN").unwrap().unwrap();
    assert_eq!(
        (ann.name.as_str(), ann.quota_octets, ann.source),
        ("ann", Some(1 << 30), UserSource::State)
    );
    directory.set_quota("ann", None).unwrap();
    assert_eq!(directory.users().unwrap()[0].quota_octets, None);
    assert_eq!(
        directory
            .find_address("ann+shop@example.org")
            .unwrap()
            .unwrap()
            .name,
        "ann"
    );
    assert_eq!(
        directory
            .find_address("ann@localhost")
            .unwrap()
            .unwrap()
            .name,
        "ann"
    );
    assert_eq!(directory.find_address("ann@elsewhere.net").unwrap(), None);
    assert_eq!(directory.remove_user("ann").unwrap().name, "ann");
    assert!(matches!(
        directory.remove_user("ann"),
        Err(DirectoryError::NotFound(_))
    ));
    assert!(matches!(
        directory.add_user("a b", &secret("x"), None),
        Err(DirectoryError::BadName(_))
    ));
}

#[test]
fn a_newer_format_is_refused_and_the_file_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let path = folder.path().join("state.db");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let error = Directory::open(&path, Options::default()).unwrap_err();
    assert!(error.to_string().contains("newer"), "{error}");
}

#[tokio::test]
async fn a_password_changed_by_another_process_counts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tool) = (open(&folder), open(&folder));
    tool.add_user("ann", &secret("old"), None).unwrap();
    for login in ["ann", "Ann@example.org"] {
        assert_eq!(
            server
                .authenticate(login, &secret("old"), HERE)
                .await
                .unwrap()
                .name,
            "ann"
        );
    }
    tool.set_password("ann", &secret("new")).unwrap();
    assert_eq!(
        server.authenticate("ann", &secret("old"), HERE).await,
        Err(AuthError::Refused)
    );
    assert!(
        server
            .authenticate("ann", &secret("new"), HERE)
            .await
            .is_ok()
    );
    tool.remove_user("ann").unwrap();
    assert_eq!(
        server.authenticate("ann", &secret("new"), HERE).await,
        Err(AuthError::Refused)
    );
}

#[tokio::test]
async fn twenty_logins_of_one_user_at_once_all_work_and_cost_one_hash() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Arc::new(open(&folder));
    directory.add_user("ann", &secret("right"), None).unwrap();
    let started = Instant::now();
    let one = |_| {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move { directory.authenticate("ann", &secret("right"), HERE).await })
    };
    for login in (0..20).map(one).collect::<Vec<_>>() {
        assert!(login.await.unwrap().is_ok());
    }
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    let started = Instant::now();
    for _ in 0..1000 {
        directory
            .authenticate("ann", &secret("right"), HERE)
            .await
            .unwrap();
    }
    println!("a remembered login takes {:?}", started.elapsed() / 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow_for_known_and_unknown_names_and_others_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Arc::new(open(&folder));
    directory.add_user("ann", &secret("right"), None).unwrap();
    directory.add_user("bob", &secret("bobs"), None).unwrap();
    let mut guesses = Vec::new();
    for name in ["ann", "nobody"] {
        for n in 0..100 {
            let directory = Arc::clone(&directory);
            guesses.push(tokio::spawn(async move {
                let guess = secret(&format!("guess {n}"));
                let found = directory.authenticate(name, &guess, HERE).await;
                (name, found)
            }));
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    assert!(
        directory
            .authenticate("bob", &secret("bobs"), HERE)
            .await
            .is_ok()
    );
    assert!(
        started.elapsed() < Duration::from_secs(7),
        "{:?}",
        started.elapsed()
    );
    let mut looked_at = [0usize; 2];
    for guess in guesses {
        let (name, found) = guess.await.unwrap();
        match found {
            Err(AuthError::Refused) => looked_at[usize::from(name == "nobody")] += 1,
            Err(AuthError::Throttled) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(looked_at[0] + looked_at[1] <= 40, "{looked_at:?}");
    assert!(looked_at[0].abs_diff(looked_at[1]) <= 20, "{looked_at:?}");
}

#[tokio::test]
async fn the_same_wrong_password_again_is_not_another_guess() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(&folder);
    directory.add_user("ann", &secret("right"), None).unwrap();
    for _ in 0..200 {
        let found = directory
            .authenticate("ann", &secret("an old one"), HERE)
            .await;
        assert_eq!(found, Err(AuthError::Refused));
    }
    assert!(
        directory
            .authenticate("ann", &secret("right"), HERE)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_password_file_serves_and_its_absence_refuses_nobody_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let options = Options {
        passwd_file: Some(path.clone()),
        ..Options::default()
    };
    let directory = Directory::open(&folder.path().join("state.db"), options).unwrap();
    let missing = directory
        .authenticate("ann", &secret("Hello world!"), HERE)
        .await;
    assert!(
        matches!(missing, Err(AuthError::Temporary(_))),
        "{missing:?}"
    );
    std::fs::write(
        &path,
        "ann:{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5\n",
    )
    .unwrap();
    let ann = directory
        .authenticate("ann", &secret("Hello world!"), HERE)
        .await
        .unwrap();
    assert_eq!(ann.source, UserSource::PasswdFile);
    assert!(matches!(
        directory.set_password("ann", &secret("x")),
        Err(DirectoryError::ReadOnly(_))
    ));
    assert_eq!(directory.users().unwrap().len(), 1);
}
