//! How often strangers may ask.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::{SETUP_ALL_PER_SECOND, SETUP_BURST, SETUP_PEERS, SETUP_PER_SECOND};

/// A bucket that fills with time: each request takes one token.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, per_second: u32, burst: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * f64::from(per_second)).min(f64::from(burst));
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// Requests of each address and of all together.
#[derive(Debug, Default)]
pub(super) struct Rate {
    buckets: Mutex<HashMap<Option<IpAddr>, Bucket>>,
}

impl Rate {
    /// Whether a request is answered now. `peer` is `None` for this machine, which is not counted
    /// alone: a proxy there asks for everyone.
    pub(super) fn admits(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > SETUP_PEERS {
            // Forgetting is kinder than refusing; all together stay bounded.
            buckets.retain(|peer, _| peer.is_none());
        }
        let mut take = |peer, per_second: u32, burst: u32| {
            let full = Bucket {
                tokens: f64::from(burst),
                at: now,
            };
            let bucket: &mut Bucket = buckets.entry(peer).or_insert(full);
            bucket.take(per_second, burst, now)
        };
        // The address first: who asks too often takes nothing from the others.
        (peer.is_none() || take(peer, SETUP_PER_SECOND, SETUP_BURST))
            && take(None, SETUP_ALL_PER_SECOND, SETUP_ALL_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_is_slowed_down_and_the_others_are_not() {
        let rate = Rate::default();
        let now = Instant::now();
        let (here, there) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        let admitted = (0..1_000).filter(|_| rate.admits(here, now)).count();
        assert_eq!(admitted, SETUP_BURST as usize);
        assert!(rate.admits(there, now));
        let later = now + Duration::from_secs(1);
        let admitted = (0..1_000).filter(|_| rate.admits(here, later)).count();
        assert_eq!(admitted, SETUP_PER_SECOND as usize);
    }

    #[test]
    fn all_together_are_bounded_and_so_is_the_memory() {
        let rate = Rate::default();
        let now = Instant::now();
        let admitted = (0..50_000u32)
            .filter(|n| rate.admits(Some(n.to_be_bytes().into()), now))
            .count();
        assert_eq!(admitted, SETUP_ALL_PER_SECOND as usize);
        let kept = rate.buckets.lock().expect("not poisoned").len();
        assert!(kept <= SETUP_PEERS + 2, "{kept}");
    }
}
