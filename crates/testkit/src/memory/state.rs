//! The model itself: plain data behind one lock, every rule in the shortest form that is right.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use restante_store::limits::SNAPSHOT_GRACE_MS;
use restante_store::{
    Change, Changes, Cursor, Delivery, Hints, ListingEntry, MailboxId, MailboxInfo, MessageFilter,
    MessageInfo, Release, Source, StoreError, Tended, Tending, TombstoneId, Totals, UniqueId,
    ViewId, ViewInfo,
};

use super::{Op, wall_clock_ms};

type Answer<T> = Result<T, StoreError>;

/// A sealed message: what [`restante_store::Sealed::inner`] holds here.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) hints: Hints,
}

pub(super) struct Mailbox {
    name: String,
    /// `None` until someone sets it: then it depends on whether there are devices.
    release: Option<Release>,
    removed: bool,
    views: BTreeMap<ViewId, View>,
    /// The plain login counts as a device once it has been used.
    plain: Option<View>,
    pub(super) exclusive: bool,
}

#[derive(Default)]
struct View {
    name: String,
    /// Messages delivered before this place in `State::messages` are none of its business.
    since: usize,
    /// When it was last opened, or made.
    used_ms: u64,
    lapsed: bool,
}

pub(super) struct Message {
    pub(super) info: MessageInfo,
    /// `None` once the bytes are gone for good.
    content: Option<Arc<Content>>,
    hidden: BTreeSet<ViewId>,
    /// Views from now on that are younger than the message, yet were shown it by a restore.
    shown: BTreeSet<ViewId>,
    /// Somebody has brought it back: it is not too old any more.
    brought_back: bool,
    /// Place of its last change.
    place: u64,
    /// Past restoring, and taken out of the ledger.
    pub(super) forgotten: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) hold_ms: u64,
    /// Set by a test; else the wall clock.
    pub(super) now_ms: Option<u64>,
    /// Octets that `draft` believes to be free, and how many must stay free.
    pub(super) free: Option<(u64, u64)>,
    pub(super) failures: BTreeMap<Op, VecDeque<StoreError>>,
    pub(super) broken: BTreeMap<Op, StoreError>,
    pub(super) calls: BTreeMap<Op, u64>,
    epoch: u64,
    place: u64,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    /// In the order of delivery, which is the order in each mailbox.
    pub(super) messages: Vec<Message>,
    /// Fetched messages that were never delivered here, and when they were received.
    pub(super) seen: BTreeMap<(MailboxId, Source), u64>,
    by_id: HashMap<UniqueId, usize>,
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random octets");
    bytes
}

impl Mailbox {
    fn release(&self) -> Release {
        self.release.unwrap_or(if self.views.is_empty() {
            Release::AtOnce
        } else {
            Release::AllDevices
        })
    }

    /// Views whose wish counts before a message leaves under `AllDevices`.
    fn live_views(&self) -> BTreeSet<ViewId> {
        let plain = self.plain.iter().map(|view| (&ViewId::PLAIN, view));
        let all = self.views.iter().chain(plain);
        all.filter(|(_, view)| !view.lapsed)
            .map(|(id, _)| *id)
            .collect()
    }

    fn since(&self, view: ViewId) -> Answer<usize> {
        if view == ViewId::PLAIN {
            return Ok(0);
        }
        let view = self.views.get(&view).ok_or(StoreError::NotFound)?;
        Ok(view.since)
    }
}

impl State {
    pub(super) fn new(hold_ms: u64) -> Self {
        Self {
            hold_ms,
            // Never 0: that is the epoch of `Cursor::START`.
            epoch: u64::from_be_bytes(random()) | 1,
            ..Self::default()
        }
    }

    /// Counts a call, and fails it if a test wants so.
    pub(super) fn enter(&mut self, op: Op) -> Answer<()> {
        *self.calls.entry(op).or_default() += 1;
        if let Some(error) = self.failures.get_mut(&op).and_then(VecDeque::pop_front) {
            return Err(error);
        }
        self.broken.get(&op).cloned().map_or(Ok(()), Err)
    }

