//! Newsletters: who sends how much, how much of it is read, and the way out.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Redirect, Response};
use restante_archive::{Newsletter, NewsletterId, Page, Unsubscribe, Unsubscribed};
use serde::Deserialize;

use super::list::{Row, Rows};
use super::page::Frame;
use super::signed::{Posted, Signed};
use super::{Fault, Reader, blocking, show, unsubscribe};
use crate::limits::{READER_ROWS, READER_SELECTED};

/// A newsletter as a row.
struct Sender {
    id: String,
    name: String,
    key: String,
    count: String,
    read_percent: u64,
    rhythm: String,
    last: String,
    last_machine: String,
    size: String,
    unread: bool,
    way: &'static str,
    left: Option<Left>,
}

/// What became of leaving.
struct Left {
    done: bool,
    said: String,
    when: String,
}

impl Sender {
    fn new(newsletter: Newsletter) -> Self {
        Self {
            id: newsletter.id.to_string(),
            way: way(&newsletter.unsubscribe),
            name: newsletter.name,
            key: newsletter.key,
            count: show::count(newsletter.count),
            read_percent: newsletter.read * 100 / newsletter.count.max(1),
            rhythm: newsletter
                .rhythm_seconds
                .map(show::rhythm)
                .unwrap_or_default(),
            last: show::short(newsletter.last.1),
            last_machine: show::machine(newsletter.last.1),
            size: show::size(newsletter.octets),
            unread: newsletter.read < newsletter.count,
            left: newsletter.unsubscribed.map(|left| Left {
                done: left.done,
                said: left.said,
                when: show::long_ms(left.at_ms),
            }),
        }
    }
}

/// The best way to leave: `one-click`, `web`, `mail`, or none.
fn way(unsubscribe: &Unsubscribe) -> &'static str {
    if unsubscribe.one_click && unsubscribe.https.is_some() {
        "one-click"
    } else if unsubscribe.https.is_some() || unsubscribe.http.is_some() {
        "web"
    } else if unsubscribe.mailto.is_some() {
        "mail"
    } else {
        ""
    }
}

#[derive(Template)]
#[template(path = "reader/newsletters.html")]
struct NewslettersPage {
    frame: Frame,
    senders: Vec<Sender>,
    lists: Vec<Sender>,
}

pub(super) async fn page(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
) -> Result<Html<String>, Fault> {
    blocking(move || {
        let all = reader.archive.newsletters(&signed.scope)?;
        let (lists, senders): (Vec<_>, Vec<_>) = all.into_iter().partition(|n| n.discussion);
        let page = NewslettersPage {
            frame: Frame::new(&reader, &signed, "Newsletters", "newsletters")?,
            senders: senders.into_iter().map(Sender::new).collect(),
            lists: lists.into_iter().map(Sender::new).collect(),
        };
        Ok(Html(page.render()?))
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    after: String,
}

#[derive(Template)]
#[template(path = "reader/issues.html")]
struct IssuesPage {
    frame: Frame,
    sender: Sender,
    rows: Rows,
    keep: &'static [usize],
}

fn parse(id: &str) -> Result<NewsletterId, Fault> {
    id.parse().map_err(|_| Fault::NotFound)
}

pub(super) async fn issues(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
    headers: HeaderMap,
    Parameters(asked): Parameters<Asked>,
) -> Result<Html<String>, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let page = Page {
            after: asked.after.parse().ok(),
            limit: READER_ROWS,
            ..Page::default()
        };
        let results = reader.archive.issues(&signed.scope, id, &page)?;
        let more = results
            .next
            .map(|key| format!("/newsletters/{id}?after={key}"));
        let rows = Rows {
            rows: results.entries.into_iter().map(Row::new).collect(),
            more,
        };
        if headers.contains_key("hx-request") {
            return Ok(Html(rows.render()?));
        }
        let newsletter = reader.archive.newsletter(&signed.scope, id)?;
        let page = IssuesPage {
            frame: Frame::new(&reader, &signed, newsletter.name.clone(), "newsletters")?,
            sender: Sender::new(newsletter),
            rows,
            keep: &[1, 3, 5, 10, 20, 50],
        };
        Ok(Html(page.render()?))
    })
    .await
}

/// The oldest unread issue: reading one after the other.
pub(super) async fn next(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
) -> Result<Redirect, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let page = Page {
            limit: READER_SELECTED,
            ..Page::default()
        };
        let results = reader.archive.issues(&signed.scope, id, &page)?;
        let unread = results.entries.iter().rev().find(|entry| !entry.read);
        let to = match unread {
            Some(entry) => format!("/m/{}", entry.id),
            None => format!("/newsletters/{id}"),
        };
        Ok(Redirect::to(&to))
    })
    .await
}

pub(super) async fn keep(
    State(reader): State<Arc<Reader>>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Redirect, Fault> {
    let id = parse(&id)?;
    let keep: usize = posted
        .form
        .get("keep")
        .parse()
        .map_err(|_| Fault::Bad("How many issues are to be kept?".to_owned()))?;
    blocking(move || {
        let (archive, scope) = (&reader.archive, &posted.signed.scope);
        let newsletter = archive.newsletter_known_as(scope, id, posted.form.get("key"))?;
        archive.keep_last(scope, &newsletter, keep)?;
        Ok(Redirect::to(&format!("/newsletters/{id}")))
    })
    .await
}

#[derive(Template)]
#[template(path = "reader/unsubscribe.html")]
struct UnsubscribePage {
    frame: Frame,
    sender: Sender,
    one_click: Option<String>,
    web: Option<String>,
    mailto: Option<String>,
}

/// Asks first: nothing goes out for a click alone.
pub(super) async fn confirm(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
) -> Result<Html<String>, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let newsletter = reader.archive.newsletter(&signed.scope, id)?;
        let ways = &newsletter.unsubscribe;
        let host = |uri: &String| url::Url::parse(uri).ok()?.host_str().map(str::to_owned);
        let page = UnsubscribePage {
            frame: Frame::new(&reader, &signed, "Unsubscribe", "newsletters")?,
            one_click: ways
                .https
                .as_ref()
                .filter(|_| ways.one_click)
                .and_then(host),
            web: ways.https.clone().or_else(|| ways.http.clone()),
            mailto: ways.mailto.clone(),
            sender: Sender::new(newsletter),
        };
        Ok(Html(page.render()?))
    })
    .await
}

/// RFC 8058 §3.2: the POST, and what came of it.
pub(super) async fn unsubscribe(
    State(reader): State<Arc<Reader>>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, Fault> {
    let id = parse(&id)?;
    let (of, scope) = (Arc::clone(&reader), posted.signed.scope.clone());
    let key = posted.form.get("key").to_owned();
    let known = blocking(move || Ok(of.archive.newsletter_known_as(&scope, id, &key)?));
    let newsletter = known.await?;
    let ways = &newsletter.unsubscribe;
    let uri = ways.https.as_ref().filter(|_| ways.one_click);
    let uri = uri.ok_or_else(|| {
        Fault::Bad(
            "This sender offers no one-click unsubscribe; use the other way shown.".to_owned(),
        )
    })?;
    let (done, said) = match unsubscribe::one_click(uri, &reader.options).await {
        Ok(said) => (true, said),
        Err(why) => (false, why),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let result = Unsubscribed {
        at_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        done,
        said,
    };
    blocking(move || {
        let scope = &posted.signed.scope;
        let archive = &reader.archive;
        Ok(archive.set_unsubscribed(scope, &newsletter, &result)?)
    })
    .await?;
    Ok(Redirect::to(&format!("/newsletters/{id}/unsubscribe")).into_response())
}
