//! What a server's refusals, and the client's errors, mean to a fetch.

use std::time::Duration;

use restante_client::{Capabilities, Credentials, Error, Reply, ResponseCode};

use super::limits::{IN_USE, LOGIN_DELAY, LOGIN_DELAY_AT_MOST, PROVIDER_LIMIT, TEMPORARY};
use super::{CredentialError, FetchError, Kind, Pause, PauseReason};
use crate::clock::millis;

/// Whether a refusal is a wait, and how long.
pub(super) fn pause_of(reply: &Reply, delay: Option<Duration>, now_ms: u64) -> Option<Pause> {
    let (reason, wait) = match &reply.code {
        Some(ResponseCode::InUse) => (PauseReason::InUse, IN_USE),
        Some(ResponseCode::LoginDelay) => (PauseReason::LoginDelay, delay.unwrap_or(LOGIN_DELAY)),
        Some(ResponseCode::SysTemp) if is_limit(reply) => {
            (PauseReason::ProviderLimit, PROVIDER_LIMIT)
        }
        Some(ResponseCode::SysTemp) => (PauseReason::Temporary, TEMPORARY),
        Some(ResponseCode::Auth | ResponseCode::SysPerm) => return None,
        _ if is_lock(reply) => (PauseReason::InUse, IN_USE),
        _ if is_limit(reply) => (PauseReason::ProviderLimit, PROVIDER_LIMIT),
        _ => return None,
    };
    Some(Pause {
        until_ms: now_ms.saturating_add(millis(wait)),
        reason,
        reply: Some(reply.to_string()),
    })
}

/// What servers without response codes say of a maildrop that another session has: RFC 1939 §4 has
/// "unable to lock maildrop" and "maildrop already locked" itself.
fn is_lock(reply: &Reply) -> bool {
    let said = [
        "already locked",
        "unable to lock",
        "lock busy",
        "is locked by",
        "maildrop is locked",
        "mailbox is locked",
        "maildrop locked",
        "mailbox in use",
        "maildrop in use",
        "another pop3 session",
        "another session",
    ];
    contains(reply, &said)
}

/// What providers say when they have served enough for a day or an hour.
pub(super) fn is_limit(reply: &Reply) -> bool {
    let said = [
        "bandwidth limit",
        "bandwidth quota",
        "limit exceeded",
        "exceeded the limit",
        "limits exceeded",
        "daily limit",
        "too many simultaneous",
        "too many logins",
        "too many connections",
        "too many login attempts in",
        "quota of downloads",
        "download limit",
        "rate limit",
    ];
    contains(reply, &said)
}

fn contains(reply: &Reply, said: &[&str]) -> bool {
    let text = reply.text.to_ascii_lowercase();
    said.iter().any(|words| text.contains(words))
}

/// RFC 2449 §6.5 LOGIN-DELAY: seconds between logins.
pub(super) fn login_delay(capabilities: &Capabilities) -> Option<Duration> {
    let mut arguments = capabilities.arguments("LOGIN-DELAY")?;
    let seconds: u64 = arguments.next()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LOGIN_DELAY_AT_MOST))
}

/// Whether two credentials are the same, so that it makes no sense to send them twice.
pub(super) fn same(a: &Credentials, b: &Credentials) -> bool {
    match (a, b) {
        (Credentials::Password(a), Credentials::Password(b))
        | (Credentials::Token(a), Credentials::Token(b)) => a.expose() == b.expose(),
        (Credentials::Certificate, Credentials::Certificate) => true,
        _ => false,
    }
}

/// Why there is nothing to log in with.
pub(super) fn credentials_failed(error: &CredentialError) -> FetchError {
    let kind = match error {
        CredentialError::Temporary(_) => Kind::Temporary,
        CredentialError::Missing(_) => Kind::Permission,
        CredentialError::Configuration(_) => Kind::Configuration,
    };
    FetchError::new(kind, error.to_string())
}

/// What a client's error ends a fetch with. `reached`: a session got as far as the maildrop.
pub(super) fn client_failed(error: &Error, reached: bool) -> FetchError {
    let kind = match error {
        Error::Network(_) | Error::Timeout(_) | Error::Proxy(_) | Error::Closed { .. } => {
            if reached {
                Kind::Temporary
            } else {
                Kind::Unavailable
            }
        }
        Error::Stalled { .. } | Error::Desync { .. } | Error::Limit(_) => Kind::Protocol,
        Error::Tls(_) | Error::Pin { .. } | Error::StlsRefused(_) | Error::Injected => {
            Kind::Permission
        }
        Error::NoMechanism { .. } | Error::LoginRefused { .. } | Error::ServerUnproven => {
            Kind::Permission
        }
        Error::Configuration(_) => Kind::Configuration,
        Error::Refused { reply, .. } if reply.code == Some(ResponseCode::SysPerm) => {
            Kind::Unavailable
        }
        // The client's errors may grow.
        _ => Kind::Protocol,
    };
    let failed = FetchError::new(kind, error.to_string());
    match error.reply() {
        Some(reply) => failed.with_reply(reply.text.clone()),
        None => failed,
    }
}

/// What kind of failure a client's error is to whoever cannot wait: what a fetch takes for a pause is
/// one that may pass.
pub(crate) fn kind_of(error: &Error, reached: bool) -> Kind {
    match error.reply().and_then(|reply| pause_of(reply, None, 0)) {
        Some(_) => Kind::Temporary,
        None => client_failed(error, reached).kind(),
    }
}

/// Whether a new connection may fare better.
pub(super) const fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::Network(_)
            | Error::Timeout(_)
            | Error::Closed { .. }
            | Error::Stalled { .. }
            | Error::Desync { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: Option<ResponseCode>, text: &str) -> Reply {
        Reply {
            code,
            text: text.to_owned(),
        }
    }

    #[test]
    fn waits_are_told_from_errors() {
        let reason = |code, text| pause_of(&reply(code, text), None, 0).map(|pause| pause.reason);
        let table = [
            (Some(ResponseCode::InUse), "x", Some(PauseReason::InUse)),
            (
                Some(ResponseCode::LoginDelay),
                "x",
                Some(PauseReason::LoginDelay),
            ),
            (
                Some(ResponseCode::SysTemp),
                "x",
                Some(PauseReason::Temporary),
            ),
            (Some(ResponseCode::Auth), "daily limit", None),
            (Some(ResponseCode::SysPerm), "x", None),
            // RFC 1939 §4 and §7.
            (None, "maildrop already locked", Some(PauseReason::InUse)),
            (None, "unable to lock maildrop", Some(PauseReason::InUse)),
            (
                None,
                "Account exceeded command or bandwidth limits.",
                Some(PauseReason::ProviderLimit),
            ),
            (
                None,
                "Bandwidth limit reached",
                Some(PauseReason::ProviderLimit),
            ),
            (None, "account is locked", None),
            (None, "invalid password", None),
        ];
        for (code, text, expected) in table {
            assert_eq!(reason(code, text), expected, "{text}");
        }
    }

    #[test]
    fn a_login_delay_is_believed_within_bounds() {
        let of = |line: &str| login_delay(&Capabilities::from_lines([line]));
        assert_eq!(of("LOGIN-DELAY 900"), Some(Duration::from_secs(900)));
        assert_eq!(of("LOGIN-DELAY 900 USER"), Some(Duration::from_secs(900)));
        assert_eq!(of("LOGIN-DELAY 99999999999"), Some(LOGIN_DELAY_AT_MOST));
        assert_eq!(of("UIDL"), None);
    }
}
