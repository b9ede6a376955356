//! Messages told by their headers: where the server's unique-ids do not tell them apart, where it has
//! none, and where they have changed.

use std::collections::{HashMap, VecDeque};

use restante_client::{Event, Pipeline, Reply, Request};
use restante_store::{Body, MailStore, UniqueId};

use super::FetchError;
use super::ledger::{Archived, store_failed};
use super::limits::HEADER_OCTETS;
use super::session::Broken;

/// A header's digest: BLAKE3 of its lines with CRLF, without the blank line behind it.
pub(super) type HeaderDigest = [u8; 16];

/// Takes a header as it comes, in pieces and with whatever line ends, as far as `HEADER_OCTETS`.
#[derive(Debug, Default)]
pub(super) struct HeaderReader {
    line: Vec<u8>,
    taken: usize,
    hasher: blake3::Hasher,
    ended: bool,
    has_message_id: bool,
}

/// The header field that is unique to a message (RFC 5322 §3.6.4), as far as its author made it so.
const MESSAGE_ID: &[u8] = b"message-id:";

impl HeaderReader {
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !self.ended && !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            self.line.extend_from_slice(&bytes[..end]);
            self.taken += end;
            bytes = &bytes[end..];
            if self.line.ends_with(b"\n") {
                self.end_line();
            }
            if self.taken >= HEADER_OCTETS {
                self.ended = true;
            }
        }
    }

    /// Whether a Message-ID was among its lines.
    pub(super) const fn has_message_id(&self) -> bool {
        self.has_message_id
    }

    /// Whether nothing more counts.
    pub(super) const fn is_ended(&self) -> bool {
        self.ended
    }

    fn end_line(&mut self) {
        while matches!(self.line.last(), Some(b'\n' | b'\r')) {
            self.line.pop();
        }
        if self.line.is_empty() {
            self.ended = true;
            return;
        }
        let name = self.line.get(..MESSAGE_ID.len());
        self.has_message_id |= name.is_some_and(|name| name.eq_ignore_ascii_case(MESSAGE_ID));
        self.hasher.update(&self.line);
        self.hasher.update(b"\r\n");
        self.line.clear();
    }

    pub(super) fn digest(mut self) -> HeaderDigest {
        if !self.line.is_empty() {
            self.end_line();
        }
        let mut short = [0; 16];
        short.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        short
    }
}

/// The header digests of messages on the server, by TOP. `Err` in a line is the server's refusal.
pub(super) async fn of_server(
    pipeline: &mut Pipeline,
    numbers: &[u64],
) -> Result<HashMap<u64, Result<HeaderDigest, Reply>>, Broken> {
    let mut found = HashMap::with_capacity(numbers.len());
    let mut wanted: VecDeque<u64> = numbers.iter().copied().collect();
    let mut reader = HeaderReader::default();
    loop {
        while pipeline.pending() < super::limits::REQUESTS {
            let Some(number) = wanted.pop_front() else {
                break;
            };
            pipeline.push(Request::Top { number, lines: 0 });
        }
        match pipeline.next().await.map_err(Broken::Client)? {
            None => return Ok(found),
            Some(Event::Began { .. }) => reader = HeaderReader::default(),
            Some(Event::Chunk { bytes, .. }) => reader.write(bytes),
            Some(Event::Ended { number }) => {
                found.insert(number, Ok(std::mem::take(&mut reader).digest()));
            }
            Some(Event::Refused {
                request: Request::Top { number, .. },
                reply,
            }) => {
                found.insert(number, Err(reply));
            }
            Some(_) => {}
        }
    }
}

/// A whole message's digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyDigests {
    /// Of its octets as they came.
    pub(super) exact: [u8; 32],
    /// Of the same with LF for CRLF, as files of Unix have it.
    pub(super) with_lf: [u8; 32],
}

/// Hashes a message with LF for CRLF, in pieces.
#[derive(Default)]
struct LfHasher {
    hasher: blake3::Hasher,
    held_cr: bool,
}

impl LfHasher {
    fn write(&mut self, mut bytes: &[u8]) {
        if self.held_cr && bytes.first().is_some_and(|&first| first != b'\n') {
            self.hasher.update(b"\r");
        }
        self.held_cr = bytes.is_empty() && self.held_cr || bytes.ends_with(b"\r");
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let mut from = 0;
        for lf in memchr::memchr_iter(b'\n', bytes) {
            if lf > from && bytes[lf - 1] == b'\r' {
                self.hasher.update(&bytes[from..lf - 1]);
                from = lf;
            }
        }
        self.hasher.update(&bytes[from..]);
    }

    fn digest(mut self) -> [u8; 32] {
        if self.held_cr {
            self.hasher.update(b"\r");
        }
        *self.hasher.finalize().as_bytes()
    }
}

