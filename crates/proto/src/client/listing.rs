//! The lines of listings. Servers differ: extra spaces, text at the end, ids of any octets.

/// ```text
/// scan-listing = number SP octets [SP text]            ; RFC 1939 §5 LIST
/// ```
/// The same two numbers are STAT's answer. Servers that count in 32 bits send negative octets: nobody
/// may rely on them anyhow, so those are none.
pub(super) fn scan(line: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = number(line)?;
    let octets = blanks(rest);
    match octets.strip_prefix(b"-") {
        Some(negative) => number(negative).map(|_| (first, 0)),
        None => number(octets).map(|(second, _)| (first, second)),
    }
}

/// ```text
/// unique-id-listing = number SP unique-id              ; RFC 1939 §7 UIDL
/// unique-id         = 1*70(%x21-7E)                    ; longer, with spaces, 8-bit: taken too
/// ```
pub(super) fn unique_id(line: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = number(line)?;
    let id = blanks(rest).trim_ascii_end();
    (!id.is_empty()).then_some((first, id))
}

fn blanks(line: &[u8]) -> &[u8] {
    let text = line.iter().position(|octet| !matches!(octet, b' ' | b'\t'));
    &line[text.unwrap_or(line.len())..]
}

/// The next number and what follows it: a blank, or the end. One beyond 64 bits is absurd, not
/// malformed.
fn number(line: &[u8]) -> Option<(u64, &[u8])> {
    let line = blanks(line);
    let mut value = 0u64;
    let mut at = 0;
    while let Some(digit) = line.get(at).filter(|octet| octet.is_ascii_digit()) {
        value = value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
        at += 1;
    }
    match line.get(at) {
        None | Some(b' ' | b'\t') if at > 0 => Some((value, &line[at..])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_what_servers_put_around_them() {
        assert_eq!(scan(b"1 120"), Some((1, 120)));
        assert_eq!(scan(b"  2   200  octets "), Some((2, 200)));
        assert_eq!(scan(b"3\t18446744073709551615"), Some((3, u64::MAX)));
        assert_eq!(scan(b"1 18446744073709551616"), Some((1, u64::MAX)));
        assert_eq!(scan(b"1 -2147483648"), Some((1, 0)));
        assert_eq!(
            unique_id(b"1 whqtswO00WBw418f9t5JxYwZ").unwrap().1,
            b"whqtswO00WBw418f9t5JxYwZ"
        );
        assert_eq!(unique_id(b" 2   a b\xe9  "), Some((2, &b"a b\xe9"[..])));
        assert_eq!(
            unique_id(&[b"1 ".as_slice(), &[b'x'; 300]].concat())
                .unwrap()
                .1
                .len(),
            300
        );
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in [
            &b""[..],
            b"1",
            b"1 ",
            b"a 1",
            b"-1 5",
            b"1 x",
            b"1 -",
            b"1a 5",
            b"1 5k",
        ] {
            assert_eq!(scan(line), None, "{line:?}");
        }
        for line in [&b""[..], b"1", b"1   ", b"x y", b"+OK 1 x"] {
            assert_eq!(unique_id(line), None, "{line:?}");
        }
    }
}
