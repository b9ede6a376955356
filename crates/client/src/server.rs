//! Which server, and how to reach it.

use std::fmt;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use restante_proto::Secret;

use crate::limits::SILENCE;

/// A POP3 server and the way to it. Everything that is not said has a safe value: see [`Server::new`].
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub place: Place,
    /// Whether and how the connection is encrypted.
    pub security: Security,
    /// Whom to trust, and as whom to appear.
    pub tls: TlsOptions,
    /// A proxy to go through; host names are then looked up by the proxy alone.
    pub proxy: Option<Socks5>,
    /// How long any one wait for the server may last: to connect, to shake hands, to read or write
    /// the next bytes.
    pub timeout: Duration,
}

impl Server {
    /// A server with the system's trust, no proxy, and [`SILENCE`] as the timeout.
    pub fn new(place: Place, security: Security) -> Self {
        Self {
            place,
            security,
            tls: TlsOptions::default(),
            proxy: None,
            timeout: SILENCE,
        }
    }

    /// POP3S: TLS from the first byte, on port 995 (RFC 8314 §3.3).
    pub fn pop3s(host: impl Into<String>) -> Self {
        Self::new(Place::tcp(host, 995), Security::ImplicitTls)
    }

    /// POP3 on port 110 with STLS (RFC 2595 §4); a server that does not take STLS is an error.
    pub fn stls(host: impl Into<String>) -> Self {
        Self::new(Place::tcp(host, 110), Security::Stls)
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A host by name or address, without brackets; all its addresses are tried.
    Tcp {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A socket in the file system.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Place {
    /// A host, by name or address, and a port.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp {
            host: host.into(),
            port,
        }
    }

    /// A socket in the file system. Its certificate, if it has TLS, is checked for `localhost`.
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(path.as_ref().to_owned())
    }

    /// The name that the server's certificate must bear, and that it is told (SNI, OAUTHBEARER).
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Tcp { host, .. } => host,
            #[cfg(unix)]
            Self::Unix(_) => "localhost",
        }
    }

    /// The TCP port.
    pub(crate) const fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whether and how a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS from the first byte.
    ImplicitTls,
    /// In the clear until STLS, which is required.
    Stls,
    /// In the clear throughout: whoever is on the way reads the password and the mail.
    DangerPlaintext,
}

/// Whom to trust, and as whom to appear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates to trust, in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The SHA-256 of the server's own certificate in DER. That certificate is taken whoever issued
    /// it, whatever its names and dates, and no other.
    pub pin_sha256: Option<[u8; 32]>,
    /// A certificate to show when the server asks for one; needed for EXTERNAL.
    pub client_certificate: Option<ClientCertificate>,
    /// Speak this version only; a probe's way to find out which ones the server takes.
    pub only: Option<TlsVersion>,
    /// Take any certificate. Whoever is on the way can then read the password and the mail.
    pub danger_accept_any_certificate: bool,
}

/// A client's certificate, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, then those that lead to its issuer.
    pub chain: PathBuf,
    /// Its private key; may be the same file.
    pub key: PathBuf,
}

/// A SOCKS5 proxy.
#[derive(Debug, Clone)]
pub struct Socks5 {
    /// `host:port` of the proxy.
    pub address: String,
    /// User and password, for a proxy that asks.
    pub login: Option<(String, Secret)>,
}

/// A version of TLS; older ones are not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}
