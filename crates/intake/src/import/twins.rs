//! The same message with other line ends: what a server gave has CRLF, what a program on Unix keeps of
//! it has LF.

/// Hashes what is pushed with every line end as CRLF, and as LF.
#[derive(Default)]
pub(super) struct Twins {
    crlf: blake3::Hasher,
    lf: blake3::Hasher,
    /// The last octet was a CR, which is not hashed yet.
    cr: bool,
}

impl Twins {
    pub(super) fn push(&mut self, mut part: &[u8]) {
        while let Some((&first, rest)) = part.split_first() {
            if std::mem::take(&mut self.cr) && first != b'\n' {
                self.both(b"\r");
            }
            match first {
                b'\r' => (self.cr, part) = (true, rest),
                b'\n' => {
                    self.crlf.update(b"\r\n");
                    self.lf.update(b"\n");
                    part = rest;
                }
                _ => {
                    let end = memchr::memchr2(b'\r', b'\n', part).unwrap_or(part.len());
                    self.both(&part[..end]);
                    part = &part[end..];
                }
            }
        }
    }

    fn both(&mut self, octets: &[u8]) {
        self.crlf.update(octets);
        self.lf.update(octets);
    }

    /// The BLAKE3 digests of the message in its two forms.
    pub(super) fn finish(mut self) -> Vec<[u8; 32]> {
        if self.cr {
            self.both(b"\r");
        }
        vec![self.crlf.finalize().into(), self.lf.finalize().into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_alone_are_changed() {
        let crlf = b"a\r\n\r\nb\rc\r\r\nd\r";
        let lf = b"a\n\nb\rc\r\nd\r";
        let expected: [[u8; 32]; 2] = [blake3::hash(crlf).into(), blake3::hash(lf).into()];
        for cut in 0..crlf.len() {
            let mut twins = Twins::default();
            twins.push(&crlf[..cut]);
            twins.push(&crlf[cut..]);
            assert_eq!(twins.finish(), expected, "{cut}");
        }
        let mut twins = Twins::default();
        twins.push(b"a\n\nb");
        let expected: [[u8; 32]; 2] = [
            blake3::hash(b"a\r\n\r\nb").into(),
            blake3::hash(b"a\n\nb").into(),
        ];
        assert_eq!(twins.finish(), expected);
    }
}
