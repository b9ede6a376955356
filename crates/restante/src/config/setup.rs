//! `[setup]`: what mail programs are told, and where they ask.

use restante_access::setup::{Keep, Outgoing, Settings};
use restante_net::Address;

use super::section::Section;
use crate::units;

/// The most days that `keep` may say: what Thunderbird is told for ever.
const MOST_DAYS: u64 = 36_500;

/// POP3S, where nothing says otherwise (RFC 8314 §3.2).
const POP3S: u16 = 995;

/// Submission over TLS, where nothing says otherwise (RFC 8314 §3.3).
const SUBMISSIONS: u16 = 465;

/// The section as typed.
#[derive(Debug, Default)]
pub(super) struct Typed {
    listen: Option<Vec<Address>>,
    tls_listen: Option<Vec<Address>>,
    host: Option<String>,
    url: Option<String>,
    outgoing: Option<Outgoing>,
    keep: Option<Keep>,
    pop3_port: Option<u16>,
    pop3s_port: Option<u16>,
}

/// What the section comes to.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Where it is asked in clear: nothing in it is secret.
    pub(crate) listen: Vec<Address>,
    /// Where it is asked over TLS.
    pub(crate) tls_listen: Vec<Address>,
    /// What is told.
    pub(crate) settings: Settings,
}

impl Typed {
    /// Takes the section; `has_domains` is whether the file names any.
    pub(super) fn read(mut section: Section<'_, '_, '_>, has_domains: bool) -> Self {
        let asked_for = section.has_keys();
        let has_host = section.has("host");
        let port = |section: &mut Section<'_, '_, '_>, key| {
            section.take(key, "a port from 1 to 65535", |value| {
                let port = value.as_integer()?.as_str().parse().ok()?;
                (port > 0).then_some(port)
            })
        };
        let typed = Self {
            listen: section.addresses("listen"),
            tls_listen: section.addresses("tls_listen"),
            host: section.take(
                "host",
                "\"mail.example.org\": a name that clients use",
                |value| host(value.as_str()?),
            ),
            url: section.take(
                "url",
                "\"https://mail.example.org\": http or https, a host, no path",
                |value| origin(value.as_str()?),
            ),
            outgoing: section.take("outgoing", "\"smtp.example.org:465\"", |value| match value
                .as_str()?
                .parse()
                .ok()?
            {
                Address::Tcp(name, port) if port > 0 => Some(Outgoing {
                    host: host(&name)?,
                    port,
                }),
                _ => None,
            }),
            keep: section.take("keep", "\"forever\", \"30 days\" or \"none\"", |value| {
                keep(value.as_str()?)
            }),
            pop3_port: port(&mut section, "pop3_port"),
            pop3s_port: port(&mut section, "pop3s_port"),
        };
        if asked_for && !has_host {
            section.wrong(
                "needs the name that clients connect to",
                "host = \"mail.example.org\"",
            );
        }
        if asked_for && !has_domains {
            section.wrong(
                "needs to know whose mail programs to help",
                "domains = [\"example.org\"] at the top",
            );
        }
        section.finish();
        typed
    }

    /// With the defaults; nothing without a host.
    pub(super) fn resolve(
        self,
        domains: &[String],
        pop3_listen: &[Address],
        pop3_tls_listen: &[Address],
    ) -> Option<Setup> {
        let host = self.host?;
        let listen = self.listen.unwrap_or_default();
        let tls_listen = self.tls_listen.unwrap_or_default();
        let stls_port = self.pop3_port.or_else(|| seen_port(pop3_listen));
        let tls_port = self.pop3s_port.or_else(|| seen_port(pop3_tls_listen));
        let url = self
            .url
            .unwrap_or_else(|| default_url(&host, &listen, &tls_listen));
        let outgoing = self.outgoing.unwrap_or_else(|| Outgoing {
            host: host.clone(),
            port: SUBMISSIONS,
        });
        Some(Setup {
            settings: Settings {
                host,
                // Something is to be told, though a Unix socket has no port: a proxy stands before it.
                tls_port: tls_port.or(stls_port.is_none().then_some(POP3S)),
                stls_port,
                outgoing,
                domains: domains.to_vec(),
                keep: self.keep.unwrap_or(Keep::Forever),
                url,
            },
            listen,
            tls_listen,
        })
    }
}

/// A host name, in lower case.
fn host(text: &str) -> Option<String> {
    let name = text.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (name.len() <= 253 && name.split('.').all(label)).then_some(name)
}

