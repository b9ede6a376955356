//! Views of one mailbox under a seeded schedule, held against the in-memory model after every step: any
//! interleaving of deliveries, sessions of up to five views and the plain login, deletions, sessions
//! that end without QUIT, devices that come, go and lapse, undeletes, the end of the hold, compaction, and
//! kills: what a killed process leaves is what its files hold at that moment, so it goes on with a copy.
//!
//! Beside the model a ledger of its own knows who deleted what: no view loses a message that it has not
//! deleted, none is shown what it has, nothing leaves early, and in the end everything leaves.

#![allow(clippy::print_stderr, reason = "a seed has to be told")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use restante_store::embedded::{EmbeddedStore, Options};
use restante_store::{
    Access, DeletionSet, MailStore, MailboxId, Maildrop, MessageFilter, Release, Tended, Tending,
    UniqueId, ViewId,
};
use restante_testkit::MemoryStore;
use restante_testkit::exec::{block_on, deliver};
use restante_testkit::memory::wall_clock_ms;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const HOLD_MS: u64 = 60 * 60 * 1000;
const VIEWS: usize = 5;
const STEPS: usize = 140;

type Number = u64;

struct Chance(u64);

impl Chance {
    fn of(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % n.max(1) as u64) as usize
    }
}

fn open(folder: &Path, hold_ms: u64, grace_ms: u64) -> EmbeddedStore {
    let options = Options {
        hold_ms,
        grace_ms,
        compact: false,
        pack_octets: 4 * 1024,
        ..Options::default()
    };
    EmbeddedStore::open(folder, options).expect("the store opens")
}

/// One of the two stores, and its names for the same things.
struct Side<S> {
    store: S,
    mailbox: MailboxId,
    ids: BTreeMap<Number, UniqueId>,
    views: BTreeMap<String, ViewId>,
}

impl<S: MailStore> Side<S> {
    fn new(store: S) -> Self {
        let mailbox = block_on(store.create_mailbox("me")).expect("made");
        let views = BTreeMap::from([(String::new(), ViewId::PLAIN)]);
        Self {
            store,
            mailbox,
            ids: BTreeMap::new(),
            views,
        }
    }

    fn number(&self, id: UniqueId) -> Number {
        let found = self.ids.iter().find(|(_, known)| **known == id);
        *found.expect("one of ours").0
    }

    fn deliver(&mut self, number: Number) {
        let text = format!(
            "Subject: {number}\r\n\r\n{}\r\n",
            "x".repeat(number as usize)
        );
        let id = deliver(&self.store, self.mailbox, text.as_bytes()).expect("stored");
        self.ids.insert(number, id);
    }

    fn session(&self, view: &str) -> Box<dyn Maildrop> {
        let open = self
            .store
            .open(self.mailbox, self.views[view], Access::Shared);
        let drop = block_on(open).expect("opened");
        // That a view was opened is written without anyone waiting for it; what comes later waits.
        self.restore(&BTreeSet::new());
        drop
    }

    fn shown(&self, drop: &dyn Maildrop) -> Vec<Number> {
        let listing = block_on(drop.listing()).expect("listed");
        listing.iter().map(|e| self.number(e.unique_id)).collect()
    }

    fn quit(&self, drop: &dyn Maildrop, numbers: &BTreeSet<Number>) {
        let mut set = DeletionSet::default();
        for (index, number) in self.shown(drop).into_iter().enumerate() {
            if numbers.contains(&number) {
                set.insert(index);
            }
        }
        block_on(drop.commit_deletions(&set)).expect("deleted");
    }

    fn browse(&self, filter: MessageFilter) -> BTreeSet<Number> {
        let all = self.store.browse(self.mailbox, filter, None, 10_000);
        let all = block_on(all).expect("browsed");
        all.iter().map(|m| self.number(m.unique_id)).collect()
    }

    /// Each view's name, count, octets, and whether it has lapsed.
    fn told(&self) -> BTreeMap<String, (u64, u64, bool)> {
        let views = block_on(self.store.views(self.mailbox)).expect("told");
        let one =
            |v: restante_store::ViewInfo| (v.name, (v.totals.count, v.totals.octets, v.lapsed));
        views.into_iter().map(one).collect()
    }

