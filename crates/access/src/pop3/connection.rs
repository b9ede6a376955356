//! The pump: bytes in, effects done, replies out.

use std::io;
use std::sync::Arc;

use restante_net::{Channel, Deadline, Drain, read_with, write_all};
use restante_proto::server::{Closing, Credentials, Effect, Patience, Session, Settings, Totals};
use restante_store::{DeletionSet, Listing, Maildrop, StoreError};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::record::{End, Record};
use super::{Entries, Pop3, failure, login};
use crate::buffers;
use crate::limits::{LINGER, LINGER_OCTETS};

const STOPPING: &[u8] = b"-ERR [SYS/TEMP] server is shutting down\r\n";

/// A connection and the session on it. Lives in a box: each future that it passes through would
/// else have room for it once more.
pub(super) struct Connection {
    pub(super) pop3: Arc<Pop3>,
    channel: Channel,
    pub(super) session: Session,
    settings: Settings,
    /// Replies that are not sent yet.
    pub(super) out: Vec<u8>,
    deadline: Deadline,
    drain: Drain,
    /// When a client that has not logged in is turned away.
    login_by: Instant,
    /// When the last reply was sent.
    replied: Instant,
    pub(super) maildrop: Option<Box<dyn Maildrop>>,
    listing: Option<Arc<Listing>>,
}

impl Connection {
    /// Greets: the greeting goes out with the first read.
    pub(super) fn new(
        pop3: Arc<Pop3>,
        channel: Channel,
        settings: Settings,
        drain: Drain,
    ) -> Box<Self> {
        let mut out = buffers::take();
        let now = Instant::now();
        let login = pop3.options.timeouts.login;
        Box::new(Self {
            session: Session::new(settings, &mut out),
            pop3,
            channel,
            settings,
            out,
            deadline: Deadline::after(login),
            drain,
            login_by: now + login,
            replied: now,
            maildrop: None,
            listing: None,
        })
    }

    /// RFC 2595 §4 STLS; state AUTHORIZATION. All that was known of the client stays behind.
    pub(super) async fn start_tls(self: Box<Self>) -> Result<Box<Self>, End> {
        let old = *self;
        let (Channel::Plain(stream), Some(tls)) = (old.channel, &old.pop3.options.tls) else {
            return Err(End::Failed("STLS where there is no TLS to take"));
        };
        let accepted = tls.accept(stream).await;
        let stream = accepted.map_err(End::handshake)?;
        Ok(Box::new(Self {
            session: Session::over_tls(old.settings),
            channel: Channel::Tls(stream),
            pop3: old.pop3,
            settings: old.settings,
            out: old.out,
            deadline: old.deadline,
            drain: old.drain,
            login_by: old.login_by,
            replied: Instant::now(),
            maildrop: None,
            listing: None,
        }))
    }

    /// Serves until the connection ends or takes TLS. Every reply has been sent then, if it could be.
    pub(super) async fn run(&mut self, record: &mut Record) -> End {
        match self.pump(record).await {
            Ok(end) | Err(end) => end,
        }
    }

    async fn pump(&mut self, record: &mut Record) -> Result<End, End> {
        loop {
            let entries = self.listing.as_deref().map(Entries);
            match self.session.poll(entries.as_ref(), &mut self.out) {
                Effect::NeedInput => {
                    self.flush(record).await?;
                    self.read().await?;
                }
                Effect::Flush => self.flush(record).await?,
                Effect::StartTls => {
                    self.flush(record).await?;
                    return Ok(End::StartTls);
                }
                Effect::Authenticate(credentials) => {
                    Box::pin(self.authenticate(credentials, record)).await;
                }
                Effect::NeedListing => Box::pin(self.list(record)).await,
                Effect::Body { index, top } => {
                    Box::pin(self.retrieve(index, top, record)).await?;
                }
                Effect::CommitDeletions => Box::pin(self.commit(record)).await,
                Effect::Close(why) => {
                    // Who reads the last reply may log in again: the mailbox has to be free then.
                    self.close_maildrop();
                    self.flush(record).await?;
                    return Ok(match why {
                        Closing::Quit => End::Quit,
                        Closing::NotRemoved => End::NotRemoved,
                        Closing::Misbehaved => End::Misbehaved,
                    });
                }
                Effect::Waiting => return Err(End::Failed("an effect was not answered")),
            }
        }
    }

