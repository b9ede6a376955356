//! The work of a session: RETR, TOP and DELE in one pipeline, while what came before is being stored.

use std::collections::{HashMap, HashSet, VecDeque};

use restante_client::{Error, Event, Pipeline, Reply, Request};

use super::super::identify::{HeaderDigest, HeaderReader};
use super::super::keeper::{KeepError, Keeper, Kept, KeptAs};
use super::super::limits::{
    BREAKS, HEADER_OCTETS, OVERRUN_OCTETS, OVERRUN_TIMES, REFUSALS, REQUESTS, UNLISTED_OCTETS,
};
use super::super::plan::{Item, Plan, Work};
use super::super::reply::{is_limit, pause_of};
use super::super::state::{Stored, Vanished};
use super::{Books, Broken, FetchError, Kind, LOOK_UP, Outcome, Progress, RECOGNISE, Run, policy};

/// What is under way.
struct Flow {
    items: Vec<Item>,
    /// Which item has which message-number.
    at: HashMap<u64, usize>,
    /// The next item that is asked for.
    next: usize,
    /// RETR and TOP that are not answered, in order.
    asked: VecDeque<usize>,
    /// The item whose octets are coming.
    current: Option<usize>,
    /// Octets of the current item so far.
    octets: u64,
    /// The current item's octets go nowhere: it cannot be stored.
    spoilt: Option<String>,
    header: Vec<u8>,
    reader: Option<HeaderReader>,
    headers: HashMap<usize, HeaderDigest>,
    refusals: u32,
    /// Nothing more is asked for.
    stopped: bool,
    /// Acknowledged DELEs.
    deleted: Vec<usize>,
    /// Digests of what was stored, for what is noted of a deletion.
    digests: HashMap<usize, [u8; 32]>,
    /// Ids that are done: no longer aside, no longer headers only.
    done: Vec<Vec<u8>>,
    new: u64,
}

impl Flow {
    fn of(items: Vec<Item>) -> Self {
        let at = items.iter().enumerate().map(|(at, item)| (item.number, at));
        Self {
            at: at.collect(),
            items,
            next: 0,
            asked: VecDeque::new(),
            current: None,
            octets: 0,
            spoilt: None,
            header: Vec::new(),
            reader: None,
            headers: HashMap::new(),
            refusals: 0,
            stopped: false,
            deleted: Vec::new(),
            digests: HashMap::new(),
            done: Vec::new(),
            new: 0,
        }
    }

    /// Whether no octets of a message are due any more.
    fn all_answered(&self) -> bool {
        (self.stopped || self.next == self.items.len()) && self.asked.is_empty()
    }

    fn push(&mut self, pipeline: &mut Pipeline) {
        while !self.stopped && self.next < self.items.len() && pipeline.pending() < REQUESTS {
            let item = &self.items[self.next];
            let number = item.number;
            match item.work {
                Work::Download { .. } => {
                    let octets = item.octets;
                    pipeline.push(Request::Retrieve { number, octets });
                    self.asked.push_back(self.next);
                }
                Work::Headers => {
                    pipeline.push(Request::Top { number, lines: 0 });
                    self.asked.push_back(self.next);
                }
                Work::Delete => pipeline.push(Request::Delete { number }),
            }
            self.next += 1;
        }
    }

    fn answered(&mut self, number: u64) {
        if let Some(at) = self
            .asked
            .iter()
            .position(|at| self.items[*at].number == number)
        {
            self.asked.remove(at);
        }
    }
}

