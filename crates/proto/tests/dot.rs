//! The dot codec, against a plain statement of what it does, over any cutting into pieces.

use proptest::prelude::*;
use restante_proto::dot::{Decoder, Encoder, LineEnds, TERMINATOR};

/// What a client must end up with: LF without CR is CRLF, the last line has an end.
fn normalise(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in message {
        if byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    if !out.is_empty() && out.last() != Some(&b'\n') {
        out.extend(b"\r\n");
    }
    out
}

/// Messages made of what matters.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        4 => Just(b'.'),
        4 => Just(b'\r'),
        4 => Just(b'\n'),
        2 => Just(b'a'),
        1 => any::<u8>(),
    ];
    proptest::collection::vec(octet, 0..120)
}

fn encode(mut encoder: Encoder, message: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in message.chunks(piece) {
        encoder.push(piece, &mut out);
    }
    encoder.finish(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_gives_the_normalised_message(
        message in message(),
        one in 1usize..40,
        other in 1usize..40,
        ends in prop_oneof![Just(LineEnds::Crlf), Just(LineEnds::AnyLf), Just(LineEnds::Unsure)],
    ) {
        let mut wire = encode(Encoder::new(), &message, one);
        let end = wire.len();
        wire.extend(b"+OK next\r\n");
        let mut decoder = Decoder::new(ends);
        let mut got = Vec::new();
        let mut used = 0;
        for piece in wire.chunks(other) {
            used += decoder.push(piece, &mut got);
        }
        prop_assert!(decoder.is_done());
        prop_assert_eq!(used, end);
        let want = normalise(&message);
        prop_assert_eq!(got, want);
    }

    #[test]
    fn what_is_cut_short_is_never_done(message in message(), cut in 1usize..60) {
        let wire = encode(Encoder::new(), &message, 1000);
        let cut = wire.len().saturating_sub(cut);
        let mut decoder = Decoder::new(LineEnds::Crlf);
        decoder.push(&wire[..cut], &mut Vec::new());
        prop_assert!(!decoder.is_done());
    }

    #[test]
    fn a_clean_message_is_sent_as_it_is(message in message()) {
        let message: Vec<u8> = normalise(&message)
            .split_inclusive(|&b| b == b'\n')
            .filter(|line| line[0] != b'.')
            .flatten()
            .copied()
            .collect();
        let mut want = message.clone();
        want.extend(TERMINATOR);
        prop_assert_eq!(encode(Encoder::new(), &message, 7), want);
    }

    #[test]
    fn top_is_the_beginning_of_the_whole(message in message(), lines in 0u64..6, piece in 1usize..40) {
        let whole = normalise(&message);
        // RFC 1939 §7 TOP, by lines: header, blank line, then so many.
        let mut want = Vec::new();
        let mut left = None;
        for line in whole.split_inclusive(|&b| b == b'\n') {
            if left == Some(0) {
                break;
            }
            want.extend_from_slice(line);
            left = match left {
                Some(n) => Some(n - 1),
                None if line == b"\r\n" => Some(lines),
                None => None,
            };
        }
        let wire = encode(Encoder::top(lines), &message, piece);
        let mut got = Vec::new();
        let mut decoder = Decoder::new(LineEnds::Crlf);
        decoder.push(&wire, &mut got);
        prop_assert!(decoder.is_done());
        prop_assert_eq!(got, want);
    }
}
