//! How large a message is on the wire.

use memchr::memchr_iter;

/// Counts the octets that [`super::Encoder`] sends for a message, without stuffed dots and
/// terminator: the size that LIST and STAT tell (RFC 1939 §11 counts a line end as two octets).
#[derive(Debug, Clone, Default)]
pub struct WireCounter {
    octets: u64,
    last: Option<u8>,
}

impl WireCounter {
    /// Counts the next bytes of the message.
    pub fn push(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        let bare = memchr_iter(b'\n', bytes)
            .filter(|&at| {
                let before = if at == 0 {
                    self.last
                } else {
                    Some(bytes[at - 1])
                };
                before != Some(b'\r')
            })
            .count();
        self.octets += bytes.len() as u64 + bare as u64;
        self.last = Some(last);
    }

    /// The message's octets, a missing last line end included.
    pub fn finish(self) -> u64 {
        match self.last {
            None | Some(b'\n') => self.octets,
            Some(_) => self.octets + 2,
        }
    }
}

/// [`WireCounter`] for a message in one piece.
pub fn wire_octets(message: &[u8]) -> u64 {
    let mut counter = WireCounter::default();
    counter.push(message);
    counter.finish()
}
