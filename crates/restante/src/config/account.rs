//! One remote mailbox to fetch from, as resolved: from `[account.NAME]`, or from a URL.

use std::path::PathBuf;
use std::time::Duration;

use restante_client::{Mechanism, Security, Server, Socks5, TlsOptions};
use restante_intake::destination::Spec;
pub(crate) use restante_intake::fetch::Keep;
use restante_proto::Secret;

/// No account's name is longer, in octets.
const NAME_OCTETS_MAX: usize = 128;

/// Port of SOCKS5 (RFC 1928 §3).
const SOCKS_PORT: u16 = 1080;

/// How often an account is fetched when nothing is said.
pub(crate) const EVERY: Duration = Duration::from_secs(15 * 60);

/// The port of POP3 that goes with a security: 995 (RFC 8314 §3.3), else 110 (RFC 1939 §3).
pub(crate) fn default_port(security: Security) -> u16 {
    match security {
        Security::ImplicitTls => 995,
        Security::Stls | Security::DangerPlaintext => 110,
    }
}

/// As the configuration spells it.
pub(crate) fn security_name(security: Security) -> &'static str {
    match security {
        Security::ImplicitTls => "tls",
        Security::Stls => "stls",
        Security::DangerPlaintext => "danger-plaintext",
    }
}

/// Reads the configuration's spelling.
pub(crate) fn security(name: &str) -> Option<Security> {
    [
        Security::ImplicitTls,
        Security::Stls,
        Security::DangerPlaintext,
    ]
    .into_iter()
    .find(|security| security_name(*security) == name)
}

/// What a policy looks like, for whoever wrote another thing.
pub(crate) const KEEP_RIGHT: &str = "\"forever\", \"30 days\", \"until-backed-up\" or \"none\"";

/// Reads a policy. No days at all is spelled `none`.
pub(crate) fn keep(text: &str) -> Option<Keep> {
    let keep = text.trim().parse().ok()?;
    (keep != Keep::Days(0)).then_some(keep)
}

/// Where an account's password or token comes from.
#[derive(Debug, Clone)]
pub(crate) enum SecretFrom {
    /// Nowhere: a person is asked, if there is one.
    Prompt,
    /// The first line of standard input.
    Stdin,
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// The first line that a command prints.
    Command(String),
    /// The system's keyring: the entry of this user under the service `restante`.
    Keyring(String),
    /// An OAuth2 access token: the first line that a command prints.
    TokenCommand(String),
    /// OAuth2, by `restante account login`.
    OAuth(Box<OAuth>),
    /// The client certificate is enough (SASL EXTERNAL).
    Certificate,
}

/// An account's OAuth2 settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct OAuth {
    /// `microsoft` or `google`; `None` when the endpoints are given.
    pub(crate) provider: Option<String>,
    /// The client id that the provider gave.
    pub(crate) client_id: String,
    /// The client secret, where the provider gives one to programs too.
    pub(crate) client_secret: Option<Secret>,
    /// Microsoft's tenant.
    pub(crate) tenant: Option<String>,
    /// What is asked for; empty for the provider's own.
    pub(crate) scopes: Vec<String>,
    /// Where a browser is sent.
    pub(crate) authorize_endpoint: Option<String>,
    /// Where tokens come from.
    pub(crate) token_endpoint: Option<String>,
    /// Where device codes come from.
    pub(crate) device_endpoint: Option<String>,
    /// Where the browser is sent back to, as it is registered.
    pub(crate) redirect: Option<String>,
    /// Certification authorities to trust instead of the system's, PEM.
    pub(crate) ca: Option<PathBuf>,
}

/// Whether a destination is a server that may show a certificate.
pub(crate) fn has_certificate(to: &Spec) -> bool {
    use restante_intake::destination::Protection;
    match to {
        Spec::Imap { protection, .. } | Spec::Smtp { protection, .. } => {
            *protection != Protection::DangerPlaintext
        }
        Spec::Maildir(_) | Spec::Mbox(_) | Spec::Lmtp { .. } | Spec::Pipe { .. } => false,
    }
}

/// Where fetched mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The mailbox of that name in our store.
    Mailbox(String),
    /// Somewhere else, such as `maildir:/srv/mail`.
    Destination(Spec),
}

/// A remote mailbox to fetch from.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// The name by which the ledger knows it.
    pub(crate) name: String,
    /// Its server, and the way there.
    pub(crate) server: Server,
    /// The login there.
    pub(crate) user: String,
    /// Where the password or token comes from.
    pub(crate) secret: SecretFrom,
    /// The weakest mechanism that may be tried.
    pub(crate) minimum: Option<Mechanism>,
    /// The only mechanism that may be tried.
    pub(crate) only: Option<Mechanism>,
    /// What stays on the server.
    pub(crate) keep: Keep,
    /// Where the mail goes.
    pub(crate) target: Target,
    /// The password of a destination that wants a login.
    pub(crate) target_secret: SecretFrom,
    /// Whom to trust at a destination that is a server.
    pub(crate) target_tls: TlsOptions,
    /// Above so many octets only the header is taken.
    pub(crate) max_size: Option<u64>,
    /// Messages downloaded in a day, at most.
    pub(crate) max_per_day: Option<u64>,
    /// How often `serve` fetches; `None` for only when asked.
    pub(crate) every: Option<Duration>,
    /// Run once when the account begins to fail.
    pub(crate) on_failure: Option<String>,
}

