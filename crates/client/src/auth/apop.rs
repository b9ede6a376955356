//! APOP's digest, and the timestamp it is made of.

use md5::{Digest, Md5};
use restante_proto::Secret;

use crate::limits::TIMESTAMP_OCTETS;

/// The timestamp of a greeting, brackets included.
///
/// ```text
/// msg-id = "<" addr-spec ">"        ; RFC 1939 §7 APOP, by way of RFC 822
/// ```
///
/// Held to more than peers hold it to: an attacker who may choose any bytes here finds out the
/// password's beginning from MD5 collisions. Only printable US-ASCII with one `@`, nothing quoted.
pub(crate) fn timestamp(greeting: &[u8]) -> Option<&[u8]> {
    let start = greeting.iter().position(|&b| b == b'<')?;
    let length = greeting[start..].iter().position(|&b| b == b'>')?;
    let stamp = &greeting[start..=start + length];
    if stamp.len() > TIMESTAMP_OCTETS {
        return None;
    }
    let inner = &stamp[1..stamp.len() - 1];
    let at = inner.iter().position(|&b| b == b'@')?;
    let (local, domain) = (&inner[..at], &inner[at + 1..]);
    (!local.is_empty() && !domain.is_empty() && local.iter().chain(domain).all(|&b| atom(b)))
        .then_some(stamp)
}

/// RFC 822's atom, with dots and what domain literals need.
const fn atom(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b'\\' | b'"'
        )
}

/// MD5 of the timestamp and the password, in lower-case hexadecimal.
pub(crate) fn digest(timestamp: &[u8], password: &Secret) -> String {
    let mut md5 = Md5::new();
    md5.update(timestamp);
    md5.update(password.expose());
    crate::tls::hex(&md5.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_rfc_1939() {
        // RFC 1939 §7 APOP
        let greeting = b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>";
        let stamp = timestamp(greeting).unwrap();
        assert_eq!(stamp, b"<1896.697170952@dbc.mtview.ca.us>");
        assert_eq!(
            digest(stamp, &"tanstaaf".into()),
            "c4c9334bac560ecc979e58001b3e22fb"
        );
    }

    #[test]
    fn takes_nothing_but_a_message_id() {
        for greeting in [
            &b"+OK ready"[..],
            b"+OK <>",
            b"+OK <a>",
            b"+OK <@b>",
            b"+OK <a@>",
            b"+OK <a@b",
            b"+OK <a@b@c>",
            b"+OK <a b@c>",
            b"+OK <a\x80@c>",
            b"+OK <a\x01@c>",
            b"+OK <<a@b>",
        ] {
            assert_eq!(timestamp(greeting), None, "{greeting:?}");
        }
        let mut long = b"<".to_vec();
        long.extend_from_slice(&[b'a'; TIMESTAMP_OCTETS]);
        long.extend_from_slice(b"@b>");
        assert_eq!(timestamp(&long), None);
        assert_eq!(
            timestamp(b"+OK <1.2@[127.0.0.1]> x"),
            Some(&b"<1.2@[127.0.0.1]>"[..])
        );
    }
}
