//! Outlook's plain old XML ([MS-OXDSCLI] §2.2.3 and §2.2.4): a POST that names an address, and the servers
//! for it.
//!
//! ```text
//! POST https://autodiscover.DOMAIN/autodiscover/autodiscover.xml
//! <Autodiscover><Request><EMailAddress>ADDRESS</EMailAddress>
//!                        <AcceptableResponseSchema>URL</AcceptableResponseSchema>
//! ```

use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;

use super::settings::{Address, Settings};
use super::xml;

/// The only schema that we answer in.
const SCHEMA: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

#[derive(Template)]
#[template(path = "setup/autodiscover.xml")]
struct Document<'a> {
    address: &'a str,
    settings: &'a Settings,
}

#[derive(Template)]
#[template(path = "setup/autodiscover-error.xml")]
struct Problem {
    time: String,
    code: u16,
    message: &'static str,
}

/// What a request comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The settings for this address are asked for.
    For(Address),
    /// An error of the format's own: 600 is a request that is none, 601 a schema that is not ours.
    Wrong(u16, &'static str),
}

/// Reads the body of a POST.
pub(crate) fn request(body: &[u8]) -> Request {
    let invalid = Request::Wrong(600, "Invalid Request");
    let Some([address, schema]) = xml::find(body, ["EMailAddress", "AcceptableResponseSchema"])
    else {
        return invalid;
    };
    if schema.is_some_and(|schema| schema.trim() != SCHEMA) {
        return Request::Wrong(601, "Provider Not Available");
    }
    address
        .and_then(|address| Address::parse(&address))
        .map_or(invalid, Request::For)
}

/// The settings for an address of ours; whether somebody has it is not asked.
pub(crate) fn document(settings: &Settings, address: &Address) -> Result<String, askama::Error> {
    Document {
        address: address.as_str(),
        settings,
    }
    .render()
}

/// The format's error.
pub(crate) fn problem(
    code: u16,
    message: &'static str,
    now: SystemTime,
) -> Result<String, askama::Error> {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs() % 86_400);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    Problem {
        time: format!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
        code,
        message,
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::settings::tests::settings;
    use crate::setup::xml::tests::texts;

    /// As Outlook sends it.
    fn asked(address: &str, schema: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\"><Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
        )
    }

    #[test]
    fn a_request_of_outlook_is_read() {
        let Request::For(address) = request(asked("Ann@Example.org", SCHEMA).as_bytes()) else {
            panic!("it names an address");
        };
        assert_eq!(address.as_str(), "Ann@example.org");
    }

    #[test]
    fn what_is_no_request_of_ours_gets_the_formats_own_error() {
        let mobile =
            "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006";
        for (body, code) in [
            (asked("ann@example.org", mobile), 601),
            (asked("ann", SCHEMA), 600),
            (asked("", SCHEMA), 600),
            ("<Autodiscover></Autodiscover>".to_owned(), 600),
            ("nonsense".to_owned(), 600),
        ] {
            let got = request(body.as_bytes());
            assert!(
                matches!(got, Request::Wrong(is, _) if is == code),
                "{got:?}"
            );
        }
        let now = UNIX_EPOCH + std::time::Duration::from_secs(86_400 + 3_723);
        let texts = texts(&problem(600, "Invalid Request", now).expect("it renders"));
        assert!(texts.contains(&(
            "Autodiscover/Response/Error/ErrorCode".to_owned(),
            "600".to_owned()
        )));
        let document = problem(600, "Invalid Request", now).expect("it renders");
        assert!(document.contains("Time=\"01:02:03\""), "{document}");
    }

    #[test]
    fn each_protocol_is_described_and_the_login_is_the_address() {
        let address = Address::parse("o'neil&son@example.org").expect("an address");
        let document = document(&settings(), &address).expect("it renders");
        let texts = texts(&document);
        let all = |name: &str| -> Vec<&str> {
            let found = texts.iter().filter(|(path, _)| path.ends_with(name));
            found.map(|(_, text)| text.as_str()).collect()
        };
        assert_eq!(all("Account/AccountType"), ["email"]);
        assert_eq!(all("Account/Action"), ["settings"]);
        assert_eq!(all("Protocol/Type"), ["POP3", "POP3", "SMTP"]);
        assert_eq!(all("Protocol/Port"), ["995", "110", "465"]);
        assert_eq!(all("Protocol/Encryption"), ["SSL", "TLS", "SSL"]);
        assert_eq!(all("Protocol/SSL"), ["on"; 3]);
        assert_eq!(all("Protocol/SPA"), ["off"; 3]);
        assert_eq!(all("Protocol/LoginName"), ["o'neil&son@example.org"; 3]);
    }
}
