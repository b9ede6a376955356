//! Processes that write, delete, undo, compact and read one folder at once, each by a seeded
//! schedule; some are killed in the middle. What is left is held against the in-memory model.
//!
//! Each process writes a journal of what it is about to do and of what was acknowledged. A mailbox
//! of its own is known to it exactly at any time. In the shared mailbox all deliver and all delete,
//! also the same message at once; nobody restores there, so the order does not matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{
    Access, DeletionSet, Delivery, MailStore, MailboxId, MessageFilter, Release, Seen, Source,
    StoreError, UniqueId, ViewId,
};
use restante_testkit::exec::{block_on, collect_from, deliver, read_all, seal};
use restante_testkit::{MemoryStore, corpus};

const CHILD: &str = "RESTANTE_SCHEDULE_CHILD";
const SHARED: &str = "shared";
const ACCOUNT: &str = "account";

type Number = u64;

fn open(folder: &Path, compact: bool) -> EmbeddedStore {
    let options = Options {
        compact,
        pack_octets: 64 * 1024,
        ..Options::default()
    };
    EmbeddedStore::open(folder, options).expect("the store opens beside other processes")
}

fn bytes_of(number: Number) -> Vec<u8> {
    corpus::usual(number, 200 + (number % 11) as usize * 400)
}

fn number_of(bytes: &[u8]) -> Number {
    let text = std::str::from_utf8(bytes).expect("text");
    let (_, rest) = text.split_once("Subject: note ").expect("one of ours");
    let (digits, _) = rest.split_once('\r').expect("a line");
    let number = digits.parse().expect("a number");
    assert!(
        bytes == bytes_of(number),
        "the octets of message {number} differ"
    );
    number
}

fn remote_ids(numbers: &[Number]) -> Vec<Vec<u8>> {
    let id = |number: &Number| number.to_string().into_bytes();
    numbers.iter().map(id).collect()
}

fn seen(numbers: &[Number]) -> Vec<Seen> {
    let one = |(remote_id, number): (Vec<u8>, &Number)| Seen {
        source: Source {
            account: ACCOUNT.to_owned(),
            remote_id,
        },
        received_ms: *number,
    };
    remote_ids(numbers)
        .into_iter()
        .zip(numbers)
        .map(one)
        .collect()
}

fn ledger_of(store: &dyn MailStore, mailbox: MailboxId) -> BTreeSet<Number> {
    let all = block_on(store.ledger(mailbox, ACCOUNT, None, usize::MAX / 4));
    let number = |entry: restante_store::LedgerEntry| {
        let text = String::from_utf8(entry.remote_id).expect("digits");
        let number = text.parse().expect("a number");
        assert_eq!((entry.received_ms, entry.message), (number, None));
        number
    };
    all.expect("listed").into_iter().map(number).collect()
}

struct Chance(u64);

impl Chance {
    fn of(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % n as u64) as usize
    }
}

/// One line per intention and per acknowledgement. The page cache survives `kill -9`.
struct Journal(File);

impl Journal {
    fn write(&mut self, line: &str) {
        self.0
            .write_all(line.as_bytes())
            .expect("the journal is written");
    }

    fn about_to(&mut self, what: &str, mailbox: &str, numbers: &[Number]) {
        let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        self.write(&format!("{what} {mailbox} {}\n", numbers.join(",")));
    }

    fn done(&mut self) {
        self.write("done\n");
    }
}

/// A process's part.
struct Worker {
    store: EmbeddedStore,
    journal: Journal,
    chance: Chance,
    own_name: String,
    own: MailboxId,
    shared: MailboxId,
    next: Number,
    /// Of its own mailbox: message, unique-id, whether it is live.
    mine: BTreeMap<Number, (UniqueId, bool)>,
    /// What it deleted from the shared one.
    deleted: BTreeSet<Number>,
    /// The ledger of its own mailbox.
    seen: BTreeSet<Number>,
}

