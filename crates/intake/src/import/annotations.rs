//! What other programs write into a message's header to keep track of it.
//!
//! Google Takeout puts `X-GM-THRID` and `X-Gmail-Labels` before the header of each message, Thunderbird
//! `X-Mozilla-Status` and others. Neither is part of the message: as long as they stand at the very
//! beginning, where only the program that wrote the file can have put them, they are taken away and
//! become marks, so that the same message is the same whichever way it comes. `Status`, `X-Status` and
//! `X-Keywords` (mutt, Dovecot, Python) may stand anywhere, so they are read and stay.

use restante_store::marks::Marks;

use super::labels;
use super::limits::THREAD_OCTETS;

/// What the beginning of a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// Octets at the beginning that are not the message's.
    pub(super) strip: usize,
    /// What they say.
    pub(super) marks: Marks,
    /// Thunderbird has deleted the message, and not yet compacted the file.
    pub(super) expunged: bool,
}

const GOOGLE: [&[u8]; 2] = [b"x-gm-thrid", b"x-gmail-labels"];
const MOZILLA: [&[u8]; 5] = [
    b"x-account-key",
    b"x-uidl",
    b"x-mozilla-status",
    b"x-mozilla-status2",
    b"x-mozilla-keys",
];

/// `X-Mozilla-Status`, bit by bit.
const READ: u32 = 0x0001;
const MARKED: u32 = 0x0004;
const EXPUNGED: u32 = 0x0008;

/// Looks at the beginning of a message. `in_mbox`: it stands in an mbox, where `Status` and its like are
/// what a mail program noted.
pub(super) fn look(head: &[u8], in_mbox: bool) -> Annotations {
    let mut found = Annotations::default();
    if !strip(head, &GOOGLE, b"x-gmail-labels", &mut found) {
        strip(head, &MOZILLA, b"x-mozilla-status", &mut found);
    }
    if in_mbox {
        for field in fields(&head[found.strip..]) {
            status(field, &mut found.marks);
        }
    }
    found
}

/// Takes away the fields at the beginning that are among `names`, if `needed` is one of them.
fn strip(head: &[u8], names: &[&[u8]], needed: &[u8], found: &mut Annotations) -> bool {
    let block: Vec<_> = fields(head)
        .take_while(|field| names.contains(&&*name(field).to_ascii_lowercase()))
        .collect();
    if !block
        .iter()
        .any(|field| name(field).eq_ignore_ascii_case(needed))
    {
        return false;
    }
    for field in block {
        found.strip += field.len();
        annotation(field, found);
    }
    true
}

fn annotation(field: &[u8], found: &mut Annotations) {
    let value = value(field);
    match &*name(field).to_ascii_lowercase() {
        b"x-gmail-labels" => labels::gmail_labels(field.trim_ascii_end(), &mut found.marks),
        b"x-gm-thrid" => {
            let thread = value
                .as_bytes()
                .get(..THREAD_OCTETS)
                .unwrap_or(value.as_bytes());
            found.marks.thread = Some(String::from_utf8_lossy(thread).into_owned());
        }
        b"x-mozilla-status" => {
            let bits = u32::from_str_radix(&value, 16).unwrap_or(0);
            found.marks.read = Some(bits & READ != 0);
            found.marks.starred = bits & MARKED != 0;
            found.expunged = bits & EXPUNGED != 0;
        }
        b"x-mozilla-keys" => {
            for word in value.split_ascii_whitespace() {
                labels::keyword(word, &mut found.marks);
            }
        }
        _ => {}
    }
}

/// What mutt, Dovecot and Python write: `Status: RO`, `X-Status: AF`, `X-Keywords: a b`.
fn status(field: &[u8], marks: &mut Marks) {
    let value = || value(field);
    match &*name(field).to_ascii_lowercase() {
        b"status" => {
            let read = value().contains('R');
            marks.read = Some(read || marks.read == Some(true));
        }
        b"x-status" => {
            let value = value();
            marks.starred |= value.contains('F');
            if value.contains('D') {
                labels::flagged_trash(marks);
            }
            if value.contains('T') {
                labels::flagged_draft(marks);
            }
        }
        b"x-keywords" => {
            for word in value().split([' ', ',']) {
                labels::keyword(word.trim(), marks);
            }
        }
        _ => {}
    }
}

