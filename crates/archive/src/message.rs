//! A message for showing: [`Parsed`].

use mail_parser::{Message, PartType};

use crate::extract::{
    Dates, Fit, Found, GroupKind, Work, addresses, decoded_headers, header_end, header_text, ids,
    is_shown_inline, layout, list_of, one_id, plain, unsubscribe_of, walk,
};
use crate::{Address, Unsubscribe, limits};

/// A message taken apart. Everything in it is a stranger's text: decoded, not made safe.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// Every header, decoded, in the order of the message.
    pub headers: Vec<(String, String)>,
    /// The header as it stands in the message.
    pub raw_header: String,
    /// Decoded, in one line.
    pub subject: String,
    /// RFC 5322 §3.6.2.
    pub from: Vec<Address>,
    /// RFC 5322 §3.6.2.
    pub reply_to: Vec<Address>,
    /// RFC 5322 §3.6.3.
    pub to: Vec<Address>,
    /// RFC 5322 §3.6.3.
    pub cc: Vec<Address>,
    /// RFC 5322 §3.6.3.
    pub bcc: Vec<Address>,
    /// When it was written, in seconds since 1970, as it says.
    pub date: Option<i64>,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// Without angle brackets.
    pub in_reply_to: Option<String>,
    /// Without angle brackets, the nearest last.
    pub references: Vec<String>,
    /// RFC 2919: the List-Id, in lower case.
    pub list_id: Option<String>,
    /// How to leave the list.
    pub unsubscribe: Unsubscribe,
    /// The text that is there to be read, where there is a text part.
    pub text: Option<String>,
    /// The HTML that is there to be read, where there is an HTML part.
    pub html: Option<String>,
    /// What is attached, embedded images and nested messages included, in the order of the message.
    pub parts: Vec<Part>,
    /// The message is larger than [`limits::SHOW_OCTETS`]; the rest is only in its raw source.
    pub truncated: bool,
    /// The parser failed: only what the header shows is here.
    pub unreadable: bool,
}

/// A part of a message that is not its text.
#[derive(Debug, Clone)]
pub struct Part {
    /// The same whenever the same message is taken apart.
    pub id: u32,
    /// As the message says: for showing, never as a path.
    pub name: Option<String>,
    /// `type/subtype`, in lower case, as the message says.
    pub media_type: String,
    /// RFC 2392: what `cid:` names it by, without angle brackets.
    pub content_id: Option<String>,
    /// It belongs to the HTML, as an image in it.
    pub inline: bool,
    /// The part whose nested message holds it.
    pub within: Option<u32>,
    /// Octets, decoded.
    pub size: u64,
    /// The first of them, at most [`limits::PART_START_OCTETS`]: what it is, whatever the message says.
    pub start: Vec<u8>,
    /// All of it is UTF-8, and the message calls it text.
    pub is_text: bool,
}

impl Part {
    fn new(found: &Found<'_>) -> Self {
        let inline = found.inline;
        Self {
            id: found.part,
            inline: is_shown_inline(inline, &found.media_type, found.name.as_deref()),
            name: found.name.clone(),
            media_type: found.media_type.clone(),
            content_id: inline.map(|cid| cid.trim_matches(['<', '>']).to_owned()),
            within: found.within,
            size: found.content.len() as u64,
            start: found.content[..found.content.len().min(limits::PART_START_OCTETS)].to_vec(),
            is_text: found.media_type.starts_with("text/")
                && std::str::from_utf8(found.content).is_ok(),
        }
    }
}

/// Tells the parts of a message with their octets, decoded, in the order of the message. A message within holds those of
/// its parts: whoever keeps all keeps them as often as it is nested.
pub fn contents(bytes: &[u8], tell: &mut dyn FnMut(&Part, &[u8])) {
    let work = std::panic::AssertUnwindSafe(|| {
        let mut work = Work::default();
        let fit = Fit::new(bytes, &mut work);
        let message = fit.parse()?;
        walk(&message, &mut work, &mut |found| {
            tell(&Part::new(&found), found.content);
        });
        Some(())
    });
    // A parser that panics has told what it found until then.
    let _told = std::panic::catch_unwind(work);
}

