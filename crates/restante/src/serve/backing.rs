//! Backups on schedule, beside everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use restante_backup::{self as engine, Hooks, State};
use restante_store::embedded::EmbeddedStore;
use tracing::{error, info, warn};

use crate::commands::backup::configured_target;
use crate::config::{Backup, Config};
use crate::failure::Failure;
use crate::jobs::{Jobs, Next};
use crate::units;

/// A backup that is due when the server starts begins after this: clients come first.
const FIRST: Duration = Duration::from_secs(10);

/// One that failed is tried again after this, unless it is done more often anyway.
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// Starts the job of `[backup]`, if there is one. Dropping what it gives stops a backup that runs: the
/// next one goes on.
pub(super) fn start(
    config: &Config,
    store: &Arc<EmbeddedStore>,
    jobs: &mut Jobs,
) -> Result<Stop, Failure> {
    let stop = Stop::default();
    let told = config.backup();
    let (Some(place), Some(every)) = (&told.to, told.every) else {
        return Ok(stop);
    };
    // What cannot be read now is told now, not in the night.
    let target = configured_target(config)?;
    let last = State::open(config.data())?.places()?;
    let last = last.into_iter().find(|known| known.place == *place);
    let last = last.and_then(|known| known.backup_ms).unwrap_or(0);
    let due = last.saturating_add(every.as_millis() as u64);
    let first = Duration::from_millis(due.saturating_sub(units::now_ms())).min(every);
    let work = Arc::new(Work {
        store: Arc::clone(store),
        data: config.data().to_owned(),
        told: told.clone(),
        target,
        every,
        stop: Arc::clone(&stop.0),
    });
    jobs.start(first.max(FIRST), move || {
        let work = Arc::clone(&work);
        async move {
            let every = work.every;
            let done = tokio::task::spawn_blocking(move || work.once()).await;
            done.unwrap_or(Next::In(every))
        }
    });
    Ok(stop)
}

/// Stops a backup that runs when it is dropped.
#[derive(Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Work {
    store: Arc<EmbeddedStore>,
    data: std::path::PathBuf,
    told: Backup,
    target: engine::Target,
    every: Duration,
    stop: Arc<AtomicBool>,
}

impl Work {
    fn once(&self) -> Next {
        let stop = || self.stop.load(Ordering::Relaxed);
        let hooks = Hooks::new(&|_| {}, &stop, None);
        let keep = self.told.keep.as_ref();
        let came = engine::backup(&self.store, &self.data, &self.target, keep, false, &hooks);
        let place = self.target.place.as_str();
        match came {
            Ok(report) => {
                for line in &report.damage {
                    error!("archive: {line}");
                }
                if let Some(error) = &report.prune_error {
                    warn!(place, "older backups could not be removed: {error}");
                }
                info!(
                    place,
                    generation = report.generation,
                    messages = report.messages,
                    written = report.written,
                    "backed up"
                );
                Next::In(self.every)
            }
            Err(_) if stop() => Next::Never,
            Err(error) => {
                error!(place, %error, "cannot back up");
                Next::In(self.every.min(AGAIN))
            }
        }
    }
}
