//! Backups and drills on schedule, beside everything else.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use restante_backup::{self as engine, BackupError, Hooks, PlaceStatus, State};
use restante_store::embedded::EmbeddedStore;
use tracing::{error, info, warn};

use crate::backups::{SharedBackup, drills};
use crate::commands::backup::{configured_target, scratch};
use crate::config::{Backup, Config};
use crate::failure::Failure;
use crate::jobs::{Jobs, Next};
use crate::units;

/// A backup that is due when the server starts begins after this: clients come first.
const FIRST: Duration = Duration::from_secs(3);

/// How often it is looked what is due. Timers stand still while a laptop sleeps; the clock does not.
const LOOK: Duration = Duration::from_secs(5);

/// One that failed is tried again after this, unless it is done more often anyway.
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// A drill that failed is tried again after this: it reads all there is.
const DRILL_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What is done again and again.
struct Told {
    backup: Backup,
    target: Option<engine::Target>,
    min_free: u64,
    scratch: PathBuf,
}

impl Told {
    fn read(config: &Config) -> Result<Self, Failure> {
        let backup = config.backup().clone();
        let target = match backup.to {
            Some(_) => Some(configured_target(config)?),
            None => None,
        };
        if target.is_some() && backup.drill.is_some() && drills(&backup).is_none() {
            info!("backups are encrypted to recipients only: nobody can drill here");
        }
        Ok(Self {
            target,
            min_free: config.min_free(),
            scratch: scratch(config, None),
            backup,
        })
    }
}

/// The job of `[backup]`. Dropping it stops what runs: the next backup goes on.
pub(super) struct Backing {
    told: Arc<RwLock<Arc<Told>>>,
    shared: SharedBackup,
    stop: Arc<AtomicBool>,
}

impl Backing {
    /// Starts the job. `shared` is what the rest of the program knows of `[backup]`.
    ///
    /// What cannot be read now, such as a passphrase, is an error now and not in the night.
    pub(super) fn start(
        config: &Config,
        store: &Arc<EmbeddedStore>,
        shared: SharedBackup,
        jobs: &mut Jobs,
    ) -> Result<Self, Failure> {
        let told = Arc::new(RwLock::new(Arc::new(Told::read(config)?)));
        let stop = Arc::new(AtomicBool::new(false));
        let work = Arc::new(Work {
            store: Arc::clone(store),
            data: config.data().to_owned(),
            told: Arc::clone(&told),
            failed: Mutex::default(),
            stop: Arc::clone(&stop),
        });
        jobs.start(FIRST, move || {
            let work = Arc::clone(&work);
            async move {
                let done = tokio::task::spawn_blocking(move || work.look()).await;
                done.unwrap_or(Next::In(LOOK))
            }
        });
        Ok(Self { told, shared, stop })
    }

