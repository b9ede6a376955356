//! From TOML to [`Typed`], collecting mistakes instead of stopping at the first.

use toml::de::{DeTable, DeValue};

use super::section::{Mistakes, Section};
use super::{Mistake, Typed, account_reader, mailbox, reading, setup};
use crate::units;

/// Reads a whole file's text.
pub(super) fn read(text: &str) -> (Typed, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut mistakes = Mistakes::new(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        mistakes.add(
            at,
            error.message().to_owned(),
            "valid TOML, see https://toml.io",
        );
    }
    let mut typed = Typed::default();
    let mut root = Section::new("", document.into_inner(), &mut mistakes);
    typed.data = root.path("data");
    typed.domains = root.take(
        "domains",
        "an array of domain names, such as [\"example.org\"]",
        domains,
    );
    let mut pop3 = root.section("pop3");
    typed.pop3_listen = pop3.addresses("listen");
    typed.pop3_tls_listen = pop3.addresses("tls_listen");
    typed.exclusive = pop3.boolean("exclusive");
    typed.danger_plaintext_login = pop3.boolean("danger_plaintext_login");
    pop3.finish();
    let mut lmtp = root.section("lmtp");
    typed.lmtp_listen = lmtp.addresses("listen");
    lmtp.finish();
    let mut tls = root.section("tls");
    typed.certificate = tls.path("certificate");
    typed.key = tls.path("key");
    if typed.certificate.is_some() != typed.key.is_some() {
        tls.wrong(
            "needs both certificate and key",
            "certificate = \"/path/fullchain.pem\" and key = \"/path/privkey.pem\"",
        );
    }
    tls.finish();
    let mut users = root.section("users");
    typed.passwd_file = users.path("passwd_file");
    users.finish();
    let mut store = root.section("store");
    typed.hold_ms = store.take(
        "hold",
        "a time, such as \"7 days\" or \"12 hours\"",
        |value| units::duration_ms(value.as_str()?),
    );
    typed.min_free = store.take(
        "min_free",
        "a size, such as \"100M\"; \"0\" for none",
        |value| units::octets(value.as_str()?),
    );
    store.finish();
    let mut limits = root.section("limits");
    typed.connections = limits.count("connections");
    typed.connections_per_address = limits.count("connections_per_address");
    typed.message_octets = limits.size("message_size");
    typed.recipients = limits.count("recipients");
    limits.finish();
    typed.reading = reading::Typed::read(root.section("reader"));
    let has_domains = typed
        .domains
        .as_ref()
        .is_some_and(|names| !names.is_empty());
    typed.setup = setup::Typed::read(root.section("setup"), has_domains);
    let mut fetch = root.section("fetch");
    typed.fetch_parallel = fetch.count("parallel");
    typed.stale_after_ms = fetch.time("stale_after", "\"1 day\"");
    fetch.finish();
    root.sections("mailbox", |section| {
        typed.mailboxes.push(mailbox::read(section));
    });
    typed.backup = super::backup::read(root.section("backup"));
    root.sections("account", |section| {
        typed.accounts.extend(account_reader::read(section));
    });
    root.finish();
    (typed, mistakes.told())
}

fn domains(value: &DeValue<'_>) -> Option<Vec<String>> {
    value
        .as_array()?
        .iter()
        .map(|item| {
            let name = item.get_ref().as_str()?;
            let good = !name.is_empty() && !name.contains(['@', ' ', '/']);
            good.then(|| name.to_ascii_lowercase())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_at_once_with_its_line_and_what_would_be_right() {
        let text = "domain = [\"example.org\"]\n\n[pop3]\nlisten = \"127.0.0.1:110\"\nexclusive = 1\n\n[store]\nhold = \"a week\"\n[tls]\nkey = \"/k\"\n[nonsense]\nx = 1\n";
        let (_, mistakes) = read(text);
        let lines: Vec<_> = mistakes.iter().map(|m| m.line).collect();
        assert_eq!(lines, [1, 4, 5, 8, 9, 11], "{mistakes:#?}");
        assert_eq!(mistakes[0].right, "domains");
        assert!(mistakes[1].right.contains("[\"127.0.0.1:1110\"]"));
    }

    #[test]
    fn each_address_is_told_apart() {
        let text = "[pop3]\nlisten = [\"127.0.0.1:99999\", \"foo\"]\n[lmtp]\nlisten = [\"[::1]:24\",\n\"[::1]:24\"]\n";
        let (_, mistakes) = read(text);
        let lines: Vec<_> = mistakes.iter().map(|m| m.line).collect();
        assert_eq!(lines, [2, 2, 5], "{mistakes:#?}");
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let (_, mistakes) = read("data = \"/x\"\n[pop3\nlisten = []\n");
        assert_eq!(mistakes[0].line, 2, "{mistakes:#?}");
    }

    #[test]
    fn a_good_file_has_no_mistakes() {
        let text = "data = \"/srv/mail\"\ndomains = [\"Example.org\"]\n[pop3]\nlisten = [\"[::1]:1110\", \"unix:/run/pop3\"]\n[limits]\nmessage_size = \"50M\"\nrecipients = 10\n[store]\nhold = \"7 days\"\nmin_free = \"1G\"\n";
        let (typed, mistakes) = read(text);
        assert_eq!(mistakes, []);
        assert_eq!(typed.domains, Some(vec!["example.org".to_owned()]));
        assert_eq!(typed.hold_ms, Some(7 * 24 * 3_600_000));
        assert_eq!(typed.message_octets, Some(50 << 20));
        assert_eq!(typed.pop3_listen.map(|l| l.len()), Some(2));
    }
}
