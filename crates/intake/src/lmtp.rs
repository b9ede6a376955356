//! LMTP: mail from an MTA, one reply for each recipient (RFC 2033, with RFC 5321's grammar).
//!
//! `250` comes only after the store has made the message durable; until then it is the MTA's to keep.
//! A message streams from the socket into one draft for each recipient, because each copy has its
//! own `Delivered-To`; it never stands in memory whole.
//!
//! Deliberately absent: a `Received` field (RFC 5321 §4.4 asks it of relays; the MTA has added its
//! own, and a final delivery adds `Return-Path`), removing a `Return-Path` that is there already
//! (bytes are kept as they came), authentication and TLS (LMTP is for this machine and its own
//! network, RFC 2033 §5), BDAT.

mod command;
mod data;
mod delivery;
mod directory;
pub mod limits;
mod reply;
mod session;

use std::sync::Arc;

use restante_net::{Drain, Handler, Peer, Stream, host_name};
use restante_store::MailStore;
use tokio::sync::Semaphore;

use limits::{DRAFTS, MESSAGE_OCTETS, RECIPIENTS, SMALL_DRAFTS};

/// Where mail for an address goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The mailbox's name, which is the user's.
    pub mailbox: String,
    /// What the mailbox may hold, in octets as POP3 counts them.
    pub quota_octets: Option<u64>,
}

/// Knows the local addresses.
pub trait Recipients: Send + Sync + 'static {
    /// Who gets mail for `address`: unquoted, `local-part@domain`, or a bare user name.
    ///
    /// # Errors
    /// What failed, for the log; the sender is asked to try again.
    fn find(&self, address: &str) -> Result<Option<Recipient>, String>;
}

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The name in the greeting.
    pub hostname: String,
    /// The largest message taken, in octets as sent, without dot-stuffing.
    pub max_message_octets: u64,
    /// The most recipients of one message. RFC 5321 §4.5.3.1.8: at least 100.
    pub max_recipients: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hostname: host_name().unwrap_or_else(|| "localhost".to_owned()),
            max_message_octets: MESSAGE_OCTETS,
            max_recipients: RECIPIENTS,
        }
    }
}

/// The LMTP server: a handler for [`restante_net::run`].
pub struct Lmtp {
    store: Arc<dyn MailStore>,
    recipients: Arc<dyn Recipients>,
    options: Options,
    /// Drafts that may be open at once in all sessions: each has a compressor of its own.
    drafts: Semaphore,
    /// Others, for transactions of few recipients when those are taken or waited for.
    small_drafts: Semaphore,
}

impl Lmtp {
    /// Delivers into `store` what is addressed to `recipients`.
    pub fn new(
        store: Arc<dyn MailStore>,
        recipients: Arc<impl Recipients>,
        options: Options,
    ) -> Self {
        let drafts = Semaphore::new(DRAFTS.max(options.max_recipients));
        Self {
            store,
            recipients,
            options,
            drafts,
            small_drafts: Semaphore::new(SMALL_DRAFTS),
        }
    }
}

impl std::fmt::Debug for Lmtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lmtp").finish_non_exhaustive()
    }
}

impl Handler for Lmtp {
    async fn handle(self: Arc<Self>, stream: Stream, peer: Peer, drain: Drain) {
        session::serve(self, stream, peer, drain).await;
    }

    fn busy(&self) -> &[u8] {
        reply::BUSY.as_bytes()
    }
}
