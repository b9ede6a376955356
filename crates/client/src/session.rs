//! A session after login: state TRANSACTION.

use crate::listing::{ScanListing, UniqueIdListing};
use crate::{Capabilities, Error, Pipeline, Reply, Scan, TlsFacts, Totals, Window};

/// A maildrop that is open. Dropped, it deletes nothing: only [`Session::quit`] does.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// What the TLS handshake came to; `None` without TLS.
    pub fn tls(&self) -> Option<&TlsFacts> {
        None
    }

    /// What the server can do after login, which may be more than before. Asked once.
    pub async fn capabilities(&mut self) -> Result<&Capabilities, Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// Ends a body with [`Error::Limit`] after so many octets. Without it bodies are as long as they
    /// are; they stream, so that only the caller's disk minds.
    pub fn limit_bodies(&mut self, _octets: Option<u64>) {}

    /// STAT: how many messages the server claims, and how many octets.
    pub async fn stat(&mut self) -> Result<Totals, Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// LIST: the scan listing.
    pub async fn list(&mut self) -> Result<ScanListing<'_>, Error> {
        Ok(ScanListing::of(self))
    }

    /// LIST of one message.
    pub async fn scan(&mut self, _number: u64) -> Result<Scan, Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// UIDL: the unique-id listing. Worth asking even where it is not advertised.
    pub async fn unique_ids(&mut self) -> Result<UniqueIdListing<'_>, Error> {
        Ok(UniqueIdListing::of(self))
    }

    /// UIDL of one message.
    pub async fn unique_id(&mut self, _number: u64) -> Result<Vec<u8>, Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// RETR: passes the message's bytes on, piece by piece. Whole only if this returns `Ok`.
    pub async fn retrieve(&mut self, _number: u64, _sink: impl FnMut(&[u8])) -> Result<(), Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// TOP: header, blank line and so many lines of the body. Whole only if this returns `Ok`.
    pub async fn top(
        &mut self,
        _number: u64,
        _lines: u64,
        _sink: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// DELE: marks a message; it goes when QUIT is acknowledged.
    pub async fn delete(&mut self, _number: u64) -> Result<(), Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// RSET: unmarks all.
    pub async fn reset(&mut self) -> Result<(), Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// NOOP: keeps an idle session from being closed.
    pub async fn noop(&mut self) -> Result<(), Error> {
        Err(Error::Closed { outstanding: 0 })
    }

    /// Many commands at once. The session comes back from [`Pipeline::finish`] alone, so that one with
    /// a reply half read cannot be used.
    ///
    /// Where the server has not advertised PIPELINING, one command goes out at a time whatever `window`
    /// says.
    pub fn pipeline(self, _window: Window) -> Pipeline {
        Pipeline {}
    }

    /// CAPA, STAT, LIST and UIDL, in one write where the server takes it: what a fetch begins with.
    pub fn survey(self) -> Pipeline {
        Pipeline {}
    }

    /// QUIT: the server removes what is marked and says whether it did.
    pub async fn quit(self) -> Closing {
        Closing::Unanswered(Error::Closed { outstanding: 0 })
    }

    pub(crate) async fn next_scan(&mut self) -> Result<Option<Scan>, Error> {
        Ok(None)
    }

    pub(crate) async fn next_unique_id(&mut self) -> Result<Option<(u64, &[u8])>, Error> {
        Ok(None)
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
