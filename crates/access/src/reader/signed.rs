//! Who asks: [`Signed`] for every page, [`Posted`] for what changes something. A handler that takes one cannot be reached
//! without.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use restante_archive::Scope;
use restante_store::{MailboxId, UniqueId};

use super::{Fault, Reader};
use crate::http::Client;
use crate::limits::{READER_FORM_OCTETS, READER_SELECTED};

/// Fields of a form beside the messages that are selected.
const FIELDS: usize = 32;

/// Somebody with a session.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    /// Whose mail it is.
    pub(super) user: String,
    /// Their mailbox.
    pub(super) mailbox: MailboxId,
    /// What they may see: that mailbox.
    pub(super) scope: Scope,
    /// For forms.
    pub(super) csrf: String,
    /// Whether the browser is on TLS.
    pub(super) tls: bool,
    /// `http://host:port` as the browser has it.
    pub(super) origin: String,
}

impl FromRequestParts<Arc<Reader>> for Signed {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, reader: &Arc<Reader>) -> Result<Self, Fault> {
        let tls = is_tls(parts);
        let name = cookie(&parts.headers, &reader.sessions.cookie(tls)).ok_or(Fault::SignIn)?;
        let session = reader.sessions.find(name).ok_or(Fault::SignIn)?;
        if let Some(password) = session.password {
            let directory = Arc::clone(&reader.directory);
            let user = session.user.clone();
            let current = super::blocking(move || {
                directory
                    .is_current(&user, password)
                    .map_err(|error| Fault::Failed(error.to_string()))
            });
            // Whoever was removed meanwhile is out, and whoever knows only the old password.
            if !current.await? {
                reader.sessions.end(name);
                return Err(Fault::SignIn);
            }
        }
        Ok(Self {
            user: session.user,
            mailbox: session.mailbox,
            scope: Scope::of([session.mailbox]),
            csrf: session.csrf,
            tls,
            origin: origin(parts),
        })
    }
}

fn is_tls(parts: &Parts) -> bool {
    parts
        .extensions
        .get::<Client>()
        .is_some_and(|client| client.tls)
}

fn origin(parts: &Parts) -> String {
    let host = parts.headers.get(header::HOST);
    let host = host
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let scheme = if is_tls(parts) { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// The value of a cookie.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether a page of ours made the browser send this, as far as the browser tells: one of the two fields is in every
/// POST of a browser of today.
pub(super) fn is_ours(parts: &Parts) -> bool {
    let field = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    match field("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => field("origin").is_none_or(|from| from == origin(parts)),
    }
}

/// A form.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// All of it or nothing: whoever selects many must not see some of them left out.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let pairs = url::form_urlencoded::parse(body).into_owned();
        let pairs: Vec<_> = pairs.take(READER_SELECTED + FIELDS + 1).collect();
        let selected = pairs.iter().filter(|(key, _)| key == "id").count();
        if selected > READER_SELECTED || pairs.len() > READER_SELECTED + FIELDS {
            return Err(Fault::Bad(format!(
                "More than {READER_SELECTED} messages were selected, and nothing was done with any: select fewer at once."
            )));
        }
        Ok(Self(pairs))
    }

    /// The first field of that name; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The messages that are named by `id` fields.
    pub(super) fn ids(&self) -> Result<Vec<UniqueId>, Fault> {
        let named = self.0.iter().filter(|(key, _)| key == "id");
        named
            .map(|(_, id)| id.parse().map_err(|_| Fault::NotFound))
            .collect()
    }

    /// Where to go next: a path here, and nothing that leads away.
    pub(super) fn back(&self) -> String {
        let back = self.get("back");
        let plain = back.starts_with('/')
            && !back.starts_with("//")
            && !back.contains(|c: char| c.is_control() || c == '\\');
        if plain { back } else { "/mail" }.to_owned()
    }
}

/// A form that somebody with a session sent from a page of ours.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) signed: Signed,
    pub(super) form: Fields,
}

impl FromRequest<Arc<Reader>> for Posted {
    type Rejection = Fault;

    async fn from_request(request: Request, reader: &Arc<Reader>) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let signed = Signed::from_request_parts(&mut parts, reader).await?;
        if !is_ours(&parts) {
            return Err(Fault::Forbidden);
        }
        let body: Bytes = to_bytes(body, READER_FORM_OCTETS)
            .await
            .map_err(|_| Fault::Bad("The form is too large: select fewer at once.".to_owned()))?;
        let form = Fields::parse(&body)?;
        // Both are random and of this process: comparing hashes takes the same time for every wrong one.
        if blake3::hash(form.get("csrf").as_bytes()) != blake3::hash(signed.csrf.as_bytes()) {
            return Err(Fault::Forbidden);
        }
        Ok(Self { signed, form })
    }
}
