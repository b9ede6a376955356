//! A TCP, Unix or TLS stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::error::{Error, Waiting};
use crate::server::Server;
use crate::tls::{self, TlsFacts, TlsStream};

/// The bytes to and from a server.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    facts: Option<Box<TlsFacts>>,
}

/// What TLS may lie upon.
#[derive(Debug)]
pub(crate) enum Plain {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

#[derive(Debug)]
enum Inner {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>),
}

impl Stream {
    pub(crate) const fn plain(plain: Plain) -> Self {
        Self {
            inner: Inner::Plain(plain),
            facts: None,
        }
    }

    /// What the handshake came to, once there was one.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.facts.as_deref()
    }

    /// The TLS handshake, within the server's timeout as a whole. Whoever calls this after STLS has
    /// made sure that nothing was read beyond the `+OK` (RFC 2595 §4).
    ///
    /// # Errors
    /// When time runs out, the handshake fails, or the certificate is not to be trusted.
    pub async fn start_tls(self, server: &Server) -> Result<Self, Error> {
        let Inner::Plain(plain) = self.inner else {
            return Err(Error::Configuration("TLS is in place already".into()));
        };
        let handshake = tls::handshake(plain, server.place.host(), &server.tls);
        match tokio::time::timeout(server.timeout, handshake).await {
            Err(_elapsed) => Err(Error::Timeout(Waiting::Handshake)),
            Ok(Err(error)) => Err(error),
            Ok(Ok((stream, facts))) => Ok(Self {
                inner: Inner::Tls(Box::new(stream)),
                facts: Some(Box::new(facts)),
            }),
        }
    }
}

macro_rules! on_each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match &mut $stream.get_mut().inner {
            Inner::Plain(Plain::Tcp($inner)) => $call,
            #[cfg(unix)]
            Inner::Plain(Plain::Unix($inner)) => $call,
            Inner::Tls($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_each!(self, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_each!(self, inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(inner) => Pin::new(inner).poll_read(cx, buf),
            #[cfg(unix)]
            Self::Unix(inner) => Pin::new(inner).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(inner) => Pin::new(inner).poll_write(cx, buf),
            #[cfg(unix)]
            Self::Unix(inner) => Pin::new(inner).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(inner) => Pin::new(inner).poll_flush(cx),
            #[cfg(unix)]
            Self::Unix(inner) => Pin::new(inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(inner) => Pin::new(inner).poll_shutdown(cx),
            #[cfg(unix)]
            Self::Unix(inner) => Pin::new(inner).poll_shutdown(cx),
        }
    }
}
