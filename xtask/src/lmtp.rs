//! An LMTP client for load and for checks (RFC 2033).

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection, good for many transactions.
pub(crate) struct Lmtp {
    reader: BufReader<TcpStream>,
}

impl Lmtp {
    /// Connects and says LHLO.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut lmtp = Self {
            reader: BufReader::new(socket),
        };
        lmtp.expect(b"220")?;
        lmtp.send(b"LHLO localhost\r\n")?;
        lmtp.expect(b"250")?;
        Ok(lmtp)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// A reply, however many lines, that has to begin with `code`.
    fn expect(&mut self, code: &[u8]) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            if line.as_bytes().starts_with(code) {
                return Ok(line);
            }
            return Err(io::Error::other(line.trim_end().to_owned()));
        }
    }

    /// Delivers one message, already stuffed and without terminator, to one recipient. The envelope
    /// is pipelined (RFC 2920), as MTAs do. Ok when 250 was read.
    pub(crate) fn deliver(&mut self, recipient: &str, stuffed: &[u8]) -> io::Result<()> {
        let envelope =
            format!("MAIL FROM:<sender@example.net>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n");
        self.send(envelope.as_bytes())?;
        self.expect(b"250")?;
        self.expect(b"250")?;
        self.expect(b"354")?;
        let mut data = Vec::with_capacity(stuffed.len() + 3);
        data.extend_from_slice(stuffed);
        data.extend_from_slice(b".\r\n");
        self.send(&data)?;
        self.expect(b"250").map(drop)
    }
}

/// Doubles the dots at line starts; `message` has CRLF line ends and ends in one.
pub(crate) fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    let mut start = true;
    for &byte in message {
        if start && byte == b'.' {
            out.push(b'.');
        }
        out.push(byte);
        start = byte == b'\n';
    }
    out
}
