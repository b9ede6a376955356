//! One session: lines in, replies out, pipelined (RFC 2920) in as few writes as they fit.

use std::sync::Arc;

use restante_net::{Deadline, Drain, Pace, Peer, Stream, read_some, read_with, write_all};
use restante_store::{MailboxId, StoreError};
use tokio::sync::{AcquireError, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::command::{self, Command};
use super::data::Unstuffer;
use super::delivery::{Accepted, Delivered, Envelope, Failure, Transfer, store_reply};
use super::limits::{
    BAD_COMMANDS, COMMAND_WAIT, DATA_OCTETS_PER_SECOND, DATA_TOTAL, DATA_WAIT, DRAFTS_WAIT,
    IDLE_COMMANDS, LINE_OCTETS, REFUSED_RECIPIENTS, REPLY_OCTETS, SMALL_RECIPIENTS,
};
use super::{Lmtp, reply};

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Quit,
    /// The peer has closed or broken the connection, or reads too slowly to be told anything.
    Lost,
    TooSlow,
    Drained,
    BadCommands,
    IdleCommands,
    RefusedRecipients,
    Endless,
}

impl End {
    const fn farewell(self) -> &'static str {
        match self {
            Self::Quit => reply::BYE,
            Self::Lost => "",
            Self::TooSlow => reply::TOO_SLOW,
            Self::Drained => reply::CLOSING,
            Self::BadCommands => reply::TOO_MANY_BAD,
            Self::IdleCommands => reply::TOO_MANY_IDLE,
            Self::RefusedRecipients => reply::TOO_MANY_REFUSED,
            Self::Endless => reply::ENDLESS,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Lost => "lost",
            Self::TooSlow => "timeout",
            Self::Drained => "drained",
            Self::BadCommands => "bad commands",
            Self::IdleCommands => "idle commands",
            Self::RefusedRecipients => "refused recipients",
            Self::Endless => "endless message",
        }
    }
}

/// Where the dialogue is (RFC 5321 §4.1.4).
#[derive(Debug)]
enum State {
    /// Before LHLO.
    Start,
    /// Between messages.
    Ready,
    /// After MAIL.
    Mail(Envelope),
}

/// What a session has done, for limits and the log.
#[derive(Debug, Default)]
struct Tally {
    bad: u32,
    idle: u32,
    refused: u32,
    delivered: u64,
    failed: u64,
}

struct Session {
    lmtp: Arc<Lmtp>,
    peer: Peer,
    wire: Wire,
    state: State,
    tally: Tally,
}

/// Serves a connection until its end.
pub(super) async fn serve(lmtp: Arc<Lmtp>, stream: Stream, peer: Peer, drain: Drain) {
    let mut session = Session {
        lmtp,
        peer,
        wire: Wire::new(stream, drain),
        state: State::Start,
        tally: Tally::default(),
    };
    let end = match session.talk().await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    session.wire.say(end.farewell());
    // Whether the farewell arrives makes no difference any more.
    let _unheard = session.wire.flush().await;
    tracing::info!(
        peer = %session.peer,
        end = end.name(),
        delivered = session.tally.delivered,
        failed = session.tally.failed,
        "LMTP session"
    );
}

