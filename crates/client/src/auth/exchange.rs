//! The client's side of one SASL exchange (RFC 4422), without I/O and without Base64.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use restante_proto::Secret;
use zeroize::Zeroizing;

use super::Mechanism;
use super::scram::Scram;
use crate::Error;
use crate::limits::COMPLAINT_OCTETS;

/// One exchange. The order of calls:
///
/// 1. Send `AUTH` with [`name`](Self::name). [`initial`](Self::initial), if it gives something, may go
///    on the same line when that stays within 255 octets (RFC 5034 §4).
/// 2. Each challenge, decoded, goes to [`respond`](Self::respond); what it returns is sent. Without an
///    initial response on the line the first challenge is the server's empty one.
/// 3. On an error the client sends `*` and reads the server's `-ERR`.
/// 4. On `+OK`, [`finish`](Self::finish) says whether the server may be believed.
#[derive(Debug)]
pub(crate) struct Exchange {
    mechanism: Mechanism,
    state: State,
    /// What the server said against the login, within the exchange.
    complaint: Option<String>,
}

/// What the next challenge will be answered with.
enum State {
    /// This message, to the first challenge or before it.
    Message(Secret),
    LoginName(Vec<u8>, Secret),
    LoginPassword(Secret),
    CramMd5(Vec<u8>, Secret),
    Scram(Box<Scram>),
    /// An error message from the server, which is answered so.
    Complaint(&'static [u8]),
    /// Nothing more is expected.
    Over,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(…)")
    }
}

/// Why an exchange was broken off by this side, or must not be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExchangeError {
    /// The server answers with something that the mechanism does not have there.
    Malformed(&'static str),
    /// The server gave SCRAM's reason for a refusal, such as `invalid-proof`.
    Refused(String),
    /// The server did not prove that it knows the password.
    Unproven,
    /// SCRAM's iteration count is out of bounds: too few protect nothing, too many are an attack.
    Iterations(u64),
    /// The system gave no random bytes.
    Random,
}

impl ExchangeError {
    /// Whether the mechanism rather than the login is at fault, so that the next one may be tried.
    pub(crate) fn blames_mechanism(&self) -> bool {
        // RFC 5802 §7, server-error-value
        matches!(self, Self::Refused(reason) if matches!(
            reason.as_str(),
            "extensions-not-supported"
                | "channel-binding-not-supported"
                | "unsupported-channel-binding-type"
        ))
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "the server broke the login's rules: {what}"),
            Self::Refused(reason) => write!(f, "the server refused the login: {reason}"),
            Self::Unproven => f.write_str(
                "the server did not prove that it knows the password: it may not be the server it claims to be",
            ),
            Self::Iterations(count) => write!(
                f,
                "the server asks for {count} rounds of SCRAM; between {} and {} are done",
                crate::limits::SCRAM_MIN_ITERATIONS,
                crate::limits::SCRAM_MAX_ITERATIONS
            ),
            Self::Random => f.write_str("the system gives no random bytes"),
        }
    }
}

impl From<ExchangeError> for Error {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Unproven => Self::ServerUnproven,
            ExchangeError::Random => Self::Configuration(error.to_string().into()),
            ExchangeError::Malformed(_)
            | ExchangeError::Refused(_)
            | ExchangeError::Iterations(_) => Self::Desync {
                what: error.to_string().into(),
                outstanding: 1,
            },
        }
    }
}

impl Exchange {
    fn new(mechanism: Mechanism, state: State) -> Self {
        Self {
            mechanism,
            state,
            complaint: None,
        }
    }

    /// ```text
    /// message = [authzid] UTF8NUL authcid UTF8NUL passwd    ; RFC 4616 §2
    /// ```
    pub(super) fn plain(user: &str, password: &Secret) -> Self {
        let mut message =
            Zeroizing::new(Vec::with_capacity(user.len() + 2 + password.expose().len()));
        message.push(0);
        message.extend_from_slice(user.as_bytes());
        message.push(0);
        message.extend_from_slice(password.expose());
        Self::new(
            Mechanism::Plain,
            State::Message(Secret::new(message.to_vec())),
        )
    }

    /// Two prompts; what they say does not matter.
    pub(super) fn login(user: &str, password: &Secret) -> Self {
        Self::new(
            Mechanism::Login,
            State::LoginName(user.into(), password.clone()),
        )
    }

    /// RFC 2195: the user's name, a space, and the keyed MD5 of the challenge in lower-case hexadecimal.
    pub(super) fn cram_md5(user: &str, password: &Secret) -> Self {
        Self::new(
            Mechanism::CramMd5,
            State::CramMd5(user.into(), password.clone()),
        )
    }

