//! A connection before login: state AUTHORIZATION.

use std::time::Duration;

use restante_proto::client::Command;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::auth::{Offer, choose};
use crate::dial::dial;
use crate::link::{Link, Wire};
use crate::{Capabilities, Error, Login, Reply, Security, Server, Session, TlsFacts, capabilities};

mod login;

/// Connects, reads the greeting, and takes TLS as [`Server::security`] says: what comes back is
/// encrypted, unless that is `DangerPlaintext`.
pub async fn connect(server: &Server) -> Result<Connection, Error> {
    let wire = Wire::Server(dial(server).await?);
    let mut link = Link::new(wire, server.timeout);
    let (greeting, line) = link.greeting().await?;
    let link = match server.security {
        Security::Stls => start_tls(link, server).await?,
        Security::ImplicitTls | Security::DangerPlaintext => link,
    };
    Ok(Connection {
        link,
        greeting,
        line,
        host: server.place.host().to_owned(),
        port: server.place.port(),
        in_clear: server.security == Security::DangerPlaintext,
        capabilities: None,
    })
}

/// RFC 2595 §4 STLS; state AUTHORIZATION. Whether CAPA lists it is not asked: anybody on the way could
/// take it out of there, and a server that has it says `+OK`.
async fn start_tls(mut link: Link, server: &Server) -> Result<Link, Error> {
    match link.ask(&Command::Stls).await {
        Ok(_) => {}
        Err(Error::Refused { reply, .. }) => return Err(Error::StlsRefused(Some(reply))),
        Err(Error::Closed { .. }) => return Err(Error::StlsRefused(None)),
        Err(error) => return Err(error),
    }
    let (stream, proto) = link.into_stream()?;
    let stream = stream.start_tls(server).await?;
    Ok(Link::over_tls(stream, proto, server.timeout))
}

/// A connection on which nobody has logged in.
#[derive(Debug)]
pub struct Connection {
    link: Link,
    greeting: Reply,
    /// The greeting as it was sent, for APOP.
    line: Vec<u8>,
    host: String,
    port: Option<u16>,
    /// Secrets may go as they are.
    in_clear: bool,
    capabilities: Option<Capabilities>,
}

impl Connection {
    /// Speaks POP3 over a transport of the caller's, who vouches that nobody can listen on it: secrets
    /// are sent over it as if it were encrypted. Reads the greeting.
    pub async fn over_private<S>(stream: S, timeout: Duration) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut link = Link::new(Wire::Private(Box::new(stream)), timeout);
        let (greeting, line) = link.greeting().await?;
        Ok(Self {
            link,
            greeting,
            line,
            host: "localhost".to_owned(),
            port: None,
            in_clear: true,
            capabilities: None,
        })
    }

    /// The greeting.
    pub const fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// What the TLS handshake came to; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.link.tls()
    }

    /// What the server can do before login. Asked once, after TLS. A server that refuses CAPA has
    /// [`Capabilities::unknown`].
    pub async fn capabilities(&mut self) -> Result<&Capabilities, Error> {
        if self.capabilities.is_none() {
            self.capabilities = Some(capabilities::ask(&mut self.link).await?);
        }
        Ok(self.capabilities.get_or_insert_default())
    }

    /// Logs in with the best mechanism that server and account have in common.
    ///
    /// Another mechanism is tried only if the server did not accept the first one at all, or refused
    /// it without [`ResponseCode::Auth`](crate::ResponseCode::Auth) and the other one proves the password
    /// in another way: one wrong password shall not be many failed logins.
    pub async fn login(mut self, login: &Login) -> Result<Session, Error> {
        let capabilities = self.capabilities().await?.clone();
        let attempts = choose(
            login,
            &Offer {
                mechanisms: capabilities.mechanisms().collect(),
                user: capabilities.has("USER") || !capabilities.is_known(),
                greeting: &self.line,
                tls: self.link.tls(),
                danger_plaintext: self.in_clear,
                host: &self.host,
                port: self.port,
            },
        )?;
        match login::log_in(&mut self.link, attempts).await {
            Ok(()) => Ok(Session::new(self.link, capabilities)),
            Err(error) => Err(login::without_secret(error, &login.credentials)),
        }
    }

    /// Leaves without logging in.
    pub async fn quit(mut self) -> Result<(), Error> {
        self.link.ask(&Command::Quit).await?;
        self.link.close().await;
        Ok(())
    }
}
