//! What the archive tells.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use restante_store::{MailboxId, UniqueId};

/// Which mailboxes a caller may see. Whatever is asked, nothing of others is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub(crate) mailboxes: Option<Vec<MailboxId>>,
}

impl Scope {
    /// Every mailbox: for whoever owns the data folder.
    pub fn all() -> Self {
        Self { mailboxes: None }
    }

    /// These mailboxes only.
    pub fn of(mailboxes: impl IntoIterator<Item = MailboxId>) -> Self {
        let mailboxes = Some(mailboxes.into_iter().collect());
        Self { mailboxes }
    }

    /// Whether the mailbox may be seen.
    pub fn contains(&self, mailbox: MailboxId) -> bool {
        self.mailboxes
            .as_ref()
            .is_none_or(|these| these.contains(&mailbox))
    }
}

/// A conversation. Lasts as long as the index: a rebuilt one has other ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub(crate) i64);

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for ThreadId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // As it is shown: a row before 1970 is below nought.
        u64::from_str_radix(text, 16).map(|key| Self(key.cast_signed()))
    }
}

/// Where a page ends, for the next one. Text, so that it can stand in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey(pub(crate) i64);

impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl FromStr for PageKey {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        i64::from_str_radix(text, 16).map(Self)
    }
}

/// Who: a name, an address, or both. Decoded, one line each, without control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name.
    pub name: Option<String>,
    /// `local@domain`, or what stood in its place.
    pub address: Option<String>,
}

impl Address {
    /// The name, else the address.
    pub fn shown(&self) -> &str {
        self.name
            .as_deref()
            .or(self.address.as_deref())
            .unwrap_or_default()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.address) {
            (Some(name), Some(address)) => write!(f, "{name} <{address}>"),
            _ => f.write_str(self.shown()),
        }
    }
}

/// How to leave a list, as the message says (RFC 2369 §3.2, RFC 8058).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsubscribe {
    /// A page, or with `one_click` where to POST.
    pub https: Option<String>,
    /// The same without TLS: never for one click.
    pub http: Option<String>,
    /// A `mailto:` to write to.
    pub mailto: Option<String>,
    /// A POST of `List-Unsubscribe=One-Click` to `https` does it; and a DKIM signature covers that it says so.
    pub one_click: bool,
}

impl Unsubscribe {
    /// The domain that is asked, in lower case.
    pub(crate) fn domain(&self) -> Option<String> {
        let of_web = |uri: &String| {
            let rest = uri.split_once("://")?.1;
            let host = rest.split(['/', '?', '#']).next()?;
            Some(host.rsplit('@').next()?.split(':').next()?.to_owned())
        };
        let of_mail = |uri: &String| {
            let address = uri.split_once(':')?.1.split('?').next()?;
            Some(address.rsplit_once('@')?.1.to_owned())
        };
        let https = self.https.as_ref().or(self.http.as_ref());
        https
            .and_then(of_web)
            .or_else(|| self.mailto.as_ref().and_then(of_mail))
            .map(|domain| domain.to_ascii_lowercase())
            .filter(|domain| !domain.is_empty())
    }
}

/// A message as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// For ever the same.
    pub id: UniqueId,
    /// Where it is.
    pub mailbox: MailboxId,
    /// Its conversation.
    pub thread: ThreadId,
    /// Messages of its conversation in the same mailbox, itself included.
    pub thread_count: u64,
    /// When it was written, in seconds since 1970: as it says, else when it came.
    pub date: i64,
    /// Exact octets.
    pub size: u64,
    /// Who wrote it.
    pub from: Address,
    /// Names of those it is to, for showing.
    pub to: String,
    /// Decoded, in one line.
    pub subject: String,
    /// The beginning of its text, in one line.
    pub preview: String,
    /// The account that it was fetched from.
    pub account: Option<String>,
    /// Somebody has read it.
    pub read: bool,
    /// Starred.
    pub starred: bool,
    /// Archived: out of the way.
    pub archived: bool,
    /// Junk, by a header and what people and rules said.
    pub junk: bool,
    /// It has a List-Id.
    pub list: bool,
    /// It belongs to a newsletter.
    pub newsletter: bool,
    /// It has something attached.
    pub attachment: bool,
    /// In alphabetical order.
    pub labels: Vec<String>,
    /// What was found, where a search asked for it.
    pub snippet: Option<Snippet>,
}

/// Some text around what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// One line.
    pub text: String,
    /// What to highlight: octets of `text`, ascending.
    pub found: Vec<Range<usize>>,
}

/// What part of a result is wanted.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Go on after the page that ended there.
    pub after: Option<PageKey>,
    /// At most so many; [`crate::limits::PAGE`] bounds it, and 0 only counts.
    pub limit: usize,
    /// Of each conversation only the newest message that matches.
    pub threads: bool,
    /// Count all that match.
    pub count: bool,
    /// Say what was found where.
    pub snippets: bool,
}

/// What a search found, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// Messages that match, exactly, on all pages; if asked for.
    pub total: Option<u64>,
    /// This page's.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageKey>,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threaded {
    /// The message.
    pub entry: Entry,
    /// How many messages it answers, one upon the other.
    pub depth: usize,
}

/// How the index stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages in the index.
    pub indexed: u64,
    /// Messages of the mailboxes that are to be indexed.
    pub total: u64,
}

/// How the archive stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// How far the index is.
    pub progress: Progress,
    /// Messages that the parser failed on; they are found by what could be had.
    pub unreadable: u64,
    /// Octets of `search.db`.
    pub octets: u64,
    /// Mailboxes that nobody asked to index.
    pub unindexed: Vec<String>,
}