    /// RFC 4422 appendix A: the identity to act as; the certificate says the rest.
    pub(super) fn external(user: &str) -> Self {
        Self::new(Mechanism::External, State::Message(user.into()))
    }

    /// ```text
    /// client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep    ; RFC 7628 §3.1
    /// ```
    pub(super) fn oauth_bearer(user: &str, token: &Secret, host: &str, port: Option<u16>) -> Self {
        let mut message = format!("n,a={},\x01host={host}\x01", escaped(user));
        if let Some(port) = port {
            message.push_str(&format!("port={port}\x01"));
        }
        Self::new(
            Mechanism::OAuthBearer,
            State::Message(bearer(&message, token)),
        )
    }

    /// Google's and Microsoft's predecessor of RFC 7628.
    pub(super) fn xoauth2(user: &str, token: &Secret) -> Self {
        Self::new(
            Mechanism::XOAuth2,
            State::Message(bearer(&format!("user={user}\x01"), token)),
        )
    }

    pub(super) fn scram(mechanism: Mechanism, scram: Scram) -> Self {
        Self::new(mechanism, State::Scram(Box::new(scram)))
    }

    /// The mechanism.
    pub(crate) const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Its name, for the AUTH command.
    pub(crate) const fn name(&self) -> &'static str {
        self.mechanism.name()
    }

    /// What may go on the AUTH line itself; afterwards the exchange waits for the next challenge. None
    /// for mechanisms whose server speaks first, and for access tokens: those seldom fit into the
    /// line, and Microsoft's server takes them after its challenge only.
    pub(crate) fn initial(&mut self) -> Option<Secret> {
        match self.mechanism {
            Mechanism::Plain | Mechanism::External => {}
            _ if matches!(self.state, State::Scram(_)) => {}
            _ => return None,
        }
        self.respond(b"").ok()
    }

    /// The answer to a challenge.
    ///
    /// # Errors
    /// When the server says something that the mechanism does not have, or what must not be answered.
    pub(crate) fn respond(&mut self, challenge: &[u8]) -> Result<Secret, ExchangeError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Message(message) => {
                // PLAIN, EXTERNAL and the tokens: the client speaks first, whatever the server says.
                self.state = match self.mechanism {
                    Mechanism::OAuthBearer => State::Complaint(b"\x01"),
                    Mechanism::XOAuth2 => State::Complaint(b""),
                    _ => State::Over,
                };
                Ok(message)
            }
            State::LoginName(user, password) => {
                self.state = State::LoginPassword(password);
                Ok(Secret::new(user))
            }
            State::LoginPassword(password) => Ok(password),
            State::CramMd5(user, password) => cram_md5(&user, &password, challenge),
            State::Scram(mut scram) => {
                let answer = scram.respond(challenge)?;
                self.state = State::Scram(scram);
                Ok(Secret::new(answer))
            }
            State::Complaint(answer) => {
                // RFC 7628 §3.2.3: the failure is acknowledged, and -ERR follows.
                let cut = &challenge[..challenge.len().min(COMPLAINT_OCTETS)];
                self.complaint = Some(
                    String::from_utf8_lossy(cut)
                        .chars()
                        .map(|c| if c.is_control() { ' ' } else { c })
                        .collect(),
                );
                Ok(Secret::new(answer))
            }
            State::Over => Err(ExchangeError::Malformed("a challenge after the last one")),
        }
    }

    /// After the server's `+OK`: whether it proved what the mechanism has it prove.
    ///
    /// # Errors
    /// [`ExchangeError::Unproven`] if it did not: it must not be trusted.
    pub(crate) fn finish(&self) -> Result<(), ExchangeError> {
        match &self.state {
            State::Scram(scram) if !scram.is_proven() => Err(ExchangeError::Unproven),
            _ => Ok(()),
        }
    }

    /// What the server said against the login within the exchange, if it did: for tokens, JSON.
    pub(crate) fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }
}

/// ```text
/// saslname = 1*(value-safe-char / "=2C" / "=3D")    ; RFC 5801 §4, RFC 5802 §7
/// ```
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn bearer(before: &str, token: &Secret) -> Secret {
    let mut message = Zeroizing::new(Vec::with_capacity(before.len() + token.expose().len() + 16));
    message.extend_from_slice(before.as_bytes());
    message.extend_from_slice(b"auth=Bearer ");
    message.extend_from_slice(token.expose());
    message.extend_from_slice(b"\x01\x01");
    Secret::new(message.to_vec())
}

