//! A scripted life of a store, and what must be found of it afterwards.

use std::collections::{BTreeMap, BTreeSet};

use restante_store::{
    Access, DeletionSet, Delivery, MailStore, MailboxId, Release, Seen, Source, StoreError,
    UniqueId, ViewId,
};
use restante_testkit::corpus;
use restante_testkit::disk::FaultyDisk;
use restante_testkit::exec::{block_on, collect_from, seal};

/// A message of the workload; its bytes follow from its number.
pub(crate) type Number = u32;

/// What one step does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Makes a mailbox; with views, as devices have them.
    Create(&'static str, &'static [&'static str]),
    /// One commit: each message to one mailbox.
    Deliver(Vec<(&'static str, Number)>),
    /// One session: DELE of each, QUIT.
    Delete(&'static str, &'static str, Vec<Number>),
    /// An undo.
    Restore(&'static str, Vec<Number>),
    /// Remote messages are recorded as seen.
    Seen(&'static str, Vec<Number>),
    /// Remote messages are forgotten, as far as they have no body that could be had back.
    Forget(&'static str, Vec<Number>),
    /// Renames; later steps use the new name.
    Rename(&'static str, &'static str),
    /// Removes a mailbox and all its octets, which rewrites packs.
    Erase(&'static str),
    /// One pass of the compactor.
    Compact,
}

/// The exact octets of a message.
pub(crate) fn bytes_of(number: Number) -> Vec<u8> {
    let head = format!("Subject: {number}\r\n\r\n");
    let mut bytes = head.into_bytes();
    match number % 8 {
        0 => {}
        1 => bytes.extend_from_slice(b"From here\n>From there\nno end"),
        2 => bytes.extend_from_slice(&corpus::noise(3_000)),
        3 => bytes.extend_from_slice(b".\r\n..\r\n\0\r\n"),
        4 => bytes.extend_from_slice(&corpus::usual(u64::from(number), 2_000)),
        5 => bytes.extend_from_slice(&corpus::noise(9_000)),
        6 => bytes.truncate(bytes.len() - 2),
        _ => bytes.extend_from_slice(b"short\n\n\n"),
    }
    bytes
}

/// The number of a message that was found, if its octets are exactly those that went in.
pub(crate) fn number_of(bytes: &[u8]) -> Number {
    let line = bytes.split(|b| *b == b'\r').next().expect("a first line");
    let digits = line.strip_prefix(b"Subject: ").expect("one of ours");
    let number = std::str::from_utf8(digits).expect("digits").parse();
    let number = number.expect("a number");
    assert!(
        bytes == bytes_of(number),
        "the octets of message {number} differ"
    );
    number
}

/// Whether something is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tri {
    /// Acknowledged, so it must be.
    Yes,
    /// Never asked for, or its removal was acknowledged: it must not be.
    No,
    /// Asked for, and answered by an error: either.
    Maybe,
}

/// The account that all messages of the workload are fetched from.
const ACCOUNT: &str = "account";

/// In place of a view: what the mailbox's ledger says.
const LEDGER: &str = "the ledger";

fn key(mailbox: &str, view: &str, number: Number) -> (String, String, Number) {
    (mailbox.to_owned(), view.to_owned(), number)
}

/// The remote unique-id of a message.
fn remote_id(number: Number) -> Vec<u8> {
    format!("remote {number}").into_bytes()
}

fn source(number: Number) -> Source {
    Source {
        account: ACCOUNT.to_owned(),
        remote_id: remote_id(number),
    }
}

/// Mailbox, view, message: whether a session finds it; or whether the ledger has it.
pub(crate) type Expected = BTreeMap<(String, String, Number), Tri>;

/// Mailbox, view, messages, as sessions find them; none for what the ledger has only seen.
pub(crate) type Found = BTreeMap<(String, String), Vec<(Number, Option<UniqueId>)>>;

/// The driver: does steps on a store, and keeps account of what was acknowledged.
#[derive(Default, Clone)]
pub(crate) struct Driver {
    pub(crate) expected: Expected,
    pub(crate) ids: BTreeMap<(String, Number), UniqueId>,
    /// Mailboxes whose making, renaming or removal failed: whether they are there is open.
    pub(crate) open: BTreeSet<String>,
}

impl Driver {
    /// Does a step; says whether it was acknowledged.
    pub(crate) fn step(&mut self, store: &dyn Subject, step: &Step) -> bool {
        let before = self.expected.clone();
        if self.run(store, step).is_ok() {
            return true;
        }
        if matches!(step, Step::Create(..)) && self.run(store, step).is_ok() {
            return true;
        }
        // What the step would have changed may have happened, or not.
        let after = self.intended(step);
        for (key, tri) in after {
            if before.get(&key).copied().unwrap_or(Tri::No) != tri {
                self.expected.insert(key, Tri::Maybe);
            }
        }
        match step {
            Step::Create(name, _) | Step::Erase(name) => {
                self.open.insert((*name).to_owned());
            }
            Step::Rename(from, to) => {
                self.open.extend([(*from).to_owned(), (*to).to_owned()]);
            }
            _ => {}
        }
        false
    }

    fn run(&mut self, store: &dyn Subject, step: &Step) -> Result<(), StoreError> {
        let mail = store.mail();
        match step {
            Step::Create(name, views) => {
                // Done again after a failure or a crash: what is there already is left.
                let id = block_on(mail.create_mailbox(name))?;
                for view in *views {
                    if view_id(mail, id, view).is_err() {
                        block_on(mail.add_view(id, view, false))?;
                    }
                }
                if !views.is_empty() {
                    block_on(mail.set_release(id, Some(Release::AllDevices)))?;
                }
            }
            Step::Deliver(messages) => self.deliver(mail, messages)?,
            Step::Delete(name, view, numbers) => {
                // What the session does not see, it does not delete: it may be there even so.
                let seen = delete(mail, name, view, numbers)?;
                self.expected = self.intended(&Step::Delete(name, view, seen));
                return Ok(());
            }
            Step::Restore(name, numbers) => {
                let known = |n: &Number| self.ids.get(&((*name).to_owned(), *n)).copied();
                let ids: Vec<_> = numbers.iter().filter_map(known).collect();
                let back = block_on(mail.restore(find(mail, name)?, &ids))?;
                for ((at, view, number), tri) in &mut self.expected {
                    let shown = at == name && view != LEDGER && numbers.contains(number);
                    if shown && *tri != Tri::Yes {
                        // One that was only hidden is shown again without being told of.
                        let told = known(number).is_some_and(|id| back.contains(&id));
                        *tri = if told { Tri::Yes } else { Tri::Maybe };
                    }
                }
                return Ok(());
            }
            Step::Seen(name, numbers) => {
                let seen = |number: &Number| Seen {
                    source: source(*number),
                    received_ms: u64::from(*number),
                };
                let seen: Vec<_> = numbers.iter().map(seen).collect();
                block_on(mail.record_seen(find(mail, name)?, &seen))?;
            }
            Step::Forget(name, numbers) => {
                let ids: Vec<_> = numbers.iter().map(|number| remote_id(*number)).collect();
                block_on(mail.forget_seen(find(mail, name)?, ACCOUNT, &ids))?;
            }
            Step::Rename(from, to) => block_on(mail.rename_mailbox(find(mail, from)?, to))?,
            Step::Erase(name) => block_on(mail.remove_mailbox(find(mail, name)?, true))?,
            Step::Compact => store.compact()?,
        }
        self.expected = self.intended(step);
        if let Step::Rename(from, to) = step {
            let moved = |((name, n), id): ((String, Number), UniqueId)| {
                let name = if name == *from {
                    (*to).to_owned()
                } else {
                    name
                };
                ((name, n), id)
            };
            self.ids = std::mem::take(&mut self.ids)
                .into_iter()
                .map(moved)
                .collect();
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        mail: &dyn MailStore,
        messages: &[(&'static str, Number)],
    ) -> Result<(), StoreError> {
        let mut deliveries = Vec::new();
        for (name, number) in messages {
            deliveries.push(Delivery {
                mailbox: find(mail, name)?,
                message: seal(mail, &bytes_of(*number))?,
                received_ms: 1_700_000_000_000 + u64::from(*number),
                source: Some(source(*number)),
            });
        }
        let ids = block_on(mail.commit(deliveries))?;
        for ((name, number), id) in messages.iter().zip(ids) {
            self.ids.insert(((*name).to_owned(), *number), id);
        }
        Ok(())
    }

    /// What is expected once the step is acknowledged.
    fn intended(&self, step: &Step) -> Expected {
        let mut after = self.expected.clone();
        match step {
            Step::Create(..) | Step::Compact => {}
            Step::Deliver(messages) => {
                for (name, number) in messages {
                    for view in views_of(name).iter().chain(&[LEDGER]) {
                        let key = ((*name).to_owned(), (*view).to_owned(), *number);
                        after.insert(key, Tri::Yes);
                    }
                }
            }
            Step::Delete(name, view, numbers) => {
                for ((at, through, number), tri) in &mut after {
                    if at == name && through == view && numbers.contains(number) {
                        *tri = Tri::No;
                    }
                }
            }
            Step::Restore(name, numbers) => {
                for ((at, view, number), tri) in &mut after {
                    if at == name && view != LEDGER && numbers.contains(number) {
                        *tri = Tri::Yes;
                    }
                }
            }
            Step::Seen(name, numbers) => {
                for number in numbers {
                    after.insert(key(name, LEDGER, *number), Tri::Yes);
                }
            }
            Step::Forget(name, numbers) => {
                for number in numbers {
                    // One whose deletion or delivery failed may be there: then it is not forgotten.
                    let there = self.expected.get(&key(name, views_of(name)[0], *number));
                    let known = match there {
                        None | Some(Tri::No) => Tri::No,
                        Some(Tri::Maybe) => Tri::Maybe,
                        Some(Tri::Yes) => continue,
                    };
                    after.insert(key(name, LEDGER, *number), known);
                }
            }
            Step::Rename(from, to) => {
                let moved = |((at, view, number), tri): ((String, String, Number), Tri)| {
                    let at = if at == *from { (*to).to_owned() } else { at };
                    ((at, view, number), tri)
                };
                after = after.into_iter().map(moved).collect();
            }
            Step::Erase(name) => after.retain(|(at, _, _), _| at != name),
        }
        after
    }
}

/// Views by which the workload looks at a mailbox: devices, or the plain login.
fn views_of(name: &str) -> &'static [&'static str] {
    if name.starts_with("devices") {
        &["phone", "laptop"]
    } else {
        &["plain"]
    }
}

/// What is tested: a store, and what only the embedded one has.
pub(crate) trait Subject {
    fn mail(&self) -> &dyn MailStore;
    fn compact(&self) -> Result<(), StoreError>;
}

fn find(mail: &dyn MailStore, name: &str) -> Result<MailboxId, StoreError> {
    let info = block_on(mail.find_mailbox(name))?;
    info.map(|m| m.id).ok_or(StoreError::NotFound)
}

fn view_id(mail: &dyn MailStore, mailbox: MailboxId, name: &str) -> Result<ViewId, StoreError> {
    if name == "plain" {
        return Ok(ViewId::PLAIN);
    }
    let views = block_on(mail.views(mailbox))?;
    let named = views.iter().find(|v| v.name == name);
    named.map(|v| v.id).ok_or(StoreError::NotFound)
}

fn delete(
    mail: &dyn MailStore,
    name: &str,
    view: &str,
    numbers: &[Number],
) -> Result<Vec<Number>, StoreError> {
    let mailbox = find(mail, name)?;
    let view = view_id(mail, mailbox, view)?;
    let drop = block_on(mail.open(mailbox, view, Access::Shared))?;
    let (mut set, mut seen) = (DeletionSet::default(), Vec::new());
    for (index, (_, bytes)) in collect_from(drop.as_ref())?.iter().enumerate() {
        let number = number_of(bytes);
        if numbers.contains(&number) {
            set.insert(index);
            seen.push(number);
        }
    }
    block_on(drop.commit_deletions(&set))?;
    Ok(seen)
}

/// Everything that sessions find in a store. Each message's octets are checked on the way.
pub(crate) fn look(mail: &dyn MailStore) -> Result<Found, StoreError> {
    let mut found = Found::new();
    for mailbox in block_on(mail.mailboxes())? {
        for view in views_of(&mailbox.name) {
            // A crash between the records of a mailbox and of its views leaves it without them.
            let Ok(id) = view_id(mail, mailbox.id, view) else {
                continue;
            };
            let drop = block_on(mail.open(mailbox.id, id, Access::Shared))?;
            let all = collect_from(drop.as_ref())?;
            assert_eq!(
                drop.totals().count,
                all.len() as u64,
                "totals and listing agree"
            );
            let numbered = all
                .iter()
                .map(|(id, bytes)| (number_of(bytes), Some(*id)))
                .collect();
            found.insert((mailbox.name.clone(), (*view).to_owned()), numbered);
        }
        let ledger = read_ledger(mail, mailbox.id)?;
        found.insert((mailbox.name, LEDGER.to_owned()), ledger);
    }
    Ok(found)
}

/// All of a ledger, in pages.
fn read_ledger(
    mail: &dyn MailStore,
    mailbox: MailboxId,
) -> Result<Vec<(Number, Option<UniqueId>)>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = block_on(mail.ledger(mailbox, ACCOUNT, after.as_deref(), 7))?;
        let last = page.len() < 7;
        for entry in page {
            let id = std::str::from_utf8(&entry.remote_id).expect("one of ours");
            let number = id.strip_prefix("remote ").and_then(|n| n.parse().ok());
            let number: Number = number.expect("one of ours");
            let received = [u64::from(number), 1_700_000_000_000 + u64::from(number)];
            assert!(received.contains(&entry.received_ms), "{entry:?}");
            all.push((number, entry.message.map(|m| m.unique_id)));
            after = Some(entry.remote_id);
        }
        if last {
            return Ok(all);
        }
    }
}

/// What of `found` is against what is expected; empty when all is well.
pub(crate) fn judge(driver: &Driver, found: &Found) -> Vec<String> {
    let mut wrong = Vec::new();
    for ((name, view), messages) in found {
        let mut seen = BTreeSet::new();
        for (number, id) in messages {
            let key = (name.clone(), view.clone(), *number);
            if !seen.insert(*number) {
                wrong.push(format!("doubled: {key:?}"));
            }
            if driver.expected.get(&key).copied().unwrap_or(Tri::No) == Tri::No
                && !driver.open.contains(name)
            {
                wrong.push(format!("came back: {key:?}"));
            }
            let known = driver.ids.get(&(name.clone(), *number));
            if known
                .zip(id.as_ref())
                .is_some_and(|(known, id)| known != id)
            {
                wrong.push(format!("has another unique-id: {key:?}"));
            }
        }
    }
    for (key @ (name, view, number), tri) in &driver.expected {
        let messages = found.get(&(name.clone(), view.clone()));
        let there = messages.is_some_and(|m| m.iter().any(|(n, _)| n == number));
        if *tri == Tri::Yes && !there && !driver.open.contains(name) {
            wrong.push(format!("lost: {key:?}"));
        }
    }
    wrong
}

/// The history of a run without faults: after each step, how long the disk's history was and what
/// was acknowledged.
pub(crate) fn record(
    store: &dyn Subject,
    disk: &FaultyDisk,
    steps: &[Step],
) -> Vec<(usize, Driver)> {
    let mut driver = Driver::default();
    let mut history = vec![(disk.operations(), driver.clone())];
    for step in steps {
        assert!(
            driver.step(store, step),
            "{step:?} succeeds on a sound disk"
        );
        history.push((disk.operations(), driver.clone()));
    }
    history
}

/// The script: two mailboxes, one with devices, one that is erased; deliveries alone and together,
/// deletions, undo, renames and compaction in between.
pub(crate) fn script() -> Vec<Step> {
    const DEVICES: &[&str] = &["phone", "laptop"];
    let mut steps = vec![Step::Create("me", &[]), Step::Deliver(vec![("me", 1)])];
    steps.push(Step::Create("devices", DEVICES));
    steps.push(Step::Create("other", &[]));
    for round in 0..4 {
        let at = 10 + round * 20;
        steps.push(Step::Deliver((at..at + 3).map(|n| ("me", n)).collect()));
        steps.push(Step::Deliver(vec![
            ("devices", at + 3),
            ("other", at + 3),
            ("me", at + 3),
        ]));
        steps.push(Step::Deliver(vec![("other", at + 4)]));
        steps.push(Step::Delete("me", "plain", vec![at, at + 2]));
        steps.push(Step::Deliver(vec![
            ("devices", at + 5),
            ("devices", at + 6),
        ]));
        steps.push(Step::Delete("devices", "phone", vec![at + 3, at + 5]));
        steps.push(Step::Restore("me", vec![at]));
        steps.push(Step::Compact);
        steps.push(Step::Delete("devices", "laptop", vec![at + 3]));
        steps.push(Step::Deliver(vec![("me", at + 7), ("devices", at + 7)]));
        let seen: Vec<_> = (1_000 + at..1_010 + at).collect();
        steps.push(Step::Seen("me", seen.clone()));
        steps.push(Step::Seen("devices", vec![1_000 + at, at + 7]));
        if round > 0 {
            // What this round recorded, and what an earlier one did, in another pack by now.
            steps.push(Step::Forget("me", vec![seen[1], seen[2], seen[0] - 17]));
        }
        if round == 1 {
            steps.push(Step::Restore("devices", vec![at + 3]));
            steps.push(Step::Delete("me", "plain", vec![1]));
        }
        if round == 2 {
            steps.push(Step::Erase("other"));
            steps.push(Step::Create("other", &[]));
        }
    }
    steps.push(Step::Rename("devices", "devices at home"));
    steps.push(Step::Deliver(vec![("devices at home", 200), ("me", 201)]));
    steps.push(Step::Delete("devices at home", "phone", vec![200]));
    steps
}