    /// Sends the replies, and keeps no buffer.
    pub(super) async fn flush(&mut self, record: &mut Record) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        let pace = self.pop3.options.timeouts.pace;
        let sent = write_all(&mut self.channel, &self.out, &mut self.deadline, pace).await;
        sent.map_err(End::lost)?;
        record.octets += self.out.len() as u64;
        self.replied = Instant::now();
        self.out.clear();
        Ok(())
    }

    /// Waits for the client. The time that it has counts from the last reply, not from the last
    /// octet: half a command does not buy time.
    async fn read(&mut self) -> Result<(), End> {
        buffers::give(&mut self.out);
        let timeouts = &self.pop3.options.timeouts;
        let end = match self.session.patience() {
            Patience::Authorization => self.login_by,
            Patience::Transaction | Patience::Ending => self.replied + timeouts.autologout,
        };
        let first = match self.listing {
            Some(_) => end.min(self.replied + timeouts.keep_listing),
            None => end,
        };
        self.deadline.set_at(first);
        loop {
            let session = &mut self.session;
            let take = |bytes: &[u8]| {
                session.feed(bytes);
                bytes.len()
            };
            let read = tokio::select! {
                // The read last: a client that always has more to send must not outlive the others.
                biased;
                () = self.drain.requested() => return Err(End::Drained),
                () = self.deadline.expired() => {
                    if self.deadline.at() >= end {
                        return Err(End::TimedOut);
                    }
                    self.forget_listing();
                    self.deadline.set_at(end);
                    continue;
                }
                read = read_with(&mut self.channel, take) => read,
            };
            return match read {
                Ok(0) => Err(End::Disconnected),
                Ok(_) => {
                    self.out = buffers::take();
                    Ok(())
                }
                Err(error) => Err(End::lost(error)),
            };
        }
    }

    fn close_maildrop(&mut self) {
        self.listing = None;
        self.maildrop = None;
    }

    fn forget_listing(&mut self) {
        self.listing = None;
        if let Some(maildrop) = &self.maildrop {
            maildrop.forget_listing();
        }
    }

    async fn authenticate(&mut self, credentials: Credentials, record: &mut Record) {
        let verdict = match login::log_in(&self.pop3, record, credentials).await {
            Ok((user, maildrop)) => {
                let totals = maildrop.totals();
                record.user = Some(user);
                self.maildrop = Some(maildrop);
                Ok(Totals {
                    count: totals.count,
                    octets: totals.octets,
                })
            }
            Err(failure) => Err(failure),
        };
        self.session.authenticated(verdict, &mut self.out);
    }

    async fn list(&mut self, record: &Record) {
        let Some(maildrop) = &self.maildrop else {
            return;
        };
        let failed = match maildrop.listing().await {
            Ok(listing) if listing.len() as u64 == maildrop.totals().count => {
                self.listing = Some(listing);
                return;
            }
            Ok(_) => StoreError::Temporary("the listing is not as long as its totals say".into()),
            Err(error) => error,
        };
        record.trouble("cannot list the maildrop", &failed);
        self.session.listing_failed(failure(&failed), &mut self.out);
    }

    /// RFC 1939 §6 QUIT; state UPDATE.
    async fn commit(&mut self, record: &mut Record) {
        let (Some(maildrop), Some(marked)) = (&self.maildrop, self.session.deletions()) else {
            return;
        };
        let mut set = DeletionSet::default();
        for index in marked.iter() {
            set.insert(index);
        }
        let done = match maildrop.commit_deletions(&set).await {
            Ok(()) => {
                record.dele = set.len() as u64;
                Ok(())
            }
            Err(error) => {
                record.trouble("cannot remove deleted messages", &error);
                Err(failure(&error))
            }
        };
        self.session.committed(done, &mut self.out);
        self.close_maildrop();
    }

    /// Closes so that the last reply arrives.
    pub(super) async fn farewell(mut self: Box<Self>, end: &End) {
        buffers::give(&mut self.out);
        if matches!(end, End::Drained) && self.session.is_between_commands() {
            let told = self.channel.write_all(STOPPING);
            let _untold = timeout(LINGER, told).await;
        }
        match end {
            End::Quit | End::NotRemoved | End::Drained if self.channel.is_tls() => {
                // TLS wants to say goodbye. Without it, dropping the socket is enough.
                let _untold = timeout(LINGER, self.channel.shutdown()).await;
            }
            // Octets that nobody has read would make the kernel reset the connection, and the reply
            // would be lost with it.
            End::Misbehaved => {
                let _untold = timeout(LINGER, self.linger()).await;
            }
            _ => {}
        }
    }

    async fn linger(&mut self) -> io::Result<()> {
        self.channel.shutdown().await?;
        let mut left = LINGER_OCTETS;
        while left > 0 {
            let got = read_with(&mut self.channel, <[u8]>::len).await?;
            if got == 0 {
                break;
            }
            left = left.saturating_sub(got);
        }
        Ok(())
    }
}
