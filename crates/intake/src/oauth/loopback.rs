//! RFC 8252 with RFC 7636: a login in a browser on this machine, which comes back to a listener of ours.

use std::borrow::Cow;
use std::time::Duration;

use oauth2::{AuthorizationCode, CsrfToken, PkceCodeChallenge, RedirectUrl, RequestTokenError};
use url::Url;

use super::error::{from_code, from_request};
use super::listener::{Callback, Listener};
use super::provider::Redirect;
use super::{LoggedIn, OAuthAccount, OAuthError};
use crate::clock::now_ms;

impl OAuthAccount {
    /// Listens on loopback, has the browser opened at the provider's page, and waits for it to come
    /// back, at most for `wait` ([`LOOPBACK_WAIT`](super::limits::LOOPBACK_WAIT) is a good one). The
    /// tokens are durable when this returns.
    ///
    /// # Errors
    /// [`OAuthError::Denied`], [`OAuthError::TooLate`], [`OAuthError::Listener`], and all that a
    /// provider may refuse.
    pub async fn login_loopback(
        &self,
        open: &(dyn Fn(&Url) + Sync),
        wait: Duration,
    ) -> Result<LoggedIn, OAuthError> {
        let provider = self.provider();
        let redirect = Redirect::parse(&provider.redirect)?;
        let listener = Listener::bind(&redirect).await?;
        let back = redirect.with_port(listener.port());
        let back =
            RedirectUrl::new(back).map_err(|error| OAuthError::Configuration(error.to_string()))?;

        // RFC 7636 §4: only S256; who reads the code on its way cannot use it.
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = self.client();
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .map_err(|_| {
                OAuthError::Configuration(
                    "this provider has no authorize endpoint: log in by a code for another device"
                        .to_owned(),
                )
            })?
            .add_scopes(self.scopes())
            .set_pkce_challenge(challenge)
            .set_redirect_uri(Cow::Borrowed(&back));
        for (name, value) in &provider.authorize_params {
            request = request.add_extra_param(name.as_str(), value.as_str());
        }
        let (url, state) = request.url();
        open(&url);

        let answer = listener.wait(redirect.request_path(), state.secret());
        let answer = tokio::time::timeout(wait, answer).await;
        let code = match answer.map_err(|_| OAuthError::TooLate)? {
            Callback::Code(code) => AuthorizationCode::new(code),
            Callback::Error { code, description } => {
                return Err(from_code(&code, description.as_deref(), provider.host()));
            }
        };
        let asked_ms = now_ms();
        let answer = client
            .exchange_code(code)
            .set_pkce_verifier(verifier)
            .set_redirect_uri(Cow::Borrowed(&back))
            .request_async(&self.http())
            .await
            .map_err(|error: RequestTokenError<_, _>| from_request(error, provider.host()))?;
        self.keep(answer, asked_ms).await
    }
}
