//! Lists of messages: a search's, or the inbox's.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query as Parameters, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use restante_archive::message::Parsed;
use restante_archive::{Entry, Page, Query, QueryError, Results, Snippet};
use restante_store::{MailStore, MailboxId, MessageFilter, MessageInfo};
use serde::Deserialize;

use super::page::Frame;
use super::signed::Signed;
use super::{Fault, Reader, blocking, show};
use crate::limits::{READER_DELETED, READER_ROWS, READER_SELECTED};

/// What the inbox is: all that nobody has put aside.
const INBOX: &str = "-is:archived -is:junk";

/// Letters from which on a search runs while it is typed.
const LETTERS: usize = 3;

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

/// A message as a row.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) read: bool,
    pub(super) starred: bool,
    pub(super) from: String,
    pub(super) subject: String,
    pub(super) preview: Vec<(String, bool)>,
    pub(super) thread_count: u64,
    pub(super) labels: Vec<String>,
    pub(super) junk: bool,
    pub(super) attachment: bool,
    pub(super) date: String,
    pub(super) date_long: String,
    pub(super) date_machine: String,
    pub(super) size: String,
}

impl Row {
    pub(super) fn new(entry: Entry) -> Self {
        let preview = match &entry.snippet {
            Some(snippet) => pieces(snippet),
            None => vec![(entry.preview, false)],
        };
        let subject = if entry.subject.is_empty() {
            "(no subject)".to_owned()
        } else {
            entry.subject
        };
        Self {
            id: entry.id.to_string(),
            read: entry.read,
            starred: entry.starred,
            from: entry.from.shown().to_owned(),
            subject,
            preview,
            thread_count: entry.thread_count,
            labels: entry.labels,
            junk: entry.junk,
            attachment: entry.attachment,
            date: show::short(entry.date),
            date_long: show::long(entry.date),
            date_machine: show::machine(entry.date),
            size: show::size(entry.size),
        }
    }
}

/// The text of a snippet, with what is to be highlighted.
fn pieces(snippet: &Snippet) -> Vec<(String, bool)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for found in &snippet.found {
        let (Some(before), Some(hit)) = (
            snippet.text.get(at..found.start),
            snippet.text.get(found.clone()),
        ) else {
            continue;
        };
        pieces.push((before.to_owned(), false));
        pieces.push((hit.to_owned(), true));
        at = found.end;
    }
    pieces.push((snippet.text[at..].to_owned(), false));
    pieces
}

/// A query that is not understood, cut where it went wrong.
struct Mistake {
    before: String,
    wrong: String,
    after: String,
    what: String,
}

impl Mistake {
    fn new(query: &str, error: QueryError) -> Self {
        let part = |from: usize, to: usize| query.chars().skip(from).take(to - from).collect();
        let end = error.at + error.length;
        Self {
            before: part(0, error.at),
            wrong: part(error.at, end),
            after: part(end, query.chars().count().max(end)),
            what: error.what,
        }
    }
}

/// A list's rows, and what leads to the next ones.
#[derive(Template)]
#[template(path = "reader/rows.html")]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) more: Option<String>,
}

#[derive(Template)]
#[template(path = "reader/results.html")]
struct Found {
    query: String,
    total: Option<u64>,
    mistake: Option<Mistake>,
    rows: Rows,
    back: String,
    csrf: String,
    labels: Vec<String>,
    searching: bool,
}

#[derive(Template)]
#[template(path = "reader/list.html")]
struct ListPage {
    frame: Frame,
    found: Found,
}

pub(super) async fn page(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    headers: HeaderMap,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Fault> {
    let typed = headers.contains_key("hx-request");
    let typing = headers
        .get("hx-trigger-name")
        .is_some_and(|name| name == "q");
    if typing && (1..LETTERS).contains(&asked.q.trim().chars().count()) {
        // htmx leaves the page as it is.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    blocking(move || {
        let frame = Frame::new(&reader, &signed, title(&asked.q), menu(&asked.q))?;
        let found = find(&reader, &signed, &asked, frame.labels.clone())?;
        let html = if !asked.after.is_empty() && typed {
            found.rows.render()?
        } else if typed {
            found.render()?
        } else {
            let frame = Frame {
                query: asked.q.clone(),
                ..frame
            };
            ListPage { frame, found }.render()?
        };
        Ok(Html(html).into_response())
    })
    .await
}

