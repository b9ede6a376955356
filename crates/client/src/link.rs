//! The pump between the protocol and the network: the only place that waits for the server.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use restante_proto::client::{self as proto, Asked, Command};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use crate::limits::{FAREWELL, QUIET_END};
use crate::stream::Stream;
use crate::{Error, Reply, TlsFacts, Waiting};

/// A transport of the caller's.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// What bytes go over.
pub(crate) enum Wire {
    Server(Stream),
    Private(Box<dyn Transport>),
}

macro_rules! on_wire {
    ($wire:expr, $inner:ident => $call:expr) => {
        match $wire {
            Wire::Server($inner) => $call,
            Wire::Private($inner) => $call,
        }
    };
}

/// A protocol session, and what it goes over.
pub(crate) struct Link {
    wire: Wire,
    proto: proto::Session,
    timeout: Duration,
    /// Something was written that may not have left.
    unflushed: bool,
    /// Nothing more can be sent; what the server sent before may still be read.
    deaf: Option<io::Error>,
    /// The most replies that were due at once since none was.
    peak: usize,
    over: bool,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("proto", &self.proto)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Over a new connection.
    pub(crate) fn new(wire: Wire, timeout: Duration) -> Self {
        Self {
            wire,
            proto: proto::Session::new(),
            timeout,
            unflushed: false,
            deaf: None,
            peak: 1,
            over: false,
        }
    }

    pub(crate) fn tls(&self) -> Option<&TlsFacts> {
        match &self.wire {
            Wire::Server(stream) => stream.tls(),
            Wire::Private(_) => None,
        }
    }

    /// RFC 2595 §4 STLS; state AUTHORIZATION. After its `+OK`: the stream, if no byte came after that.
    pub(crate) fn into_stream(self) -> Result<(Stream, proto::Session), Error> {
        let proto = self.proto.over_tls().ok_or(Error::Injected)?;
        match self.wire {
            Wire::Server(stream) => Ok((stream, proto)),
            Wire::Private(_) => Err(Error::StlsRefused(None)),
        }
    }

    /// Goes on over TLS.
    pub(crate) fn over_tls(stream: Stream, proto: proto::Session, timeout: Duration) -> Self {
        Self {
            proto,
            ..Self::new(Wire::Server(stream), timeout)
        }
    }

    pub(crate) fn limit_bodies(&mut self, octets: Option<u64>) {
        self.proto.limit_bodies(octets);
    }

    /// The size of the message that is asked for next, all by itself.
    pub(crate) fn expect_body(&mut self, octets: Option<u64>) {
        self.proto.expect_body(octets);
    }

    /// How many replies are due.
    pub(crate) fn due(&self) -> usize {
        self.proto.due()
    }

    /// Adds a command to what is sent at the next wait.
    pub(crate) fn push(&mut self, command: &Command<'_>) -> Result<(), Error> {
        if self.proto.due() == 0 {
            self.peak = 0;
        }
        self.proto.push(command).map_err(|_line_end| {
            Error::Configuration("a name or password holds a line end or NUL".into())
        })?;
        self.peak = self.peak.max(self.proto.due());
        Ok(())
    }

    pub(crate) fn respond(&mut self, response: &[u8]) {
        self.proto.respond(response);
    }

    pub(crate) fn cancel(&mut self) {
        self.proto.cancel();
    }

    /// Waits for the next event. Cancelled, it loses nothing.
    pub(crate) async fn advance(&mut self) -> Result<(), Error> {
        if self.over {
            return Err(Error::Closed { outstanding: 0 });
        }
        let result = self.run().await;
        self.over |= result.is_err();
        result
    }

    async fn run(&mut self) -> Result<(), Error> {
        if !self.proto.output().is_empty() {
            // What can go goes before what has come is looked at: the server need not wait for that.
            poll_fn(|cx| {
                let _ = self.poll_write(cx);
                Poll::Ready(())
            })
            .await;
        }
        loop {
            match self.proto.advance() {
                Ok(true) => return Ok(()),
                Ok(false) => self.turn().await?,
                Err(fault) => return Err(self.fault(fault)),
            }
        }
    }

