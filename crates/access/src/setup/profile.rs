//! Apple's configuration profile (`.mobileconfig`): a property list with one `com.apple.mail.managed`.
//!
//! A profile is of one device. It is put in place of the one before it, because what identifies it is
//! derived from the address and the device.

use askama::Template;
use restante_proto::Secret;

use super::settings::{Address, Server, Settings};

#[derive(Template)]
#[template(path = "setup/profile.xml")]
struct Document<'a> {
    identifier: String,
    profile_uuid: String,
    mail_uuid: String,
    title: &'a str,
    domain: &'a str,
    address: &'a str,
    login: &'a str,
    server: Server,
    password: Option<&'a str>,
    settings: &'a Settings,
}

/// Whom a profile is for.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) address: Address,
    /// A device's name, for a login of its own.
    pub(crate) device: Option<String>,
}

impl Owner {
    /// The user name that the device logs in with.
    pub(crate) fn login(&self) -> String {
        match &self.device {
            Some(device) => self.address.of_device(device),
            None => self.address.to_string(),
        }
    }
}

/// The profile; with a password only if one is given. `None` when no server offers TLS from the first
/// octet or by STLS, or when the password has characters that XML cannot hold.
pub(crate) fn document(
    settings: &Settings,
    owner: &Owner,
    password: Option<&Secret>,
) -> Option<Result<String, askama::Error>> {
    let server = *settings.servers().first()?;
    let password = match password {
        None => None,
        Some(secret) => Some(std::str::from_utf8(secret.expose()).ok().filter(|text| {
            !text.contains(|c: char| c.is_control() || c > '\u{fffd}' && c < '\u{10000}')
        })?),
    };
    let login = owner.login();
    let reversed: Vec<&str> = settings.host.rsplit('.').collect();
    let document = Document {
        identifier: format!(
            "{}.restante.{}",
            reversed.join("."),
            &uuid("identifier", &settings.host, &login)[..8]
        ),
        profile_uuid: uuid("profile", &settings.host, &login),
        mail_uuid: uuid("mail", &settings.host, &login),
        title: &login,
        domain: owner.address.domain(),
        address: owner.address.as_str(),
        login: &login,
        server,
        password,
        settings,
    };
    Some(document.render())
}

/// A UUID of version 8 (RFC 9562 §5.8) that is the same each time.
fn uuid(what: &str, host: &str, login: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("restante setup profile uuid");
    for part in [what, host, &login.to_ascii_lowercase()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut octets = [0; 16];
    hasher.finalize_xof().fill(&mut octets);
    octets[6] = octets[6] & 0x0f | 0x80;
    octets[8] = octets[8] & 0x3f | 0x80;
    let hex: String = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::settings::tests::settings;
    use crate::setup::xml::tests::texts;

    fn owner(device: Option<&str>) -> Owner {
        Owner {
            address: Address::parse("ann@example.org").expect("an address"),
            device: device.map(str::to_owned),
        }
    }

    /// Key and value, in the order of the file.
    fn pairs(document: &str) -> Vec<(String, String)> {
        let texts = texts(document);
        let mut pairs = Vec::new();
        for (n, (path, text)) in texts.iter().enumerate() {
            if path.ends_with("/key") {
                let (path, value) = texts.get(n + 1).expect("a value");
                // An empty element, such as <true/>, is no start tag: the next one is a key again.
                let value = if path.ends_with("/key") { "" } else { value };
                pairs.push((text.clone(), value.to_owned()));
            }
        }
        pairs
    }

    fn value(pairs: &[(String, String)], key: &str) -> Vec<String> {
        let found = pairs.iter().filter(|(name, _)| name == key);
        found.map(|(_, value)| value.clone()).collect()
    }

    #[test]
    fn the_keys_that_apple_asks_for_are_there() {
        let document = document(&settings(), &owner(Some("phone")), None)
            .expect("TLS")
            .expect("it renders");
        let pairs = pairs(&document);
        for (key, right) in [
            ("EmailAccountType", "EmailTypePOP"),
            ("EmailAddress", "ann@example.org"),
            ("IncomingMailServerAuthentication", "EmailAuthPassword"),
            ("IncomingMailServerHostName", "mail.example.org"),
            ("IncomingMailServerPortNumber", "995"),
            ("IncomingMailServerUsername", "ann+phone@example.org"),
            ("OutgoingMailServerHostName", "smtp.example.org"),
            ("OutgoingMailServerUsername", "ann@example.org"),
        ] {
            assert_eq!(value(&pairs, key), [right], "{key}");
        }
        assert_eq!(
            value(&pairs, "PayloadType"),
            ["Configuration", "com.apple.mail.managed"]
        );
        let uuids = value(&pairs, "PayloadUUID");
        assert!(uuids.iter().all(|uuid| uuid.len() == 36), "{uuids:?}");
        assert_ne!(uuids[0], uuids[1]);
        assert!(value(&pairs, "IncomingPassword").is_empty());
    }

    #[test]
    fn a_password_is_in_it_only_when_given_and_is_escaped() {
        let secret = Secret::new(b"a<b&c>\"d".to_vec());
        let document = document(&settings(), &owner(None), Some(&secret))
            .expect("TLS")
            .expect("it renders");
        assert_eq!(value(&pairs(&document), "IncomingPassword"), ["a<b&c>\"d"]);
        let control = Secret::new(b"a\x01b".to_vec());
        assert!(super::document(&settings(), &owner(None), Some(&control)).is_none());
    }

    #[test]
    fn each_device_has_a_profile_and_the_same_one_each_time() {
        let of = |device| {
            let made = document(&settings(), &owner(device), None).expect("TLS");
            value(&pairs(&made.expect("it renders")), "PayloadUUID")
        };
        assert_eq!(of(Some("phone")), of(Some("phone")));
        assert_ne!(of(Some("phone")), of(Some("laptop")));
        assert_ne!(of(Some("phone")), of(None));
    }
}
