//! What a fetch tells while it runs, and what it comes to.

use std::fmt;

use restante_store::UniqueId;

/// What a dry run says would be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// RETR, then store.
    Download,
    /// TOP only: the message is larger than the account's `max_size`.
    Headers,
    /// DELE of a message that is stored already.
    Delete,
    /// RETR, store, then DELE in the same session.
    DownloadAndDelete,
}

/// One thing that has happened in a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Logged in.
    LoggedIn,
    /// The maildrop is listed and the work is known.
    Planned {
        /// Messages on the server.
        listed: u64,
        /// Messages that will be downloaded.
        messages: u64,
        /// Octets of them, as the server says: for a progress bar, not for trust.
        octets: u64,
        /// Messages that are stored already and will be deleted.
        deletions: u64,
    },
    /// Dry run only: one thing that would be done.
    Would {
        /// What.
        action: Action,
        /// The server's unique-id.
        remote_id: &'a [u8],
        /// As the server says.
        octets: u64,
    },
    /// Octets of messages have come in since the last time this was said.
    Received {
        /// Since the last time.
        octets: u64,
    },
    /// A message is durable.
    Stored {
        /// The server's unique-id.
        remote_id: &'a [u8],
        /// Exact octets.
        size: u64,
        /// In our store; `None` at other destinations.
        unique_id: Option<UniqueId>,
    },
    /// Only the header was fetched.
    HeadersOnly {
        /// The server's unique-id.
        remote_id: &'a [u8],
        /// As the server says.
        octets: u64,
    },
    /// Archived already, under another unique-id of the server.
    Recognised {
        /// The server's unique-id.
        remote_id: &'a [u8],
        /// In our store; `None` at other destinations.
        unique_id: Option<UniqueId>,
    },
    /// A message could not be had, or not be stored; it is tried again next time.
    SetAside {
        /// The server's unique-id.
        remote_id: &'a [u8],
        /// Why.
        error: &'a str,
    },
    /// The server has confirmed a deletion with QUIT.
    Deleted {
        /// The server's unique-id.
        remote_id: &'a [u8],
    },
    /// Something worth a line: a reconnection, a fall-back.
    Note(&'a str),
}

/// A message that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The server's unique-id.
    pub remote_id: Vec<u8>,
    /// What failed last.
    pub error: String,
    /// How often it was tried.
    pub tries: u64,
    /// First failure, in milliseconds since 1970.
    pub first_ms: u64,
    /// Last failure, in milliseconds since 1970.
    pub last_ms: u64,
}

/// Why an account waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PauseReason {
    /// Another session has the maildrop (RFC 2449 §8.1.1 IN-USE).
    InUse,
    /// The server wants more time between logins (RFC 2449 §8.1.1 LOGIN-DELAY).
    LoginDelay,
    /// The server has a passing fault (RFC 3206 §4 SYS/TEMP).
    Temporary,
    /// The provider's daily limit is reached.
    ProviderLimit,
    /// The account's own `max_per_day` is reached.
    MaxPerDay,
}

impl PauseReason {
    /// The name under which it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::LoginDelay => "login-delay",
            Self::Temporary => "temporary",
            Self::ProviderLimit => "provider-limit",
            Self::MaxPerDay => "max-per-day",
        }
    }

    /// The reason of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        [
            Self::InUse,
            Self::LoginDelay,
            Self::Temporary,
            Self::ProviderLimit,
            Self::MaxPerDay,
        ]
        .into_iter()
        .find(|reason| reason.name() == name)
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "another session has the maildrop",
            Self::LoginDelay => "the server wants more time between logins",
            Self::Temporary => "the server has a passing fault",
            Self::ProviderLimit => "the provider's limit is reached",
            Self::MaxPerDay => "max_per_day is reached",
        })
    }
}

/// A wait that is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// When to go on, in milliseconds since 1970.
    pub until_ms: u64,
    /// Why.
    pub reason: PauseReason,
    /// The server's own words, if it was the server.
    pub reply: Option<String>,
}

/// What a fetch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions that reached the maildrop.
    pub sessions: u64,
    /// Messages that the last session listed.
    pub listed: u64,
    /// Messages that were downloaded and are durable; in a dry run, that would be downloaded.
    pub stored: u64,
    /// Exact octets of them; in a dry run, as the server says.
    pub stored_octets: u64,
    /// Messages of which only the header was fetched, because they are larger than `max_size`.
    pub headers_only: u64,
    /// Messages that were archived already under another unique-id.
    pub recognised: u64,
    /// Deletions that the server has confirmed; in a dry run, that would be made.
    pub deleted: u64,
    /// Deletions that were asked for and not confirmed: they are made again next time.
    pub unconfirmed: u64,
    /// Stored messages that stay on the server only because no verified backup holds them yet.
    pub await_backup: u64,
    /// New messages left for another time, by `limit`, `max_per_day` or the work of one session.
    pub left: u64,
    /// Messages set aside in this fetch.
    pub set_aside: Vec<Aside>,
    /// The account waits now.
    pub pause: Option<Pause>,
}
