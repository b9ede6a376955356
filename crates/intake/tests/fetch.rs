//! A fetch against a server that does as RFC 1939 says: what is stored, what is deleted, what is told.
//! Expectations are the words on policies, limits and dry runs.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use restante_client::{Credentials, Place, Secret, Security, Server};
use restante_intake::destination::{Destination, DestinationError, DestinationFuture, Incoming};
use restante_intake::fetch::{
    Account, BoxFuture, FetchError, Keep, Kind, OpenDestination, PauseReason, Progress, RunOptions,
    State, Summary, Target, World, run,
};
use restante_store::{MailStore, MessageFilter, MessageInfo, Release, StoreError, UniqueId};
use restante_testkit::scripted::{
    Instead, Message, PASSWORD, Quirks, Quit, ScriptedServer, USER, messages,
};
use restante_testkit::{MemoryStore, Op};

struct Bench {
    server: ScriptedServer,
    store: MemoryStore,
    world: World,
    account: Account,
    options: RunOptions,
    folder: tempfile::TempDir,
    told: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    async fn new(messages: Vec<Message>) -> Self {
        Self::odd(messages, Quirks::default()).await
    }

    async fn odd(messages: Vec<Message>, quirks: Quirks) -> Self {
        let server = ScriptedServer::start(messages, quirks).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.db")).unwrap();
        let store = MemoryStore::new();
        let place = Place::tcp(server.address().ip().to_string(), server.address().port());
        let mut remote = Server::new(place, Security::DangerPlaintext);
        remote.timeout = Duration::from_secs(5);
        let credentials = Credentials::Password(Secret::from(PASSWORD));
        Self {
            account: Account::new("work", remote, USER, Arc::new(credentials)),
            world: World::new(Some(store.shared()), Arc::new(state)),
            options: RunOptions::default(),
            told: Arc::default(),
            server,
            store,
            folder,
        }
    }

    async fn fetch(&self) -> Result<Summary, FetchError> {
        let told = Arc::clone(&self.told);
        let mut progress = move |what: Progress<'_>| {
            if let Progress::Would {
                action, remote_id, ..
            } = what
            {
                let id = String::from_utf8_lossy(remote_id).into_owned();
                told.lock().unwrap().push(format!("{action:?} {id}"));
            }
        };
        run(&self.account, &self.world, &self.options, &mut progress).await
    }

    async fn fetched(&self) -> Summary {
        self.fetch().await.unwrap()
    }

    async fn archive(&self) -> Vec<MessageInfo> {
        let Some(mailbox) = self.store.find_mailbox("me").await.unwrap() else {
            return Vec::new();
        };
        let all = self
            .store
            .browse(mailbox.id, MessageFilter::Live, None, 100_000);
        all.await.unwrap()
    }

    async fn bytes(&self, id: UniqueId) -> Vec<u8> {
        let mut body = self.store.read(id).await.unwrap();
        let mut bytes = Vec::new();
        while body.read(&mut bytes).await.unwrap() > 0 {}
        bytes
    }

    /// Every message exactly once, byte for byte.
    async fn assert_archived(&self, expected: &[Message]) {
        let mut ours = Vec::new();
        for info in self.archive().await {
            ours.push((
                info.source.clone().unwrap().remote_id,
                self.bytes(info.unique_id).await,
            ));
        }
        ours.sort();
        let mut theirs: Vec<_> = expected
            .iter()
            .map(|m| (m.id.clone(), m.bytes.clone()))
            .collect();
        theirs.sort();
        assert_eq!(ours.len(), theirs.len());
        assert!(ours == theirs);
    }
}

