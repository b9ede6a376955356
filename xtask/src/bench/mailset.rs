//! The mail of the benchmark: made from seeds, so that every peer, and the client that checks them,
//! has the same octets without having to ask another.

use std::sync::OnceLock;

/// One mailbox; message numbers begin with 0 here.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    pub(super) user: String,
    pub(super) count: usize,
    seed: u64,
    /// The smallest message and how far the largest is above it, in octets on the wire.
    least: u64,
    spread: u64,
}

/// All mailboxes of a run.
#[derive(Debug)]
pub(super) struct Mailsets {
    /// Twenty messages of about 12 KB each: who collects mail now and then.
    pub(super) small: Vec<Mailbox>,
    /// 10,000 messages of 24 KB: who collects it for the first time.
    pub(super) drain: Mailbox,
    /// 100,000 messages of 1 to 2 KB: who never deletes.
    pub(super) big: Mailbox,
    /// Who receives by LMTP; empty at first.
    pub(super) receivers: Vec<String>,
}

impl Mailsets {
    /// `quick`: a tenth, to see whether the bench itself works.
    pub(super) fn new(quick: bool) -> Self {
        let (users, drain, big) = if quick {
            (24, 1_000, 10_000)
        } else {
            (200, 10_000, 100_000)
        };
        let small = (0..users).map(|n| Mailbox {
            user: format!("u{n}"),
            count: 20,
            seed: 1_000_000 * (n + 1),
            least: 8_000,
            spread: 8_000,
        });
        Self {
            small: small.collect(),
            drain: Mailbox {
                user: "drain".to_owned(),
                count: drain,
                seed: 1 << 40,
                least: 4_000,
                spread: 39_800,
            },
            big: Mailbox {
                user: "big".to_owned(),
                count: big,
                seed: 1 << 41,
                least: 1_000,
                spread: 1_000,
            },
            receivers: (0..8).map(|n| format!("in{n}")).collect(),
        }
    }

    /// The mailboxes that are filled beforehand.
    pub(super) fn filled(&self) -> impl Iterator<Item = &Mailbox> {
        self.small.iter().chain([&self.drain, &self.big])
    }
}

impl Mailbox {
    /// Messages of 24 KB, as those of the drain.
    pub(super) fn new(user: &str, count: usize, seed: u64) -> Self {
        Self {
            user: user.to_owned(),
            count,
            seed,
            least: 4_000,
            spread: 39_800,
        }
    }

    fn seed_of(&self, index: usize) -> u64 {
        self.seed + index as u64
    }

    /// A message's size as LIST has it, in octets.
    pub(super) fn size(&self, index: usize) -> u64 {
        self.least + mix(self.seed_of(index)) % self.spread
    }

    /// What RETR sends after the status line, in octets: stuffing and terminator included.
    pub(super) fn wire(&self, index: usize) -> u64 {
        self.size(index) + u64::from(dotted(self.seed_of(index))) + 3
    }

    /// The sizes' sum as STAT has it.
    pub(super) fn octets(&self) -> u64 {
        (0..self.count).map(|index| self.size(index)).sum()
    }

    /// A message, with CRLF.
    pub(super) fn message(&self, index: usize) -> Vec<u8> {
        message(self.seed_of(index), self.size(index))
    }
}

/// splitmix64's last step: numbers that do not follow from each other to the eye.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }
}

/// One message in ten has a line that begins with a dot.
fn dotted(seed: u64) -> bool {
    mix(seed ^ 0xd07).is_multiple_of(10)
}

/// Some thousand made-up words: text that compresses about as mail does.
fn words() -> &'static [String] {
    static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut random = Random(7);
        let word = |random: &mut Random| {
            let syllables = 1 + random.next() % 4;
            let mut word = String::new();
            for _ in 0..syllables {
                let r = random.next();
                word.push(char::from(b"bcdfghjklmnprstvwz"[(r % 18) as usize]));
                word.push(char::from(b"aeiou"[((r >> 8) % 5) as usize]));
                if (r >> 16).is_multiple_of(3) {
                    word.push(char::from(b"nrslt"[((r >> 24) % 5) as usize]));
                }
            }
            word
        };
        (0..4096).map(|_| word(&mut random)).collect()
    })
}

/// A message of exactly `size` octets: a header as hosts write it, then text, or text and an
/// attachment in base64 in one message of three.
pub(super) fn message(seed: u64, size: u64) -> Vec<u8> {
    let size = size as usize;
    let mut random = Random(mix(seed));
    let mut out = Vec::with_capacity(size + 80);
    let id = random.next();
    out.extend_from_slice(
        format!(
            "Received: from mx{}.example.net (mx{}.example.net [192.0.2.{}])\r\n\
             \tby mail.example.org with ESMTPS id {id:016x}; Mon, 23 Nov 2026 12:{:02}:{:02} +0000\r\n\
             From: Sender {} <sender{}@example.net>\r\nTo: Receiver <receiver@example.org>\r\n\
             Subject: {} {} {}\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
             Message-ID: <{id:x}.{seed}@example.net>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n",
            id % 9, id % 9, id % 250, id % 60, id / 60 % 60, id % 977, id % 977,
            word(&mut random), word(&mut random), word(&mut random),
        )
        .as_bytes(),
    );
    if dotted(seed) {
        out.extend_from_slice(b".hidden files begin with a dot\r\n");
    }
    let text_until = if seed.is_multiple_of(3) {
        size * 4 / 10
    } else {
        size
    };
    while out.len() + 160 < size {
        if out.len() < text_until {
            let end = out.len() + 52 + (random.next() % 16) as usize;
            while out.len() < end {
                out.extend_from_slice(word(&mut random).as_bytes());
                out.push(b' ');
            }
            out.pop();
        } else {
            base64_line(&mut random, &mut out);
        }
        out.extend_from_slice(b"\r\n");
    }
    out.resize(size.saturating_sub(2).max(out.len()), b'-');
    out.extend_from_slice(b"\r\n");
    out
}

/// Frequent words are frequent.
fn word(random: &mut Random) -> &'static str {
    let r = random.next();
    let (a, b) = (r % 4096, (r >> 32) % 4096);
    &words()[(a * b / 4096) as usize]
}

fn base64_line(random: &mut Random, out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut left = 76;
    while left > 0 {
        let mut r = random.next();
        for _ in 0..left.min(10) {
            out.push(ALPHABET[(r % 64) as usize]);
            r >>= 6;
            left -= 1;
        }
    }
}

/// As it lies in a Maildir: LF for CRLF. The messages have no other CR.
pub(super) fn without_cr(message: &[u8]) -> Vec<u8> {
    message.iter().copied().filter(|&b| b != b'\r').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_size_that_was_told_and_only_whole_lines() {
        for mailbox in Mailsets::new(true).filled() {
            for index in 0..mailbox.count.min(200) {
                let message = mailbox.message(index);
                assert_eq!(message.len() as u64, mailbox.size(index));
                assert!(message.ends_with(b"\r\n"));
                let stuffed = crate::lmtp::stuffed(&message);
                assert_eq!(stuffed.len() as u64 + 3, mailbox.wire(index));
            }
        }
    }
}
