//! `[reader]`: where the pages for browsers are, and for whom.

use std::net::IpAddr;
use std::path::PathBuf;

use restante_net::Address;

use super::loopback;
use super::section::Section;

/// The section as typed.
#[derive(Debug, Default)]
pub(super) struct Typed {
    listen: Option<Vec<Address>>,
    tls_listen: Option<Vec<Address>>,
    hosts: Option<Vec<String>>,
    unsubscribe_ca: Option<PathBuf>,
    danger_unsubscribe_private: Option<bool>,
}

/// What the section comes to.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Where it is read in clear: on this machine only.
    pub(crate) listen: Vec<Address>,
    /// Where it is read over TLS.
    pub(crate) tls_listen: Vec<Address>,
    /// The names that browsers may know it by, besides this machine's own.
    pub(crate) hosts: Vec<String>,
    /// Certificates to trust, instead of the system's, when leaving a newsletter.
    pub(crate) unsubscribe_ca: Option<PathBuf>,
    /// Leaves newsletters at addresses of private networks, too.
    pub(crate) danger_unsubscribe_private: bool,
}

impl Typed {
    /// Takes the section.
    pub(super) fn read(mut section: Section<'_, '_, '_>) -> Self {
        let typed = Self {
            listen: section.addresses("listen"),
            tls_listen: section.addresses("tls_listen"),
            hosts: section.take("hosts", "[\"mail.example.org\"]", |value| {
                let names = value.as_array()?.iter();
                names.map(|name| host(name.get_ref().as_str()?)).collect()
            }),
            unsubscribe_ca: section.path("unsubscribe_ca"),
            danger_unsubscribe_private: section.boolean("danger_unsubscribe_private"),
        };
        let mut places = typed.listen.iter().flatten();
        if let Some(beyond) = places.find(|place| !stays_here(place)) {
            section.wrong(
                &format!(
                    "listens at {beyond} without TLS, where others could read passwords and mail"
                ),
                "tls_listen for whatever is not 127.0.0.1, [::1], localhost or unix:",
            );
        }
        section.finish();
        typed
    }

    /// With the defaults. What listens over TLS at an address may be asked by that address.
    pub(super) fn resolve(self) -> Reading {
        let tls_listen = self.tls_listen.unwrap_or_default();
        let mut hosts = self.hosts.unwrap_or_default();
        for place in &tls_listen {
            if let Address::Tcp(host, _) = place
                && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
            {
                hosts.push(host.clone());
            }
        }
        Reading {
            listen: self.listen.unwrap_or_else(|| loopback(8110)),
            tls_listen,
            hosts,
            unsubscribe_ca: self.unsubscribe_ca,
            danger_unsubscribe_private: self.danger_unsubscribe_private.unwrap_or(false),
        }
    }
}

fn host(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_ascii_lowercase())
}

/// Whether what is said there stays on this machine.
fn stays_here(place: &Address) -> bool {
    match place {
        Address::Unix(_) => true,
        Address::Tcp(host, _) => match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader;
    use super::*;

    fn mistakes(text: &str) -> Vec<usize> {
        reader::read(text).1.into_iter().map(|m| m.line).collect()
    }

    #[test]
    fn beyond_this_machine_it_is_read_over_tls_only() {
        for good in [
            "127.0.0.1:8110",
            "[::1]:8110",
            "localhost:80",
            "unix:/run/r",
        ] {
            assert!(mistakes(&format!("[reader]\nlisten = [\"{good}\"]\n")).is_empty());
        }
        for bad in [
            "0.0.0.0:8110",
            "[::]:8110",
            "192.0.2.1:80",
            "mail.example.org:80",
        ] {
            let told = mistakes(&format!("[reader]\nlisten = [\"{bad}\"]\n"));
            assert_eq!(told.len(), 1, "{bad}");
            assert!(mistakes(&format!("[reader]\ntls_listen = [\"{bad}\"]\n")).is_empty());
        }
    }

    #[test]
    fn it_is_asked_by_its_addresses_and_the_names_that_are_given() {
        let text = "[reader]\ntls_listen = [\"0.0.0.0:1\", \"192.0.2.1:1\"]\nhosts = [\"Mail.example.org\"]\n";
        let (typed, mistakes) = reader::read(text);
        assert_eq!(mistakes, []);
        let reading = typed.reading.resolve();
        assert_eq!(reading.hosts, ["mail.example.org", "192.0.2.1"]);
        assert_eq!(reading.listen, loopback(8110));
    }
}