    fn add_view(&mut self, name: &str, from_now: bool) {
        let made = block_on(self.store.add_view(self.mailbox, name, from_now));
        self.views.insert(name.to_owned(), made.expect("made"));
    }

    fn remove_view(&mut self, name: &str) {
        let view = self.views.remove(name).expect("known");
        block_on(self.store.remove_view(self.mailbox, view)).expect("removed");
    }

    fn restore(&self, numbers: &BTreeSet<Number>) -> BTreeSet<Number> {
        let ids: Vec<_> = numbers.iter().map(|n| self.ids[n]).collect();
        let back = block_on(self.store.restore(self.mailbox, &ids)).expect("restored");
        back.into_iter().map(|id| self.number(id)).collect()
    }

    /// Names of the views that lapsed, how many messages left for either cause.
    fn tend(&self, due: Tending, now_ms: u64) -> (BTreeSet<String>, u64, u64) {
        let done = block_on(self.store.tend(self.mailbox, due, now_ms));
        let Tended {
            lapsed,
            released,
            aged,
        } = done.expect("tended");
        let name = |id: ViewId| {
            let found = self.views.iter().find(|(_, known)| **known == id);
            found.expect("known").0.clone()
        };
        (lapsed.into_iter().map(name).collect(), released, aged)
    }
}

/// A session that has not ended: the same in both stores.
struct Session {
    view: String,
    embedded: Box<dyn Maildrop>,
    model: Box<dyn Maildrop>,
}

struct World {
    chance: Chance,
    folder: tempfile::TempDir,
    embedded: Side<EmbeddedStore>,
    model: Side<MemoryStore>,
    clock_ms: u64,
    next: Number,
    made: usize,
    /// Who has deleted what, and has not been shown it again by an undelete.
    deleted: BTreeMap<String, BTreeSet<Number>>,
    /// Views from now on: what was there before is none of theirs.
    before: BTreeMap<String, BTreeSet<Number>>,
    /// What left by a cause that asks no view: a tool, age.
    forced: BTreeSet<Number>,
    sessions: Vec<Session>,
}

impl World {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let embedded = Side::new(open(folder.path(), HOLD_MS, HOLD_MS));
        let model = MemoryStore::with_hold(HOLD_MS);
        let clock_ms = wall_clock_ms();
        model.set_now(clock_ms);
        Self {
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            folder,
            embedded,
            model: Side::new(model),
            clock_ms,
            next: 1,
            made: 0,
            deleted: BTreeMap::new(),
            before: BTreeMap::new(),
            forced: BTreeSet::new(),
            sessions: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.chance.of(40) {
            0..=9 => self.deliver(),
            10..=17 => self.begin(),
            18..=25 => self.end(),
            26..=28 => self.add_view(),
            29 => self.remove_view(),
            30..=32 => self.tend(),
            33..=34 => self.undelete(),
            35 => self.remove(),
            36 => self.compact(),
            37 if self.chance.of(3) == 0 => self.end_of_hold(),
            38..=39 => self.kill(),
            _ => self.set_release(),
        }
        self.check();
    }

    fn some_of(&mut self, all: &BTreeSet<Number>) -> BTreeSet<Number> {
        let odds = self.chance.of(3);
        let chance = &mut self.chance;
        let mut some = all.clone();
        // All, half, or few: clients differ.
        some.retain(|_| odds == 0 || chance.of(if odds == 1 { 2 } else { 5 }) == 0);
        some
    }

    fn any_view(&mut self) -> String {
        let names: Vec<_> = self.model.views.keys().cloned().collect();
        names[self.chance.of(names.len())].clone()
    }

    fn deliver(&mut self) {
        for _ in 0..1 + self.chance.of(4) {
            self.embedded.deliver(self.next);
            self.model.deliver(self.next);
            self.next += 1;
        }
    }

