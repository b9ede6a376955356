//! OAuth2 against a provider in the test: what may go wrong, and what must not be lost.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may fail")]

#[path = "oauth/provider.rs"]
mod provider;

#[path = "oauth/device.rs"]
mod device;
#[path = "oauth/loopback.rs"]
mod loopback;
#[path = "oauth/refresh.rs"]
mod refresh;

use std::path::Path;

use restante_intake::oauth::{OAuthAccount, OAuthProvider};

use provider::Provider;

/// The account `work` at a provider in the test.
fn account(provider: &Provider, data: &Path) -> OAuthAccount {
    OAuthAccount::new("work", settings(provider), data).unwrap()
}

fn settings(provider: &Provider) -> OAuthProvider {
    let mut settings = OAuthProvider::new(provider.at("token"), "mine");
    settings.authorize = Some(provider.at("authorize"));
    settings.device = Some(provider.at("device"));
    settings.scopes = vec!["mail".to_owned(), "offline_access".to_owned()];
    settings
}
