//! Texts as IMAP writes them.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD};

/// A text between quotes, or `None` for one that only a literal can hold.
///
/// ```text
/// quoted = DQUOTE *QUOTED-CHAR DQUOTE
/// ```
pub(super) fn quoted(text: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for &octet in text {
        match octet {
            b'"' | b'\\' => out.extend(['\\', char::from(octet)]),
            b' '..=b'~' => out.push(char::from(octet)),
            _ => return None,
        }
    }
    out.push('"');
    Some(out)
}

/// A mailbox's name in modified UTF-7 (RFC 3501 §5.1.3).
pub(super) fn mailbox(name: &str) -> String {
    // Base64 with `,` in the place of `/`.
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
    let mut out = String::with_capacity(name.len());
    let mut units: Vec<u8> = Vec::new();
    let engine = match base64::alphabet::Alphabet::new(ALPHABET) {
        Ok(alphabet) => GeneralPurpose::new(&alphabet, NO_PAD),
        Err(_) => return name.to_owned(),
    };
    let shift = |units: &mut Vec<u8>, out: &mut String| {
        if !units.is_empty() {
            out.push('&');
            engine.encode_string(&*units, out);
            out.push('-');
            units.clear();
        }
    };
    for character in name.chars() {
        match character {
            ' '..='~' => {
                shift(&mut units, &mut out);
                out.push(character);
                if character == '&' {
                    out.push('-');
                }
            }
            other => {
                let mut pair = [0; 2];
                for unit in other.encode_utf16(&mut pair) {
                    units.extend_from_slice(&unit.to_be_bytes());
                }
            }
        }
    }
    shift(&mut units, &mut out);
    out
}

/// ```text
/// date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
/// ```
pub(super) fn date_time(unix_ms: u64) -> String {
    let second = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    // Past the year 9999 there is no date: then it is one that is certainly wrong.
    let time = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("\"%e-%b-%Y %H:%M:%S +0000\"").to_string()
}

/// RFC 4616: no authorization identity, then user and password.
pub(super) fn plain(user: &str, password: &[u8]) -> Vec<u8> {
    [b"\0", user.as_bytes(), b"\0", password].concat()
}

/// RFC 7628 §3.1.
pub(super) fn oauthbearer(user: &str, host: &str, port: u16, token: &[u8]) -> Vec<u8> {
    let user = user.replace('=', "=3D").replace(',', "=2C");
    let start = format!("n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer ");
    [start.as_bytes(), token, b"\x01\x01"].concat()
}

/// As Google and Microsoft describe it.
pub(super) fn xoauth2(user: &str, token: &[u8]) -> Vec<u8> {
    let start = format!("user={user}\x01auth=Bearer ");
    [start.as_bytes(), token, b"\x01\x01"].concat()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A message's Message-ID as far as one can search for it: printable ASCII, not too long. `None` when
/// its header has none.
pub(super) fn message_id(start: &[u8]) -> Option<String> {
    let mut lines = start.split(|&octet| octet == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (line, line.first().is_some_and(|c| b" \t".contains(c)))
    });
    let mut value = loop {
        let (line, _) = lines.next()?;
        if line.is_empty() {
            return None;
        }
        const NAME: &[u8] = b"message-id:";
        if let Some((name, value)) = line.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            break value.to_vec();
        }
    };
    if value.trim_ascii().is_empty() {
        // RFC 5322 §2.2.3: it may stand on the next line.
        let (line, is_folded) = lines.next()?;
        if is_folded {
            value = line.to_vec();
        }
    }
    let is_plain = |octet: &&u8| matches!(octet, b'!'..=b'~') && !b"\"\\".contains(octet);
    let plain: Vec<u8> = value
        .trim_ascii()
        .iter()
        .take_while(is_plain)
        .take(super::super::limits::MESSAGE_ID_OCTETS)
        .copied()
        .collect();
    String::from_utf8(plain).ok().filter(|id| id.len() > 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted(br#"a "b" \c"#).unwrap(), r#""a \"b\" \\c""#);
        for odd in [&b"a\r\n"[..], b"\0", "é".as_bytes(), b"\x7f"] {
            assert_eq!(quoted(odd), None);
        }
    }

    #[test]
    fn mailboxes_of_the_rfc() {
        // RFC 3501 §5.1.3.
        assert_eq!(
            mailbox("~peter/mail/台北/日本語"),
            "~peter/mail/&U,BTFw-/&ZeVnLIqe-"
        );
        assert_eq!(mailbox("A & B"), "A &- B");
        assert_eq!(mailbox("Entwürfe"), "Entw&APw-rfe");
        assert_eq!(mailbox("\u{1f4ec}"), "&2D3c7A-");
    }

    #[test]
    fn dates_are_fixed_in_length() {
        // RFC 3501 §9: date-day-fixed has a space for a digit.
        assert_eq!(date_time(1_234), "\" 1-Jan-1970 00:00:01 +0000\"");
        assert_eq!(
            date_time(1_700_000_000_000),
            "\"14-Nov-2023 22:13:20 +0000\""
        );
        assert_eq!(date_time(u64::MAX).len(), 28);
    }

    #[test]
    fn credentials_of_the_rfcs() {
        // RFC 7628 §4.1 and RFC 4616 §4.
        let token = b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        assert_eq!(
            base64(&oauthbearer(
                "user@example.com",
                "server.example.com",
                143,
                token
            )),
            "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
        );
        assert_eq!(
            plain("tim", b"tanstaaftanstaaf"),
            b"\0tim\0tanstaaftanstaaf"
        );
    }

    #[test]
    fn message_ids_are_found() {
        for (header, id) in [
            (
                &b"Subject: a\r\nMessage-ID: <1@b>\r\n\r\n"[..],
                Some("<1@b>"),
            ),
            (b"message-id:<1@b> (comment)\n\n", Some("<1@b>")),
            (b"MESSAGE-ID:\r\n <long@b>\r\nTo: x\r\n", Some("<long@b>")),
            (b"Message-ID: <a\"b@c>\r\n", None),
            (b"Message-ID:\r\nTo: <1@b>\r\n", None),
            (b"Subject: a\r\n\r\nMessage-ID: <1@b>\r\n", None),
            (b"X-Message-ID: <1@b>\r\n", None),
            (b"", None),
        ] {
            assert_eq!(
                message_id(header).as_deref(),
                id,
                "{}",
                header.escape_ascii()
            );
        }
    }
}
