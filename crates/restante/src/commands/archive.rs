//! What the commands on messages share: the archive, opened and brought up to the mail.

use std::ops::ControlFlow;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use restante_archive::{Archive, ArchiveError, Options, Scope};
use restante_store::{MailStore, MailboxInfo, UniqueId};

use super::{find_mailbox, open_existing_store, wait};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output, printable};

/// Opens what is known of the mail, beside the store.
pub(crate) fn open(config: &Config, store: Arc<dyn MailStore>) -> Result<Archive, Failure> {
    Ok(opener(config, store)()?)
}

/// Opens it whenever it is called: for who tries again.
pub(crate) fn opener(
    config: &Config,
    store: Arc<dyn MailStore>,
) -> impl Fn() -> Result<Archive, ArchiveError> + Send + Sync + 'static {
    let data = config.data().to_owned();
    let options = Options {
        always: config.indexed(true),
        never: config.indexed(false),
    };
    move || {
        let state = restante_directory::open_state(&data.join("state.db"))
            .map_err(|error| ArchiveError::Database(error.to_string()))?;
        Archive::open(&data, state, Arc::clone(&store), options.clone())
    }
}

/// The store and the archive, for a command that has nothing to do where there is no mail.
pub(super) struct Opened {
    pub(super) store: Arc<dyn MailStore>,
    pub(super) archive: Archive,
}

impl Opened {
    /// As they stand: the index may be behind.
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let store: Arc<dyn MailStore> = open_existing_store(config)?;
        let archive = open(config, Arc::clone(&store))?;
        Ok(Self { store, archive })
    }

    /// Brings the index up to the mail, and says how far it is.
    pub(super) fn catch_up(&self, out: &Output) -> Result<(), Failure> {
        let bar = if out.json() || !output::on_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        if let Ok(style) = ProgressStyle::with_template("indexing {wide_bar} {pos} of {len}") {
            bar.set_style(style);
        }
        self.archive.catch_up(&mut |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.indexed);
            ControlFlow::Continue(())
        })?;
        bar.finish_and_clear();
        Ok(())
    }

    /// What a command looks at: one mailbox, which is then indexed, or all that are indexed. The only
    /// mailbox there is need not be named.
    pub(super) fn scope(&self, mailbox: Option<&str>) -> Result<Scope, Failure> {
        let chosen = match mailbox {
            Some(name) => Some(find_mailbox(&*self.store, name)?),
            None => self.only_mailbox()?,
        };
        Ok(match chosen {
            Some(mailbox) => {
                self.archive.want(mailbox.id)?;
                Scope::of([mailbox.id])
            }
            None => Scope::all(),
        })
    }

    fn only_mailbox(&self) -> Result<Option<MailboxInfo>, Failure> {
        let mut all = wait(self.store.mailboxes())?;
        Ok(if all.len() == 1 { all.pop() } else { None })
    }

    /// The mailbox of that name, or the only one.
    pub(super) fn mailbox(&self, name: Option<&str>) -> Result<MailboxInfo, Failure> {
        match name {
            Some(name) => find_mailbox(&*self.store, name),
            None => self.only_mailbox()?.ok_or_else(|| {
                Failure::Usage("there are several mailboxes: say which with --mailbox".to_owned())
            }),
        }
    }

    /// The names of mailboxes by id.
    pub(super) fn names(&self) -> Result<Vec<MailboxInfo>, Failure> {
        Ok(wait(self.store.mailboxes())?)
    }
}

pub(super) fn parse_id(text: &str) -> Result<UniqueId, Failure> {
    text.parse().map_err(|error| {
        Failure::Usage(format!(
            "{} is not a message's id ({error}); `restante list` shows ids",
            printable(text)
        ))
    })
}

/// Ids as typed; `-` stands for those on standard input, one a line, or one JSON object with `id`.
pub(super) fn parse_ids(words: &[String]) -> Result<Vec<UniqueId>, Failure> {
    let mut ids = Vec::new();
    for word in words {
        if word != "-" {
            ids.push(parse_id(word)?);
            continue;
        }
        for line in std::io::stdin().lines() {
            let line = line.map_err(Failure::io("cannot read standard input"))?;
            let value: Option<serde_json::Value> = serde_json::from_str(&line).ok();
            let named = value.as_ref().and_then(|value| value["id"].as_str());
            let id = named.or(line.split_whitespace().next());
            ids.extend(id.map(parse_id).transpose()?);
        }
    }
    Ok(ids)
}

/// A message that is not there, said with its id.
pub(super) fn gone(error: ArchiveError, id: UniqueId) -> Failure {
    match error {
        ArchiveError::NotFound => Failure::NotThere(format!(
            "there is no message {id}; `restante list` shows ids"
        )),
        other => other.into(),
    }
}
