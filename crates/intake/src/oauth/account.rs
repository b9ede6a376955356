//! One fetched account's tokens: logging in, refreshing, forgetting.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oauth2::basic::{BasicClient, BasicTokenResponse, BasicTokenType};
use oauth2::{
    AuthType, AuthUrl, ClientId, ClientSecret, DeviceAuthorizationUrl, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, RefreshToken, RequestTokenError, Scope, TokenResponse, TokenUrl,
};
use restante_proto::Secret;

use super::error::{from_request, in_words};
use super::http::Http;
use super::tokens::{Issuer, TokenFile, Tokens, checked};
use super::{OAuthError, OAuthProvider};
use crate::clock::now_ms;

/// The crate's client with the endpoints that we have.
pub(super) type Client =
    BasicClient<EndpointMaybeSet, EndpointMaybeSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// An account and where its tokens come from. Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct OAuthAccount {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    account: String,
    provider: OAuthProvider,
    file: TokenFile,
    /// The digest of the access token that was given out last, to tell which one was refused.
    given: Mutex<Option<blake3::Hash>>,
}

/// How a login went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Whether it lasts: there is a refresh token. Else it ends with the access token.
    pub lasting: bool,
    /// When the access token ends, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// Scopes that were asked for and not granted: a person may untick some.
    pub missing_scopes: Vec<String>,
}

/// What is kept of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenState {
    /// Whether there is a refresh token.
    pub lasting: bool,
    /// When the access token ends, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl OAuthAccount {
    /// The tokens of `account` are in the data folder `data`; nothing is read or asked yet.
    ///
    /// # Errors
    /// [`OAuthError::Configuration`] when the provider cannot work.
    pub fn new(account: &str, provider: OAuthProvider, data: &Path) -> Result<Self, OAuthError> {
        provider.check()?;
        Ok(Self {
            inner: Arc::new(Inner {
                account: account.to_owned(),
                file: TokenFile::new(data, account),
                provider,
                given: Mutex::new(None),
            }),
        })
    }

    /// An access token that is good now. It is refreshed first when it has ended, or with
    /// `force_refresh`, which says that the mail server refused the last one. A refresh token that the
    /// provider replaced is durable before the access token is given out.
    ///
    /// Must be called within tokio. Giving up the future does not give up a refresh under way: its
    /// result would be lost, and with it the login.
    ///
    /// # Errors
    /// [`OAuthError::NotLoggedIn`], [`OAuthError::Revoked`] and all that may go wrong on the way.
    pub async fn access_token(&self, force_refresh: bool) -> Result<Secret, OAuthError> {
        let inner = Arc::clone(&self.inner);
        self.apart(async move { inner.current(force_refresh).await })
            .await
    }

    /// What is kept of the account; `None` when nobody has logged in, or with another provider or
    /// client.
    ///
    /// # Errors
    /// [`OAuthError::Storage`], [`OAuthError::Format`].
    pub fn state(&self) -> Result<Option<TokenState>, OAuthError> {
        let kept = self.inner.file.read()?;
        let ours = kept.filter(|tokens| tokens.issuer == self.inner.issuer());
        Ok(ours.map(|tokens| TokenState {
            lasting: tokens.refresh_token.is_some(),
            expires_ms: tokens.expires_ms,
        }))
    }

    /// Forgets the tokens, as removing the account does. The provider is not told.
    ///
    /// # Errors
    /// [`OAuthError::Storage`], [`OAuthError::Busy`].
    pub async fn forget(&self) -> Result<(), OAuthError> {
        let lock = self.inner.file.lock().await?;
        self.inner.file.remove(&lock)
    }

    pub(super) fn provider(&self) -> &OAuthProvider {
        &self.inner.provider
    }

    pub(super) fn http(&self) -> Http {
        self.inner.http()
    }

    pub(super) fn client(&self) -> Client {
        self.inner.client()
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        self.inner.provider.scopes.iter().cloned().map(Scope::new)
    }

    /// Keeps what a login brought, which was asked for at `asked_ms`.
    pub(super) async fn keep(
        &self,
        answer: BasicTokenResponse,
        asked_ms: u64,
    ) -> Result<LoggedIn, OAuthError> {
        let inner = Arc::clone(&self.inner);
        self.apart(async move {
            let tokens = inner.tokens(&answer, None, asked_ms)?;
            let lock = inner.file.lock().await?;
            let file = inner.file.clone();
            let logged_in = LoggedIn {
                lasting: tokens.refresh_token.is_some(),
                expires_ms: tokens.expires_ms,
                missing_scopes: inner.missing(&answer),
            };
            off_thread(move || file.replace(file.draft(&lock)?, &tokens)).await?;
            Ok(logged_in)
        })
        .await
    }

    /// Runs on when nobody waits for it any more.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, OAuthError>> + Send + 'static,
    ) -> Result<T, OAuthError> {
        flatten(tokio::spawn(work).await)
    }
}

