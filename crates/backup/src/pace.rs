//! Doing many pieces of work at once, at a bounded rate, until told to stop.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{BackupError, Result};

/// What a long piece of work tells, and what it is told.
pub struct Hooks<'a> {
    /// Hears how many octets were dealt with just now.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Whether to stop as soon as nothing is left half done.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Octets a second that are read at most.
    pub limit: Option<u64>,
    paid: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl<'a> Hooks<'a> {
    /// Hooks with a limit in octets a second, or none.
    pub fn new(
        progress: &'a (dyn Fn(u64) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
        limit: Option<u64>,
    ) -> Self {
        let paid = Mutex::new(None);
        Self {
            progress,
            stop,
            limit: limit.filter(|limit| *limit > 0),
            paid,
        }
    }

    /// Tells of `octets` that were dealt with, and waits if that was too fast.
    pub(crate) fn pass(&self, octets: u64) -> Result<()> {
        (self.progress)(octets);
        if let Some(limit) = self.limit {
            let cost = Duration::from_secs_f64(octets as f64 / limit as f64);
            let until = {
                let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                let until = paid.map_or(now, |at| at.max(now)) + cost;
                *paid = Some(until);
                until
            };
            while Instant::now() < until {
                self.go_on()?;
                let left = until.saturating_duration_since(Instant::now());
                thread::sleep(left.min(Duration::from_millis(200)));
            }
        }
        self.go_on()
    }

    /// An error once it was told to stop.
    pub(crate) fn go_on(&self) -> Result<()> {
        if (self.stop)() {
            return Err(BackupError::Stopped);
        }
        Ok(())
    }
}

/// Does `work` for each item, several at once; what came of them in their order, or the first error.
pub(crate) fn parallel<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let one = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let result = work(item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((at, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..at_once.min(items.len()) {
            let _ = scope.spawn(one);
        }
        one();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
