//! A scripted server, an account on it, and an archive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use restante_client::{Credentials, Place, Secret, Security, Server};
use restante_intake::fetch::{
    self, Account, FetchError, Keep, Progress, RunOptions, State, Summary, World,
};
use restante_store::{MailStore, MailboxId, ViewId};
use restante_testkit::MemoryStore;
use restante_testkit::exec::collect;
use restante_testkit::scripted::{Message, PASSWORD, Quirks, ScriptedServer, USER};
use tempfile::TempDir;

/// Silence that the client bears in these tests.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// No fetch here may take longer, whatever the server does.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    pub(crate) server: ScriptedServer,
    pub(crate) account: Account,
    pub(crate) options: RunOptions,
    pub(crate) world: World,
    pub(crate) store: Arc<dyn MailStore>,
    _folder: TempDir,
}

/// What a fetch said and came to.
pub(crate) struct Told {
    pub(crate) outcome: Result<Summary, FetchError>,
    pub(crate) took: Duration,
}

impl Told {
    pub(crate) fn summary(self) -> Summary {
        self.outcome.expect("the fetch ends well")
    }

    pub(crate) fn error(self) -> FetchError {
        self.outcome.expect_err("the fetch fails")
    }
}

impl Bench {
    pub(crate) async fn new(messages: Vec<Message>, quirks: Quirks) -> Self {
        Self::with_store(messages, quirks, MemoryStore::new().shared()).await
    }

    pub(crate) async fn with_store(
        messages: Vec<Message>,
        quirks: Quirks,
        store: Arc<dyn MailStore>,
    ) -> Self {
        let server = ScriptedServer::start(messages, quirks).await;
        let server = server.expect("the server starts");
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::open(&folder.path().join("state.db")).expect("the state opens");
        let world = World::new(Some(Arc::clone(&store)), Arc::new(state));
        let account = account(&server);
        Self {
            server,
            account,
            options: RunOptions {
                even_if_paused: true,
                ..RunOptions::default()
            },
            world,
            store,
            _folder: folder,
        }
    }

    /// One fetch.
    pub(crate) async fn fetch(&self) -> Told {
        let mut stored = 0;
        let mut hear = |progress: Progress<'_>| {
            if let Progress::Stored { .. } = progress {
                stored += 1;
            }
        };
        let since = Instant::now();
        let run = fetch::run(&self.account, &self.world, &self.options, &mut hear);
        let outcome = tokio::time::timeout(PATIENCE, run).await;
        let outcome = outcome.expect("a fetch ends");
        let took = since.elapsed();
        if let Ok(summary) = &outcome
            && !self.options.dry_run
        {
            assert_eq!(summary.stored, stored, "each stored message is told of");
        }
        Told { outcome, took }
    }

    /// What is deleted as soon as it is stored.
    pub(crate) fn deleting(mut self) -> Self {
        self.account.keep = Keep::None;
        self
    }

    pub(crate) fn mailbox(&self) -> Option<MailboxId> {
        let info = pollster::block_on(self.store.find_mailbox("me"));
        info.expect("looked up").map(|info| info.id)
    }

    /// The messages of the archive.
    pub(crate) fn archive(&self) -> Vec<Vec<u8>> {
        let Some(mailbox) = self.mailbox() else {
            return Vec::new();
        };
        let all = collect(self.store.as_ref(), mailbox, ViewId::PLAIN).expect("collected");
        all.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// The remote unique-ids that the ledger has, sorted.
    pub(crate) fn ledger(&self) -> Vec<Vec<u8>> {
        let mailbox = self.mailbox().expect("there is a mailbox");
        let page = self
            .store
            .ledger(mailbox, &self.account.name, None, 1_000_000);
        let page = pollster::block_on(page).expect("listed");
        page.into_iter().map(|entry| entry.remote_id).collect()
    }

    /// The archive has these messages, each once, and no others.
    #[track_caller]
    pub(crate) fn assert_archived(&self, messages: &[Message]) {
        let mut there = self.archive();
        let mut expected: Vec<_> = messages.iter().map(|m| m.bytes.clone()).collect();
        there.sort();
        expected.sort();
        let text = |all: &[Vec<u8>]| -> Vec<String> {
            all.iter()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .collect()
        };
        assert!(
            there == expected,
            "the archive has {:#?}\nand should have {:#?}",
            text(&there),
            text(&expected)
        );
    }

    /// What the server deleted is in the archive, to the octet, and nothing is there twice.
    #[track_caller]
    pub(crate) fn assert_safe(&self, what: &str) {
        let archive = self.archive();
        for gone in self.server.deleted() {
            let there = archive.iter().filter(|bytes| **bytes == gone.bytes).count();
            assert_eq!(
                there,
                1,
                "{what}: {} was deleted",
                String::from_utf8_lossy(&gone.id)
            );
        }
        let mut once = archive.clone();
        once.sort();
        once.dedup();
        assert_eq!(
            once.len(),
            archive.len(),
            "{what}: something is there twice"
        );
    }

    /// How many commands of a verb the server has had.
    pub(crate) fn count(&self, verb: &str) -> usize {
        self.server.lines(verb).len()
    }
}

fn account(server: &ScriptedServer) -> Account {
    let place = Place::tcp("127.0.0.1", server.address().port());
    let mut remote = Server::new(place, Security::DangerPlaintext);
    remote.timeout = SILENCE;
    let credentials = Credentials::Password(Secret::from(PASSWORD));
    Account::new("scripted", remote, USER, Arc::new(credentials))
}
