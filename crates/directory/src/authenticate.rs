//! From a claim to a verdict: remembered, or waited for and hashed on a bounded pool.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use restante_proto::Secret;
use tokio::sync::{Semaphore, watch};

use crate::limits::AUTHENTICATE;
use crate::penalty::{Penalties, Place};
use crate::remembered::{LoginKey, Remembered};
use crate::{AuthError, hashes};

type Verdict = Result<(), AuthError>;
/// Checks that are under way, by what they check: who claims the same waits for the one verdict.
type UnderWay = Mutex<HashMap<LoginKey, watch::Receiver<Option<Verdict>>>>;

#[derive(Debug)]
pub(crate) struct Authenticator {
    workers: Arc<Semaphore>,
    remembered: Remembered,
    penalties: Mutex<Penalties>,
    under_way: UnderWay,
}

/// Ends a check's entry in [`UnderWay`], however the check ends: dropped with its session, too.
struct Leader<'a> {
    under_way: &'a UnderWay,
    key: LoginKey,
    verdict: watch::Sender<Option<Verdict>>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.key);
    }
}

impl Authenticator {
    pub(crate) fn new(workers: usize, cache_seconds: u64) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if workers == 0 { cores() } else { workers };
        Self {
            workers: Arc::new(Semaphore::new(workers)),
            remembered: Remembered::new(cache_seconds),
            penalties: Mutex::default(),
            under_way: Mutex::default(),
        }
    }

    /// A number that is always the same for a name in this process, and that nobody can choose.
    pub(crate) fn number(&self, name: &str) -> usize {
        let [a, b, c, d, ..] = self.remembered.name_key(name);
        u32::from_le_bytes([a, b, c, d]) as usize
    }

    pub(crate) fn forget(&self) {
        self.remembered.forget();
    }

    /// Whether the password fits the hash; nobody waits longer than [`AUTHENTICATE`] for that.
    pub(crate) async fn check(
        &self,
        name: &str,
        password: &Secret,
        hash: Arc<str>,
        peer: Option<IpAddr>,
    ) -> Verdict {
        let checked = self.check_unbounded(name, password, hash, peer);
        tokio::time::timeout(AUTHENTICATE, checked)
            .await
            .unwrap_or_else(|_| {
                let reason = "too many passwords are being checked";
                Err(AuthError::Temporary(reason.to_owned()))
            })
    }

    async fn check_unbounded(
        &self,
        name: &str,
        password: &Secret,
        hash: Arc<str>,
        peer: Option<IpAddr>,
    ) -> Verdict {
        if !hashes::is_tryable(password) {
            return Err(AuthError::Refused);
        }
        let key = self.remembered.key(name, password, &hash);
        loop {
            if let Some(right) = self.remembered.find(&key, Instant::now()) {
                return if right {
                    Ok(())
                } else {
                    Err(AuthError::Refused)
                };
            }
            match self.join(key) {
                Ok(leader) => {
                    let verdict = self.verify(name, password, hash, peer, key).await;
                    leader.verdict.send_replace(Some(verdict.clone()));
                    return verdict;
                }
                Err(mut follower) => {
                    // An error: the leader's session is gone without a verdict. Look again.
                    if let Ok(verdict) = follower.wait_for(Option::is_some).await
                        && let Some(verdict) = verdict.clone()
                    {
                        return verdict;
                    }
                }
            }
        }
    }

    fn join(&self, key: LoginKey) -> Result<Leader<'_>, watch::Receiver<Option<Verdict>>> {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = under_way.get(&key) {
            return Err(running.clone());
        }
        let (verdict, running) = watch::channel(None);
        under_way.insert(key, running);
        drop(under_way);
        Ok(Leader {
            under_way: &self.under_way,
            key,
            verdict,
        })
    }

    async fn verify(
        &self,
        name: &str,
        password: &Secret,
        hash: Arc<str>,
        peer: Option<IpAddr>,
        key: LoginKey,
    ) -> Verdict {
        let name = self.remembered.name_key(name);
        let taken = self.lock().take(Place::of(peer), name, Instant::now());
        let Some((wait, taken)) = taken else {
            return Err(AuthError::Throttled);
        };
        // Waiting holds no worker.
        tokio::time::sleep(wait).await;
        let temporary = |error: &dyn std::fmt::Display| AuthError::Temporary(error.to_string());
        let permit = Arc::clone(&self.workers).acquire_owned().await;
        let permit = permit.map_err(|error| temporary(&error))?;
        let password = password.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let right = hashes::verify(&password, &hash);
            drop(permit);
            right
        });
        let right = hashed.await.map_err(|error| temporary(&error))?;
        let now = Instant::now();
        self.remembered.remember(key, right, now);
        if right {
            self.lock().give_back(&taken, now);
            Ok(())
        } else {
            Err(AuthError::Refused)
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Penalties> {
        self.penalties
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_worker_for_ever() {
        let authenticator = Authenticator::new(1, 0);
        let workers = Arc::clone(&authenticator.workers);
        let _busy = workers.acquire_owned().await.expect("it is not closed");
        let started = tokio::time::Instant::now();
        let verdict = authenticator
            .check("ann", &Secret::from("x"), hashes::stand_in(), None)
            .await;
        assert!(
            matches!(verdict, Err(AuthError::Temporary(_))),
            "{verdict:?}"
        );
        assert!(started.elapsed() <= AUTHENTICATE * 2);
        assert!(
            authenticator
                .under_way
                .lock()
                .expect("not poisoned")
                .is_empty()
        );
    }
}
