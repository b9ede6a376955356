//! What a file's name says.

/// A message's flags, as letters behind `:2,`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// `D`: a draft.
    pub draft: bool,
    /// `F`: flagged for attention.
    pub flagged: bool,
    /// `P`: passed on to somebody.
    pub passed: bool,
    /// `R`: replied to.
    pub replied: bool,
    /// `S`: seen.
    pub seen: bool,
    /// `T`: to be deleted.
    pub trashed: bool,
}

impl Flags {
    /// The letters, in the order that they must have.
    pub fn letters(self) -> String {
        [
            (self.draft, 'D'),
            (self.flagged, 'F'),
            (self.passed, 'P'),
            (self.replied, 'R'),
            (self.seen, 'S'),
            (self.trashed, 'T'),
        ]
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, letter)| letter)
        .collect()
    }
}

/// What a file's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// When it was delivered, in milliseconds since 1970: the seconds that the name begins with and
    /// the microseconds behind `M`. `None` when the name does not begin with a number.
    pub unix_ms: Option<u64>,
    /// How it is flagged.
    pub flags: Flags,
    /// Dovecot's keywords: bit 0 for the letter `a`, bit 25 for `z`. What they mean is in a file of
    /// its own ([`super::keywords`]).
    pub keywords: u32,
    micros: u64,
}

impl Name {
    /// Reads a file's name, without folders. Any name can be read: one that says nothing has no time
    /// and no flags.
    pub fn parse(name: &str) -> Self {
        let (unique, flags, keywords) = split_info(name);
        let mut parts = unique.split('.');
        let seconds = parts.next().and_then(leading_number);
        let micros = parts
            .next()
            .filter(|_| seconds.is_some())
            .and_then(|part| {
                // M, P, Q and other letters each have a number behind them, in any order.
                part.match_indices('M')
                    .find_map(|(at, _)| leading_number(&part[at + 1..]))
            })
            .filter(|micros| *micros < 1_000_000)
            .unwrap_or(0);
        Self {
            unix_ms: seconds
                .map(|seconds| seconds.saturating_mul(1000).saturating_add(micros / 1000)),
            flags,
            keywords,
            micros: micros % 1000,
        }
    }

    /// Sorts as delivered; names without a time come first.
    pub(super) fn order(&self) -> (Option<u64>, u64) {
        (self.unix_ms, self.micros)
    }
}

/// Parts the unique name from the flags.
fn split_info(name: &str) -> (&str, Flags, u32) {
    let info = [":2,", ";2,", "!2,"]
        .into_iter()
        .filter_map(|mark| name.rfind(mark))
        .max();
    let Some(at) = info else {
        return (name, Flags::default(), 0);
    };
    let (unique, info) = name.split_at(at);
    let (mut flags, mut keywords) = (Flags::default(), 0);
    for letter in info[3..].chars() {
        match letter {
            'D' => flags.draft = true,
            'F' => flags.flagged = true,
            'P' => flags.passed = true,
            'R' => flags.replied = true,
            'S' => flags.seen = true,
            'T' => flags.trashed = true,
            'a'..='z' => keywords |= 1 << (u32::from(letter) - u32::from('a')),
            _ => {}
        }
    }
    (unique, flags, keywords)
}

/// The number that a text begins with, if it does and it fits.
fn leading_number(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_programs_write_them() {
        for (name, unix_ms, flags) in [
            (
                "1204680122.27c448253b5c2ffd.mx",
                Some(1_204_680_122_000),
                "",
            ),
            (
                "1354265165.M524122P1.box,S=4,W=5:2,RS",
                Some(1_354_265_165_524),
                "RS",
            ),
            (
                "1354265165.P1Q2M524122.box;2,DFPRSTab",
                Some(1_354_265_165_524),
                "DFPRST",
            ),
            ("1354265165_1.2.box!2,F", Some(1_354_265_165_000), "F"),
            ("1354265165.M9999999.x:2,", Some(1_354_265_165_000), ""),
            ("message:2,S", None, "S"),
            (":2,", None, ""),
            ("99999999999999999999.1.x", None, ""),
            ("ä.Mé", None, ""),
            ("", None, ""),
        ] {
            let parsed = Name::parse(name);
            assert_eq!(parsed.unix_ms, unix_ms, "{name}");
            assert_eq!(parsed.flags.letters(), flags, "{name}");
            let ab = if name.ends_with("ab") { 3 } else { 0 };
            assert_eq!(parsed.keywords, ab, "{name}");
        }
    }
}