impl Run<'_> {
    /// Does what is planned, then leaves.
    pub(super) async fn work(
        &mut self,
        mut pipeline: Pipeline,
        plan: Plan,
        known: Option<u64>,
        has_ids: bool,
    ) -> Result<Outcome, Broken> {
        let over_work = plan.over_work;
        let mut flow = Flow::of(plan.items);
        let mut keeper = None;
        if flow
            .items
            .iter()
            .any(|item| matches!(item.work, Work::Download { .. }))
        {
            keeper = Some(self.keeper(&flow.items).await?);
        }
        let worked = self.pump(&mut pipeline, &mut flow, &mut keeper).await;
        if let Err(broken) = worked {
            self.salvage(&mut flow, keeper, &broken).await?;
            return Err(broken);
        }
        if let Some(keeper) = keeper.take() {
            let kept = keeper.finish().await.map_err(target_failed)?;
            self.kept(&mut flow, kept, Some(&mut pipeline)).await?;
        }
        // What is left now are deletions.
        if let Err(broken) = self.pump(&mut pipeline, &mut flow, &mut None).await {
            self.settle(&flow)?;
            return Err(broken);
        }
        self.settle(&flow)?;
        let session = match pipeline.finish().await {
            Ok(session) => session,
            Err(error) => return Err(Broken::Client(error)),
        };
        let deleted = flow.deleted.iter().map(|at| {
            let item = &flow.items[*at];
            Vanished {
                remote_id: item.id.clone(),
                digest: item
                    .digest
                    .as_deref()
                    .or_else(|| flow.digests.get(at))
                    .copied(),
            }
        });
        let present = known.map(|known| known + flow.new);
        self.leave(session, deleted.collect(), present, has_ids)
            .await?;
        Ok(Outcome {
            new: flow.new,
            over_work,
        })
    }

    /// Who stores: with the digests of what may come again under another id.
    async fn keeper(&self, items: &[Item]) -> Result<Keeper, Broken> {
        let mut digests: HashSet<[u8; 32]> = items
            .iter()
            .filter_map(|item| item.digest.as_deref().copied())
            .collect();
        let vanished = self.ledger.remote.vanished_ids(RECOGNISE)?;
        for ids in vanished.chunks(LOOK_UP) {
            let found = self.ledger.find(ids).await?;
            let archived = found
                .into_iter()
                .flatten()
                .filter_map(|known| known.archived);
            digests.extend(archived.map(|archived| archived.digest));
        }
        let archived = Box::new(move |digest: &[u8; 32]| digests.contains(digest));
        let name = &self.account.name;
        match (&self.ledger.books, &self.account.target) {
            (Books::Mailbox(store, mailbox), _) => {
                let keeper = Keeper::mailbox(store.clone(), *mailbox, name, archived);
                keeper.map_err(|error| {
                    let what = format!("cannot start a thread to store messages: {error}");
                    Broken::Fatal(FetchError::new(Kind::Io, what))
                })
            }
            (_, super::super::Target::Elsewhere { open, .. }) => {
                let destination = open
                    .open()
                    .await
                    .map_err(|error| destination_failed(&error))?;
                Ok(Keeper::destination(destination, name, archived))
            }
            (_, super::super::Target::Mailbox(name)) => {
                let what = format!("there is no mailbox {name}");
                Err(Broken::Fatal(FetchError::new(Kind::Io, what)))
            }
        }
    }

    async fn pump(
        &mut self,
        pipeline: &mut Pipeline,
        flow: &mut Flow,
        keeper: &mut Option<Keeper>,
    ) -> Result<(), Broken> {
        loop {
            flow.push(pipeline);
            let receiving = keeper.is_some();
            if receiving && flow.all_answered() || pipeline.pending() == 0 {
                return Ok(());
            }
            let waiting = keeper
                .as_ref()
                .is_some_and(|keeper| keeper.outstanding() > 0);
            let kept = async {
                match keeper.as_mut() {
                    Some(keeper) if waiting => keeper.kept().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                kept = kept => {
                    let kept = kept.map_err(target_failed)?;
                    self.kept(flow, kept, Some(pipeline)).await?;
                }
                event = pipeline.next() => match event.map_err(Broken::Client)? {
                    Some(event) => self.event(event, flow, keeper).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn event(
        &mut self,
        event: Event<'_>,
        flow: &mut Flow,
        keeper: &mut Option<Keeper>,
    ) -> Result<(), Broken> {
        match event {
            Event::Began { number } => self.began(number, flow, keeper).await,
            Event::Chunk { bytes, .. } => {
                let Some(at) = flow.current else {
                    return Ok(());
                };
                if let Some(reader) = &mut flow.reader {
                    reader.write(bytes);
                }
                if flow.items[at].work == Work::Headers {
                    let room = HEADER_OCTETS.saturating_sub(flow.header.len());
                    flow.header
                        .extend_from_slice(&bytes[..bytes.len().min(room)]);
                    return Ok(());
                }
                let octets = bytes.len() as u64;
                flow.octets += octets;
                if flow.octets > most_octets(flow.items[at].octets) {
                    return Err(self.endless(&flow.items[at]));
                }
                (self.progress)(Progress::Received { octets });
                let Some(keeper) = keeper else { return Ok(()) };
                if flow.spoilt.is_none() {
                    let taken = keeper.write(bytes).await;
                    flow.spoilt = this_one(taken)?;
                }
                Ok(())
            }
            Event::Ended { number } => self.ended(number, flow, keeper).await,
            Event::Deleted { number } => {
                if let Some(at) = flow.at.get(&number) {
                    flow.deleted.push(*at);
                }
                Ok(())
            }
            Event::Refused { request, reply } => self.no(request, &reply, flow),
            _ => Ok(()),
        }
    }

    /// The server does not stop sending a message: the connection is given up, and the message left out
    /// of the sessions that follow.
    fn endless(&mut self, item: &Item) -> Broken {
        let what = format!(
            "the server said {} octets, sent {} and went on",
            item.octets,
            most_octets(item.octets)
        );
        if let Err(error) = self.set_aside(&item.id, &what) {
            return Broken::Fatal(error);
        }
        self.breaks.insert(item.id.clone(), BREAKS);
        Broken::Client(Error::Desync {
            what: what.into(),
            outstanding: 1,
        })
    }

    async fn began(
        &mut self,
        number: u64,
        flow: &mut Flow,
        keeper: &mut Option<Keeper>,
    ) -> Result<(), Broken> {
        flow.current = flow.at.get(&number).copied();
        flow.header.clear();
        flow.octets = 0;
        flow.spoilt = None;
        let Some(at) = flow.current else {
            return Ok(());
        };
        let item = &flow.items[at];
        if item.work == Work::Headers {
            return Ok(());
        }
        flow.reader = matches!(self.ledger.books, Books::Table).then(HeaderReader::default);
        let octets = (item.octets > 0).then_some(item.octets);
        let again = self.facts.unfinished || self.breaks.contains_key(&item.id);
        if let Some(keeper) = keeper {
            let begun = keeper
                .begin(at as u64, item.id.clone(), octets, again)
                .await;
            flow.spoilt = this_one(begun)?;
        }
        Ok(())
    }

    async fn ended(
        &mut self,
        number: u64,
        flow: &mut Flow,
        keeper: &mut Option<Keeper>,
    ) -> Result<(), Broken> {
        flow.answered(number);
        flow.refusals = 0;
        self.pipelined += u64::from(!flow.asked.is_empty());
        let Some(at) = flow.current.take() else {
            return Ok(());
        };
        if flow.items[at].work == Work::Headers {
            let item = &flow.items[at];
            let header = std::mem::take(&mut flow.header);
            self.ledger
                .remote
                .put_header(&item.id, item.octets, &header, self.now_ms)?;
            self.summary.headers_only += 1;
            (self.progress)(Progress::HeadersOnly {
                remote_id: &item.id,
                octets: item.octets,
            });
            return Ok(());
        }
        if let Some(reader) = flow.reader.take() {
            flow.headers.insert(at, reader.digest());
        }
        let Some(keeper) = keeper else { return Ok(()) };
        if flow.spoilt.is_none() {
            flow.spoilt = this_one(keeper.end().await)?;
        }
        if let Some(error) = flow.spoilt.take() {
            self.set_aside(&flow.items[at].id, &error)?;
        }
        Ok(())
    }

    /// `-ERR`: to one message, or to us.
    fn no(&mut self, request: Request, reply: &Reply, flow: &mut Flow) -> Result<(), Broken> {
        let (Request::Retrieve { number, .. } | Request::Top { number, .. }) = request else {
            if let Request::Delete { number } = request {
                let what = format!("the server does not delete message {number}: {reply}");
                (self.progress)(Progress::Note(&what));
            }
            return Ok(());
        };
        flow.answered(number);
        flow.refusals += 1;
        let pause = pause_of(reply, None, self.now_ms);
        let enough = is_limit(reply) || flow.refusals >= REFUSALS;
        if let (Some(pause), true) = (pause, enough) {
            flow.stopped = true;
            self.summary.left += 1;
            self.summary.pause = Some(pause);
            return Ok(());
        }
        if flow.stopped {
            self.summary.left += 1;
            return Ok(());
        }
        if let Some(at) = flow.at.get(&number) {
            let error = format!("the server refused it: {reply}");
            self.set_aside(&flow.items[*at].id, &error)?;
        }
        Ok(())
    }

    /// What the keeper says is durable: the ledger elsewhere learns it, then DELE may go out.
    async fn kept(
        &mut self,
        flow: &mut Flow,
        kept: Vec<Kept>,
        mut pipeline: Option<&mut Pipeline>,
    ) -> Result<(), Broken> {
        let mut fatal = None;
        let mut lines = Vec::new();
        let mut twins = Vec::new();
        let mut whole = Vec::with_capacity(kept.len());
        for Kept { ticket, outcome } in kept {
            let at = usize::try_from(ticket).unwrap_or(usize::MAX);
            let Some(item) = flow.items.get(at) else {
                continue;
            };
            match outcome {
                Ok(as_what) => {
                    let (size, digest, again) = match &as_what {
                        KeptAs::Stored { size, digest, .. } => (*size, *digest, false),
                        KeptAs::Archived { size, digest } => (*size, *digest, true),
                    };
                    if matches!(self.ledger.books, Books::Table) {
                        lines.push(Stored {
                            remote_id: item.id.clone(),
                            received_ms: self.now_ms,
                            size,
                            digest: Some(digest),
                            header: flow.headers.remove(&at),
                        });
                    } else if again && item.digest.is_none() {
                        twins.push((item.id.clone(), digest));
                    }
                    flow.digests.insert(at, digest);
                    whole.push((at, as_what));
                }
                Err(KeepError::Message(error)) => {
                    let id = item.id.clone();
                    self.set_aside(&id, &error)?;
                }
                Err(KeepError::Target(error)) => fatal = Some(error),
            }
        }
        self.ledger.remote.put_stored(&lines)?;
        self.remember_twins(&twins).await?;
        self.count(&whole, flow)?;
        for (at, as_what) in whole {
            let item = &flow.items[at];
            flow.done.push(item.id.clone());
            flow.new += u64::from(item.digest.is_none());
            self.tell(item, &as_what);
            if item.work == (Work::Download { delete: true })
                && let Some(pipeline) = pipeline.as_deref_mut()
            {
                let number = item.number;
                pipeline.push(Request::Delete { number });
            }
        }
        fatal.map_or(Ok(()), |error| Err(Broken::Fatal(error)))
    }

    fn tell(&mut self, item: &Item, as_what: &KeptAs) {
        match as_what {
            KeptAs::Stored {
                unique_id, size, ..
            } => {
                self.summary.stored += 1;
                self.summary.stored_octets += size;
                (self.progress)(Progress::Stored {
                    remote_id: &item.id,
                    size: *size,
                    unique_id: *unique_id,
                });
            }
            KeptAs::Archived { .. } if item.digest.is_some() => {}
            KeptAs::Archived { .. } => {
                self.summary.recognised += 1;
                (self.progress)(Progress::Recognised {
                    remote_id: &item.id,
                    unique_id: None,
                });
            }
        }
    }

    /// Ids whose bodies are archived under ids that have vanished: seen from now on.
    async fn remember_twins(&mut self, twins: &[(Vec<u8>, [u8; 32])]) -> Result<(), FetchError> {
        if twins.is_empty() {
            return Ok(());
        }
        let by_digest = self.ledger.remote.vanished_by_digest()?;
        let rows: Vec<_> = twins
            .iter()
            .filter_map(|(id, digest)| Some((id.clone(), by_digest.get(digest)?.clone())))
            .collect();
        self.ledger.remote.put_twins(&rows)?;
        let seen: Vec<_> = twins
            .iter()
            .map(|(id, _)| (id.clone(), self.now_ms))
            .collect();
        self.ledger.record_seen(&seen).await
    }

    /// Counts what was downloaded today, and ids that are in use again.
    fn count(&self, whole: &[(usize, KeptAs)], flow: &Flow) -> Result<(), FetchError> {
        if self.account.max_per_day.is_some() && !whole.is_empty() {
            let day = policy::day(self.now_ms);
            let state = &self.world.state;
            state.count_day(&self.account.name, day, whole.len() as u64)?;
        }
        if self.ledger.remote.vanished_count()? > 0 {
            let ids: Vec<_> = whole
                .iter()
                .map(|(at, _)| flow.items[*at].id.clone())
                .collect();
            self.ledger.remote.unvanish(&ids)?;
        }
        Ok(())
    }

    /// The state is on disk before QUIT goes out.
    fn settle(&mut self, flow: &Flow) -> Result<(), FetchError> {
        let aside: HashSet<Vec<u8>> = self.ledger.remote.asides()?.into_iter().collect();
        let headers: HashSet<Vec<u8>> = self.ledger.remote.headers()?.into_iter().collect();
        let ours = |id: &&Vec<u8>| aside.contains(*id) || headers.contains(*id);
        let ids: Vec<_> = flow.done.iter().filter(ours).cloned().collect();
        self.ledger.remote.clear(&ids)
    }

    /// The connection broke: what came whole is stored all the same, and the message that it broke in
    /// is remembered.
    async fn salvage(
        &mut self,
        flow: &mut Flow,
        keeper: Option<Keeper>,
        broken: &Broken,
    ) -> Result<(), Broken> {
        if let Some(mut keeper) = keeper {
            let _gone_too = keeper.abandon().await;
            let kept = keeper.finish().await.map_err(target_failed)?;
            self.kept(flow, kept, None).await?;
        }
        self.settle(flow)?;
        let Broken::Client(error) = broken else {
            return Ok(());
        };
        let suspect = flow.current.or_else(|| flow.asked.front().copied());
        if let Some(at) = suspect {
            let id = flow.items[at].id.clone();
            let breaks = self.breaks.entry(id.clone()).or_insert(0);
            if *breaks >= BREAKS {
                return Ok(());
            }
            *breaks += 1;
            if *breaks >= BREAKS && !matches!(error, Error::Stalled { .. }) {
                let what = format!("the connection broke again in this message: {error}");
                self.set_aside(&id, &what)?;
            }
        }
        Ok(())
    }
}

/// The most that a message may have, when LIST says `listed`; 0 = unknown.
fn most_octets(listed: u64) -> u64 {
    match listed {
        0 => UNLISTED_OCTETS,
        listed => listed
            .saturating_mul(OVERRUN_TIMES)
            .saturating_add(OVERRUN_OCTETS),
    }
}

/// An error that is this message's alone spoils it; any other ends the session.
fn this_one(taken: Result<(), KeepError>) -> Result<Option<String>, Broken> {
    match taken {
        Ok(()) => Ok(None),
        Err(KeepError::Message(error)) => Ok(Some(error)),
        Err(error) => Err(target_failed(error)),
    }
}

fn target_failed(error: KeepError) -> Broken {
    Broken::Fatal(match error {
        KeepError::Message(what) => FetchError::new(Kind::Io, what),
        KeepError::Target(error) => error,
    })
}

/// What a destination's error ends a fetch with.
fn destination_failed(error: &crate::destination::DestinationError) -> FetchError {
    use crate::destination::Fault;
    let kind = match error.fault() {
        Fault::Unavailable => Kind::Unavailable,
        Fault::Io => Kind::Io,
        Fault::Temporary => Kind::Temporary,
        Fault::Refused | Fault::Permission => Kind::Permission,
        Fault::Protocol => Kind::Protocol,
        Fault::Configuration => Kind::Configuration,
    };
    FetchError::new(kind, error.to_string())
}
