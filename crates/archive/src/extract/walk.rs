//! The parts of a message, nested messages opened up, numbered in the order of the walk. The numbers
//! are the same whenever the same bytes are taken apart.

use mail_parser::{Message, MessagePart, MimeHeaders, PartType};

use super::headers::header_text;
use super::parse::{self, Fit};
use super::tnef;
use crate::limits;

/// What the walk comes by.
pub(crate) enum Found<'a> {
    /// Something that is not there to be read at once.
    File {
        part: u32,
        name: Option<String>,
        media_type: String,
        content: &'a [u8],
        inline: Option<&'a str>,
    },
    /// A message within the message, before what it holds.
    Message { part: u32, message: &'a Message<'a> },
}

/// Whether a part only belongs to the HTML: an image that it shows.
pub(crate) fn is_shown_inline(cid: Option<&str>, media_type: &str, name: Option<&str>) -> bool {
    cid.is_some() && media_type.starts_with("image/")
        || name.is_none() && media_type == "application/pgp-signature"
}

/// Tells every file and every message within the message.
pub(crate) fn walk<'a>(message: &'a Message<'a>, tell: &mut dyn FnMut(Found<'_>)) {
    let mut walk = Walk { next: 1, tell };
    walk.message(message, 0);
}

struct Walk<'t> {
    next: u32,
    tell: &'t mut dyn FnMut(Found<'_>),
}

impl Walk<'_> {
    fn message(&mut self, message: &Message<'_>, depth: usize) {
        for part in message.attachments() {
            if self.next as usize > limits::PARTS {
                return;
            }
            self.part(part, depth);
        }
    }

    fn part(&mut self, part: &MessagePart<'_>, depth: usize) {
        let number = self.number();
        let name = part.attachment_name().map(header_text);
        match &part.body {
            PartType::Message(nested) => {
                self.nested(number, name, nested.raw_message(), nested, depth);
            }
            PartType::Text(text) | PartType::Html(text) => {
                self.octets(number, name, part, text.as_bytes(), depth);
            }
            PartType::Binary(content) | PartType::InlineBinary(content) => {
                self.octets(number, name, part, content, depth);
            }
            PartType::Multipart(_) => {}
        }
    }

    fn nested(
        &mut self,
        number: u32,
        name: Option<String>,
        content: &[u8],
        message: &Message<'_>,
        depth: usize,
    ) {
        (self.tell)(Found::File {
            part: number,
            name: name.or_else(|| Some(nested_name(message))),
            media_type: "message/rfc822".to_owned(),
            content,
            inline: None,
        });
        (self.tell)(Found::Message {
            part: number,
            message,
        });
        if depth < limits::NESTING {
            self.message(message, depth + 1);
        }
    }

    /// A file, or a message that was encoded.
    fn octets(
        &mut self,
        number: u32,
        name: Option<String>,
        part: &MessagePart<'_>,
        content: &[u8],
        depth: usize,
    ) {
        let is_message = part
            .content_type()
            .is_some_and(|found| found.ctype() == parse::ENCODED);
        if is_message && depth < limits::NESTING {
            let fit = Fit::new(content);
            if let Some(message) = fit.parse() {
                return self.nested(number, name, content, &message, depth);
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
        (self.tell)(Found::File {
            part: number,
            name,
            media_type,
            content,
            inline: part.content_id(),
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
            (self.tell)(Found::File {
                part,
                name: file.name,
                media_type: file
                    .media_type
                    .unwrap_or_else(|| "application/octet-stream".to_owned())
                    .to_ascii_lowercase(),
                content: file.content,
                inline: None,
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
