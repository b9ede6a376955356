//! POP3 and POP3S: drives [`restante_proto::server::Session`] over a connection.
//!
//! One write carries the replies to all commands that one read brought, up to
//! [`restante_proto::limits::OUTPUT_OCTETS`]; while replies wait to be sent, no command is read. A
//! session that waits for its client holds no buffer, and soon no listing.
//!
//! When the server stops, a client between two commands is told so: RFC 1939 says nothing of it, but
//! a client that sends its next command then reads why it failed. It is tried, not promised.
//!
//! Deliberately absent: a session that ends in any other way than by QUIT changes nothing, so its
//! future may be dropped at any await.

mod connection;
mod login;
mod notices;
mod record;
mod retrieve;
mod window;

use std::sync::Arc;
use std::time::Duration;

use restante_directory::Directory;
use restante_net::{Channel, Drain, Handler, Pace, Peer, Stream, Tls};
use restante_proto::server::{Failure, MaildropListing, Settings};
use restante_store::{ListingEntry, MailStore, StoreError};

use crate::limits;
use connection::Connection;
use notices::Notices;
use record::{End, Record};

/// How a listener serves POP3.
#[derive(Clone)]
pub struct Options {
    /// TLS from the first octet (POP3S, RFC 8314); needs `tls`.
    pub implicit_tls: bool,
    /// Offers STLS, or with `implicit_tls` takes TLS at once.
    pub tls: Option<Arc<Tls>>,
    /// Accepts passwords without TLS from anywhere; from loopback and Unix sockets they always are.
    pub danger_plaintext_login: bool,
    /// One session at a time in each mailbox; another gets `-ERR [IN-USE]`.
    pub exclusive: bool,
    /// How many milliseconds the login `recent:user` goes back, by the user's name.
    pub recent_ms: Arc<dyn Fn(&str) -> u64 + Send + Sync>,
    /// How long clients may take.
    pub timeouts: Timeouts,
}

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the connection to the login; see [`limits::LOGIN`].
    pub login: Duration,
    /// From the last reply to the next command; see [`limits::AUTOLOGOUT`].
    pub autologout: Duration,
    /// How slowly a client may read.
    pub pace: Pace,
    /// See [`limits::KEEP_LISTING`].
    pub keep_listing: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            login: limits::LOGIN,
            autologout: limits::AUTOLOGOUT,
            pace: Pace::default(),
            keep_listing: limits::KEEP_LISTING,
        }
    }
}

impl Default for Options {
    /// No TLS, passwords from this machine only, shared mailboxes.
    fn default() -> Self {
        Self {
            implicit_tls: false,
            tls: None,
            danger_plaintext_login: false,
            exclusive: false,
            recent_ms: Arc::new(|_| limits::RECENT_MS),
            timeouts: Timeouts::default(),
        }
    }
}

/// The POP3 server: a handler for [`restante_net::run`].
pub struct Pop3 {
    store: Arc<dyn MailStore>,
    directory: Arc<Directory>,
    options: Options,
    throttled: Notices,
    strangers: Notices,
}

impl Pop3 {
    /// Serves the mailboxes of `store` to the users of `directory`.
    pub fn new(store: Arc<dyn MailStore>, directory: Arc<Directory>, options: Options) -> Self {
        Self {
            store,
            directory,
            options,
            throttled: Notices::default(),
            strangers: Notices::default(),
        }
    }

    fn settings(&self, peer: &Peer) -> Settings {
        Settings {
            tls_active: self.options.implicit_tls,
            stls: self.options.tls.is_some(),
            plaintext_login: self.options.danger_plaintext_login || peer.is_loopback(),
        }
    }

    async fn talk(self: Arc<Self>, stream: Stream, record: &mut Record, drain: Drain) -> End {
        let settings = self.settings(&record.peer);
        let channel = match (&self.options.tls, self.options.implicit_tls) {
            (_, false) => Channel::Plain(stream),
            (None, true) => return End::Failed("POP3S without a certificate"),
            (Some(tls), true) => match Box::pin(tls.accept(stream)).await {
                Ok(stream) => Channel::Tls(stream),
                Err(error) => return End::handshake(error),
            },
        };
        record.tls = channel.is_tls();
        let mut connection = Connection::new(self, channel, settings, drain);
        loop {
            match connection.run(record).await {
                End::StartTls => match Box::pin(connection.start_tls()).await {
                    Ok(over_tls) => connection = over_tls,
                    Err(end) => return end,
                },
                end => {
                    Box::pin(connection.farewell(&end)).await;
                    return end;
                }
            }
            record.tls = true;
        }
    }
}

impl Handler for Pop3 {
    async fn handle(self: Arc<Self>, stream: Stream, peer: Peer, drain: Drain) {
        let mut record = Record::new(peer, Arc::clone(&self));
        let end = self.talk(stream, &mut record, drain).await;
        record.finish(end);
    }

    fn busy(&self) -> &[u8] {
        if self.options.implicit_tls {
            b""
        } else {
            b"-ERR [SYS/TEMP] too many connections, try again later\r\n"
        }
    }
}

/// The store's listing as the session reads it.
struct Entries<'a>(&'a [ListingEntry]);

impl MaildropListing for Entries<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn octets(&self, index: usize) -> u64 {
        self.0[index].octets
    }

    fn unique_id(&self, index: usize, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0[index].unique_id.to_ascii());
    }
}

/// What the client is told of the store's trouble. The error's own words go to the log.
fn failure(error: &StoreError) -> Failure {
    match error {
        StoreError::NotFound => Failure::Gone,
        StoreError::InUse => Failure::InUse,
        StoreError::Permanent(_) => Failure::Permanent,
        // The enum may grow: what is new here is worth another try.
        StoreError::Full { .. } | StoreError::Temporary(_) | _ => Failure::Temporary,
    }
}
