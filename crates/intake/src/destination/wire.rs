//! A connection to a server that is spoken to in lines.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use restante_client::{Error, Place, Server, Stream, dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{DestinationError, Fault};
use super::limits::TEXT_OCTETS;

/// What ended a connection.
#[derive(Debug)]
pub(super) enum Broken {
    /// By the peer, or on the way.
    Lost(io::Error),
    /// It was silent for so long.
    Silent(Duration),
    /// It sent more than any such peer sends, or nothing that makes sense.
    Nonsense(String),
}

impl Broken {
    /// As an error about the destination, called `name`, while it was asked for `what`.
    pub(super) fn into_error(self, name: &str, what: &str) -> DestinationError {
        let fault = match self {
            Self::Lost(_) | Self::Silent(_) => Fault::Unavailable,
            Self::Nonsense(_) => Fault::Protocol,
        };
        DestinationError::whole(fault, format!("{name}: {what}: {self}"))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the server closed the connection")
            }
            Self::Lost(error) => write!(f, "the connection was lost: {error}"),
            Self::Silent(time) => write!(f, "no answer within {} s", time.as_secs()),
            Self::Nonsense(what) => f.write_str(what),
        }
    }
}

/// A connection, with what was read and not yet used.
pub(super) struct Wire {
    /// `None` only while TLS is put on.
    stream: Option<Stream>,
    input: Vec<u8>,
    /// How much of `input` is used.
    used: usize,
    /// How long a single wait may last.
    timeout: Duration,
}

impl Wire {
    /// Connects, with TLS if it is implicit.
    pub(super) async fn connect(server: &Server, name: &str) -> Result<Self, DestinationError> {
        let stream = dial(server).await.map_err(|e| dial_error(name, &e))?;
        Ok(Self {
            stream: Some(stream),
            input: Vec::new(),
            used: 0,
            timeout: server.timeout,
        })
    }

    /// What a peer would send, and then close.
    #[cfg(test)]
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            stream: None,
            input: bytes.to_vec(),
            used: 0,
            timeout: Duration::from_secs(5),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Puts TLS on, after the server has agreed to STARTTLS. What it sent beyond that is an attack or a
    /// mistake, never to be taken for an answer that came inside.
    pub(super) async fn start_tls(
        &mut self,
        server: &Server,
        name: &str,
    ) -> Result<(), DestinationError> {
        if self.used < self.input.len() {
            return Err(dial_error(name, &Error::Injected));
        }
        let closed = || closed().into_error(name, "STARTTLS");
        let stream = self.stream.take().ok_or_else(closed)?;
        let stream = stream.start_tls(server).await;
        self.stream = Some(stream.map_err(|e| dial_error(name, &e))?);
        Ok(())
    }

    /// Sends all of it.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        let stream = self.stream.as_mut().ok_or_else(closed)?;
        while !bytes.is_empty() {
            let written = timeout(self.timeout, stream.write(bytes)).await;
            let written = written.map_err(|_| Broken::Silent(self.timeout))?;
            match written.map_err(Broken::Lost)? {
                0 => return Err(Broken::Lost(io::ErrorKind::WriteZero.into())),
                some => bytes = &bytes[some..],
            }
        }
        let flushed = timeout(self.timeout, stream.flush()).await;
        let flushed = flushed.map_err(|_| Broken::Silent(self.timeout))?;
        flushed.map_err(Broken::Lost)
    }

    /// The next line, without its line end.
    pub(super) async fn line(&mut self, limit: usize, until: Until) -> Result<Vec<u8>, Broken> {
        let mut seen = 0;
        loop {
            let rest = &self.input[self.used..];
            let end = memchr::memchr(b'\n', &rest[seen..]).map(|at| seen + at);
            if let Some(end) = end.filter(|&end| end <= limit) {
                let line = &rest[..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.used += end + 1;
                return Ok(line);
            }
            seen = rest.len();
            if end.is_some() || seen > limit {
                return Err(Broken::Nonsense(format!(
                    "the server sent a line of more than {limit} octets"
                )));
            }
            self.fill(until).await?;
        }
    }

    /// The next `octets` octets.
    pub(super) async fn exactly(&mut self, octets: usize, until: Until) -> Result<Vec<u8>, Broken> {
        while self.input.len() - self.used < octets {
            self.fill(until).await?;
        }
        let taken = self.input[self.used..self.used + octets].to_vec();
        self.used += octets;
        Ok(taken)
    }

    async fn fill(&mut self, until: Until) -> Result<(), Broken> {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.reserve(READ_OCTETS);
        let stream = self.stream.as_mut().ok_or_else(closed)?;
        let read = timeout_at(until.at, stream.read_buf(&mut self.input)).await;
        let read = read.map_err(|_| Broken::Silent(until.wait))?;
        match read.map_err(Broken::Lost)? {
            0 => Err(closed()),
            _ => Ok(()),
        }
    }
}

/// Replies are short: this is enough for most, and no bound.
const READ_OCTETS: usize = 4096;

fn closed() -> Broken {
    Broken::Lost(io::ErrorKind::UnexpectedEof.into())
}

fn dial_error(name: &str, error: &Error) -> DestinationError {
    let fault = match error {
        Error::Tls(_) | Error::Pin { .. } | Error::StlsRefused(_) => Fault::Permission,
        Error::Configuration(_) => Fault::Configuration,
        Error::Injected | Error::Desync { .. } | Error::Limit(_) => Fault::Protocol,
        _ => Fault::Unavailable,
    };
    DestinationError::whole(fault, format!("{name}: {error}"))
}

/// Whether what is sent there stays on this machine.
pub(super) fn is_local(place: &Place) -> bool {
    match place {
        Place::Tcp { host, .. } => match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        },
        #[cfg(unix)]
        Place::Unix(_) => true,
    }
}

/// By when a whole reply must be there, however it trickles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    at: Instant,
    wait: Duration,
}

impl Until {
    pub(super) fn now_and(wait: Duration) -> Self {
        Self {
            at: Instant::now() + wait,
            wait,
        }
    }
}

/// A peer's text for an error: no control characters, not too long.
pub(super) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(TEXT_OCTETS)]);
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().map(plain).collect();
    text.trim().to_owned()
}
