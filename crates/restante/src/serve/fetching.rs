//! Fetching on schedule: each account at its interval, not all at the same moment, less often while it
//! fails, and not while its server wants to be left alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restante_intake::fetch::{self, FetchError, RunOptions, State, Summary, World};
use restante_store::embedded::EmbeddedStore;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::config::account::SecretFrom;
use crate::config::{Account, Config};
use crate::failure::Failure;
use crate::jobs::{Jobs, Next};
use crate::{accounts, units};

/// A failing account is tried at least this often, unless its own interval is longer.
const BACK_OFF_MAX: Duration = Duration::from_secs(6 * 3600);

/// Accounts that are due when the server starts begin within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(3);

/// How long a fetch that runs may go on when the server stops. Cutting it off loses nothing.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Starts a job for each account that can be fetched without a person.
pub(super) fn start(
    config: &Config,
    store: &Arc<EmbeddedStore>,
    jobs: &mut Jobs,
) -> Result<(), Failure> {
    let scheduled: Vec<_> = config
        .accounts()
        .iter()
        .filter_map(|account| Some((account, account.every?)))
        .collect();
    if scheduled.is_empty() {
        return Ok(());
    }
    let state = Arc::new(State::open(&config.data().join("state.db"))?);
    let world = World::new(Some(store.clone()), Arc::clone(&state));
    let at_once = Arc::new(Semaphore::new(config.fetch_parallel()));
    for (account, every) in scheduled {
        if matches!(account.secret, SecretFrom::Prompt) {
            warn!(
                account = account.name,
                "has no password in the configuration, so it is fetched only when asked"
            );
            continue;
        }
        let ready = match accounts::ready(account, config.data()) {
            Ok(ready) => ready,
            Err(error) => {
                warn!(account = account.name, %error, "cannot be fetched");
                continue;
            }
        };
        let first = first_wait(&state, account, every)?;
        let scheduled = Arc::new(Scheduled {
            account: account.clone(),
            ready,
            every,
            world: world.clone(),
            store: Arc::clone(store),
            data: config.data().to_owned(),
            at_once: Arc::clone(&at_once),
        });
        scheduled.plan(first);
        jobs.start(first, move || {
            let scheduled = Arc::clone(&scheduled);
            async move { scheduled.once().await }
        });
    }
    Ok(())
}

/// Where the schedule stood when the program ended, it goes on.
fn first_wait(state: &State, account: &Account, every: Duration) -> Result<Duration, Failure> {
    let known = state.account(&account.name)?.unwrap_or_default();
    let due = known.next_run_ms.unwrap_or_else(|| {
        let last = known.last_start_ms.unwrap_or(0);
        last.saturating_add(ms(every))
    });
    let now = units::now_ms();
    // A clock that was set back must not silence an account.
    let wait = Duration::from_millis(due.saturating_sub(now)).min(every.max(BACK_OFF_MAX));
    Ok(wait + FIRST_WITHIN.mul_f64(random()))
}

/// One account's schedule.
struct Scheduled {
    account: Account,
    ready: fetch::Account,
    every: Duration,
    world: World,
    store: Arc<EmbeddedStore>,
    data: PathBuf,
    at_once: Arc<Semaphore>,
}