impl Worker {
    fn new(folder: &Path, process: u64) -> Self {
        let store = open(folder, true);
        let own_name = format!("own-{process}");
        let own = block_on(store.create_mailbox(&own_name)).expect("made");
        let shared = block_on(store.create_mailbox(SHARED)).expect("made");
        let journal = File::create(folder.join(format!("journal-{process}"))).expect("made");
        Self {
            store,
            journal: Journal(journal),
            chance: Chance(process.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            own_name,
            own,
            shared,
            next: process * 1_000_000,
            mine: BTreeMap::new(),
            deleted: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    fn step(&mut self, folder: &Path) {
        match self.chance.of(23) {
            0..=7 => self.deliver(),
            8..=9 => self.delete_own(),
            10 => self.restore_own(),
            11..=12 => self.delete_shared(),
            13 => self.compact(),
            14 if self.chance.of(4) == 0 => self.erase(),
            15 if self.chance.of(8) == 0 => self.store = open(folder, true),
            16..=17 => self.read_shared(),
            18 => self.see(),
            19 => self.forget(),
            _ => self.read_own(),
        }
    }

    fn compact(&self) {
        match self.store.compact_now() {
            // Another process is just doing it.
            Ok(_) | Err(StoreError::Temporary(_)) => {}
            Err(error) => panic!("compaction: {error}"),
        }
    }

    fn deliver(&mut self) {
        let (name, mailbox) = match self.chance.of(2) {
            0 => (SHARED.to_owned(), self.shared),
            _ => (self.own_name.clone(), self.own),
        };
        let count = 1 + self.chance.of(3) as u64;
        let numbers: Vec<_> = (self.next..self.next + count).collect();
        self.next += count;
        self.journal.about_to("deliver", &name, &numbers);
        let message = |n: &Number| seal(&self.store, &bytes_of(*n)).expect("sealed");
        let deliveries = numbers.iter().map(|n| Delivery {
            mailbox,
            message: message(n),
            received_ms: *n,
            source: None,
        });
        let ids = block_on(self.store.commit(deliveries.collect())).expect("stored");
        self.journal.done();
        if mailbox == self.own {
            let live = numbers
                .into_iter()
                .zip(ids.into_iter().map(|id| (id, true)));
            self.mine.extend(live);
        }
    }

    fn session(&self, mailbox: MailboxId) -> Vec<Number> {
        let drop = block_on(self.store.open(mailbox, ViewId::PLAIN, Access::Shared));
        let all = collect_from(drop.expect("opened").as_ref()).expect("collected");
        let numbers: Vec<_> = all.iter().map(|(_, bytes)| number_of(bytes)).collect();
        let distinct: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len(), "a message is doubled");
        numbers
    }

    fn read_own(&self) {
        let live = self.mine.iter().filter(|(_, (_, live))| *live);
        let mut found = self.session(self.own);
        found.sort_unstable();
        assert!(
            found.iter().eq(live.map(|(n, _)| n)),
            "its own mailbox is as it left it"
        );
        assert_eq!(ledger_of(&self.store, self.own), self.seen);
    }

    fn see(&mut self) {
        let count = 1 + self.chance.of(5) as u64;
        let numbers: Vec<_> = (self.next..self.next + count).collect();
        self.next += count;
        self.journal.about_to("see", &self.own_name, &numbers);
        block_on(self.store.record_seen(self.own, &seen(&numbers))).expect("recorded");
        self.journal.done();
        self.seen.extend(numbers);
    }

    fn forget(&mut self) {
        let some = self.chance.of(3);
        let numbers: Vec<_> = self.seen.iter().copied().skip(some).take(3).collect();
        self.journal.about_to("forget", &self.own_name, &numbers);
        let ids = remote_ids(&numbers);
        block_on(self.store.forget_seen(self.own, ACCOUNT, &ids)).expect("forgotten");
        self.journal.done();
        self.seen.retain(|number| !numbers.contains(number));
    }

    fn read_shared(&self) {
        for number in self.session(self.shared) {
            assert!(
                !self.deleted.contains(&number),
                "message {number} came back"
            );
        }
    }

    /// Up to five of the messages there, as one QUIT.
    fn delete(&mut self, name: &str, mailbox: MailboxId) -> Vec<Number> {
        let drop = block_on(self.store.open(mailbox, ViewId::PLAIN, Access::Shared));
        let drop = drop.expect("opened");
        let listing = block_on(drop.listing()).expect("listed");
        let (mut set, mut numbers) = (DeletionSet::default(), Vec::new());
        for _ in 0..listing.len().min(5) {
            let index = self.chance.of(listing.len());
            if set.insert(index) {
                let mut body = block_on(drop.body(index)).expect("opened");
                numbers.push(number_of(&read_all(body.as_mut()).expect("read")));
            }
        }
        self.journal.about_to("delete", name, &numbers);
        block_on(drop.commit_deletions(&set)).expect("deleted");
        self.journal.done();
        numbers
    }

    fn delete_own(&mut self) {
        for number in self.delete(&self.own_name.clone(), self.own) {
            self.mine.get_mut(&number).expect("its own").1 = false;
        }
    }

    fn delete_shared(&mut self) {
        let numbers = self.delete(SHARED, self.shared);
        self.deleted.extend(numbers);
    }

    fn restore_own(&mut self) {
        let gone = self.mine.iter().filter(|(_, (_, live))| !live);
        let gone: Vec<_> = gone.map(|(n, (id, _))| (*n, *id)).collect();
        if gone.is_empty() {
            return;
        }
        let (number, id) = gone[self.chance.of(gone.len())];
        self.journal
            .about_to("restore", &self.own_name.clone(), &[number]);
        let back = block_on(self.store.restore(self.own, &[id])).expect("restored");
        self.journal.done();
        assert_eq!(back, [id], "message {number} can be restored");
        self.mine.get_mut(&number).expect("its own").1 = true;
    }

    /// A third mailbox comes and goes with all its octets, so packs are rewritten under all others.
    fn erase(&self) {
        let name = format!("brief-{}", self.own_name);
        let id = block_on(self.store.create_mailbox(&name)).expect("made");
        deliver(&self.store, id, &bytes_of(self.next)).expect("stored");
        block_on(self.store.remove_mailbox(id, true)).expect("erased");
    }
}

/// Not a test by itself: what the other processes run.
#[test]
fn child() {
    let Ok(orders) = std::env::var(CHILD) else {
        return;
    };
    let mut orders = orders.splitn(3, ' ');
    let mut number = || orders.next().and_then(|n| n.parse::<u64>().ok());
    let process = number().expect("the process's number");
    let life = Duration::from_millis(number().expect("milliseconds"));
    let folder = orders.next().expect("the folder").to_owned();
    let folder = Path::new(&folder);
    let mut worker = Worker::new(folder, process);
    let start = Instant::now();
    while start.elapsed() < life {
        worker.step(folder);
    }
    worker.read_own();
}

fn spawn(folder: &Path, process: u64, life_ms: u64) -> Child {
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new(own);
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, format!("{process} {life_ms} {}", folder.display()));
    command.spawn().expect("a second process starts")
}

/// The journals, played on the model.
#[derive(Default)]
struct Model {
    store: MemoryStore,
    ids: BTreeMap<Number, (MailboxId, UniqueId)>,
    /// What a killed process was about to do: may have happened or not.
    open: BTreeSet<Number>,
    operations: usize,
}

impl Model {
    fn play(folder: &Path) -> Self {
        let mut model = Self::default();
        let mut shared_deletions = Vec::new();
        for entry in fs::read_dir(folder).expect("read").flatten() {
            if !entry.file_name().to_string_lossy().starts_with("journal-") {
                continue;
            }
            let text = fs::read_to_string(entry.path()).expect("a journal");
            let mut lines = text.lines().peekable();
            while let Some(line) = lines.next() {
                let done = lines.next_if(|next| *next == "done").is_some();
                let mut words = line.split(' ');
                let mut word = || words.next().unwrap_or_default();
                let (what, mailbox) = (word(), word().to_owned());
                let numbers = word().split(',').filter(|n| !n.is_empty());
                let numbers: Vec<_> = numbers.filter_map(|n| n.parse().ok()).collect();
                if !done {
                    model.open.extend(numbers);
                } else if what == "delete" && mailbox == SHARED {
                    shared_deletions.extend(numbers);
                } else {
                    model.operate(what, &mailbox, &numbers);
                }
            }
        }
        model.operate("delete", SHARED, &shared_deletions);
        model
    }

