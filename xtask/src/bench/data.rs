//! The messages of the benchmarks. They follow from the corpus, so that every process makes the same.

use crate::{corpus, mail};

/// Users of the session rows: more mail than any cache of ours holds.
pub(crate) const USERS: usize = 2_000;
/// Messages of each of them.
pub(crate) const EACH: usize = 20;
/// Messages of the user `big`.
pub(crate) const BIG: usize = 10_000;
/// Octets that one of these has at least; with their ends about 23.9 KB each.
const BIG_OCTETS: usize = 20_000;
/// Messages of the user `huge`.
pub(crate) const HUGE: usize = 100_000;
/// Octets of a message of the delivery rows.
pub(crate) const DELIVERED_OCTETS: usize = 12 * 1024;

/// Real messages with CRLF; usual ones that are made up where there is no corpus.
pub(crate) struct Data {
    real: Vec<Vec<u8>>,
}

impl Data {
    pub(crate) fn new() -> Self {
        let usable = |bytes: &Vec<u8>| !bytes.contains(&0) && (400..60_000).contains(&bytes.len());
        let samples = corpus::real().into_iter();
        let mut real: Vec<Vec<u8>> = samples
            .map(|sample| mail::ended(&mail::wire(mail::without_envelope(&sample.bytes))))
            .filter(usable)
            .collect();
        if real.len() < 1_000 {
            real = (0..3_000)
                .map(|n| corpus::usual(n, 2_000 + (n as usize * 7) % 9_000))
                .collect();
        }
        Self { real }
    }

    /// How many different messages the session rows have.
    pub(crate) fn different(&self) -> usize {
        self.real.len()
    }

    /// Which of them is message `index` of user `user`.
    pub(crate) fn which(&self, user: usize, index: usize) -> usize {
        (user * EACH + index) % self.real.len()
    }

    /// One of the different messages.
    pub(crate) fn real(&self, which: usize) -> &[u8] {
        &self.real[which]
    }

    /// A message of `big`: real text up to a size.
    pub(crate) fn big(&self, index: usize) -> Vec<u8> {
        let mut bytes = self.real[index % self.real.len()].clone();
        let mut next = index;
        while bytes.len() < BIG_OCTETS {
            next = next * 31 + 17;
            bytes.extend_from_slice(&self.real[next % self.real.len()]);
        }
        bytes
    }

    /// A message of `huge`: short.
    pub(crate) fn huge(index: usize) -> Vec<u8> {
        corpus::usual(index as u64, 500)
    }

    /// The message of the delivery rows.
    pub(crate) fn delivered(&self) -> Vec<u8> {
        let mut bytes = self.real[0].clone();
        for more in &self.real[1..] {
            if bytes.len() >= DELIVERED_OCTETS {
                break;
            }
            bytes.extend_from_slice(more);
        }
        bytes.truncate(DELIVERED_OCTETS - 2);
        while bytes.ends_with(b"\r") || bytes.ends_with(b"\n") {
            bytes.pop();
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// The names of all users.
pub(crate) fn users() -> impl Iterator<Item = String> {
    (0..USERS)
        .map(user)
        .chain(["big".to_owned(), "huge".to_owned()])
}

/// A user of the session rows.
pub(crate) fn user(index: usize) -> String {
    format!("u{index}")
}

/// What LMTP puts before a message: the peers that are filled otherwise get the same.
pub(crate) fn trace(user: &str) -> String {
    format!("Return-Path: <sender@example.net>\r\nDelivered-To: {user}@example.org\r\n")
}
