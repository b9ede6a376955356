//! One table of the file, from which keys are taken by name, and what is found to be wrong in it.

use std::path::PathBuf;
use std::str::FromStr;

use restante_net::Address;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistake;
use crate::units;

/// What is found to be wrong in a text.
pub(super) struct Mistakes<'t> {
    text: &'t str,
    found: Vec<Mistake>,
    /// Where something listens already.
    taken: Vec<Address>,
}

impl<'t> Mistakes<'t> {
    /// None so far.
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            found: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// All of them, in the order of their lines.
    pub(super) fn told(mut self) -> Vec<Mistake> {
        self.found.sort_by_key(|mistake| mistake.line);
        self.found
    }

    /// Whether another listener has the place; port 0 is another one each time.
    fn is_taken(&mut self, address: &Address) -> bool {
        let taken = !matches!(address, Address::Tcp(_, 0)) && self.taken.contains(address);
        self.taken.push(address.clone());
        taken
    }

    /// Notes one at a place in the text, in octets.
    pub(super) fn add(&mut self, at: usize, what: String, right: &str) {
        let before = self.text.get(..at).unwrap_or(self.text);
        self.found.push(Mistake {
            line: 1 + before.bytes().filter(|&b| b == b'\n').count(),
            what,
            right: right.to_owned(),
        });
    }
}

/// One table: keys are taken out of it by name; what is left at the end is not known.
pub(super) struct Section<'t, 'm, 'i> {
    name: String,
    at: usize,
    table: DeTable<'i>,
    asked: Vec<&'static str>,
    mistakes: &'m mut Mistakes<'t>,
}

impl<'t, 'm, 'i> Section<'t, 'm, 'i> {
    /// A table under its full name; empty for the file's own.
    pub(super) fn new(
        name: impl Into<String>,
        table: DeTable<'i>,
        mistakes: &'m mut Mistakes<'t>,
    ) -> Self {
        Self {
            name: name.into(),
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

    /// A table in this one; empty when it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'t, '_, 'i> {
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
            ..Section::new(self.full(key), table, self.mistakes)
        }
    }

    /// The tables in a table, whose names people choose.
    pub(super) fn sections(
        &mut self,
        key: &'static str,
        mut each: impl FnMut(Section<'t, '_, 'i>),
    ) {
        let Section { table, .. } = self.section(key);
        for (name, value) in table {
            let at = value.span().start;
            let name = format!("{}.{}", self.full(key), name.get_ref());
            match value.into_inner() {
                DeValue::Table(table) => each(Section {
                    at,
                    ..Section::new(name, table, self.mistakes)
                }),
                _ => {
                    let right = format!("[{key}.NAME] on a line of its own");
                    self.mistakes
                        .add(at, format!("{name} is not a section"), &right);
                }
            }
        }
    }

    /// The last word of the section's name.
    pub(super) fn own_name(&self) -> &str {
        let first = self.name.find('.').map_or(0, |dot| dot + 1);
        &self.name[first..]
    }

    /// Whether the key is there, right or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether anything stands in it.
    pub(super) fn has_keys(&self) -> bool {
        !self.table.is_empty()
    }

    /// Something is wrong with the section as a whole.
    pub(super) fn wrong(&mut self, what: &str, right: &str) {
        let what = format!("[{}] {what}", self.name);
        self.mistakes.add(self.at, what, right);
    }

    /// Takes a key's value, or notes what would be right for it.
    pub(super) fn take<T>(
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

    /// An absolute path.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.take(key, "an absolute path, such as \"/srv/mail\"", |value| {
            let path = PathBuf::from(value.as_str()?);
            path.is_absolute().then_some(path)
        })
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.take(key, "true or false", |value| value.as_bool())
    }

    /// A whole number from 1 on.
    pub(super) fn count(&mut self, key: &'static str) -> Option<u64> {
        self.take(key, "a whole number from 1 on", |value| {
            let number = value.as_integer()?.as_str().replace('_', "").parse().ok()?;
            (number > 0).then_some(number)
        })
    }

    /// A number of octets above 0.
    pub(super) fn size(&mut self, key: &'static str) -> Option<u64> {
        self.take(key, "a size above 0, such as \"500M\" or \"1G\"", |value| {
            units::octets(value.as_str()?).filter(|octets| *octets > 0)
        })
    }

    /// Words that are not empty.
    pub(super) fn word(&mut self, key: &'static str, example: &str) -> Option<String> {
        self.take(key, example, |value| {
            let text = value.as_str()?;
            let good = !text.trim().is_empty() && !text.contains(char::is_control);
            good.then(|| text.to_owned())
        })
    }

    /// A time above 0, in milliseconds.
    pub(super) fn time(&mut self, key: &'static str, example: &str) -> Option<u64> {
        let right = format!("a time above 0, such as {example}");
        self.take(key, &right, |value| {
            units::duration_ms(value.as_str()?).filter(|ms| *ms > 0)
        })
    }

    /// Places to listen at.
    pub(super) fn addresses(&mut self, key: &'static str) -> Option<Vec<Address>> {
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
    pub(super) fn finish(self) {
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
