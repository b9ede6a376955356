//! Real and odd mail: every message comes to something sensible, and the index takes it all.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use restante_archive::message::Parsed;
use restante_testkit::corpus;

#[test]
fn every_message_comes_to_something() {
    for sample in corpus::real().iter().chain(&corpus::odd()) {
        let parsed = Parsed::from_bytes(&sample.bytes);
        assert!(!parsed.unreadable, "{}: the parser failed", sample.name);
        let readable = parsed.readable(80);
        let something = !parsed.subject.is_empty()
            || !parsed.from.is_empty()
            || !readable.trim().is_empty()
            || !parsed.parts.is_empty()
            || !parsed.headers.is_empty();
        assert!(
            something || sample.bytes.len() < 64,
            "{}: nothing of it",
            sample.name
        );
        for text in [&parsed.subject]
            .into_iter()
            .chain(parsed.headers.iter().map(|(_, v)| v))
        {
            assert!(
                !text.contains(char::is_control),
                "{}: {text:?}",
                sample.name
            );
        }
    }
}
