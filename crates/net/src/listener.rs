//! Sockets that connections come from.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::task::Poll;

use tokio::net::{TcpListener, TcpSocket, lookup_host};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use crate::limits::BACKLOG;
use crate::{Address, Peer, Stream};

/// An address that is listened at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddress {
    /// With the real port.
    Tcp(SocketAddr),
    /// The socket's path.
    Unix(PathBuf),
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Listens. A host name with several addresses (`localhost`: IPv4 and IPv6) has several sockets,
/// all on one port.
#[derive(Debug)]
pub struct Listener {
    sockets: Sockets,
    address: LocalAddress,
}

#[derive(Debug)]
enum Sockets {
    Tcp(Vec<TcpListener>),
    #[cfg(unix)]
    Unix {
        socket: UnixListener,
        /// Device and inode: what is removed at the end is this socket and no successor's.
        file: (u64, u64),
    },
}

impl Listener {
    /// Binds. A Unix socket is made for owner and group (0660); see [`Self::bind_with_mode`].
    ///
    /// # Errors
    /// What the system says, with the address in front. A Unix socket that a living server listens
    /// at is in use; one that nobody listens at is replaced; any other file stays untouched.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        Self::bind_with_mode(address, 0o660).await
    }

    /// As [`Self::bind`]; a Unix socket gets these permissions, for an MTA under another user.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub async fn bind_with_mode(address: &Address, mode: u32) -> io::Result<Self> {
        let bound = match address {
            Address::Tcp(host, port) => bind_tcp(host, *port).await,
            #[cfg(unix)]
            Address::Unix(path) => bind_unix(path, mode).await,
            #[cfg(not(unix))]
            Address::Unix(_) => {
                let _unused = mode;
                Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "there are no Unix sockets here",
                ))
            }
        };
        bound.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"))
        })
    }

    /// Where it listens, with the real port; of several sockets the first.
    pub const fn local_address(&self) -> &LocalAddress {
        &self.address
    }

    /// The port, when it is TCP.
    pub const fn port(&self) -> Option<u16> {
        match &self.address {
            LocalAddress::Tcp(address) => Some(address.port()),
            LocalAddress::Unix(_) => None,
        }
    }

    /// The next connection. Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.sockets {
            Sockets::Tcp(sockets) => {
                let (stream, address) = poll_fn(|cx| {
                    for socket in sockets {
                        if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                            return Poll::Ready(accepted);
                        }
                    }
                    Poll::Pending
                })
                .await?;
                // Fails only when the peer is gone already, which the first read will tell.
                let _gone = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Peer::from_socket(address)))
            }
            #[cfg(unix)]
            Sockets::Unix { socket, .. } => {
                let (stream, _unnamed) = socket.accept().await?;
                Ok((Stream::Unix(stream), Peer::UNIX))
            }
        }
    }
}

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        if let (Sockets::Unix { file, .. }, LocalAddress::Unix(path)) =
            (&self.sockets, &self.address)
            && file_id(path).is_ok_and(|now| now == *file)
        {
            // What cannot be removed is replaced at the next start.
            let _stays = std::fs::remove_file(path);
        }
    }
}

async fn bind_tcp(host: &str, port: u16) -> io::Result<Listener> {
    let mut sockets = Vec::new();
    let mut first: Option<SocketAddr> = None;
    let mut failure = None;
    let mut addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    addresses.dedup();
    for mut address in addresses {
        if let Some(first) = first {
            address.set_port(first.port());
        }
        match bind_one(address) {
            Ok(socket) => {
                if first.is_none() {
                    first = Some(socket.local_addr()?);
                }
                sockets.push(socket);
            }
            // A name may have an address of a family that this machine does not speak.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
                ) || !supported(&error) =>
            {
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match first {
        Some(address) => Ok(Listener {
            sockets: Sockets::Tcp(sockets),
            address: LocalAddress::Tcp(address),
        }),
        None => Err(failure
            .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
    }
}

#[cfg(unix)]
fn supported(error: &io::Error) -> bool {
    error.raw_os_error() != Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

#[cfg(not(unix))]
fn supported(_error: &io::Error) -> bool {
    true
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Lets a restarted server listen while old connections are still in TIME-WAIT. On Windows the
    // option would let two servers share the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(unix)]
async fn bind_unix(path: &std::path::Path, mode: u32) -> io::Result<Listener> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is not a socket",
            ));
        }
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_living) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another server listens there",
                ));
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(Listener {
        sockets: Sockets::Unix {
            socket,
            file: file_id(path)?,
        },
        address: LocalAddress::Unix(path.to_owned()),
    })
}

#[cfg(unix)]
fn file_id(path: &std::path::Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
