//! The load: a POP3 client that costs as little as it can and believes nothing. A reply counts when
//! status, octets and terminator are as they have to be.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::mailset::Mailbox;
use crate::program::PASSWORD;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Octets that were read and not used yet; lent to one connection after another.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Buffer {
    pub(super) fn new(octets: usize) -> Self {
        Self {
            bytes: vec![0; octets],
            at: 0,
            end: 0,
        }
    }
}

/// Where to connect.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// One connection; it holds no buffer.
pub(super) struct Client(Link);

/// A reply that is not what it has to be.
fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

impl Client {
    /// Connects and takes the greeting. Whatever the buffer held is forgotten.
    pub(super) fn connect(target: &Target, buffer: &mut Buffer) -> io::Result<Self> {
        (buffer.at, buffer.end) = (0, 0);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, target.port));
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let link = match &target.tls {
            None => Link::Plain(socket),
            Some(config) => {
                let name = "localhost".try_into().map_err(io::Error::other)?;
                let session = ClientConnection::new(Arc::clone(config), name);
                let session = session.map_err(io::Error::other)?;
                Link::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        let mut client = Self(link);
        client.status(buffer)?;
        Ok(client)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Link::Plain(socket) => socket.write_all(bytes),
            Link::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Reads more behind what is there, which moves to the front.
    fn fill(&mut self, buffer: &mut Buffer) -> io::Result<()> {
        buffer.bytes.copy_within(buffer.at..buffer.end, 0);
        (buffer.at, buffer.end) = (0, buffer.end - buffer.at);
        let room = &mut buffer.bytes[buffer.end..];
        let read = match &mut self.0 {
            Link::Plain(socket) => socket.read(room)?,
            Link::Tls(stream) => stream.read(room)?,
        };
        buffer.end += read;
        match read {
            0 => Err(wrong("the server closed, or a line is too long")),
            _ => Ok(()),
        }
    }

    /// Takes a status line that has to be `+OK`; `use_line` sees it without its line end.
    fn status_with<T>(
        &mut self,
        buffer: &mut Buffer,
        use_line: impl FnOnce(&[u8]) -> Option<T>,
    ) -> io::Result<T> {
        loop {
            let fresh = &buffer.bytes[buffer.at..buffer.end];
            let Some(end) = memchr::memchr(b'\n', fresh) else {
                self.fill(buffer)?;
                continue;
            };
            let line = fresh[..end].strip_suffix(b"\r").unwrap_or(b"");
            let good = line.starts_with(b"+OK").then(|| use_line(line)).flatten();
            let said = || wrong(String::from_utf8_lossy(&fresh[..end]).into_owned());
            let result = good.ok_or_else(said);
            buffer.at += end + 1;
            return result;
        }
    }

    fn status(&mut self, buffer: &mut Buffer) -> io::Result<()> {
        self.status_with(buffer, |_| Some(()))
    }

    fn command(&mut self, command: &[u8], buffer: &mut Buffer) -> io::Result<()> {
        self.send(command)?;
        self.status(buffer)
    }

    /// Takes the rest of a multi-line reply, terminator included, and shows it piece by piece. Returns
    /// its octets.
    fn multi(&mut self, buffer: &mut Buffer, mut seen: impl FnMut(&[u8])) -> io::Result<u64> {
        let mut passed = 0;
        loop {
            let fresh = &buffer.bytes[buffer.at..buffer.end];
            let end = if passed == 0 && fresh.starts_with(b".\r\n") {
                Some(3)
            } else {
                memchr::memmem::find(fresh, b"\r\n.\r\n").map(|at| at + 5)
            };
            // Without an end, the last octets are kept: the terminator may begin in them.
            let take = end.unwrap_or_else(|| fresh.len().saturating_sub(4));
            seen(&fresh[..take]);
            buffer.at += take;
            passed += take as u64;
            if end.is_some() {
                return Ok(passed);
            }
            self.fill(buffer)?;
        }
    }

    /// USER and PASS.
    pub(super) fn login(&mut self, user: &str, buffer: &mut Buffer) -> io::Result<()> {
        self.command(format!("USER {user}\r\n").as_bytes(), buffer)?;
        self.command(format!("PASS {PASSWORD}\r\n").as_bytes(), buffer)
    }

    /// STAT, which has to tell `count` messages of `octets` octets.
    pub(super) fn stat(
        &mut self,
        count: usize,
        octets: u64,
        buffer: &mut Buffer,
    ) -> io::Result<()> {
        let wanted = format!("+OK {count} {octets}");
        self.send(b"STAT\r\n")?;
        self.status_with(buffer, |line| {
            line.starts_with(wanted.as_bytes()).then_some(())
        })
    }

    /// STAT's number of messages.
    pub(super) fn count(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        self.send(b"STAT\r\n")?;
        self.status_with(buffer, |line| {
            std::str::from_utf8(line)
                .ok()?
                .split(' ')
                .nth(1)?
                .parse()
                .ok()
        })
    }

    /// UIDL or LIST, which has to have one line a message.
    pub(super) fn listing(
        &mut self,
        command: &str,
        count: usize,
        buffer: &mut Buffer,
    ) -> io::Result<()> {
        self.command(format!("{command}\r\n").as_bytes(), buffer)?;
        let mut lines = 0;
        self.multi(buffer, |piece| {
            lines += memchr::memchr_iter(b'\n', piece).count();
        })?;
        if lines == count + 1 {
            return Ok(());
        }
        Err(wrong(format!("{command}: {lines} lines, {count} messages")))
    }

    /// LIST, whose every line has to be the message's number and its size.
    pub(super) fn exact_list(&mut self, mailbox: &Mailbox, buffer: &mut Buffer) -> io::Result<()> {
        self.command(b"LIST\r\n", buffer)?;
        let mut got = Vec::new();
        self.multi(buffer, |piece| got.extend_from_slice(piece))?;
        let wanted: String = (0..mailbox.count)
            .map(|index| format!("{} {}\r\n", index + 1, mailbox.size(index)))
            .collect();
        if got.strip_suffix(b".\r\n") == Some(wanted.as_bytes()) {
            return Ok(());
        }
        Err(wrong(format!("LIST of {} is wrong", mailbox.user)))
    }

    /// RETR, which has to bring exactly the message that went in.
    pub(super) fn exact(
        &mut self,
        mailbox: &Mailbox,
        index: usize,
        buffer: &mut Buffer,
    ) -> io::Result<()> {
        self.command(format!("RETR {}\r\n", index + 1).as_bytes(), buffer)?;
        let mut got = Vec::new();
        self.multi(buffer, |piece| got.extend_from_slice(piece))?;
        let wanted = crate::lmtp::stuffed(&mailbox.message(index));
        if got.strip_suffix(b".\r\n") == Some(&wanted) {
            return Ok(());
        }
        Err(wrong(format!(
            "message {} of {} is not what went in",
            index + 1,
            mailbox.user
        )))
    }

    /// RETR of all messages with at most `window` of them asked for and not answered.
    pub(super) fn retrieve_all(
        &mut self,
        mailbox: &Mailbox,
        window: usize,
        buffer: &mut Buffer,
    ) -> io::Result<()> {
        let mut asked = 0;
        let mut commands = Vec::new();
        for index in 0..mailbox.count {
            // Half a window at once: one write asks for several.
            if asked - index <= window / 2 {
                commands.clear();
                while asked < mailbox.count && asked < index + window {
                    asked += 1;
                    write!(commands, "RETR {asked}\r\n")?;
                }
                self.send(&commands)?;
            }
            self.status(buffer)?;
            let octets = self.multi(buffer, |_| {})?;
            if octets != mailbox.wire(index) {
                let number = index + 1;
                return Err(wrong(format!("RETR {number}: {octets} octets")));
            }
        }
        Ok(())
    }

    /// DELE of the first `count` messages.
    pub(super) fn delete_first(&mut self, count: usize, buffer: &mut Buffer) -> io::Result<()> {
        // So many that the replies to them fit between the two ends.
        const AT_ONCE: usize = 500;
        let mut commands = Vec::new();
        for begin in (1..=count).step_by(AT_ONCE) {
            let numbers = begin..=count.min(begin + AT_ONCE - 1);
            commands.clear();
            for number in numbers.clone() {
                write!(commands, "DELE {number}\r\n")?;
            }
            self.send(&commands)?;
            for _ in numbers {
                self.status(buffer)?;
            }
        }
        Ok(())
    }

    /// QUIT.
    pub(super) fn quit(mut self, buffer: &mut Buffer) -> io::Result<()> {
        self.command(b"QUIT\r\n", buffer)
    }
}

/// One session: login, STAT, UIDL, perhaps every message, QUIT.
pub(super) fn session(
    target: &Target,
    mailbox: &Mailbox,
    octets: u64,
    retrieve: bool,
    buffer: &mut Buffer,
) -> io::Result<()> {
    let mut client = Client::connect(target, buffer)?;
    client.login(&mailbox.user, buffer)?;
    client.stat(mailbox.count, octets, buffer)?;
    client.listing("UIDL", mailbox.count, buffer)?;
    if retrieve {
        client.retrieve_all(mailbox, 1, buffer)?;
    }
    client.quit(buffer)
}
