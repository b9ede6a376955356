//! The listings of a session, as they stream in, held against the ledger.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use restante_client::{Event, Pipeline, Reply, Request, Totals};

use super::FetchError;
use super::ledger::{Known, Ledger};
use super::limits::{LISTED, LOOK_UP, SIZES};
use super::plan::Planner;
use super::session::Broken;
use super::{Keep, Kind, World};

/// What the listings came to.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) totals: Option<Totals>,
    /// Lines of LIST.
    pub(super) scans: u64,
    /// Lines of UIDL.
    pub(super) ids: u64,
    /// The server's refusals, for whoever must decide what they mean.
    pub(super) no_list: Option<Reply>,
    pub(super) no_ids: Option<Reply>,
    /// Message-numbers that LIST and UIDL have shown.
    listed: [Numbers; 2],
    /// CAPA lists UIDL.
    pub(super) offers_ids: bool,
    /// By message-number; what is missing is of unknown size.
    sizes: Vec<u32>,
    /// One hash a listed id, sorted at the end. `None`: there are too many.
    hashes: Option<Vec<u64>>,
    hasher: RandomState,
    /// Listed ids that the ledger knows.
    pub(super) known: u64,
}

/// Which message-numbers have been there; a bit each.
#[derive(Debug, Default)]
struct Numbers(Vec<u64>);

impl Numbers {
    /// Takes a number; false if it was there before. Wild ones are not kept.
    fn insert(&mut self, number: u64) -> bool {
        let at = match usize::try_from(number / 64) {
            Ok(at) if at <= SIZES / 64 => at,
            _ => return true,
        };
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let bit = 1 << (number % 64);
        let new = self.0[at] & bit == 0;
        self.0[at] |= bit;
        new
    }
}

/// RFC 1939 §5: a message has one line in a listing. A server that shows one twice may go on for ever.
fn shown_twice(number: u64) -> Broken {
    let what = format!("the server lists message {number} twice in one listing");
    Broken::Fatal(FetchError::new(Kind::Protocol, what))
}

impl Survey {
    /// LIST's size of a message; 0 = unknown.
    pub(super) fn octets(&self, number: u64) -> u64 {
        let at = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        at.and_then(|at| self.sizes.get(at).copied())
            .map_or(0, u64::from)
    }

    fn scan(&mut self, number: u64, octets: u64) {
        self.scans += 1;
        let Some(at) = usize::try_from(number).ok().and_then(|n| n.checked_sub(1)) else {
            return;
        };
        // Message-numbers without gaps are the RFC's; a wild one must not make a wild allocation.
        if at < SIZES && at <= self.sizes.len() + LOOK_UP {
            if at >= self.sizes.len() {
                self.sizes.resize(at + 1, 0);
            }
            self.sizes[at] = u32::try_from(octets).unwrap_or(u32::MAX);
        }
    }

    fn hash(&mut self, id: &[u8]) {
        if let Some(hashes) = &mut self.hashes {
            if hashes.len() < LISTED {
                hashes.push(self.hasher.hash_one(id));
            } else {
                self.hashes = None;
            }
        }
    }

    /// Whether everything that the server says of its listings agrees: only then can something be
    /// said to be missing.
    pub(super) fn is_complete(&self) -> bool {
        let agree = |totals: &Totals| totals.count == self.scans && self.scans == self.ids;
        self.totals.as_ref().is_some_and(agree) && self.hashes.is_some()
    }

    /// Whether the id is listed, or has the hash of one that is.
    pub(super) fn may_list(&self, id: &[u8]) -> bool {
        let hash = self.hasher.hash_one(id);
        self.hashes
            .as_ref()
            .is_none_or(|hashes| hashes.binary_search(&hash).is_ok())
    }

    /// Takes an id into account that is not the server's own.
    pub(super) fn add_key(&mut self, id: &[u8]) {
        let hash = self.hasher.hash_one(id);
        if let Some(hashes) = &mut self.hashes
            && let Err(at) = hashes.binary_search(&hash)
        {
            hashes.insert(at, hash);
        }
    }

    fn twice(&self) -> HashSet<u64> {
        let hashes = self.hashes.as_deref().unwrap_or_default();
        let pairs = hashes.windows(2).filter(|pair| pair[0] == pair[1]);
        pairs.map(|pair| pair[0]).collect()
    }
}

/// What may be deleted, and when: the part of the world that a plan asks.
pub(super) struct Judge<'a> {
    pub(super) ledger: &'a Ledger<'a>,
    pub(super) world: &'a World,
    pub(super) keep: Keep,
}