impl Scheduled {
    async fn once(&self) -> Next {
        let Ok(_permit) = self.at_once.acquire().await else {
            return Next::Never;
        };
        let account = self.account.name.as_str();
        let on_failure = self.account.on_failure.as_deref();
        let options = RunOptions::default();
        // Backups go on meanwhile: what they hold is asked anew each time.
        let shared = Some(Arc::clone(&self.store));
        let state = Arc::clone(&self.world.state);
        let world = match accounts::knowing_backups(shared, state, &self.data) {
            Ok(world) => world,
            Err(error) => {
                warn!(account, %error, "what backups hold is not known; nothing counts as backed up");
                self.world.clone()
            }
        };
        let mut progress = |happened: fetch::Progress<'_>| match happened {
            fetch::Progress::SetAside { remote_id, error } => {
                let remote_id = units::show_remote_id(remote_id);
                warn!(account, remote_id, error, "set aside");
            }
            fetch::Progress::Note(text) => info!(account, "{text}"),
            _ => {}
        };
        let result =
            accounts::fetch(&self.ready, on_failure, &world, &options, &mut progress).await;
        self.report(&result);
        let failures = match self.world.state.account(account) {
            Ok(known) => known.map_or(0, |known| known.failures),
            Err(_) => u64::from(result.is_err()),
        };
        let wait = wait(self.every, &result, failures, units::now_ms(), random());
        self.plan(wait);
        Next::In(wait)
    }

    fn report(&self, result: &Result<Summary, FetchError>) {
        let account = self.account.name.as_str();
        match result {
            Ok(summary) => info!(
                account,
                stored = summary.stored,
                octets = summary.stored_octets,
                deleted = summary.deleted,
                set_aside = summary.set_aside.len(),
                "fetched"
            ),
            Err(error) => {
                let meaning = accounts::explanation(&self.account, error);
                warn!(account, %error, meaning, "not fetched");
            }
        }
        if let Ok(Summary {
            pause: Some(pause), ..
        }) = result
        {
            let until = units::json_time(pause.until_ms);
            info!(account, until, reason = pause.reason.name(), "waits");
        }
    }

    /// For `status`.
    fn plan(&self, wait: Duration) {
        let at = units::now_ms().saturating_add(ms(wait));
        let account = self.account.name.as_str();
        if let Err(error) = self.world.state.set_next_run(account, Some(at)) {
            warn!(account, %error, "cannot note when it is fetched next");
        }
    }
}

/// How long until the next time: the interval, doubled with each failure in a row, or until a pause
/// ends; a tenth more or less, so that accounts do not come all at once. `random` is in 0..1.
fn wait(
    every: Duration,
    result: &Result<Summary, FetchError>,
    failures: u64,
    now_ms: u64,
    random: f64,
) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1).min(16)).unwrap_or(16);
    let wait = match result {
        Ok(summary) => match &summary.pause {
            Some(pause) => {
                let until = Duration::from_millis(pause.until_ms.saturating_sub(now_ms));
                // Never before the pause is over.
                return until.max(every) + every.mul_f64(random / 10.0);
            }
            None => every,
        },
        Err(_) => every
            .saturating_mul(1 << doublings)
            .min(BACK_OFF_MAX)
            .max(every),
    };
    wait.mul_f64(0.9 + random / 5.0)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// In 0..1; without the system's random numbers, its middle.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use restante_intake::fetch::{Kind, Pause, PauseReason};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn minutes(result: &Result<Summary, FetchError>, failures: u64, random: f64) -> f64 {
        wait(15 * MINUTE, result, failures, 0, random).as_secs_f64() / 60.0
    }

    #[test]
    fn an_account_comes_at_its_interval_a_tenth_more_or_less() {
        let good = Ok(Summary::default());
        for (random, minute) in [(0.0, 13.5), (0.5, 15.0), (1.0, 16.5)] {
            assert!((minutes(&good, 0, random) - minute).abs() < 0.01);
        }
    }

    #[test]
    fn a_failing_account_comes_less_often_and_not_never() {
        let bad = Err(FetchError::new(Kind::Unavailable, "x"));
        for (failures, minute) in [(1, 15.0), (2, 30.0), (3, 60.0), (6, 360.0), (1000, 360.0)] {
            assert!(
                (minutes(&bad, failures, 0.5) - minute).abs() < 0.01,
                "{failures}"
            );
        }
    }

    #[test]
    fn a_pause_is_kept_to_its_end() {
        let pause = Pause {
            until_ms: 3_600_000,
            reason: PauseReason::LoginDelay,
            reply: None,
        };
        let paused = Ok(Summary {
            pause: Some(pause),
            ..Summary::default()
        });
        for random in [0.0, 1.0] {
            assert!(minutes(&paused, 0, random) >= 60.0);
        }
    }
}
