//! Lines in, replies out, as the quirks shape them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::listener::Duplex;
use super::quirks::{Cut, Quirks, Trickle};

/// Longest input without a line end; a client that sends more is at fault.
const LINE_OCTETS: usize = 64 * 1024;

pub(super) struct Wire {
    /// `None` only while TLS takes it over.
    stream: Option<Box<dyn Duplex>>,
    shared: Arc<Shared>,
    input: Vec<u8>,
    cut: Option<Cut>,
    octets: u64,
    replies: usize,
    lf_only: bool,
    trickle: Option<Trickle>,
    one_command_a_read: bool,
    closes_on_pipelining: bool,
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// The same with LF for CRLF.
fn without_cr(bytes: &[u8]) -> Vec<u8> {
    let before_lf = |at: usize| bytes.get(at + 1) == Some(&b'\n');
    let kept = bytes.iter().enumerate();
    let kept = kept.filter(|(at, byte)| !(**byte == b'\r' && before_lf(*at)));
    kept.map(|(_, byte)| *byte).collect()
}

impl Wire {
    pub(super) fn new(
        stream: Box<dyn Duplex>,
        shared: Arc<Shared>,
        quirks: &Quirks,
        cut: Option<Cut>,
    ) -> Self {
        Self {
            stream: Some(stream),
            shared,
            input: Vec::new(),
            cut,
            octets: 0,
            replies: 0,
            lf_only: quirks.lf_only,
            trickle: quirks.trickle,
            one_command_a_read: quirks.one_command_a_read,
            closes_on_pipelining: quirks.closes_on_pipelining,
        }
    }

    fn stream(&mut self) -> io::Result<&mut Box<dyn Duplex>> {
        self.stream.as_mut().ok_or_else(gone)
    }

    /// Shakes hands; what was read before is not believed.
    pub(super) async fn encrypt(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        let plain = self.stream.take().ok_or_else(gone)?;
        self.input.clear();
        self.stream = Some(Box::new(acceptor.accept(plain).await?));
        Ok(())
    }

    /// Reads until the client gives up.
    pub(super) async fn swallow(&mut self) -> io::Result<()> {
        let mut some = [0; 4096];
        while self.stream()?.read(&mut some).await? > 0 {}
        Ok(())
    }

    /// The next line without its end; `None` when the client closes.
    pub(super) async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            if self.input.len() > LINE_OCTETS {
                return Err(gone());
            }
            let mut some = [0; 16 * 1024];
            let read = self.stream()?.read(&mut some).await?;
            if read == 0 {
                return Ok(None);
            }
            self.input.extend_from_slice(&some[..read]);
            self.take_pipelined()?;
        }
    }

    fn take_pipelined(&mut self) -> io::Result<()> {
        let end = self.input.iter().position(|byte| *byte == b'\n');
        let Some(end) = end.filter(|end| end + 1 < self.input.len()) else {
            return Ok(());
        };
        if self.closes_on_pipelining {
            return Err(gone());
        }
        if self.one_command_a_read {
            self.input.truncate(end + 1);
        }
        Ok(())
    }

    /// Whether another line is here already.
    pub(super) fn is_waiting(&self) -> bool {
        self.input.contains(&b'\n')
    }

    /// Sends a reply, or a part of one.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let shaped = if self.lf_only {
            without_cr(bytes)
        } else {
            bytes.to_vec()
        };
        let mut rest = &shaped[..];
        while !rest.is_empty() {
            let mut piece = rest.len().min(64 * 1024);
            if let Some(trickle) = self.trickle {
                piece = piece.min(trickle.octets);
            }
            if let Some(Cut::Octets(at)) = self.cut {
                let left = at.saturating_sub(self.octets);
                piece = piece.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
            if piece == 0 {
                return self.cut().await;
            }
            self.stream()?.write_all(&rest[..piece]).await?;
            self.stream()?.flush().await?;
            self.octets += piece as u64;
            self.shared
                .octets
                .fetch_add(piece as u64, Ordering::Relaxed);
            rest = &rest[piece..];
            if let Some(trickle) = self.trickle {
                tokio::time::sleep(trickle.pause).await;
            }
        }
        match self.cut {
            Some(Cut::Octets(at)) if self.octets >= at => self.cut().await,
            _ => Ok(()),
        }
    }

    /// Says that a reply is complete.
    pub(super) async fn replied(&mut self) -> io::Result<()> {
        self.replies += 1;
        match self.cut {
            Some(Cut::Replies(at)) if self.replies >= at => self.cut().await,
            _ => Ok(()),
        }
    }

    pub(super) async fn reply(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(bytes).await?;
        self.replied().await
    }

    /// Ends the connection without any farewell; what was sent arrives.
    async fn cut(&mut self) -> io::Result<()> {
        self.stream = None;
        Err(gone())
    }
}
