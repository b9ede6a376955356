//! A bucket of S3, or of what speaks its protocol. One PUT is one object, whole or not there.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};
use tokio::runtime::Runtime;

use super::{Destination, Item, aws};
use crate::error::{BackupError, Result};
use crate::limits::{
    NETWORK_PATIENCE, NETWORK_SLOWEST, NETWORK_TIMEOUT, OBJECT_OCTETS, SMALL_OCTETS,
};

pub(super) struct S3 {
    /// Its own: a backup runs on threads that may wait.
    runtime: Runtime,
    store: Box<dyn ObjectStore>,
    /// To the letter as it was typed.
    prefix: Path,
    place: String,
    /// How long nothing may be heard.
    patience: Duration,
    /// An upload has taken all its time: from then on they go one by one.
    slow: AtomicBool,
    line: Mutex<()>,
}

/// Why a request came to nothing.
enum Trouble {
    Late(Duration),
    Store(Error),
}

/// Waits for so long, and no longer.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = object_store::Result<T>>,
) -> std::result::Result<T, Trouble> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Trouble::Store),
        Err(_) => Err(Trouble::Late(limit)),
    }
}

impl S3 {
    pub(super) fn open(place: &str) -> Result<Self> {
        let usage =
            || BackupError::Usage(format!("{place} is not s3://bucket or s3://bucket/prefix"));
        let rest = place.strip_prefix("s3://").ok_or_else(usage)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains('@') {
            return Err(usage());
        }
        let store = builder(bucket)
            .build()
            .map_err(|e| BackupError::Usage(format!("{place}: {e}")))?;
        Self::with(Box::new(store), prefix, place)
    }

    fn with(store: Box<dyn ObjectStore>, prefix: &str, place: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("backup-network")
            .enable_all()
            .build()
            .map_err(crate::error::io("cannot start"))?;
        let prefix =
            Path::parse(prefix).map_err(|e| BackupError::Usage(format!("{place}: {e}")))?;
        Ok(Self {
            runtime,
            store,
            prefix,
            place: place.to_owned(),
            patience: NETWORK_PATIENCE,
            slow: AtomicBool::new(false),
            line: Mutex::new(()),
        })
    }

    /// Sends an object. How far it has come nobody can tell, so it has the time that a slow line needs;
    /// `alone`: with no other upload of ours beside it.
    fn upload(&self, name: &str, bytes: &[u8], alone: bool) -> std::result::Result<(), Trouble> {
        let _line = alone.then(|| self.line.lock().unwrap_or_else(PoisonError::into_inner));
        let octets = bytes.len() as u64;
        let limit = self.patience + Duration::from_secs(octets / NETWORK_SLOWEST);
        let (path, payload) = (self.path(name), PutPayload::from(bytes.to_vec()));
        let put = within(limit, self.store.put(&path, payload));
        self.runtime.block_on(put).map(drop)
    }

    fn path(&self, name: &str) -> Path {
        let parts = name.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// What a path is called here; `None` for one that is not under the prefix.
    fn name(&self, path: &Path) -> Option<String> {
        let parts = path.prefix_match(&self.prefix)?;
        Some(Path::from_iter(parts).into())
    }

    fn failed(&self, what: &str, trouble: &Trouble) -> BackupError {
        let place = &self.place;
        let error = match trouble {
            Trouble::Store(error) => error,
            Trouble::Late(limit) => {
                let limit = limit.as_secs();
                return BackupError::Unavailable(format!(
                    "{what} at {place}: nothing was heard for {limit} s; is the network there?"
                ));
            }
        };
        let hint = match error {
            Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => {
                "; see that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile, may read, write and delete there"
            }
            Error::NotFound { .. } => "; does the bucket exist?",
            _ => "",
        };
        BackupError::Unavailable(format!("{what} at {place}: {error}{hint}"))
    }
}

/// The environment first, then the profile's files, then what the AWS tools find out themselves.
fn builder(bucket: &str) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let profile = aws::profile();
    let unset = |name: &str| env::var_os(name).is_none();
    if unset("AWS_ACCESS_KEY_ID")
        && let (Some(id), Some(key)) = (
            profile.get("aws_access_key_id"),
            profile.get("aws_secret_access_key"),
        )
    {
        builder = builder.with_access_key_id(id).with_secret_access_key(key);
        if let Some(token) = profile.get("aws_session_token") {
            builder = builder.with_token(token);
        }
    }
    if unset("AWS_REGION")
        && unset("AWS_DEFAULT_REGION")
        && let Some(region) = profile.get("region")
    {
        builder = builder.with_region(region);
    }
    let variable = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .into_iter()
        .find_map(|name| env::var(name).ok());
    let endpoint = variable.or_else(|| profile.get("endpoint_url").cloned());
    // Without TLS only where it was asked for by name.
    let plain = endpoint
        .as_ref()
        .is_some_and(|at| at.starts_with("http://"));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let client = ClientOptions::new()
        .with_allow_http(plain)
        .with_connect_timeout(NETWORK_TIMEOUT)
        // A large object over a slow line takes its time: what waits for it says how long.
        .with_timeout_disabled();
    builder.with_client_options(client).with_retry(RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 8,
        retry_timeout: NETWORK_PATIENCE * 10,
    })
}

