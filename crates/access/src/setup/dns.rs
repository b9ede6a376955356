//! The records by which clients find all this, in the form of a zone file (RFC 1035 §5).
//!
//! ```text
//! _Service._Proto.Name TTL Class SRV Priority Weight Port Target      (RFC 2782)
//! _pop3s._tcp  SRV: TLS from the first octet; _pop3._tcp  SRV: STLS   (RFC 6186 §3.3)
//! ```

use std::fmt;

use super::settings::{Security, Settings};

/// How long a record may be remembered, in seconds: an hour, so that a mistake is soon mended.
const TTL: u32 = 3_600;

/// A record of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name, absolute, with the last dot.
    pub name: String,
    /// What it is.
    pub data: Data,
}

/// What a record says; names are absolute, with the last dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Where a service is (RFC 2782); clients take the lowest priority first.
    Srv {
        /// Its priority.
        priority: u16,
        /// Its weight among those of one priority.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: String,
    },
    /// Another name of a host.
    Cname(String),
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "SRV {priority} {weight} {port} {target}"),
            Self::Cname(target) => write!(f, "CNAME {target}"),
        }
    }
}

impl fmt::Display for Record {
    /// A line of a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<40} {TTL} IN {}", self.name, self.data)
    }
}

impl Record {
    /// How long it may be remembered, in seconds.
    pub const fn ttl_seconds(&self) -> u32 {
        TTL
    }
}

/// The records of one domain. Without TLS for the documents Outlook, which asks over nothing else, is not told
/// of them.
pub fn records(settings: &Settings, domain: &str) -> Vec<Record> {
    let url = url::Url::parse(&settings.url).ok();
    let https = url.filter(|url| url.scheme() == "https");
    let https_port = https.and_then(|url| url.port_or_known_default());
    let target = format!("{}.", settings.host);
    let service = |name: &str, priority, weight, port| Record {
        name: format!("{name}._tcp.{domain}."),
        data: Data::Srv {
            priority,
            weight,
            port,
            target: target.clone(),
        },
    };
    let mut records = Vec::new();
    for server in settings.servers() {
        // RFC 8314 §5.1 prefers TLS from the first octet: the lower priority.
        records.push(match server.security {
            Security::Tls => service("_pop3s", 0, 1, server.port),
            Security::StartTls => service("_pop3", 10, 1, server.port),
        });
    }
    if let Some(port) = https_port {
        records.push(service("_autodiscover", 0, 0, port));
    }
    records.push(Record {
        name: format!("autoconfig.{domain}."),
        data: Data::Cname(target),
    });
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::settings::tests::settings;

    #[test]
    fn the_records_are_those_that_clients_look_for() {
        let lines: Vec<String> = records(&settings(), "example.org")
            .iter()
            .map(|record| {
                let line = record.to_string();
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(
            lines,
            [
                "_pop3s._tcp.example.org. 3600 IN SRV 0 1 995 mail.example.org.",
                "_pop3._tcp.example.org. 3600 IN SRV 10 1 110 mail.example.org.",
                "_autodiscover._tcp.example.org. 3600 IN SRV 0 0 443 mail.example.org.",
                "autoconfig.example.org. 3600 IN CNAME mail.example.org.",
            ]
        );
    }

    #[test]
    fn what_is_not_served_is_not_told() {
        let mut settings = settings();
        settings.stls_port = None;
        settings.url = "http://mail.example.org".to_owned();
        let records = records(&settings, "example.net");
        let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(
            names,
            ["_pop3s._tcp.example.net.", "autoconfig.example.net."]
        );
    }
}
