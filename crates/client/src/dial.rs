//! From a server's description to a byte stream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_socks::tcp::Socks5Stream;

use crate::error::{Error, Waiting};
use crate::limits::{ADDRESSES, NEXT_ADDRESS};
use crate::server::{Place, Security, Server, Socks5};
use crate::stream::{Plain, Stream};

/// A stream to the server, with TLS in place if it is implicit; nothing has been read from it. With
/// [`Security::Stls`] it is still in the clear, and [`Stream::start_tls`] is the caller's to call. Who wants
/// POP3 rather than bytes calls [`connect`](crate::connect).
///
/// # Errors
/// As [`Error`] has them for networks, proxies, time and TLS.
pub async fn dial(server: &Server) -> Result<Stream, Error> {
    let plain = match (&server.place, &server.proxy) {
        (Place::Tcp { host, port }, None) => Plain::Tcp(tcp(host, *port, server.timeout).await?),
        (Place::Tcp { host, port }, Some(proxy)) => {
            Plain::Tcp(by_proxy(proxy, host, *port, server.timeout).await?)
        }
        #[cfg(unix)]
        (Place::Unix(path), None) => {
            let connect = tokio::net::UnixStream::connect(path);
            let stream = within(server.timeout, Waiting::Connection, connect).await?;
            Plain::Unix(stream.map_err(|error| named(&error, &server.place))?)
        }
        #[cfg(unix)]
        (Place::Unix(_), Some(_)) => {
            return Err(Error::Configuration(
                "a Unix socket cannot be reached by a proxy".into(),
            ));
        }
    };
    let stream = Stream::plain(plain);
    match server.security {
        Security::ImplicitTls => stream.start_tls(server).await,
        Security::Stls | Security::DangerPlaintext => Ok(stream),
    }
}

async fn within<T>(
    time: Duration,
    waiting: Waiting,
    future: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::time::timeout(time, future)
        .await
        .map_err(|_elapsed| Error::Timeout(waiting))
}

/// The same error, saying where.
fn named(error: &io::Error, place: &Place) -> Error {
    Error::Network(io::Error::new(
        error.kind(),
        format!("cannot connect to {place}: {error}"),
    ))
}

/// A connection to the first address that takes one. Looking up and connecting each end in time.
async fn tcp(host: &str, port: u16, time: Duration) -> Result<TcpStream, Error> {
    let place = Place::tcp(host, port);
    let found = within(time, Waiting::Connection, async {
        Ok::<_, io::Error>(tokio::net::lookup_host((host, port)).await?.collect())
    })
    .await?;
    let addresses: Vec<SocketAddr> = found.map_err(|error: io::Error| {
        Error::Network(io::Error::new(
            error.kind(),
            format!("cannot find the host {host}: {error}"),
        ))
    })?;
    let addresses = alternating(addresses);
    let stream = within(time, Waiting::Connection, first_of(addresses))
        .await?
        .map_err(|error| named(&error, &place))?;
    // Commands are small and wait for their replies.
    stream.set_nodelay(true).map_err(Error::Network)?;
    Ok(stream)
}

/// The families taken in turn (RFC 8305 §4): one that leads nowhere costs one step only.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES {
        let before = ordered.len();
        ordered.extend(same.next());
        ordered.extend(other.next());
        if ordered.len() == before {
            break;
        }
    }
    ordered.truncate(ADDRESSES);
    ordered
}

/// Tries them one after the other, the next one as soon as one fails or is slow; the first
/// connection wins and the other attempts are given up (RFC 8305 §5).
async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(ended) => last = io::Error::other(ended),
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if waiting.len() > 0 => {}
        }
    }
}

/// RFC 1928: the name goes to the proxy as it is, so that nobody on this side's network sees it looked up.
async fn by_proxy(
    proxy: &Socks5,
    host: &str,
    port: u16,
    time: Duration,
) -> Result<TcpStream, Error> {
    let (name, number) = proxy
        .address
        .rsplit_once(':')
        .and_then(|(name, number)| Some((name, number.parse().ok()?)))
        .ok_or_else(|| {
            Error::Configuration(
                format!("the proxy `{}` is not of the form host:port", proxy.address).into(),
            )
        })?;
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let socket = tcp(name, number, time).await?;
    let target = (host, port);
    let connect = async {
        match &proxy.login {
            None => Socks5Stream::connect_with_socket(socket, target).await,
            Some((user, password)) => {
                let Ok(password) = std::str::from_utf8(password.expose()) else {
                    return Err(tokio_socks::Error::InvalidAuthValues("not UTF-8"));
                };
                Socks5Stream::connect_with_password_and_socket(socket, target, user, password).await
            }
        }
    };
    within(time, Waiting::Proxy, connect)
        .await?
        .map(Socks5Stream::into_inner)
        .map_err(|error| {
            Error::Proxy(
                format!(
                    "{} does not connect to {}: {error}",
                    proxy.address,
                    Place::tcp(host, port)
                )
                .into(),
            )
        })
}

#[cfg(test)]
mod tests;