/// The digests of whole messages on the server, by RETR; those that it refuses are missing. The second
/// of each pair is the size that LIST has.
pub(super) async fn bodies_of_server(
    pipeline: &mut Pipeline,
    messages: &[(u64, u64)],
) -> Result<HashMap<u64, BodyDigests>, Broken> {
    let mut found = HashMap::with_capacity(messages.len());
    for &(number, octets) in messages {
        pipeline.push(Request::Retrieve { number, octets });
    }
    let (mut exact, mut with_lf) = (blake3::Hasher::new(), LfHasher::default());
    while let Some(event) = pipeline.next().await.map_err(Broken::Client)? {
        match event {
            Event::Chunk { bytes, .. } => {
                exact.update(bytes);
                with_lf.write(bytes);
            }
            Event::Ended { number } => {
                let digests = BodyDigests {
                    exact: *exact.finalize().as_bytes(),
                    with_lf: std::mem::take(&mut with_lf).digest(),
                };
                exact.reset();
                found.insert(number, digests);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The header of an archived message; `None` if it cannot be read now.
pub(super) async fn header_of_archive(store: &dyn MailStore, id: UniqueId) -> Option<HeaderReader> {
    let mut body: Box<dyn Body> = store.read(id).await.ok()?;
    let mut reader = HeaderReader::default();
    let mut piece = Vec::new();
    while !reader.is_ended() {
        piece.clear();
        if body.read(&mut piece).await.ok()? == 0 {
            break;
        }
        reader.write(&piece);
    }
    Some(reader)
}

/// The same, from what the ledger has at hand if it does.
pub(super) async fn of_archived(
    store: Option<&dyn MailStore>,
    archived: &Archived,
) -> Result<Option<HeaderDigest>, FetchError> {
    match (archived.header, store, archived.unique_id) {
        (Some(header), _, _) => Ok(Some(header)),
        (None, Some(store), Some(id)) => {
            // Asked first, so that a store that fails is not taken for a message that differs.
            store
                .message(id)
                .await
                .map_err(|error| store_failed(&error))?;
            Ok(header_of_archive(store, id).await.map(HeaderReader::digest))
        }
        _ => Ok(None),
    }
}

/// Ledger keys for messages that share a unique-id, in their order: the id, NUL, the header's digest;
/// `#2`, `#3` … where even that is the same.
pub(super) fn keys(messages: &[(u64, Vec<u8>, HeaderDigest)]) -> Vec<(u64, Vec<u8>)> {
    let mut used: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut keys = Vec::with_capacity(messages.len());
    for (number, id, header) in messages {
        let mut key = id.clone();
        key.push(0);
        key.extend_from_slice(hex(&header[..8]).as_bytes());
        keys.push((*number, numbered(key, &mut used)));
    }
    keys
}

/// Ledger keys for messages of a server without unique-ids: NUL, `top:`, the header's digest.
pub(super) fn keys_without_ids(messages: &[(u64, HeaderDigest)]) -> Vec<(u64, Vec<u8>)> {
    let mut used: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut keys = Vec::with_capacity(messages.len());
    for (number, header) in messages {
        let mut key = b"\0top:".to_vec();
        key.extend_from_slice(hex(header).as_bytes());
        keys.push((*number, numbered(key, &mut used)));
    }
    keys
}

fn numbered(mut key: Vec<u8>, used: &mut HashMap<Vec<u8>, u64>) -> Vec<u8> {
    let count = used.entry(key.clone()).or_insert(0);
    *count += 1;
    if *count > 1 {
        key.extend_from_slice(format!("#{count}").as_bytes());
    }
    key
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pieces: &[&[u8]]) -> HeaderDigest {
        let mut reader = HeaderReader::default();
        pieces.iter().for_each(|piece| reader.write(piece));
        reader.digest()
    }

    #[test]
    fn a_header_is_the_same_however_it_comes() {
        let whole = digest(&[b"A: 1\r\nB: 2\r\n\r\nbody\r\n"]);
        assert_eq!(digest(&[b"A: 1\r\nB: 2\r\n\r\n"]), whole);
        assert_eq!(digest(&[b"A: 1\r\nB: 2\r\n"]), whole);
        assert_eq!(digest(&[b"A: 1\nB: 2\n\nother"]), whole);
        assert_eq!(digest(&[b"A: 1\r", b"\nB: ", b"2\r\n\r", b"\nx"]), whole);
        assert_ne!(digest(&[b"A: 1\r\nB: 3\r\n\r\n"]), whole);
    }

    #[test]
    fn a_message_is_the_same_with_lf_for_crlf_however_it_comes() {
        let wire = b"a\r\n\r\r\nb\rc\nd\r\n\r";
        let wanted = *blake3::hash(b"a\n\r\nb\rc\nd\n\r").as_bytes();
        for piece in 1..wire.len() {
            let mut hasher = LfHasher::default();
            wire.chunks(piece).for_each(|piece| hasher.write(piece));
            assert_eq!(hasher.digest(), wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_message_id_is_a_field_of_the_header() {
        for (text, has) in [
            (&b"A: 1\r\nMESSAGE-ID: <x>\r\n\r\n"[..], true),
            (b"X-Message-ID: <x>\r\n\r\nMessage-ID: <x>\r\n", false),
        ] {
            let mut reader = HeaderReader::default();
            reader.write(text);
            assert_eq!(reader.has_message_id(), has);
        }
    }

    #[test]
    fn equal_ids_get_keys_of_their_own() {
        let (a, b) = ([1; 16], [2; 16]);
        let id = b"same".to_vec();
        let keys = keys(&[(1, id.clone(), a), (2, id.clone(), b), (3, id, a)]);
        assert_eq!(keys[0].1, b"same\x000101010101010101");
        assert_eq!(keys[1].1, b"same\x000202020202020202");
        assert_eq!(keys[2].1, b"same\x000101010101010101#2");
    }
}
