//! MIME taken apart by `mail-parser`, kept from what a stranger could do to it: a message within a
//! message as often as there is room, encoded so that it is opened by a function that calls itself, and
//! multiparts without end, each searched to the end of the message.

use std::borrow::Cow;
use std::sync::LazyLock;

use mail_parser::{HeaderName, Message, MessageParser};

use super::readable;
use crate::limits;

/// The media type, in place of `message`, of a message within the message that is encoded (which RFC 2046
/// §5.2.1 forbids, and some programs do): it comes out as octets, and the walk opens it. As long as what
/// it stands for, so that no place moves.
pub(crate) const ENCODED: &str = "encoded";

static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .with_mime_headers()
        .with_address_headers()
        .with_message_ids()
        .header_text(HeaderName::Subject)
        .header_text(HeaderName::Comments)
        // The parser's own reader of dates runs on into the next field; `date` reads them.
        .header_raw(HeaderName::Date)
        .header_raw(HeaderName::ResentDate)
        .header_raw(HeaderName::Received)
});

/// What taking a message apart may still cost, those within it that are encoded included: each of them is searched anew.
pub(crate) struct Work {
    containers: usize,
    octets: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            containers: limits::CONTAINERS,
            octets: limits::CONTAINER_WORK_OCTETS,
        }
    }
}

/// A message's octets, made fit for [`Fit::parse`].
pub(crate) struct Fit<'a>(Cow<'a, [u8]>);

impl<'a> Fit<'a> {
    /// Its header in UTF-8, and no more of it than can be taken apart.
    pub(crate) fn new(bytes: &'a [u8], work: &mut Work) -> Self {
        Self(match readable(bytes) {
            Cow::Borrowed(bytes) => fit(bytes, work),
            Cow::Owned(bytes) => Cow::Owned(fit(&bytes, work).into_owned()),
        })
    }

    /// Takes it apart; `None` when there is nothing that could be a header.
    pub(crate) fn parse(&self) -> Option<Message<'_>> {
        PARSER.parse(&*self.0)
    }
}

/// As far as it goes until its multiparts and messages are too many, with those messages closed that are
/// encoded.
fn fit<'a>(bytes: &'a [u8], work: &mut Work) -> Cow<'a, [u8]> {
    let lower = bytes.to_ascii_lowercase();
    let end = bounded(&lower, work);
    let mut fit = Cow::Borrowed(&bytes[..end]);
    // A last field without a line end is none to the parser.
    if super::header_end(bytes) == bytes.len() && !bytes.ends_with(b"\n") {
        fit.to_mut().push(b'\n');
    }
    let mut untyped = false;
    let mut from = 0;
    for block in blocks(&lower[..end]) {
        let is_encoded = is_encoded(block);
        if is_encoded {
            untyped |= !squeezed(block).windows(12).any(|at| at == b"content-type");
            for at in types(block, b"message") {
                fit.to_mut()[from + at..from + at + ENCODED.len()]
                    .copy_from_slice(ENCODED.as_bytes());
            }
        }
        from += block.len();
    }
    // RFC 2046 §5.1.5: what a digest holds is a message unless it says otherwise.
    if untyped {
        for at in memchr::memmem::find_iter(&lower[..end], b"digest") {
            let before = lower[..at]
                .iter()
                .rev()
                .find(|octet| !is_passed_over(**octet));
            if matches!(before, Some(b'/' | b')')) {
                fit.to_mut()[at..at + 6].copy_from_slice(b"mixed;");
            }
        }
    }
    fit
}

/// Where the first multipart or message is that is too many: because there are so many, or because to
/// search each to the end is too much.
fn bounded(lower: &[u8], work: &mut Work) -> usize {
    let mut places: Vec<usize> = types(lower, b"message")
        .chain(types(lower, b"multipart"))
        .collect();
    places.sort_unstable();
    for at in places {
        let behind = (lower.len() - at) as u64;
        if work.containers == 0 || work.octets < behind {
            return at;
        }
        work.containers -= 1;
        work.octets -= behind;
    }
    lower.len()
}

/// Where the word may be the first half of a media type, as the parser reads those: `/` comes next, or
/// what it passes over.
fn types<'a>(lower: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memmem::find_iter(lower, word).filter(move |at| {
        let after = &lower[at + word.len()..];
        let next = after.iter().find(|octet| !is_passed_over(**octet));
        matches!(next, Some(b'/' | b'('))
    })
}

/// What the parser of media types takes for nothing.
fn is_passed_over(octet: u8) -> bool {
    octet.is_ascii_whitespace() || matches!(octet, b'"' | b'\\')
}

/// The stretches between empty lines, each with the one that ends it: a header is within one of them,
/// with whatever stands before it.
fn blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = super::header_end(rest);
        let (block, after) = rest.split_at(end);
        rest = after;
        Some(block)
    })
}

/// Whether a header in it may ask for a decoding. Names and values may have blanks within.
fn is_encoded(block: &[u8]) -> bool {
    const FIELD: &[u8] = b"content-transfer-encoding";
    // Most blocks are text, and not looked at twice.
    if memchr::memchr(b':', block).is_none() {
        return false;
    }
    let squeezed = squeezed(block);
    memchr::memmem::find_iter(&squeezed, FIELD).any(|at| {
        let value = squeezed[at + FIELD.len()..].strip_prefix(b":");
        !value.is_some_and(|value| {
            [&b"7bit"[..], b"8bit", b"binary"]
                .iter()
                .any(|plain| value.starts_with(plain))
        })
    })
}

