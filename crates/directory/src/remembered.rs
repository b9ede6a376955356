//! Logins that were checked a moment ago: hashing dominates polling otherwise.
//!
//! A key is a BLAKE3 over name, password and stored hash, keyed anew in each process: the memory holds
//! nothing that a password could be found from without hashing again, and a changed password has
//! another key, whichever process changed it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use restante_proto::Secret;

use crate::limits::{VERIFIED_ENTRIES, WRONG_ENTRIES, WRONG_SECONDS};
use crate::penalty::{NameKey, shrink};

/// Name, password and stored hash.
pub(crate) type LoginKey = [u8; 32];

#[derive(Debug)]
pub(crate) struct Remembered {
    process_key: [u8; 32],
    good: Mutex<HashMap<LoginKey, Instant>>,
    wrong: Mutex<HashMap<LoginKey, Instant>>,
    good_for: Duration,
}

impl Remembered {
    pub(crate) fn new(good_seconds: u64) -> Self {
        let mut process_key = [0; 32];
        getrandom::fill(&mut process_key).expect("the system gives random numbers");
        Self {
            process_key,
            good: Mutex::default(),
            wrong: Mutex::default(),
            good_for: Duration::from_secs(good_seconds),
        }
    }

    pub(crate) fn key(&self, name: &str, password: &Secret, hash: &str) -> LoginKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.process_key);
        for part in [name.as_bytes(), password.expose(), hash.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    pub(crate) fn name_key(&self, name: &str) -> NameKey {
        let hash = blake3::keyed_hash(&self.process_key, name.as_bytes());
        let mut key = NameKey::default();
        key.copy_from_slice(&hash.as_bytes()[..16]);
        key
    }

    /// Whether the password was found right or wrong a moment ago.
    pub(crate) fn find(&self, key: &LoginKey, now: Instant) -> Option<bool> {
        let holds = |map: &Mutex<HashMap<LoginKey, Instant>>| {
            let map = map.lock().unwrap_or_else(PoisonError::into_inner);
            map.get(key).is_some_and(|until| *until > now)
        };
        if holds(&self.good) {
            return Some(true);
        }
        holds(&self.wrong).then_some(false)
    }

    pub(crate) fn remember(&self, key: LoginKey, right: bool, now: Instant) {
        let (map, most, held) = if right {
            (&self.good, VERIFIED_ENTRIES, self.good_for)
        } else {
            (
                &self.wrong,
                WRONG_ENTRIES,
                Duration::from_secs(WRONG_SECONDS),
            )
        };
        let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
        shrink(&mut map, most, |until| *until > now);
        map.insert(key, now + held);
    }

    pub(crate) fn forget(&self) {
        for map in [&self.good, &self.wrong] {
            map.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
