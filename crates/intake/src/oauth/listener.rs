//! Our own end of the redirection: RFC 8252 §7.3 on loopback, one good request, one page.
//!
//! Whatever else runs on this machine can connect here too. So only a GET of the exact path with our
//! state counts; anything else is told off, and the waiting goes on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::OAuthError;
use super::limits::{LOOPBACK_CONNECTIONS, LOOPBACK_REQUEST_OCTETS, LOOPBACK_REQUEST_WAIT};
use super::provider::Redirect;

/// Ports tried until one is free for both of `localhost`'s addresses.
const PORTS_TRIED: u32 = 20;

/// After an `accept` that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the browser came back; RFC 6749 §4.1.2.
#[derive(Debug)]
pub(super) enum Callback {
    /// With an authorization code.
    Code(String),
    /// With an error.
    Error {
        /// RFC 6749 §4.1.2.1.
        code: String,
        /// The provider's words.
        description: Option<String>,
    },
}

#[derive(Debug)]
pub(super) struct Listener {
    first: TcpListener,
    /// `localhost` has two addresses, where there is IPv6.
    second: Option<TcpListener>,
    port: u16,
}

impl Listener {
    pub(super) async fn bind(redirect: &Redirect) -> Result<Self, OAuthError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::bind_once(&redirect.addresses, redirect.port).await {
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && redirect.port == 0
                        && tries < PORTS_TRIED => {}
                result => return result.map_err(OAuthError::Listener),
            }
        }
    }

    async fn bind_once(addresses: &[IpAddr], port: u16) -> io::Result<Self> {
        let address = addresses.first().ok_or(io::ErrorKind::InvalidInput)?;
        let first = TcpListener::bind(SocketAddr::new(*address, port)).await?;
        let port = first.local_addr()?.port();
        let second = match addresses.get(1) {
            None => None,
            Some(address) => match TcpListener::bind(SocketAddr::new(*address, port)).await {
                Ok(listener) => Some(listener),
                // Somebody else would get what is sent to the other address.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(_no_ipv6) => None,
            },
        };
        Ok(Self {
            first,
            second,
            port,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the browser; without an end, so the caller sets one.
    pub(super) async fn wait(&self, path: &str, state: &str) -> Callback {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.accept(), if open.len() < LOOPBACK_CONNECTIONS => match accepted {
                    Ok(socket) => {
                        let (path, state) = (path.to_owned(), state.to_owned());
                        open.spawn(async move {
                            let served = tokio::time::timeout(LOOPBACK_REQUEST_WAIT, serve(socket, &path, &state));
                            served.await.ok()?.ok()?
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "accepting the browser's connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(served) = open.join_next() => {
                    if let Ok(Some(callback)) = served {
                        return callback;
                    }
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let Some(second) = &self.second else {
            return Ok(self.first.accept().await?.0);
        };
        tokio::select! {
            accepted = self.first.accept() => Ok(accepted?.0),
            accepted = second.accept() => Ok(accepted?.0),
        }
    }
}

/// One request, one page.
async fn serve(mut socket: TcpStream, path: &str, state: &str) -> io::Result<Option<Callback>> {
    let head = head(&mut socket).await?;
    let (status, text, callback) = match judge(&head, path, state) {
        Ok(callback) => {
            let text = match callback {
                Callback::Code(_) => "The answer has arrived; the terminal says what came of it.",
                Callback::Error { .. } => "Access was not granted; the terminal says why.",
            };
            ("200 OK", text, Some(callback))
        }
        Err((status, text)) => (status, text, None),
    };
    let answered = answer(&mut socket, status, text).await;
    // A browser that has gone before the page has still brought the code.
    if callback.is_none() {
        answered?;
    }
    Ok(callback)
}

/// A request up to its empty line.
async fn head(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = socket.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let searched = head.len().saturating_sub(3);
        head.extend_from_slice(&piece[..read]);
        if memchr::memmem::find(&head[searched..], b"\r\n\r\n").is_some() {
            return Ok(head);
        }
        if head.len() > LOOPBACK_REQUEST_OCTETS {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// What a request is: the awaited one, or a status and a sentence for it.
fn judge(head: &[u8], path: &str, state: &str) -> Result<Callback, (&'static str, &'static str)> {
    let bad = ("400 Bad Request", "This is not the answer that is awaited.");
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| bad)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(_version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad);
    };
    if method != "GET" {
        return Err(("405 Method Not Allowed", "Only GET is known here."));
    }
    if !target.starts_with('/') {
        return Err(bad);
    }
    let url = Url::parse(&format!("http://127.0.0.1{target}")).map_err(|_| bad)?;
    if url.path() != path {
        return Err(("404 Not Found", "There is nothing here."));
    }
    let one = |name: &str| {
        let mut values = url.query_pairs().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value.into_owned()),
            // RFC 6749 §3.1: a parameter is not to be there twice.
            _ => None,
        }
    };
    // RFC 6749 §10.12. Digests, because comparing those takes the same time wherever they differ.
    let given = one("state").ok_or(bad)?;
    if blake3::hash(given.as_bytes()) != blake3::hash(state.as_bytes()) {
        return Err(bad);
    }
    match (one("code"), one("error")) {
        (Some(code), None) if !code.is_empty() => Ok(Callback::Code(code)),
        (None, Some(code)) => Ok(Callback::Error {
            code,
            description: one("error_description"),
        }),
        _ => Err(bad),
    }
}

async fn answer(socket: &mut TcpStream, status: &str, text: &str) -> io::Result<()> {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Restante</title>\
         <p>{text}</p><p>You may close this window.</p></html>\n"
    );
    // The address in the browser holds the code: nothing may carry it on.
    let whole = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    socket.write_all(whole.as_bytes()).await?;
    socket.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &str) -> String {
        match judge(request.as_bytes(), "/back", "S1") {
            Ok(Callback::Code(code)) => format!("code {code}"),
            Ok(Callback::Error { code, description }) => format!("error {code} {description:?}"),
            Err((status, _)) => status[..3].to_owned(),
        }
    }

    #[test]
    fn only_the_exact_path_with_our_state_counts() {
        for (target, what) in [
            ("/back?code=C%2F1&state=S1", "code C/1"),
            (
                "/back?state=S1&error=access_denied&error_description=no+way",
                "error access_denied Some(\"no way\")",
            ),
            ("/back?code=C1&state=S2", "400"),
            ("/back?code=C1", "400"),
            ("/back?code=C1&state=S1&state=S1", "400"),
            ("/back?code=C1&code=C2&state=S1", "400"),
            ("/back?code=C1&error=e&state=S1", "400"),
            ("/back?code=&state=S1", "400"),
            ("/back/?code=C1&state=S1", "404"),
            ("/Back?code=C1&state=S1", "404"),
            ("/favicon.ico", "404"),
            ("http://evil.example/back?code=C1&state=S1", "400"),
        ] {
            assert_eq!(
                status(&format!("GET {target} HTTP/1.1\r\n\r\n")),
                what,
                "{target}"
            );
        }
        assert_eq!(
            status("POST /back?code=C1&state=S1 HTTP/1.1\r\n\r\n"),
            "405"
        );
        assert_eq!(status("GET /back?code=C1&state=S1\r\n\r\n"), "400");
        assert_eq!(status("\r\n\r\n"), "400");
    }
}
