//! A connection cut at every reply and inside them: whatever the server has deleted is in the archive,
//! once, byte for byte, and a later run finishes the job.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;
use std::time::Duration;

use restante_client::{Credentials, Place, Secret, Security, Server};
use restante_intake::fetch::{Account, Keep, RunOptions, State, World, run};
use restante_store::{MailStore, MessageFilter};
use restante_testkit::MemoryStore;
use restante_testkit::scripted::{Cut, PASSWORD, Quirks, ScriptedServer, USER, messages};

const COUNT: usize = 7;

async fn check(store: &MemoryStore, server: &ScriptedServer, finished: bool) {
    let mut ours = Vec::new();
    if let Some(mailbox) = store.find_mailbox("me").await.unwrap() {
        let all = store
            .browse(mailbox.id, MessageFilter::Live, None, 1000)
            .await;
        for info in all.unwrap() {
            let mut body = store.read(info.unique_id).await.unwrap();
            let mut bytes = Vec::new();
            while body.read(&mut bytes).await.unwrap() > 0 {}
            ours.push((info.source.unwrap().remote_id, bytes));
        }
    }
    for message in server.deleted() {
        let copies = ours
            .iter()
            .filter(|(id, bytes)| *id == message.id && *bytes == message.bytes);
        assert_eq!(copies.count(), 1);
    }
    let before = ours.len();
    ours.sort();
    ours.dedup();
    assert_eq!(ours.len(), before, "a second copy");
    if finished {
        assert_eq!(ours.len(), COUNT);
        assert!(server.maildrop().is_empty());
    }
}

async fn cut_at(cuts: Vec<Cut>) {
    let quirks = Quirks {
        cuts: cuts.clone(),
        ..Quirks::default()
    };
    let server = ScriptedServer::start(messages(COUNT), quirks)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state = Arc::new(State::open(&folder.path().join("state.db")).unwrap());
    let store = MemoryStore::new();
    let world = World::new(Some(store.shared()), state);
    let place = Place::tcp(server.address().ip().to_string(), server.address().port());
    let mut remote = Server::new(place, Security::DangerPlaintext);
    remote.timeout = Duration::from_secs(5);
    let credentials = Credentials::Password(Secret::from(PASSWORD));
    let mut account = Account::new("work", remote, USER, Arc::new(credentials));
    account.keep = Keep::None;
    let mut finished = false;
    for _ in 0..3 {
        let outcome = run(&account, &world, &RunOptions::default(), &mut |_| {}).await;
        finished = outcome.is_ok_and(|summary| summary.unconfirmed == 0);
        check(&store, &server, false).await;
        if finished {
            break;
        }
    }
    assert!(finished, "{cuts:?}");
    check(&store, &server, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_after_every_reply() {
    for replies in 0..30 {
        cut_at(vec![Cut::Replies(replies)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_inside_replies() {
    for octets in (0..3500).step_by(61) {
        cut_at(vec![Cut::Octets(octets)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_twice() {
    for octets in (600..3000).step_by(397) {
        cut_at(vec![Cut::Octets(octets), Cut::Octets(octets)]).await;
    }
}
