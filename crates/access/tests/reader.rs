//! The reader's router on a real listener, asked without a browser: who sees what, and who changes what.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use restante_access::http::{Http, Options};
use restante_access::reader::{
    AccountStatus, Backstage, BackupTimes, Options as ReaderOptions, Reader,
};
use restante_archive::{Archive, Options as ArchiveOptions, Scope};
use restante_directory::{Directory, Options as DirectoryOptions, open_state};
use restante_net::{Address, Drainer, Limits, Listener, run};
use restante_proto::Secret;
use restante_store::embedded::{EmbeddedStore, Options as StoreOptions};
use restante_store::{Delivery, MailStore, MailboxId, UniqueId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No test waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

struct Nobody;

impl Backstage for Nobody {
    fn accounts(&self, _: &str) -> Vec<AccountStatus> {
        Vec::new()
    }

    fn fetch(&self, _: &str, account: &str) -> Result<(), String> {
        Err(format!("there is no account {account}"))
    }

    fn warnings(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn backups(&self) -> BackupTimes {
        BackupTimes::default()
    }
}

/// A reader with two users, ann and bob, and a message for each.
struct House {
    port: u16,
    store: Arc<EmbeddedStore>,
    archive: Arc<Archive>,
    directory: Arc<Directory>,
    ann: UniqueId,
    bob: UniqueId,
    _drainer: Drainer,
    folder: tempfile::TempDir,
}

async fn deliver(store: &EmbeddedStore, archive: &Archive, user: &str) -> UniqueId {
    let mailbox = store.create_mailbox(user).await.unwrap();
    archive.want(mailbox).unwrap();
    put(store, mailbox, &[format!("only for {user}")]).await[0]
}

/// Stores a message of each of these subjects.
async fn put(store: &EmbeddedStore, mailbox: MailboxId, subjects: &[String]) -> Vec<UniqueId> {
    let deliveries = subjects.iter().map(|subject| {
        let text = format!(
            "From: x@example.org\r\nSubject: {subject}\r\nContent-Type: text/html\r\n\r\n<p>Hello, {subject}.\r\n"
        );
        let mut draft = store.draft(None).unwrap();
        draft.write(text.as_bytes()).unwrap();
        Delivery {
            mailbox,
            message: draft.seal().unwrap(),
            received_ms: 1_700_000_000_000,
            source: None,
        }
    });
    store.commit(deliveries.collect()).await.unwrap()
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.db");
        let store = Arc::new(EmbeddedStore::open(folder.path(), StoreOptions::default()).unwrap());
        let directory = Directory::open(&state, DirectoryOptions::default()).unwrap();
        for user in ["ann", "bob"] {
            directory
                .add_user(user, &Secret::from(&*format!("word of {user}")), None)
                .unwrap();
        }
        let directory = Arc::new(directory);
        let shared: Arc<dyn MailStore> = store.clone();
        let archive = Archive::open(
            folder.path(),
            open_state(&state).unwrap(),
            shared.clone(),
            ArchiveOptions::default(),
        );
        let archive = Arc::new(archive.unwrap());
        let ann = deliver(&store, &archive, "ann").await;
        let bob = deliver(&store, &archive, "bob").await;
        let follows = Arc::clone(&archive);
        tokio::task::spawn_blocking(move || follows.catch_up(&mut |_| ControlFlow::Continue(())))
            .await
            .unwrap()
            .unwrap();
        let reader = Reader::new(
            Arc::clone(&archive),
            shared,
            Arc::clone(&directory),
            Arc::new(Nobody),
            ReaderOptions::default(),
        );
        let router = Arc::new(reader.unwrap()).router();
        let address: Address = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&address).await.unwrap();
        let port = listener.port().unwrap();
        let (drainer, drain) = Drainer::new();
        let http = Arc::new(Http::new(router, Options::default()));
        tokio::spawn(run(listener, Limits::default(), http, drain));
        Self {
            port,
            store,
            archive,
            directory,
            ann,
            bob,
            _drainer: drainer,
            folder,
        }
    }

    /// Sends a request with these header lines, and gives the whole answer.
    async fn ask(&self, line: &str, fields: &[&str], body: &str) -> String {
        let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
        if !fields.iter().any(|field| field.starts_with("Host:")) {
            text.push_str("Host: localhost\r\n");
        }
        for field in fields {
            text.push_str(field);
            text.push_str("\r\n");
        }
        if !body.is_empty() {
            text.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all));
        read.await.expect("an answer in time").unwrap();
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Signs in; gives the `Cookie` field.
    async fn sign_in(&self, user: &str, password: &str) -> String {
        let form = format!("user={user}&password={}", password.replace(' ', "+"));
        let answer = self.ask("POST /login", &[], &form).await;
        assert_eq!(status(&answer), 303, "{answer}");
        let cookie = field(&answer, "set-cookie").unwrap();
        for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        format!("Cookie: {}", cookie.split(';').next().unwrap())
    }

    /// The session's token for forms.
    async fn token(&self, cookie: &str) -> String {
        let page = self.ask("GET /mail", &[cookie], "").await;
        let (_, after) = page.split_once("name=\"csrf\" value=\"").unwrap();
        after.split_once('"').unwrap().0.to_owned()
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_anything_without_signing_in() {
    let house = House::new().await;
    let one = format!("/m/{}", house.ann);
    for path in [
        "/mail",
        "/deleted",
        "/newsletters",
        "/rules",
        "/overview",
        &one,
    ] {
        for cookie in ["X: y", "Cookie: restante_00000000=0; a=b"] {
            let answer = house.ask(&format!("GET {path}"), &[cookie], "").await;
            assert_eq!(status(&answer), 303, "{path}: {answer}");
            assert_eq!(field(&answer, "location"), Some("/login"));
        }
    }
    let refused = house
        .ask("POST /login", &[], "user=ann&password=guess")
        .await;
    assert_eq!(status(&refused), 401);
    assert_eq!(field(&refused, "set-cookie"), None);
    let foreign = [
        "Sec-Fetch-Site: cross-site",
        "Origin: https://evil.example",
        "Origin: null",
    ];
    for from in foreign {
        let form = "user=ann&password=word+of+ann";
        let answer = house.ask("POST /login", &[from], form).await;
        assert_eq!(status(&answer), 403, "{from}");
    }
    let token = house.ask("GET /enter?token=guess", &[], "").await;
    assert_eq!(status(&token), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_their_own_mail_and_no_other() {
    let house = House::new().await;
    let cookie = house.sign_in("ann", "word of ann").await;
    let list = house.ask("GET /mail", &[&cookie], "").await;
    assert!(list.contains("only for ann") && !list.contains("only for bob"));
    let found = house.ask("GET /mail?q=hello", &[&cookie], "").await;
    assert!(found.contains("only for ann") && !found.contains("only for bob"));
    for (id, expected) in [(house.ann, 200), (house.bob, 404)] {
        for what in ["", "/frame", "/headers", "/raw", "/eml"] {
            let answer = house
                .ask(&format!("GET /m/{id}{what}"), &[&cookie], "")
                .await;
            assert_eq!(status(&answer), expected, "{what}: {answer}");
            assert!(!answer.contains("only for bob"), "{what}");
        }
    }
    for path in [
        "/m/nonsense",
        "/nowhere",
        "/rules/1/preview",
        "/newsletters/1",
    ] {
        let answer = house.ask(&format!("GET {path}"), &[&cookie], "").await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
    }
    let part = format!("GET /inline/{}/1/{}", house.bob, "0".repeat(32));
    assert_eq!(status(&house.ask(&part, &[&cookie], "").await), 404);
    let token = house.token(&cookie).await;
    for path in ["/mark", "/export"] {
        let form = format!("csrf={token}&action=star&id={}", house.bob);
        let answer = house.ask(&format!("POST {path}"), &[&cookie], &form).await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
    }
    assert!(
        !house
            .archive
            .marks(&Scope::all(), house.bob)
            .unwrap()
            .starred
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_the_session_s_own_token_and_a_page_of_ours() {
    let house = House::new().await;
    let cookie = house.sign_in("ann", "word of ann").await;
    let token = house.token(&cookie).await;
    let other = house.sign_in("bob", "word of bob").await;
    let others = house.token(&other).await;
    let starred = || {
        house
            .archive
            .marks(&Scope::all(), house.ann)
            .unwrap()
            .starred
    };
    let form = |token: &str| format!("csrf={token}&action=star&id={}", house.ann);
    for (fields, csrf) in [
        (vec![&*cookie], ""),
        (vec![&*cookie], "0"),
        (vec![&*cookie], &*others),
        (vec![&*cookie, "Sec-Fetch-Site: cross-site"], &*token),
        (vec![&*cookie, "Sec-Fetch-Site: same-site"], &*token),
        (vec![&*cookie, "Origin: https://evil.example"], &*token),
    ] {
        let answer = house.ask("POST /mark", &fields, &form(csrf)).await;
        assert_eq!(status(&answer), 403, "{fields:?} {csrf}: {answer}");
    }
    let nobody = house.ask("POST /mark", &[], &form(&token)).await;
    assert_eq!(status(&nobody), 303);
    assert_eq!(field(&nobody, "location"), Some("/login"));
    let get = format!("GET /mark?{}", form(&token));
    assert_eq!(status(&house.ask(&get, &[&cookie], "").await), 405);
    assert!(!starred());
    let ours = [&*cookie, "Origin: http://localhost"];
    let done = house.ask("POST /mark", &ours, &form(&token)).await;
    assert_eq!(status(&done), 303, "{done}");
    assert!(starred());
    let away = format!("{}&back=//evil.example/", form(&token));
    let done = house.ask("POST /mark", &ours, &away).await;
    assert_eq!(field(&done, "location"), Some("/mail"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_and_a_removed_user_end_their_sessions() {
    let house = House::new().await;
    let ann = house.sign_in("ann", "word of ann").await;
    let bob = house.sign_in("bob", "word of bob").await;
    let answers = async |cookie: &str| status(&house.ask("GET /mail", &[cookie], "").await);
    assert_eq!((answers(&ann).await, answers(&bob).await), (200, 200));
    // The same word again: whoever had it may be the reason.
    house
        .directory
        .set_password("ann", &Secret::from("word of ann"))
        .unwrap();
    assert_eq!((answers(&ann).await, answers(&bob).await), (303, 200));
    assert_eq!(
        answers(&house.sign_in("ann", "word of ann").await).await,
        200
    );
    house.directory.remove_user("bob").unwrap();
    assert_eq!(answers(&bob).await, 303);
    let word = Secret::from("word of bob");
    house.directory.add_user("bob", &word, None).unwrap();
    assert_eq!(answers(&bob).await, 303, "another of that name");
    let cookie = house.sign_in("ann", "word of ann").await;
    let form = format!("csrf={}", house.token(&cookie).await);
    let out = house.ask("POST /logout", &[&cookie], &form).await;
    assert_eq!(status(&out), 303);
    assert_eq!(answers(&cookie).await, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_methods_and_policies_are_held_to() {
    let house = House::new().await;
    let cookie = house.sign_in("ann", "word of ann").await;
    let foreign = house
        .ask("GET /mail", &[&cookie, "Host: evil.example"], "")
        .await;
    assert_eq!(status(&foreign), 421);
    assert!(!foreign.contains("only for"), "{foreign}");
    let whole = house.ask("GET /mail", &[&cookie], "").await;
    let policy = field(&whole, "content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"));
    assert_eq!(field(&whole, "referrer-policy"), Some("no-referrer"));
    assert_eq!(field(&whole, "cache-control"), Some("no-store"));
    let frame = format!("GET /m/{}/frame", house.ann);
    let frame = house.ask(&frame, &[&cookie], "").await;
    let policy = field(&frame, "content-security-policy").unwrap();
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"));
    assert!(!policy.contains("allow-scripts") && !policy.contains("script-src"));
    let head = house.ask("HEAD /mail", &[&cookie], "").await;
    assert_eq!(status(&head), 200);
    assert!(head.ends_with("\r\n\r\n"), "a HEAD has no body: {head}");
    for line in ["BREW /mail", "DELETE /mail", "PUT /login", "POST /overview"] {
        let answer = house.ask(line, &[&cookie], "").await;
        assert_eq!(status(&answer), 405, "{line}");
        assert!(
            field(&answer, "content-security-policy").is_some(),
            "{line}"
        );
    }
}

/// More was removed than is listed, and what was removed last is what somebody looks for; also when a disk has damaged it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_last_is_listed_even_if_it_is_damaged() {
    let house = House::new().await;
    let mailbox = house.store.create_mailbox("ann").await.unwrap();
    let many: Vec<_> = (0..1_100).map(|at| format!("many {at}")).collect();
    let many = put(&house.store, mailbox, &many).await;
    let last = put(&house.store, mailbox, &["the last".to_owned()]).await;
    let damaged = put(&house.store, mailbox, &["damaged".to_owned()]).await;
    for ids in [many, last, damaged.clone()] {
        house.store.remove(mailbox, &ids).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The last body in the pack, a zstd frame, is no frame any more.
    let packs = std::fs::read_dir(house.folder.path().join("packs")).unwrap();
    let pack = packs.map(|pack| pack.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let mut windows = bytes.windows(4);
    let frame = windows
        .rposition(|four| four == b"\x28\xb5\x2f\xfd")
        .unwrap();
    bytes[frame..frame + 4].fill(0);
    std::fs::write(&pack, bytes).unwrap();
    let cookie = house.sign_in("ann", "word of ann").await;
    let page = house.ask("GET /deleted", &[&cookie], "").await;
    assert_eq!(status(&page), 200, "{page}");
    assert!(page.contains(&damaged[0].to_string()));
    assert!(!page.contains("damaged</a>"), "it is damaged");
    assert!(page.contains("the last"));
    assert_eq!(page.matches("name=\"id\"").count(), 200);
}

/// A selection of more than are taken at once was done in part, and nothing said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_selection_is_taken_whole_or_refused() {
    let house = House::new().await;
    let cookie = house.sign_in("ann", "word of ann").await;
    let token = house.token(&cookie).await;
    let form = |times: usize| {
        let ids = format!("&id={}", house.ann).repeat(times);
        format!("csrf={token}&back=/mail&label=&action=star{ids}")
    };
    let starred = || {
        let marks = house.archive.marks(&Scope::all(), house.ann);
        marks.unwrap().starred
    };
    for times in [1_001, 1_500, 3_000] {
        let answer = house.ask("POST /mark", &[&cookie], &form(times)).await;
        assert_eq!(status(&answer), 400, "{times}");
        assert!(answer.contains("select fewer"), "{times}: {answer}");
        assert!(!starred());
    }
    let answer = house.ask("POST /mark", &[&cookie], &form(1_000)).await;
    assert_eq!(status(&answer), 303);
    assert!(starred());
}

/// A form names a newsletter by its number and by what it is: after the index was made anew the number may be another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_acts_on_the_newsletter_that_was_shown() {
    let house = House::new().await;
    let mailbox = house.store.create_mailbox("ann").await.unwrap();
    let issue = "issue\r\nList-Id: <weekly.example.org>".to_owned();
    put(&house.store, mailbox, &[issue.clone(), issue]).await;
    let follows = Arc::clone(&house.archive);
    tokio::task::spawn_blocking(move || follows.catch_up(&mut |_| ControlFlow::Continue(())))
        .await
        .unwrap()
        .unwrap();
    let cookie = house.sign_in("ann", "word of ann").await;
    let token = house.token(&cookie).await;
    let newsletters = house.archive.newsletters(&Scope::all()).unwrap();
    let path = format!("/newsletters/{}", newsletters[0].id);
    let page = house.ask(&format!("GET {path}"), &[&cookie], "").await;
    assert!(page.contains("name=\"key\" value=\"weekly.example.org\""));
    let left = || house.archive.newsletters(&Scope::all()).unwrap()[0].count;
    for (key, answers, count) in [
        ("", 400, 2),
        ("daily.example.org", 400, 2),
        ("weekly.example.org", 303, 1),
    ] {
        let form = format!("csrf={token}&key={key}&keep=1");
        let answer = house
            .ask(&format!("POST {path}/keep"), &[&cookie], &form)
            .await;
        assert_eq!((status(&answer), left()), (answers, count), "{key}");
    }
    let form = format!("csrf={token}&key=daily.example.org");
    let answer = house
        .ask(&format!("POST {path}/unsubscribe"), &[&cookie], &form)
        .await;
    assert!(answer.contains("made anew"), "{answer}");
}