    fn operate(&mut self, what: &str, mailbox: &str, numbers: &[Number]) {
        self.operations += 1;
        let mailbox = block_on(self.store.create_mailbox(mailbox)).expect("made");
        if what == "deliver" {
            for number in numbers {
                let id = deliver(&self.store, mailbox, &bytes_of(*number)).expect("stored");
                self.ids.insert(*number, (mailbox, id));
            }
            return;
        }
        match what {
            "see" => {
                block_on(self.store.record_seen(mailbox, &seen(numbers))).expect("recorded");
                return;
            }
            "forget" => {
                let ids = remote_ids(numbers);
                let forgotten = block_on(self.store.forget_seen(mailbox, ACCOUNT, &ids));
                return forgotten.expect("forgotten");
            }
            _ => {}
        }
        // A message that only a killed process delivered may be met by others; the model lacks it.
        let known = numbers.iter().filter_map(|n| self.ids.get(n));
        let ids: Vec<_> = known.map(|(_, id)| *id).collect();
        match what {
            "delete" => block_on(self.store.remove(mailbox, &ids)).map(drop),
            "restore" => block_on(self.store.restore(mailbox, &ids)).map(drop),
            other => panic!("no such operation: {other}"),
        }
        .expect("the model does it");
    }

    /// Of each mailbox what the ledger has seen, without what is open.
    fn ledgers(&self, store: &dyn MailStore) -> BTreeMap<String, BTreeSet<Number>> {
        let mut all = BTreeMap::new();
        for mailbox in block_on(store.mailboxes()).expect("listed") {
            let mut ledger = ledger_of(store, mailbox.id);
            ledger.retain(|number| !self.open.contains(number));
            if !ledger.is_empty() {
                all.insert(mailbox.name, ledger);
            }
        }
        all
    }