    fn begin(&mut self) {
        let view = self.any_view();
        let session = Session {
            embedded: self.embedded.session(&view),
            model: self.model.session(&view),
            view,
        };
        let shown = self.embedded.shown(session.embedded.as_ref());
        assert_eq!(shown, self.model.shown(session.model.as_ref()));
        let shown: BTreeSet<_> = shown.into_iter().collect();
        // What its owner relies on, whatever the model says.
        let own = self.deleted.get(&session.view);
        let hidden = own.into_iter().flatten().find(|n| shown.contains(n));
        assert_eq!(
            hidden, None,
            "a deleted message returned to {:?}",
            session.view
        );
        let live = self.embedded.browse(MessageFilter::Live);
        for number in live.difference(&shown) {
            let is_own = own.is_some_and(|own| own.contains(number));
            let before = self.before.get(&session.view);
            let is_before = before.is_some_and(|before| before.contains(number));
            assert!(
                is_own || is_before,
                "{:?} lost message {number}",
                session.view
            );
        }
        self.sessions.push(session);
    }

    /// QUIT, or the line breaks.
    fn end(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let at = self.chance.of(self.sessions.len());
        let session = self.sessions.swap_remove(at);
        if self.chance.of(5) == 0 || !self.model.views.contains_key(&session.view) {
            return;
        }
        let shown = self.model.shown(session.model.as_ref());
        let numbers = self.some_of(&shown.into_iter().collect());
        self.embedded.quit(session.embedded.as_ref(), &numbers);
        self.model.quit(session.model.as_ref(), &numbers);
        let own = self.deleted.entry(session.view).or_default();
        own.extend(numbers);
    }

    fn add_view(&mut self) {
        if self.model.views.len() > VIEWS {
            return;
        }
        // A name is used again while sessions of the one before may still be open.
        self.made += 1;
        let name = format!("d{}", self.made);
        let from_now = self.chance.of(4) == 0;
        if from_now {
            let all = (1..self.next).collect();
            self.before.insert(name.clone(), all);
        }
        self.embedded.add_view(&name, from_now);
        self.model.add_view(&name, from_now);
    }

    fn remove_view(&mut self) {
        let view = self.any_view();
        if !view.is_empty() {
            self.embedded.remove_view(&view);
            self.model.remove_view(&view);
        }
    }

    fn tend(&mut self) {
        let expiry = self.chance.of(2) == 0;
        let age = self.chance.of(6) == 0;
        let due = Tending {
            view_expiry_ms: expiry.then_some(90 * DAY_MS),
            max_age_ms: age.then_some(30 * DAY_MS),
        };
        let days = [0, 20, 33, 80, 100][self.chance.of(5)];
        let now_ms = self.clock_ms + days * DAY_MS;
        let live = self.embedded.browse(MessageFilter::Live);
        let done = self.embedded.tend(due, now_ms);
        assert_eq!(done, self.model.tend(due, now_ms));
        if done.2 > 0 {
            let left = self.embedded.browse(MessageFilter::Live);
            self.forced.extend(live.difference(&left));
        }
    }

    fn undelete(&mut self) {
        let mut all = self.model.browse(MessageFilter::Deleted);
        if self.chance.of(2) == 0 {
            all.extend(self.model.browse(MessageFilter::Live));
        }
        let numbers = self.some_of(&all);
        let live = self.model.browse(MessageFilter::Live);
        let back = self.embedded.restore(&numbers);
        assert_eq!(back, self.model.restore(&numbers));
        for number in numbers {
            if live.contains(&number) || back.contains(&number) {
                self.forced.remove(&number);
                for all in self.deleted.values_mut().chain(self.before.values_mut()) {
                    all.remove(&number);
                }
            }
        }
    }

    fn remove(&mut self) {
        let live = self.model.browse(MessageFilter::Live);
        let some = self.some_of(&live);
        let numbers: BTreeSet<_> = some.into_iter().take(2).collect();
        let ids = |ids: &BTreeMap<Number, UniqueId>| -> Vec<_> {
            numbers.iter().map(|n| ids[n]).collect()
        };
        let (embedded, model) = (ids(&self.embedded.ids), ids(&self.model.ids));
        block_on(self.embedded.store.remove(self.embedded.mailbox, &embedded)).expect("removed");
        block_on(self.model.store.remove(self.model.mailbox, &model)).expect("removed");
        self.forced.extend(numbers);
    }

