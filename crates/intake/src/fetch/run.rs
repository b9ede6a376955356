//! One fetch of one account: sessions, until the work is done.

use std::collections::HashMap;
use std::sync::Arc;

use restante_client::{Error, Window};
use restante_store::{MailStore, MailboxId, Release};

use super::ledger::{Books, Ledger, store_failed};
use super::limits::{DEPTH_ONE, FRUITLESS, LOOK_UP, RECONNECT, SESSIONS, VANISHED};
use super::reply::{client_failed, may_pass};
use super::session::{Broken, Run};
use super::{Account, FetchError, Kind, Pause, Progress, RunOptions, Summary, Target, World};
use crate::clock::{millis, now_ms};
use crate::takeover::SeenId;

/// Fetches an account. What it comes to is noted in the state, unless it is a dry run.
///
/// # Errors
/// Why it ended before its work was done; what was stored until then stays stored.
pub async fn run(
    account: &Account,
    world: &World,
    options: &RunOptions,
    progress: &mut (dyn FnMut(Progress<'_>) + Send + Sync),
) -> Result<Summary, FetchError> {
    let now_ms = now_ms();
    if options.dry_run {
        let books = books(&account.name, &account.target, world, false).await?;
        let mut run = start(account, world, options, progress, books, now_ms)?;
        return run.sessions().await.map(|()| run.summary);
    }
    let _lock = world.state.lock(&account.name)?;
    if let Some(pause) = waits(account, world, options, now_ms)? {
        return Ok(Summary {
            pause: Some(pause),
            ..Summary::default()
        });
    }
    let target = account.target.name();
    let facts = world.state.facts(&account.name, target)?;
    world.state.begin(&account.name, target, now_ms)?;
    let (summary, outcome) = match books(&account.name, &account.target, world, true).await {
        Err(error) => (Summary::default(), Err(error)),
        Ok(books) => {
            let mut run = start(account, world, options, progress, books, now_ms)?;
            run.facts = facts;
            let outcome = run.sessions().await;
            (run.summary, outcome)
        }
    };
    let error = outcome.as_ref().err();
    world
        .state
        .ended(&account.name, crate::clock::now_ms(), &summary, error)?;
    outcome.map(|()| summary)
}

fn start<'a>(
    account: &'a Account,
    world: &'a World,
    options: &'a RunOptions,
    progress: &'a mut (dyn FnMut(Progress<'_>) + Send + Sync),
    books: Books,
    now_ms: u64,
) -> Result<Run<'a>, FetchError> {
    let target = account.target.name();
    Ok(Run {
        account,
        world,
        options,
        progress,
        ledger: Ledger {
            account: &account.name,
            remote: world.state.remote(&account.name, target),
            books,
            horizon_ms: now_ms.saturating_sub(millis(VANISHED)),
        },
        facts: world.state.facts(&account.name, target)?,
        now_ms,
        summary: Summary::default(),
        breaks: HashMap::new(),
        pipelined: 0,
    })
}

/// Whether the account has to wait still.
fn waits(
    account: &Account,
    world: &World,
    options: &RunOptions,
    now_ms: u64,
) -> Result<Option<Pause>, FetchError> {
    if options.even_if_paused {
        return Ok(None);
    }
    let status = world.state.account(&account.name)?;
    let pause = status.and_then(|status| status.pause);
    Ok(pause.filter(|pause| pause.until_ms > now_ms))
}

/// Puts what another program has taken from the server into an account's ledger, as seen: none of it is
/// downloaded, and nothing is deleted for it. Makes the mailbox as a fetch would. How many ids were not known
/// before comes back.
///
/// # Errors
/// The account is being fetched now, or the store or the state fails; some of the ids may be in the
/// ledger then, and it may be called again.
pub async fn take_over(
    account: &str,
    target: &Target,
    world: &World,
    ids: &[SeenId],
) -> Result<u64, FetchError> {
    let _lock = world.state.lock(account)?;
    let ledger = Ledger {
        account,
        remote: world.state.remote(account, target.name()),
        books: books(account, target, world, true).await?,
        horizon_ms: 0,
    };
    let mut new = 0;
    for batch in ids.chunks(LOOK_UP) {
        let remote: Vec<Vec<u8>> = batch.iter().map(|id| id.remote_id.clone()).collect();
        let known = ledger.find(&remote).await?;
        let times = batch.iter().map(|id| id.seen_ms.unwrap_or(0));
        let unknown: Vec<(Vec<u8>, u64)> = remote
            .into_iter()
            .zip(times)
            .zip(known)
            .filter_map(|(one, known)| known.is_none().then_some(one))
            .collect();
        ledger.record_seen(&unknown).await?;
        new += unknown.len() as u64;
    }
    Ok(new)
}

