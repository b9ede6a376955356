//! A message taken apart: what the index keeps of it, and what a reader shows of it.
//!
//! Nothing here fails: what cannot be parsed gives what can be had. A parser that panics is caught by
//! the callers.

mod charset;
mod date;
mod headers;
mod junk;
mod parse;
mod text;
mod tnef;
mod walk;

use mail_parser::Message;

pub(crate) use charset::{header_end, readable};
pub(crate) use date::{Dates, FIRST};
pub(crate) use headers::{
    addresses, decoded_headers, header_text, ids, list_of, one_id, unsubscribe_of,
};
pub(crate) use junk::is_junk;
pub(crate) use parse::{Fit, Work};
pub(crate) use text::{cut, indexed, layout, plain};
pub(crate) use walk::{Found, is_shown_inline, walk};

use crate::index::facts;
use crate::{Address, limits};

/// Which header makes a newsletter of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupKind {
    ListId = 0,
    Unsubscribe = 1,
    Sender = 2,
}

/// To which newsletter or list a message belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) kind: GroupKind,
    pub(crate) key: String,
    pub(crate) name: String,
    /// People write there, too: a discussion, not a newsletter.
    pub(crate) discussion: bool,
}

/// An attachment as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) part: u32,
    pub(crate) name: Option<String>,
    pub(crate) media_type: String,
    pub(crate) size: u64,
}

/// What the index keeps of a message.
#[derive(Debug, Default)]
pub(crate) struct Extract {
    pub(crate) dates: Dates,
    pub(crate) from: Option<Address>,
    pub(crate) senders: String,
    pub(crate) recipients: String,
    /// Who it is to, for a list.
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) message_id: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) references: Vec<String>,
    pub(crate) group: Option<Group>,
    /// What `list:` finds.
    pub(crate) list: String,
    pub(crate) unsubscribe: crate::Unsubscribe,
    pub(crate) facts: i64,
    pub(crate) files: Vec<File>,
    pub(crate) body: String,
    pub(crate) preview: String,
}

impl Extract {
    /// Octets that the full-text index gets.
    pub(crate) fn text_octets(&self) -> usize {
        let files: usize = self
            .files
            .iter()
            .filter_map(|file| file.name.as_ref())
            .map(String::len)
            .sum();
        self.body.len()
            + self.subject.len()
            + self.senders.len()
            + self.recipients.len()
            + self.list.len()
            + files
    }
}

/// What the index keeps of these bytes. A panic in a parser leaves what the header shows, or nothing,
/// and says so among the facts.
pub(crate) fn extract(bytes: &[u8]) -> Extract {
    let caught = |part: &[u8]| std::panic::catch_unwind(|| extract_all(part));
    caught(bytes).unwrap_or_else(|_| {
        let header = &bytes[..header_end(bytes)];
        let mut extract = caught(header).unwrap_or_default();
        extract.facts |= facts::UNREADABLE;
        extract
    })
}

fn extract_all(bytes: &[u8]) -> Extract {
    let mut work = Work::default();
    let fit = Fit::new(bytes, &mut work);
    let Some(message) = fit.parse() else {
        return Extract {
            facts: facts::UNREADABLE,
            ..Extract::default()
        };
    };
    let mut room = limits::UNPACKED_MESSAGE_OCTETS;
    let files = Files::of(&message, &mut work, &mut room);
    let mut extract = of_headers(&message);
    if files.is_attached {
        extract.facts |= facts::ATTACHMENT;
    }
    let body = plain(&message);
    extract.preview = text::preview(&body);
    extract.body = indexed(&body, &files.text);
    extract.files = files.all;
    extract
}

/// What is not there to be read at once.
#[derive(Default)]
struct Files {
    all: Vec<File>,
    /// What can be read in them, for the index.
    text: String,
    /// One of them is what people call an attachment.
    is_attached: bool,
}

impl Files {
    /// `room`: octets that may be unpacked.
    fn of(message: &Message<'_>, work: &mut Work, room: &mut u64) -> Self {
        let mut files = Self::default();
        walk(message, work, &mut |found| {
            let Found {
                part,
                name,
                media_type,
                content,
                inline,
                message,
                ..
            } = found;
            files.is_attached |= !is_shown_inline(inline, &media_type, name.as_deref());
            if files.text.len() < limits::TEXT_OCTETS {
                let text = match message {
                    Some(message) => Some(text::of_message(message)),
                    None => text::of_file(&media_type, name.as_deref(), content, room),
                };
                if let Some(text) = text {
                    files.text.push('\n');
                    files.text.push_str(&text);
                }
            }
            files.all.push(File {
                part,
                name,
                media_type,
                size: content.len() as u64,
            });
        });
        files
    }
}

/// Of the text that the index has of these bytes, what is there to be read at once.
pub(crate) fn shown_text(bytes: &[u8]) -> String {
    let shown = || {
        let fit = Fit::new(bytes, &mut Work::default());
        Some(indexed(&plain(&fit.parse()?), ""))
    };
    let caught = std::panic::catch_unwind(shown);
    caught.ok().flatten().unwrap_or_default()
}

/// And what can be read in files. `room`: octets that may be unpacked.
pub(crate) fn attached_text(bytes: &[u8], room: &mut u64) -> String {
    let mut left = *room;
    let attached = std::panic::AssertUnwindSafe(|| {
        let mut work = Work::default();
        let fit = Fit::new(bytes, &mut work);
        let files = Files::of(&fit.parse()?, &mut work, &mut left);
        Some(indexed("", &files.text))
    });
    let caught = std::panic::catch_unwind(attached);
    *room = left;
    caught.ok().flatten().unwrap_or_default()
}

fn of_headers(message: &Message<'_>) -> Extract {
    let from = addresses(message.from());
    let recipients: Vec<Address> = [message.to(), message.cc(), message.bcc()]
        .into_iter()
        .flat_map(addresses)
        .collect();
    let references = ids(message.references());
    let parent = one_id(message.in_reply_to()).or_else(|| references.last().cloned());
    let unsubscribe = unsubscribe_of(message);
    let group = list_of(message, from.first(), &unsubscribe);
    let mut facts = 0;
    if let Some(group) = &group {
        if group.kind == GroupKind::ListId {
            facts |= facts::LIST;
        }
        if !group.discussion {
            facts |= facts::NEWSLETTER;
        }
    }
    if is_junk(message) {
        facts |= facts::JUNK;
    }
    let list = match &group {
        Some(group) => format!("{} {}", group.name, group.key),
        None => String::new(),
    };
    Extract {
        dates: Dates::of(message),
        senders: joined(&from, message.sender()),
        to: shown(&recipients),
        recipients: joined(&recipients, None),
        from: from.into_iter().next(),
        subject: header_text(message.subject().unwrap_or_default()),
        message_id: message.message_id().map(|id| text::cut(id, 998).to_owned()),
        parent,
        references,
        group,
        list,
        unsubscribe,
        facts,
        ..Extract::default()
    }
}

fn joined(of: &[Address], more: Option<&mail_parser::Address<'_>>) -> String {
    let more = addresses(more);
    let mut text = String::new();
    for address in of.iter().chain(&more) {
        for piece in [&address.name, &address.address].into_iter().flatten() {
            text.push_str(piece);
            text.push(' ');
        }
    }
    text
}

/// Names for a list, as far as they fit.
fn shown(of: &[Address]) -> String {
    let names: Vec<&str> = of.iter().take(5).map(Address::shown).collect();
    text::cut(&names.join(", "), 200).to_owned()
}
