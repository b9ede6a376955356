//! Logging in: one way after the other, until one works or trying on would cost.

use restante_proto::Secret;
use restante_proto::client::{Asked, Command, Event, goes_along};

use crate::auth::{Attempt, Exchange, ExchangeError};
use crate::limits::CHALLENGES;
use crate::link::{Link, refused};
use crate::{Credentials, Error, Mechanism, Reply, ResponseCode};

/// What proves the same thing in the same way: what one of them could not, the others cannot either.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Password,
    Digest,
    Scram,
    Certificate,
    Token,
}

/// Whether the exchange is bound to the TLS channel.
const fn is_bound(mechanism: Mechanism) -> bool {
    matches!(
        mechanism,
        Mechanism::ScramSha1Plus | Mechanism::ScramSha256Plus
    )
}

const fn proof(mechanism: Mechanism) -> Proof {
    match mechanism {
        Mechanism::UserPass | Mechanism::Login | Mechanism::Plain => Proof::Password,
        Mechanism::Apop | Mechanism::CramMd5 => Proof::Digest,
        Mechanism::ScramSha1
        | Mechanism::ScramSha256
        | Mechanism::ScramSha1Plus
        | Mechanism::ScramSha256Plus => Proof::Scram,
        Mechanism::External => Proof::Certificate,
        Mechanism::XOAuth2 | Mechanism::OAuthBearer => Proof::Token,
    }
}

/// How one attempt failed.
enum Failed {
    /// The server did not take the mechanism; nothing was proved or disproved.
    Mechanism(Error),
    /// The server refused the channel binding, as far as one can tell, before it had any proof.
    Binding(Error),
    /// The server did not take the proof.
    Proof(Error),
    /// Trying on makes no sense.
    Finally(Error),
}

/// Tries one after the other.
pub(super) async fn log_in(link: &mut Link, attempts: Vec<Attempt>) -> Result<(), Error> {
    let mut disproved: Vec<Proof> = Vec::new();
    let mut unbound = false;
    let mut last = Error::Closed { outstanding: 0 };
    for attempt in attempts {
        let mechanism = attempt.mechanism();
        if disproved.contains(&proof(mechanism)) || unbound && is_bound(mechanism) {
            continue;
        }
        let result = match attempt {
            Attempt::Sasl(exchange) => sasl(link, exchange).await,
            Attempt::Apop { user, digest } => apop(link, &user, &digest).await,
            Attempt::UserPass { user, password } => user_pass(link, &user, &password).await,
        };
        tracing::debug!(mechanism = mechanism.name(), done = result.is_ok(), "login");
        match result {
            Ok(()) => return Ok(()),
            Err(Failed::Finally(error)) => return Err(error),
            Err(Failed::Mechanism(error)) => last = error,
            Err(Failed::Binding(error)) => {
                unbound = true;
                last = error;
            }
            Err(Failed::Proof(error)) => {
                disproved.push(proof(mechanism));
                last = error;
            }
        }
    }
    Err(last)
}

/// A refused login, after something that proves the password was sent or before it.
fn login_refused(mechanism: Mechanism, reply: Reply, proved: bool) -> Failed {
    // RFC 3206 §5: AUTH is of the credentials. The others are of the maildrop or the server, and what is
    // not known may be of either.
    let of_mechanism = reply.code.is_none();
    let error = Error::LoginRefused {
        mechanism,
        reply: Some(reply),
    };
    match (of_mechanism, proved) {
        (false, _) => Failed::Finally(error),
        (true, false) => Failed::Mechanism(error),
        (true, true) => Failed::Proof(error),
    }
}

/// A connection that ends once a password has gone out is some servers' way to say that it is wrong.
fn ended(mechanism: Mechanism, error: Error, proved: bool) -> Failed {
    Failed::Finally(match error {
        Error::Closed { .. } if proved => Error::LoginRefused {
            mechanism,
            reply: None,
        },
        other => other,
    })
}

/// RFC 1939 §7 USER, PASS; state AUTHORIZATION.
async fn user_pass(link: &mut Link, user: &str, password: &Secret) -> Result<(), Failed> {
    let mechanism = Mechanism::UserPass;
    for (command, proved) in [
        (Command::User(user), false),
        (Command::Pass(password), true),
    ] {
        match link.ask(&command).await {
            Ok(_) => {}
            Err(Error::Refused { reply, .. }) => {
                return Err(login_refused(mechanism, reply, proved));
            }
            Err(error) => return Err(ended(mechanism, error, proved)),
        }
    }
    Ok(())
}

/// RFC 1939 §7 APOP; state AUTHORIZATION.
async fn apop(link: &mut Link, user: &str, digest: &str) -> Result<(), Failed> {
    match link.ask(&Command::Apop(user, digest)).await {
        Ok(_) => Ok(()),
        Err(Error::Refused { reply, .. }) => Err(login_refused(Mechanism::Apop, reply, true)),
        Err(error) => Err(ended(Mechanism::Apop, error, true)),
    }
}

/// What came of one wait within AUTH.
enum Turn {
    Challenge(Vec<u8>),
    Accepted,
    Refused(Reply),
}

async fn turn(link: &mut Link) -> Result<Turn, Error> {
    link.advance().await?;
    Ok(match link.event()? {
        Event::Challenge(challenge) => Turn::Challenge(challenge.to_vec()),
        Event::Positive(..) => Turn::Accepted,
        Event::Negative(Asked::Auth, reply) => Turn::Refused(reply.into()),
        other => return Err(refused(&other)),
    })
}

