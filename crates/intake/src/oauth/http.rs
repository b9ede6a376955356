//! The HTTP of OAuth2: one request, one bounded answer, never a redirect.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use oauth2::http::Response;
use oauth2::http::header::CONTENT_TYPE;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use url::Url;

use super::limits::{CONNECT_WAIT, REQUEST_WAIT, RESPONSE_OCTETS};
use super::provider::{is_loopback, is_safe};

/// Sends the requests that the `oauth2` crate makes.
#[derive(Debug, Clone)]
pub(super) struct Http {
    /// Certificates to trust instead of the system's.
    pub(super) ca_file: Option<PathBuf>,
}

/// Why there is no answer. Nothing in it came from the provider's body.
#[derive(Debug)]
pub(super) enum HttpError {
    /// Nobody could be asked, or no answer came; what happened, for a person.
    Unreachable(String),
    /// The provider says that it is unwell, or that we ask too often.
    Unwell(u16),
    /// It answered what no token endpoint answers.
    Unexpected(String),
    /// We are told to do what we do not do.
    Configuration(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Unexpected(why) | Self::Configuration(why) => {
                f.write_str(why)
            }
            Self::Unwell(status) => write!(f, "it answers with HTTP status {status}"),
        }
    }
}

impl std::error::Error for HttpError {}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = tokio::time::timeout(REQUEST_WAIT, self.ask(request)).await;
            let answer = answer.unwrap_or_else(|_| {
                Err(HttpError::Unreachable(format!(
                    "no whole answer within {} seconds",
                    REQUEST_WAIT.as_secs()
                )))
            });
            if let Err(error) = &answer {
                tracing::debug!(%error, "a request to an OAuth2 provider failed");
            }
            answer
        })
    }
}

impl Http {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = reqwest::Request::try_from(request)
            .map_err(|error| HttpError::Configuration(in_words(error)))?;
        let client = self.client(request.url())?;
        let answer = client.execute(request).await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(HttpError::Unexpected(
                "it answers with a redirection; give the address that it leads to".to_owned(),
            ));
        }
        // Not the person's doing, and no reason to take their login for refused.
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(HttpError::Unwell(status.as_u16()));
        }
        let kind = answer.headers().get(CONTENT_TYPE).cloned();
        let body = bounded(answer).await?;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        if let Some(kind) = kind {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    /// A client for one request: there are a few an hour, and the certificates may have changed.
    fn client(&self, url: &Url) -> Result<reqwest::Client, HttpError> {
        if !is_safe(url) {
            return Err(HttpError::Configuration(format!(
                "{url} has to begin with https://"
            )));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("restante/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WAIT)
            .timeout(REQUEST_WAIT);
        if is_loopback(url) {
            // What stays on this machine must not leave it through a proxy.
            builder = builder.no_proxy();
        } else {
            builder = builder.https_only(true);
        }
        if let Some(path) = &self.ca_file {
            let wrong =
                |why: String| HttpError::Configuration(format!("{}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| wrong(in_words(error)))?;
            if certificates.is_empty() {
                return Err(wrong("there is no certificate in PEM in it".to_owned()));
            }
            builder = builder.tls_certs_only(certificates);
        }
        builder
            .build()
            .map_err(|error| HttpError::Configuration(in_words(error)))
    }
}

/// The body, piece by piece: what the length claims is not believed.
async fn bounded(mut answer: reqwest::Response) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > RESPONSE_OCTETS {
            return Err(HttpError::Unexpected(format!(
                "its answer is longer than {RESPONSE_OCTETS} octets"
            )));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

fn unreachable(error: reqwest::Error) -> HttpError {
    HttpError::Unreachable(in_words(error))
}

/// The innermost cause: the outer ones only say that something failed.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