    /// Live and deleted messages of each mailbox, without those that are open.
    fn state(&self, store: &dyn MailStore) -> BTreeMap<(String, bool), Vec<Number>> {
        let mut state = BTreeMap::new();
        for mailbox in block_on(store.mailboxes()).expect("listed") {
            if mailbox.name.starts_with("brief-") {
                continue;
            }
            assert_eq!(mailbox.release, Release::AtOnce);
            for filter in [MessageFilter::Live, MessageFilter::Deleted] {
                let all = block_on(store.browse(mailbox.id, filter, None, usize::MAX / 4));
                let mut numbers = Vec::new();
                for info in all.expect("browsed") {
                    let mut body = block_on(store.read(info.unique_id)).expect("opened");
                    numbers.push(number_of(&read_all(body.as_mut()).expect("read")));
                }
                numbers.sort_unstable();
                let distinct: BTreeSet<_> = numbers.iter().collect();
                assert_eq!(distinct.len(), numbers.len(), "doubled in {}", mailbox.name);
                numbers.retain(|n| !self.open.contains(n));
                if !numbers.is_empty() {
                    state.insert(
                        (mailbox.name.clone(), filter == MessageFilter::Live),
                        numbers,
                    );
                }
            }
        }
        state
    }
}

fn check(folder: &Path, at_least: usize) {
    let model = Model::play(folder);
    let expected = model.state(&model.store);
    let store = open(folder, false);
    assert!(
        model.state(&store) == expected,
        "the store is what the model is"
    );
    assert!(
        model.operations >= at_least,
        "only {} operations",
        model.operations
    );
    let kept = store.dump_index().expect("dumped");
    store.rebuild(&mut |_| ()).expect("rebuilt");
    assert!(
        store.dump_index().expect("dumped") == kept,
        "the index is what a rebuild says"
    );
    assert!(model.state(&store) == expected, "and after the rebuild");
    let ledgers = model.ledgers(&model.store);
    assert!(!ledgers.is_empty());
    assert_eq!(model.ledgers(&store), ledgers);
}

#[test]
fn two_processes_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let children = [1, 2].map(|process| spawn(folder.path(), process, 3_000));
    for mut child in children {
        assert!(
            child.wait().expect("waited").success(),
            "a process saw something wrong"
        );
    }
    check(folder.path(), 50);
}

#[test]
fn one_process_is_killed_again_and_again_beside_another() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut steady = spawn(folder.path(), 1, 3_000);
    let mut chance = Chance(77);
    for process in 2..8 {
        let mut victim = spawn(folder.path(), process, 60_000);
        thread::sleep(Duration::from_millis(150 + chance.of(350) as u64));
        victim.kill().expect("killed");
        let status = victim.wait().expect("waited");
        assert_eq!(status.code(), None, "it was killed; it did not fail before");
    }
    assert!(
        steady.wait().expect("waited").success(),
        "the other saw something wrong"
    );
    check(folder.path(), 50);
}
