//! One session: log in, list, decide, retrieve, delete, leave.

mod retrieve;

use std::collections::{HashMap, HashSet};

use restante_client::{Closing, Error, Login, Pipeline, Session, Window, connect};

use super::ledger::{Books, Known, Ledger};
use super::limits::{LOOK_UP, RECOGNISE, WORK_MESSAGES};
use super::plan::{Plan, Planner, Rules, Work};
use super::reply::{credentials_failed, pause_of};
use super::state::{Facts, Vanished};
use super::survey::{Judge, Survey, survey};
use super::{
    Account, Action, FetchError, Kind, Pause, PauseReason, Progress, RunOptions, Summary, World,
    identify, policy,
};
use crate::clock::millis;

/// Why a session ended before its work was done.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection, or the server.
    Client(Error),
    /// A wait that is no error.
    Pause(Pause),
    /// Nothing that another connection would mend.
    Fatal(FetchError),
}

impl From<FetchError> for Broken {
    fn from(error: FetchError) -> Self {
        Self::Fatal(error)
    }
}

/// A run: what its sessions share.
pub(super) struct Run<'a> {
    pub(super) account: &'a Account,
    pub(super) world: &'a World,
    pub(super) options: &'a RunOptions,
    pub(super) progress: &'a mut (dyn FnMut(Progress<'_>) + Send + Sync),
    pub(super) ledger: Ledger<'a>,
    pub(super) facts: Facts,
    pub(super) now_ms: u64,
    pub(super) summary: Summary,
    /// How often the connection broke inside each message.
    pub(super) breaks: HashMap<Vec<u8>, u32>,
    /// Messages whose octets have come whole over pipelined commands.
    pub(super) pipelined: u64,
}

/// What a session came to.
pub(super) struct Outcome {
    /// Messages that it brought.
    pub(super) new: u64,
    /// It left some only because one session does no more.
    pub(super) over_work: bool,
}