/// A task that ended without a result was part of a program that is ending.
fn flatten<T>(
    joined: Result<Result<T, OAuthError>, tokio::task::JoinError>,
) -> Result<T, OAuthError> {
    joined.unwrap_or_else(|error| {
        Err(OAuthError::Unavailable {
            provider: "the provider".to_owned(),
            why: error.to_string(),
        })
    })
}

/// Syncing a file takes as long as the disk likes.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OAuthError> + Send + 'static,
) -> Result<T, OAuthError> {
    flatten(tokio::task::spawn_blocking(work).await)
}

impl Inner {
    fn http(&self) -> Http {
        Http {
            ca_file: self.provider.ca_file.clone(),
        }
    }

    fn client(&self) -> Client {
        let provider = &self.provider;
        let kind = match provider.secret_in_body {
            true => AuthType::RequestBody,
            false => AuthType::BasicAuth,
        };
        let mut client = BasicClient::new(ClientId::new(provider.client_id.clone()))
            .set_auth_type(kind)
            .set_token_uri(TokenUrl::from_url(provider.token.clone()))
            .set_auth_uri_option(provider.authorize.clone().map(AuthUrl::from_url))
            .set_device_authorization_url_option(
                provider
                    .device
                    .clone()
                    .map(DeviceAuthorizationUrl::from_url),
            );
        if let Some(secret) = &provider.client_secret {
            let text = String::from_utf8_lossy(secret.expose()).into_owned();
            client = client.set_client_secret(ClientSecret::new(text));
        }
        client
    }

    fn issuer(&self) -> Issuer {
        Issuer {
            token_endpoint: self.provider.token.to_string(),
            client_id: self.provider.client_id.clone(),
            scopes: self.provider.scopes.clone(),
        }
    }

    fn not_logged_in(&self, why: &str) -> OAuthError {
        OAuthError::NotLoggedIn {
            account: self.account.clone(),
            why: why.to_owned(),
        }
    }

    /// The tokens that are kept and were given by this provider to this client.
    fn kept(&self) -> Result<Tokens, OAuthError> {
        let Some(tokens) = self.file.read()? else {
            return Err(self.not_logged_in("nobody has logged in to this account yet"));
        };
        if tokens.issuer == self.issuer() {
            return Ok(tokens);
        }
        Err(self.not_logged_in(
            "the login was with another provider, client id or list of scopes than is configured now",
        ))
    }

    fn give(&self, tokens: Tokens) -> Secret {
        let digest = blake3::hash(tokens.access_token.expose());
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        tokens.access_token
    }

    /// Whether a token may be given out: with `force` only one that was not given out before.
    fn will_do(&self, tokens: &Tokens, force: bool) -> bool {
        let given = *self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let other = given.is_some_and(|given| given != blake3::hash(tokens.access_token.expose()));
        tokens.is_fresh(now_ms()) && (!force || other)
    }