    fn now(&self) -> u64 {
        self.now_ms.unwrap_or_else(wall_clock_ms)
    }

    /// Above all before it, also within one millisecond: a mailbox's order is that of its unique-ids.
    fn next_unique_id(&self) -> UniqueId {
        let fresh = UniqueId::new(self.now(), random());
        let last = self.messages.last().map(|m| m.info.unique_id);
        let above = last.map(|id| u128::from_be_bytes(*id.as_bytes()) + 1);
        above.map_or(fresh, |id| {
            fresh.max(UniqueId::from_bytes(id.to_be_bytes()))
        })
    }

    fn next_place(&mut self) -> u64 {
        self.place += 1;
        self.place
    }

    pub(super) fn mailbox(&mut self, id: MailboxId) -> Answer<&mut Mailbox> {
        let found = self.mailboxes.get_mut(&id).filter(|m| !m.removed);
        found.ok_or(StoreError::NotFound)
    }

    fn shows(message: &Message, at: usize, view: ViewId, since: usize) -> bool {
        let due = at >= since || message.shown.contains(&view);
        message.info.removed.is_none() && due && !message.hidden.contains(&view)
    }

    fn info(&self, id: MailboxId, mailbox: &Mailbox) -> MailboxInfo {
        MailboxInfo {
            id,
            name: mailbox.name.clone(),
            release: mailbox.release(),
            release_is_set: mailbox.release.is_some(),
            totals: totals(self.live(id).map(|m| m.info.octets)),
        }
    }

    fn live(&self, id: MailboxId) -> impl Iterator<Item = &Message> {
        let mine = move |m: &&Message| m.info.mailbox == id && m.info.removed.is_none();
        self.messages.iter().filter(mine)
    }

