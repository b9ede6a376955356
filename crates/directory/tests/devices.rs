//! Devices as their callers meet them: logins, own passwords, revocation by another process, bounds.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};

use restante_directory::limits::DEVICES_PER_USER;
use restante_directory::{
    AuthError, Device, Directory, DirectoryError, Login, LoginError, Options,
};
use restante_proto::Secret;

const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
const REFUSED: LoginError = LoginError::Auth(AuthError::Refused);

fn open(folder: &tempfile::TempDir) -> Directory {
    let options = Options {
        domains: vec!["example.org".to_owned()],
        ..Options::default()
    };
    Directory::open(&folder.path().join("state.db"), options).expect("it opens")
}

fn with_ann(folder: &tempfile::TempDir) -> Directory {
    let directory = open(folder);
    directory.add_user("ann", &"right".into(), None).unwrap();
    directory
}

async fn log_in(directory: &Directory, login: &str, password: &str) -> Result<Login, LoginError> {
    directory.log_in(login, &password.into(), HERE).await
}

fn named(login: Result<Login, LoginError>) -> (String, Option<String>, bool) {
    let login = login.expect("logged in");
    (
        login.user.name,
        login.device.map(|device| device.name),
        login.recent,
    )
}

fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).expect("ASCII")
}

#[tokio::test]
async fn a_login_may_name_a_device_and_what_is_recent() {
    let folder = tempfile::tempdir().unwrap();
    let directory = with_ann(&folder);
    let ann = || "ann".to_owned();
    for (login, device, recent) in [
        ("ann", None, false),
        ("recent:ann", None, true),
        ("Ann+Phone", Some("phone"), false),
        ("ann+phone@example.org", Some("phone"), false),
        ("ann@example.org+phone", Some("phone"), false),
        ("Recent:ann+phone", Some("phone"), true),
    ] {
        let found = named(log_in(&directory, login, "right").await);
        assert_eq!(found, (ann(), device.map(str::to_owned), recent), "{login}");
    }
    let devices = directory.devices(Some("ann")).unwrap();
    assert_eq!(devices.len(), 1, "made at its first login, once");
    for login in [
        "ann+",
        "ann+a b",
        "nobody+phone",
        "recent:nobody",
        "recent:",
    ] {
        assert_eq!(
            log_in(&directory, login, "right").await.err(),
            Some(REFUSED)
        );
    }
    let wrong = log_in(&directory, "ann+tablet", "wrong").await;
    assert_eq!(wrong.err(), Some(REFUSED));
    assert_eq!(directory.devices(None).unwrap().len(), 1);
}

#[tokio::test]
async fn a_devices_own_password_opens_its_own_view_only() {
    let folder = tempfile::tempdir().unwrap();
    let directory = with_ann(&folder);
    let phone = text(&directory.add_device("ann", "phone").unwrap());
    let laptop = text(&directory.add_device("ann", "laptop").unwrap());
    let device = |name: &str| ("ann".to_owned(), Some(name.to_owned()), false);
    for login in ["ann", "ann+phone", "ann@example.org"] {
        let found = named(log_in(&directory, login, &phone).await);
        assert_eq!(found, device("phone"), "{login}");
    }
    assert_eq!(
        named(log_in(&directory, "ann+phone", "right").await),
        device("phone")
    );
    assert_eq!(
        named(log_in(&directory, "ann", &laptop).await),
        device("laptop")
    );
    for login in ["ann+laptop", "ann+new"] {
        let found = log_in(&directory, login, &phone).await;
        assert_eq!(found.err(), Some(REFUSED), "{login}");
    }
    // Where the user's own password is asked for, a device's is none.
    let as_user = phone.as_str().into();
    let reader = directory.authenticate("ann", &as_user, HERE).await;
    assert_eq!(reader, Err(AuthError::Refused));
    let renewed = text(&directory.renew_device_password("ann", "phone").unwrap());
    assert_eq!(log_in(&directory, "ann", &phone).await.err(), Some(REFUSED));
    assert_eq!(
        named(log_in(&directory, "ann", &renewed).await),
        device("phone")
    );
}

#[tokio::test]
async fn a_device_that_another_process_removes_is_revoked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_ann(&folder);
    let password = text(&server.add_device("ann", "phone").unwrap());
    let mut one = log_in(&server, "ann", &password).await.unwrap();
    let one = one.device.as_mut().unwrap();
    let mut two = log_in(&server, "ann+tablet", "right").await.unwrap();
    let two = two.device.as_mut().unwrap();
    assert_eq!(server.is_revoked(one, true), Ok(false));
    let tool = open(&folder);
    tool.remove_device("ann", "phone").unwrap();
    assert_eq!(server.is_revoked(one, true), Ok(true));
    assert_eq!(server.is_revoked(two, true), Ok(false));
    // Though it was remembered a moment ago.
    assert_eq!(log_in(&server, "ann", &password).await.err(), Some(REFUSED));
    // A new password ends the sessions of the old one, which may be somebody else's by now.
    let before = tool.devices(Some("ann")).unwrap();
    tool.renew_device_password("ann", "tablet").unwrap();
    assert_eq!(server.is_revoked(two, true), Ok(true));
    let with_password = |mut all: Vec<Device>| {
        all.iter_mut().for_each(|device| device.has_password = true);
        all
    };
    let after = tool.devices(Some("ann")).unwrap();
    assert_eq!(after, with_password(before));
    let mut two = log_in(&server, "ann+tablet", "right").await.unwrap();
    let two = two.device.as_mut().unwrap();
    assert_eq!(server.is_revoked(two, true), Ok(false));
    // Made again it is another one.
    tool.add_device("ann", "phone").unwrap();
    assert_eq!(server.is_revoked(one, true), Ok(true));
    assert_eq!(
        tool.remove_device("ann", "gone"),
        Err(DirectoryError::NoDevice("gone".into()))
    );
    // Without being asked for it, it is noticed a little later.
    tool.remove_user("ann").unwrap();
    let started = std::time::Instant::now();
    while server.is_revoked(two, false) == Ok(false) {
        assert!(started.elapsed().as_secs() < 5);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(server.devices(None).unwrap().is_empty());
}