impl Session {
    /// One reply for each command; it ends only by an [`End`].
    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        let greeting = format!("220 {} LMTP Restante\r\n", self.lmtp.options.hostname);
        self.wire.say(&greeting);
        loop {
            while let Some(line) = self.wire.take_line() {
                match line.and_then(|line| command::parse(&line)) {
                    Ok(command) => self.obey(command).await?,
                    Err(refusal) => {
                        self.tally.bad += 1;
                        if self.tally.bad > BAD_COMMANDS {
                            return Err(End::BadCommands);
                        }
                        self.wire.say(refusal);
                    }
                }
                if self.wire.output.len() >= REPLY_OCTETS {
                    self.wire.flush().await?;
                }
            }
            self.wire.flush().await?;
            self.wire.fill().await?;
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        if !matches!(command, Command::Rcpt(_)) {
            self.tally.idle += 1;
        }
        if self.tally.idle > IDLE_COMMANDS {
            return Err(End::IdleCommands);
        }
        match command {
            Command::Lhlo => self.lhlo(),
            Command::Mail {
                address,
                size,
                utf8,
            } => self.mail(address, size, utf8),
            Command::Rcpt(address) => self.rcpt(address).await?,
            Command::Data => self.data().await?,
            Command::Rset => self.rset(),
            // RFC 5321 §4.1.1.9 NOOP
            Command::Noop => self.wire.say(reply::DONE),
            // RFC 5321 §4.1.1.6 VRFY; RCPT is where addresses are told.
            Command::Vrfy => self.wire.say(reply::CANNOT_VERIFY),
            // RFC 5321 §4.1.1.8 HELP
            Command::Help => self.wire.say(reply::HELP),
            // RFC 5321 §4.1.1.10 QUIT
            Command::Quit => return Err(End::Quit),
        }
        Ok(())
    }

    /// RFC 2033 §4.1 LHLO; any state. Drops a transaction, as EHLO does.
    fn lhlo(&mut self) {
        self.state = State::Ready;
        let reply = format!(
            "250-{}\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n\
             250-SMTPUTF8\r\n250 SIZE {}\r\n",
            self.lmtp.options.hostname, self.lmtp.options.max_message_octets
        );
        self.wire.say(&reply);
    }

    /// RFC 5321 §4.1.1.2 MAIL, with RFC 1870 SIZE; after LHLO.
    fn mail(&mut self, sender: String, size: u64, utf8: bool) {
        let reply = match &self.state {
            State::Start => reply::LHLO_FIRST,
            State::Mail(_) => reply::NESTED_MAIL,
            State::Ready if size > self.lmtp.options.max_message_octets => reply::TOO_LARGE,
            State::Ready => {
                self.state = State::Mail(Envelope {
                    sender,
                    size,
                    utf8,
                    recipients: Vec::new(),
                });
                reply::SENDER_OK
            }
        };
        self.wire.say(reply);
    }

    /// RFC 5321 §4.1.1.3 RCPT; after MAIL.
    async fn rcpt(&mut self, address: String) -> Result<(), End> {
        let State::Mail(envelope) = &mut self.state else {
            self.wire.say(reply::MAIL_FIRST);
            return Ok(());
        };
        let reply = if envelope.recipients.len() >= self.lmtp.options.max_recipients {
            reply::TOO_MANY_RECIPIENTS
        } else if !envelope.utf8 && !address.is_ascii() {
            reply::NEEDS_UTF8
        } else {
            match accept(&self.lmtp, address, envelope.size).await {
                Ok(recipient) => {
                    envelope.recipients.push(recipient);
                    reply::RECIPIENT_OK
                }
                Err(refusal) => refusal,
            }
        };
        if reply != reply::RECIPIENT_OK {
            self.tally.refused += 1;
            if self.tally.refused > REFUSED_RECIPIENTS {
                return Err(End::RefusedRecipients);
            }
        }
        self.wire.say(reply);
        Ok(())
    }

    /// RFC 5321 §4.1.1.5 RSET; any state.
    fn rset(&mut self) {
        if matches!(self.state, State::Mail(_)) {
            self.state = State::Ready;
        }
        self.wire.say(reply::DONE);
    }

