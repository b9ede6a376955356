//! The pump: bytes in, effects done, replies out.

use std::io;
use std::sync::Arc;

use restante_net::{Channel, Deadline, Drain, read_with, write_all};
use restante_proto::server::{
    Closing, Credentials, Effect, Failure, Patience, Session, Settings, Totals,
};
use restante_store::{DeletionSet, Listing, Maildrop, StoreError};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use super::login::{LoggedIn, OnDevice};
use super::record::{End, Record};
use super::{Entries, Pop3, failure, login};
use crate::buffers;
use crate::limits::{LINGER, LINGER_OCTETS};

const REMOVED: &[u8] = b"-ERR [SYS/PERM] this device has been removed from the mailbox\r\n";
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
    /// In a box: most sessions have none.
    pub(super) device: Option<Box<OnDevice>>,
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
            device: None,
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
            device: None,
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
                    if self.is_revoked() {
                        return Err(self.turn_away(record).await);
                    }
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
                Effect::Body { .. } if self.is_revoked() => {
                    return Err(self.turn_away(record).await);
                }
                Effect::Body { index, top } => {
                    Box::pin(self.retrieve(index, top, record)).await?;
                }
                Effect::CommitDeletions => Box::pin(self.commit(record)).await,
                Effect::Close(why) => {
                    if why == Closing::Quit {
                        Box::pin(self.note_collected(&DeletionSet::default(), record)).await;
                    }
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
        let opening = self.session.opening();
        let verdict = match login::log_in(&self.pop3, record, credentials, opening).await {
            Ok(LoggedIn {
                user,
                maildrop,
                device,
            }) => {
                let totals = maildrop.totals();
                record.user = Some(user);
                record.device = device.as_ref().map(|device| device.login.name.clone());
                record.shown = totals.count;
                self.maildrop = Some(maildrop);
                self.device = device.map(Box::new);
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
        // Asked anew: nothing that a removed device wants is done.
        let permitted = match &mut self.device {
            Some(device) => self.pop3.directory.is_revoked(&mut device.login, true),
            None => Ok(false),
        };
        let asked = match permitted {
            Ok(false) => maildrop.commit_deletions(&set).await,
            Ok(true) => {
                self.session.committed(Err(Failure::Revoked), &mut self.out);
                self.close_maildrop();
                return;
            }
            Err(error) => Err(StoreError::Temporary(error.to_string())),
        };
        let done = match asked {
            Ok(()) => {
                record.dele = set.len() as u64;
                Ok(())
            }
            Err(error) => {
                record.trouble("cannot remove deleted messages", &error);
                Err(failure(&error))
            }
        };
        if done.is_ok() {
            self.note_collected(&set, record).await;
        }
        self.session.committed(done, &mut self.out);
        self.close_maildrop();
    }

    /// Whether the session's device was removed. While that cannot be found out, reading goes on.
    fn is_revoked(&mut self) -> bool {
        let Some(device) = &mut self.device else {
            return false;
        };
        let revoked = self.pop3.directory.is_revoked(&mut device.login, false);
        revoked.unwrap_or(false)
    }

    async fn turn_away(&mut self, record: &mut Record) -> End {
        self.out.extend_from_slice(REMOVED);
        match self.flush(record).await {
            Ok(()) => End::Revoked,
            Err(end) => end,
        }
    }

    /// At QUIT: moves the mark up to which a device in a window has collected.
    async fn note_collected(&mut self, marked: &DeletionSet, record: &Record) {
        let (Some(maildrop), Some(device)) = (&self.maildrop, &self.device) else {
            return;
        };
        let Some(window) = device.window else {
            return;
        };
        let has = |index: usize| {
            device.retrieved.get(index).copied().unwrap_or(false) || marked.contains(index)
        };
        let noted = match maildrop.listing().await {
            Ok(listing) => match window.progress(&listing, has) {
                Some(upto) => login::move_window(&self.pop3, &device.login, None, Some(upto)).await,
                None => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            // The window stays where it is: the client is shown again what it has.
            record.trouble("cannot note what a device has collected", &error);
        }
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
            End::Misbehaved | End::Revoked => {
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