/// The fields of a header, each with its folded lines and line ends (RFC 5322 §2.2.3); what is not
/// complete at the end is none.
fn fields(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let mut end = 0;
        loop {
            let lf = memchr::memchr(b'\n', &rest[end..])?;
            end += lf + 1;
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        (!name(field).is_empty()).then_some(field)
    })
}

/// A field's name, empty if the line is no field.
fn name(field: &[u8]) -> &[u8] {
    let colon = field.iter().position(|octet| *octet == b':').unwrap_or(0);
    let name = &field[..colon];
    match name.iter().all(u8::is_ascii_graphic) {
        true => name,
        false => b"",
    }
}

fn value(field: &[u8]) -> String {
    let value = &field[field.len().min(name(field).len() + 1)..];
    String::from_utf8_lossy(value).trim().to_owned()
}

/// Where a header ends, its empty line included; `None` when that is further on.
pub(super) fn header_end(head: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(lf) = memchr::memchr(b'\n', &head[at..]) {
        if matches!(&head[at..at + lf], b"" | b"\r") {
            return Some(at + lf + 1);
        }
        at += lf + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(found: &Annotations) -> Vec<&str> {
        found.marks.labels.iter().map(String::as_str).collect()
    }

    #[test]
    fn takeout() {
        let block = "X-GM-THRID: 17\r\nX-Gmail-Labels: Unread,\r\n Work\r\n";
        let text = format!("{block}Subject: a\r\nX-Gmail-Labels: no\r\n\r\nb");
        let found = look(text.as_bytes(), true);
        assert_eq!(found.strip, block.len());
        assert_eq!(found.marks.read, Some(false));
        assert_eq!(found.marks.thread.as_deref(), Some("17"));
        assert_eq!(labels(&found), ["Work"]);
    }

    #[test]
    fn thunderbird() {
        let block = "X-Account-Key: account1\nX-UIDL: 7\nX-Mozilla-Status: 0005\n\
            X-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label2 rust            \n";
        let text = format!("{block}Received: x\nX-Mozilla-Status: 0008\n\nb");
        let found = look(text.as_bytes(), true);
        assert_eq!(found.strip, block.len());
        assert_eq!((found.marks.read, found.marks.starred), (Some(true), true));
        assert!(!found.expunged);
        assert_eq!(labels(&found), ["rust", "work"]);
        assert!(look(b"X-Mozilla-Status: 0009\n\n", true).expunged);
    }

    #[test]
    fn what_a_sender_wrote_stays_and_says_nothing() {
        for text in [
            "Received: x\nX-Gmail-Labels: Trash\nX-Mozilla-Status: 0008\n\nb",
            "X-UIDL: 7\nSubject: a\n\n",
            "X-GM-THRID: 7\nSubject: a\n\n",
            "X-Gmail-Labels: no line end",
            "\nX-Gmail-Labels: a\n",
            "no field\nX-Gmail-Labels: a\n",
            "",
        ] {
            assert_eq!(
                look(text.as_bytes(), false),
                Annotations::default(),
                "{text}"
            );
        }
    }

    #[test]
    fn mutt_and_dovecot() {
        let text =
            "Subject: a\nStatus: RO\nX-Status: F\nX-Keywords: rust $label1   \n\nStatus: O\n";
        let found = look(text.as_bytes(), true);
        assert_eq!((found.strip, found.marks.read), (0, Some(true)));
        assert!(found.marks.starred);
        assert_eq!(labels(&found), ["important", "rust"]);
        assert!(look(text.as_bytes(), false).marks.is_empty());
        assert_eq!(look(b"Status: O\n\n", true).marks.read, Some(false));
    }

    #[test]
    fn where_a_header_ends() {
        assert_eq!(header_end(b"a: b\r\n\r\nc"), Some(8));
        assert_eq!(header_end(b"\nc"), Some(1));
        assert_eq!(header_end(b"a: b\n"), None);
    }
}
