//! The whole line, with the clock in our hands: fetched with deletion, collected and deleted by a POP3
//! client, run past `hold`, compacted. Everything is still there, and another view still offers it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;

use restante_access::pop3::{Options as Pop3Options, Pop3};
use restante_client::{Closing, Credentials, Login, Place, Secret, Security, Server, connect};
use restante_directory::Directory;
use restante_intake::fetch::{Account, Keep, RunOptions, State, World, run};
use restante_net::{Address, Drainer, Limits, Listener, LocalAddress};
use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{Access, MailStore, MessageFilter, ViewId};
use restante_testkit::scripted::{PASSWORD, Quirks, ScriptedServer, USER, messages};

const COUNT: usize = 300;

fn plain(address: std::net::SocketAddr) -> Server {
    let place = Place::tcp(address.ip().to_string(), address.port());
    Server::new(place, Security::DangerPlaintext)
}

/// Logs in to our server as a client does, deletes all that it is shown, and leaves with QUIT.
async fn collect_and_delete(server: &Server) {
    let login = Login {
        user: "me".to_owned(),
        credentials: Credentials::Password(Secret::from("secret words")),
        minimum: None,
        only: None,
    };
    let connection = connect(server).await.unwrap();
    let mut session = connection.login(&login).await.unwrap();
    assert_eq!(session.stat().await.unwrap().count, COUNT as u64);
    for number in 1..=COUNT as u64 {
        session.delete(number).await.unwrap();
    }
    assert!(matches!(session.quit().await, Closing::Acknowledged(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_outlives_whoever_collects_and_deletes_it() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing is held, nothing waits for open snapshots, and packs are sealed soon.
    let options = Options {
        hold_ms: 0,
        grace_ms: 0,
        compact: false,
        pack_octets: 16 * 1024,
        ..Options::default()
    };
    let store = Arc::new(EmbeddedStore::open(folder.path(), options).unwrap());
    let shared: Arc<dyn MailStore> = store.clone();

    let remote = ScriptedServer::start(messages(COUNT), Quirks::default())
        .await
        .unwrap();
    let credentials = Arc::new(Credentials::Password(Secret::from(PASSWORD)));
    let mut account = Account::new("work", plain(remote.address()), USER, credentials);
    account.keep = Keep::None;
    let state = State::open(&folder.path().join("state.db")).unwrap();
    let world = World::new(Some(shared.clone()), Arc::new(state));
    let summary = run(&account, &world, &RunOptions::default(), &mut |_| {})
        .await
        .unwrap();
    assert_eq!(
        (summary.stored, summary.deleted),
        (COUNT as u64, COUNT as u64)
    );
    assert!(remote.maildrop().is_empty());

    let directory = Directory::open(&folder.path().join("state.db"), Default::default()).unwrap();
    directory
        .add_user("me", &Secret::from("secret words"), None)
        .unwrap();
    let pop3 = Pop3::new(shared, Arc::new(directory), Pop3Options::default());
    let address: Address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&address).await.unwrap();
    let LocalAddress::Tcp(local) = listener.local_address() else {
        panic!("it is TCP");
    };
    let local = *local;
    let (drainer, drain) = Drainer::new();
    let running = tokio::spawn(restante_net::run(
        listener,
        Limits::default(),
        Arc::new(pop3),
        drain,
    ));
    collect_and_delete(&plain(local)).await;
    drainer.start();
    running.await.unwrap();

    store.compact_now().unwrap();
    let mailbox = store.find_mailbox("me").await.unwrap().unwrap();
    let all = store
        .browse(mailbox.id, MessageFilter::Live, None, COUNT + 1)
        .await
        .unwrap();
    assert_eq!(all.len(), COUNT);
    let seen = |view| store.open(mailbox.id, view, Access::Shared);
    assert_eq!(seen(ViewId::PLAIN).await.unwrap().totals().count, 0);
    let laptop = store.add_view(mailbox.id, "laptop", false).await.unwrap();
    let laptop = seen(laptop).await.unwrap();
    assert_eq!(laptop.totals().count, COUNT as u64);
    let mut theirs: Vec<Vec<u8>> = remote.deleted().into_iter().map(|m| m.bytes).collect();
    let mut ours = Vec::new();
    for index in 0..COUNT {
        let mut body = laptop.body(index).await.unwrap();
        let mut bytes = Vec::new();
        while body.read(&mut bytes).await.unwrap() > 0 {}
        ours.push(bytes);
    }
    theirs.sort();
    ours.sort();
    assert!(theirs == ours, "octet for octet");
}
