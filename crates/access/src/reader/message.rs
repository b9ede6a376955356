//! One message: who, when, its text, what is attached, and the rest of its conversation.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Html;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use restante_archive::message::Parsed;
use restante_archive::render::{self, Rendered};
use restante_archive::{Address, ArchiveError, Entry, MarkChange};
use restante_store::UniqueId;
use serde::Deserialize;

use super::list::Row;
use super::page::Frame;
use super::parts::{self, Preview};
use super::signed::Signed;
use super::{Fault, Reader, blocking, frame, show};
use crate::limits::{READER_TEXT_OCTETS, READER_THREAD};

/// What may stand unescaped in a `mailto:` (RFC 6068 §2).
const MAILTO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

#[derive(Deserialize)]
pub(super) struct Asked {
    /// `1`: images from elsewhere are let in.
    #[serde(default)]
    pub(super) remote: String,
    /// `text`: the text part, though there is HTML.
    #[serde(default, rename = "as")]
    shown_as: String,
}

struct Attached {
    part: u32,
    name: String,
    kind: String,
    size: String,
    preview: Preview,
}

/// How the body is shown.
enum Body {
    /// In a frame of its own.
    Framed,
    /// As it stands, already made safe.
    Text(String),
}

struct Counted {
    what: String,
    host: String,
    times: usize,
}

#[derive(Template)]
#[template(path = "reader/message.html")]
struct MessagePage {
    frame: Frame,
    row: Row,
    archived: bool,
    from: Vec<String>,
    sender: String,
    to: Vec<String>,
    cc: Vec<String>,
    date_long: String,
    date_machine: String,
    reply: Option<String>,
    newsletter: bool,
    body: Body,
    has_both: bool,
    remote: bool,
    trusted: bool,
    remote_images: usize,
    backgrounds: usize,
    trackers: Vec<Counted>,
    links: Vec<render::Link>,
    suspicious: Vec<render::Link>,
    truncated: bool,
    attached: Vec<Attached>,
    thread: Vec<Row>,
    here: String,
}

pub(super) async fn page(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Html<String>, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let message = reader.archive.message(&signed.scope, id)?;
        let entry = entry(&reader, &signed, id, &message)?;
        if !entry.read {
            let read = MarkChange {
                read: Some(true),
                ..MarkChange::default()
            };
            reader.archive.mark(&signed.scope, &[id], &read)?;
        }
        let page = build(&reader, &signed, &asked, message, entry)?;
        Ok(Html(page.render()?))
    })
    .await
}

pub(super) fn parse(id: &str) -> Result<UniqueId, Fault> {
    id.parse().map_err(|_| Fault::NotFound)
}

/// What a list would show of the message; made up where the index does not have it (yet, or any more).
fn entry(reader: &Reader, signed: &Signed, id: UniqueId, message: &Parsed) -> Result<Entry, Fault> {
    match reader.archive.entry(&signed.scope, id) {
        Err(ArchiveError::NotFound) => {}
        found => return Ok(found?),
    }
    let marks = reader.archive.marks(&signed.scope, id)?;
    let info = pollster::block_on(reader.store.message(id))?.ok_or(Fault::NotFound)?;
    let received = i64::try_from(info.received_ms / 1000).unwrap_or(0);
    Ok(Entry {
        id,
        mailbox: signed.mailbox,
        thread: "0".parse().map_err(|_| Fault::NotFound)?,
        thread_count: 1,
        date: message.date.unwrap_or(received),
        size: info.size,
        from: message.from.first().cloned().unwrap_or_default(),
        to: String::new(),
        subject: message.subject.clone(),
        preview: String::new(),
        account: None,
        // A message that is removed is not marked as read by looking at it.
        read: true,
        starred: marks.starred,
        archived: marks.archived,
        junk: marks.junk.unwrap_or(false),
        list: message.list_id.is_some(),
        newsletter: false,
        attachment: message.attachments().next().is_some(),
        labels: marks.labels,
        snippet: None,
    })
}

