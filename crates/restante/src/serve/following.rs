//! The archive's index follows the store: beside everything else, and in nobody's way.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use restante_archive::Archive;
use restante_store::MailStore;
use tracing::{error, info};

use crate::commands::archive::opener;
use crate::config::Config;
use crate::jobs::{Jobs, Next};

/// How often it is looked whether mail has come.
const OFTEN: Duration = Duration::from_secs(1);
/// How long it waits after a fault.
const AFTER_FAULT: Duration = Duration::from_secs(60);

/// Ends the work of the job when the job is gone.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Starts following, with the archive that is open already if one is. One that cannot be opened is tried
/// again; nothing else waits for it.
pub(super) fn start(
    config: &Config,
    store: &Arc<dyn MailStore>,
    archive: Option<Arc<Archive>>,
    jobs: &mut Jobs,
) {
    let opener = Arc::new(opener(config, Arc::clone(store)));
    let kept: Arc<OnceLock<Arc<Archive>>> =
        Arc::new(archive.map_or_else(OnceLock::new, OnceLock::from));
    jobs.start(Duration::ZERO, move || {
        let (opener, kept) = (Arc::clone(&opener), Arc::clone(&kept));
        async move {
            let stop = Arc::new(AtomicBool::new(false));
            let _ends = Ends(Arc::clone(&stop));
            let work = tokio::task::spawn_blocking(move || {
                if kept.get().is_none() {
                    // Only this job opens it, and a job never overlaps with itself.
                    let _first = kept.set(Arc::new(opener()?));
                }
                let Some(archive) = kept.get() else {
                    return Ok(0);
                };
                archive.catch_up(&mut |_| {
                    if stop.load(Ordering::Relaxed) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
            });
            Next::In(match work.await {
                Ok(Ok(0)) => OFTEN,
                Ok(Ok(messages)) => {
                    info!(messages, "indexed");
                    OFTEN
                }
                Ok(Err(error)) => {
                    error!(%error, "the search index cannot follow; mail is not concerned");
                    AFTER_FAULT
                }
                Err(error) => {
                    error!(%error, "the search index failed; mail is not concerned");
                    AFTER_FAULT
                }
            })
        }
    });
}
