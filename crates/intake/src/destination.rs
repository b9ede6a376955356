//! Where fetched mail goes when it does not go into our own store.
//!
//! A [`Spec`] says where, [`open`] makes a [`Destination`] of it. What "stored" means is each
//! destination's own affair:
//!
//! | destination | a message is stored when |
//! |---|---|
//! | Maildir | its file is synced, has its name in `new`, and `new` is synced |
//! | mbox | it is appended under lock and the file is synced, its folder too when the file is new |
//! | LMTP, SMTP | 250 was read after the final dot |
//! | IMAP | the tagged `OK` of APPEND was read |
//! | pipe | the program ended with exit code 0 |
//!
//! A message is spooled before any of it goes to another program or over the network, so that one
//! cut off half-way is never taken for a whole one.

mod away;
mod error;
mod imap;
pub mod limits;
mod maildir;
mod mbox;
mod pipe;
mod smtp;
mod spec;
mod spool;
mod spooled;
mod wire;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use restante_client::{Place, Secret, Security, Server, TlsOptions};

pub use error::{DestinationError, Fault, Scope};
pub use spec::{Protection, Spec, SpecError};
use spooled::Spooled;

/// What a destination's methods return: a future that can move between threads. It needs tokio's
/// runtime, with its clock.
pub type DestinationFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is known of a message before its first octet.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The account that it comes from.
    pub account: &'a str,
    /// The remote unique-id, or whatever the ledger knows it by. Where a destination can keep a mark
    /// (Maildir: the file's name; mbox: the From_ line), it is one of account and this.
    pub remote_id: &'a [u8],
    /// When it was received, in milliseconds since 1970.
    pub received_ms: u64,
    /// About how many octets will come. A hint: nothing is cut or refused for being larger.
    pub octets: Option<u64>,
    /// An earlier attempt may have stored it without the ledger's knowing: its outcome was not
    /// learnt, or the run that fetched it broke off. The destination then looks first whether it has
    /// the message (Maildir, mbox: by the mark; IMAP: by Message-ID and size), and if so stores no
    /// second copy. LMTP and SMTP cannot look (RFC 1047); a pipe's program can, see [`Spec::Pipe`].
    pub again: bool,
}

/// A place that takes messages, one after the other.
///
/// For each message: [`begin`](Self::begin), [`write`](Self::write) as often as needed, then
/// [`finish`](Self::finish), or [`abandon`](Self::abandon) when it does not come whole. Now and then
/// [`flush`](Self::flush), and at the end [`close`](Self::close).
///
/// After an error of `begin`, `write` or `finish` the message is given up: it needs no `abandon`, and
/// takes no part in the next `flush`. The next one may begin, unless [`DestinationError::scope`] says
/// that no other would fare better. A future that is dropped before its end leaves the destination
/// unusable; each has an end, so there is no need to.
pub trait Destination: Send {
    /// Begins a message.
    fn begin<'a>(
        &'a mut self,
        incoming: &'a Incoming<'a>,
    ) -> DestinationFuture<'a, Result<(), DestinationError>>;

    /// Takes its next octets.
    fn write<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> DestinationFuture<'a, Result<(), DestinationError>>;

    /// Ends it. It is stored once `flush` has said so, not before.
    fn finish(&mut self) -> DestinationFuture<'_, Result<(), DestinationError>>;

    /// Drops what has come of a message that is begun and not finished; does nothing without one.
    fn abandon(&mut self) -> DestinationFuture<'_, ()>;

    /// Stores all messages finished since the last `flush`. One result for each, in their order: with
    /// `Ok` it is stored.
    fn flush(&mut self) -> DestinationFuture<'_, Vec<Result<(), DestinationError>>>;

    /// Takes its leave: of a server with QUIT or LOGOUT. Messages that were not flushed count as not
    /// stored. Nothing that was stored depends on this.
    fn close(self: Box<Self>) -> DestinationFuture<'static, ()>;
}

/// What an IMAP server is shown.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A password, for PLAIN or LOGIN.
    Password(Secret),
    /// An OAuth2 access token, for OAUTHBEARER or XOAUTH2.
    Token(Secret),
}

/// Knows the credential for an IMAP destination; asked at each log-in.
pub trait CredentialSource: Send + Sync {
    /// The credential. With `refused` the last one was not accepted: a cached token should be renewed.
    fn credential(&self, refused: bool) -> DestinationFuture<'_, Result<Credential, String>>;
}

