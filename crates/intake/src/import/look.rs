//! Tells by looking what a file is.

use std::path::Path;

use restante_store::mbox;

use super::emlx;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An mbox. One without a single message, of no octets, is one too.
    Mbox,
    /// One message.
    Message,
    /// A message of Apple Mail's.
    Emlx,
    /// A zip.
    Zip,
    /// No mail, as far as can be seen.
    Other,
}

/// Fields of which a message has one at least (in lower case): `name:` alone begins many a list.
const USUAL: [&[u8]; 22] = [
    b"bcc",
    b"cc",
    b"content-transfer-encoding",
    b"content-type",
    b"date",
    b"delivered-to",
    b"envelope-to",
    b"from",
    b"in-reply-to",
    b"list-id",
    b"message-id",
    b"mime-version",
    b"received",
    b"references",
    b"reply-to",
    b"return-path",
    b"sender",
    b"subject",
    b"to",
    b"x-envelope-from",
    b"x-mailer",
    b"x-original-to",
];

/// Whether the text begins with a header (RFC 5322 §2.2), as far as it is seen, with a usual field.
fn is_header(text: &[u8]) -> bool {
    if !mbox::is_field(text) {
        return false;
    }
    let lines = text.split(|octet| *octet == b'\n');
    let mut header = lines.take_while(|line| !matches!(*line, b"" | b"\r"));
    header.any(|line| {
        let name = line
            .split(|octet| *octet == b':')
            .next()
            .unwrap_or_default();
        let name = name.trim_ascii_end();
        line.len() > name.len() && USUAL.iter().any(|usual| name.eq_ignore_ascii_case(usual))
    })
}

/// Whether there is any field before the first empty line, whatever stands around it.
fn has_field(text: &[u8]) -> bool {
    let lines = text.trim_ascii_start().split(|octet| *octet == b'\n');
    let mut header = lines.take_while(|line| !matches!(*line, b"" | b"\r"));
    header.any(mbox::is_field)
}

/// Tells what a file is from its first 64 KiB, or all of it, and from its name: `.eml` says that any
/// header is a message's, `.emlx` that a number on the first line is a length.
pub(super) fn kind(head: &[u8], path: &Path) -> Kind {
    let is_named = |wanted| {
        let extension = path.extension();
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
    };
    if is_named("emlx") && emlx::length(head).is_some() {
        return Kind::Emlx;
    }
    // The first file's header, or the list of a zip without files.
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Kind::Zip;
    }
    let is_eml = is_named("eml") || is_named("emlx");
    // Some editors put a byte-order mark before the first field.
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    if mbox::is_mbox(head) {
        Kind::Mbox
    } else if is_eml && (text.is_empty() || has_field(text)) || is_header(text) {
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
            ("no header", "a.EML", Kind::Other),
            ("no header\n\nTo: a\n", "a.eml", Kind::Other),
            ("\nsome line\nX-Odd: 1\n\nb", "a.EML", Kind::Message),
            ("", "a.eml", Kind::Message),
            ("", "Inbox", Kind::Mbox),
            (from, "a.eml", Kind::Mbox),
            (from, "Inbox", Kind::Mbox),
            ("no mail\n", "a.txt", Kind::Other),
            ("X-Odd: 1\nsubject : a\n\nb", "1", Kind::Message),
            ("X-Odd: 1\r\n\r\nSubject: a\r\n", "1", Kind::Other),
            (
                "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1\n",
                "passwd",
                Kind::Other,
            ),
            (
                "root:x:0:0:root:/root:/bin/sh\n",
                "passwd.eml",
                Kind::Message,
            ),
            ("to do:\nSubject\n", "notes", Kind::Other),
            ("\x7fELF", "a", Kind::Other),
            ("7 \nTo: a\n\n", "1.emlx", Kind::Emlx),
            ("7 \nTo: a\n\n", "1.txt", Kind::Other),
            ("PK\x03\x04\x14", "mail.eml", Kind::Zip),
            ("PK\x05\x06\0\0", "empty.zip", Kind::Zip),
        ] {
            assert_eq!(
                kind(head.as_bytes(), Path::new(name)),
                expected,
                "{head} {name}"
            );
        }
    }
}
