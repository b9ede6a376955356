//! Which mechanism is tried: the best offered, nothing weaker than asked for, nothing secret in clear.

use restante_proto::Secret;

use super::exchange::Exchange;
use super::scram::{Binding, Hash, Scram, prepared};
use super::{Credentials, Login, Mechanism, apop};
use crate::Error;
use crate::tls::TlsFacts;

/// What a server offers, and over what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer<'a> {
    /// The words of the capability SASL, as they came.
    pub(crate) mechanisms: Vec<&'a str>,
    /// Whether USER is among the capabilities, or the server has no CAPA.
    pub(crate) user: bool,
    /// The greeting's line, for APOP.
    pub(crate) greeting: &'a [u8],
    /// TLS, if it is in place.
    pub(crate) tls: Option<&'a TlsFacts>,
    /// Whether the password itself may go without TLS.
    pub(crate) danger_plaintext: bool,
    /// The server's name, as OAUTHBEARER tells it.
    pub(crate) host: &'a str,
    /// The server's port, as OAUTHBEARER tells it.
    pub(crate) port: Option<u16>,
}

/// One way to log in, ready to be gone.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// `AUTH`
    Sasl(Exchange),
    /// `APOP name digest`
    Apop { user: String, digest: String },
    /// `USER name`, then `PASS string`
    UserPass { user: String, password: Secret },
}

impl Attempt {
    /// Which mechanism it is.
    pub(crate) const fn mechanism(&self) -> Mechanism {
        match self {
            Self::Sasl(exchange) => exchange.mechanism(),
            Self::Apop { .. } => Mechanism::Apop,
            Self::UserPass { .. } => Mechanism::UserPass,
        }
    }
}

/// The ways to log in, the best first; never an empty list.
///
/// The next one may be tried when the server does not know a mechanism that it offered, or an exchange
/// ends with an error that [blames the mechanism](super::ExchangeError::blames_mechanism). A refused
/// login is final: trying on costs the user's account its attempts.
///
/// # Errors
/// When nothing is left, with what to do.
pub(crate) fn choose(login: &Login, offer: &Offer<'_>) -> Result<Vec<Attempt>, Error> {
    let choice = Choice::new(login, offer);
    if login.user.contains(['\0', '\r', '\n']) {
        return Err(Error::Configuration(
            "the user's name holds a line end or NUL".into(),
        ));
    }
    let mut attempts: Vec<Attempt> = Vec::new();
    for mechanism in Mechanism::ALL.into_iter().rev() {
        if choice.allows(mechanism) {
            attempts.extend(choice.attempt(mechanism));
        }
    }
    if attempts.is_empty() {
        return Err(choice.none(choice.advice()));
    }
    Ok(attempts)
}

struct Choice<'a> {
    login: &'a Login,
    offer: &'a Offer<'a>,
    exporter: Option<[u8; 32]>,
}

impl<'a> Choice<'a> {
    fn new(login: &'a Login, offer: &'a Offer<'a>) -> Self {
        Self {
            login,
            offer,
            exporter: offer.tls.and_then(|tls| tls.exporter),
        }
    }

    fn offers(&self, mechanism: Mechanism) -> bool {
        self.offer
            .mechanisms
            .iter()
            .any(|name| name.eq_ignore_ascii_case(mechanism.name()))
    }

    /// What the login and the connection allow, whatever the server offers.
    fn allows(&self, mechanism: Mechanism) -> bool {
        let wanted = match self.login.only {
            Some(only) => mechanism == only,
            None => {
                mechanism != Mechanism::Apop
                    && self.login.minimum.is_none_or(|least| mechanism >= least)
            }
        };
        wanted && !self.in_clear(mechanism)
    }

    fn in_clear(&self, mechanism: Mechanism) -> bool {
        mechanism.reveals_secret() && self.offer.tls.is_none() && !self.offer.danger_plaintext
    }

