//! Who works on a destination: backups and readers share it, pruning needs it alone.
//!
//! A lease is an object. Whoever wants one writes it first and looks for others then, so that of two
//! at least one sees the other: pruning gives way at once, a backup waits for pruning. A lease that is
//! not renewed is stale; one whose process has ended on this machine is too.

use std::fs;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::destination::Destination;
use crate::error::{BackupError, Result};
use crate::limits::{LEASE_PATIENCE, LEASE_RENEW, LEASE_STALE, READING_PATIENCE};
use crate::repository::{is_random, random_hex};

const FOLDER: &str = "leases/";

/// What for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Reading,
    Writing,
    Pruning,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::Pruning => "pruning",
        }
    }

    /// What a lease of that name is for; `None` for another program's file.
    fn of(name: &str) -> Option<Self> {
        let (word, random) = name.strip_prefix(FOLDER)?.split_once('-')?;
        let all = [Self::Reading, Self::Writing, Self::Pruning];
        all.into_iter()
            .find(|purpose| purpose.word() == word && is_random(random))
    }
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// The boot of a machine, and the name space of its process ids.
    machine: String,
    process: u32,
    /// In the system's ticks since it was booted: ids of processes are used again.
    started: u64,
}

fn started(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything; 22 is counted from the first field.
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(19)?.parse().ok()
}

impl Holder {
    /// This process; nothing that tells where there is no /proc, and then leases end by time alone.
    fn me() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let process = std::process::id();
        Self {
            machine: format!("{} {}", boot.trim(), space.display()),
            process,
            started: started(process).unwrap_or(0),
        }
    }

    /// Whether that process lives, if it can be told from here.
    fn is_alive(&self, me: &Self) -> Option<bool> {
        let here = me.started > 0 && self.machine == me.machine;
        here.then(|| started(self.process) == Some(self.started))
    }
}

/// A lease that is held; given back when it is dropped.
pub(crate) struct Lease {
    destination: Arc<dyn Destination>,
    name: String,
    stop: Option<mpsc::Sender<()>>,
    renewing: Option<JoinHandle<()>>,
}

impl Lease {
    /// For who only reads, so that pruning leaves it what it has begun with. Where nothing can be written
    /// nobody prunes either.
    pub(crate) fn reading(destination: &Arc<dyn Destination>) -> Option<Self> {
        Self::take(destination, Purpose::Reading).ok().flatten()
    }

    /// Takes a lease. `None` for pruning when somebody else is there, and for reading while somebody
    /// prunes for long.
    pub(crate) fn take(
        destination: &Arc<dyn Destination>,
        purpose: Purpose,
    ) -> Result<Option<Self>> {
        let me = Holder::me();
        let name = format!("{FOLDER}{}-{}", purpose.word(), random_hex());
        let text = serde_json::to_vec(&me)
            .map_err(|e| BackupError::Io(format!("a lease cannot be written: {e}")))?;
        destination.put(&name, &text)?;
        destination.sync()?;
        let mut lease = Self {
            destination: Arc::clone(destination),
            name: name.clone(),
            stop: None,
            renewing: None,
        };
        let since = Instant::now();
        while lease.others(&me, purpose)? {
            if purpose == Purpose::Pruning {
                return Ok(None);
            }
            if purpose == Purpose::Reading && since.elapsed() > READING_PATIENCE {
                return Ok(None);
            }
            if since.elapsed() > LEASE_PATIENCE {
                return Err(BackupError::Busy(
                    "another program prunes this destination: try again later".into(),
                ));
            }
            thread::sleep(std::time::Duration::from_millis(500));
        }
        let (stop, stopped) = mpsc::channel();
        let to = Arc::clone(destination);
        let renewing = thread::Builder::new()
            .name("backup-lease".into())
            .spawn(move || {
                while stopped.recv_timeout(LEASE_RENEW) == Err(mpsc::RecvTimeoutError::Timeout) {
                    // If it cannot be renewed for long, what is written is looked for at the end.
                    let _ = to.put(&name, &text);
                }
            })
            .map_err(crate::error::io("a thread cannot start"))?;
        lease.stop = Some(stop);
        lease.renewing = Some(renewing);
        Ok(Some(lease))
    }

    /// Whether somebody holds a lease that does not go with this one; removes stale ones.
    fn others(&self, me: &Holder, purpose: Purpose) -> Result<bool> {
        let all = self.destination.list(FOLDER)?;
        let mine = all.iter().find(|item| item.name == self.name);
        let now = mine.map_or(0, |item| item.modified_ms);
        let mut conflict = false;
        for item in all.iter().filter(|item| item.name != self.name) {
            let Some(theirs) = Purpose::of(&item.name) else {
                continue;
            };
            if theirs != Purpose::Pruning && purpose != Purpose::Pruning {
                continue;
            }
            let old = now.saturating_sub(item.modified_ms) > LEASE_STALE.as_millis() as u64;
            let text = self.destination.get(&item.name, 4096)?;
            let Some(text) = text else { continue };
            let holder: Option<Holder> = serde_json::from_slice(&text).ok();
            // A clock that is set anew makes nobody's lease old who is here.
            let alive = holder.and_then(|holder| holder.is_alive(me));
            if !alive.unwrap_or(!old) {
                self.destination.delete(&item.name)?;
                continue;
            }
            conflict = true;
        }
        Ok(conflict)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(renewing) = self.renewing.take() {
            let _ = renewing.join();
        }
        // One that stays is stale as soon as this process has ended.
        let _ = self.destination.delete(&self.name);
    }
}