    /// RFC 2033 §4.2 DATA; after RCPT. One reply for each recipient that RCPT accepted, in order.
    async fn data(&mut self) -> Result<(), End> {
        let envelope = match &mut self.state {
            State::Start | State::Ready => {
                self.wire.say(reply::MAIL_FIRST);
                return Ok(());
            }
            State::Mail(envelope) if envelope.recipients.is_empty() => {
                self.wire.say(reply::NO_RECIPIENTS);
                return Ok(());
            }
            State::Mail(envelope) => std::mem::take(envelope),
        };
        self.state = State::Ready;
        let lmtp = Arc::clone(&self.lmtp);
        let mut transfer = match begin(&lmtp, &envelope).await {
            Ok(transfer) => transfer,
            Err(refusal) => {
                self.wire.say(refusal);
                return Ok(());
            }
        };
        self.wire.say(reply::GO_ON);
        self.wire.flush().await?;
        self.wire.receive(&mut transfer).await?;
        let outcomes = transfer.finish(&envelope.recipients).await;
        self.tally.idle = 0;
        for (outcome, recipient) in outcomes.iter().zip(&envelope.recipients) {
            self.tell(outcome, recipient);
        }
        Ok(())
    }

    fn tell(&mut self, outcome: &Result<Delivered, Failure>, recipient: &Accepted) {
        let (peer, user) = (&self.peer, &recipient.user);
        match outcome {
            Ok((id, size)) => {
                self.tally.delivered += 1;
                self.tally.refused = 0;
                tracing::info!(%peer, %user, unique_id = %id, size, "delivered");
                self.wire.say(&format!("250 2.0.0 Stored as {id}\r\n"));
            }
            Err(failure) => {
                self.tally.failed += 1;
                tracing::warn!(%peer, %user, ?failure, "not delivered");
                self.wire.say(failure.reply());
            }
        }
    }
}

/// Finds the recipient's mailbox, with room for `size` octets. `Err` is the reply.
async fn accept(lmtp: &Lmtp, address: String, size: u64) -> Result<Accepted, &'static str> {
    let found = lmtp.recipients.find(&address).map_err(|error| {
        tracing::error!(%error, "cannot look recipients up");
        reply::FAILED
    })?;
    let recipient = found.ok_or(reply::NO_SUCH_USER)?;
    let (mailbox, held) = mailbox(lmtp, &recipient.mailbox).await.map_err(|error| {
        tracing::error!(%error, user = recipient.mailbox, "cannot find the mailbox");
        store_reply(&error)
    })?;
    let over = |quota: u64| held >= quota || held.saturating_add(size) > quota;
    if recipient.quota_octets.is_some_and(over) {
        return Err(reply::OVER_QUOTA);
    }
    Ok(Accepted {
        address,
        user: recipient.mailbox,
        mailbox,
        quota_octets: recipient.quota_octets,
    })
}

/// The mailbox of that name, made when it is a user's first message, and the octets it holds.
async fn mailbox(lmtp: &Lmtp, name: &str) -> Result<(MailboxId, u64), StoreError> {
    match lmtp.store.find_mailbox(name).await? {
        Some(found) => Ok((found.id, found.totals.octets)),
        None => Ok((lmtp.store.create_mailbox(name).await?, 0)),
    }
}

/// Opens the drafts once there are few enough. `Err` is the reply to DATA.
async fn begin<'a>(lmtp: &'a Lmtp, envelope: &Envelope) -> Result<Transfer<'a>, &'static str> {
    let count = u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
    let permit = match timeout(DRAFTS_WAIT, drafts(lmtp, count)).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) | Err(_) => return Err(reply::OVERLOADED),
    };
    let limit = lmtp.options.max_message_octets;
    Transfer::begin(&*lmtp.store, envelope, limit, permit).map_err(|error| {
        tracing::error!(%error, "cannot take a message");
        store_reply(&error)
    })
}

/// A place for each draft. Who waits is served in turn, and the few do not wait behind the many.
async fn drafts(lmtp: &Lmtp, count: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
    if count as usize > SMALL_RECIPIENTS {
        return lmtp.drafts.acquire_many(count).await;
    }
    match lmtp.drafts.try_acquire_many(count) {
        Ok(permit) => Ok(permit),
        Err(_) => lmtp.small_drafts.acquire_many(count).await,
    }
}