impl Judge<'_> {
    /// Holds listed messages against the ledger. Says how many it knows, and which it knows again.
    pub(super) async fn weigh(
        &self,
        batch: &[(u64, Vec<u8>)],
        planner: &mut Planner,
    ) -> Result<(u64, Vec<Vec<u8>>), FetchError> {
        let ids: Vec<Vec<u8>> = batch.iter().map(|(_, id)| id.clone()).collect();
        let found = self.ledger.find(&ids).await?;
        let (mut count, mut again) = (0, Vec::new());
        for ((number, id), known) in batch.iter().zip(&found) {
            let mut twin = None;
            if let Some(known) = known {
                count += 1;
                if known.vanished {
                    again.push(id.clone());
                }
                if known.archived.is_none() && self.keep != Keep::Forever {
                    twin = self.twin(id).await?;
                }
            }
            let archived = known
                .as_ref()
                .or(twin.as_ref())
                .and_then(|k| k.archived.as_ref());
            let archived = archived.or(twin.as_ref().and_then(|k| k.archived.as_ref()));
            let unique_id = archived.and_then(|archived| archived.unique_id);
            planner.listed(*number, id, known.as_ref(), twin.as_ref(), || {
                unique_id.is_some_and(|id| (self.world.verified_backup)(&id))
            });
        }
        Ok((count, again))
    }

    async fn twin(&self, id: &[u8]) -> Result<Option<Known>, FetchError> {
        let Some(twin) = self.ledger.remote.twin(id)? else {
            return Ok(None);
        };
        // The twin vanished when this id came; that it did so long ago is no matter.
        let found = self.ledger.find_whatever_age(&twin).await?;
        Ok(found)
    }
}

/// Reads the listings. Afterwards the planner has every message whose id the server gave once; the
/// rest is in the second value: messages whose ids are not alone.
pub(super) async fn survey(
    pipeline: &mut Pipeline,
    judge: &Judge<'_>,
    planner: &mut Planner,
    dry_run: bool,
) -> Result<(Survey, Vec<(u64, Vec<u8>)>), Broken> {
    let mut survey = Survey {
        hashes: Some(Vec::new()),
        ..Survey::default()
    };
    let mut batch: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut again = Vec::new();
    loop {
        let event = pipeline.next().await.map_err(Broken::Client)?;
        match &event {
            Some(Event::Capabilities(capabilities)) => {
                survey.offers_ids = capabilities.has("UIDL");
            }
            Some(Event::Totals(totals)) => survey.totals = Some(*totals),
            Some(Event::Scan(scan)) => {
                if !survey.listed[0].insert(scan.number) {
                    return Err(shown_twice(scan.number));
                }
                survey.scan(scan.number, scan.octets);
            }
            Some(Event::UniqueId { number, id }) => {
                if !survey.listed[1].insert(*number) {
                    return Err(shown_twice(*number));
                }
                survey.ids += 1;
                survey.hash(id);
                batch.push((*number, id.to_vec()));
            }
            Some(Event::Refused { request, reply }) => match request {
                Request::List => survey.no_list = Some(reply.clone()),
                Request::UniqueIds => survey.no_ids = Some(reply.clone()),
                _ => {}
            },
            _ => {}
        }
        let ended = event.is_none();
        if batch.len() >= LOOK_UP || ended && !batch.is_empty() {
            let (known, mut seen_again) = judge.weigh(&batch, planner).await?;
            survey.known += known;
            again.append(&mut seen_again);
            batch.clear();
        }
        if ended {
            break;
        }
    }
    if !dry_run {
        judge.ledger.remote.unvanish(&again)?;
    }
    if let Some(hashes) = &mut survey.hashes {
        hashes.sort_unstable();
    }
    let twice = survey.twice();
    if twice.is_empty() {
        return Ok((survey, Vec::new()));
    }
    let doubles = doubles(pipeline, &survey, &twice).await?;
    let numbers: HashSet<u64> = doubles.iter().map(|(number, _)| *number).collect();
    planner
        .items()
        .retain(|item| !numbers.contains(&item.number));
    Ok((survey, doubles))
}

/// Lists once more, for those whose ids are not alone.
async fn doubles(
    pipeline: &mut Pipeline,
    survey: &Survey,
    twice: &HashSet<u64>,
) -> Result<Vec<(u64, Vec<u8>)>, Broken> {
    let mut found = Vec::new();
    let mut listed = Numbers::default();
    pipeline.push(Request::UniqueIds);
    while let Some(event) = pipeline.next().await.map_err(Broken::Client)? {
        if let Event::UniqueId { number, .. } = event
            && !listed.insert(number)
        {
            return Err(shown_twice(number));
        }
        if let Event::UniqueId { number, id } = event
            && found.len() < super::limits::WORK_MESSAGES
            && twice.contains(&survey.hasher.hash_one(id))
        {
            found.push((number, id.to_vec()));
        }
    }
    Ok(found)
}
