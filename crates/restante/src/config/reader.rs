//! From TOML to [`Typed`], collecting mistakes instead of stopping at the first.

use std::path::PathBuf;
use std::str::FromStr;

use restante_net::Address;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Mistake, Typed};
use crate::units;

/// Reads a whole file's text.
pub(super) fn read(text: &str) -> (Typed, Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut mistakes = Mistakes {
        text,
        found: Vec::new(),
        taken: Vec::new(),
    };
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
    let tls_at = tls.at;
    typed.certificate = tls.path("certificate");
    typed.key = tls.path("key");
    tls.finish();
    if typed.certificate.is_some() != typed.key.is_some() {
        root.mistakes.add(
            tls_at,
            "[tls] needs both certificate and key".to_owned(),
            "certificate = \"/path/fullchain.pem\" and key = \"/path/privkey.pem\"",
        );
    }
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
    let mut reader = root.section("reader");
    typed.reader_listen = reader.addresses("listen");
    reader.finish();
    root.finish();
    mistakes.found.sort_by_key(|mistake| mistake.line);
    (typed, mistakes.found)
}

struct Mistakes<'t> {
    text: &'t str,
    found: Vec<Mistake>,
    /// Where something listens already.
    taken: Vec<Address>,
}

impl Mistakes<'_> {
    /// Whether another listener has the place; port 0 is another one each time.
    fn is_taken(&mut self, address: &Address) -> bool {
        let taken = !matches!(address, Address::Tcp(_, 0)) && self.taken.contains(address);
        self.taken.push(address.clone());
        taken
    }

    fn add(&mut self, at: usize, what: String, right: &str) {
        let before = self.text.get(..at).unwrap_or(self.text);
        self.found.push(Mistake {
            line: 1 + before.bytes().filter(|&b| b == b'\n').count(),
            what,
            right: right.to_owned(),
        });
    }
}

/// One table: keys are taken out of it by name; what is left at the end is not known.
struct Section<'t, 'm, 'i> {
    name: &'static str,
    at: usize,
    table: DeTable<'i>,
    asked: Vec<&'static str>,
    mistakes: &'m mut Mistakes<'t>,
}

impl<'t, 'm, 'i> Section<'t, 'm, 'i> {
    fn new(name: &'static str, table: DeTable<'i>, mistakes: &'m mut Mistakes<'t>) -> Self {
        Self {
            name,
            at: 0,
            table,
            asked: Vec::new(),
            mistakes,
        }
    }

    fn remove(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.asked.push(key);
        self.table.remove(key)
    }

    fn section(&mut self, key: &'static str) -> Section<'t, '_, 'i> {
        let mut at = 0;
        let table = match self.remove(key) {
            None => DeTable::new(),
            Some(value) => {
                at = value.span().start;
                match value.into_inner() {
                    DeValue::Table(table) => table,
                    _ => {
                        let what = format!("{key} is not a section");
                        self.mistakes
                            .add(at, what, &format!("[{key}] on a line of its own"));
                        DeTable::new()
                    }
                }
            }
        };
        Section {
            at,
            ..Section::new(key, table, self.mistakes)
        }
    }

    fn take<T>(
        &mut self,
        key: &'static str,
        right: &str,
        read: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.remove(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            let what = format!("{} is not as it should be", self.full(key));
            self.mistakes
                .add(value.span().start, what, &format!("{key} = {right}"));
        }
        read
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.take(key, "an absolute path, such as \"/srv/mail\"", |value| {
            let path = PathBuf::from(value.as_str()?);
            path.is_absolute().then_some(path)
        })
    }

    fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.take(key, "true or false", |value| value.as_bool())
    }

    fn count(&mut self, key: &'static str) -> Option<u64> {
        self.take(key, "a whole number from 1 on", |value| {
            let number = value.as_integer()?.as_str().replace('_', "").parse().ok()?;
            (number > 0).then_some(number)
        })
    }

    fn size(&mut self, key: &'static str) -> Option<u64> {
        self.take(key, "a size above 0, such as \"500M\" or \"1G\"", |value| {
            units::octets(value.as_str()?).filter(|octets| *octets > 0)
        })
    }

    fn addresses(&mut self, key: &'static str) -> Option<Vec<Address>> {
        let right = "[\"127.0.0.1:1110\"]: an array of \"host:port\" or \"unix:/path\"";
        let items = self.take(key, right, |value| {
            let items = value.as_array()?.iter();
            items
                .map(|item| Some((item.span().start, item.get_ref().as_str()?.to_owned())))
                .collect::<Option<Vec<_>>>()
        })?;
        let mut addresses = Vec::new();
        for (at, text) in items {
            let right = "\"host:port\", \"[ipv6]:port\" or \"unix:/path\"";
            match Address::from_str(&text) {
                Err(error) => self.mistakes.add(at, error.to_string(), right),
                Ok(address) if self.mistakes.is_taken(&address) => {
                    let what = format!("{text} is listened on already");
                    self.mistakes.add(at, what, "each place once");
                }
                Ok(address) => addresses.push(address),
            }
        }
        Some(addresses)
    }

    /// Reports the keys that nobody asked for.
    fn finish(self) {
        for (key, _) in &self.table {
            let near = self
                .asked
                .iter()
                .max_by(|a, b| {
                    strsim::jaro_winkler(a, key.get_ref())
                        .total_cmp(&strsim::jaro_winkler(b, key.get_ref()))
                })
                .filter(|near| strsim::jaro_winkler(near, key.get_ref()) > 0.75);
            let right = match near {
                Some(near) => (*near).to_owned(),
                None => format!("one of {}", self.asked.join(", ")),
            };
            let place = if self.name.is_empty() {
                "at the top".to_owned()
            } else {
                format!("in [{}]", self.name)
            };
            let what = format!("{} is not known {place}", key.get_ref());
            self.mistakes.add(key.span().start, what, &right);
        }
    }
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