    pub(super) fn mailboxes(&self) -> Vec<MailboxInfo> {
        let present = self.mailboxes.iter().filter(|(_, m)| !m.removed);
        let mut all: Vec<_> = present.map(|(id, m)| self.info(*id, m)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub(super) fn find(&self, name: &str) -> Option<MailboxInfo> {
        self.mailboxes().into_iter().find(|m| m.name == name)
    }

    pub(super) fn create(&mut self, name: &str) -> MailboxId {
        if let Some(there) = self.find(name) {
            return there.id;
        }
        let id = MailboxId::new(self.now(), random());
        let mailbox = Mailbox {
            name: name.to_owned(),
            release: None,
            removed: false,
            views: BTreeMap::new(),
            plain: None,
            exclusive: false,
        };
        self.mailboxes.insert(id, mailbox);
        id
    }

    pub(super) fn rename(&mut self, id: MailboxId, name: &str) -> Answer<()> {
        self.mailbox(id)?;
        if self.find(name).is_some_and(|other| other.id != id) {
            let what = format!("a mailbox is named {name:?} already");
            return Err(StoreError::Permanent(what));
        }
        self.mailbox(id)?.name = name.to_owned();
        Ok(())
    }

    pub(super) fn remove_mailbox(&mut self, id: MailboxId, erase: bool) -> Answer<()> {
        self.mailbox(id)?.removed = true;
        let ids: Vec<_> = self.live(id).map(|m| m.info.unique_id).collect();
        self.take_away(&ids);
        if erase {
            let mine = self.messages.iter_mut().filter(|m| m.info.mailbox == id);
            mine.for_each(|m| m.content = None);
        }
        Ok(())
    }

    pub(super) fn set_release(&mut self, id: MailboxId, release: Option<Release>) -> Answer<()> {
        self.mailbox(id)?.release = release;
        Ok(())
    }

    pub(super) fn tend(&mut self, id: MailboxId, due: Tending, now_ms: u64) -> Answer<Tended> {
        let mailbox = self.mailbox(id)?;
        let mut done = Tended::default();
        let plain = mailbox.plain.iter_mut().map(|view| (&ViewId::PLAIN, view));
        if let Some(expiry_ms) = due.view_expiry_ms
            && !mailbox.views.is_empty()
        {
            for (view, record) in mailbox.views.iter_mut().chain(plain) {
                if !record.lapsed && now_ms.saturating_sub(record.used_ms) >= expiry_ms {
                    record.lapsed = true;
                    done.lapsed.push(*view);
                }
            }
        }
        let before = self.live(id).count() as u64;
        if self.mailboxes[&id].release() == Release::AllDevices {
            self.all_unwanted_leave(id);
        }
        let between = self.live(id).count() as u64;
        done.released = before - between;
        if let Some(max_age_ms) = due.max_age_ms {
            let bound = now_ms.saturating_sub(max_age_ms);
            let old = |m: &&Message| m.info.unique_id.unix_ms() < bound && !m.brought_back;
            let aged: Vec<_> = self
                .live(id)
                .filter(old)
                .map(|m| m.info.unique_id)
                .collect();
            self.take_away(&aged);
            done.aged = aged.len() as u64;
        }
        Ok(done)
    }

    pub(super) fn views(&mut self, id: MailboxId) -> Answer<Vec<ViewInfo>> {
        self.mailbox(id)?;
        let mailbox = &self.mailboxes[&id];
        let plain = mailbox.plain.iter().map(|view| (&ViewId::PLAIN, view));
        let mut all: Vec<_> = mailbox
            .views
            .iter()
            .chain(plain)
            .map(|(view, record)| ViewInfo {
                id: *view,
                name: record.name.clone(),
                totals: totals(self.shown(id, *view, record.since).map(|e| e.octets)),
                used_ms: Some(record.used_ms),
                lapsed: record.lapsed,
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn shown(
        &self,
        id: MailboxId,
        view: ViewId,
        since: usize,
    ) -> impl Iterator<Item = ListingEntry> {
        let all = self.messages.iter().enumerate();
        let mine =
            all.filter(move |(at, m)| m.info.mailbox == id && Self::shows(m, *at, view, since));
        mine.map(|(_, m)| ListingEntry {
            unique_id: m.info.unique_id,
            octets: m.info.octets,
        })
    }

    pub(super) fn add_view(&mut self, id: MailboxId, name: &str, now_on: bool) -> Answer<ViewId> {
        let since = if now_on { self.messages.len() } else { 0 };
        let used_ms = self.now();
        let view = ViewId::new(used_ms, random());
        let mailbox = self.mailbox(id)?;
        if mailbox.views.values().any(|v| v.name == name) {
            let what = format!("the mailbox has a view named {name:?} already");
            return Err(StoreError::Permanent(what));
        }
        let name = name.to_owned();
        let record = View {
            name,
            since,
            used_ms,
            lapsed: false,
        };
        mailbox.views.insert(view, record);
        Ok(view)
    }

    pub(super) fn remove_view(&mut self, id: MailboxId, view: ViewId) -> Answer<()> {
        let mailbox = self.mailbox(id)?;
        // As it was with this view: what the last one held back may leave, too.
        let release = mailbox.release();
        mailbox.views.remove(&view).ok_or(StoreError::NotFound)?;
        if release == Release::AllDevices {
            self.all_unwanted_leave(id);
        }
        Ok(())
    }

    fn all_unwanted_leave(&mut self, id: MailboxId) {
        let all: Vec<_> = self.live(id).map(|m| m.info.unique_id).collect();
        self.leave_if_unwanted(id, &all);
    }

    /// `AllDevices`: takes away those of `ids` that some view deleted and no live view shows.
    fn leave_if_unwanted(&mut self, id: MailboxId, ids: &[UniqueId]) {
        let mailbox = &self.mailboxes[&id];
        let live = mailbox.live_views();
        let wanted = |at: usize| {
            let message = &self.messages[at];
            let shown = |view: &ViewId| {
                let since = mailbox.since(*view).unwrap_or(usize::MAX);
                Self::shows(message, at, *view, since)
            };
            message.hidden.is_empty() || live.is_empty() || live.iter().any(shown)
        };
        let unwanted = |uid: &&UniqueId| self.by_id.get(uid).is_some_and(|at| !wanted(*at));
        let leaving: Vec<_> = ids.iter().filter(unwanted).copied().collect();
        self.take_away(&leaving);
    }

    /// What a snapshot is: here simply the listing itself, taken at once.
    pub(super) fn open(&mut self, id: MailboxId, view: ViewId) -> Answer<Vec<ListingEntry>> {
        let used_ms = self.now();
        let mailbox = self.mailbox(id)?;
        let since = mailbox.since(view)?;
        let record = match view {
            ViewId::PLAIN => mailbox.plain.get_or_insert_default(),
            view => mailbox.views.get_mut(&view).ok_or(StoreError::NotFound)?,
        };
        record.used_ms = used_ms;
        record.lapsed = false;
        Ok(self.shown(id, view, since).collect())
    }

    pub(super) fn commit(
        &mut self,
        deliveries: Vec<(Delivery, Arc<Content>)>,
    ) -> Answer<Vec<UniqueId>> {
        for (delivery, _) in &deliveries {
            self.mailbox(delivery.mailbox)?;
        }
        let mut ids = Vec::with_capacity(deliveries.len());
        for (delivery, content) in deliveries {
            let unique_id = self.next_unique_id();
            let place = self.next_place();
            self.by_id.insert(unique_id, self.messages.len());
            self.messages.push(Message {
                info: MessageInfo {
                    unique_id,
                    mailbox: delivery.mailbox,
                    size: delivery.message.size,
                    octets: delivery.message.octets,
                    received_ms: delivery.received_ms,
                    digest: delivery.message.digest,
                    source: delivery.source,
                    removed: None,
                },
                content: Some(content),
                hidden: BTreeSet::new(),
                shown: BTreeSet::new(),
                brought_back: false,
                place,
                forgotten: false,
            });
            ids.push(unique_id);
        }
        Ok(ids)
    }

    /// One tombstone over those of `ids` that are live.
    fn take_away(&mut self, ids: &[UniqueId]) -> TombstoneId {
        let now = self.now();
        let tombstone = TombstoneId::new(now, random());
        for id in ids {
            let Some(&at) = self.by_id.get(id) else {
                continue;
            };
            if self.messages[at].info.removed.is_none() {
                let place = self.next_place();
                self.messages[at].place = place;
                self.messages[at].info.removed = Some((now, tombstone));
            }
        }
        tombstone
    }

    pub(super) fn remove(&mut self, id: MailboxId, ids: &[UniqueId]) -> Answer<TombstoneId> {
        self.mailbox(id)?;
        let mine: Vec<_> = self.only_of(id, ids);
        Ok(self.take_away(&mine))
    }

    fn only_of(&self, id: MailboxId, ids: &[UniqueId]) -> Vec<UniqueId> {
        let mine = |uid: &&UniqueId| {
            let at = self.by_id.get(uid);
            at.is_some_and(|at| self.messages[*at].info.mailbox == id)
        };
        ids.iter().filter(mine).copied().collect()
    }

    pub(super) fn delete(&mut self, id: MailboxId, view: ViewId, ids: &[UniqueId]) -> Answer<()> {
        // A mailbox or a view that went meanwhile took its messages along: nothing is left to do.
        let Ok(mailbox) = self.mailbox(id) else {
            return Ok(());
        };
        if mailbox.since(view).is_err() {
            return Ok(());
        }
        let release = mailbox.release();
        if release == Release::AtOnce {
            self.take_away(ids);
            return Ok(());
        }
        for uid in ids {
            let at = self.by_id[uid];
            self.messages[at].hidden.insert(view);
        }
        if release == Release::AllDevices {
            self.leave_if_unwanted(id, ids);
        }
        Ok(())
    }

    pub(super) fn restorable(&self, message: &Message) -> bool {
        let in_time = |(at, _): (u64, _)| self.now() < at.saturating_add(self.hold_ms);
        message.content.is_some() && message.info.removed.is_some_and(in_time)
    }

    pub(super) fn restore(&mut self, id: MailboxId, ids: &[UniqueId]) -> Answer<Vec<UniqueId>> {
        let mailbox = self.mailbox(id)?;
        let all_views: BTreeSet<_> = mailbox.views.keys().copied().collect();
        let youngest = mailbox.views.values().map(|view| view.since).max();
        let mut back = Vec::new();
        for uid in self.only_of(id, ids) {
            let at = self.by_id[&uid];
            let live = self.messages[at].info.removed.is_none();
            if live || self.restorable(&self.messages[at]) {
                let hid = !self.messages[at].hidden.is_empty() || youngest > Some(at);
                self.messages[at].brought_back |= !live || hid;
                self.messages[at].hidden.clear();
                self.messages[at].shown.extend(&all_views);
            }
            if !live && self.restorable(&self.messages[at]) {
                let place = self.next_place();
                self.messages[at].place = place;
                self.messages[at].info.removed = None;
                back.push(uid);
            }
        }
        Ok(back)
    }

    pub(super) fn message(&self, id: UniqueId) -> Option<MessageInfo> {
        let message = &self.messages[*self.by_id.get(&id)?];
        let there = message.info.removed.is_none() || self.restorable(message);
        there.then(|| message.info.clone())
    }

    /// The bytes, also for a snapshot that is older than their removal.
    pub(super) fn content(&self, id: UniqueId) -> Answer<(u64, Arc<Content>)> {
        let at = self.by_id.get(&id).ok_or(StoreError::NotFound)?;
        let message = &self.messages[*at];
        let content = message.content.clone().ok_or(StoreError::NotFound)?;
        Ok((message.info.size, content))
    }

    pub(super) fn browse(
        &mut self,
        id: MailboxId,
        filter: MessageFilter,
        after: Option<UniqueId>,
        max: usize,
    ) -> Answer<Vec<MessageInfo>> {
        self.mailbox(id)?;
        let start = match after {
            Some(uid) => self.by_id.get(&uid).ok_or(StoreError::NotFound)? + 1,
            None => 0,
        };
        let wanted = |m: &&Message| match filter {
            MessageFilter::Live => m.info.removed.is_none(),
            MessageFilter::Deleted => self.restorable(m),
        };
        let rest = self.messages[start..].iter();
        let mine = rest.filter(|m| m.info.mailbox == id).filter(wanted);
        Ok(mine.take(max).map(|m| m.info.clone()).collect())
    }

    pub(super) fn changes(&self, after: Cursor, max: usize) -> Changes {
        let reset = after != Cursor::START && after.epoch != self.epoch;
        let start = if after.epoch == self.epoch {
            after.place
        } else {
            0
        };
        let mut due: Vec<_> = self.messages.iter().filter(|m| m.place > start).collect();
        due.sort_by_key(|m| m.place);
        due.truncate(max);
        Changes {
            reset,
            next: Cursor {
                epoch: self.epoch,
                place: due.last().map_or(start, |m| m.place),
                floor: 0,
            },
            changes: due.into_iter().map(change).collect(),
        }
    }

    /// Forgets bytes that nothing promises any more, as a compactor would.
    pub(super) fn compact(&mut self) {
        let now = self.now();
        let keep_ms = self.hold_ms.max(SNAPSHOT_GRACE_MS);
        for message in &mut self.messages {
            let over = |(at, _): (u64, _)| now >= at.saturating_add(keep_ms);
            if message.info.removed.is_some_and(over) {
                message.content = None;
            }
        }
    }
}

fn change(message: &Message) -> Change {
    match message.info.removed {
        None => Change::Added(message.info.clone()),
        Some(_) => Change::Removed(message.info.mailbox, message.info.unique_id),
    }
}

pub(super) fn totals(octets: impl Iterator<Item = u64>) -> Totals {
    octets.fold(Totals::default(), |sum, octets| Totals {
        count: sum.count + 1,
        octets: sum.octets + octets,
    })
}
