//! What clients are told: one place, from which every document is made.

use std::fmt;

use crate::limits::ADDRESS_OCTETS;

/// How a client's connection is encrypted. Nothing else is ever told to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first octet (RFC 8314).
    Tls,
    /// TLS after STLS (RFC 2595), or after SMTP's STARTTLS (RFC 3207).
    StartTls,
}

impl Security {
    /// Mozilla's word.
    pub(crate) const fn mozilla(self) -> &'static str {
        match self {
            Self::Tls => "SSL",
            Self::StartTls => "STARTTLS",
        }
    }

    /// Outlook's word, which calls STARTTLS `TLS`.
    pub(crate) const fn outlook(self) -> &'static str {
        match self {
            Self::Tls => "SSL",
            Self::StartTls => "TLS",
        }
    }

    /// A person's words.
    pub(crate) const fn plain(self) -> &'static str {
        match self {
            Self::Tls => "SSL/TLS",
            Self::StartTls => "STARTTLS",
        }
    }
}

/// A port at which mail is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// The port.
    pub port: u16,
    /// How it is encrypted.
    pub security: Security,
}

/// The server that sends mail, which is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Outgoing {
    /// TLS at once on port 465, STARTTLS elsewhere (RFC 8314 §3.3).
    pub const fn security(&self) -> Security {
        if self.port == 465 {
            Security::Tls
        } else {
            Security::StartTls
        }
    }
}

/// How long clients are told to leave on the server what they have collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They delete nothing by themselves.
    Forever,
    /// They delete it after so many days.
    Days(u16),
    /// They delete it at once.
    Nothing,
}

/// What clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name that clients connect to; the certificate must be for it.
    pub host: String,
    /// Where POP3S is, as clients see it.
    pub tls_port: Option<u16>,
    /// Where POP3 with STLS is, as clients see it.
    pub stls_port: Option<u16>,
    /// Which server sends.
    pub outgoing: Outgoing,
    /// Whose addresses are ours, in lower case.
    pub domains: Vec<String>,
    /// What clients leave on the server.
    pub keep: Keep,
    /// Where these documents are, without a path: `https://mail.example.org`.
    pub url: String,
}

impl Settings {
    /// Where mail is collected, what is to be preferred first: TLS from the first octet.
    pub fn servers(&self) -> Vec<Server> {
        let server = |security| move |port| Server { port, security };
        let tls = self.tls_port.map(server(Security::Tls));
        let stls = self.stls_port.map(server(Security::StartTls));
        tls.into_iter().chain(stls).collect()
    }

    /// Whether a domain's addresses are ours.
    pub(crate) fn is_ours(&self, domain: &str) -> bool {
        self.domains.iter().any(|ours| ours == domain)
    }

    /// The names by which clients ask for these documents: the server's own, the one in the URL, each
    /// domain, and `autoconfig.` and `autodiscover.` before it.
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts = vec![self.host.clone()];
        let url = url::Url::parse(&self.url).ok();
        hosts.extend(url.and_then(|url| url.host_str().map(str::to_owned)));
        for domain in &self.domains {
            hosts.push(domain.clone());
            hosts.push(format!("autoconfig.{domain}"));
            hosts.push(format!("autodiscover.{domain}"));
        }
        hosts
    }
}

/// An address that a stranger gave: bounded, and free of what no document can hold. Whether there
/// is such a user is never asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    whole: String,
    /// Where the `@` is.
    at: usize,
}

impl Address {
    /// Takes an address apart; `None` when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let bad = |c: char| {
            c.is_control()
                || c.is_whitespace()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
        };
        let good = text.len() <= ADDRESS_OCTETS
            && !local.is_empty()
            && !local.contains('@')
            && !domain.is_empty()
            && !text.contains(bad);
        good.then(|| Self {
            whole: format!("{local}@{}", domain.to_ascii_lowercase()),
            at: local.len(),
        })
    }

    /// The part before the `@`.
    fn local(&self) -> &str {
        &self.whole[..self.at]
    }

    /// The part behind it, in lower case.
    pub(crate) fn domain(&self) -> &str {
        &self.whole[self.at + 1..]
    }

    /// As a string.
    pub(crate) fn as_str(&self) -> &str {
        &self.whole
    }

    /// Without what stands behind `+` in the local part: the login of its user.
    pub(crate) fn base(&self) -> String {
        let base = self.local().split('+').next().unwrap_or_default();
        format!("{base}@{}", self.domain())
    }

    /// The login of a device of this address: `ann+phone@example.org`.
    pub(crate) fn of_device(&self, device: &str) -> String {
        let base = self.local().split('+').next().unwrap_or_default();
        format!("{base}+{device}@{}", self.domain())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings as a small site has them.
    pub(crate) fn settings() -> Settings {
        Settings {
            host: "mail.example.org".to_owned(),
            tls_port: Some(995),
            stls_port: Some(110),
            outgoing: Outgoing {
                host: "smtp.example.org".to_owned(),
                port: 465,
            },
            domains: vec!["example.org".to_owned(), "example.net".to_owned()],
            keep: Keep::Days(30),
            url: "https://mail.example.org".to_owned(),
        }
    }

    #[test]
    fn addresses_are_taken_apart_and_what_is_none_is_refused() {
        let address = Address::parse(" Ann@Example.ORG ").expect("an address");
        assert_eq!(address.as_str(), "Ann@example.org");
        assert_eq!(address.domain(), "example.org");
        assert_eq!(address.of_device("phone"), "Ann+phone@example.org");
        let detail = Address::parse("ann+shop@example.org").expect("an address");
        assert_eq!(detail.base(), "ann@example.org");
        for text in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "a@b@example.org",
            "a b@example.org",
            "a\u{0}@example.org",
            "a\u{202e}@example.org",
            "a\u{ffff}@example.org",
            &format!("{}@example.org", "a".repeat(ADDRESS_OCTETS)),
        ] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_names_are_those_that_clients_look_up() {
        let mut settings = settings();
        settings.url = "https://setup.example.org:8443".to_owned();
        settings.domains.truncate(1);
        assert_eq!(
            settings.hosts(),
            [
                "mail.example.org",
                "setup.example.org",
                "example.org",
                "autoconfig.example.org",
                "autodiscover.example.org"
            ]
        );
    }

    #[test]
    fn port_465_is_tls_at_once() {
        let mut outgoing = settings().outgoing;
        assert_eq!(outgoing.security(), Security::Tls);
        outgoing.port = 587;
        assert_eq!(outgoing.security(), Security::StartTls);
    }
}
