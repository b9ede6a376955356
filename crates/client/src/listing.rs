//! Listings, a line at a time.

use crate::{Error, Session};

/// STAT's answer: what the server claims. It is right by RFC 1939 §5 and wrong on many servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages.
    pub count: u64,
    /// Octets.
    pub octets: u64,
}

/// A line of a scan listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// The message-number.
    pub number: u64,
    /// The octets that the server claims.
    pub octets: u64,
}

/// A scan listing that is coming in.
#[derive(Debug)]
pub struct ScanListing<'s> {
    session: &'s mut Session,
}

impl ScanListing<'_> {
    /// The next line, or `None` after the last one. A listing cut short is an error.
    pub async fn next(&mut self) -> Result<Option<Scan>, Error> {
        self.session.next_scan().await
    }
}

/// A unique-id listing that is coming in.
#[derive(Debug)]
pub struct UniqueIdListing<'s> {
    session: &'s mut Session,
}

impl UniqueIdListing<'_> {
    /// The next message-number with its unique-id, or `None` after the last one. Ids are bytes, as
    /// servers send longer and stranger ones than RFC 1939 §7 allows. A listing cut short is an error.
    pub async fn next(&mut self) -> Result<Option<(u64, &[u8])>, Error> {
        self.session.next_unique_id().await
    }
}

impl<'s> ScanListing<'s> {
    pub(crate) fn of(session: &'s mut Session) -> Self {
        Self { session }
    }
}

impl<'s> UniqueIdListing<'s> {
    pub(crate) fn of(session: &'s mut Session) -> Self {
        Self { session }
    }
}
