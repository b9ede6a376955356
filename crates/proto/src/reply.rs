//! Status lines and numbers, written without allocating.

use crate::limits::STATUS_LINE_OCTETS;

/// Appends a status line or challenge and its CRLF.
pub(crate) fn line(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() + 2 <= STATUS_LINE_OCTETS);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal.
pub(crate) fn decimal(out: &mut Vec<u8>, mut value: u64) {
    const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    // u64::MAX has 20 digits.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while value >= 100 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value >= 10 {
        let pair = value as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_what_the_standard_library_writes() {
        let mut samples = vec![u64::MAX, u64::MAX - 1];
        for power in 0..20 {
            let ten = 10u64.pow(power);
            samples.extend([ten - 1, ten, ten + 1, ten.saturating_mul(7) / 3]);
        }
        for value in samples {
            let mut out = Vec::new();
            decimal(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }
}
