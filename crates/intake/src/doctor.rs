//! What a POP3 server can do, what is odd about it, and whether POP3 suits its user.
//!
//! Looks only: no DELE, no ledger, and RETR only if asked for, since some providers hide a message after
//! it. Whatever fails is part of the report, and the rest goes on as far as it can.

mod advice;
mod certificate;
mod maildrop;
mod raw;
mod reach;
mod tap;
mod text;

use restante_client::{Error, Login, Security, Server};
use serde::Serialize;

use crate::fetch::Kind;

pub use certificate::Certificate;
pub use maildrop::{Maildrop, SizeCheck, UniqueIds};

/// What may be done beyond looking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Download a few messages, to compare their sizes with what LIST says.
    pub probe: bool,
}

/// What was found out. [`Display`](std::fmt::Display) tells it to people, serde to programs.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Which server, as `host:port`.
    pub server: String,
    /// How it was spoken to: `tls`, `stls` or `plaintext`.
    pub security: &'static str,
    /// Why the examination ended early, if it did.
    pub failure: Option<String>,
    /// What kind of failure that was, as the exit code that a fetch would have for it; else 0.
    pub code: u8,
    /// The greeting's text.
    pub greeting: Option<String>,
    /// Which versions of TLS it speaks.
    pub tls: Vec<TlsTrial>,
    /// Whether it takes STLS; not asked where TLS comes first.
    pub stls: Option<bool>,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// Its capabilities before login; none if it does not know CAPA.
    pub before_login: Option<Vec<String>>,
    /// Its capabilities after login, if there was one.
    pub after_login: Option<Vec<String>>,
    /// The ways to log in that it offers, the best first.
    pub mechanisms: Vec<String>,
    /// Whether commands may be sent without waiting for replies.
    pub pipelining: Pipelining,
    /// Seconds to wait between logins (RFC 2449 §6.5).
    pub login_delay_seconds: Option<u64>,
    /// After how many days the server deletes messages by itself; `NEVER`, or a number, `0` for at once
    /// (RFC 2449 §6.7).
    pub expire: Option<String>,
    /// The maildrop, if there was a login.
    pub maildrop: Option<Maildrop>,
    /// What is not as the standards have it, in words.
    pub oddities: Vec<String>,
    /// The provider, if it is known.
    pub provider: Option<String>,
    /// Whether something answers where IMAP over TLS usually is.
    pub imap: Option<bool>,
    /// What all that means, in plain words.
    pub advice: Vec<String>,
}

/// One attempt to speak a version of TLS.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct TlsTrial {
    /// `TLS 1.3`
    pub version: String,
    /// Whether it came about.
    pub accepted: bool,
    /// The cipher suite agreed on.
    pub cipher: Option<String>,
    /// Why it did not come about.
    pub reason: Option<String>,
}

/// Whether commands may be sent without waiting for replies.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Pipelining {
    /// CAPA lists PIPELINING, before or after login.
    pub advertised: bool,
    /// Several commands in one write were all answered, before login.
    pub before_login: Option<bool>,
    /// The same after login; tried where it is advertised.
    pub after_login: Option<bool>,
}

/// Examines a server, and with a login the maildrop too. Ends within a small multiple of the server's
/// timeout. Nothing is sent in clear that [`Server::security`] does not allow, and no credentials go to a
/// server whose certificate is not trusted.
pub async fn examine(server: &Server, login: Option<&Login>, options: Options) -> Report {
    let mut report = Report {
        server: server.place.to_string(),
        security: match server.security {
            Security::ImplicitTls => "tls",
            Security::Stls => "stls",
            Security::DangerPlaintext => "plaintext",
        },
        ..Report::default()
    };
    let reached = reach::reach(&mut report, server).await;
    if reached == reach::Reached::Not {
        advice::give(&mut report, server);
        return report;
    }
    raw::examine(&mut report, server).await;
    reach::imap(&mut report, server).await;
    match login {
        Some(login) if reached == reach::Reached::Trusted => {
            maildrop::examine(&mut report, server, login, options).await;
        }
        Some(_) => {
            report.fail(
                Kind::Permission,
                "nobody was logged in, since the server's certificate is not trusted here",
            );
        }
        None => {}
    }
    advice::give(&mut report, server);
    report
}

impl Report {
    /// Notes why the examination ends.
    fn fail(&mut self, kind: Kind, what: impl Into<String>) {
        self.failure = Some(what.into());
        self.code = kind.exit_code();
    }

    /// Notes an error as that, with what stands before it. `reached`: there was a login.
    fn fail_by(&mut self, error: &Error, before: &str, reached: bool) {
        let kind = crate::fetch::kind_of(error, reached);
        self.fail(kind, format!("{before}{error}"));
    }

    /// Notes something odd, once.
    fn odd(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.oddities.contains(&what) {
            self.oddities.push(what);
        }
    }
}
