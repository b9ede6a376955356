//! Log lines that strangers can cause at will: the first of an address at once, then one in a while
//! with the number of those that it stands for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::{NOTICE_INTERVAL, NOTICES};

#[derive(Debug)]
struct Told {
    at: Instant,
    /// Not told since.
    untold: u64,
}

/// When an address was last written of; one of these for each kind of line.
#[derive(Debug, Default)]
pub(super) struct Notices {
    told: Mutex<HashMap<Option<IpAddr>, Told>>,
}

impl Notices {
    /// Whether to write a line of `address` now, and how many were left out since the last.
    pub(super) fn next(&self, address: Option<IpAddr>, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = told.get_mut(&address) {
            if now.saturating_duration_since(known.at) < NOTICE_INTERVAL {
                known.untold += 1;
                return None;
            }
            known.at = now;
            return Some(std::mem::take(&mut known.untold));
        }
        if told.len() >= NOTICES {
            // With what it has not told: a flood from so many addresses is no news of one of them.
            told.clear();
        }
        told.insert(address, Told { at: now, untold: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_counted() {
        let notices = Notices::default();
        let here = Some(IpAddr::from([192, 0, 2, 1]));
        let start = Instant::now();
        assert_eq!(notices.next(here, start), Some(0));
        for _ in 0..5_000 {
            assert_eq!(notices.next(here, start), None);
        }
        assert_eq!(notices.next(None, start), Some(0), "another address");
        assert_eq!(notices.next(here, start + NOTICE_INTERVAL), Some(5_000));
        assert_eq!(notices.next(here, start + NOTICE_INTERVAL * 2), Some(0));
    }

    #[test]
    fn memory_is_bounded() {
        let notices = Notices::default();
        let now = Instant::now();
        for n in 0..20_000u32 {
            notices.next(Some(n.to_be_bytes().into()), now);
        }
        assert!(notices.told.lock().expect("not poisoned").len() <= NOTICES);
    }
}
