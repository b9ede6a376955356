//! A session after login: state TRANSACTION.

use restante_proto::client::{Command, Event};

use crate::capabilities;
use crate::limits::WINDOW_COMMANDS;
use crate::link::{Link, refused};
use crate::listing::{ScanListing, UniqueIdListing};
use crate::{Capabilities, Error, Pipeline, Reply, Request, Scan, TlsFacts, Totals, Window};

/// A maildrop that is open. Dropped, it deletes nothing: only [`Session::quit`] does.
#[derive(Debug)]
pub struct Session {
    pub(crate) link: Link,
    before: Capabilities,
    pub(crate) after: Option<Capabilities>,
}

impl Session {
    /// After login; `before` is what the server could do until then.
    pub(crate) const fn new(link: Link, before: Capabilities) -> Self {
        Self {
            link,
            before,
            after: None,
        }
    }

    /// What the TLS handshake came to; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.link.tls()
    }

    /// What the server can do after login, which may be more than before. Asked once.
    pub async fn capabilities(&mut self) -> Result<&Capabilities, Error> {
        if self.after.is_none() {
            self.link.drain().await?;
            self.after = Some(capabilities::ask(&mut self.link).await?);
        }
        Ok(self.after.as_ref().unwrap_or(&self.before))
    }

    /// Whether the server says that commands may be pipelined, by what it has said last.
    pub fn pipelining(&self) -> bool {
        self.after.as_ref().unwrap_or(&self.before).pipelining()
    }

    /// Ends a body with [`Error::Limit`] after so many octets. Without it bodies are as long as they
    /// are; they stream, so that only the caller's disk minds.
    pub fn limit_bodies(&mut self, octets: Option<u64>) {
        self.link.limit_bodies(octets);
    }

    /// Sends a command and waits for the first event of its reply. What an earlier call left unread goes.
    async fn ask(&mut self, command: &Command<'_>) -> Result<Event<'_>, Error> {
        self.link.drain().await?;
        self.link.push(command)?;
        self.link.advance().await?;
        self.link.event()
    }

    async fn simply(&mut self, command: &Command<'_>) -> Result<(), Error> {
        match self.ask(command).await? {
            Event::Positive(..) => Ok(()),
            other => Err(refused(&other)),
        }
    }

    /// STAT: how many messages the server claims, and how many octets.
    pub async fn stat(&mut self) -> Result<Totals, Error> {
        match self.ask(&Command::Stat).await? {
            Event::Totals { count, octets } => Ok(Totals { count, octets }),
            other => Err(refused(&other)),
        }
    }

    /// LIST: the scan listing.
    pub async fn list(&mut self) -> Result<ScanListing<'_>, Error> {
        self.simply(&Command::List).await?;
        Ok(ScanListing::of(self))
    }

    /// LIST of one message.
    pub async fn scan(&mut self, number: u64) -> Result<Scan, Error> {
        match self.ask(&Command::ListOne(number)).await? {
            Event::Scan { number, octets } => Ok(Scan { number, octets }),
            other => Err(refused(&other)),
        }
    }

    /// UIDL: the unique-id listing. Worth asking for even where it is not advertised.
    pub async fn unique_ids(&mut self) -> Result<UniqueIdListing<'_>, Error> {
        self.simply(&Command::Uidl).await?;
        Ok(UniqueIdListing::of(self))
    }

    /// UIDL of one message.
    pub async fn unique_id(&mut self, number: u64) -> Result<Vec<u8>, Error> {
        match self.ask(&Command::UidlOne(number)).await? {
            Event::UniqueId { id, .. } => Ok(id.to_vec()),
            other => Err(refused(&other)),
        }
    }

    /// RETR: passes the message's bytes on, piece by piece. Whole only if this returns `Ok`.
    pub async fn retrieve(&mut self, number: u64, sink: impl FnMut(&[u8])) -> Result<(), Error> {
        self.body(&Command::Retr(number), sink).await
    }

    /// TOP: header, blank line and so many lines of the body. Whole only if this returns `Ok`.
    pub async fn top(
        &mut self,
        number: u64,
        lines: u64,
        sink: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        self.body(&Command::Top(number, lines), sink).await
    }

    async fn body(
        &mut self,
        command: &Command<'_>,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        self.simply(command).await?;
        loop {
            self.link.advance().await?;
            match self.link.event()? {
                Event::Chunk(bytes) => sink(bytes),
                Event::End(_) => return Ok(()),
                other => return Err(refused(&other)),
            }
        }
    }

    /// DELE: marks a message; it goes when QUIT is acknowledged.
    pub async fn delete(&mut self, number: u64) -> Result<(), Error> {
        self.simply(&Command::Dele(number)).await
    }

    /// RSET: unmarks all.
    pub async fn reset(&mut self) -> Result<(), Error> {
        self.simply(&Command::Rset).await
    }

    /// NOOP: keeps an idle session from being closed.
    pub async fn noop(&mut self) -> Result<(), Error> {
        self.simply(&Command::Noop).await
    }

    /// Many commands at once. The session comes back from [`Pipeline::finish`] alone, so that one with
    /// a reply half read cannot be used.
    ///
    /// While the server has not advertised PIPELINING, one command goes out at a time whatever `window`
    /// says.
    pub fn pipeline(self, window: Window) -> Pipeline {
        Pipeline::of(self, window)
    }

    /// CAPA, STAT, LIST and UIDL, in one write where the server takes it: what a fetch begins with.
    pub fn survey(self, window: Window) -> Pipeline {
        const _: () = assert!(WINDOW_COMMANDS >= 4);
        let mut pipeline = self.pipeline(window);
        pipeline.push(Request::Capabilities);
        pipeline.push(Request::Stat);
        pipeline.push(Request::List);
        pipeline.push(Request::UniqueIds);
        pipeline
    }

    /// QUIT: the server removes what is marked and says whether it did.
    pub async fn quit(mut self) -> Closing {
        match self.farewell().await {
            Ok(reply) => {
                self.link.close().await;
                Closing::Acknowledged(reply)
            }
            Err(Error::Refused { reply, .. }) => {
                self.link.close().await;
                Closing::Refused(reply)
            }
            Err(error) => Closing::Unanswered(error),
        }
    }

    async fn farewell(&mut self) -> Result<Reply, Error> {
        self.link.drain().await?;
        self.link.ask(&Command::Quit).await
    }

    pub(crate) async fn next_scan(&mut self) -> Result<Option<Scan>, Error> {
        if self.link.due() == 0 {
            return Ok(None);
        }
        self.link.advance().await?;
        match self.link.event()? {
            Event::Scan { number, octets } => Ok(Some(Scan { number, octets })),
            Event::End(_) => Ok(None),
            other => Err(refused(&other)),
        }
    }

    pub(crate) async fn next_unique_id(&mut self) -> Result<Option<(u64, &[u8])>, Error> {
        if self.link.due() == 0 {
            return Ok(None);
        }
        self.link.advance().await?;
        match self.link.event()? {
            Event::UniqueId { number, id } => Ok(Some((number, id))),
            Event::End(_) => Ok(None),
            other => Err(refused(&other)),
        }
    }
}

/// How a session ended.
#[derive(Debug)]
#[must_use = "messages are removed only if QUIT is acknowledged"]
pub enum Closing {
    /// `+OK`: what was marked is removed.
    Acknowledged(Reply),
    /// `-ERR`: some of what was marked is not removed (RFC 1939 §6).
    Refused(Reply),
    /// No answer: nobody knows.
    Unanswered(Error),
}
