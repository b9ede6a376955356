//! TLS for servers: at least version 1.2, one certificate that can be exchanged while running, session
//! tickets, and nothing but our own protocol by ALPN.

mod certificates;
mod self_signed;

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::NoServerSessionStorage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;

pub use certificates::Certificates;

use crate::Stream;
use crate::limits::{HANDSHAKE, TLS13_TICKETS};

/// Why TLS cannot be offered: says which file, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError(String);

impl TlsError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// TLS for one protocol. Several share one [`Certificates`].
pub struct Tls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
    handshake: Duration,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS for the protocol that ALPN calls `alpn` (RFC 7301), such as `b"pop3"`. A client that offers
    /// only others is refused with the alert no_application_protocol; one that offers none is served.
    ///
    /// # Errors
    /// When the system gives no random bytes for the tickets' key.
    pub fn new(certificates: Arc<Certificates>, alpn: &[u8]) -> Result<Self, TlsError> {
        let failed = |error: rustls::Error| TlsError::new(format!("cannot set up TLS: {error}"));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        config.alpn_protocols = vec![alpn.to_vec()];
        // Tickets keep the sessions' state with the clients: nothing here grows with their number.
        config.ticketer = Ticketer::new().map_err(failed)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = TLS13_TICKETS;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificates,
            handshake: HANDSHAKE,
        })
    }

    /// With a certificate chain and its key from PEM files.
    ///
    /// # Errors
    /// As [`Certificates::from_files`] and [`Self::new`].
    pub fn from_files(certificate: &Path, key: &Path, alpn: &[u8]) -> Result<Self, TlsError> {
        Self::new(Certificates::from_files(certificate, key)?, alpn)
    }

    /// With a self-signed certificate kept in `folder`.
    ///
    /// # Errors
    /// As [`Certificates::self_signed`] and [`Self::new`].
    pub fn self_signed(folder: &Path, alpn: &[u8]) -> Result<Self, TlsError> {
        Self::new(Certificates::self_signed(folder)?, alpn)
    }

    /// Gives up handshakes after `time` instead of [`HANDSHAKE`].
    #[must_use]
    pub const fn with_handshake_deadline(mut self, time: Duration) -> Self {
        self.handshake = time;
        self
    }

    /// The certificate, shared with whatever else uses it.
    pub const fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// As [`Certificates::reload`].
    ///
    /// # Errors
    /// As [`Certificates::reload`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.certificates.reload()
    }

    /// The handshake, on a connection from which nothing of it has been read yet: a new one, or one
    /// whose STLS was just answered (RFC 2595 §4).
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when the peer takes longer than the deadline for the whole
    /// handshake; else what went wrong. The connection is closed.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // In a box, so that the handshake's state does not stand in every session's future.
        let handshake = Box::pin(self.acceptor.accept(stream));
        match tokio::time::timeout(self.handshake, handshake).await {
            Ok(done) => done.map(|stream| TlsStream(Box::new(stream))),
            Err(_elapsed) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the TLS handshake took too long",
            )),
        }
    }
}

/// An encrypted connection.
#[derive(Debug)]
pub struct TlsStream<S = Stream>(Box<tokio_rustls::server::TlsStream<S>>);

impl<S> TlsStream<S> {
    /// Whether the session was resumed from a ticket.
    pub fn is_resumed(&self) -> bool {
        self.0.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// The version, as logs show it: `TLSv1.3`.
    pub fn version(&self) -> &'static str {
        match self.0.get_ref().1.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_shutdown(cx)
    }
}
