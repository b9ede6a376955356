//! Stopping without breaking off: sessions are asked to end, then given some time.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Dropping,
}

/// Asks every [`Drain`] that came from it to stop. Dropping it asks too.
#[derive(Debug)]
pub struct Drainer(watch::Sender<Phase>);

/// Tells when to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<Phase>);

impl Drainer {
    /// A pair.
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        (Self(sender), Drain(receiver))
    }

    /// Another one that is told.
    pub fn drain(&self) -> Drain {
        Drain(self.0.subscribe())
    }

    /// Asks: listeners close, sessions end after the command they are at. Idempotent.
    pub fn start(&self) {
        self.raise(Phase::Draining);
    }

    /// Ends what `start` still waits for: sessions are dropped now.
    pub fn force(&self) {
        self.raise(Phase::Dropping);
    }

    fn raise(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let higher = *phase < to;
            *phase = (*phase).max(to);
            higher
        });
    }
}

impl Drain {
    /// Ready once the server is to stop; then at once, always. May be dropped and called again.
    pub async fn requested(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Whether the server is to stop.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() >= Phase::Draining || self.0.has_changed().is_err()
    }

    /// Ready once sessions are to be dropped.
    pub(crate) async fn forced(&mut self) {
        self.reached(Phase::Dropping).await;
    }

    async fn reached(&mut self, phase: Phase) {
        // An error means that the drainer is gone: nobody could ask any more, so stop.
        let _gone = self.0.wait_for(|now| *now >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asks_all_and_stays_asked() {
        let (drainer, mut drain) = Drainer::new();
        let mut second = drain.clone();
        assert!(!drain.is_requested());
        drainer.start();
        drainer.start();
        drain.requested().await;
        drain.requested().await;
        second.requested().await;
        assert!(drain.is_requested() && drainer.drain().is_requested());
    }

    #[tokio::test]
    async fn a_lost_drainer_asks_too() {
        let (drainer, mut drain) = Drainer::new();
        drop(drainer);
        assert!(drain.is_requested());
        drain.requested().await;
        drain.forced().await;
    }
}
