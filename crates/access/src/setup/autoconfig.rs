//! Mozilla's format 1.1 (draft-ietf-mailmaint-autoconfig): what Thunderbird, K-9, Evolution and KMail
//! ask for.
//!
//! ```text
//! GET http://autoconfig.DOMAIN/mail/config-v1.1.xml?emailaddress=ADDRESS
//! GET https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml
//! ```
//!
//! The user name is the placeholder `%EMAILADDRESS%`: the client fills it in, the directory takes a whole
//! address of our domains for a login, and the answer is the same for everyone.

use askama::Template;

use super::settings::{Keep, Settings};

/// What stands for never: Thunderbird takes 14 days when nothing is said, and a number otherwise. A hundred
/// years.
const FOREVER_DAYS: u16 = 36_500;

#[derive(Template)]
#[template(path = "setup/autoconfig.xml")]
struct Document<'a> {
    domain: &'a str,
    /// At most 60 characters, says the draft, and 20 for the short one.
    name: String,
    short_name: String,
    settings: &'a Settings,
    leave: bool,
    days: u16,
}

/// The document for one of our domains.
pub(crate) fn document(settings: &Settings, domain: &str) -> Result<String, askama::Error> {
    let (leave, days) = match settings.keep {
        Keep::Forever => (true, FOREVER_DAYS),
        Keep::Days(days) => (true, days),
        Keep::Nothing => (false, 0),
    };
    Document {
        domain,
        name: domain.chars().take(60).collect(),
        short_name: domain.chars().take(20).collect(),
        settings,
        leave,
        days,
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::settings::tests::settings;
    use crate::setup::xml::tests::texts;

    #[test]
    fn the_first_server_is_pop3s_and_what_is_left_is_said() {
        let document = document(&settings(), "example.org").expect("it renders");
        let texts = texts(&document);
        let all = |name: &str| -> Vec<&str> {
            let found = texts.iter().filter(|(path, _)| path.ends_with(name));
            found.map(|(_, text)| text.as_str()).collect()
        };
        assert_eq!(all("emailProvider/domain"), ["example.org"]);
        assert_eq!(all("incomingServer/port"), ["995", "110"]);
        assert_eq!(all("incomingServer/socketType"), ["SSL", "STARTTLS"]);
        assert_eq!(all("incomingServer/hostname"), ["mail.example.org"; 2]);
        assert_eq!(all("incomingServer/username"), ["%EMAILADDRESS%"; 2]);
        assert_eq!(
            all("incomingServer/authentication"),
            ["password-cleartext"; 2]
        );
        assert_eq!(all("pop3/leaveMessagesOnServer"), ["true"; 2]);
        assert_eq!(all("pop3/daysToLeaveMessagesOnServer"), ["30"; 2]);
        assert_eq!(all("outgoingServer/hostname"), ["smtp.example.org"]);
        assert_eq!(all("outgoingServer/socketType"), ["SSL"]);
        assert!(document.contains(r#"<incomingServer type="pop3">"#));
        assert!(document.contains(r#"<clientConfig version="1.1">"#));
    }

    #[test]
    fn forever_is_no_fortnight_and_nothing_is_nothing() {
        let mut settings = settings();
        settings.keep = Keep::Forever;
        let forever = document(&settings, "example.org").expect("it renders");
        assert!(forever.contains("<leaveMessagesOnServer>true<"));
        assert!(forever.contains("<daysToLeaveMessagesOnServer>36500<"));
        settings.keep = Keep::Nothing;
        let nothing = document(&settings, "example.org").expect("it renders");
        assert!(nothing.contains("<leaveMessagesOnServer>false<"));
    }
}
