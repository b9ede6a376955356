//! Tells by looking what a file is.

use std::path::Path;

use restante_store::mbox;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An mbox. One without a single message, of no octets, is one too.
    Mbox,
    /// One message.
    Message,
    /// No mail, as far as can be seen.
    Other,
}

/// Tells what a file is from its first 64 KiB, or all of it, and from its name: `.eml` says that it
/// is a message where the octets say nothing.
pub(super) fn kind(head: &[u8], path: &Path) -> Kind {
    let is_eml = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("eml"));
    // Some editors put a byte-order mark before the first field.
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if mbox::is_mbox(head) {
        Kind::Mbox
    } else if is_eml || mbox::is_field(text) {
        Kind::Message
    } else if head.is_empty() {
        Kind::Mbox
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        let from = "From a Thu Jan  1 00:00:00 1970\n";
        for (head, name, expected) in [
            ("Subject: a\n\nb", "1", Kind::Message),
            ("\u{feff}Subject: a\n\nb", "1", Kind::Message),
            ("no header", "a.EML", Kind::Message),
            ("", "a.eml", Kind::Message),
            ("", "Inbox", Kind::Mbox),
            (from, "a.eml", Kind::Mbox),
            (from, "Inbox", Kind::Mbox),
            ("no mail\n", "a.txt", Kind::Other),
            ("\x7fELF", "a", Kind::Other),
        ] {
            assert_eq!(
                kind(head.as_bytes(), Path::new(name)),
                expected,
                "{head} {name}"
            );
        }
    }
}