/// Where the ledger is. A mailbox that is not there is made, without a password; whatever is fetched
/// into one must not go when a device collects and deletes it.
async fn books(
    account: &str,
    target: &Target,
    world: &World,
    make: bool,
) -> Result<Books, FetchError> {
    let Target::Mailbox(name) = target else {
        return Ok(Books::Table);
    };
    let Some(store) = &world.store else {
        if !make {
            // A dry run before there is any mail.
            return Ok(Books::Nothing);
        }
        let what = format!("{account}: there is no store to fetch into");
        return Err(FetchError::new(Kind::Configuration, what));
    };
    let found = store.find_mailbox(name).await;
    let found = found.map_err(|error| store_failed(&error))?;
    match found {
        None if !make => Ok(Books::Nothing),
        None => {
            let id = store.create_mailbox(name).await;
            let id = id.map_err(|error| store_failed(&error))?;
            never_release(store, id).await?;
            Ok(Books::Mailbox(Arc::clone(store), id))
        }
        Some(mailbox) => {
            if make && mailbox.release == Release::AtOnce && !mailbox.release_is_set {
                never_release(store, mailbox.id).await?;
            }
            Ok(Books::Mailbox(Arc::clone(store), mailbox.id))
        }
    }
}

async fn never_release(store: &Arc<dyn MailStore>, id: MailboxId) -> Result<(), FetchError> {
    let set = store.set_release(id, Some(Release::Never)).await;
    set.map_err(|error| store_failed(&error))
}

impl Run<'_> {
    /// Sessions, one after the other: because the server shows a part of the maildrop in each, because
    /// there is more than one session does, or because a connection broke.
    pub(super) async fn sessions(&mut self) -> Result<(), FetchError> {
        let server = self.account.server.place.to_string();
        let since = self.now_ms.saturating_sub(millis(DEPTH_ONE));
        let mut window = Window::default();
        if self.world.state.is_depth_one(&server, since)? {
            window = Window::ONE;
        }
        let mut fruitless = 0;
        while self.summary.sessions < SESSIONS {
            let before = (self.summary.stored, self.summary.set_aside.len());
            let recognised = self.summary.recognised;
            let reached = self.summary.sessions;
            self.pipelined = 0;
            let error = match self.session(window).await {
                Ok(outcome) => {
                    fruitless = 0;
                    if self.options.relearn {
                        if outcome.over_work && self.summary.recognised > recognised {
                            continue;
                        }
                        return Ok(());
                    }
                    let more = self.account.shows_window || outcome.over_work;
                    let idle = outcome.new == 0 && !outcome.over_work;
                    let unsure = outcome.new == 0 && self.summary.unconfirmed > 0;
                    let done = self.options.once || self.options.dry_run || idle || unsure;
                    if !more || done || self.summary.pause.is_some() || self.has_enough() {
                        return Ok(());
                    }
                    continue;
                }
                Err(Broken::Pause(pause)) => {
                    self.summary.pause = Some(pause);
                    return Ok(());
                }
                Err(Broken::Fatal(error)) => return Err(error),
                Err(Broken::Client(error)) => error,
            };
            if window != Window::ONE && self.cannot_pipeline(&error) {
                window = Window::ONE;
                if !self.options.dry_run {
                    let why = error.to_string();
                    let state = &self.world.state;
                    state.remember_depth_one(&server, self.now_ms, &why)?;
                }
                let what = format!("{error}: going on with one command at a time");
                (self.progress)(Progress::Note(&what));
                continue;
            }
            // A message that did not end is out of the way now.
            let overrun =
                matches!(error, Error::Desync { .. }) && self.summary.set_aside.len() > before.1;
            if self.summary.stored > before.0 || overrun {
                fruitless = 0;
            }
            fruitless += 1;
            let got_in = self.summary.sessions > 0;
            let retry = got_in && may_pass(&error) && !self.options.dry_run;
            if !retry || fruitless >= FRUITLESS {
                return Err(client_failed(&error, got_in));
            }
            let what = if self.summary.sessions > reached {
                format!("{error}: connecting again")
            } else {
                format!("{error}: trying again")
            };
            (self.progress)(Progress::Note(&what));
            tokio::time::sleep(RECONNECT * 4_u32.pow(fruitless - 1)).await;
        }
        Ok(())
    }

    fn has_enough(&self) -> bool {
        let limit = self.options.limit;
        limit.is_some_and(|limit| self.summary.stored >= limit)
    }

    /// A connection that broke in the middle of a maildrop, after pipelined replies had come, is no
    /// proof against pipelining; silence and confusion are.
    fn cannot_pipeline(&self, error: &Error) -> bool {
        let cut = matches!(error, Error::Closed { .. });
        error.may_be_pipelining() && !(cut && self.pipelined > 2)
    }
}
