//! Identifiers that no allocator hands out: 48 bits of milliseconds, then 80 random bits.
//!
//! They sort by time, are written as 26 characters of base32hex in lower case (RFC 4648 §7; the
//! alphabet keeps the order), and are never used twice, so that records about them commute. As a
//! POP3 unique-id they are within RFC 1939 §7 UIDL: 1 to 70 characters from 0x21 to 0x7E.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const TEXT_LEN: usize = 26;

/// The text is not 26 characters of base32hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is 26 characters from 0-9 and a-v")
    }
}

impl std::error::Error for ParseIdError {}

fn encode(bytes: &[u8; 16]) -> [u8; TEXT_LEN] {
    // 128 bits in 26 groups of 5: the first group has 3 bits.
    let mut rest = u128::from_be_bytes(*bytes);
    let mut text = [0; TEXT_LEN];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    text
}

fn decode(text: &str) -> Result<[u8; 16], ParseIdError> {
    let text = text.as_bytes();
    if text.len() != TEXT_LEN || text[0] > b'7' {
        return Err(ParseIdError);
    }
    let mut value = 0u128;
    for &letter in text {
        let digit = match letter {
            b'0'..=b'9' => letter - b'0',
            b'a'..=b'v' => letter - b'a' + 10,
            _ => return Err(ParseIdError),
        };
        value = value << 5 | u128::from(digit);
    }
    Ok(value.to_be_bytes())
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Takes the 16 octets as they stand in a record.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 octets as they stand in a record: big-endian milliseconds, then random.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Makes an id from `unix_ms` (milliseconds since 1970, the low 48 bits count) and
            /// 80 random bits.
            pub const fn new(unix_ms: u64, random: [u8; 10]) -> Self {
                let t = unix_ms.to_be_bytes();
                let r = random;
                Self([
                    t[2], t[3], t[4], t[5], t[6], t[7], r[0], r[1], r[2], r[3], r[4], r[5], r[6],
                    r[7], r[8], r[9],
                ])
            }

            /// Milliseconds since 1970 at which the id was made.
            pub const fn unix_ms(&self) -> u64 {
                let b = &self.0;
                u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
            }

            /// The 26 ASCII characters, without allocating.
            pub fn to_ascii(&self) -> [u8; TEXT_LEN] {
                encode(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = self.to_ascii();
                f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                decode(text).map(Self)
            }
        }
    };
}

identifier! {
    /// A message's unique-id: the same in every view, for ever.
    UniqueId
}
identifier! {
    /// A mailbox's id: it never changes, its name may.
    MailboxId
}
identifier! {
    /// A view of a mailbox. A view removed and made again under its old name is another view.
    ViewId
}
identifier! {
    /// A deletion, named so that an undo can cancel it.
    TombstoneId
}

impl ViewId {
    /// The plain login's view; every mailbox has it without a record.
    pub const PLAIN: Self = Self([0; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_the_order_and_comes_back() {
        let a = UniqueId::new(1_700_000_000_000, [0xff; 10]);
        let b = UniqueId::new(1_700_000_000_001, [0; 10]);
        assert!(a < b && a.to_string() < b.to_string());
        assert_eq!(a.to_string().parse(), Ok(a));
        assert_eq!(b.unix_ms(), 1_700_000_000_001);
        assert_eq!(a.to_string().len(), 26);
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in [
            "",
            "0",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "80000000000000000000000000",
        ] {
            assert_eq!(text.parse::<UniqueId>(), Err(ParseIdError), "{text}");
        }
    }
}