fn cram_md5(user: &[u8], password: &Secret, challenge: &[u8]) -> Result<Secret, ExchangeError> {
    if challenge.is_empty() {
        return Err(ExchangeError::Malformed("an empty challenge for CRAM-MD5"));
    }
    let mut mac = <Hmac<Md5> as KeyInit>::new_from_slice(password.expose())
        .map_err(|_impossible| ExchangeError::Malformed("a key that HMAC does not take"))?;
    mac.update(challenge);
    let mut answer = user.to_vec();
    answer.push(b' ');
    answer.extend_from_slice(crate::tls::hex(&mac.finalize().into_bytes()).as_bytes());
    Ok(Secret::new(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secret: &Secret) -> &str {
        std::str::from_utf8(secret.expose()).unwrap()
    }

    #[test]
    fn plain_as_in_rfc_4616() {
        // RFC 4616 §4, the first example.
        let mut plain = Exchange::plain("tim", &"tanstaaftanstaaf".into());
        assert_eq!(text(&plain.initial().unwrap()), "\0tim\0tanstaaftanstaaf");
        assert!(plain.respond(b"more?").is_err());
        let mut plain = Exchange::plain("tim", &"tanstaaftanstaaf".into());
        assert_eq!(
            text(&plain.respond(b"").unwrap()),
            "\0tim\0tanstaaftanstaaf"
        );
        assert_eq!(plain.finish(), Ok(()));
    }

    #[test]
    fn login_answers_two_prompts() {
        let mut login = Exchange::login("tim", &"secret".into());
        assert!(login.initial().is_none());
        assert_eq!(text(&login.respond(b"Username:").unwrap()), "tim");
        assert_eq!(text(&login.respond(b"anything").unwrap()), "secret");
        assert!(login.respond(b"again").is_err());
    }

    #[test]
    fn cram_md5_as_in_rfc_2195() {
        // RFC 2195 §2
        let mut cram = Exchange::cram_md5("tim", &"tanstaaftanstaaf".into());
        assert!(cram.initial().is_none());
        assert_eq!(
            text(
                &cram
                    .respond(b"<1896.697170952@postoffice.reston.mci.net>")
                    .unwrap()
            ),
            "tim b913a602c7eda7a495b4e6e7334d3890"
        );
        let mut cram = Exchange::cram_md5("tim", &"tanstaaftanstaaf".into());
        assert!(cram.respond(b"").is_err());
    }

    #[test]
    fn oauthbearer_as_in_rfc_7628() {
        // RFC 7628 §4.1, the example for IMAP.
        let mut oauth = Exchange::oauth_bearer(
            "user@example.com",
            &"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==".into(),
            "server.example.com",
            Some(143),
        );
        assert!(oauth.initial().is_none(), "two steps");
        assert_eq!(
            text(&oauth.respond(b"").unwrap()),
            "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
             auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
        );
        // §4.3: the server's error is answered with one kvsep.
        let error = br#"{"status":"invalid_token","scope":"example_scope"}"#;
        assert_eq!(oauth.respond(error).unwrap().expose(), b"\x01");
        assert_eq!(oauth.complaint(), Some(std::str::from_utf8(error).unwrap()));
        assert!(oauth.respond(b"").is_err());
        let mut comma = Exchange::oauth_bearer("a,b=c", &"t".into(), "h", None);
        assert_eq!(
            text(&comma.respond(b"").unwrap()),
            "n,a=a=2Cb=3Dc,\x01host=h\x01auth=Bearer t\x01\x01"
        );
    }

    #[test]
    fn xoauth2_as_google_has_it() {
        // The example of Google's "XOAUTH2 Mechanism" page.
        let mut oauth = Exchange::xoauth2(
            "someuser@example.com",
            &"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg".into(),
        );
        assert_eq!(
            text(&oauth.respond(b"").unwrap()),
            "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01"
        );
        let long = vec![b'x'; 2 * COMPLAINT_OCTETS];
        assert_eq!(oauth.respond(&long).unwrap().expose(), b"");
        assert_eq!(oauth.complaint().unwrap().len(), COMPLAINT_OCTETS);
    }

    #[test]
    fn external_names_the_user() {
        let mut external = Exchange::external("tim");
        assert_eq!(external.initial().unwrap().expose(), b"tim");
        assert!(external.respond(b"").is_err());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let plain = Exchange::plain("tim", &"tanstaaf".into());
        let shown = format!("{plain:?}");
        assert!(
            !shown.contains("tanstaaf") && !shown.contains("116, 97"),
            "{shown}"
        );
    }
}
