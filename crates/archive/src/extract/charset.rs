//! Raw 8-bit headers: RFC 5322 has none, RFC 6532 has UTF-8, and mail has whatever its author's
//! program had.

use std::borrow::Cow;

use chardetng::EncodingDetector;

/// Where the header ends: after the empty line, or with the bytes.
pub(crate) fn header_end(bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'\n', &bytes[from..]) {
        from += at + 1;
        let rest = &bytes[from..];
        if rest.starts_with(b"\n") {
            return from + 1;
        }
        if rest.starts_with(b"\r\n") {
            return from + 2;
        }
    }
    bytes.len()
}

/// The same message with a header in UTF-8. Each line that is not is guessed apart from the others,
/// with all that is not for the guess: one program writes one charset, but not each line is its.
pub(crate) fn readable(bytes: &[u8]) -> Cow<'_, [u8]> {
    // A From_ line of an mbox that was kept as part of the message is no header.
    let bytes = match bytes.strip_prefix(b"From ") {
        Some(_) => &bytes[memchr::memchr(b'\n', bytes).map_or(0, |at| at + 1)..],
        None => bytes,
    };
    let end = header_end(bytes);
    let header = &bytes[..end];
    if std::str::from_utf8(header).is_ok() {
        return Cow::Borrowed(bytes);
    }
    let mut detector = EncodingDetector::new();
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if std::str::from_utf8(line).is_err() {
            detector.feed(line, false);
        }
    }
    detector.feed(b"", true);
    let encoding = detector.guess(None, false);
    let mut all = Vec::with_capacity(bytes.len() + header.len());
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(text) => all.extend_from_slice(text.as_bytes()),
            Err(_) => {
                let (text, _) = encoding.decode_without_bom_handling(line);
                all.extend_from_slice(text.as_bytes());
            }
        }
    }
    all.extend_from_slice(&bytes[end..]);
    Cow::Owned(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_header_is_read_in_its_charset() {
        let koi8 = b"Subject: \xf0\xd2\xc9\xd7\xc5\xd4, \xcb\xc1\xcb \xc4\xc5\xcc\xc1\r\nTo: a@b\r\n\r\n\xf0";
        let read = readable(koi8);
        let text = "Subject: Привет, как дела\r\nTo: a@b\r\n\r\n";
        assert_eq!(&read[..text.len()], text.as_bytes());
        assert_eq!(&read[text.len()..], b"\xf0", "the body is not touched");
        let latin = b"Subject: Gr\xfc\xdfe aus K\xf6ln\n\nx";
        assert!(readable(latin).starts_with("Subject: Grüße aus Köln\n".as_bytes()));
    }

    #[test]
    fn the_header_ends_with_the_empty_line_or_the_message() {
        assert_eq!(header_end(b"A: b\n\nc"), 6);
        assert_eq!(header_end(b"A: b\r\n\r\nc"), 8);
        assert_eq!(header_end(b"A: b"), 4);
        assert_eq!(header_end(b""), 0);
    }
}
