//! RFC 8628: a login by a code that is typed in at any browser, this machine's or another's.

use std::time::Duration;

use oauth2::{DeviceCodeErrorResponse, RequestTokenError, StandardDeviceAuthorizationResponse};

use super::error::{Code, from_code, from_request, printable};
use super::limits::{DEVICE_BACK_OFF, DEVICE_INTERVAL_LEAST, DEVICE_WAIT};
use super::{LoggedIn, OAuthAccount, OAuthError};
use crate::clock::now_ms;

/// What to tell the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Where to go.
    pub uri: String,
    /// The code to type in there.
    pub code: String,
    /// The same place with the code in it, if the provider has one: for a link or a QR code.
    pub uri_with_code: Option<String>,
    /// How long the code is good.
    pub life: Duration,
}

impl OAuthAccount {
    /// Asks for a code, has the person told, and waits until they have typed it in. The tokens are
    /// durable when this returns.
    ///
    /// # Errors
    /// [`OAuthError::Denied`], [`OAuthError::TooLate`], and all that a provider may refuse.
    pub async fn login_device(
        &self,
        prompt: &mut (dyn FnMut(Prompt) + Send),
    ) -> Result<LoggedIn, OAuthError> {
        let http = self.http();
        let client = self.client();
        let host = self.provider().host();
        let request = client.exchange_device_code().map_err(|_| {
            OAuthError::Configuration(
                "this provider has no device endpoint: log in in a browser on this machine"
                    .to_owned(),
            )
        })?;
        let grant: StandardDeviceAuthorizationResponse = request
            .add_scopes(self.scopes())
            .request_async(&http)
            .await
            .map_err(|error| from_request(error, host))?;
        let life = grant.expires_in().min(DEVICE_WAIT);
        prompt(told(&grant, life, host)?);

        // RFC 8628 §3.5: the interval is the least; it only ever grows.
        let least = grant.interval().max(DEVICE_INTERVAL_LEAST);
        let asked_ms = std::sync::atomic::AtomicU64::new(now_ms());
        let pause = |asked: Duration| {
            let asked_ms = &asked_ms;
            async move {
                tokio::time::sleep(asked.max(least)).await;
                // Of the question that comes next, so that a token's life is counted from it.
                asked_ms.store(now_ms(), std::sync::atomic::Ordering::Relaxed);
            }
        };
        let questions = client
            .exchange_device_access_token(&grant)
            .set_max_backoff_interval(DEVICE_BACK_OFF)
            .request_async(&http, pause, Some(life));
        // The crate's clock is the wall's; this one cannot be set.
        let answer = tokio::time::timeout(life, questions).await;
        let answer = answer.map_err(|_| OAuthError::TooLate)?;
        let answer = answer.map_err(|error| refused(error, host))?;
        let asked_ms = asked_ms.load(std::sync::atomic::Ordering::Relaxed);
        self.keep(answer, asked_ms).await
    }
}

/// Only what can be shown and opened safely.
fn told(
    grant: &StandardDeviceAuthorizationResponse,
    life: Duration,
    host: &str,
) -> Result<Prompt, OAuthError> {
    let odd = |why: &str| OAuthError::Unexpected {
        provider: host.to_owned(),
        why: why.to_owned(),
    };
    if !super::provider::is_safe(grant.verification_uri().url()) {
        return Err(odd("the page for the code is not at an https:// address"));
    }
    let complete = grant.verification_uri_complete();
    let complete = complete.and_then(|uri| url::Url::parse(uri.secret()).ok());
    let code = printable(grant.user_code().secret());
    if code.is_empty() {
        return Err(odd("there is no code to type in"));
    }
    Ok(Prompt {
        uri: grant.verification_uri().url().to_string(),
        code,
        uri_with_code: complete
            .filter(super::provider::is_safe)
            .map(|uri| uri.to_string()),
        life,
    })
}

fn refused(
    error: RequestTokenError<super::http::HttpError, DeviceCodeErrorResponse>,
    host: &str,
) -> OAuthError {
    if let RequestTokenError::ServerResponse(answer) = &error {
        let description = answer.error_description().map(String::as_str);
        return from_code(answer.error().code(), description, host);
    }
    from_request(error, host)
}
