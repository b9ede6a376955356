//! A mailbox of an IMAP server as destination: APPEND (RFC 3501 §6.3.11, RFC 9051 §6.3.12).
//!
//! A client of our own, since a message has to be streamed as the literal of APPEND, and few commands are
//! needed beside it. Octets go as they are but for LF without CR, which becomes CRLF: that is how IMAP
//! has lines. A message with NUL cannot be appended (§4.3.1) and is refused.

mod response;
mod session;
mod text;

use std::sync::Arc;

use restante_client::Server;

use super::CredentialSource;
use super::error::{DestinationError, Fault};
use super::limits::GOODBYE_WAIT;
use super::spec::Protection;
use super::spooled::{Deliver, Message};
use session::{Failed, Session};

/// Where and as whom.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) server: Server,
    pub(super) protection: Protection,
    pub(super) user: String,
    pub(super) mailbox: String,
    pub(super) credentials: Arc<dyn CredentialSource>,
}

/// A server, with a connection that is kept from message to message.
pub(super) struct Imap {
    settings: Settings,
    session: Option<Session>,
}

impl Imap {
    /// Connects and logs in, so that a server that takes nothing is known at once.
    pub(super) async fn open(settings: Settings) -> Result<Self, DestinationError> {
        let session = Session::open(&settings).await?;
        Ok(Self {
            settings,
            session: Some(session),
        })
    }

    async fn deliver(&mut self, message: &mut Message) -> Result<(), DestinationError> {
        if message.facts.has_nul {
            return Err(DestinationError::message(
                Fault::Refused,
                format!(
                    "{}: the message has NUL octets, which IMAP cannot carry",
                    self.settings.name
                ),
            ));
        }
        // Twice anew: once for a connection that was idle too long, once for an answer that was lost.
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut session = match self.session.take() {
                Some(session) => session,
                None => Session::open(&self.settings).await?,
            };
            let stored = session.store(&self.settings, message).await;
            match stored {
                Ok(()) => {
                    self.session = Some(session);
                    return Ok(());
                }
                Err(Failed::Refused(error)) => {
                    self.session = Some(session);
                    return Err(error);
                }
                Err(Failed::Broken(error)) if attempts > 2 => return Err(error),
                Err(Failed::Unknown(error)) if attempts > 2 => {
                    return Err(DestinationError::message(
                        error.fault(),
                        format!("{error}; it may have been stored"),
                    ));
                }
                Err(Failed::Broken(_)) => {}
                // The next attempt looks for it first.
                Err(Failed::Unknown(_)) => message.again = true,
            }
        }
    }
}

impl Deliver for Imap {
    async fn deliver(&mut self, message: &mut Message) -> Result<(), DestinationError> {
        self.deliver(message).await
    }

    async fn close(mut self) {
        if let Some(mut session) = self.session.take() {
            session.logout(GOODBYE_WAIT).await;
        }
    }
}