impl Run<'_> {
    /// One session, from the connection to QUIT.
    pub(super) async fn session(&mut self, window: Window) -> Result<Outcome, Broken> {
        let session = self.log_in().await?;
        self.summary.sessions += 1;
        // What the one before has left may come now.
        self.summary.left = 0;
        (self.progress)(Progress::LoggedIn);
        let mut pipeline = session.survey(window);
        let mut planner = Planner::new(self.rules()?);
        let judge = self.judge();
        let dry_run = self.options.dry_run;
        let (mut survey, doubles) = survey(&mut pipeline, &judge, &mut planner, dry_run).await?;
        self.summary.listed = survey.scans.max(survey.ids);
        let mut exact = doubles.is_empty();
        if !doubles.is_empty() {
            self.tell_apart(&mut pipeline, &mut survey, doubles, &mut planner)
                .await?;
        } else if survey.ids == 0 && survey.scans > 0 {
            exact = false;
            self.without_ids(&mut pipeline, &mut survey, &mut planner)
                .await?;
        } else if let (Some(reply), 0) = (&survey.no_list, survey.ids) {
            return Err(self.refused("LIST", reply));
        }
        let gone = self.vanish(&survey).await?;
        self.recognise(&mut pipeline, &survey, &gone, &mut planner)
            .await?;
        if self.options.relearn {
            self.relearn(&mut pipeline, &survey, &mut planner).await?;
        }
        let plan = planner.finish(|number| survey.octets(number));
        self.announce(&plan);
        if dry_run {
            self.rehearse(&plan);
            let _ = pipeline
                .finish()
                .await
                .map_err(Broken::Client)?
                .quit()
                .await;
            return Ok(Outcome {
                new: 0,
                over_work: false,
            });
        }
        let known = (exact && survey.is_complete()).then_some(survey.known);
        let has_ids = survey.ids > 0 && survey.no_ids.is_none();
        // The listings' memory is not needed while messages come in.
        drop(survey);
        self.work(pipeline, plan, known, has_ids).await
    }

    fn judge(&self) -> Judge<'_> {
        Judge {
            ledger: &self.ledger,
            world: self.world,
            keep: self.account.keep,
        }
    }

    fn rules(&self) -> Result<Rules, FetchError> {
        let today = match self.account.max_per_day {
            None => None,
            Some(most) => {
                let day = policy::day(self.now_ms);
                let done = self.world.state.day_count(&self.account.name, day)?;
                Some(most.saturating_sub(done))
            }
        };
        let limit = self.options.limit;
        Ok(Rules {
            keep: self.account.keep,
            now_ms: self.now_ms,
            max_size: self.account.max_size,
            limit: limit.map(|limit| limit.saturating_sub(self.summary.stored)),
            today,
            full: self.options.full.iter().cloned().collect(),
            aside: self.ledger.remote.asides()?.into_iter().collect(),
            skip: self
                .breaks
                .iter()
                .filter(|(_, breaks)| **breaks >= super::limits::BREAKS)
                .map(|(id, _)| id.clone())
                .collect(),
            headers: self.ledger.remote.headers()?.into_iter().collect(),
        })
    }

    /// Connects and logs in. Refused credentials are asked for once more, since a token may have
    /// expired or a person mistyped; the same ones are not sent twice.
    async fn log_in(&mut self) -> Result<Session, Broken> {
        let source = &self.account.credentials;
        let mut refused = None;
        let mut again = false;
        loop {
            let asked = source.get(again).await;
            let credentials = asked.map_err(|error| credentials_failed(&error))?;
            if let Some((error, last)) = refused.take()
                && super::reply::same(&credentials, &last)
            {
                return Err(self.closed_out(error, None));
            }
            let mut connection = match connect(&self.account.server).await {
                Ok(connection) => connection,
                Err(error) => return Err(self.closed_out(error, None)),
            };
            let delay = match connection.capabilities().await {
                Ok(capabilities) => super::reply::login_delay(capabilities),
                Err(error) => return Err(self.closed_out(error, None)),
            };
            let login = Login {
                user: self.account.user.clone(),
                credentials: credentials.clone(),
                minimum: self.account.minimum,
                only: self.account.only,
            };
            match connection.login(&login).await {
                Ok(session) => return Ok(session),
                Err(error @ Error::LoginRefused { .. }) if !again && !self.waits(&error) => {
                    refused = Some((error, credentials));
                    again = true;
                }
                Err(error) => return Err(self.closed_out(error, delay)),
            }
        }
    }

    fn waits(&self, error: &Error) -> bool {
        let reply = error.reply();
        reply.is_some_and(|reply| pause_of(reply, None, self.now_ms).is_some())
    }

    /// A refusal to let us in may be a wait.
    fn closed_out(&self, error: Error, delay: Option<std::time::Duration>) -> Broken {
        let pause = error
            .reply()
            .and_then(|reply| pause_of(reply, delay, self.now_ms));
        pause.map_or(Broken::Client(error), Broken::Pause)
    }

    fn refused(&self, command: &str, reply: &restante_client::Reply) -> Broken {
        match pause_of(reply, None, self.now_ms) {
            Some(pause) => Broken::Pause(pause),
            None => Broken::Fatal(
                FetchError::new(
                    Kind::Protocol,
                    format!("the server refused {command}: {reply}"),
                )
                .with_reply(reply.text.clone()),
            ),
        }
    }

    /// The server gives several messages one unique-id: their headers tell them apart.
    async fn tell_apart(
        &self,
        pipeline: &mut Pipeline,
        survey: &mut Survey,
        doubles: Vec<(u64, Vec<u8>)>,
        planner: &mut Planner,
    ) -> Result<(), Broken> {
        let numbers: Vec<u64> = doubles.iter().map(|(number, _)| *number).collect();
        let headers = identify::of_server(pipeline, &numbers).await?;
        let mut told = Vec::with_capacity(doubles.len());
        for (number, id) in doubles {
            // What cannot be told apart now is left for another time.
            if let Some(Ok(header)) = headers.get(&number) {
                told.push((number, id, *header));
            }
        }
        let mut keyed = identify::keys(&told);
        self.keep_plain_keys(&told, &mut keyed).await?;
        for (_, key) in &keyed {
            survey.add_key(key);
        }
        self.weigh(&keyed, planner).await
    }

    /// Of messages that share an id, one may have been fetched while it had that id alone.
    async fn keep_plain_keys(
        &self,
        told: &[(u64, Vec<u8>, identify::HeaderDigest)],
        keyed: &mut [(u64, Vec<u8>)],
    ) -> Result<(), FetchError> {
        let ids: HashSet<&Vec<u8>> = told.iter().map(|(_, id, _)| id).collect();
        for id in ids {
            let found = self
                .ledger
                .find(std::slice::from_ref(id))
                .await?
                .pop()
                .flatten();
            let Some(archived) = found.and_then(|known| known.archived) else {
                continue;
            };
            let store = self.world.store.as_deref();
            let header = identify::of_archived(store, &archived).await?;
            let at = told
                .iter()
                .position(|(_, of, digest)| of == id && Some(*digest) == header);
            if let Some(at) = at {
                keyed[at].1.clone_from(id);
            }
        }
        Ok(())
    }

    async fn weigh(&self, keyed: &[(u64, Vec<u8>)], planner: &mut Planner) -> Result<(), Broken> {
        let judge = self.judge();
        for batch in keyed.chunks(LOOK_UP) {
            let (_, again) = judge.weigh(batch, planner).await?;
            if !self.options.dry_run {
                self.ledger.remote.unvanish(&again)?;
            }
        }
        Ok(())
    }

    /// The server has messages and gives no unique-ids: for ever, or for a moment.
    async fn without_ids(
        &mut self,
        pipeline: &mut Pipeline,
        survey: &mut Survey,
        planner: &mut Planner,
    ) -> Result<(), Broken> {
        let Some(reply) = survey.no_ids.clone() else {
            // An empty listing of a maildrop that is not empty.
            self.summary.left = survey.scans;
            (self.progress)(Progress::Note(
                "the server lists messages and no unique-ids: nothing is fetched this time",
            ));
            return Ok(());
        };
        if self.facts.unique_ids || survey.offers_ids {
            return Err(match self.refused("UIDL", &reply) {
                Broken::Fatal(_) => Broken::Pause(Pause {
                    until_ms: self.now_ms + millis(super::limits::TEMPORARY),
                    reason: PauseReason::Temporary,
                    reply: Some(reply.to_string()),
                }),
                other => other,
            });
        }
        let count = survey.scans.min(WORK_MESSAGES as u64);
        let numbers: Vec<u64> = (1..=count).collect();
        let mut headers = identify::of_server(pipeline, &numbers).await?;
        let told: Vec<_> = numbers
            .iter()
            .filter_map(|number| Some((*number, headers.remove(number)?.ok()?)))
            .collect();
        if told.is_empty() {
            let what =
                "the server has neither UIDL nor TOP: nobody can tell which messages are new";
            return Err(Broken::Fatal(
                FetchError::new(Kind::Protocol, what).with_reply(reply.text),
            ));
        }
        let keyed = identify::keys_without_ids(&told);
        for (_, key) in &keyed {
            survey.add_key(key);
        }
        if keyed.len() as u64 == survey.scans {
            survey.ids = survey.scans;
        }
        self.weigh(&keyed, planner).await
    }

    /// Notes what a complete listing does not have. Says what is newly gone.
    async fn vanish(&mut self, survey: &Survey) -> Result<Vec<(Vec<u8>, Known)>, FetchError> {
        if !survey.is_complete() || self.facts.present == Some(survey.known) {
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.ledger.page(after.as_deref(), LOOK_UP).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let full = page.len() == LOOK_UP;
            let missing: Vec<_> = page
                .into_iter()
                .filter(|(id, _)| !survey.may_list(id))
                .collect();
            let ids: Vec<Vec<u8>> = missing.iter().map(|(id, _)| id.clone()).collect();
            let since = self.ledger.remote.vanished_since(&ids)?;
            let newly = missing
                .into_iter()
                .zip(since)
                .filter_map(|(one, since)| since.is_none().then_some(one));
            let newly: Vec<_> = newly.collect();
            if !self.options.dry_run {
                let rows: Vec<Vanished> = newly
                    .iter()
                    .map(|(id, known)| Vanished {
                        remote_id: id.clone(),
                        digest: known.archived.as_ref().map(|archived| archived.digest),
                    })
                    .collect();
                self.ledger.remote.vanish(&rows, self.now_ms)?;
            }
            gone.extend(
                newly
                    .into_iter()
                    .take(RECOGNISE - gone.len().min(RECOGNISE)),
            );
            if !full {
                break;
            }
        }
        if !self.options.dry_run {
            self.ledger.forget_expired().await?;
        }
        Ok(gone)
    }

    /// Unique-ids have changed: new ones of messages that are archived under ids which have just
    /// vanished. Size and header tell; what is to be deleted is downloaded and compared all the same.
    async fn recognise(
        &mut self,
        pipeline: &mut Pipeline,
        survey: &Survey,
        gone: &[(Vec<u8>, Known)],
        planner: &mut Planner,
    ) -> Result<(), Broken> {
        let sizes: HashSet<u64> = gone
            .iter()
            .filter_map(|(_, known)| known.archived.as_ref())
            .flat_map(|archived| [archived.size, archived.octets])
            .collect();
        let candidates: Vec<u64> = planner
            .items()
            .iter()
            .filter(|item| item.work == Work::Download { delete: false } && item.digest.is_none())
            .filter(|item| sizes.contains(&survey.octets(item.number)))
            .map(|item| item.number)
            .collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let headers = identify::of_server(pipeline, &candidates).await?;
        let listed: HashSet<u64> = candidates.iter().map(|n| survey.octets(*n)).collect();
        let mut archive: HashMap<identify::HeaderDigest, (usize, bool)> = HashMap::new();
        let store = self.world.store.as_deref();
        for (at, (_, known)) in gone.iter().enumerate() {
            let Some(archived) = &known.archived else {
                continue;
            };
            if !listed.contains(&archived.size) && !listed.contains(&archived.octets) {
                continue;
            }
            if let Some(header) = identify::of_archived(store, archived).await? {
                // Two with one header: only their bodies tell.
                let entry = archive.entry(header).or_insert((at, true));
                entry.1 &= entry.0 == at;
            }
        }
        let mut seen = Vec::new();
        let mut twins = Vec::new();
        let mut numbers = HashSet::new();
        for item in planner.items().iter() {
            let Some(Ok(header)) = headers.get(&item.number) else {
                continue;
            };
            let Some((at, true)) = archive.get(header) else {
                continue;
            };
            let (id, known) = &gone[*at];
            let octets = survey.octets(item.number);
            let Some(archived) = &known.archived else {
                continue;
            };
            if octets == archived.size || octets == archived.octets {
                archive.remove(header);
                seen.push((item.id.clone(), known.received_ms));
                twins.push((item.id.clone(), id.clone()));
                numbers.insert(item.number);
                (self.progress)(Progress::Recognised {
                    remote_id: &item.id,
                    unique_id: archived.unique_id,
                });
            }
        }
        self.summary.recognised += seen.len() as u64;
        planner
            .items()
            .retain(|item| !numbers.contains(&item.number));
        if !self.options.dry_run {
            self.ledger.remote.put_twins(&twins)?;
            self.ledger.record_seen(&seen).await?;
        }
        Ok(())
    }

    fn announce(&mut self, plan: &Plan) {
        let downloads = plan
            .items
            .iter()
            .filter(|item| matches!(item.work, Work::Download { .. }));
        let (messages, octets) = downloads.fold((0, 0_u64), |(count, octets), item| {
            (count + 1, octets.saturating_add(item.octets))
        });
        let deletions = plan.items.iter().filter(|item| item.work == Work::Delete);
        (self.progress)(Progress::Planned {
            listed: self.summary.listed,
            messages,
            octets,
            deletions: deletions.count() as u64,
        });
        self.summary.left += plan.left;
        self.summary.await_backup = plan.await_backup;
        if plan.over_day {
            self.summary.pause = Some(Pause {
                until_ms: policy::next_day_ms(self.now_ms),
                reason: PauseReason::MaxPerDay,
                reply: None,
            });
        }
    }

    /// Tells what would be done.
    fn rehearse(&mut self, plan: &Plan) {
        for item in &plan.items {
            let action = match item.work {
                Work::Download { delete: true } => Action::DownloadAndDelete,
                Work::Download { delete: false } => Action::Download,
                Work::Headers => Action::Headers,
                Work::Delete => Action::Delete,
            };
            match action {
                Action::Headers => self.summary.headers_only += 1,
                Action::Delete => self.summary.deleted += 1,
                Action::Download | Action::DownloadAndDelete => {
                    self.summary.stored += 1;
                    self.summary.stored_octets += item.octets;
                    self.summary.deleted += u64::from(action == Action::DownloadAndDelete);
                }
            }
            (self.progress)(Progress::Would {
                action,
                remote_id: &item.id,
                octets: item.octets,
            });
        }
    }

    /// QUIT, once the state is durable; and what it means.
    async fn leave(
        &mut self,
        session: Session,
        deleted: Vec<Vanished>,
        present: Option<u64>,
        has_ids: bool,
    ) -> Result<(), Broken> {
        let (name, target) = (&self.account.name, self.account.target.name());
        let state = &self.world.state;
        let before = if deleted.is_empty() { present } else { None };
        state.finished(name, target, has_ids, before)?;
        self.facts.present = before;
        self.facts.unique_ids |= has_ids;
        let why = match session.quit().await {
            Closing::Acknowledged(_) => {
                self.ledger.remote.vanish(&deleted, self.now_ms)?;
                if !deleted.is_empty() {
                    let present = present.map(|p| p.saturating_sub(deleted.len() as u64));
                    state.finished(name, target, has_ids, present)?;
                    self.facts.present = present;
                }
                for one in &deleted {
                    let remote_id = &one.remote_id;
                    (self.progress)(Progress::Deleted { remote_id });
                }
                self.summary.deleted += deleted.len() as u64;
                return Ok(());
            }
            Closing::Refused(reply) => format!("the server refused QUIT: {reply}"),
            Closing::Unanswered(error) => format!("QUIT was not answered: {error}"),
        };
        self.summary.unconfirmed += deleted.len() as u64;
        if !deleted.is_empty() {
            let what = format!("{why}; deletions are made again next time");
            (self.progress)(Progress::Note(&what));
        }
        Ok(())
    }

    /// Sets a message aside. Whatever keeps this from being noted must not keep others from coming.
    fn set_aside(&mut self, id: &[u8], error: &str) -> Result<(), FetchError> {
        let aside = self.ledger.remote.set_aside(id, error, self.now_ms)?;
        (self.progress)(Progress::SetAside {
            remote_id: id,
            error,
        });
        self.summary.set_aside.retain(|one| one.remote_id != id);
        self.summary.set_aside.push(aside);
        Ok(())
    }
}
