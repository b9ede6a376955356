//! What is known of mail providers: where their POP3 is, how it is turned on, what it leaves out, and
//! what their errors mean. All of it stands in one file, `providers.toml`.
//!
//! Facts only, each from the provider's own help pages, its published configuration or what its server
//! says. A provider that has no POP3 is there too, with what to do instead.

use std::collections::HashMap;
use std::sync::LazyLock;

use restante_client::{Security, Server};
use serde::Deserialize;

/// The file, as it is built in.
const FILE: &str = include_str!("providers.toml");

/// A mail provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Provider {
    /// Its name, as people say it.
    pub name: String,
    /// Domains of its addresses, in lower case.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Endings of the names of its mail exchangers: a domain whose mail goes there is its customer's.
    #[serde(default)]
    pub mx: Vec<String>,
    /// Its POP3 server; `None` where there is none.
    pub pop3: Option<Pop3>,
    /// Without POP3: what to do instead.
    pub instead: Option<String>,
    /// What a refused login means there, and what to do.
    pub refused: Option<String>,
    /// What other errors mean; the first that fits counts.
    #[serde(default, rename = "error")]
    pub errors: Vec<KnownError>,
}

/// A provider's POP3 server, and what to know before the first fetch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pop3 {
    /// The server's name.
    pub host: String,
    /// Its port; TLS from the first byte is spoken there.
    pub port: u16,
    /// Other names under which it can be reached, or could once.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it takes as user name.
    pub user: UserName,
    /// How POP3 is turned on, with the way through the menus.
    pub enable: String,
    /// What to log in with.
    pub password: PasswordKind,
    /// How to get what to log in with, in words.
    pub login: String,
    /// The page for that, where it has an address of its own.
    pub login_url: Option<String>,
    /// The provider's own page about POP3 or mail programs.
    pub help_url: Option<String>,
    /// OAuth2: which provider's flow; the client id is the user's own.
    pub oauth2: Option<OAuth2>,
    /// What happens to a message after RETR, and to one after DELE.
    pub after_retr: String,
    /// What POP3 does not show.
    pub misses: String,
    /// How to get that.
    pub rest: String,
    /// About how many messages a session shows, where it does not show all: fetch again after QUIT.
    pub window: Option<u32>,
}

/// What a server takes as user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserName {
    /// The whole address.
    Address,
    /// What stands before the `@`.
    LocalPart,
}

impl UserName {
    /// The user name for an address.
    pub fn of(self, address: &str) -> &str {
        match self {
            Self::Address => address,
            Self::LocalPart => address
                .rsplit_once('@')
                .map_or(address, |(local_part, _)| local_part),
        }
    }
}

/// What to log in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordKind {
    /// The password of the account.
    Account,
    /// A password made for one program; the account's own is refused.
    App,
    /// The password of the account, or one made for one program where two-factor login is on.
    AccountOrApp,
    /// A second password that is set for mail programs.
    Mail,
    /// None: OAuth2 only.
    #[serde(rename = "oauth2")]
    OAuth2,
}

/// Whose OAuth2 it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OAuth2 {
    /// Google: loopback redirect with PKCE.
    Google,
    /// Microsoft: device code, or loopback redirect with PKCE.
    Microsoft,
}

/// An error text and what it means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KnownError {
    /// What the text contains, whatever its case; in lower case here.
    pub contains: String,
    /// What it means and what to do, in plain words.
    pub means: String,
}

impl Pop3 {
    /// How to dial it.
    pub fn server(&self) -> Server {
        let mut server = Server::pop3s(self.host.clone());
        server.place = restante_client::Place::tcp(self.host.clone(), self.port);
        server.security = Security::ImplicitTls;
        server
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "provider")]
    providers: Vec<Provider>,
    /// What any server's error means.
    #[serde(rename = "error")]
    errors: Vec<KnownError>,
    refusal: Refusal,
}

/// A refused login: how it is known, and what it means where the provider has nothing to add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    says: Vec<String>,
    means: String,
}

struct Known {
    file: File,
    domains: HashMap<String, usize>,
    hosts: HashMap<String, usize>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let file: File = toml::from_str(FILE).expect("the tests parse this very text");
    let mut domains = HashMap::new();
    let mut hosts = HashMap::new();
    for (index, provider) in file.providers.iter().enumerate() {
        for domain in &provider.domains {
            domains.entry(domain.clone()).or_insert(index);
        }
        if let Some(pop3) = &provider.pop3 {
            for host in std::iter::once(&pop3.host).chain(&pop3.aliases) {
                hosts.entry(host.clone()).or_insert(index);
            }
        }
    }
    Known {
        file,
        domains,
        hosts,
    }
});

/// All providers, as in the file.
pub fn all() -> &'static [Provider] {
    &KNOWN.file.providers
}

fn lower(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The provider of addresses in a domain.
pub fn by_domain(domain: &str) -> Option<&'static Provider> {
    KNOWN
        .domains
        .get(&lower(domain))
        .map(|&index| &KNOWN.file.providers[index])
}

/// The provider whose mail exchanger this is; the longest ending that fits counts.
pub fn by_mx(exchanger: &str) -> Option<&'static Provider> {
    let exchanger = lower(exchanger);
    let fits = |ending: &str| {
        exchanger
            .strip_suffix(ending)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    all()
        .iter()
        .flat_map(|provider| provider.mx.iter().map(move |ending| (ending, provider)))
        .filter(|(ending, _)| fits(ending))
        .max_by_key(|(ending, _)| ending.len())
        .map(|(_, provider)| provider)
}

/// The provider whose POP3 server this is.
pub fn by_host(host: &str) -> Option<&'static Provider> {
    KNOWN
        .hosts
        .get(&lower(host))
        .map(|&index| &KNOWN.file.providers[index])
}

/// What a server's error means, in plain words: what its provider is known to say, what any server
/// may say, and then whether it looks like a refused login. `None` when nothing is known of it.
pub fn explain(host: &str, error: &str) -> Option<&'static str> {
    let error = error.to_ascii_lowercase();
    let own = by_host(host).map_or(&[][..], |provider| &provider.errors);
    own.iter()
        .chain(&KNOWN.file.errors)
        .find(|known| error.contains(&known.contains))
        .map(|known| known.means.as_str())
        .or_else(|| {
            let says = &KNOWN.file.refusal.says;
            says.iter()
                .any(|word| error.contains(word))
                .then(|| refused(host))
        })
}

/// What a refused login means at a server, and what to do, when its text says nothing known.
pub fn refused(host: &str) -> &'static str {
    by_host(host)
        .and_then(|provider| provider.refused.as_deref())
        .unwrap_or(&KNOWN.file.refusal.means)
}

#[cfg(test)]
mod tests;
