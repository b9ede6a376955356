//! SASL mechanisms, and the choice among those offered.

mod apop;
mod choose;
mod exchange;
mod mechanism;
mod scram;

use restante_proto::Secret;

pub(crate) use choose::{Attempt, Offer, choose};
pub(crate) use exchange::{Exchange, ExchangeError};
pub use mechanism::{Mechanism, UnknownMechanism};

/// As whom to log in, with what, and how.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's name at the server.
    pub user: String,
    /// What proves it.
    pub credentials: Credentials,
    /// Nothing weaker than this is ever tried.
    pub minimum: Option<Mechanism>,
    /// This mechanism and no other; the only way to have APOP.
    pub only: Option<Mechanism>,
}

impl Login {
    /// With the best mechanism that the server offers.
    pub fn new(user: impl Into<String>, credentials: Credentials) -> Self {
        Self {
            user: user.into(),
            credentials,
            minimum: None,
            only: None,
        }
    }
}

/// What proves who one is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A password.
    Password(Secret),
    /// An OAuth 2.0 access token, for OAUTHBEARER and XOAUTH2.
    Token(Secret),
    /// The client certificate of the TLS connection, for EXTERNAL.
    Certificate,
}
