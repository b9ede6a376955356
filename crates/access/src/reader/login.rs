//! Signing in: a user's own password, or the one-time token of whoever owns the data folder.

use std::sync::Arc;

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts as _, Query as Parameters, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use restante_directory::{AuthError, PasswordMark};
use restante_proto::Secret;
use restante_store::MailboxId;
use serde::Deserialize;

use super::signed::{Fields, Posted, Signed, cookie, is_ours};
use super::{Fault, Reader, assets, blocking};
use crate::http::Client;
use crate::limits::{READER_FORM_OCTETS, READER_SESSION, REFUSED};

#[derive(Template)]
#[template(path = "reader/login.html")]
struct LoginPage {
    said: Option<&'static str>,
    user: String,
    version: &'static str,
}

#[derive(Template)]
#[template(path = "reader/entered.html")]
struct Entered;

fn form(said: Option<&'static str>, user: &str) -> Result<Html<String>, Fault> {
    let page = LoginPage {
        said,
        user: user.to_owned(),
        version: assets::version(),
    };
    Ok(Html(page.render()?))
}

pub(super) async fn page() -> Result<Html<String>, Fault> {
    form(None, "")
}

pub(super) async fn sign_in(
    State(reader): State<Arc<Reader>>,
    request: Request,
) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let client = parts.extensions.get::<Client>().copied();
    if !is_ours(&parts) {
        return Err(Fault::Forbidden);
    }
    let body = to_bytes(body, READER_FORM_OCTETS).await;
    let fields = Fields::parse(&body.map_err(|_| Fault::Forbidden)?)?;
    let (user, password) = (
        fields.get("user").trim(),
        Secret::from(fields.get("password")),
    );
    let ip = client.and_then(|client| client.peer.ip);
    let peer = client.map(|client| client.peer.to_string());
    let (status, said) = match reader.directory.sign_in(user, &password, ip).await {
        Ok((user, mark)) => return start(&reader, client, user.name, Some(mark)).await,
        Err(AuthError::Refused) => {
            tracing::warn!(peer, ?user, "sign-in to the reader refused");
            tokio::time::sleep(REFUSED).await;
            (
                StatusCode::UNAUTHORIZED,
                "The name or the password is wrong.",
            )
        }
        Err(AuthError::Throttled) => {
            tracing::warn!(
                peer,
                ?user,
                "sign-in to the reader not checked: too many have failed"
            );
            (
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong passwords from your address; wait a minute and try again.",
            )
        }
        Err(AuthError::Temporary(why)) => {
            tracing::error!(
                peer,
                ?user,
                why,
                "sign-in to the reader could not be checked"
            );
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "Passwords cannot be checked at the moment; try again.",
            )
        }
    };
    Ok((status, form(Some(said), user)?).into_response())
}

#[derive(Deserialize)]
pub(super) struct Entering {
    #[serde(default)]
    token: String,
}

pub(super) async fn enter(
    State(reader): State<Arc<Reader>>,
    Parameters(asked): Parameters<Entering>,
    request: Request,
) -> Result<Response, Fault> {
    let (mut parts, _) = request.into_parts();
    let client = parts.extensions.get::<Client>().copied();
    match reader.sessions.redeem(&asked.token) {
        Some(mailbox) => {
            let started = start(&reader, client, mailbox, None).await?;
            // A page, not a redirection: what comes from elsewhere carries no cookie that is ours alone.
            let cookie = started.headers().get(header::SET_COOKIE).cloned();
            let cookie = cookie.ok_or(Fault::NotFound)?;
            Ok(([(header::SET_COOKIE, cookie)], Html(Entered.render()?)).into_response())
        }
        // The page was reloaded: whoever is in stays in.
        None if Signed::from_request_parts(&mut parts, &reader).await.is_ok() => {
            Ok(Redirect::to("/mail").into_response())
        }
        None => Ok((
            StatusCode::UNAUTHORIZED,
            form(
                Some("This address has been used already, or is too old. Sign in, or run `restante read` again."),
                "",
            )?,
        )
            .into_response()),
    }
}

/// Starts a session on the user's mailbox, which is made and indexed if nobody has read it yet.
async fn start(
    reader: &Arc<Reader>,
    client: Option<Client>,
    user: String,
    password: Option<PasswordMark>,
) -> Result<Response, Fault> {
    let mailbox = match reader.store.find_mailbox(&user).await? {
        Some(mailbox) => mailbox.id,
        None => reader.store.create_mailbox(&user).await?,
    };
    want(reader, mailbox).await?;
    let failed = |error: std::io::Error| Fault::Failed(error.to_string());
    let tls = client.is_some_and(|client| client.tls);
    let name = reader
        .sessions
        .start(user, mailbox, password)
        .map_err(failed)?;
    let secure = if tls { "; Secure" } else { "" };
    let cookie = format!(
        "{}={name}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        reader.sessions.cookie(tls),
        READER_SESSION.as_secs()
    );
    with_cookie(Redirect::to("/mail"), &cookie)
}

async fn want(reader: &Arc<Reader>, mailbox: MailboxId) -> Result<(), Fault> {
    let reader = Arc::clone(reader);
    blocking(move || Ok(reader.archive.want(mailbox)?)).await
}

pub(super) async fn sign_out(
    State(reader): State<Arc<Reader>>,
    headers: axum::http::HeaderMap,
    posted: Posted,
) -> Result<Response, Fault> {
    let name = reader.sessions.cookie(posted.signed.tls);
    if let Some(session) = cookie(&headers, &name) {
        reader.sessions.end(session);
    }
    let secure = if posted.signed.tls { "; Secure" } else { "" };
    let gone = format!("{name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0{secure}");
    with_cookie(Redirect::to("/login"), &gone)
}

fn with_cookie(redirect: Redirect, cookie: &str) -> Result<Response, Fault> {
    let value = HeaderValue::try_from(cookie).map_err(|error| Fault::Failed(error.to_string()))?;
    Ok(([(header::SET_COOKIE, value)], redirect).into_response())
}
