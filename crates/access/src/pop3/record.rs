//! What the log says of a session: one record at its end, however it ends. Sessions without a login
//! share one where an address brings many.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use restante_net::Peer;
use restante_store::StoreError;

use super::Pop3;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// QUIT, and what it asked for is done.
    Quit,
    /// The client closed without QUIT.
    Disconnected,
    /// The connection broke.
    Lost(io::Error),
    /// The client took too long.
    TimedOut,
    /// The device was removed while its session ran.
    Revoked,
    /// The server stops.
    Drained,
    /// The session was closed for what the client sent.
    Misbehaved,
    /// The client took TLS wrongly or not at all.
    Handshake(io::Error),
    /// QUIT came, and the deletions could not be made.
    NotRemoved,
    /// Something of ours broke.
    Failed(&'static str),
    /// No end: the connection goes on over TLS.
    StartTls,
    /// The future was dropped: the server would not wait any longer.
    Dropped,
}

impl End {
    pub(super) fn lost(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Lost(error),
        }
    }

    pub(super) fn handshake(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Handshake(error),
        }
    }

    const fn error(&self) -> Option<&io::Error> {
        match self {
            Self::Lost(error) | Self::Handshake(error) => Some(error),
            _ => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Disconnected => "disconnected",
            Self::Lost(_) => "connection lost",
            Self::TimedOut => "timed out",
            Self::Revoked => "device removed",
            Self::Drained => "server stops",
            Self::Misbehaved => "closed for bad commands",
            Self::Handshake(_) => "TLS handshake failed",
            Self::NotRemoved => "deletions failed",
            Self::Failed(what) => what,
            Self::StartTls => "taking TLS",
            Self::Dropped => "dropped",
        }
    }
}

/// The facts of one session. Logs itself when it is dropped.
pub(super) struct Record {
    pub(super) peer: Peer,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    /// The device, unless it is the plain login.
    pub(super) device: Option<String>,
    /// Messages that the maildrop has shown.
    pub(super) shown: u64,
    /// Messages sent with RETR.
    pub(super) retr: u64,
    /// Messages sent in part with TOP.
    pub(super) top: u64,
    /// Octets sent to the client, before encryption.
    pub(super) octets: u64,
    /// Messages deleted by QUIT.
    pub(super) dele: u64,
    /// Wrong passwords so far.
    pub(super) refused: u32,
    pop3: Arc<Pop3>,
    started: Instant,
    end: End,
}

impl Record {
    pub(super) fn new(peer: Peer, pop3: Arc<Pop3>) -> Self {
        Self {
            peer,
            tls: false,
            user: None,
            device: None,
            shown: 0,
            retr: 0,
            top: 0,
            octets: 0,
            dele: 0,
            refused: 0,
            pop3,
            started: Instant::now(),
            end: End::Dropped,
        }
    }

    /// Tells at once of what the store could not do.
    pub(super) fn trouble(&self, what: &str, error: &StoreError) {
        let user = self.user.as_deref().unwrap_or("-");
        tracing::error!(peer = %self.peer, user, %error, "{what}");
    }

    pub(super) fn finish(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let left_out = if self.user.is_some() {
            0
        } else {
            let address = self.peer.counted_as();
            match self.pop3.strangers.next(address, Instant::now()) {
                Some(left_out) => left_out,
                None => return,
            }
        };
        tracing::info!(
            peer = %self.peer,
            user = self.user.as_deref().unwrap_or("-"),
            device = self.device.as_deref(),
            tls = self.tls,
            retr = self.retr,
            top = self.top,
            octets = self.octets,
            dele = self.dele,
            left = self.shown.saturating_sub(self.dele),
            outcome = self.end.name(),
            error = self.end.error().map(tracing::field::display),
            left_out = (left_out > 0).then_some(left_out),
            seconds = self.started.elapsed().as_secs_f32(),
            "pop3 session"
        );
    }
}
