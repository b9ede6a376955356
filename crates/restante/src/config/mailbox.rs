//! `[mailbox.NAME]`: what becomes of a mailbox's mail, as the file and `restante user set` spell it.

use restante_store::Release;

use super::section::Section;
use crate::units;

/// What `release` may be.
pub(crate) const RELEASE_RIGHT: &str = "\"at-once\", \"all-devices\" or \"never\"";
/// What `max_age` may be.
pub(crate) const MAX_AGE_RIGHT: &str =
    "a time of a day or more, such as \"730 days\", or \"never\"";
/// What `device_expiry` may be.
pub(crate) const EXPIRY_RIGHT: &str = "a time of a day or more, such as \"90 days\", or \"never\"";
/// What `recent` may be.
pub(crate) const RECENT_RIGHT: &str = "a time above 0, such as \"30 days\"";

/// A time, or no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    /// So many milliseconds.
    Ms(u64),
    Never,
}

impl Term {
    /// `None` for never.
    pub(crate) fn ms(self) -> Option<u64> {
        match self {
            Self::Ms(ms) => Some(ms),
            Self::Never => None,
        }
    }
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ms(ms) => f.write_str(&units::exact_duration(*ms)),
            Self::Never => f.write_str("never"),
        }
    }
}

/// What is said of one mailbox; `None` where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mailbox {
    /// Whose.
    pub(crate) name: String,
    /// When a message that a device has deleted leaves.
    pub(crate) release: Option<Release>,
    /// When a message leaves for its age.
    pub(crate) max_age: Option<Term>,
    /// When an unseen device holds nothing back any more.
    pub(crate) device_expiry: Option<Term>,
    /// How far `recent:NAME` goes back, in milliseconds.
    pub(crate) recent_ms: Option<u64>,
    /// Whether it can be searched: `None` when somebody reads it here, and not if it is only served.
    pub(crate) index: Option<bool>,
}

/// Reads `[mailbox.NAME]`.
pub(super) fn read(mut section: Section<'_, '_, '_>) -> Mailbox {
    let name = section.own_name().to_ascii_lowercase();
    let mailbox = Mailbox {
        name,
        release: section.take("release", RELEASE_RIGHT, |value| release(value.as_str()?)),
        max_age: section.take("max_age", MAX_AGE_RIGHT, |value| term(value.as_str()?)),
        device_expiry: section.take("device_expiry", EXPIRY_RIGHT, |value| term(value.as_str()?)),
        recent_ms: section.take("recent", RECENT_RIGHT, |value| recent(value.as_str()?)),
        index: section.boolean("index"),
    };
    section.finish();
    mailbox
}

/// `at-once`, `all-devices`, `never`.
pub(crate) fn release(text: &str) -> Option<Release> {
    [Release::AtOnce, Release::AllDevices, Release::Never]
        .into_iter()
        .find(|release| release_name(*release) == text)
}

/// As it is spelt.
pub(crate) fn release_name(release: Release) -> &'static str {
    match release {
        Release::AtOnce => "at-once",
        Release::AllDevices => "all-devices",
        Release::Never => "never",
    }
}

/// A day or more: openings are written down a few times a day only.
pub(crate) fn term(text: &str) -> Option<Term> {
    if text == "never" {
        return Some(Term::Never);
    }
    units::duration_ms(text)
        .filter(|ms| *ms >= units::DAY_MS)
        .map(Term::Ms)
}

/// How far back.
pub(crate) fn recent(text: &str) -> Option<u64> {
    units::duration_ms(text).filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back() {
        for name in ["at-once", "all-devices", "never"] {
            assert_eq!(release(name).map(release_name), Some(name));
        }
        for text in ["90 days", "never", "1 day"] {
            let read = term(text).expect("a term");
            assert_eq!(term(&read.to_string()), Some(read));
        }
        assert_eq!(term("730 days"), Some(Term::Ms(730 * units::DAY_MS)));
        for text in ["23 hours", "0s", "soon", ""] {
            assert_eq!(term(text), None, "{text}");
        }
        assert_eq!(release("sometimes"), None);
        assert_eq!(recent("0s"), None);
    }
}
