//! How long a guess waits: each address, and each name at each address, has guesses at hand that
//! come back one by one. A good login gives its guess back.
//!
//! Who guesses at one name waits for that name's guesses and so cannot use up the address's: a second
//! user behind the same address gets in. A pair of address and name with a good login before waits
//! for its own guesses only. Nothing here knows which names exist, so all are alike.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::limits::{
    ADDRESS_BURST, ADDRESS_INTERVAL, ADDRESS_WAIT, FIRST_WAIT, KNOWN_PAIR, PAIR_BURST,
    PAIR_INTERVAL, PAIR_WAIT, PENALTY_ENTRIES,
};

/// Who guesses: an IPv4 address, an IPv6 /64, or the machine itself by a local socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place(Option<IpAddr>);

impl Place {
    pub(crate) fn of(peer: Option<IpAddr>) -> Self {
        Self(peer.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let s = address.segments();
                IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
            }
            v4 => v4,
        }))
    }
}

/// A name, as a keyed hash: the map holds no names.
pub(crate) type NameKey = [u8; 16];

/// Guesses at hand, as the time at which all are back (the "theoretical arrival time" of GCRA).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// How long the next guess waits.
    fn wait(self, now: Instant, interval: Duration, burst: u32) -> Duration {
        let ahead = self.full_at.saturating_duration_since(now);
        ahead.saturating_sub(interval * (burst - 1))
    }
}

/// What a guess took, to be given back when the password was right.
#[derive(Debug)]
pub(crate) struct Taken {
    place: Place,
    name: NameKey,
    of_address: bool,
}

/// All that is counted. Pure: the caller brings the time.
#[derive(Debug, Default)]
pub(crate) struct Penalties {
    addresses: HashMap<Place, Bucket>,
    pairs: HashMap<(Place, NameKey), Bucket>,
    known: HashMap<(Place, NameKey), Instant>,
}

impl Penalties {
    /// Takes a guess, and says how long it waits before the password may be looked at. `None`: longer
    /// than anybody should wait; nothing was taken.
    pub(crate) fn take(
        &mut self,
        place: Place,
        name: NameKey,
        now: Instant,
    ) -> Option<(Duration, Taken)> {
        self.shrink(now);
        let full = Bucket { full_at: now };
        let pair = self.pairs.get(&(place, name)).copied().unwrap_or(full);
        let address = self.addresses.get(&place).copied().unwrap_or(full);
        let known = self
            .known
            .get(&(place, name))
            .is_some_and(|until| *until > now);
        let mut wait = pair.wait(now, PAIR_INTERVAL, PAIR_BURST);
        if wait > PAIR_WAIT {
            return None;
        }
        if !known {
            let first = pair.full_at <= now;
            let turn = address.wait(now, ADDRESS_INTERVAL, ADDRESS_BURST);
            if turn > if first { FIRST_WAIT } else { ADDRESS_WAIT } {
                return None;
            }
            wait = wait.max(turn);
        }
        self.pairs
            .insert((place, name), later(pair, now, PAIR_INTERVAL));
        if !known {
            self.addresses
                .insert(place, later(address, now, ADDRESS_INTERVAL));
        }
        let taken = Taken {
            place,
            name,
            of_address: !known,
        };
        Some((wait, taken))
    }

    /// The password was right.
    pub(crate) fn give_back(&mut self, taken: &Taken, now: Instant) {
        let pair = (taken.place, taken.name);
        if let Some(bucket) = self.pairs.get_mut(&pair) {
            bucket.full_at = bucket.full_at.checked_sub(PAIR_INTERVAL).unwrap_or(now);
        }
        if taken.of_address
            && let Some(bucket) = self.addresses.get_mut(&taken.place)
        {
            bucket.full_at = bucket.full_at.checked_sub(ADDRESS_INTERVAL).unwrap_or(now);
        }
        self.known.insert(pair, now + KNOWN_PAIR);
    }

    fn shrink(&mut self, now: Instant) {
        shrink(&mut self.addresses, PENALTY_ENTRIES, |bucket| {
            bucket.full_at > now
        });
        shrink(&mut self.pairs, PENALTY_ENTRIES, |bucket| {
            bucket.full_at > now
        });
        shrink(&mut self.known, PENALTY_ENTRIES, |until| *until > now);
    }
}