/// RFC 5034 §4 AUTH; state AUTHORIZATION.
async fn sasl(link: &mut Link, mut exchange: Exchange) -> Result<(), Failed> {
    let mechanism = exchange.mechanism();
    let initial = exchange.initial();
    let (along, mut held) = match initial {
        Some(initial) if goes_along(exchange.name(), initial.expose()) => (Some(initial), None),
        other => (None, other),
    };
    let mut proved = along.is_some();
    let mut answered = false;
    let along = along.as_ref().map(Secret::expose);
    link.push(&Command::Auth(exchange.name(), along))
        .map_err(Failed::Finally)?;
    for _ in 0..CHALLENGES {
        match turn(link).await {
            Err(error) => return Err(ended(mechanism, error, proved)),
            Ok(Turn::Accepted) => {
                return exchange
                    .finish()
                    .map_err(|_| Failed::Finally(Error::ServerUnproven));
            }
            Ok(Turn::Refused(mut reply)) => {
                if let Some(complaint) = exchange.complaint() {
                    reply.text = format!("{} {complaint}", reply.text).trim().to_owned();
                }
                let of_binding = is_bound(mechanism) && blames_binding(&reply, answered);
                return Err(match login_refused(mechanism, reply, proved) {
                    Failed::Finally(error) | Failed::Mechanism(error) | Failed::Proof(error)
                        if of_binding =>
                    {
                        Failed::Binding(error)
                    }
                    other => other,
                });
            }
            Ok(Turn::Challenge(challenge)) => {
                let response = match held.take() {
                    Some(held) => Ok(held),
                    None => {
                        answered = true;
                        exchange.respond(&challenge)
                    }
                };
                match response {
                    Ok(response) => link.respond(response.expose()),
                    Err(error) => return Err(cancelled(link, mechanism, error).await),
                }
                proved = true;
            }
        }
    }
    let error = ExchangeError::Malformed("challenges without end");
    Err(cancelled(link, mechanism, error).await)
}

/// Whether a refusal is of the channel binding: servers may know another one only (Cyrus: tls-unique). They
/// say so before there is a proof, or in words: Cyrus' library has "bad protocol" for what does not
/// match, and other words for a password that is wrong.
fn blames_binding(reply: &Reply, answered: bool) -> bool {
    if !matches!(reply.code, None | Some(ResponseCode::Auth)) {
        return false;
    }
    let text = reply.text.to_ascii_lowercase();
    let said = ["bad protocol", "channel binding", "channel-binding"];
    !answered || said.iter().any(|words| text.contains(words))
}

/// Gives up an exchange: `*`, and the server's `-ERR`.
async fn cancelled(link: &mut Link, mechanism: Mechanism, error: ExchangeError) -> Failed {
    link.cancel();
    let refused = matches!(turn(link).await, Ok(Turn::Refused(_)));
    let of_mechanism = error.blames_mechanism();
    let error = match error {
        ExchangeError::Unproven => Error::ServerUnproven,
        ExchangeError::Refused(reason) => Error::LoginRefused {
            mechanism,
            reply: Some(Reply {
                // RFC 5802 §7: what else it blames is the name or the proof.
                code: (!of_mechanism).then_some(ResponseCode::Auth),
                text: reason,
            }),
        },
        ExchangeError::Random => Error::Configuration(error.to_string().into()),
        other => Error::Desync {
            what: other.to_string().into(),
            outstanding: 1,
        },
    };
    match of_mechanism && refused {
        true => Failed::Mechanism(error),
        false => Failed::Finally(error),
    }
}

/// Servers echo what they do not understand. An error never shows a password or token.
pub(super) fn without_secret(error: Error, credentials: &Credentials) -> Error {
    let (Credentials::Password(secret) | Credentials::Token(secret)) = credentials else {
        return error;
    };
    let shown = String::from_utf8_lossy(secret.expose());
    let clean = |text: &str| match shown.is_empty() {
        true => text.to_owned(),
        false => text.replace(&*shown, "…"),
    };
    match error {
        Error::LoginRefused {
            mechanism,
            reply: Some(Reply { code, text }),
        } => Error::LoginRefused {
            mechanism,
            reply: Some(Reply {
                code,
                text: clean(&text),
            }),
        },
        // What came is cut short there, perhaps within the secret: nothing of it is shown.
        Error::Desync { what, outstanding } if what.contains('"') => Error::Desync {
            what: "its answer to the login is no reply".into(),
            outstanding,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_blames_the_binding_lets_another_mechanism_be_tried() {
        let reply = |code, text: &str| Reply {
            code,
            text: text.to_owned(),
        };
        let auth = Some(ResponseCode::Auth);
        let words = "authenticating: bad protocol / cancel";
        assert!(blames_binding(&reply(auth.clone(), words), true));
        assert!(blames_binding(&reply(None, "unknown binding"), false));
        assert!(!blames_binding(&reply(auth, "invalid login"), true));
        let busy = Some(ResponseCode::InUse);
        assert!(!blames_binding(&reply(busy, words), false));
    }

    #[test]
    fn an_echoed_password_is_not_shown() {
        let reply = Reply {
            code: None,
            text: "unknown command PASS tanstaaf".to_owned(),
        };
        let error = Error::LoginRefused {
            mechanism: Mechanism::UserPass,
            reply: Some(reply),
        };
        let credentials = Credentials::Password("tanstaaf".into());
        let shown = without_secret(error, &credentials).to_string();
        assert_eq!(shown, "login refused: unknown command PASS …");
    }
}