    /// The attempt, if the server offers it and the credentials are of its kind.
    fn attempt(&self, mechanism: Mechanism) -> Option<Attempt> {
        let user = &self.login.user;
        let exchange = match (&self.login.credentials, mechanism) {
            (Credentials::Password(password), Mechanism::UserPass) => {
                return self.user_pass(password);
            }
            (Credentials::Password(password), Mechanism::Apop) => {
                let stamp = apop::timestamp(self.offer.greeting)?;
                return (!user.contains(' ')).then(|| Attempt::Apop {
                    user: user.clone(),
                    digest: apop::digest(stamp, password),
                });
            }
            // Google's and Microsoft's servers have not always listed what they take.
            (Credentials::Token(token), Mechanism::XOAuth2)
                if self.offers(mechanism) || !self.offers(Mechanism::OAuthBearer) =>
            {
                Exchange::xoauth2(user, token)
            }
            _ if !self.offers(mechanism) => return None,
            (Credentials::Token(token), Mechanism::OAuthBearer) => {
                Exchange::oauth_bearer(user, token, self.offer.host, self.offer.port)
            }
            (Credentials::Certificate, Mechanism::External) => {
                self.offer.tls?;
                Exchange::external(user)
            }
            (Credentials::Password(password), Mechanism::Plain) => {
                (!password.expose().contains(&0)).then(|| Exchange::plain(user, password))?
            }
            (Credentials::Password(password), Mechanism::Login) => Exchange::login(user, password),
            (Credentials::Password(password), Mechanism::CramMd5) => {
                Exchange::cram_md5(user, password)
            }
            (Credentials::Password(password), _) => self.scram(mechanism, password)?,
            _ => return None,
        };
        Some(Attempt::Sasl(exchange))
    }

    /// USER is taken when it is offered, and as the last resort when no mechanism at all is.
    fn user_pass(&self, password: &Secret) -> Option<Attempt> {
        let fits = !password
            .expose()
            .iter()
            .any(|b| matches!(b, b'\0' | b'\r' | b'\n'));
        (fits && (self.offer.user || self.offer.mechanisms.is_empty())).then(|| Attempt::UserPass {
            user: self.login.user.clone(),
            password: password.clone(),
        })
    }

    fn scram(&self, mechanism: Mechanism, password: &Secret) -> Option<Exchange> {
        let (hash, plus) = match mechanism {
            Mechanism::ScramSha1 => (Hash::Sha1, Mechanism::ScramSha1Plus),
            Mechanism::ScramSha256 => (Hash::Sha256, Mechanism::ScramSha256Plus),
            Mechanism::ScramSha1Plus => (Hash::Sha1, mechanism),
            Mechanism::ScramSha256Plus => (Hash::Sha256, mechanism),
            _ => return None,
        };
        let binding = match self.exporter {
            Some(value) if plus == mechanism => Binding::Exporter(value),
            None if plus == mechanism => return None,
            // RFC 5802 §6: `y` says that the server did not offer what it may well have offered.
            Some(_) if !self.offers(plus) => Binding::NotOffered,
            _ => Binding::None,
        };
        let user = prepared(self.login.user.as_bytes())?;
        let password = prepared(password.expose())?;
        let scram = Scram::new(hash, binding, &user, password).ok()?;
        Some(Exchange::scram(mechanism, scram))
    }