impl Parsed {
    /// Takes a message apart. Never fails; a parser that panics leaves what the header shows.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let parsed = std::panic::catch_unwind(|| parse(bytes));
        if let Ok(Some(parsed)) = parsed {
            return parsed;
        }
        Self {
            unreadable: true,
            text: Some(String::from_utf8_lossy(&bytes[header_end(bytes)..]).into_owned()),
            ..Self::of_header(bytes)
        }
    }

    /// What the header shows.
    pub(crate) fn of_header(bytes: &[u8]) -> Self {
        let parsed = std::panic::catch_unwind(|| {
            let fit = Fit::new(&bytes[..header_end(bytes)], &mut Work::default());
            fit.parse().map(|message| of_headers(&message))
        });
        parsed.ok().flatten().unwrap_or_default()
    }

    /// The part that `cid:` names (RFC 2392).
    pub fn content_id(&self, cid: &str) -> Option<&Part> {
        self.parts
            .iter()
            .find(|part| part.content_id.as_deref() == Some(cid))
    }

    /// What people call attachments: parts that the HTML does not show.
    pub fn attachments(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !part.inline)
    }

    /// The text for reading, in lines of about `width` columns where it is made of HTML.
    pub fn readable(&self, width: usize) -> String {
        match (&self.text, &self.html) {
            (Some(text), None) => text.clone(),
            (Some(text), Some(html)) => {
                let laid = layout(html, width);
                // A text part that only says to read the HTML is of no use.
                if text.trim().len() * 4 < laid.trim().len() && text.trim().len() < 300 {
                    laid
                } else {
                    text.clone()
                }
            }
            (None, Some(html)) => layout(html, width),
            (None, None) => String::new(),
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Parsed> {
    let mut work = Work::default();
    let fit = Fit::new(bytes, &mut work);
    let message = fit.parse()?;
    let mut parsed = of_headers(&message);
    let (text, html) = bodies(&message);
    parsed.text = text;
    parsed.html = html;
    walk(&message, &mut work, &mut |found| {
        parsed.parts.push(Part::new(&found));
    });
    Some(parsed)
}

fn of_headers(message: &Message<'_>) -> Parsed {
    let from = addresses(message.from());
    let unsubscribe = unsubscribe_of(message);
    let list_id = list_of(message, from.first(), &unsubscribe)
        .filter(|group| group.kind == GroupKind::ListId)
        .map(|group| group.key);
    let end = message.root_part().raw_body_offset() as usize;
    let raw = message.raw_message();
    Parsed {
        headers: decoded_headers(message),
        raw_header: String::from_utf8_lossy(&raw[..end.min(raw.len())]).into_owned(),
        subject: header_text(message.subject().unwrap_or_default()),
        reply_to: addresses(message.reply_to()),
        to: addresses(message.to()),
        cc: addresses(message.cc()),
        bcc: addresses(message.bcc()),
        from,
        date: Dates::of(message).believed(jiff::Timestamp::now().as_second()),
        message_id: message.message_id().map(str::to_owned),
        in_reply_to: one_id(message.in_reply_to()),
        references: ids(message.references()),
        list_id,
        unsubscribe,
        ..Parsed::default()
    }
}

/// What there is of text and of HTML, each as written.
fn bodies(message: &Message<'_>) -> (Option<String>, Option<String>) {
    let mut html = String::new();
    for part in message.html_bodies() {
        if let PartType::Html(text) = &part.body {
            html.push_str(text);
        }
    }
    let has_text = message
        .text_bodies()
        .any(|part| matches!(part.body, PartType::Text(_)));
    let text = has_text.then(|| {
        let mut text = String::new();
        for part in message.text_bodies() {
            if let PartType::Text(piece) = &part.body
                && text.len() + piece.len() <= limits::SHOW_OCTETS
            {
                text.push_str(piece);
            }
        }
        text
    });
    // Neither: what is left is what the index would read.
    let text = text.or_else(|| {
        let rest = html.is_empty().then(|| plain(message));
        rest.filter(|text| !text.is_empty())
    });
    (text, (!html.is_empty()).then_some(html))
}
