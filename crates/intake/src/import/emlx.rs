//! Apple Mail's `.emlx`: how many octets the message has, on a line of its own; the message; a property
//! list with its flags.

use restante_store::marks::Marks;

use super::labels;

/// Bits of the number `flags`.
const READ: u64 = 1 << 0;
const DELETED: u64 = 1 << 1;
const FLAGGED: u64 = 1 << 4;
const DRAFT: u64 = 1 << 6;
const JUNK: u64 = 1 << 24;

/// The octets of the message, and those of the line that says so. `None`: this is no such file.
pub(super) fn length(head: &[u8]) -> Option<(u64, usize)> {
    let line = head.iter().take(32).position(|octet| *octet == b'\n')?;
    let text = std::str::from_utf8(&head[..line]).ok()?.trim_end();
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    Some((text.parse().ok().filter(|_| is_number)?, line + 1))
}

/// What the property list says.
pub(super) fn marks(list: &[u8]) -> Marks {
    let mut marks = Marks::default();
    let number = behind(list, b"<key>flags</key>").and_then(|rest| behind(rest, b"<integer>"));
    let flags = number
        .and_then(|rest| rest.split(|octet| !octet.is_ascii_digit()).next())
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<u64>().ok());
    let Some(flags) = flags else {
        return marks;
    };
    marks.read = Some(flags & READ != 0);
    marks.starred = flags & FLAGGED != 0;
    if flags & DELETED != 0 {
        labels::flagged_trash(&mut marks);
    }
    if flags & DRAFT != 0 {
        labels::flagged_draft(&mut marks);
    }
    if flags & JUNK != 0 {
        labels::flagged_junk(&mut marks);
    }
    marks
}

fn behind<'a>(text: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    memchr::memmem::find(text, what).map(|at| &text[at + what.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_and_the_last_ones() {
        assert_eq!(length(b"15        \nSubject: a"), Some((15, 11)));
        for none in [&b"Subject: a\n"[..], b"\n", b"15", b"1 5\n", b"+15\n"] {
            assert_eq!(length(none), None, "{}", none.escape_ascii());
        }
        let list = |flags: u64| {
            format!(
                "<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n\t<key>date-received</key>\n\
                 \t<integer>1310126914</integer>\n\t<key>flags</key>\n\t<integer>{flags}</integer>\n"
            )
        };
        let found = marks(list(8_590_195_729 | READ | FLAGGED | JUNK).as_bytes());
        assert_eq!((found.read, found.starred), (Some(true), true));
        assert_eq!(found.labels.first().map(String::as_str), Some("junk"));
        assert_eq!(marks(list(0).as_bytes()).read, Some(false));
        assert!(marks(b"<plist>").is_empty());
    }
}
