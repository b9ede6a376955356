//! What stands in a server's certificate.

use std::net::IpAddr;

use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Name;

/// Names shown of one certificate; a shared one may hold hundreds.
const NAMES: usize = 20;

/// A server's certificate.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Certificate {
    /// Whether it is trusted here for this server, by authority or by pin; why not, if not.
    pub trusted: bool,
    /// Why it is not trusted.
    pub problem: Option<String>,
    /// SHA-256 of its DER, in hexadecimal: what a pin holds.
    pub sha256: String,
    /// The hosts it is for.
    pub names: Vec<String>,
    /// Who it says it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: Option<i64>,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: Option<i64>,
}

impl Certificate {
    /// From DER; what cannot be read stays empty.
    pub(super) fn read(der: &[u8], sha256: &[u8; 32]) -> Self {
        let mut found = Self {
            sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            ..Self::default()
        };
        let Ok((_, certificate)) = parse_x509_certificate(der) else {
            return found;
        };
        found.subject = name(certificate.subject());
        found.issuer = name(certificate.issuer());
        found.not_before = Some(certificate.validity().not_before.timestamp());
        found.not_after = Some(certificate.validity().not_after.timestamp());
        if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
            found.names = alternative
                .value
                .general_names
                .iter()
                .filter_map(host)
                .take(NAMES)
                .collect();
        }
        found
    }
}

/// The common name, else the organisation, else all of it.
fn name(name: &X509Name<'_>) -> String {
    let text = name
        .iter_common_name()
        .chain(name.iter_organization())
        .find_map(|part| part.as_str().ok());
    printable(&text.map_or_else(|| name.to_string(), str::to_owned))
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Nothing that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .take(200)
        .collect()
}
