//! One accepted connection, and who is at its other end.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// An accepted connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP, without Nagle's delay.
    Tcp(TcpStream),
    /// Over a Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Writes what the socket takes at once, without waiting: for a farewell that nobody waits for.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            #[cfg(unix)]
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The remote address; `None` for a Unix socket. An IPv4 address inside IPv6 is shown as IPv4.
    pub ip: Option<IpAddr>,
    /// The remote port; 0 for a Unix socket.
    pub port: u16,
}

impl Peer {
    /// The peer of a Unix socket.
    pub const UNIX: Self = Self { ip: None, port: 0 };

    /// The peer of a TCP connection.
    pub fn from_socket(address: SocketAddr) -> Self {
        Self {
            ip: Some(address.ip().to_canonical()),
            port: address.port(),
        }
    }

    /// Whether what is sent stays on this machine. A Unix socket counts.
    pub fn is_loopback(&self) -> bool {
        self.ip.is_none_or(|ip| ip.is_loopback())
    }

    /// What connections are counted by: the IPv4 address, or the IPv6 network, since one subscriber
    /// has a whole /64.
    pub fn counted_as(&self) -> Option<IpAddr> {
        match self.ip {
            Some(IpAddr::V6(ip)) => {
                let network = u128::from(ip) >> 64 << 64;
                Some(IpAddr::V6(network.into()))
            }
            other => other,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) => SocketAddr::new(ip, self.port).fmt(f),
            None => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::from_socket(text.parse().expect("a socket address"))
    }

    #[test]
    fn loopback_and_its_look_alikes() {
        assert!(Peer::UNIX.is_loopback());
        assert!(peer("127.9.9.9:1").is_loopback());
        assert!(peer("[::1]:1").is_loopback());
        assert!(peer("[::ffff:127.0.0.1]:1").is_loopback());
        assert!(!peer("[::ffff:192.0.2.1]:1").is_loopback());
        assert!(!peer("192.0.2.1:1").is_loopback());
    }

    #[test]
    fn one_ipv6_network_counts_as_one() {
        let one = peer("[2001:db8:1:2:a::1]:5").counted_as();
        assert_eq!(one, peer("[2001:db8:1:2:b::9]:6").counted_as());
        assert_ne!(one, peer("[2001:db8:1:3:a::1]:5").counted_as());
        assert_eq!(peer("[2001:db8::1]:5").to_string(), "[2001:db8::1]:5");
    }
}