/// What an address does not say.
#[derive(Clone)]
pub struct Options {
    /// Whom to trust, and as whom to appear.
    pub tls: TlsOptions,
    /// How long any one wait for a peer, a lock or a program's reading may last. The waits for the
    /// reply to a whole message and for a program's end are longer, see [`limits`].
    pub timeout: Duration,
    /// For IMAP.
    pub credentials: Option<Arc<dyn CredentialSource>>,
    /// The recipient for LMTP and SMTP when the address has no `?to=`.
    pub recipient: Option<String>,
    /// The folder for messages that are spooled in a file, which never has a name there; the system's
    /// folder for temporary files when nothing is said.
    pub spool: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: TlsOptions::default(),
            timeout: limits::TIMEOUT,
            credentials: None,
            recipient: None,
            spool: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("tls", &self.tls)
            .field("timeout", &self.timeout)
            .field("recipient", &self.recipient)
            .field("spool", &self.spool)
            .finish_non_exhaustive()
    }
}

/// Opens a destination: makes the folder, connects and logs in, so that one that cannot take
/// anything is known before anything is fetched.
///
/// # Errors
/// It cannot be reached or does not let us in; the scope is the whole destination.
pub async fn open(spec: &Spec, options: Options) -> Result<Box<dyn Destination>, DestinationError> {
    let spool = options.spool.clone();
    Ok(match spec {
        Spec::Maildir(path) => Box::new(maildir::Maildir::open(path).await?),
        Spec::Mbox(path) => Box::new(mbox::Mbox::open(path, spool).await?),
        Spec::Lmtp { place, recipient } => {
            let to = (smtp::Protocol::Lmtp, place, Protection::DangerPlaintext);
            Box::new(Spooled::new(
                post(spec, to, recipient, options).await?,
                spool,
            ))
        }
        Spec::Smtp {
            place,
            protection,
            recipient,
        } => {
            // Who says whom to trust does not want to be talked out of it.
            let trusts = options.tls.ca_file.is_some() || options.tls.pin_sha256.is_some();
            let protection = match protection {
                Protection::Offered if trusts => Protection::Required,
                _ => *protection,
            };
            let to = (smtp::Protocol::Smtp, place, protection);
            Box::new(Spooled::new(
                post(spec, to, recipient, options).await?,
                spool,
            ))
        }
        Spec::Imap {
            place,
            protection,
            user,
            mailbox,
        } => {
            let name = spec.to_string();
            let Some(credentials) = options.credentials else {
                let text = format!("{name}: there is no credential for it");
                return Err(DestinationError::whole(Fault::Configuration, text));
            };
            let settings = imap::Settings {
                name,
                server: server(place, *protection, &options.tls, options.timeout),
                protection: *protection,
                user: user.clone(),
                mailbox: mailbox.clone(),
                credentials,
            };
            Box::new(Spooled::new(imap::Imap::open(settings).await?, spool))
        }
        Spec::Pipe { command } => {
            let pipe = pipe::Pipe::new(command.clone(), options.timeout);
            Box::new(Spooled::new(pipe, spool))
        }
    })
}

/// A server that is spoken to by LMTP or SMTP.
async fn post(
    spec: &Spec,
    (protocol, place, protection): (smtp::Protocol, &Place, Protection),
    recipient: &Option<String>,
    options: Options,
) -> Result<smtp::Smtp, DestinationError> {
    let name = spec.to_string();
    let wrong = |text: String| DestinationError::whole(Fault::Configuration, text);
    let Some(recipient) = recipient.clone().or(options.recipient) else {
        return Err(wrong(format!(
            "{name}: the recipient is missing: ?to=USER@HOST"
        )));
    };
    let recipient = spec::recipient(&recipient).map_err(|e| wrong(format!("{name}: {e}")))?;
    smtp::Smtp::open(smtp::Settings {
        name,
        protocol,
        server: server(place, protection, &options.tls, options.timeout),
        protection,
        recipient,
    })
    .await
}

fn server(place: &Place, protection: Protection, tls: &TlsOptions, timeout: Duration) -> Server {
    let security = match protection {
        Protection::Implicit => Security::ImplicitTls,
        Protection::Required | Protection::Offered => Security::Stls,
        Protection::DangerPlaintext => Security::DangerPlaintext,
    };
    let mut server = Server::new(place.clone(), security);
    server.tls = tls.clone();
    server.timeout = timeout;
    server
}

/// What a destination can know a message by again: of account and remote unique-id, 24 hexadecimal
/// digits.
fn mark(incoming: &Incoming<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(incoming.account.as_bytes());
    hasher.update(&[0]);
    hasher.update(incoming.remote_id);
    hasher.finalize().to_hex()[..24].to_owned()
}

/// For calls out of order.
fn not_begun() -> DestinationError {
    DestinationError::message(Fault::Io, "no message was begun")
}
