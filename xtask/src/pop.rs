//! A POP3 client for load and for checks: blocking, exact, and impatient.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::program::PASSWORD;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What one read takes.
const READ_OCTETS: usize = 32 * 1024;

/// One connection.
pub(crate) struct Pop {
    socket: TcpStream,
    /// Octets that were read lie from `at` to `end`.
    got: Vec<u8>,
    at: usize,
    end: usize,
}

/// An error that says what the server said.
fn odd(what: &str, line: &[u8]) -> io::Error {
    io::Error::other(format!(
        "{what}: {}",
        String::from_utf8_lossy(line).trim_end()
    ))
}

/// TLS as a client that trusts one certificate and remembers no session: every handshake is full.
pub(crate) fn tls_config(certificate: &std::path::Path) -> crate::Fallible<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certificate)? {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

impl Pop {
    /// Connects in clear and reads the greeting.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let mut pop = Self::open(port)?;
        pop.expect_ok("greeting")?;
        Ok(pop)
    }

    fn open(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            got: Vec::new(),
            at: 0,
            end: 0,
        })
    }

    /// How long a read waits before it fails.
    pub(crate) fn patience(&self, limit: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(limit))
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
        } else if self.end == self.got.len() {
            self.got.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
        }
        if self.end == self.got.len() {
            self.got.resize((self.got.len() * 2).max(READ_OCTETS), 0);
        }
        let room = &mut self.got[self.end..];
        let read = self.socket.read(room)?;
        self.end += read;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// One line with its line end.
    pub(crate) fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let fresh = &self.got[self.at..self.end];
            if let Some(end) = memchr::memchr(b'\n', &fresh[searched..]) {
                let line = fresh[..=searched + end].to_vec();
                self.at += line.len();
                return Ok(line);
            }
            searched = fresh.len();
            self.fill()?;
        }
    }

    /// A status line that has to be `+OK`.
    pub(crate) fn expect_ok(&mut self, what: &str) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        if line.starts_with(b"+OK") && line.ends_with(b"\r\n") {
            return Ok(line);
        }
        Err(odd(what, &line))
    }

    /// The rest of a multi-line reply as it is on the wire, terminator included.
    pub(crate) fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            let fresh = &self.got[self.at..self.end];
            if let Some(end) = end_of_body(fresh, searched) {
                let body = fresh[..end].to_vec();
                self.at += end;
                return Ok(body);
            }
            searched = fresh.len().saturating_sub(4);
            self.fill()?;
        }
    }

    /// Reads past a multi-line reply and returns its length on the wire.
    pub(crate) fn skip_body(&mut self) -> io::Result<usize> {
        // The last octets are kept back, because the terminator may begin in them.
        let mut passed = 0;
        loop {
            let fresh = &self.got[self.at..self.end];
            let end = if passed == 0 {
                end_of_body(fresh, 0)
            } else {
                end_inside(fresh)
            };
            if let Some(end) = end {
                self.at += end;
                return Ok(passed + end);
            }
            let keep = fresh.len().min(4);
            if passed > 0 || fresh.len() > 4 {
                passed += fresh.len() - keep;
                self.at += fresh.len() - keep;
            }
            self.fill()?;
        }
    }

    /// Sends a command and takes its `+OK`.
    pub(crate) fn command(&mut self, command: &str) -> io::Result<Vec<u8>> {
        self.send(format!("{command}\r\n").as_bytes())?;
        self.expect_ok(command)
    }

    /// USER and PASS.
    pub(crate) fn login(&mut self, user: &str) -> io::Result<()> {
        self.command(&format!("USER {user}"))?;
        self.command(&format!("PASS {PASSWORD}")).map(drop)
    }

    /// STAT: how many messages, how many octets.
    pub(crate) fn stat(&mut self) -> io::Result<(u64, u64)> {
        let line = self.command("STAT")?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let mut numbers = text.split_whitespace().skip(1).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(count)), Some(Ok(octets))) => Ok((count, octets)),
            _ => Err(odd("STAT", &line)),
        }
    }

    /// A multi-line listing without its terminator, a line each.
    pub(crate) fn listing(&mut self, command: &str) -> io::Result<Vec<String>> {
        self.command(command)?;
        let body = self.body()?;
        let text = String::from_utf8_lossy(&body[..body.len() - 3]).into_owned();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// RETR, unstuffed.
    pub(crate) fn retrieve(&mut self, number: u64) -> io::Result<Vec<u8>> {
        self.command(&format!("RETR {number}"))?;
        Ok(unstuffed(&self.body()?))
    }

    /// QUIT; returns only when `+OK` was read.
    pub(crate) fn quit(&mut self) -> io::Result<()> {
        self.command("QUIT").map(drop)
    }
}

/// RFC 1939 §3: the end of a multi-line reply that begins with `bytes`, searched from `from`.
fn end_of_body(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.starts_with(b".\r\n") {
        return Some(3);
    }
    end_inside(&bytes[from..]).map(|end| from + end)
}

/// The same where `bytes` do not begin at the reply's start.
fn end_inside(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n.\r\n").map(|at| at + 5)
}

/// RFC 1939 §3: takes away the terminator and the stuffing.
pub(crate) fn unstuffed(body: &[u8]) -> Vec<u8> {
    let body = &body[..body.len() - 3];
    let mut out = Vec::with_capacity(body.len());
    let mut start = true;
    for (at, &byte) in body.iter().enumerate() {
        if !(start && byte == b'.') {
            out.push(byte);
        }
        start = byte == b'\n' && at > 0 && body[at - 1] == b'\r';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_at_its_terminator_only() {
        assert_eq!(end_of_body(b".\r\n", 0), Some(3));
        assert_eq!(end_of_body(b"a.\r\n.\r\nx", 0), Some(7));
        assert_eq!(end_of_body(b"a\r\n..\r\n", 0), None);
        assert_eq!(end_of_body(b"a\n.\r\n", 0), None);
    }

    #[test]
    fn stuffing_is_taken_away_at_line_starts_only() {
        assert_eq!(
            unstuffed(b"..a\r\n.b.\r\n..\r\n.\r\n"),
            b".a\r\nb.\r\n.\r\n"
        );
        assert_eq!(unstuffed(b".\r\n"), b"");
    }
}
