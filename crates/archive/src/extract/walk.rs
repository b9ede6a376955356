//! The parts of a message, nested messages opened up, numbered in the order of the walk. The numbers
//! are the same whenever the same bytes are taken apart.

use mail_parser::{Message, MessagePart, MimeHeaders, PartType};

use super::headers::header_text;
use super::parse::{self, Fit, Work};
use super::tnef;
use crate::limits;

/// Something that is not there to be read at once.
pub(crate) struct Found<'a> {
    pub(crate) part: u32,
    pub(crate) name: Option<String>,
    pub(crate) media_type: String,
    pub(crate) content: &'a [u8],
    pub(crate) inline: Option<&'a str>,
    /// The part whose message holds it.
    pub(crate) within: Option<u32>,
    /// Taken apart, where it is a message.
    pub(crate) message: Option<&'a Message<'a>>,
}

/// Whether a part only belongs to the HTML: an image that it shows.
pub(crate) fn is_shown_inline(cid: Option<&str>, media_type: &str, name: Option<&str>) -> bool {
    cid.is_some() && media_type.starts_with("image/")
        || name.is_none() && media_type == "application/pgp-signature"
}

/// Tells every file and every message within the message, each message before what it holds. `work`: what opening those that
/// are encoded may still cost.
pub(crate) fn walk(message: &Message<'_>, work: &mut Work, tell: &mut dyn FnMut(Found<'_>)) {
    let mut walk = Walk {
        next: 1,
        open: Vec::new(),
        work,
        tell,
    };
    walk.message(message);
}

struct Walk<'t> {
    next: u32,
    /// The messages that it is in, the innermost last.
    open: Vec<u32>,
    work: &'t mut Work,
    tell: &'t mut dyn FnMut(Found<'_>),
}

impl Walk<'_> {
    fn message(&mut self, message: &Message<'_>) {
        for part in message.attachments() {
            if self.next as usize > limits::PARTS {
                return;
            }
            self.part(part);
        }
    }

    fn part(&mut self, part: &MessagePart<'_>) {
        let number = self.number();
        let name = part.attachment_name().map(header_text);
        match &part.body {
            PartType::Message(nested) => {
                self.nested(number, name, nested.raw_message(), nested);
            }
            PartType::Text(text) | PartType::Html(text) => {
                self.octets(number, name, part, text.as_bytes());
            }
            PartType::Binary(content) | PartType::InlineBinary(content) => {
                self.octets(number, name, part, content);
            }
            PartType::Multipart(_) => {}
        }
    }

    fn nested(&mut self, number: u32, name: Option<String>, content: &[u8], message: &Message<'_>) {
        (self.tell)(Found {
            part: number,
            name: name.or_else(|| Some(nested_name(message))),
            media_type: "message/rfc822".to_owned(),
            content,
            inline: None,
            within: self.open.last().copied(),
            message: Some(message),
        });
        if self.may_open() {
            self.open.push(number);
            self.message(message);
            self.open.pop();
        }
    }

    fn may_open(&self) -> bool {
        self.open.len() < limits::NESTING
    }

    /// A file, or a message that was encoded.
    fn octets(
        &mut self,
        number: u32,
        name: Option<String>,
        part: &MessagePart<'_>,
        content: &[u8],
    ) {
        let is_message = part
            .content_type()
            .is_some_and(|found| found.ctype() == parse::ENCODED);
        if is_message && self.may_open() {
            let fit = Fit::new(content, self.work);
            if let Some(message) = fit.parse() {
                return self.nested(number, name, content, &message);
            }
        }
        self.file(number, name, part, content);
    }

    fn file(&mut self, number: u32, name: Option<String>, part: &MessagePart<'_>, content: &[u8]) {
        let media_type = media_type(part);
        let wrapped = media_type.ends_with("/ms-tnef")
            || name
                .as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat"));
        (self.tell)(Found {
            part: number,
            name,
            media_type,
            content,
            inline: part.content_id(),
            within: self.open.last().copied(),
            message: None,
        });
        if wrapped {
            self.unwrap(content);
        }
    }

    /// The files in a winmail.dat, after it.
    fn unwrap(&mut self, content: &[u8]) {
        for file in tnef::files(content) {
            if self.next as usize > limits::PARTS {
                return;
            }
            let part = self.number();
            (self.tell)(Found {
                part,
                name: file.name,
                media_type: file
                    .media_type
                    .unwrap_or_else(|| "application/octet-stream".to_owned())
                    .to_ascii_lowercase(),
                content: file.content,
                inline: None,
                within: self.open.last().copied(),
                message: None,
            });
        }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }
}

fn media_type(part: &MessagePart<'_>) -> String {
    match part.content_type() {
        Some(found) => {
            let sub = found.subtype().unwrap_or("octet-stream");
            header_text(&format!("{}/{sub}", found.ctype())).to_ascii_lowercase()
        }
        None => match part.body {
            PartType::Text(_) => "text/plain",
            PartType::Html(_) => "text/html",
            _ => "application/octet-stream",
        }
        .to_owned(),
    }
}

fn nested_name(message: &Message<'_>) -> String {
    let subject = header_text(message.subject().unwrap_or("message"));
    format!("{subject}.eml")
}