    async fn current(&self, force: bool) -> Result<Secret, OAuthError> {
        let tokens = self.kept()?;
        if !force && self.will_do(&tokens, force) {
            return Ok(self.give(tokens));
        }
        let lock = self.file.lock().await?;
        // Another process may have refreshed it meanwhile, and this refresh token be spent.
        let tokens = self.kept()?;
        if self.will_do(&tokens, force) {
            return Ok(self.give(tokens));
        }
        let file = self.file.clone();
        let (draft, lock) = off_thread(move || Ok((file.draft(&lock)?, lock))).await?;
        let fresh = self.refreshed(&tokens).await?;
        let (file, kept) = (self.file.clone(), fresh.clone());
        off_thread(move || file.replace(draft, &kept)).await?;
        drop(lock);
        Ok(self.give(fresh))
    }

    /// RFC 6749 §6: the scopes stay what they are when none are named.
    async fn refreshed(&self, tokens: &Tokens) -> Result<Tokens, OAuthError> {
        let Some(refresh) = &tokens.refresh_token else {
            return Err(self.not_logged_in(
                "the login has ended, and the provider gave no refresh token (is a scope missing, \
                 such as offline_access?)",
            ));
        };
        let asked_ms = now_ms();
        let spent = RefreshToken::new(String::from_utf8_lossy(refresh.expose()).into_owned());
        let answer = self
            .client()
            .exchange_refresh_token(&spent)
            .request_async(&self.http())
            .await;
        let answer = answer.map_err(|error| self.refused(error))?;
        self.tokens(&answer, Some(refresh.clone()), asked_ms)
    }

    fn refused(
        &self,
        error: RequestTokenError<super::http::HttpError, oauth2::basic::BasicErrorResponse>,
    ) -> OAuthError {
        if let RequestTokenError::ServerResponse(answer) = &error {
            let code = answer.error().as_ref();
            // Microsoft says the second when a rule has come to ask for more than the grant had.
            if matches!(code, "invalid_grant" | "interaction_required") {
                let description = answer.error_description().map(String::as_str);
                return OAuthError::Revoked {
                    account: self.account.clone(),
                    why: in_words(code, description, self.provider.host()),
                };
            }
        }
        from_request(error, self.provider.host())
    }

    /// RFC 6749 §5.1, and §6: without a new refresh token the old one stays good.
    fn tokens(
        &self,
        answer: &BasicTokenResponse,
        refresh: Option<Secret>,
        asked_ms: u64,
    ) -> Result<Tokens, OAuthError> {
        let odd = |why: &str| OAuthError::Unexpected {
            provider: self.provider.host().to_owned(),
            why: why.to_owned(),
        };
        if *answer.token_type() != BasicTokenType::Bearer {
            return Err(odd("its token is no bearer token"));
        }
        let access = checked(answer.access_token().secret()).map_err(odd)?;
        let refresh = match answer.refresh_token() {
            Some(new) => Some(checked(new.secret()).map_err(odd)?),
            None => refresh,
        };
        let life: Option<Duration> = answer.expires_in();
        let issuer = self.issuer();
        Ok(Tokens::new(
            &self.account,
            issuer,
            access,
            refresh,
            asked_ms,
            life,
        ))
    }

    /// RFC 6749 §5.1: an answer without scopes grants what was asked for.
    fn missing(&self, answer: &BasicTokenResponse) -> Vec<String> {
        let Some(granted) = answer.scopes() else {
            return Vec::new();
        };
        // These are about the login, not about mail, and are often left out of the answer.
        let about_login = ["offline_access", "openid", "profile", "email"];
        let asked = self.provider.scopes.iter();
        asked
            .filter(|scope| !about_login.contains(&scope.as_str()))
            .filter(|scope| !granted.iter().any(|one| one.as_str() == scope.as_str()))
            .cloned()
            .collect()
    }
}
