//! OAuth2: getting, refreshing and keeping tokens.
//!
//! An [`OAuthAccount`] is one fetched account's tokens at one [`OAuthProvider`]. A person logs in
//! once, by [`login_device`](OAuthAccount::login_device) (a code typed in at any browser) or
//! [`login_loopback`](OAuthAccount::login_loopback) (a browser on this machine); from then on
//! [`access_token`](OAuthAccount::access_token) gives a valid token, refreshing it when needed. The
//! client id is always the user's own: none is shipped.

mod account;
mod device;
mod error;
mod explain;
mod http;
pub mod limits;
mod listener;
mod loopback;
mod provider;
mod source;
mod tokens;

pub use account::{LoggedIn, OAuthAccount, TokenState};
pub use device::Prompt;
pub use error::OAuthError;
pub use provider::OAuthProvider;
