//! The one owner of repeating timers: what is done again and again while the program serves.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

/// When a job is done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// After so long.
    In(Duration),
    /// Never.
    Never,
}

/// Jobs, each on a timer of its own. Dropping them cuts them off.
pub(crate) struct Jobs {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Jobs {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// Does a job after `first`, and then when it says. A job never overlaps with itself.
    pub(crate) fn start<J, F>(&mut self, first: Duration, mut job: J)
    where
        J: FnMut() -> F + Send + 'static,
        F: Future<Output = Next> + Send + 'static,
    {
        let mut stop = self.stop.subscribe();
        self.tasks.spawn(async move {
            let mut wait = first;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                match job().await {
                    Next::In(next) => wait = next,
                    Next::Never => return,
                }
            }
        });
    }

    /// Begins nothing more, and waits for what is being done, at most so long; what takes longer is
    /// cut off.
    pub(crate) async fn finish(mut self, within: Duration) {
        self.stop.send_replace(true);
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    error!(%error, "a job failed");
                }
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counting(count: &Arc<AtomicU32>, work: Duration) -> impl FnMut() -> BoxedNext + use<> {
        let count = Arc::clone(count);
        move || {
            let count = Arc::clone(&count);
            Box::pin(async move {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(work).await;
                count.fetch_add(100, Ordering::Relaxed);
                Next::In(Duration::from_secs(60))
            })
        }
    }

    type BoxedNext = std::pin::Pin<Box<dyn Future<Output = Next> + Send>>;

    fn with_time_at_will(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test);
    }

    #[test]
    fn a_job_comes_again_until_it_is_stopped() {
        with_time_at_will(async {
            let count = Arc::new(AtomicU32::new(0));
            let mut jobs = Jobs::new();
            jobs.start(
                Duration::from_secs(5),
                counting(&count, Duration::from_secs(1)),
            );
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert_eq!(count.load(Ordering::Relaxed), 0);
            tokio::time::sleep(Duration::from_secs(64)).await;
            assert_eq!(count.load(Ordering::Relaxed), 202);
            jobs.finish(Duration::from_secs(1)).await;
            tokio::time::sleep(Duration::from_secs(600)).await;
            assert_eq!(count.load(Ordering::Relaxed), 202);
        });
    }

    #[test]
    fn what_runs_may_end_within_its_time_and_is_cut_off_after_it() {
        with_time_at_will(async {
            let (short, long) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
            let mut jobs = Jobs::new();
            jobs.start(Duration::ZERO, counting(&short, Duration::from_secs(2)));
            jobs.start(Duration::ZERO, counting(&long, Duration::from_secs(20)));
            tokio::time::sleep(Duration::from_secs(1)).await;
            jobs.finish(Duration::from_secs(3)).await;
            assert_eq!(short.load(Ordering::Relaxed), 101);
            assert_eq!(long.load(Ordering::Relaxed), 1);
        });
    }
}
