//! What holds for each mailbox: the configuration wins, then what `user set` has kept, then the default;
//! and bringing the store in line with it, which `serve` does every hour.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use restante_directory::{Directory, DirectoryError};
use restante_store::{MailStore, MailboxInfo, Release, StoreError, Tended, Tending};
use tracing::{info, warn};

use crate::config::Config;
use crate::config::account::Target;
use crate::config::mailbox::{self, Mailbox, Term};
use crate::units;

/// How long a device may be unseen before it holds nothing back, unless somebody says otherwise.
const EXPIRY: Term = Term::Ms(90 * units::DAY_MS);

/// Names under which `user set` keeps what it sets.
pub(crate) mod key {
    pub(crate) const RELEASE: &str = "release";
    pub(crate) const MAX_AGE: &str = "max_age";
    pub(crate) const DEVICE_EXPIRY: &str = "device_expiry";
    pub(crate) const RECENT: &str = "recent";
}

/// What the configuration says of mailboxes.
#[derive(Debug, Default)]
struct Rules {
    mailboxes: Vec<Mailbox>,
    /// Mailboxes that an account fetches into.
    fetched: Vec<String>,
}

/// What holds for one mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// `None`: as the store has it without being told.
    pub(crate) release: Option<Release>,
    pub(crate) max_age: Term,
    pub(crate) device_expiry: Term,
    pub(crate) recent_ms: u64,
}

/// What holds for all mailboxes, from the configuration as it was last read.
#[derive(Debug)]
pub(crate) struct Policies {
    rules: RwLock<Arc<Rules>>,
    directory: Arc<Directory>,
}

fn rules(config: &Config) -> Rules {
    let into = config.accounts().iter().map(|account| &account.target);
    Rules {
        mailboxes: config.mailboxes().to_vec(),
        fetched: into
            .filter_map(|target| match target {
                Target::Mailbox(name) => Some(name.clone()),
                Target::Destination(_) => None,
            })
            .collect(),
    }
}

impl Policies {
    pub(crate) fn new(config: &Config, directory: Arc<Directory>) -> Self {
        Self {
            rules: RwLock::new(Arc::new(rules(config))),
            directory,
        }
    }

    /// Goes by another configuration from now on.
    pub(crate) fn replace(&self, config: &Config) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules(config));
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What holds for the mailbox of that name.
    pub(crate) fn of(&self, name: &str) -> Result<Policy, DirectoryError> {
        let rules = self.rules();
        let kept = self.directory.settings(name)?;
        let none = Mailbox::default();
        let said = rules.mailboxes.iter().find(|m| m.name == name);
        let said = said.unwrap_or(&none);
        let kept = |key: &str| kept_text(&kept, key);
        let term = |said: Option<Term>, key: &str, default: Term| {
            said.or_else(|| mailbox::term(kept(key)?))
                .unwrap_or(default)
        };
        let fetched = rules.fetched.iter().any(|into| into == name);
        Ok(Policy {
            release: said
                .release
                .or_else(|| mailbox::release(kept(key::RELEASE)?))
                .or(fetched.then_some(Release::Never)),
            max_age: term(said.max_age, key::MAX_AGE, Term::Never),
            device_expiry: term(said.device_expiry, key::DEVICE_EXPIRY, EXPIRY),
            recent_ms: said
                .recent_ms
                .or_else(|| mailbox::recent(kept(key::RECENT)?))
                .unwrap_or(restante_access::limits::RECENT_MS),
        })
    }

    /// How far `recent:NAME` goes back, in milliseconds.
    pub(crate) fn recent_ms(&self, name: &str) -> u64 {
        match self.of(name) {
            Ok(policy) => policy.recent_ms,
            Err(error) => {
                warn!(user = name, %error, "cannot find out what is recent");
                restante_access::limits::RECENT_MS
            }
        }
    }

    /// Brings a mailbox in line with what holds for it.
    pub(crate) async fn settle(
        &self,
        store: &dyn MailStore,
        found: &MailboxInfo,
    ) -> Result<Policy, StoreError> {
        let policy = self.of(&found.name);
        let policy = policy.map_err(|error| StoreError::Temporary(error.to_string()))?;
        let now = found.release_is_set.then_some(found.release);
        // Mail was once fetched into it: that stays, as its only copy is here, until somebody says so.
        let left = policy.release.is_none() && now == Some(Release::Never);
        if policy.release != now && !left {
            store.set_release(found.id, policy.release).await?;
        }
        Ok(policy)
    }

    async fn tend_one(
        &self,
        store: &dyn MailStore,
        found: &MailboxInfo,
    ) -> Result<Tended, StoreError> {
        let policy = self.settle(store, found).await?;
        let due = Tending {
            max_age_ms: policy.max_age.ms(),
            view_expiry_ms: policy.device_expiry.ms(),
        };
        store.tend(found.id, due, units::now_ms()).await
    }

    /// Does for all mailboxes what is due by time.
    pub(crate) async fn tend(&self, store: &dyn MailStore) {
        let all = match store.mailboxes().await {
            Ok(all) => all,
            Err(error) => {
                warn!(%error, "cannot look after the mailboxes");
                return;
            }
        };
        for found in all {
            let mailbox = found.name.as_str();
            match self.tend_one(store, &found).await {
                Ok(done) if done == Tended::default() => {}
                Ok(done) => info!(
                    mailbox,
                    lapsed = done.lapsed.len(),
                    released = done.released,
                    aged = done.aged,
                    "looked after a mailbox"
                ),
                Err(error) => warn!(mailbox, %error, "cannot look after a mailbox"),
            }
        }
    }
}

fn kept_text<'a>(kept: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    kept.get(key).map(String::as_str)
}