/// The connection with what was read ahead and what is still to be written.
struct Wire {
    stream: Stream,
    drain: Drain,
    deadline: Deadline,
    /// When the last reply was sent.
    replied: Instant,
    input: Vec<u8>,
    /// How much of `input` is done with.
    taken: usize,
    /// In the rest of a line that was too long and has its reply.
    skipping: bool,
    output: Vec<u8>,
}

impl Wire {
    fn new(stream: Stream, drain: Drain) -> Self {
        Self {
            stream,
            drain,
            deadline: Deadline::after(COMMAND_WAIT),
            replied: Instant::now(),
            input: Vec::new(),
            taken: 0,
            skipping: false,
            output: Vec::new(),
        }
    }

    fn say(&mut self, reply: &str) {
        self.output.extend_from_slice(reply.as_bytes());
    }

    /// The next line that has come whole, without its CRLF. `Err` is the reply to a bad one.
    fn take_line(&mut self) -> Option<Result<Vec<u8>, &'static str>> {
        loop {
            let rest = &self.input[self.taken..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if rest.len() <= LINE_OCTETS {
                    return None;
                }
                self.taken = self.input.len();
                let told = std::mem::replace(&mut self.skipping, true);
                return (!told).then_some(Err(reply::LINE_TOO_LONG));
            };
            let line = &rest[..=end];
            self.taken += line.len();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.len() > LINE_OCTETS {
                return Some(Err(reply::LINE_TOO_LONG));
            }
            return Some(match line.strip_suffix(b"\r\n") {
                Some(line) => Ok(line.to_vec()),
                None => Err(reply::BAD_LINE),
            });
        }
    }

    /// Waits for more input. Holds no buffers meanwhile unless half a line has come, which buys no
    /// time.
    async fn fill(&mut self) -> Result<(), End> {
        self.input.drain(..self.taken);
        self.taken = 0;
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        self.output = Vec::new();
        self.deadline.set_at(self.replied + COMMAND_WAIT);
        tokio::select! {
            // The read last: a client that always has more to send must not outlive the others.
            biased;
            () = self.drain.requested() => Err(End::Drained),
            () = self.deadline.expired() => Err(End::TooSlow),
            read = read_some(&mut self.stream, &mut self.input) => match read {
                Ok(1..) => Ok(()),
                Ok(0) | Err(_) => Err(End::Lost),
            },
        }
    }

    /// Sends the replies that wait.
    async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let Self {
            stream,
            deadline,
            output,
            ..
        } = self;
        let written = write_all(stream, output, deadline, Pace::default()).await;
        output.clear();
        self.replied = Instant::now();
        written.map_err(|_| End::Lost)
    }

    /// Reads a message to its end into `transfer`; what comes after stays for `take_line`.
    async fn receive(&mut self, transfer: &mut Transfer<'_>) -> Result<(), End> {
        let mut state = Unstuffer::LineStart;
        self.taken += state.feed(&self.input[self.taken..], |piece| transfer.write(piece));
        let began = Instant::now();
        while !state.is_done() {
            if transfer.is_endless() {
                return Err(End::Endless);
            }
            let seconds = transfer.octets() / DATA_OCTETS_PER_SECOND;
            let slowest = began + DATA_WAIT + std::time::Duration::from_secs(seconds);
            let slowest = slowest.min(began + DATA_TOTAL);
            self.deadline
                .set_at((Instant::now() + DATA_WAIT).min(slowest));
            let Self {
                stream,
                deadline,
                input,
                ..
            } = self;
            let read = read_with(stream, |bytes| {
                let done = state.feed(bytes, |piece| transfer.write(piece));
                input.extend_from_slice(&bytes[done..]);
                bytes.len()
            });
            tokio::select! {
                biased;
                () = deadline.expired() => return Err(End::TooSlow),
                read = read => match read {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Err(End::Lost),
                },
            }
        }
        Ok(())
    }
}