/// Scheme and host, without the last slash.
fn origin(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then(|| url.origin().ascii_serialization())
}

fn keep(text: &str) -> Option<Keep> {
    match text {
        "forever" => Some(Keep::Forever),
        "none" => Some(Keep::Nothing),
        _ => {
            let ms = units::duration_ms(text)?;
            let days = ms / units::DAY_MS;
            let whole = ms.is_multiple_of(units::DAY_MS) && (1..=MOST_DAYS).contains(&days);
            whole.then_some(Keep::Days(u16::try_from(days).ok()?))
        }
    }
}

/// For `config show`: as it is typed.
pub(crate) fn show_keep(keep: Keep) -> String {
    match keep {
        Keep::Forever => "forever".to_owned(),
        Keep::Days(1) => "1 day".to_owned(),
        Keep::Days(days) => format!("{days} days"),
        Keep::Nothing => "none".to_owned(),
    }
}

/// The port that clients see: of a listener that other machines reach, else of any.
fn seen_port(addresses: &[Address]) -> Option<u16> {
    let ports = |far: bool| {
        addresses.iter().find_map(move |address| match address {
            Address::Tcp(host, port) if *port > 0 && (!far || !is_loopback(host)) => Some(*port),
            _ => None,
        })
    };
    ports(true).or_else(|| ports(false))
}

fn is_loopback(host: &str) -> bool {
    let ip = host.parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Over TLS if it listens so; else as it listens; else over TLS by somebody who passes requests on.
fn default_url(host: &str, listen: &[Address], tls_listen: &[Address]) -> String {
    let place = |scheme: &str, usual: u16, port: u16| {
        if port == usual {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    };
    if let Some(port) = seen_port(tls_listen) {
        return place("https", 443, port);
    }
    match seen_port(listen) {
        Some(port) => place("http", 80, port),
        None => place("https", 443, 443),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader;
    use super::*;

    fn resolved(text: &str) -> Setup {
        let (typed, mistakes) = reader::read(text);
        assert_eq!(mistakes, []);
        let domains = typed.domains.unwrap_or_default();
        let pop3 = typed.pop3_listen.unwrap_or_default();
        let pop3s = typed.pop3_tls_listen.unwrap_or_default();
        typed.setup.resolve(&domains, &pop3, &pop3s).unwrap()
    }

    #[test]
    fn a_host_is_enough() {
        let setup = resolved(
            "domains = [\"example.org\"]\n[pop3]\nlisten = []\ntls_listen = [\"127.0.0.1:1995\", \"[::]:995\"]\n[setup]\nhost = \"Mail.Example.org\"\ntls_listen = [\"0.0.0.0:443\"]\n",
        );
        let settings = setup.settings;
        assert_eq!(settings.host, "mail.example.org");
        assert_eq!((settings.tls_port, settings.stls_port), (Some(995), None));
        assert_eq!(settings.url, "https://mail.example.org");
        assert_eq!(settings.outgoing.host, "mail.example.org");
        assert_eq!(settings.outgoing.port, 465);
        assert_eq!(settings.keep, Keep::Forever);
    }

    #[test]
    fn what_clients_see_may_be_said() {
        let setup = resolved(
            "domains = [\"example.org\"]\n[setup]\nhost = \"mail.example.org\"\nurl = \"https://setup.example.org:8443/\"\noutgoing = \"smtp.example.net:587\"\nkeep = \"30 days\"\npop3_port = 110\npop3s_port = 995\n",
        );
        let settings = setup.settings;
        assert_eq!(settings.url, "https://setup.example.org:8443");
        assert_eq!(
            (settings.tls_port, settings.stls_port),
            (Some(995), Some(110))
        );
        assert_eq!(settings.outgoing.host, "smtp.example.net");
        assert_eq!(settings.keep, Keep::Days(30));
        assert_eq!(show_keep(settings.keep), "30 days");
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        let (_, mistakes) = reader::read(
            "[setup]\nhost = \"a b\"\nurl = \"https://x/path\"\noutgoing = \"smtp\"\nkeep = \"a week or so\"\npop3_port = 0\n",
        );
        let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6], "{mistakes:#?}");
        let (_, mistakes) = reader::read("domains = [\"example.org\"]\n[setup]\nlisten = []\n");
        assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
        assert!(mistakes[0].right.contains("host = "));
        let (typed, mistakes) = reader::read("");
        assert_eq!(mistakes, []);
        assert!(typed.setup.resolve(&[], &[], &[]).is_none());
    }
}