impl Destination for S3 {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let slow = self.slow.load(Ordering::Relaxed);
        let large = bytes.len() > SMALL_OCTETS;
        let done = match self.upload(name, bytes, slow && large) {
            // Several shared the line: once more, alone on it.
            Err(Trouble::Late(_)) if large && !slow => {
                self.slow.store(true, Ordering::Relaxed);
                self.upload(name, bytes, true)
            }
            done => done,
        };
        done.map_err(|e| self.failed(&format!("cannot write {name}"), &e))
    }

    fn keep(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // A PUT that was answered is durable.
        Ok(())
    }

    fn get(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let read = async {
            let got = within(self.patience, self.store.get(&path)).await?;
            if got.meta.size > most {
                return Ok(None);
            }
            let mut bytes = Vec::with_capacity(got.meta.size.min(OBJECT_OCTETS) as usize);
            let mut stream = got.into_stream();
            while let Some(part) = within(self.patience, stream.try_next()).await? {
                bytes.extend_from_slice(&part);
            }
            Ok(Some(bytes))
        };
        match self.runtime.block_on(read) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(BackupError::Damage(format!("{name} is too large"))),
            Err(Trouble::Store(Error::NotFound { .. })) => Ok(None),
            Err(e) => Err(self.failed(&format!("cannot read {name}"), &e)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Item>> {
        let under = self.path(prefix);
        let read = async {
            let mut stream = self.store.list(Some(&under));
            let mut found = Vec::new();
            while let Some(object) = within(self.patience, stream.try_next()).await? {
                let Some(name) = self.name(&object.location) else {
                    continue;
                };
                found.push(Item {
                    name,
                    octets: object.size,
                    modified_ms: object.last_modified.timestamp_millis().max(0) as u64,
                });
            }
            Ok(found)
        };
        let listed = self.runtime.block_on(read);
        listed.map_err(|e: Trouble| self.failed("cannot list", &e))
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        let delete = within(self.patience, self.store.delete(&path));
        match self.runtime.block_on(delete) {
            Ok(()) | Err(Trouble::Store(Error::NotFound { .. })) => Ok(()),
            Err(e) => Err(self.failed(&format!("cannot remove {name}"), &e)),
        }
    }

    fn tidy(&self) -> Result<()> {
        // What was not put whole is not there.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;

    /// A minute was all that a request had, its octets included: over a slow line no piece ever arrived.
    #[test]
    fn what_is_sent_has_the_time_that_its_octets_need() {
        let wait_put_per_call = Duration::from_millis(300);
        let slow = ThrottleConfig {
            wait_put_per_call,
            ..ThrottleConfig::default()
        };
        let store = ThrottledStore::new(InMemory::new(), slow);
        let mut at = S3::with(Box::new(store), "mail", "s3://x").unwrap();
        at.patience = Duration::from_millis(30);
        let late = |done| matches!(done, Err(BackupError::Unavailable(_)));
        assert!(late(at.put("a", &[0; 9])));
        // It says nothing of the line.
        assert!(!at.slow.load(Ordering::Relaxed));
        let octets = vec![7; NETWORK_SLOWEST as usize * 5];
        at.put("b", &octets).unwrap();
        assert_eq!(at.get("b", OBJECT_OCTETS).unwrap(), Some(octets));
    }

    /// A prefix was encoded in names and not where listings were cut: a backup ended well, and no
    /// generation of it was found.
    #[test]
    fn what_is_put_under_any_prefix_is_listed_by_its_name() {
        for prefix in ["", "mail", "a b~\u{fc}", "50%/#1/[x]{y}", "*?|^`", "a%7Eb"] {
            let at = S3::with(Box::new(InMemory::new()), prefix, "s3://x").unwrap();
            for name in [
                "objects/ab/abcd",
                "generations/1-2-3",
                "restante-backup.json",
            ] {
                at.put(name, b"x").unwrap();
                assert_eq!(at.get(name, 9).unwrap().as_deref(), Some(&b"x"[..]));
            }
            let listed = |folder| -> Vec<String> {
                let items = at.list(folder).unwrap().into_iter();
                items.map(|item| item.name).collect()
            };
            assert_eq!(listed("objects/"), ["objects/ab/abcd"], "{prefix}");
            assert_eq!(listed("generations/"), ["generations/1-2-3"], "{prefix}");
            at.delete("objects/ab/abcd").unwrap();
            assert!(listed("objects/").is_empty(), "{prefix}");
        }
        let no = S3::with(Box::new(InMemory::new()), "a/../b", "s3://x");
        assert!(matches!(no, Err(BackupError::Usage(_))));
    }
}
