//! From a mail address to its POP3 server.
//!
//! In order of preference:
//!
//! 1. a known provider, by the address's domain ([`crate::providers`]; nothing is asked of the network);
//! 2. SRV records of the domain, `_pop3s._tcp` and `_pop3._tcp` (RFC 6186 §3.3);
//! 3. the domain's own autoconfig file, by HTTPS;
//! 4. a known provider, by the domain's mail exchanger;
//! 5. Thunderbird's public list of providers, only where the caller asks for it: it tells a third
//!    party the domain;
//! 6. names that servers usually have, `pop.`, `pop3.` and `mail.` before the domain: whatever of them
//!    answers as a POP3 server, with TLS on port 995, else with STLS on port 110.
//!
//! 2 to 5 are asked at the same time, 6 only when none of them knows anything. Each question has a
//! deadline, and a failure is the same as no answer. No user name and no password is ever sent.
//!
//! Answers of the DNS can be forged, and RFC 6186 §6 wants a person to agree to a host outside of
//! the domain: [`Candidate::elsewhere`] says so. Nothing without TLS is ever proposed.

mod autoconfig;
pub mod limits;
mod system;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use restante_client::{Place, Security, Server};

use crate::providers::{self, Provider};
use limits::{CANDIDATES, HTTP_WAIT, LOOKUP_WAIT, PROBE_WAIT};

pub use system::System;

/// Where to ask for the public list.
const PUBLIC_LIST: &str = "https://autoconfig.thunderbird.net/v1.1/";

/// What a [`Net`] gives back.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower is asked first.
    pub priority: u16,
    /// Higher is chosen more often among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` says that the service is not offered.
    pub target: String,
}

/// What discovery asks of the world. Errors are empty answers. Deadlines are kept by the caller.
pub trait Net: Send + Sync {
    /// SRV records of a name.
    fn srv<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Srv>>;
    /// Hosts of a domain's MX records, the preferred one first.
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Vec<String>>;
    /// A file by HTTPS, with a status of 200 and no more than [`limits::FILE_OCTETS`].
    fn get<'a>(&'a self, url: &'a str) -> Answer<'a, Option<Vec<u8>>>;
    /// Whether a POP3 server greets there, with TLS as said and a certificate that is trusted.
    fn greets<'a>(&'a self, server: &'a Server) -> Answer<'a, bool>;
}

/// Who named a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Our file of providers, by the domain.
    Provider,
    /// SRV records.
    Srv,
    /// The domain's autoconfig file.
    Autoconfig,
    /// Our file of providers, by the mail exchanger.
    Exchanger,
    /// Thunderbird's public list.
    PublicList,
    /// It has a usual name, and answered.
    UsualName,
}

/// A server that may be the one.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// How to dial it.
    pub server: Server,
    /// User names to try, the likeliest first (RFC 6186 §4: the address, then its local part).
    pub users: Vec<String>,
    /// Who named it.
    pub origin: Origin,
    /// What is known of its provider.
    pub provider: Option<&'static Provider>,
    /// The host is outside of the address's domain, and only the DNS vouches for it: ask first.
    pub elsewhere: bool,
}

/// What was found out.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Servers, the best first.
    pub candidates: Vec<Candidate>,
    /// The provider is known and has no POP3; its `instead` says what to do.
    pub without_pop3: Option<&'static Provider>,
    /// The domain's SRV records say that it offers no POP3 (RFC 6186 §3.4).
    pub declined: bool,
}

/// Why an address cannot be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnAddress;

impl std::fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it is not a mail address; one looks like you@example.org")
    }
}

impl std::error::Error for NotAnAddress {}

/// What to ask beyond what needs no leave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Ask Thunderbird's public list too, which then learns the domain.
    pub public_list: bool,
}

/// An address in its parts.
struct Address<'a> {
    whole: &'a str,
    local_part: &'a str,
    domain: String,
}