#[tokio::test]
async fn devices_are_bounded_and_their_names_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let directory = with_ann(&folder);
    for n in 0..DEVICES_PER_USER {
        named(log_in(&directory, &format!("ann+d{n}"), "right").await);
    }
    let more = log_in(&directory, "ann+more", "right").await;
    assert_eq!(more.err(), Some(LoginError::TooManyDevices("ann".into())));
    let more = directory.add_device("ann", "more").map(drop);
    assert_eq!(more, Err(DirectoryError::TooManyDevices("ann".into())));
    let again = directory.add_device("ann", "D0").map(drop);
    assert_eq!(again, Err(DirectoryError::DeviceExists("d0".into())));
    let other = directory.add_device("bob", "d0").map(drop);
    assert_eq!(other, Err(DirectoryError::NotFound("bob".into())));
    for name in ["", "a b", "a+b", "-a", "\u{e9}"] {
        let bad = directory.add_device("ann", name).map(drop);
        assert!(matches!(bad, Err(DirectoryError::BadDevice(_))), "{name:?}");
    }
}

#[tokio::test]
async fn guesses_at_devices_are_guesses_at_their_user() {
    let folder = tempfile::tempdir().unwrap();
    let directory = std::sync::Arc::new(with_ann(&folder));
    for user in ["ann", "nobody"] {
        let mut guesses = tokio::task::JoinSet::new();
        for n in 0..100 {
            let directory = std::sync::Arc::clone(&directory);
            guesses.spawn(async move {
                log_in(&directory, &format!("{user}+d{n}"), &format!("guess {n}")).await
            });
        }
        let mut looked_at = 0;
        while let Some(guess) = guesses.join_next().await {
            match guess.unwrap().err() {
                Some(error) if error == REFUSED => looked_at += 1,
                Some(LoginError::Auth(AuthError::Throttled)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!((1..=20).contains(&looked_at), "{user}: {looked_at}");
    }
}

#[tokio::test]
async fn what_is_seen_of_a_device_is_bounded_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let directory = with_ann(&folder);
    let login = log_in(&directory, "ann+phone", "right").await.unwrap();
    let phone = login.device.unwrap();
    let hello = format!("CAPA {}", "\u{e9}".repeat(100));
    directory.see_device(&phone, "127.0.0.1", &hello).unwrap();
    let found = &directory.devices(Some("ann")).unwrap()[0];
    assert_eq!(found.address.as_deref(), Some("127.0.0.1"));
    let told = found.hello.as_deref().unwrap();
    assert!(hello.starts_with(told) && (60..=64).contains(&told.len()));
    assert!(found.seen_ms >= Some(found.added_ms) && !found.has_password);
    // A window's place is kept until its size is set anew.
    directory.set_window("ann", "phone", Some(5)).unwrap();
    directory.move_window(&phone, Some("f"), Some("c")).unwrap();
    directory.move_window(&phone, None, Some("d")).unwrap();
    let again = log_in(&directory, "ann+phone", "right").await.unwrap();
    let again = again.device.unwrap();
    assert_eq!((again.window, again.floor.as_deref()), (Some(5), Some("f")));
    assert_eq!(again.collected.as_deref(), Some("d"));
    directory.set_window("ann", "phone", None).unwrap();
    let last = log_in(&directory, "ann+phone", "right").await.unwrap();
    assert_eq!(last.device.unwrap().floor, None);
}

#[test]
fn the_first_format_is_brought_up_and_settings_go_with_their_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE user (name TEXT PRIMARY KEY, hash TEXT NOT NULL, quota_octets INTEGER,
             added_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
         INSERT INTO user VALUES ('ann', 'x', NULL, 1);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let directory = open(&folder);
    assert_eq!(directory.users().unwrap().len(), 1);
    directory.add_device("ann", "phone").unwrap();
    directory
        .set_setting("Ann", "release", Some("never"))
        .unwrap();
    directory
        .set_setting("ann", "release", Some("at-once"))
        .unwrap();
    let settings = directory.settings("ANN").unwrap();
    assert_eq!(settings["release"], "at-once");
    directory.set_setting("ann", "release", None).unwrap();
    assert!(directory.settings("ann").unwrap().is_empty());
    directory
        .set_setting("ann", "release", Some("never"))
        .unwrap();
    directory.remove_user("ann").unwrap();
    assert!(directory.settings("ann").unwrap().is_empty());
}