fn build(
    reader: &Reader,
    signed: &Signed,
    asked: &Asked,
    message: Parsed,
    entry: Entry,
) -> Result<MessagePage, Fault> {
    let sender = message
        .from
        .first()
        .and_then(|a| a.address.clone())
        .unwrap_or_default();
    let trusted = !sender.is_empty() && reader.archive.is_trusted(signed.mailbox, &sender)?;
    let remote = trusted || asked.remote == "1";
    let framed = message.html.is_some() && asked.shown_as != "text";
    let rendered = if framed {
        frame::rendered(reader, &entry.id.to_string(), &message, remote)
    } else {
        Rendered::default()
    };
    let body = if framed {
        Body::Framed
    } else {
        Body::Text(text_of(&message))
    };
    let frame = Frame::new(reader, signed, entry.subject.clone(), "")?;
    let thread = thread(reader, signed, &entry)?;
    let names = |of: &[Address]| of.iter().map(ToString::to_string).collect();
    Ok(MessagePage {
        archived: entry.archived,
        from: names(&message.from),
        to: names(&message.to),
        cc: names(&message.cc),
        date_long: show::long(entry.date),
        date_machine: show::machine(entry.date),
        reply: reply(&message),
        newsletter: entry.newsletter,
        has_both: message.html.is_some() && message.text.is_some(),
        remote,
        trusted,
        remote_images: rendered.remote_images,
        backgrounds: rendered.backgrounds,
        trackers: counted(&rendered),
        suspicious: rendered
            .links
            .iter()
            .filter(|link| link.mismatch.is_some())
            .cloned()
            .collect(),
        links: rendered.links,
        truncated: rendered.truncated || message.truncated,
        attached: attached(&message),
        here: format!("/m/{}", entry.id),
        row: Row::new(entry),
        sender,
        body,
        thread,
        frame,
    })
}

/// The text, as HTML, bounded.
pub(super) fn text_of(message: &Parsed) -> String {
    let text = message.readable(78);
    let mut end = text.len().min(READER_TEXT_OCTETS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    render::text(&text[..end])
}

/// The same tracker several times is one row.
fn counted(rendered: &Rendered) -> Vec<Counted> {
    let mut rows: Vec<Counted> = Vec::new();
    for tracker in &rendered.trackers {
        match rows.iter_mut().find(|row| row.host == tracker.host) {
            Some(row) => row.times += 1,
            None => rows.push(Counted {
                what: tracker
                    .service
                    .unwrap_or("an image too small to see")
                    .to_owned(),
                host: tracker.host.clone(),
                times: 1,
            }),
        }
    }
    rows
}

fn attached(message: &Parsed) -> Vec<Attached> {
    message
        .attachments()
        .map(|part| Attached {
            part: part.id,
            name: parts::name_of(part),
            kind: part.media_type.clone(),
            size: show::size(part.size),
            preview: parts::preview(part),
        })
        .collect()
}

/// The other messages of the conversation.
fn thread(reader: &Reader, signed: &Signed, entry: &Entry) -> Result<Vec<Row>, Fault> {
    if entry.thread_count < 2 {
        return Ok(Vec::new());
    }
    let mut all = reader.archive.thread(&signed.scope, entry.thread)?;
    if all.len() > READER_THREAD {
        all.drain(..all.len() - READER_THREAD);
    }
    Ok(all
        .into_iter()
        .map(|threaded| Row::new(threaded.entry))
        .collect())
}

/// RFC 6068: the address that opens a reply in the reader's own mail program.
fn reply(message: &Parsed) -> Option<String> {
    let to = if message.reply_to.is_empty() {
        &message.from
    } else {
        &message.reply_to
    };
    let address = to.first()?.address.as_deref().filter(|a| a.contains('@'))?;
    let encode = |text: &str| utf8_percent_encode(text, MAILTO).to_string();
    let subject = message.subject.trim();
    let already = subject
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    let subject = if already {
        subject.to_owned()
    } else {
        format!("Re: {subject}")
    };
    let mut uri = format!("mailto:{}?subject={}", encode(address), encode(&subject));
    if let Some(id) = &message.message_id {
        uri.push_str(&format!("&In-Reply-To={}", encode(&format!("<{id}>"))));
        let earlier = message.references.iter().rev().take(10).rev();
        let all: Vec<_> = earlier.chain([id]).map(|id| format!("<{id}>")).collect();
        uri.push_str(&format!("&References={}", encode(&all.join(" "))));
    }
    Some(uri)
}

#[derive(Template)]
#[template(path = "reader/headers.html")]
struct HeadersPage {
    frame: Frame,
    id: String,
    subject: String,
    fields: Vec<(String, String)>,
    raw: String,
}

/// Every header field, decoded and as it stands.
pub(super) async fn headers(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
) -> Result<Html<String>, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let message = reader.archive.message(&signed.scope, id)?;
        let frame = Frame::new(&reader, &signed, "Headers", "")?;
        let page = HeadersPage {
            frame,
            id: id.to_string(),
            subject: message.subject,
            fields: message.headers,
            raw: message.raw_header,
        };
        Ok(Html(page.render()?))
    })
    .await
}