fn squeezed(block: &[u8]) -> Vec<u8> {
    let kept = block.iter().filter(|octet| !octet.is_ascii_whitespace());
    kept.copied().collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::extract::extract;
    use crate::message::Parsed;

    /// A message made to exhaust who reads it is read as far as its beginning, soon, and on the small
    /// stack of a thread.
    fn is_survived(name: &str, message: Vec<u8>) {
        let started = Instant::now();
        let subject = std::thread::scope(|scope| {
            let work = || {
                let parsed = Parsed::from_bytes(&message);
                let _laid = parsed.readable(80);
                assert_eq!(extract(&message).subject, parsed.subject);
                parsed.subject
            };
            scope.spawn(work).join().unwrap()
        });
        assert_eq!(subject, "hostile", "{name}");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(60), "{name}: {took:?}");
    }

    fn base64(bytes: &[u8]) -> Vec<u8> {
        let table = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut all = Vec::new();
        for (at, three) in bytes.chunks(3).enumerate() {
            let word = three
                .iter()
                .fold(0_u32, |word, octet| word << 8 | u32::from(*octet))
                << (8 * (3 - three.len()));
            for place in 0..=three.len() {
                all.push(table[(word >> (18 - 6 * place) & 63) as usize]);
            }
            all.resize(all.len() + 3 - three.len(), b'=');
            if at % 19 == 18 {
                all.push(b'\n');
            }
        }
        all
    }

    #[test]
    fn what_is_nested_without_end_is_survived() {
        const TIMES: usize = 100_000;
        let with = |header: &str, body: Vec<u8>| {
            [b"Subject: hostile\n", header.as_bytes(), &body].concat()
        };
        let inner = b"Content-Type: message/rfc822\n\n".repeat(TIMES);
        is_survived("messages", with("", inner.clone()));
        let encoded = "Content-Transfer-Encoding: base64\nContent-Type: message/rfc822\n\n";
        is_survived("encoded messages", with(encoded, base64(&inner)));
        let hidden =
            "Content-Transfer-Enco ding: =?x?q?base64?=\nContent-Type: \"MESSAGE\" (a)/rfc822\n\n";
        is_survived("hidden encoding", with(hidden, base64(&inner)));
        let digest = "Content-Type: multipart/(a)digest; boundary=b\n\n--b\n\
            Content-Transfer-Encoding: base64\n\n";
        is_survived("a digest", with(digest, base64(&inner)));
        let different: Vec<u8> = (0..TIMES)
            .flat_map(|at| {
                format!("Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n").into_bytes()
            })
            .collect();
        is_survived("multiparts", with("", different));
        let lost = "Content-Type: multipart/mixed; boundary=b\n\n";
        let each = b"--b\nContent-Type: multipart/mixed; boundary=zzz\n\nx\n";
        is_survived("boundaries that never come", with(lost, each.repeat(TIMES)));
        let html = "Content-Type: text/html\n\n";
        is_survived("HTML", with(html, b"<div>".repeat(TIMES)));
        is_survived("comments", with("To: ", b"(".repeat(TIMES)));
        is_survived("groups", with("To: ", b"a:".repeat(TIMES)));
        is_survived("words", with("X-A: ", b"=?utf-8?q?a?= ".repeat(TIMES)));
    }

    #[test]
    fn an_encoded_message_is_opened_and_an_usual_one_is_untouched() {
        let inner = "From: in@example.org\nSubject: inside\n\nhello";
        let outer = |encoding: &str, body: &[u8]| {
            let head = format!(
                "Subject: About message/rfc822\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
                 Content-Type: message/rfc822\nContent-Transfer-Encoding: {encoding}\n\n"
            );
            [head.as_bytes(), body, b"\n--b--\n"].concat()
        };
        for (encoding, body) in [
            ("7bit", inner.as_bytes().to_vec()),
            ("base64", base64(inner.as_bytes())),
            ("Quoted-Printable", inner.as_bytes().to_vec()),
        ] {
            let parsed = Parsed::from_bytes(&outer(encoding, &body));
            assert_eq!(parsed.subject, "About message/rfc822");
            let part = &parsed.parts[0];
            assert_eq!(part.media_type, "message/rfc822", "{encoding}");
            assert_eq!(part.name.as_deref(), Some("inside.eml"), "{encoding}");
        }
        assert_eq!(Parsed::from_bytes(b"Subject: all").subject, "all");
        let usual = outer("7bit", inner.as_bytes());
        let same = fit(&usual, &mut Work::default());
        assert!(matches!(same, Cow::Borrowed(same) if same == usual));
    }

    /// Each encoded message within had limits of its own, and each level was walked again for each level above.
    #[test]
    fn what_is_nested_and_encoded_shares_one_budget() {
        let boundary =
            |level: usize| format!("Content-Type: multipart/mixed; boundary=b{level}\n\n");
        let mut inner = b"Subject: innermost\n\nhello".to_vec();
        for level in 0..limits::NESTING {
            let part = format!(
                "--b{level}\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
            );
            let lost = b"Content-Type: multipart/mixed; boundary=never\n\n".repeat(200);
            inner = [
                b"Subject: hostile\n",
                boundary(level).as_bytes(),
                part.as_bytes(),
                &base64(&inner),
                format!("\n--b{level}\n").as_bytes(),
                &lost,
                format!("\n--b{level}--\n").as_bytes(),
            ]
            .concat();
        }
        let mut work = Work::default();
        let fit = Fit::new(&inner, &mut work);
        let mut found = Vec::new();
        let message = fit.parse().unwrap();
        super::super::walk(&message, &mut work, &mut |part| found.push(part.within));
        assert_eq!(work.containers, 0, "what is within counts too");
        assert!(found.len() < limits::PARTS);
        is_survived("encoded messages with multiparts", inner.clone());
    }
}