    /// The event that [`Link::advance`] came to.
    pub(crate) fn event(&self) -> Result<proto::Event<'_>, Error> {
        self.proto.event().ok_or(Error::Closed { outstanding: 0 })
    }

    /// Writes what is to be written and reads what there is, until either makes progress.
    async fn turn(&mut self) -> Result<(), Error> {
        let quiet = self.proto.may_have_ended() && self.proto.output().is_empty();
        let patience = match quiet {
            true => QUIET_END.min(self.timeout),
            false => self.timeout,
        };
        match timeout(patience, poll_fn(|cx| self.poll_turn(cx))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_elapsed) if quiet => {
                self.proto.end_quietly();
                Ok(())
            }
            Err(_elapsed) => Err(self.silent()),
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wrote = self.poll_write(cx).is_ready();
        let mut space = ReadBuf::new(self.proto.space());
        let read = on_wire!(&mut self.wire, wire => Pin::new(wire).poll_read(cx, &mut space));
        match read {
            Poll::Ready(Ok(())) => {
                let octets = space.filled().len();
                if octets == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                self.proto.filled(octets);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if wrote => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready = some went out. A failure is kept: the server may have said why before it hung up.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wrote = Poll::Pending;
        while self.deaf.is_none() && !self.proto.output().is_empty() {
            let output = self.proto.output();
            match on_wire!(&mut self.wire, wire => Pin::new(wire).poll_write(cx, output)) {
                Poll::Ready(Ok(0)) => self.deaf = Some(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(octets)) => {
                    self.proto.sent(octets);
                    self.unflushed = true;
                    wrote = Poll::Ready(());
                }
                Poll::Ready(Err(error)) => self.deaf = Some(error),
                Poll::Pending => break,
            }
        }
        if self.unflushed && self.deaf.is_none() {
            match on_wire!(&mut self.wire, wire => Pin::new(wire).poll_flush(cx)) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => self.deaf = Some(error),
                Poll::Pending => {}
            }
        }
        wrote
    }

    /// The end of the stream, however it looks: whether TLS was closed in due form does not matter, as no
    /// reply is whole without its own end.
    fn broken(&mut self, error: io::Error) -> Error {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Error::Closed {
                outstanding: self.due(),
            },
            _ => Error::Network(error),
        }
    }

    fn silent(&self) -> Error {
        if !self.proto.output().is_empty() || self.unflushed {
            Error::Timeout(Waiting::Writing)
        } else if self.due() > 1 {
            Error::Stalled {
                outstanding: self.due(),
            }
        } else {
            Error::Timeout(Waiting::Reply)
        }
    }

    fn fault(&self, fault: proto::Fault) -> Error {
        match fault {
            proto::Fault::Limit(limit) => Error::Limit(limit),
            proto::Fault::Desync { .. } | proto::Fault::Doubtful { .. } => Error::Desync {
                what: fault.to_string().into(),
                outstanding: self.peak,
            },
        }
    }

    /// The greeting, as text after `+OK`.
    pub(crate) async fn greeting(&mut self) -> Result<(Reply, Vec<u8>), Error> {
        match self.advance().await {
            Err(Error::Timeout(_)) => return Err(Error::Timeout(Waiting::Greeting)),
            other => other?,
        }
        match self.event()? {
            proto::Event::Positive(Asked::Greeting, reply) => {
                let text = reply.text.to_vec();
                Ok((reply.into(), text))
            }
            other => Err(refused(&other)),
        }
    }

    /// Sends a command whose reply is one line and waits for it.
    pub(crate) async fn ask(&mut self, command: &Command<'_>) -> Result<Reply, Error> {
        self.push(command)?;
        self.advance().await?;
        match self.event()? {
            proto::Event::Positive(_, reply) => Ok(reply.into()),
            other => Err(refused(&other)),
        }
    }

    /// Reads the replies that are still due and passes over them.
    pub(crate) async fn drain(&mut self) -> Result<(), Error> {
        while self.due() > 0 {
            self.advance().await?;
        }
        Ok(())
    }

    /// Takes leave of the transport; nobody waits long for that.
    pub(crate) async fn close(mut self) {
        let farewell = async { on_wire!(&mut self.wire, wire => wire.shutdown().await) };
        // Everything that mattered was said before.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// `-ERR` as an error; what is neither is out of place.
pub(crate) fn refused(event: &proto::Event<'_>) -> Error {
    match event {
        proto::Event::Negative(asked, reply) => Error::Refused {
            command: asked.keyword(),
            reply: reply.clone().into(),
        },
        _ => Error::Desync {
            what: "a reply that is not the one due".into(),
            outstanding: 1,
        },
    }
}

impl From<proto::Reply<'_>> for Reply {
    fn from(reply: proto::Reply<'_>) -> Self {
        let shown = |c: char| match c.is_control() {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        };
        Self {
            code: reply.code,
            text: String::from_utf8_lossy(reply.text)
                .chars()
                .map(shown)
                .collect(),
        }
    }
}
