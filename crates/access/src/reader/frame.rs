//! The HTML of a message, as a document of its own: no scripts, an origin that is nobody's, and a policy that
//! lets in what the reader asked for.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use restante_archive::message::Parsed;
use restante_archive::render::{self, Remote, Rendered};

use super::message::{Asked, parse, text_of};
use super::signed::Signed;
use super::{Fault, Reader, blocking};

#[derive(Template)]
#[template(path = "reader/frame.html")]
struct FramePage {
    subject: String,
    from: String,
    html: Option<String>,
    text: String,
}

/// Makes a message's HTML safe. `id` names the message in the addresses of its images.
pub(super) fn rendered(reader: &Reader, id: &str, message: &Parsed, remote: bool) -> Rendered {
    let html = message.html.as_deref().unwrap_or_default();
    let remote = if remote {
        Remote::Allowed
    } else {
        Remote::Blocked
    };
    let part = |cid: &str| {
        let part = message.content_id(cid)?.id;
        let mac = reader.sessions.mac(id, part);
        Some(format!("/inline/{id}/{part}/{mac}"))
    };
    render::html(html, remote, &part)
}

pub(super) async fn page(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
    Path(id): Path<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Fault> {
    let id = parse(&id)?;
    blocking(move || {
        let message = reader.archive.message(&signed.scope, id)?;
        let sender = message.from.first();
        let sender = sender
            .and_then(|a| a.address.as_deref())
            .unwrap_or_default();
        let trusted = !sender.is_empty() && reader.archive.is_trusted(signed.mailbox, sender)?;
        let remote = trusted || asked.remote == "1";
        let html = message.html.is_some();
        let rendered = rendered(&reader, &id.to_string(), &message, remote);
        let page = FramePage {
            subject: message.subject.clone(),
            from: message
                .from
                .first()
                .map(|a| a.shown().to_owned())
                .unwrap_or_default(),
            html: html.then_some(rendered.html),
            text: if html {
                String::new()
            } else {
                text_of(&message)
            },
        };
        let mut response = Html(page.render()?).into_response();
        let fields = response.headers_mut();
        let policy = policy(&signed.origin, remote);
        let policy = HeaderValue::try_from(policy).map_err(|_| Fault::NotFound)?;
        fields.insert(HeaderName::from_static("content-security-policy"), policy);
        let framed = HeaderValue::from_static("SAMEORIGIN");
        fields.insert(HeaderName::from_static("x-frame-options"), framed);
        Ok(response)
    })
    .await
}

/// `sandbox` holds also when the address is opened outside its frame.
fn policy(origin: &str, remote: bool) -> String {
    let elsewhere = if remote { " https: http:" } else { "" };
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src {origin}/inline/ data:{elsewhere}; \
         form-action 'none'; base-uri 'none'; frame-ancestors 'self'; \
         sandbox allow-popups allow-popups-to-escape-sandbox"
    )
}