impl Account {
    /// With the defaults for all that is not said.
    pub(crate) fn new(name: String, server: Server, user: String) -> Self {
        Self {
            name,
            server,
            user,
            secret: SecretFrom::Prompt,
            minimum: None,
            only: None,
            keep: Keep::Forever,
            target: Target::Mailbox("me".to_owned()),
            target_secret: SecretFrom::Prompt,
            target_tls: TlsOptions::default(),
            max_size: None,
            max_per_day: None,
            every: Some(EVERY),
            on_failure: None,
        }
    }
}

/// What a proxy looks like, for whoever wrote another thing.
pub(crate) const PROXY_RIGHT: &str = "\"socks5://host:port\"";

/// Reads `socks5://[user:password@]host:port`. The server's name is looked up by the proxy.
pub(crate) fn proxy(text: &str) -> Option<Socks5> {
    let rest = text
        .strip_prefix("socks5://")
        .or_else(|| text.strip_prefix("socks5h://"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, place) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((login, place)) => {
            let (user, password) = login.split_once(':')?;
            (Some((user.to_owned(), Secret::from(password))), place)
        }
    };
    let (host, port) = host_and_port(place)?;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let address = format!("{host}:{}", port.unwrap_or(SOCKS_PORT));
    Some(Socks5 { address, login })
}

/// `host`, `host:port`, `[ipv6]`, `[ipv6]:port`.
pub(crate) fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':')?)),
            }
        }
        None => match text.split_once(':') {
            None => (text, None),
            Some((host, port)) => (host, Some(port)),
        },
    };
    let wrong = |c: char| c.is_whitespace() || c.is_control() || "/@?#\\\"".contains(c);
    if host.is_empty() || host.contains(wrong) {
        return None;
    }
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
    };
    Some((host.to_owned(), port))
}

/// Whether an account can have the name: it stands in commands, files and the ledger.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_OCTETS_MAX
        && !name.starts_with(['-', '.'])
        && !name.contains("..")
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.@+".contains(c))
}

/// A SHA-256 in hex, with or without colons and `sha256:`.
pub(crate) fn pin(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let text = text
        .strip_prefix("sha256:")
        .or_else(|| text.strip_prefix("SHA256:"))
        .unwrap_or(text);
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| *byte != b':')
        .map(|byte| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        })
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (digits.len() == 64)
        .then(|| bytes.try_into().ok())
        .flatten()
}

/// The reverse of [`pin`].
pub(crate) fn show_pin(pin: &[u8; 32]) -> String {
    pin.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_read_and_write_alike() {
        for (text, keep) in [
            ("forever", Some(Keep::Forever)),
            ("none", Some(Keep::None)),
            ("until-backed-up", Some(Keep::UntilBackedUp)),
            ("30 days", Some(Keep::Days(30))),
            ("1 day", Some(Keep::Days(1))),
            ("0 days", None),
            ("12 hours", None),
            ("always", None),
        ] {
            assert_eq!(super::keep(text), keep, "{text}");
            if let Some(keep) = keep {
                assert_eq!(super::keep(&keep.to_string()), Some(keep));
            }
        }
    }

    #[test]
    fn a_pin_reads_with_and_without_colons() {
        let hex = "00".repeat(31) + "Fe";
        let colons = format!("sha256:{}FE", "00:".repeat(31));
        let mut bytes = [0; 32];
        bytes[31] = 0xfe;
        assert_eq!(pin(&hex), Some(bytes));
        assert_eq!(pin(&colons), Some(bytes));
        assert_eq!(pin(&show_pin(&bytes)), Some(bytes));
        assert_eq!(pin(&hex[1..]), None);
        assert_eq!(pin("zz"), None);
    }

    #[test]
    fn names_are_fit_for_commands_and_files() {
        for good in ["gmx", "ann@gmx.net", "a-b_c.d+e", "j\u{fc}rgen"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-x", "a/b", "a b", "..", "a..b", "pop3://x", "a\n"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn places_are_hosts_with_or_without_a_port() {
        assert_eq!(host_and_port("a.b:1"), Some(("a.b".into(), Some(1))));
        assert_eq!(host_and_port("[::1]"), Some(("::1".into(), None)));
        assert_eq!(host_and_port("[::1]:7"), Some(("::1".into(), Some(7))));
        for bad in ["", ":1", "a:0", "a:b", "a:70000", "[x]:1", "::1", "a b"] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