    fn advice(&self) -> &'static str {
        let unwanted = Mechanism::ALL
            .into_iter()
            .filter(|&mechanism| self.attempt(mechanism).is_some())
            .collect::<Vec<_>>();
        match &self.login.credentials {
            _ if unwanted.iter().any(|&mechanism| self.in_clear(mechanism)) => {
                "what it offers would show the password to everybody on the way: use TLS"
            }
            Credentials::Password(_)
                if unwanted
                    .iter()
                    .all(|&mechanism| mechanism == Mechanism::Apop)
                    && (self.offers(Mechanism::XOAuth2) || self.offers(Mechanism::OAuthBearer)) =>
            {
                "it takes access tokens (OAuth2) instead of passwords"
            }
            _ if unwanted == [Mechanism::Apop] => {
                "only APOP is left, which is weak and used when asked for by name only"
            }
            _ if !unwanted.is_empty() => {
                "allow a weaker one if you trust the connection to this server"
            }
            Credentials::Certificate if self.offer.tls.is_none() => {
                "a client certificate needs TLS"
            }
            Credentials::Certificate => {
                "it takes no client certificates (EXTERNAL); use a password or a token"
            }
            Credentials::Token(_) => "it takes no access tokens; use a password",
            Credentials::Password(_) => "none of these takes this password",
        }
    }

    fn none(&self, advice: &'static str) -> Error {
        let mut offered: Vec<Box<str>> = self
            .offer
            .mechanisms
            .iter()
            .map(|name| name.to_ascii_uppercase().into())
            .collect();
        if self.offer.user {
            offered.push(Mechanism::UserPass.name().into());
        }
        if apop::timestamp(self.offer.greeting).is_some() {
            offered.push(Mechanism::Apop.name().into());
        }
        Error::NoMechanism {
            offered,
            minimum: self.login.minimum,
            only: self.login.only,
            advice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::TlsVersion;

    fn facts(exporter: Option<[u8; 32]>) -> TlsFacts {
        TlsFacts {
            version: TlsVersion::Tls13,
            cipher: String::new(),
            certificates: Vec::new(),
            leaf_sha256: [0; 32],
            exporter,
        }
    }

    const ALL: &str = "LOGIN PLAIN CRAM-MD5 scram-sha-1 SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-256-PLUS EXTERNAL OAUTHBEARER XOAUTH2 GSSAPI";

    fn offer<'a>(mechanisms: &'a str, tls: Option<&'a TlsFacts>) -> Offer<'a> {
        Offer {
            mechanisms: mechanisms.split_ascii_whitespace().collect(),
            user: true,
            greeting: b"+OK <1.2@example.org>",
            tls,
            host: "mail.example.org",
            port: Some(995),
            ..Offer::default()
        }
    }

    fn names(login: &Login, offer: &Offer<'_>) -> String {
        match choose(login, offer) {
            Ok(attempts) => attempts
                .iter()
                .map(|attempt| attempt.mechanism().name())
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    fn password() -> Login {
        Login::new("tim", Credentials::Password("tanstaaf".into()))
    }

    fn first_message(login: &Login, offer: &Offer<'_>) -> String {
        let Attempt::Sasl(mut exchange) = choose(login, offer).unwrap().remove(0) else {
            panic!("no exchange");
        };
        String::from_utf8(exchange.respond(b"").unwrap().expose().to_vec()).unwrap()
    }

    #[test]
    fn the_best_comes_first() {
        let bound = facts(Some([1; 32]));
        assert_eq!(
            names(&password(), &offer(ALL, Some(&bound))),
            "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN USER"
        );
        let unbound = facts(None);
        assert_eq!(
            names(&password(), &offer(ALL, Some(&unbound))),
            "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN USER"
        );
        assert_eq!(names(&password(), &offer("", Some(&unbound))), "USER");
    }

    #[test]
    fn nothing_secret_goes_in_clear() {
        assert_eq!(
            names(&password(), &offer(ALL, None)),
            "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"
        );
        let refused = names(&password(), &offer("PLAIN LOGIN", None));
        assert!(refused.ends_with("use TLS"), "{refused}");
        let token = Login::new("tim", Credentials::Token("t".into()));
        assert!(choose(&token, &offer(ALL, None)).is_err());
        let certificate = Login::new("tim", Credentials::Certificate);
        assert!(choose(&certificate, &offer(ALL, None)).is_err());
        let mut plaintext = offer("PLAIN", None);
        plaintext.danger_plaintext = true;
        assert_eq!(names(&password(), &plaintext), "PLAIN USER");
        let only = Login {
            only: Some(Mechanism::Plain),
            ..password()
        };
        assert!(choose(&only, &offer("PLAIN", None)).is_err());
    }

    #[test]
    fn nothing_weaker_than_the_minimum() {
        let tls = facts(None);
        let login = Login {
            minimum: Some(Mechanism::ScramSha256),
            ..password()
        };
        assert_eq!(names(&login, &offer(ALL, Some(&tls))), "SCRAM-SHA-256");
        let error = choose(&login, &offer("PLAIN LOGIN", Some(&tls))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no way to log in: the server offers PLAIN, LOGIN, USER, APOP, and nothing weaker than \
             SCRAM-SHA-256 is allowed; allow a weaker one if you trust the connection to this server"
        );
    }

    #[test]
    fn apop_only_by_name() {
        let tls = facts(None);
        let mut bare = offer("", Some(&tls));
        bare.user = false;
        bare.mechanisms = vec!["GSSAPI"];
        assert!(names(&password(), &bare).ends_with("by name only"));
        let login = Login {
            only: Some(Mechanism::Apop),
            user: "mrose".into(),
            ..password()
        };
        let mut attempts = choose(
            &login,
            &Offer {
                greeting: b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>",
                ..offer(ALL, None)
            },
        )
        .unwrap();
        assert_eq!(attempts.len(), 1);
        let Attempt::Apop { user, digest } = attempts.remove(0) else {
            panic!();
        };
        assert_eq!(
            (user.as_str(), digest.as_str()),
            ("mrose", "c4c9334bac560ecc979e58001b3e22fb")
        );
        let without = Offer {
            greeting: b"+OK ready",
            ..offer(ALL, None)
        };
        assert!(choose(&login, &without).is_err());
    }

    #[test]
    fn tokens_go_by_what_is_offered_or_by_xoauth2() {
        let tls = facts(None);
        let token = Login::new("tim", Credentials::Token("t".into()));
        assert_eq!(
            names(&token, &offer(ALL, Some(&tls))),
            "OAUTHBEARER XOAUTH2"
        );
        assert_eq!(
            names(&token, &offer("OAUTHBEARER", Some(&tls))),
            "OAUTHBEARER"
        );
        assert_eq!(names(&token, &offer("PLAIN", Some(&tls))), "XOAUTH2");
        assert!(
            names(
                &password(),
                &Offer {
                    user: false,
                    ..offer("XOAUTH2", Some(&tls))
                }
            )
            .contains("access tokens")
        );
    }

    #[test]
    fn the_header_tells_a_server_what_was_taken_away() {
        let bound = facts(Some([1; 32]));
        assert!(
            first_message(&password(), &offer(ALL, Some(&bound)))
                .starts_with("p=tls-exporter,,n=tim,r=")
        );
        assert!(
            first_message(&password(), &offer("SCRAM-SHA-256", Some(&bound))).starts_with("y,,")
        );
        let only = Login {
            only: Some(Mechanism::ScramSha256),
            ..password()
        };
        assert!(first_message(&only, &offer(ALL, Some(&bound))).starts_with("n,,"));
        assert!(first_message(&password(), &offer("SCRAM-SHA-256", None)).starts_with("n,,"));
    }

    #[test]
    fn names_and_passwords_cannot_smuggle_commands() {
        let tls = facts(None);
        for user in ["a\r\nDELE 1", "a\0b", "a\nb"] {
            let login = Login {
                user: user.into(),
                ..password()
            };
            assert!(choose(&login, &offer(ALL, Some(&tls))).is_err());
        }
        let login = Login::new("tim", Credentials::Password(Secret::new(*b"a\r\nDELE 1")));
        assert_eq!(names(&login, &offer("PLAIN", Some(&tls))), "PLAIN");
        let login = Login::new("tim", Credentials::Password(Secret::new(*b"a\0b")));
        assert!(choose(&login, &offer("PLAIN", Some(&tls))).is_err());
        // Not UTF-8: SCRAM cannot be had, what takes octets can.
        let login = Login::new("tim", Credentials::Password(Secret::new(*b"\xff")));
        assert_eq!(
            names(&login, &offer(ALL, Some(&tls))),
            "CRAM-MD5 PLAIN LOGIN USER"
        );
    }
}
