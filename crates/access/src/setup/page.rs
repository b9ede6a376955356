//! `/setup`: the settings for a person with a phone in hand. No script, nothing from elsewhere.

use askama::Template;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::profile::Owner;
use super::settings::{Keep, Settings};

/// The page's style, on a path of its own so that nothing inline needs to be allowed.
pub(super) const STYLE: &str = include_str!("../../templates/setup/style.css");

/// What the page may load: its style, its QR code, and nothing else.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "setup/setup.html")]
struct Page<'a> {
    settings: &'a Settings,
    /// A domain of ours, for the examples.
    site: &'a str,
    /// Empty while nobody is named.
    address: &'a str,
    device: &'a str,
    login: String,
    keep: String,
    query: String,
    here: String,
    secure: bool,
}

/// The page; for somebody, or for whoever reads it. `secure` offers the form that takes a password.
pub(super) fn page(
    settings: &Settings,
    owner: Option<&Owner>,
    secure: bool,
) -> Result<String, askama::Error> {
    let site = match owner {
        Some(owner) => owner.address.domain(),
        None => settings.domains.first().unwrap_or(&settings.host),
    };
    Page {
        settings,
        site,
        address: owner.map_or("", |owner| owner.address.as_str()),
        device: owner
            .and_then(|owner| owner.device.as_deref())
            .unwrap_or_default(),
        login: owner.map(Owner::login).unwrap_or_default(),
        keep: keep(settings.keep),
        query: owner.map(query).unwrap_or_default(),
        here: here(settings, owner),
        secure,
    }
    .render()
}

fn keep(keep: Keep) -> String {
    match keep {
        Keep::Forever => "leave messages on the server, never delete them there".to_owned(),
        Keep::Days(1) => "leave messages on the server for 1 day".to_owned(),
        Keep::Days(days) => format!("leave messages on the server for {days} days"),
        Keep::Nothing => "do not leave messages on the server".to_owned(),
    }
}

fn query(owner: &Owner) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("address", owner.address.as_str());
    if let Some(device) = &owner.device {
        query.append_pair("device", device);
    }
    query.finish()
}

/// The page's own address, for the same person.
fn here(settings: &Settings, owner: Option<&Owner>) -> String {
    let url = &settings.url;
    match owner {
        None => format!("{url}/setup"),
        Some(owner) => format!("{url}/setup?{}", query(owner)),
    }
}

/// The QR code of the page's own address, as an SVG picture; `None` when it would be too long for one,
/// which no address within its limit is. Dark on white in dark mode too: cameras want that.
pub(super) fn qr(settings: &Settings, owner: Option<&Owner>) -> Option<String> {
    let code = QrCode::with_error_correction_level(here(settings, owner), EcLevel::M).ok()?;
    Some(
        code.render::<svg::Color<'_>>()
            .min_dimensions(176, 176)
            .quiet_zone(true)
            .dark_color(svg::Color("#000000"))
            .light_color(svg::Color("#ffffff"))
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::settings::Address;
    use crate::setup::settings::tests::settings;

    fn owner(address: &str) -> Owner {
        Owner {
            address: Address::parse(address).expect("an address"),
            device: Some("phone".to_owned()),
        }
    }

    #[test]
    fn everything_that_a_person_types_is_on_the_page() {
        let page = page(&settings(), Some(&owner("ann@example.org")), true).expect("it renders");
        for needed in [
            "mail.example.org",
            "995",
            "SSL/TLS",
            "ann+phone@example.org",
            "for 30 days",
            "smtp.example.org",
            "465",
            "/setup/profile?address=ann%40example.org&#38;device=phone",
        ] {
            assert!(page.contains(needed), "{needed}");
        }
    }

    #[test]
    fn nothing_runs_and_nothing_comes_from_elsewhere() {
        let evil = owner("\"><img/src=x/onerror=alert(1)>@example.org");
        for owner in [None, Some(&evil)] {
            let page = page(&settings(), owner, true).expect("it renders");
            assert!(
                !page.contains("<script") && !page.contains("<img/"),
                "{page}"
            );
            let mut rest = page.as_str();
            while let Some((_, value)) = rest.split_once("=\"/").or(rest.split_once("=\"http")) {
                rest = value;
                assert!(!value.starts_with("/"), "another host: {value}");
            }
            assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
        }
    }

    #[test]
    fn the_form_for_a_password_is_on_an_encrypted_page_only() {
        let owner = owner("ann@example.org");
        let form = |secure| {
            let page = page(&settings(), Some(&owner), secure).expect("it renders");
            page.contains("type=\"password\"")
        };
        assert!(form(true) && !form(false));
    }

    #[test]
    fn the_longest_address_has_a_code() {
        let local = "%".repeat(crate::limits::ADDRESS_OCTETS - "@example.org".len());
        let longest = owner(&format!("{local}@example.org"));
        for owner in [None, Some(&longest)] {
            let code = qr(&settings(), owner).expect("it fits");
            assert!(code.contains("<svg") && code.contains("#ffffff"));
        }
    }
}
