//! What can go wrong with a request, as a page.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use restante_archive::ArchiveError;
use restante_store::StoreError;

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nobody is signed in.
    SignIn,
    /// There is no such thing among what this user may see.
    NotFound,
    /// The request did not come from one of our pages.
    Forbidden,
    /// What was asked for cannot be done; says why.
    Bad(String),
    /// The disk, the store or the index failed; says why.
    Failed(String),
}

#[derive(Template)]
#[template(path = "reader/fault.html")]
struct Page<'a> {
    title: &'a str,
    text: &'a str,
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, title, text) = match &self {
            Self::SignIn => return Redirect::to("/login").into_response(),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "There is no such page, or no such message in this mailbox.",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "Refused",
                "This did not come from a page of the reader, or you have signed in anew since. Go back, reload the page and try again.",
            ),
            Self::Bad(why) => (StatusCode::BAD_REQUEST, "That does not work", why.as_str()),
            Self::Failed(why) => {
                tracing::error!(why, "a page failed");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something failed",
                    why.as_str(),
                )
            }
        };
        let page = Page { title, text }.render();
        (status, Html(page.unwrap_or_else(|_| title.to_owned()))).into_response()
    }
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::NotFound => Self::NotFound,
            ArchiveError::Query(_) | ArchiveError::Invalid(_) => Self::Bad(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        ArchiveError::from(error).into()
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