fn files(folder: &std::path::Path) -> Vec<std::ffi::OsString> {
    let all = std::fs::read_dir(folder).unwrap();
    let mut all: Vec<_> = all.map(|file| file.unwrap().file_name()).collect();
    all.sort();
    all
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_once_and_nothing_twice() {
    let bench = Bench::new(messages(50)).await;
    let summary = bench.fetched().await;
    assert_eq!(
        (summary.stored, summary.listed, summary.sessions),
        (50, 50, 1)
    );
    bench.assert_archived(&messages(50)).await;
    let mailbox = bench.store.find_mailbox("me").await.unwrap().unwrap();
    assert_eq!(mailbox.release, Release::Never);
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.listed), (0, 50));
    assert_eq!(bench.server.lines("RETR").len(), 50);
    assert!(bench.server.lines("DELE").is_empty());
    let more = Message::new("new", "Subject: new\r\n\r\nnew\r\n");
    bench.server.deliver(more.clone());
    assert_eq!(bench.fetched().await.stored, 1);
    let status = bench.world.state.account("work").unwrap().unwrap();
    assert_eq!((status.stored, status.deleted, status.failures), (51, 0, 0));
    assert!(status.last_success_ms.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_none_deletes_what_is_stored() {
    let mut bench = Bench::new(messages(50)).await;
    bench.account.keep = Keep::None;
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.deleted), (50, 50));
    assert!(bench.server.maildrop().is_empty());
    bench.assert_archived(&messages(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_count_from_our_own_time() {
    let mut bench = Bench::new(messages(3)).await;
    bench.account.keep = Keep::Days(1);
    assert_eq!(bench.fetched().await.deleted, 0);
    assert_eq!(bench.fetched().await.deleted, 0);
    // As if it had been stored two days ago.
    bench.account.keep = Keep::Days(0);
    assert_eq!(bench.fetched().await.deleted, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn until_backed_up_waits_for_a_verified_backup() {
    let mut bench = Bench::new(messages(4)).await;
    bench.account.keep = Keep::UntilBackedUp;
    assert_eq!(bench.fetched().await.deleted, 0);
    let summary = bench.fetched().await;
    assert_eq!((summary.deleted, summary.await_backup), (0, 4));
    let held: Vec<UniqueId> = bench.archive().await[..2]
        .iter()
        .map(|m| m.unique_id)
        .collect();
    bench.world.verified_backup = Arc::new(move |id| held.contains(id));
    let summary = bench.fetched().await;
    assert_eq!((summary.deleted, summary.await_backup), (2, 2));
    assert_eq!(bench.server.maildrop().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_here_is_neither_deleted_there_nor_fetched_again() {
    let mut bench = Bench::new(messages(3)).await;
    bench.fetched().await;
    let first = bench.archive().await[0].clone();
    bench
        .store
        .remove(first.mailbox, &[first.unique_id])
        .await
        .unwrap();
    bench.account.keep = Keep::None;
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.deleted), (0, 2));
    assert_eq!(bench.server.maildrop().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_and_does_nothing() {
    let mut bench = Bench::new(messages(5)).await;
    bench.options.limit = Some(2);
    bench.fetched().await;
    let before = files(bench.folder.path());
    let commands = bench.server.commands().len();
    let status = bench.world.state.account("work").unwrap();
    bench.account.keep = Keep::None;
    bench.options = RunOptions {
        dry_run: true,
        ..RunOptions::default()
    };
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.deleted), (3, 5));
    let expected = [
        "Delete uid-1",
        "Delete uid-2",
        "DownloadAndDelete uid-3",
        "DownloadAndDelete uid-4",
        "DownloadAndDelete uid-5",
    ];
    assert_eq!(*bench.told.lock().unwrap(), expected);
    let sent = bench.server.commands().split_off(commands);
    assert!(
        sent.iter()
            .all(|c| !c.line.starts_with("RETR") && !c.line.starts_with("DELE"))
    );
    assert_eq!(bench.archive().await.len(), 2);
    assert_eq!(bench.world.state.account("work").unwrap(), status);
    assert_eq!(files(bench.folder.path()), before);
    // What it said is what is done.
    bench.options = RunOptions::default();
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.deleted), (3, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_means_headers_only_until_it_is_asked_for() {
    let large = format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(1000));
    let large = Message::new("large", large);
    let mut all = messages(2);
    all.push(large.clone());
    let mut bench = Bench::new(all.clone()).await;
    bench.account.max_size = Some(5000);
    bench.account.keep = Keep::None;
    let summary = bench.fetched().await;
    assert_eq!(
        (summary.stored, summary.headers_only, summary.deleted),
        (2, 1, 2)
    );
    assert_eq!(bench.server.maildrop(), [large]);
    assert_eq!(
        bench
            .world
            .state
            .account("work")
            .unwrap()
            .unwrap()
            .headers_only,
        1
    );
    // Its header is not fetched again.
    let tops = bench.server.lines("TOP").len();
    assert_eq!(bench.fetched().await.headers_only, 0);
    assert_eq!(bench.server.lines("TOP").len(), tops);
    bench.options.full = vec![b"large".to_vec()];
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.deleted), (1, 1));
    bench.assert_archived(&all).await;
    assert_eq!(
        bench
            .world
            .state
            .account("work")
            .unwrap()
            .unwrap()
            .headers_only,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_leave_the_rest_for_another_time() {
    let mut bench = Bench::new(messages(10)).await;
    bench.options.limit = Some(3);
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.left, summary.pause), (3, 7, None));
    bench.options.limit = None;
    bench.account.max_per_day = Some(4);
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.left), (4, 3));
    let pause = summary.pause.unwrap();
    assert_eq!(pause.reason, PauseReason::MaxPerDay);
    assert!(pause.until_ms > now_ms() && pause.until_ms % 86_400_000 == 0);
    let sessions = bench.server.sessions();
    assert_eq!(bench.fetched().await.pause, Some(pause));
    assert_eq!(bench.server.sessions(), sessions);
    bench.options.even_if_paused = true;
    assert_eq!(bench.fetched().await.stored, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_of_an_account_at_a_time() {
    let quirks = Quirks {
        unanswered: vec!["GREETING"],
        ..Quirks::default()
    };
    let bench = Bench::odd(messages(1), quirks).await;
    let second = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        bench.fetch().await
    };
    let first = tokio::time::timeout(Duration::from_secs(1), bench.fetch());
    let (_, second) = tokio::join!(first, second);
    let error = second.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary);
    assert!(error.to_string().contains("already"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_had_is_set_aside_and_tried_again() {
    let quirks = Quirks {
        instead: vec![Instead::refuse("RETR 3", "damaged")],
        ..Quirks::default()
    };
    let mut bench = Bench::odd(messages(5), quirks).await;
    bench.account.keep = Keep::None;
    let summary = bench.fetched().await;
    assert_eq!(
        (summary.stored, summary.deleted, summary.set_aside.len()),
        (4, 4, 1)
    );
    let status = bench.world.state.account("work").unwrap().unwrap();
    assert_eq!(status.set_aside[0].remote_id, b"uid-3");
    assert!(status.set_aside[0].error.contains("damaged"));
    bench.server.change(|quirks| quirks.instead.clear());
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.deleted), (1, 1));
    let status = bench.world.state.account("work").unwrap().unwrap();
    assert!(status.set_aside.is_empty());
    bench.assert_archived(&messages(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_quit_means_no_second_copy() {
    for quit in [
        Quit::DeletesSilently,
        Quit::DeletesAndCloses,
        Quit::DeletesAndDenies,
        Quit::Refuses,
        Quit::Hangs,
    ] {
        let quirks = Quirks {
            quit,
            ..Quirks::default()
        };
        let mut bench = Bench::odd(messages(5), quirks).await;
        bench.account.server.timeout = Duration::from_millis(300);
        bench.account.keep = Keep::None;
        let summary = bench.fetched().await;
        assert_eq!(
            (summary.stored, summary.deleted, summary.unconfirmed),
            (5, 0, 5),
            "{quit:?}"
        );
        bench.server.change(|quirks| quirks.quit = Quit::Deletes);
        assert_eq!(bench.fetched().await.stored, 0);
        assert!(bench.server.maildrop().is_empty(), "{quit:?}");
        bench.assert_archived(&messages(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_loses_nothing() {
    for op in [
        Op::FindMailbox,
        Op::CreateMailbox,
        Op::SetRelease,
        Op::Draft,
        Op::DraftWrite,
        Op::Seal,
        Op::Commit,
    ] {
        for skip in 0..3 {
            let mut bench = Bench::new(messages(6)).await;
            bench.account.keep = Keep::None;
            if skip > 0 {
                bench.options.limit = Some(skip);
                bench.fetched().await;
                bench.options.limit = None;
            }
            let error = StoreError::Temporary("made to fail".to_owned());
            bench.store.fail_next(op, error);
            let _ = bench.fetch().await;
            for message in bench.server.deleted() {
                let id = |info: &MessageInfo| info.source.as_ref().unwrap().remote_id == message.id;
                assert_eq!(bench.archive().await.iter().filter(|m| id(m)).count(), 1);
            }
            bench.fetched().await;
            assert!(bench.server.maildrop().is_empty(), "{op:?}");
            bench.assert_archived(&messages(6)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_elsewhere_keeps_a_ledger_of_its_own() {
    let mut bench = Bench::new(messages(20)).await;
    let shelf = Shelf::default();
    bench.account.target = Target::Elsewhere {
        name: "shelf:test".to_owned(),
        open: Arc::new(shelf.clone()),
    };
    assert_eq!(bench.fetched().await.stored, 20);
    assert_eq!(bench.fetched().await.stored, 0);
    let expected: Vec<_> = messages(20).into_iter().map(|m| m.bytes).collect();
    assert!(*shelf.0.lock().unwrap() == expected);
    bench.account.keep = Keep::None;
    let summary = bench.fetched().await;
    assert_eq!((summary.stored, summary.deleted), (0, 20));
    assert!(bench.server.maildrop().is_empty());
}

/// A destination that keeps messages in memory.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Vec<u8>>>>);

struct OpenShelf {
    shelf: Shelf,
    coming: Vec<u8>,
    finished: Vec<Vec<u8>>,
}

impl OpenDestination for Shelf {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Destination>, DestinationError>> {
        let shelf = OpenShelf {
            shelf: self.clone(),
            coming: Vec::new(),
            finished: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(
            Box::new(shelf) as Box<dyn Destination>
        )))
    }
}

impl Destination for OpenShelf {
    fn begin<'a>(
        &'a mut self,
        _incoming: &'a Incoming<'a>,
    ) -> DestinationFuture<'a, Result<(), DestinationError>> {
        self.coming.clear();
        Box::pin(std::future::ready(Ok(())))
    }

    fn write<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> DestinationFuture<'a, Result<(), DestinationError>> {
        self.coming.extend_from_slice(bytes);
        Box::pin(std::future::ready(Ok(())))
    }

    fn finish(&mut self) -> DestinationFuture<'_, Result<(), DestinationError>> {
        self.finished.push(std::mem::take(&mut self.coming));
        Box::pin(std::future::ready(Ok(())))
    }

    fn abandon(&mut self) -> DestinationFuture<'_, ()> {
        self.coming.clear();
        Box::pin(std::future::ready(()))
    }

    fn flush(&mut self) -> DestinationFuture<'_, Vec<Result<(), DestinationError>>> {
        let results = self.finished.iter().map(|_| Ok(())).collect();
        self.shelf.0.lock().unwrap().append(&mut self.finished);
        Box::pin(std::future::ready(results))
    }

    fn close(self: Box<Self>) -> DestinationFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
