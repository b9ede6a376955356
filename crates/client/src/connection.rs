//! A connection before login: state AUTHORIZATION.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Capabilities, Error, Login, Reply, Server, Session, TlsFacts};

/// Connects, reads the greeting, and takes TLS as [`Server::security`] says: what comes back is
/// encrypted, unless that is `DangerPlaintext`.
pub async fn connect(_server: &Server) -> Result<Connection, Error> {
    Err(Error::Closed { outstanding: 0 })
}

/// A connection on which nobody has logged in.
#[derive(Debug)]
pub struct Connection {
    greeting: Reply,
    capabilities: Option<Capabilities>,
}

impl Connection {
    /// Speaks POP3 over a transport of the caller's, who vouches that nobody can listen on it: secrets
    /// are sent over it as if it were encrypted. Reads the greeting.
    pub async fn over_private<S>(_stream: S, _timeout: Duration) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Err(Error::Closed { outstanding: 0 })
    }

    /// The greeting.
    pub const fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// What the TLS handshake came to; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsFacts> {
        None
    }

    /// What the server can do before login. Asked once, after TLS. A server that refuses CAPA has
    /// [`Capabilities::unknown`].
    pub async fn capabilities(&mut self) -> Result<&Capabilities, Error> {
        Ok(self.capabilities.get_or_insert_default())
    }

    /// Logs in with the best mechanism that server and account have in common.
    ///
    /// Another mechanism is tried only if the refusal was not of the credentials, so that one wrong
    /// password is one failed login.
    pub async fn login(self, _login: &Login) -> Result<Session, Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// Leaves without logging in.
    pub async fn quit(self) -> Result<(), Error> {
        Ok(())
    }
}
