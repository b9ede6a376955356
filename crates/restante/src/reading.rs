//! The reader, put together: its pages, its listeners' options, and what stands behind its stage.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use restante_access::http::{Hosts, Http, Options};
use restante_access::reader::{
    AccountStatus, Backstage, BackupTimes, Options as ReaderOptions, Reader,
};
use restante_archive::Archive;
use restante_backup::PlaceStatus;
use restante_directory::Directory;
use restante_intake::fetch::{Progress, RunOptions, State, Summary, World};
use restante_net::Tls;
use restante_store::MailStore;
use tracing::warn;

use crate::backups::SharedBackup;
use crate::commands::status::is_silent;
use crate::config::account::{SecretFrom, Target};
use crate::config::{Account, Backup, Config};
use crate::failure::Failure;
use crate::{accounts, backups, units};

/// Makes the reader of a data folder. Accounts are those that `config` has now.
pub(crate) fn reader(
    config: &Config,
    archive: Arc<Archive>,
    store: &Arc<dyn MailStore>,
    directory: &Arc<Directory>,
    told: SharedBackup,
) -> Result<Arc<Reader>, Failure> {
    let state = Arc::new(State::open(&config.data().join("state.db"))?);
    let stage = Stage {
        accounts: config.accounts().to_vec(),
        data: config.data().to_owned(),
        stale_after_ms: config.stale_after_ms(),
        told,
        world: World::new(Some(Arc::clone(store)), Arc::clone(&state)),
        state,
        running: Arc::default(),
        runtime: tokio::runtime::Handle::current(),
    };
    let options = ReaderOptions {
        unsubscribe_ca: config.reading().unsubscribe_ca.clone(),
        danger_unsubscribe_private: config.reading().danger_unsubscribe_private,
    };
    let reader = Reader::new(
        archive,
        Arc::clone(store),
        Arc::clone(directory),
        Arc::new(stage),
        options,
    );
    Ok(Arc::new(reader.map_err(Failure::io("no random octets"))?))
}

/// The reader as what a listener serves.
pub(crate) fn http(config: &Config, reader: &Arc<Reader>, tls: Option<Arc<Tls>>) -> Arc<Http> {
    let options = Options {
        tls,
        hosts: Hosts::new(&config.reading().hosts),
        ..Options::default()
    };
    Arc::new(Http::new(Arc::clone(reader).router(), options))
}

/// What the reader shows of fetching, and asks of it.
struct Stage {
    accounts: Vec<Account>,
    data: std::path::PathBuf,
    stale_after_ms: u64,
    /// Where backups go, if the configuration says so, and how old the last may be.
    told: SharedBackup,
    world: World,
    state: Arc<State>,
    /// What fetches that the reader has started have done so far, by account.
    running: Arc<Mutex<HashMap<String, String>>>,
    runtime: tokio::runtime::Handle,
}

impl Stage {
    fn of<'s>(&'s self, user: &'s str) -> impl Iterator<Item = &'s Account> {
        self.accounts
            .iter()
            .filter(move |account| matches!(&account.target, Target::Mailbox(into) if into == user))
    }
}

impl Stage {
    fn told(&self) -> Backup {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    /// What is known of destinations.
    fn places(&self) -> Vec<PlaceStatus> {
        let read = || match restante_backup::State::look(&self.data)? {
            Some(state) => state.places(),
            None => Ok(Vec::new()),
        };
        read().unwrap_or_else(|error| {
            warn!(%error, "what is known of backups cannot be read");
            Vec::new()
        })
    }
}

impl Backstage for Stage {
    fn accounts(&self, user: &str) -> Vec<AccountStatus> {
        let known = self.state.accounts().unwrap_or_else(|error| {
            warn!(%error, "the accounts' state cannot be read");
            Vec::new()
        });
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        self.of(user)
            .map(|account| {
                let known = known.iter().find(|known| known.account == account.name);
                let error = known.and_then(|known| known.last_error.as_ref());
                let result = match (error, known.and_then(|known| known.last_success_ms)) {
                    (Some((_, error)), _) => error.clone(),
                    (None, Some(_)) => {
                        let stored = known.map_or(0, |known| known.stored);
                        format!("fine; {} so far", units::count(stored, "message"))
                    }
                    (None, None) => known.filter(|known| known.stored > 0).map_or(
                        "not fetched yet".to_owned(),
                        |known| {
                            let stored = units::count(known.stored, "message");
                            format!("not all yet; {stored} so far")
                        },
                    ),
                };
                AccountStatus {
                    name: account.name.clone(),
                    last_success_ms: known.and_then(|known| known.last_success_ms),
                    next_ms: known.and_then(|known| known.next_run_ms),
                    result,
                    failed: error.is_some(),
                    running: running.get(&account.name).cloned(),
                }
            })
            .collect()
    }

    fn fetch(&self, user: &str, name: &str) -> Result<(), String> {
        let account = self.of(user).find(|account| account.name == name);
        let account = account.ok_or("There is no such account.")?.clone();
        if matches!(account.secret, SecretFrom::Prompt) {
            return Err(format!(
                "The password of {name} is asked for on a terminal: run `restante fetch {name}` there."
            ));
        }
        let ready = accounts::ready(&account, &self.data).map_err(|error| error.to_string())?;
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.contains_key(name) {
                return Ok(());
            }
            running.insert(name.to_owned(), "connecting".to_owned());
        }
        let (world, running) = (self.world.clone(), Arc::clone(&self.running));
        let name = name.to_owned();
        self.runtime.spawn(async move {
            let told = Arc::clone(&running);
            let (mut messages, mut stored) = (0, 0);
            let mut progress = |happened: Progress<'_>| {
                match happened {
                    Progress::Planned { messages: all, .. } => messages = all,
                    Progress::Stored { .. } => stored += 1,
                    _ => return,
                }
                let mut running = told.lock().unwrap_or_else(PoisonError::into_inner);
                running.insert(name.clone(), format!("{stored} of {messages} messages"));
            };
            let on_failure = account.on_failure.as_deref();
            let options = RunOptions::default();
            let done: Result<Summary, _> =
                accounts::fetch(&ready, on_failure, &world, &options, &mut progress).await;
            if let Err(error) = done {
                warn!(account = account.name, %error, "fetching failed");
            }
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            running.remove(&account.name);
        });
        Ok(())
    }

    fn warnings(&self, user: &str) -> Vec<String> {
        let known = self.state.accounts().unwrap_or_default();
        let now = units::now_ms();
        let silent = self.of(user).filter_map(|account| {
            let known = known.iter().find(|known| known.account == account.name)?;
            is_silent(account, known, self.stale_after_ms, now).then(|| {
                let last = known.last_success_ms.map_or_else(
                    || "it has never worked".to_owned(),
                    |at| format!("the last mail from it came in on {}", units::show_time(at)),
                );
                format!("{} has been silent for too long: {last}.", account.name)
            })
        });
        let mut warnings: Vec<String> = silent.collect();
        let told = self.told();
        let known = self.places();
        let known = backups::watched(&told, &known);
        warnings.extend(backups::wrong(&told, known, now));
        warnings
    }

    fn backups(&self) -> BackupTimes {
        let told = self.told();
        let known = self.places();
        let counts = |at: &&PlaceStatus| told.to.as_ref().is_none_or(|to| *to == at.place);
        let newest = |time: fn(&PlaceStatus) -> Option<u64>| {
            known.iter().filter(counts).filter_map(time).max()
        };
        BackupTimes {
            good_ms: newest(|at| at.backup_ms),
            drill_ms: newest(|at| at.drill_ms),
        }
    }
}
