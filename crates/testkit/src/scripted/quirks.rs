//! In what ways the server is odd.

use std::time::Duration;

/// Whether and how the server speaks TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: STLS is neither offered nor taken, as if someone on the way had stripped it.
    #[default]
    No,
    /// After STLS (RFC 2595 §4).
    Stls,
    /// From the first octet.
    Implicit,
    /// From the first octet, but the handshake never gets anywhere.
    Stalls,
}

/// What LIST says of a message's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sizes {
    /// The octets that come.
    #[default]
    True,
    /// Each line end counted as one.
    LfAsOne,
    /// The same number for each.
    All(u64),
}

/// What never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endless {
    /// Lines of CAPA.
    Capabilities,
    /// Lines of LIST.
    Listing,
    /// Lines of UIDL.
    UniqueIds,
    /// Lines of a RETR.
    Message,
    /// The status line of STAT.
    Status,
    /// One line of UIDL.
    Line,
}

/// What QUIT does in TRANSACTION.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quit {
    /// Deletes, then says so.
    #[default]
    Deletes,
    /// Deletes, and says nothing, for ever.
    DeletesSilently,
    /// Deletes, and closes without a word.
    DeletesAndCloses,
    /// Deletes, and says that it failed.
    DeletesAndDenies,
    /// Deletes nothing, and says so.
    Refuses,
    /// Deletes nothing, and says nothing, for ever.
    Hangs,
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// After so many octets of POP3 were sent.
    Octets(u64),
    /// After so many replies were sent whole; the greeting is the first.
    Replies(usize),
}

/// How slowly octets come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trickle {
    /// So many at once,
    pub octets: usize,
    /// then so long nothing.
    pub pause: Duration,
}

/// A reply that is given instead of the true one; the command does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// To which command: `RETR`, or with its argument `RETR 3`.
    pub command: &'static str,
    /// The octets, with all their line ends.
    pub reply: Vec<u8>,
    /// How often.
    pub times: usize,
    /// Whether the connection is closed after it.
    pub close: bool,
}

impl Instead {
    /// Always `-ERR` with this text.
    pub fn refuse(command: &'static str, text: &str) -> Self {
        Self::say(command, &format!("-ERR {text}\r\n"))
    }

    /// Always this.
    pub fn say(command: &'static str, reply: &str) -> Self {
        Self {
            command,
            reply: reply.into(),
            times: usize::MAX,
            close: false,
        }
    }

    /// The first time only.
    pub fn once(mut self) -> Self {
        self.times = 1;
        self
    }

    /// And closes the connection.
    pub fn and_close(mut self) -> Self {
        self.close = true;
        self
    }
}

/// In what ways the server is odd; by default in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quirks {
    /// TLS.
    pub tls: Tls,
    /// Sent in the clear right behind the reply to STLS.
    pub injected: Vec<u8>,
    /// What CAPA says before login, besides STLS; `None`: CAPA is not known.
    pub capabilities_before: Option<Vec<&'static str>>,
    /// What CAPA says after login.
    pub capabilities_after: Option<Vec<&'static str>>,
    /// Commands that are not known (`TOP`, `UIDL` …).
    pub unknown: Vec<&'static str>,
    /// Replies that are given instead of the true ones; the first that fits.
    pub instead: Vec<Instead>,
    /// Commands that are never answered; `GREETING` is the greeting.
    pub unanswered: Vec<&'static str>,
    /// The access token that XOAUTH2 takes; without one it takes none.
    pub token: Option<&'static str>,
    /// Whether the connection is closed after a login that failed.
    pub closes_on_failure: bool,
    /// Spaces in listings: several between, and some at the end.
    pub extra_spaces: bool,
    /// What LIST says of sizes.
    pub sizes: Sizes,
    /// UIDL tells of the first so many messages only, and ends as if that were all.
    pub unique_ids_told: Option<usize>,
    /// All lines end in LF alone, the terminator too.
    pub lf_only: bool,
    /// The terminator of a message is `.` LF, though lines end in CRLF.
    pub lf_terminator: bool,
    /// Lines that start with a dot are sent as they are. One that is a dot alone ends the message.
    pub unstuffed: bool,
    /// What comes in one read with a command, behind it, is thrown away.
    pub one_command_a_read: bool,
    /// When two commands come in one read, the connection is closed.
    pub closes_on_pipelining: bool,
    /// The replies to the first two commands after login that come together are exchanged.
    pub out_of_order: bool,
    /// Octets that come slowly.
    pub trickle: Option<Trickle>,
    /// The connection is closed when no command comes for so long after login.
    pub idle: Option<Duration>,
    /// What QUIT does.
    pub quit: Quit,
    /// A session shows the oldest so many messages only.
    pub window: Option<usize>,
    /// A message that was retrieved is not shown to later sessions, though it is not deleted.
    pub hides_retrieved: bool,
    /// What never ends.
    pub endless: Option<Endless>,
    /// Where the first connections are cut, one for each; later ones are not.
    pub cuts: Vec<Cut>,
}

impl Default for Quirks {
    fn default() -> Self {
        let all = vec![
            "TOP",
            "UIDL",
            "USER",
            "SASL PLAIN",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "PIPELINING",
        ];
        Self {
            tls: Tls::No,
            injected: Vec::new(),
            capabilities_before: Some(all.clone()),
            capabilities_after: Some(all),
            unknown: Vec::new(),
            instead: Vec::new(),
            unanswered: Vec::new(),
            token: None,
            closes_on_failure: false,
            extra_spaces: false,
            sizes: Sizes::True,
            unique_ids_told: None,
            lf_only: false,
            lf_terminator: false,
            unstuffed: false,
            one_command_a_read: false,
            closes_on_pipelining: false,
            out_of_order: false,
            trickle: None,
            idle: None,
            quit: Quit::Deletes,
            window: None,
            hides_retrieved: false,
            endless: None,
            cuts: Vec::new(),
        }
    }
}