    /// Takes what the configuration says now; what is under way goes on as it was begun.
    pub(super) fn read_again(&self, config: &Config) {
        match Told::read(config) {
            Ok(told) => {
                let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
                shared.clone_from(&told.backup);
                drop(shared);
                *self.told.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(told);
                info!("[backup] is read again");
            }
            Err(error) => error!(%error, "cannot read [backup] again; the old one stays"),
        }
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// When a backup and a drill failed last, since this program started.
#[derive(Debug, Default, Clone, Copy)]
struct Failed {
    backup: Option<Instant>,
    drill: Option<Instant>,
}

struct Work {
    store: Arc<EmbeddedStore>,
    data: PathBuf,
    told: Arc<RwLock<Arc<Told>>>,
    failed: Mutex<Failed>,
    stop: Arc<AtomicBool>,
}

/// Whether it is time: `last` went well, `failed` is so long ago, and a failure is repaired after `again`.
fn due(
    every: Duration,
    last_ms: Option<u64>,
    failed: Option<Duration>,
    again: Duration,
    now_ms: u64,
) -> bool {
    if failed.is_some_and(|ago| ago < every.min(again)) {
        return false;
    }
    // What seems to come out of the future tells that the clock was set back.
    last_ms.is_none_or(|last| last > now_ms || now_ms - last >= every.as_millis() as u64)
}

impl Work {
    fn look(&self) -> Next {
        let told = Arc::clone(&self.told.read().unwrap_or_else(PoisonError::into_inner));
        let Some(target) = &told.target else {
            return Next::In(LOOK);
        };
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match self.known(&target.place) {
            Ok(known) => known,
            Err(error) => {
                error!(%error, "cannot tell whether a backup is due");
                return Next::In(LOOK);
            }
        };
        let now = units::now_ms();
        let ago = |at: Option<Instant>| at.map(|at| at.elapsed());
        if told
            .backup
            .every
            .is_some_and(|every| due(every, known.backup_ms, ago(failed.backup), AGAIN, now))
        {
            return self.done(self.backup(&told, target), |failed| &mut failed.backup);
        }
        // Only what was backed up can be restored.
        if known.backup_ms.is_some()
            && drills(&told.backup).is_some_and(|every| {
                due(every, known.drill_ms, ago(failed.drill), DRILL_AGAIN, now)
            })
        {
            return self.done(self.drill(&told, target), |failed| &mut failed.drill);
        }
        Next::In(LOOK)
    }

    /// Notes what came of it. After what went well there may be something to do at once.
    fn done(
        &self,
        well: Option<bool>,
        which: impl Fn(&mut Failed) -> &mut Option<Instant>,
    ) -> Next {
        let Some(well) = well else {
            return Next::Never;
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *which(&mut failed) = (!well).then(Instant::now);
        Next::In(if well { FIRST } else { LOOK })
    }

    fn known(&self, place: &str) -> engine::Result<PlaceStatus> {
        let known = match State::look(&self.data)? {
            Some(state) => state.places()?,
            None => Vec::new(),
        };
        let known = known.into_iter().find(|known| known.place == place);
        Ok(known.unwrap_or_default())
    }

    /// Whether it went well; `None` when it was stopped.
    fn backup(&self, told: &Told, target: &engine::Target) -> Option<bool> {
        let stop = || self.stop.load(Ordering::Relaxed);
        let hooks = Hooks::new(&|_| {}, &stop, None);
        let keep = told.backup.keep.as_ref();
        let place = target.place.as_str();
        match engine::backup(&self.store, &self.data, target, keep, false, &hooks) {
            Ok(report) => {
                for line in &report.damage {
                    error!("archive: {line}");
                }
                if let Some(error) = &report.prune_error {
                    warn!(place, "older backups were not removed: {error}");
                }
                info!(
                    place,
                    generation = report.generation,
                    messages = report.messages,
                    written = report.written,
                    "backed up"
                );
                Some(true)
            }
            Err(BackupError::Stopped) => None,
            Err(error) => {
                error!(place, %error, "cannot back up");
                Some(false)
            }
        }
    }

    /// As `backup`.
    fn drill(&self, told: &Told, target: &engine::Target) -> Option<bool> {
        let stop = || self.stop.load(Ordering::Relaxed);
        let hooks = Hooks::new(&|_| {}, &stop, None);
        let place = target.place.as_str();
        let (scratch, min_free) = (&told.scratch, told.min_free);
        match engine::drill(&self.store, &self.data, target, scratch, min_free, &hooks) {
            Ok(report) => {
                for line in &report.damage {
                    error!(place, "drill: {line}");
                }
                let well = report.damage.is_empty();
                if well {
                    let (generation, same) = (report.generation, report.same);
                    info!(place, generation, messages = same, "restored in a drill");
                }
                Some(well)
            }
            Err(BackupError::Stopped) => None,
            Err(error) => {
                error!(place, %error, "cannot drill");
                Some(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_when_the_interval_is_over_and_after_a_failure_sooner() {
        const NOW: u64 = 100 * units::DAY_MS;
        let day = Duration::from_millis(units::DAY_MS);
        let hour = Duration::from_secs(3600);
        let is_due = |last, failed| due(day, last, failed, hour, NOW);
        assert!(is_due(None, None));
        assert!(is_due(Some(NOW - units::DAY_MS), None));
        assert!(!is_due(Some(NOW - units::DAY_MS + 1), None));
        assert!(!is_due(None, Some(hour / 2)));
        assert!(is_due(None, Some(hour)));
        assert!(is_due(Some(NOW + 1), None), "the clock was set back");
        assert!(
            due(hour, Some(0), Some(hour), day, NOW),
            "never later than usual"
        );
    }
}
