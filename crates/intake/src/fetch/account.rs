//! A remote mailbox to fetch from, and what is to become of its mail.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use restante_client::{Credentials, Mechanism, Server};

use crate::destination::{self, Destination, DestinationError, Spec};

/// A future that runs anywhere.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A remote mailbox to fetch from.
#[derive(Debug, Clone)]
pub struct Account {
    /// Names the account in the ledger for ever: a renamed account fetches everything again.
    pub name: String,
    /// Which server, and how to reach it.
    pub server: Server,
    /// The user's name at the server.
    pub user: String,
    /// What proves it.
    pub credentials: Arc<dyn CredentialSource>,
    /// Nothing weaker than this is ever tried.
    pub minimum: Option<Mechanism>,
    /// This mechanism and no other.
    pub only: Option<Mechanism>,
    /// When messages leave the server.
    pub keep: Keep,
    /// Octets above which only a message's header is fetched; it then does not count as stored.
    pub max_size: Option<u64>,
    /// Messages that are downloaded on one day (of UTC) at most.
    pub max_per_day: Option<u64>,
    /// The server shows only a part of the maildrop in each session: sessions follow each other until
    /// one brings nothing new.
    pub shows_window: bool,
    /// Where the mail goes.
    pub target: Target,
}

impl Account {
    /// An account that keeps everything on the server and stores into the mailbox `me`.
    pub fn new(
        name: impl Into<String>,
        server: Server,
        user: impl Into<String>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Self {
        Self {
            name: name.into(),
            server,
            user: user.into(),
            credentials,
            minimum: None,
            only: None,
            keep: Keep::Forever,
            max_size: None,
            max_per_day: None,
            shows_window: false,
            target: Target::Mailbox("me".to_owned()),
        }
    }
}

/// Where an account's password or token comes from.
pub trait CredentialSource: Send + Sync {
    /// What to log in with. `refused_before`: the server has just refused what was given last, so
    /// that a token has to be renewed, or a person asked again.
    fn get(&self, refused_before: bool) -> BoxFuture<'_, Result<Credentials, CredentialError>>;
}

impl fmt::Debug for dyn CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialSource(…)")
    }
}

/// Credentials that never change.
impl CredentialSource for Credentials {
    fn get(&self, _refused_before: bool) -> BoxFuture<'_, Result<Credentials, CredentialError>> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

/// Why there are no credentials. Says what to do; never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialError {
    /// May pass: a token endpoint that does not answer.
    Temporary(String),
    /// Somebody has to act: log in again, type a password.
    Missing(String),
    /// The configuration is wrong: a file that is not there, a command that cannot run.
    Configuration(String),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Temporary(what) | Self::Missing(what) | Self::Configuration(what) => {
                f.write_str(what)
            }
        }
    }
}

impl std::error::Error for CredentialError {}

/// When messages leave the server. Nothing is ever deleted that is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Never.
    #[default]
    Forever,
    /// So many days after they were stored here.
    Days(u32),
    /// When a verified backup holds them.
    UntilBackedUp,
    /// As soon as they are stored.
    None,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::Days(1) => f.write_str("1 day"),
            Self::Days(days) => write!(f, "{days} days"),
            Self::UntilBackedUp => f.write_str("until-backed-up"),
            Self::None => f.write_str("none"),
        }
    }
}

/// `forever`, `N days`, `until-backed-up` or `none`.
impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "forever" => return Ok(Self::Forever),
            "until-backed-up" => return Ok(Self::UntilBackedUp),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let days = text
            .strip_suffix("days")
            .or_else(|| text.strip_suffix("day"));
        days.and_then(|number| number.trim_end().parse().ok())
            .map(Self::Days)
            .ok_or_else(|| format!("{text:?} is none of forever, N days, until-backed-up and none"))
    }
}

/// Where an account's mail goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// The mailbox of that name in our store; made if it is not there.
    Mailbox(String),
    /// Somewhere else.
    Elsewhere {
        /// Names the destination in the ledger for ever.
        name: String,
        /// How to open it.
        open: Arc<dyn OpenDestination>,
    },
}

impl Target {
    /// A destination by its address.
    pub fn elsewhere(spec: Spec, options: destination::Options) -> Self {
        Self::Elsewhere {
            name: spec.to_string(),
            open: Arc::new((spec, options)),
        }
    }

    /// What the ledger calls it; no mailbox has such a name as a destination has.
    pub fn name(&self) -> &str {
        match self {
            Self::Mailbox(name) | Self::Elsewhere { name, .. } => name,
        }
    }
}

/// Opens a destination, once for each session.
pub trait OpenDestination: Send + Sync {
    /// Makes the folder, or connects and logs in.
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Destination>, DestinationError>>;
}

impl fmt::Debug for dyn OpenDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenDestination(…)")
    }
}

impl OpenDestination for (Spec, destination::Options) {
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Destination>, DestinationError>> {
        Box::pin(destination::open(&self.0, self.1.clone()))
    }
}
