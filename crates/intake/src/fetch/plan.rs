//! What one session is to do, decided from what is listed and what is known. Pure: no server, no
//! store, no clock.

use std::collections::HashSet;

use super::Keep;
use super::ledger::Known;
use super::limits::{WORK_ID_OCTETS, WORK_MESSAGES};
use super::policy::{Due, due};

/// What becomes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// RETR and store; then, perhaps, DELE.
    Download { delete: bool },
    /// TOP: it is larger than `max_size`.
    Headers,
    /// DELE: it is in the archive.
    Delete,
}

/// One message that something is to be done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) number: u64,
    /// The ledger's key.
    pub(super) id: Vec<u8>,
    /// As LIST has it; 0 = unknown.
    pub(super) octets: u64,
    /// Of the archived message, for what is noted when it is deleted. Boxed: there may be very many items.
    pub(super) digest: Option<Box<[u8; 32]>>,
    pub(super) work: Work,
}

/// What limits a session.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) keep: Keep,
    pub(super) now_ms: u64,
    pub(super) max_size: Option<u64>,
    /// Downloads that are still allowed: `limit`.
    pub(super) limit: Option<u64>,
    /// Downloads that are still allowed today: `max_per_day`.
    pub(super) today: Option<u64>,
    /// Wanted whole, whatever their size.
    pub(super) full: HashSet<Vec<u8>>,
    /// Failed before: they come last, so that they cannot keep others out.
    pub(super) aside: HashSet<Vec<u8>>,
    /// Left out, because the connection broke inside them.
    pub(super) skip: HashSet<Vec<u8>>,
    /// Their headers are there already.
    pub(super) headers: HashSet<Vec<u8>>,
}

/// What a session is to do, by message-number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    /// New messages left for another time.
    pub(super) left: u64,
    /// Some of them because of `max_per_day`.
    pub(super) over_day: bool,
    /// Some of them because one session does no more.
    pub(super) over_work: bool,
    /// Stored messages that stay only for want of a backup.
    pub(super) await_backup: u64,
}

/// Takes the listing, message by message.
#[derive(Debug)]
pub(super) struct Planner {
    rules: Rules,
    plan: Plan,
    id_octets: usize,
}

impl Planner {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            plan: Plan::default(),
            id_octets: 0,
        }
    }

    /// A listed message. `twin`: what is known of the archived message that it was recognised as,
    /// when the id itself is only seen.
    pub(super) fn listed(
        &mut self,
        number: u64,
        id: &[u8],
        known: Option<&Known>,
        twin: Option<&Known>,
        backed_up: impl FnOnce() -> bool,
    ) {
        let Some(known) = known else {
            let delete = matches!(self.rules.keep, Keep::None | Keep::Days(0));
            self.push(number, id, None, Work::Download { delete });
            return;
        };
        // Recognised by its header only: its body is compared before anything is deleted.
        let (facts, work) = match (&known.archived, twin) {
            (Some(archived), _) => ((known.received_ms, archived), Work::Delete),
            (None, Some(twin)) => match &twin.archived {
                Some(archived) => (
                    (twin.received_ms, archived),
                    Work::Download { delete: true },
                ),
                None => return,
            },
            (None, None) => return,
        };
        match due(self.rules.keep, facts.0, self.rules.now_ms, backed_up) {
            Due::Yes => self.push(number, id, Some(Box::new(facts.1.digest)), work),
            Due::No => {}
            Due::AwaitsBackup => self.plan.await_backup += 1,
        }
    }

    fn push(&mut self, number: u64, id: &[u8], digest: Option<Box<[u8; 32]>>, work: Work) {
        let full = self.plan.items.len() >= WORK_MESSAGES || self.id_octets >= WORK_ID_OCTETS;
        if full || self.rules.skip.contains(id) {
            if !matches!(work, Work::Delete) {
                self.plan.left += 1;
            }
            self.plan.over_work |= full;
            return;
        }
        self.id_octets += id.len();
        self.plan.items.push(Item {
            number,
            id: id.to_vec(),
            octets: 0,
            digest,
            work,
        });
    }

    /// The items so far, for those who have to look closer.
    pub(super) fn items(&mut self) -> &mut Vec<Item> {
        &mut self.plan.items
    }

    /// Decides what depends on sizes and on limits.
    pub(super) fn finish(mut self, octets: impl Fn(u64) -> u64) -> Plan {
        let Rules {
            max_size,
            limit,
            today,
            full,
            aside,
            headers,
            ..
        } = &self.rules;
        let mut items = std::mem::take(&mut self.plan.items);
        items.sort_unstable_by_key(|item| item.number);
        items.dedup_by_key(|item| item.number);
        for item in &mut items {
            item.octets = octets(item.number);
            let too_large = max_size.is_some_and(|most| item.octets > most);
            let new = matches!(item.work, Work::Download { .. });
            if new && too_large && !full.contains(&item.id) {
                item.work = Work::Headers;
            }
        }
        items.retain(|item| item.work != Work::Headers || !headers.contains(&item.id));
        let mut allowed = limit.unwrap_or(u64::MAX).min(today.unwrap_or(u64::MAX));
        let mut chosen = HashSet::new();
        for again in [false, true] {
            for item in items.iter().filter(|item| is_download(item)) {
                if aside.contains(&item.id) == again && allowed > 0 {
                    allowed -= 1;
                    chosen.insert(item.number);
                }
            }
        }
        let before = items.len();
        items.retain(|item| !is_download(item) || chosen.contains(&item.number));
        let dropped = (before - items.len()) as u64;
        self.plan.left += dropped;
        let by_day = today.is_some_and(|today| today <= limit.unwrap_or(u64::MAX));
        self.plan.over_day = dropped > 0 && by_day;
        self.plan.items = items;
        self.plan
    }
}

const fn is_download(item: &Item) -> bool {
    matches!(item.work, Work::Download { .. })
}
