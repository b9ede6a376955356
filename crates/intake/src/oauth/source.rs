//! Tokens for whoever logs in with them: a fetch, an IMAP destination.

use restante_client::Credentials;

use super::{OAuthAccount, OAuthError};
use crate::destination::{self, Credential, DestinationFuture};
use crate::fetch::{self, BoxFuture, CredentialError};

impl fetch::CredentialSource for OAuthAccount {
    fn get(&self, refused_before: bool) -> BoxFuture<'_, Result<Credentials, CredentialError>> {
        Box::pin(async move {
            let token = self.access_token(refused_before).await;
            token.map(Credentials::Token).map_err(CredentialError::from)
        })
    }
}

impl destination::CredentialSource for OAuthAccount {
    fn credential(&self, refused: bool) -> DestinationFuture<'_, Result<Credential, String>> {
        Box::pin(async move {
            let token = self.access_token(refused).await;
            token
                .map(Credential::Token)
                .map_err(|error| error.to_string())
        })
    }
}

impl From<OAuthError> for CredentialError {
    fn from(error: OAuthError) -> Self {
        let said = error.to_string();
        match error {
            OAuthError::Configuration(_) | OAuthError::Refused(_) | OAuthError::Format { .. } => {
                Self::Configuration(said)
            }
            OAuthError::NotLoggedIn { .. }
            | OAuthError::Revoked { .. }
            | OAuthError::Denied(_)
            | OAuthError::TooLate => Self::Missing(said),
            // A page of a network's own in place of the answer, a full disk: it may pass.
            OAuthError::Unavailable { .. }
            | OAuthError::Unexpected { .. }
            | OAuthError::Busy { .. }
            | OAuthError::Storage { .. }
            | OAuthError::Listener(_) => Self::Temporary(said),
        }
    }
}