impl<'a> Address<'a> {
    fn parse(whole: &'a str) -> Result<Self, NotAnAddress> {
        let (local_part, domain) = whole.rsplit_once('@').ok_or(NotAnAddress)?;
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        if local_part.is_empty()
            || whole.len() > limits::ADDRESS_OCTETS
            || whole.chars().any(|c| c.is_control() || c.is_whitespace())
            || !is_host(&domain)
        {
            return Err(NotAnAddress);
        }
        Ok(Self {
            whole,
            local_part,
            domain,
        })
    }

    /// Both user names that RFC 6186 §4 wants tried.
    fn users(&self) -> Vec<String> {
        vec![self.whole.to_owned(), self.local_part.to_owned()]
    }

    /// Whether a host is in the domain.
    fn has(&self, host: &str) -> bool {
        host.strip_suffix(self.domain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// Whether it can be a domain or a host name: labels of letters, digits and hyphens (IDNs as A-labels),
/// at least two.
fn is_host(name: &str) -> bool {
    name.len() <= limits::NAME_OCTETS
        && name.contains('.')
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// Looks for the POP3 server of an address.
pub async fn discover(
    address: &str,
    net: &dyn Net,
    options: Options,
) -> Result<Discovery, NotAnAddress> {
    let address = Address::parse(address)?;
    let mut found = Discovery::default();
    if let Some(provider) = providers::by_domain(&address.domain) {
        take_provider(provider, Origin::Provider, &address, &mut found);
        return Ok(found);
    }
    let (srv, own, exchangers, public) = tokio::join!(
        by_srv(&address, net),
        by_autoconfig(&address, net),
        within(LOOKUP_WAIT, net.mx(&address.domain)),
        by_public_list(&address, net, options),
    );
    match srv {
        Offer::Declined => found.declined = true,
        Offer::Servers(mut servers) => found.candidates.append(&mut servers),
    }
    if !found.declined {
        found.candidates.extend(own);
    }
    let exchangers = exchangers.unwrap_or_default();
    if let Some(provider) = exchangers
        .iter()
        .take(CANDIDATES)
        .find_map(|host| providers::by_mx(host))
        && !found.declined
    {
        take_provider(provider, Origin::Exchanger, &address, &mut found);
    }
    if !found.declined {
        found.candidates.extend(public);
        if found.candidates.is_empty() && found.without_pop3.is_none() {
            found.candidates = by_usual_names(&address, net).await;
        }
    }
    tidy(&mut found.candidates);
    Ok(found)
}

/// An answer within a deadline.
async fn within<T>(wait: Duration, answer: Answer<'_, T>) -> Option<T> {
    tokio::time::timeout(wait, answer).await.ok()
}

fn take_provider(
    provider: &'static Provider,
    origin: Origin,
    address: &Address<'_>,
    found: &mut Discovery,
) {
    match &provider.pop3 {
        None => found.without_pop3 = Some(provider),
        Some(pop3) => found.candidates.push(Candidate {
            server: pop3.server(),
            users: vec![pop3.user.of(address.whole).to_owned()],
            origin,
            provider: Some(provider),
            elsewhere: false,
        }),
    }
}

/// What SRV records say.
enum Offer {
    Servers(Vec<Candidate>),
    /// Neither service is offered.
    Declined,
}

async fn by_srv(address: &Address<'_>, net: &dyn Net) -> Offer {
    let names = ["_pop3s", "_pop3"].map(|service| format!("{service}._tcp.{}.", address.domain));
    let (tls, stls) = tokio::join!(
        within(LOOKUP_WAIT, net.srv(&names[0])),
        within(LOOKUP_WAIT, net.srv(&names[1])),
    );
    let (tls, stls) = (tls.unwrap_or_default(), stls.unwrap_or_default());
    let declines = |records: &[Srv]| {
        records
            .iter()
            .any(|r| matches!(r.target.as_str(), "." | ""))
    };
    let declined = match (declines(&tls), declines(&stls)) {
        (true, true) => true,
        (true, false) => stls.is_empty(),
        (false, true) => tls.is_empty(),
        (false, false) => false,
    };
    if declined {
        return Offer::Declined;
    }
    let offered = |records: Vec<Srv>, security| {
        let none = declines(&records);
        let records = records.into_iter().filter(move |_| !none);
        records.map(move |record| (record, security))
    };
    let mut all: Vec<_> = offered(tls, Security::ImplicitTls)
        .chain(offered(stls, Security::Stls))
        .take(CANDIDATES)
        .collect();
    // Within a priority TLS from the first byte comes first (RFC 8314 §3), then the greater weight:
    // one server is written down, so there is no load to spread.
    all.sort_by_key(|(record, security)| {
        (
            record.priority,
            *security != Security::ImplicitTls,
            u16::MAX - record.weight,
        )
    });
    let candidates = all.into_iter().filter_map(|(record, security)| {
        let host = record.target.trim_end_matches('.').to_ascii_lowercase();
        (is_host(&host) && record.port != 0).then(|| Candidate {
            elsewhere: !address.has(&host),
            provider: providers::by_host(&host),
            server: Server::new(Place::tcp(host, record.port), security),
            users: address.users(),
            origin: Origin::Srv,
        })
    });
    Offer::Servers(candidates.collect())
}

async fn by_autoconfig(address: &Address<'_>, net: &dyn Net) -> Vec<Candidate> {
    let domain = &address.domain;
    let query: String = url::form_urlencoded::byte_serialize(address.whole.as_bytes()).collect();
    let urls = [
        format!("https://autoconfig.{domain}/mail/config-v1.1.xml?emailaddress={query}"),
        format!("https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml"),
    ];
    let (first, second) = tokio::join!(
        within(HTTP_WAIT, net.get(&urls[0])),
        within(HTTP_WAIT, net.get(&urls[1])),
    );
    [first, second]
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| autoconfig::servers(&file, address, Origin::Autoconfig))
        .find(|servers| !servers.is_empty())
        .unwrap_or_default()
}

async fn by_public_list(address: &Address<'_>, net: &dyn Net, options: Options) -> Vec<Candidate> {
    if !options.public_list {
        return Vec::new();
    }
    let url = format!("{PUBLIC_LIST}{}", address.domain);
    match within(HTTP_WAIT, net.get(&url)).await.flatten() {
        Some(file) => autoconfig::servers(&file, address, Origin::PublicList),
        None => Vec::new(),
    }
}

async fn by_usual_names(address: &Address<'_>, net: &dyn Net) -> Vec<Candidate> {
    let mut found = Vec::new();
    for security in [Security::ImplicitTls, Security::Stls] {
        let server = |prefix: &str| {
            let host = format!("{prefix}.{}", address.domain);
            match security {
                Security::ImplicitTls => Server::pop3s(host),
                Security::Stls | Security::DangerPlaintext => Server::stls(host),
            }
        };
        let servers = ["pop", "pop3", "mail"].map(server);
        let (a, b, c) = tokio::join!(
            within(PROBE_WAIT, net.greets(&servers[0])),
            within(PROBE_WAIT, net.greets(&servers[1])),
            within(PROBE_WAIT, net.greets(&servers[2])),
        );
        for (greets, server) in [a, b, c].into_iter().zip(servers) {
            if greets == Some(true) {
                found.push(Candidate {
                    server,
                    users: address.users(),
                    origin: Origin::UsualName,
                    provider: None,
                    elsewhere: false,
                });
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

/// Each place once, and no more of them than are worth trying.
fn tidy(candidates: &mut Vec<Candidate>) {
    let mut seen = Vec::new();
    candidates.retain(|candidate| {
        let place = (candidate.server.place.clone(), candidate.server.security);
        let new = !seen.contains(&place);
        seen.push(place);
        new
    });
    candidates.truncate(CANDIDATES);
}