    fn set_release(&mut self) {
        let release = [Some(Release::Never), None, None][self.chance.of(3)];
        // Without devices DELE is for all: no view is asked.
        let release = release.or(Some(Release::AllDevices));
        for (store, mailbox) in [
            (
                &self.embedded.store as &dyn MailStore,
                self.embedded.mailbox,
            ),
            (&self.model.store, self.model.mailbox),
        ] {
            block_on(store.set_release(mailbox, release)).expect("set");
        }
    }

    fn compact(&mut self) {
        self.embedded.store.compact_now().expect("compacted");
    }

    /// What is removed can no longer be restored, and its bytes go.
    fn end_of_hold(&mut self) {
        self.sessions.clear();
        let path = self.folder.path().to_owned();
        self.embedded.store = open(&path, 0, 0);
        self.embedded.store.compact_now().expect("compacted");
        self.embedded.store = open(&path, HOLD_MS, HOLD_MS);
        self.clock_ms += 2 * HOLD_MS;
        self.model.store.set_now(self.clock_ms);
        self.model.store.compact();
    }

    /// Goes on with what a killed process leaves, once in a while without its index.
    fn kill(&mut self) {
        self.sessions.clear();
        let next = tempfile::tempdir().expect("a folder");
        copy(self.folder.path(), next.path());
        if self.chance.of(3) == 0 {
            for suffix in ["", "-wal", "-shm"] {
                let _none = fs::remove_file(next.path().join(format!("index.db{suffix}")));
            }
        }
        self.embedded.store = open(next.path(), HOLD_MS, HOLD_MS);
        self.folder = next;
    }

    fn check(&self) {
        assert_eq!(self.embedded.told(), self.model.told());
        let live = self.embedded.browse(MessageFilter::Live);
        assert_eq!(live, self.model.browse(MessageFilter::Live));
        let deleted = self.embedded.browse(MessageFilter::Deleted);
        assert_eq!(deleted, self.model.browse(MessageFilter::Deleted));
        // Nothing leaves that no device has deleted.
        for number in (1..self.next).filter(|n| !live.contains(n)) {
            let wanted = self.deleted.values().any(|all| all.contains(&number));
            assert!(
                wanted || self.forced.contains(&number),
                "message {number} left early"
            );
        }
    }

    /// Every view deletes all that it is shown: then nothing is left.
    fn finish(&mut self) {
        self.sessions.clear();
        for (store, mailbox) in [
            (
                &self.embedded.store as &dyn MailStore,
                self.embedded.mailbox,
            ),
            (&self.model.store, self.model.mailbox),
        ] {
            block_on(store.set_release(mailbox, Some(Release::AllDevices))).expect("set");
        }
        let names: Vec<_> = self.model.views.keys().cloned().collect();
        for view in names {
            let all = (1..self.next).collect();
            let (embedded, model) = (self.embedded.session(&view), self.model.session(&view));
            self.embedded.quit(embedded.as_ref(), &all);
            self.model.quit(model.as_ref(), &all);
            self.deleted.entry(view).or_default().extend(all);
        }
        self.embedded.tend(Tending::default(), self.clock_ms);
        self.model.tend(Tending::default(), self.clock_ms);
        self.check();
        let left = self.embedded.browse(MessageFilter::Live);
        assert_eq!(left, BTreeSet::new(), "what all views have deleted stays");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("read").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            fs::create_dir_all(&target).expect("made");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

fn play(seed: u64) {
    let mut world = World::new(seed);
    for step in 0..STEPS {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.step()));
        if let Err(cause) = played {
            eprintln!("seed {seed}, step {step}");
            std::panic::resume_unwind(cause);
        }
    }
    world.finish();
}

#[test]
fn no_interleaving_loses_returns_or_keeps_a_message() {
    for seed in 1..=6 {
        play(seed);
    }
}

/// Another schedule each time; its seed is told when it fails.
#[test]
fn nor_does_one_of_chance() {
    play(wall_clock_ms());
}
