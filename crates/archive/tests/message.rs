//! Messages taken apart for showing.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use restante_archive::message::{Parsed, contents};

const MIXED: &str = "From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: team: a@example.org, b@example.org;\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\nMessage-ID: <m1@example.org>\r\nIn-Reply-To: your mail <m0@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/related; boundary=r\r\n\r\n--r\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello <img src=\"cid:logo@x\"></p>\r\n--r\r\nContent-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--r--\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nFrom: c@example.org\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\ntext\r\n--i\r\nContent-Type: application/pdf; name=in.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--i--\r\n--o\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: attachment; filename*=utf-8''na%C3%AFve.txt\r\n\r\nattached\r\n--o--\r\n";

#[test]
fn parts_are_numbered_and_told_apart() {
    let parsed = Parsed::from_bytes(MIXED.as_bytes());
    assert_eq!(parsed.subject, "Grüße");
    assert_eq!(parsed.from[0].to_string(), "Jürgen <j@example.org>");
    assert_eq!(parsed.to.len(), 2, "groups are flattened");
    assert_eq!(parsed.message_id.as_deref(), Some("m1@example.org"));
    assert_eq!(parsed.in_reply_to.as_deref(), Some("m0@example.org"));
    assert!(parsed.html.as_deref().unwrap().contains("Hello"));
    assert!(parsed.readable(70).contains("Hello"));
    let logo = parsed.content_id("logo@x").unwrap();
    assert!(logo.inline && logo.start.starts_with(b"\x89PNG"));
    let names: Vec<_> = parsed
        .attachments()
        .map(|part| (part.name.as_deref().unwrap_or("-"), part.within.is_some()))
        .collect();
    assert_eq!(
        names,
        [("inner.eml", false), ("in.pdf", true), ("naïve.txt", false)]
    );
    let nested = parsed.attachments().next().unwrap();
    let mut told = Vec::new();
    contents(MIXED.as_bytes(), &mut |part, content| {
        assert_eq!(
            (part.size, part.name.is_some()),
            (content.len() as u64, part.id != 1)
        );
        assert!(content.starts_with(&part.start));
        told.push((part.id, part.within));
        if part.id == nested.id {
            assert!(content.starts_with(b"From: c@example.org"));
        }
    });
    let known = parsed.parts.iter().map(|part| (part.id, part.within));
    assert_eq!(told, known.collect::<Vec<_>>());
    assert_eq!(told[1..], [(2, None), (3, Some(2)), (4, None)]);
}

#[test]
fn what_is_no_message_shows_what_can_be_had() {
    for bytes in [
        &b""[..],
        b"\0\xff\xfe",
        b"Subject: only a header",
        b"\n\nonly a body",
        b"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n--\n",
    ] {
        let parsed = Parsed::from_bytes(bytes);
        assert!(parsed.parts.len() < 3, "{bytes:?}");
    }
    assert_eq!(
        Parsed::from_bytes(b"Subject: x\n\nbody")
            .readable(70)
            .trim(),
        "body"
    );
}

#[test]
fn of_fields_that_should_be_one_the_first_counts() {
    let message = "Date: 2 May 2024 10:00:00 +0000\r\nList-Id: <list.example.org>\r\n\
        List-Unsubscribe: <https://list.example.org/u>\r\nSubject: a\r\n\
        Date: 1 May 2024 10:00:00 +0000\r\nList-Id: <other.example.org>\r\n\
        List-Unsubscribe: <https://other.example.org/u>\r\n\r\nb";
    let parsed = Parsed::from_bytes(message.as_bytes());
    assert_eq!(parsed.date, Some(1_714_644_000));
    assert_eq!(parsed.list_id.as_deref(), Some("list.example.org"));
    assert_eq!(
        parsed.unsubscribe.https.as_deref(),
        Some("https://list.example.org/u")
    );
}

/// Messages within each other were kept once for each that holds them.
#[test]
fn what_is_nested_is_not_kept_as_often_as_it_is_nested() {
    let mut message = format!("Subject: inner\r\n\r\n{}", "x".repeat(1_000_000));
    for level in 0..6 {
        message = format!(
            "Subject: {level}\r\nContent-Type: multipart/mixed; boundary=b{level}\r\n\r\n\
             --b{level}\r\nContent-Type: message/rfc822\r\n\r\n{message}\r\n--b{level}--\r\n"
        );
    }
    let parsed = Parsed::from_bytes(message.as_bytes());
    let within: Vec<_> = parsed.parts.iter().map(|part| part.within).collect();
    assert_eq!(within, [None, Some(1), Some(2), Some(3), Some(4), Some(5)]);
    assert!(parsed.parts.iter().all(|part| part.size > 1_000_000));
    let kept: usize = parsed.parts.iter().map(|part| part.start.len()).sum();
    assert!(kept <= 6 * restante_archive::limits::PART_START_OCTETS);
}
