//! What can go wrong with tokens, and what a person can do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use oauth2::basic::BasicErrorResponseType;
use oauth2::{
    DeviceCodeErrorResponseType, ErrorResponseType, RequestTokenError, StandardErrorResponse,
};

use super::explain;
use super::http::HttpError;
use super::limits::DESCRIPTION_CHARACTERS;

/// Why there is no token. No variant holds a token, a code or a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum OAuthError {
    /// Something configured cannot work.
    Configuration(String),
    /// Nobody has logged in yet, or not with this provider and client; why, if there is more to say.
    NotLoggedIn {
        /// The account.
        account: String,
        /// Such as "the client id was changed".
        why: String,
    },
    /// The provider takes the refresh token no more: revoked, expired, or the password was changed.
    Revoked {
        /// The account.
        account: String,
        /// What the provider said, and what it means.
        why: String,
    },
    /// The person, or the provider on their behalf, said no.
    Denied(String),
    /// Nobody granted access in time.
    TooLate,
    /// The provider refused for another reason: what it said, and what it means.
    Refused(String),
    /// The provider could not be reached, or is unwell: try again later.
    Unavailable {
        /// Its host.
        provider: String,
        /// What happened.
        why: String,
    },
    /// The provider answered what cannot be understood.
    Unexpected {
        /// Its host.
        provider: String,
        /// What is odd about it.
        why: String,
    },
    /// Another process has been refreshing this account for too long.
    Busy {
        /// The account.
        account: String,
    },
    /// The tokens could not be read or kept.
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of tokens is not one that this version can read.
    Format {
        /// The file.
        path: PathBuf,
        /// What is odd about it.
        why: String,
    },
    /// The browser could not be listened for.
    Listener(io::Error),
}

impl OAuthError {
    /// Whether a person has to log in (again); trying later does not help.
    pub fn needs_login(&self) -> bool {
        matches!(self, Self::NotLoggedIn { .. } | Self::Revoked { .. })
    }

    /// Whether the same may work later without anyone doing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Busy { .. })
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(why) => f.write_str(why),
            Self::NotLoggedIn { account, why } => {
                write!(f, "{why}; run: restante account login {account}")
            }
            Self::Revoked { account, why } => write!(
                f,
                "access to {account} is no longer granted: {why}; \
                 to grant it again, run: restante account login {account}"
            ),
            Self::Denied(why) => write!(f, "access was not granted: {why}"),
            Self::TooLate => f.write_str("nobody granted access in time; start the login again"),
            Self::Refused(why) => write!(f, "the provider refused: {why}"),
            Self::Unavailable { provider, why } => {
                write!(f, "{provider} cannot be asked for a token now: {why}")
            }
            Self::Unexpected { provider, why } => {
                write!(
                    f,
                    "{provider} does not answer as an OAuth2 provider does: {why}"
                )
            }
            Self::Busy { account } => write!(
                f,
                "another process has been getting a token for {account} for too long"
            ),
            Self::Storage { path, source } => {
                write!(f, "tokens cannot be kept: {}: {source}", path.display())
            }
            Self::Format { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Listener(source) => {
                write!(f, "cannot listen for the browser's answer: {source}")
            }
        }
    }
}

impl std::error::Error for OAuthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage { source, .. } | Self::Listener(source) => Some(source),
            _ => None,
        }
    }
}

/// The codes of both kinds of error answers, as the words that they are on the wire.
pub(super) trait Code: ErrorResponseType + fmt::Display + 'static {
    /// RFC 6749 §5.2, RFC 8628 §3.5.
    fn code(&self) -> &str;
}

impl Code for BasicErrorResponseType {
    fn code(&self) -> &str {
        self.as_ref()
    }
}

impl Code for DeviceCodeErrorResponseType {
    fn code(&self) -> &str {
        self.as_ref()
    }
}

/// What a failed request to the provider comes to. A body that cannot be read is not repeated: there
/// may be a token in it.
pub(super) fn from_request<C: Code>(
    error: RequestTokenError<HttpError, StandardErrorResponse<C>>,
    provider: &str,
) -> OAuthError {
    let provider = provider.to_owned();
    let odd = |why: &str| OAuthError::Unexpected {
        provider: provider.clone(),
        why: why.to_owned(),
    };
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let description = answer.error_description().map(String::as_str);
            from_code(answer.error().code(), description, &provider)
        }
        RequestTokenError::Request(HttpError::Unreachable(why)) => {
            OAuthError::Unavailable { provider, why }
        }
        RequestTokenError::Request(error @ HttpError::Unwell(_)) => OAuthError::Unavailable {
            provider,
            why: error.to_string(),
        },
        RequestTokenError::Request(HttpError::Unexpected(why)) => {
            OAuthError::Unexpected { provider, why }
        }
        RequestTokenError::Request(HttpError::Configuration(why)) => OAuthError::Configuration(why),
        RequestTokenError::Parse(error, _body) => {
            let field = error.path().to_string();
            odd(&format!("its answer cannot be read at {field}"))
        }
        RequestTokenError::Other(_) => odd("its answer is empty or no JSON"),
    }
}

/// What an error code of a provider comes to, wherever it was found: an answer or a redirection.
pub(super) fn from_code(code: &str, description: Option<&str>, provider: &str) -> OAuthError {
    let said = in_words(code, description, provider);
    match code {
        // `authorization_declined` is Microsoft's word for it.
        "access_denied" | "authorization_declined" => OAuthError::Denied(said),
        "expired_token" => OAuthError::TooLate,
        "temporarily_unavailable" | "server_error" | "slow_down" => OAuthError::Unavailable {
            provider: provider.to_owned(),
            why: said,
        },
        _ => OAuthError::Refused(said),
    }
}

/// The provider's code and words, and ours for what they mean.
pub(super) fn in_words(code: &str, description: Option<&str>, provider: &str) -> String {
    let mut said = printable(code);
    // Microsoft's descriptions go on with trace numbers, line by line.
    let first = description.and_then(|text| text.lines().next());
    if let Some(words) = first.map(printable).filter(|words| !words.is_empty()) {
        said = format!("{said} ({words})");
    }
    match explain::explain(code, description.unwrap_or_default(), provider) {
        None => said,
        Some(meaning) => format!("{meaning} [{said}]"),
    }
}

/// A peer's words, fit for a terminal and a log.
pub(super) fn printable(text: &str) -> String {
    let plain = |c: &char| !c.is_control();
    text.chars()
        .filter(plain)
        .take(DESCRIPTION_CHARACTERS)
        .collect()
}