fn later(bucket: Bucket, now: Instant, interval: Duration) -> Bucket {
    Bucket {
        full_at: bucket.full_at.max(now) + interval,
    }
}

/// Keeps a map below `most`: first what says nothing any more goes, and if nearly all still say
/// something, half of it: somebody floods, and waiting sessions are bounded elsewhere. An eighth is
/// free afterwards at least, so that a look at all entries comes once in many insertions.
pub(crate) fn shrink<K: Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    most: usize,
    counts: impl Fn(&V) -> bool,
) {
    if map.len() < most {
        return;
    }
    map.retain(|_, value| counts(value));
    if map.len() > most - most / 8 {
        let mut keep = false;
        map.retain(|_, _| {
            keep = !keep;
            keep
        });
    }
    map.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place(Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)));

    fn name(n: u32) -> NameKey {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&n.to_le_bytes());
        key
    }

    /// Guesses as fast as they are let, for ten seconds; how many were looked at.
    fn guesses(names: u32) -> usize {
        let mut penalties = Penalties::default();
        let start = Instant::now();
        let mut looked_at = 0;
        for millisecond in (0..10_000).step_by(5) {
            let now = start + Duration::from_millis(millisecond);
            let guess = penalties.take(HERE, name(millisecond as u32 % names), now);
            if let Some((wait, _)) = guess
                && now + wait <= start + Duration::from_secs(10)
            {
                looked_at += 1;
            }
        }
        looked_at
    }

    #[test]
    fn an_address_is_held_to_about_five_guesses_a_second() {
        assert!((18..=25).contains(&guesses(1)), "one name: {}", guesses(1));
        assert!(
            (40..=50).contains(&guesses(1000)),
            "many names: {}",
            guesses(1000)
        );
    }

    #[test]
    fn a_second_user_behind_the_same_address_gets_in() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        for _ in 0..500 {
            penalties.take(HERE, name(1), now);
            penalties.take(HERE, name(3), now);
        }
        let (wait, _) = penalties.take(HERE, name(2), now).expect("not refused");
        assert!(wait <= Duration::from_secs(2), "{wait:?}");
    }

    #[test]
    fn a_known_pair_does_not_wait_for_the_guesses_of_others() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        let (_, taken) = penalties.take(HERE, name(7), now).expect("first");
        penalties.give_back(&taken, now);
        for n in 100..400 {
            penalties.take(HERE, name(n), now);
        }
        assert_eq!(
            penalties.take(HERE, name(7), now).map(|(wait, _)| wait),
            Some(Duration::ZERO)
        );
        assert!(penalties.take(HERE, name(8), now).is_none());
    }

    #[test]
    fn good_logins_cost_nothing() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        for _ in 0..1000 {
            let (wait, taken) = penalties.take(HERE, name(1), now).expect("good logins");
            assert_eq!(wait, Duration::ZERO);
            penalties.give_back(&taken, now);
        }
    }

    #[test]
    fn one_network_of_ipv6_is_one_place_and_mapped_ipv4_is_ipv4() {
        let place = |text: &str| Place::of(Some(text.parse().expect("an address")));
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:1"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_eq!(place("::ffff:192.0.2.1"), place("192.0.2.1"));
    }

    #[test]
    fn a_full_map_is_not_looked_through_at_each_insertion() {
        let mut map: HashMap<usize, bool> = (0..800).map(|n| (n, n > 0)).collect();
        let looked_at = std::cell::Cell::new(0);
        for n in 800..8_000 {
            shrink(&mut map, 800, |counts| {
                looked_at.set(looked_at.get() + 1);
                *counts
            });
            map.insert(n, true);
        }
        assert!(map.len() >= 400 && map.len() <= 800, "{}", map.len());
        assert!(looked_at.get() <= 7_200 * 8, "{}", looked_at.get());
    }

    #[test]
    fn memory_is_bounded() {
        let mut penalties = Penalties::default();
        let now = Instant::now();
        for n in 0..200_000u32 {
            let peer = IpAddr::V4(n.to_be_bytes().into());
            penalties.take(Place::of(Some(peer)), name(n), now);
        }
        assert!(penalties.addresses.len() <= PENALTY_ENTRIES);
        assert!(penalties.pairs.len() <= PENALTY_ENTRIES);
    }
}