fn find(
    reader: &Reader,
    signed: &Signed,
    asked: &Asked,
    labels: Vec<String>,
) -> Result<Found, Fault> {
    let text = asked.q.trim();
    let searching = !text.is_empty();
    let mut mistake = None;
    let mut results = Results::default();
    match Query::parse(if searching { text } else { INBOX }) {
        Err(error) => mistake = Some(Mistake::new(text, error)),
        Ok(query) => {
            let page = Page {
                after: asked.after.parse().ok(),
                limit: READER_ROWS,
                threads: true,
                count: searching && asked.after.is_empty(),
                snippets: searching,
            };
            results = reader.archive.search(&signed.scope, &query, &page)?;
        }
    }
    let here = format!("/mail?q={}", show::query(text));
    let more = results.next.map(|key| format!("{here}&after={key}"));
    Ok(Found {
        query: text.to_owned(),
        total: results.total,
        mistake,
        rows: Rows {
            rows: results.entries.into_iter().map(Row::new).collect(),
            more,
        },
        back: here,
        csrf: signed.csrf.clone(),
        labels,
        searching,
    })
}

fn title(query: &str) -> String {
    match query.trim() {
        "" => "Inbox".to_owned(),
        "is:unread" => "Unread".to_owned(),
        "is:starred" => "Starred".to_owned(),
        "is:archived" => "Archive".to_owned(),
        "is:junk" => "Junk".to_owned(),
        other => other.to_owned(),
    }
}

/// The entry of the menu that shows this query.
fn menu(query: &str) -> &'static str {
    let known = [
        "is:unread",
        "is:starred",
        "is:archived",
        "is:junk",
        "has:attachment",
    ];
    match query.trim() {
        "" => "inbox",
        other => known.into_iter().find(|q| *q == other).unwrap_or_default(),
    }
}

struct Deleted {
    id: String,
    from: String,
    subject: String,
    removed: String,
    size: String,
}

#[derive(Template)]
#[template(path = "reader/deleted.html")]
struct DeletedPage {
    frame: Frame,
    rows: Vec<Deleted>,
    most: usize,
    hold: u64,
}

/// What was removed and can still be brought back, the last removed first.
pub(super) async fn deleted(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
) -> Result<Html<String>, Fault> {
    blocking(move || {
        let rows: Vec<_> = last_removed(&*reader.store, signed.mailbox)?
            .iter()
            .map(|info| {
                // One that cannot be read is listed all the same: it may be what somebody looks for.
                let header = reader.archive.header(&signed.scope, info.unique_id);
                Deleted::new(info, header.unwrap_or_default())
            })
            .collect();
        let frame = Frame::new(&reader, &signed, "Deleted", "deleted")?;
        let hold = reader.store.capabilities().hold_ms / (24 * 3_600_000);
        let page = DeletedPage {
            frame,
            rows,
            most: READER_DELETED,
            hold,
        };
        Ok(Html(page.render()?))
    })
    .await
}

impl Deleted {
    fn new(info: &MessageInfo, header: Parsed) -> Self {
        let from = header.from.first().map(|from| from.shown().to_owned());
        let subject = if header.subject.is_empty() {
            format!("(no subject: {})", info.unique_id)
        } else {
            header.subject
        };
        Self {
            id: info.unique_id.to_string(),
            from: from.unwrap_or_default(),
            subject,
            removed: info
                .removed
                .map(|(at, _)| show::long_ms(at))
                .unwrap_or_default(),
            size: show::size(info.size),
        }
    }
}

/// The [`READER_DELETED`] messages of a mailbox that were removed last, the last first.
fn last_removed(store: &dyn MailStore, mailbox: MailboxId) -> Result<Vec<MessageInfo>, Fault> {
    let (mut last, mut after) = (Vec::new(), None);
    loop {
        let filter = MessageFilter::Deleted;
        let page = pollster::block_on(store.browse(mailbox, filter, after, READER_SELECTED))?;
        after = page.last().map(|info| info.unique_id);
        last.extend(page);
        last.sort_by_key(|info| {
            std::cmp::Reverse((info.removed.map(|(at, _)| at), info.unique_id))
        });
        last.truncate(READER_DELETED);
        if after.is_none() {
            return Ok(last);
        }
    }
}
