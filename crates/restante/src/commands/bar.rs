//! What a person sees of work that takes longer than a second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{self, Output};
use crate::units;

/// Nothing is shown of work that is done within this time.
const QUIET: Duration = Duration::from_secs(1);

/// A line that moves, on a terminal.
pub(crate) struct Bar {
    started: Instant,
    shown: Option<ProgressBar>,
    is_wanted: bool,
}

impl Bar {
    /// Shows nothing yet.
    pub(crate) fn new(out: &Output) -> Self {
        Self {
            started: Instant::now(),
            shown: None,
            is_wanted: !out.json() && output::on_terminal(),
        }
    }

    /// Says how far it is.
    pub(crate) fn set(&mut self, text: &str) {
        if !self.is_wanted || (self.shown.is_none() && self.started.elapsed() < QUIET) {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(text.to_owned());
    }

    /// Prints something beside.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.shown {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes it away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// Octets that several threads deal with, as one line.
pub(crate) struct Watch {
    bar: Mutex<Bar>,
    done: AtomicU64,
    what: &'static str,
}

impl Watch {
    /// Shows nothing yet. `what` is done with them.
    pub(crate) fn new(out: &Output, what: &'static str) -> Self {
        Self {
            bar: Mutex::new(Bar::new(out)),
            done: AtomicU64::new(0),
            what,
        }
    }

    /// So many more.
    pub(crate) fn add(&self, octets: u64) {
        let sum = self.done.fetch_add(octets, Ordering::Relaxed) + octets;
        if let Ok(mut bar) = self.bar.try_lock() {
            bar.set(&format!("{} {}", units::show_octets(sum), self.what));
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if let Ok(bar) = self.bar.lock() {
            bar.clear();
        }
    }
}
