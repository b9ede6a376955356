use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Writer, is_mbox};
use super::*;

const DATE: &str = "Thu Jan  1 00:00:00 1970";

/// Gives its octets in pieces of a few, as a pipe may.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let octets = self.1.min(self.0.len()).min(buf.len());
        let (piece, rest) = self.0.split_at(octets);
        buf[..octets].copy_from_slice(piece);
        self.0 = rest;
        Ok(octets)
    }
}

type Found = Vec<(Option<String>, Vec<u8>)>;

fn drain<R: Read>(mut reader: Reader<'_, R>) -> Found {
    let mut found = Vec::new();
    while let Some(envelope) = reader.next_message().unwrap() {
        let mut bytes = Vec::new();
        while reader.read_chunk(&mut bytes).unwrap() > 0 {}
        assert_eq!(reader.read_chunk(&mut bytes).unwrap(), 0);
        let line = envelope
            .from_line
            .map(|line| String::from_utf8(line).unwrap());
        found.push((line, bytes));
    }
    assert_eq!(reader.next_message().unwrap(), None);
    found
}

/// Reads in whole, octet by octet, and with a look ahead; all must agree.
fn read_as(file: &[u8], variant: Variant) -> Found {
    let whole = drain(Reader::new(file, variant));
    assert_eq!(drain(Reader::new(Dribble(file, 1), variant)), whole);
    let shared: Arc<[u8]> = file.into();
    let look: LookAhead<'_> = Box::new(move |offset, into| {
        let mut rest = Cursor::new(&shared[..]);
        rest.set_position(offset);
        rest.read(into)
    });
    let looked = drain(Reader::with_look_ahead(Dribble(file, 7), variant, look));
    assert_eq!(looked, whole);
    whole
}

fn bodies(file: &str, variant: Variant) -> Vec<String> {
    read_as(file.as_bytes(), variant)
        .into_iter()
        .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
        .collect()
}

#[test]
fn two_messages_with_lf_or_crlf_with_and_without_an_end() {
    for end in ["\n", "\r\n"] {
        for tail in ["", end, "\n"] {
            for head in ["", "\n", "\r\n\n"] {
                let file = format!(
                    "{head}From a@b {DATE}{end}S: 1{end}{end}one{end}{end}From c@d {DATE}{end}S: 2{end}{end}two{end}{tail}"
                );
                let found = read_as(file.as_bytes(), Variant::Detect);
                let lines: Vec<_> = found.iter().map(|(line, _)| line.clone()).collect();
                assert_eq!(
                    lines,
                    [
                        Some(format!("From a@b {DATE}")),
                        Some(format!("From c@d {DATE}"))
                    ]
                );
                assert_eq!(found[0].1, format!("S: 1{end}{end}one{end}").as_bytes());
                assert_eq!(found[1].1, format!("S: 2{end}{end}two{end}").as_bytes());
            }
        }
    }
}

#[test]
fn an_envelope_tells_date_and_place() {
    let file = format!("\nFrom a Fri Jul  8 12:08:34 2011\n\nx\n\nFrom b {DATE}\n");
    let mut reader = Reader::new(file.as_bytes(), Variant::Detect);
    let first = reader.next_message().unwrap().unwrap();
    assert_eq!((first.unix_ms, first.offset), (Some(1_310_126_914_000), 1));
    let second = reader.next_message().unwrap().unwrap();
    assert_eq!((second.unix_ms, second.offset), (Some(0), 37));
    assert_eq!(reader.next_message().unwrap(), None);
}

#[test]
fn prose_does_not_split() {
    let body = format!("S: 1\n\nFrom now on\n\nFrom here\nFrom x {DATE}\n\n>From y\n");
    let file = format!("From a {DATE}\n{body}\n");
    let expected = body.replace(">From y", "From y");
    assert_eq!(bodies(&file, Variant::Detect), [expected]);
}

#[test]
fn messages_may_be_empty_or_without_a_body() {
    let file = format!("From a {DATE}\n\nFrom b {DATE}\nS: 1\n\nFrom c {DATE}\n\n\nFrom d {DATE}");
    assert_eq!(bodies(&file, Variant::Detect), ["", "S: 1\n", "\n", ""]);
}

#[test]
fn what_stands_before_the_first_from_line_is_a_message() {
    let file = format!("not mail\nat all\n\nFrom a {DATE}\nS: 1\n\nx");
    let found = read_as(file.as_bytes(), Variant::Detect);
    assert_eq!(found[0], (None, b"not mail\nat all\n".to_vec()));
    assert_eq!(found[1].1, b"S: 1\n\nx");
    assert_eq!(found.len(), 2);
    for nothing in ["", "\n", "\r\n\r\n\n"] {
        assert!(read_as(nothing.as_bytes(), Variant::Detect).is_empty());
    }
}

#[test]
fn a_file_without_dates_is_split_at_header_fields() {
    let file = "From a@b\nS: 1\n\nFrom me to you\n\nFrom c@d\nS: 2\n\nx\n";
    assert_eq!(
        bodies(file, Variant::Detect),
        ["S: 1\n\nFrom me to you\n", "S: 2\n\nx\n"]
    );
    // But not where the first one has a date: there a From_ line without one is text.
    let file = format!("From a@b {DATE}\nS: 1\n\n1\n\nFrom c@d\nS: 2\n\nx\n");
    assert_eq!(bodies(&file, Variant::Detect).len(), 1);
}

#[test]
fn quoting_is_taken_away_as_the_dialect_has_it() {
    let message = ">From a\n\n>>From b\n> From c\nx >From d\n";
    let file = format!("From x {DATE}\n{message}");
    let mboxo = message.replacen(">From a", "From a", 1);
    let mboxrd = mboxo.replacen(">>From b", ">From b", 1);
    assert_eq!(bodies(&file, Variant::Mboxo), [mboxo.as_str()]);
    assert_eq!(bodies(&file, Variant::Mboxcl), [mboxo.as_str()]);
    assert_eq!(bodies(&file, Variant::Mboxrd), [mboxrd.as_str()]);
    assert_eq!(bodies(&file, Variant::Detect), [mboxrd.as_str()]);
    assert_eq!(bodies(&file, Variant::Mboxcl2), [message]);
}

#[test]
fn a_true_content_length_is_followed() {
    let body = format!("x\n\nFrom inside {DATE}\nS: 9\n\n>From y\n");
    let head = |name| format!("{name}: {}\nS: 1\n\n", body.len());
    for name in ["Content-Length", "content-length"] {
        let first = head(name) + &body;
        for between in ["\n", "\r\n", ""] {
            for tail in ["", "\n"] {
                let file = format!("From a {DATE}\n{first}{between}From b {DATE}\n{first}{tail}");
                for variant in [Variant::Detect, Variant::Mboxcl2] {
                    assert_eq!(bodies(&file, variant), [first.as_str(), first.as_str()]);
                }
                let unquoted = first.replace(">From y", "From y");
                assert_eq!(
                    bodies(&file, Variant::Mboxcl),
                    [unquoted.as_str(), &unquoted]
                );
                assert_ne!(bodies(&file, Variant::Mboxrd).len(), 2);
            }
        }
    }
}

#[test]
fn an_untrue_content_length_is_not() {
    for value in [
        "0",
        "3",
        "5",
        "6",
        "999",
        "99999999999999999999",
        "-1",
        "x",
        "",
    ] {
        let one = format!("Content-Length: {value}\n\nfour\n");
        let two = "S: 2\n\nx\n";
        let file = format!("From a {DATE}\n{one}\nFrom b {DATE}\n{two}\n");
        let expected = [one.as_str(), two];
        match value {
            // Both are true: with and without the last line end, which then is the empty line.
            "5" | "6" => assert_eq!(bodies(&file, Variant::Detect).len(), 2),
            _ => assert_eq!(bodies(&file, Variant::Detect), expected, "{value}"),
        }
    }
    let twice =
        format!("From a {DATE}\nContent-Length: 2\nContent-Length: 3\n\nx\n\nFrom b {DATE}\n");
    assert_eq!(bodies(&twice, Variant::Mboxcl2).len(), 2);
}

/// A stranger's field must not swallow the mail behind it: where the first message has none that is
/// true, none is believed.
#[test]
fn a_strangers_content_length_does_not_swallow_mail() {
    let two = format!("S: 2\n\ntwo\n\nFrom c {DATE}\nS: 3\n\nthree\n");
    let bait = format!(
        "Content-Length: {}\n\nbait\n\nFrom b {DATE}\n{two}",
        6 + 7 + DATE.len() + 1 + two.len()
    );
    let file =
        format!("From x {DATE}\nS: 0\n\nzero\n\nFrom a {DATE}\n{bait}\nFrom d {DATE}\nS: 4\n");
    assert_eq!(bodies(&file, Variant::Mboxcl2).len(), 3);
    assert_eq!(bodies(&file, Variant::Detect).len(), 5);
}

#[test]
fn a_content_length_beyond_the_window_needs_a_look_ahead() {
    let line = format!("\nFrom inside {DATE}\n");
    let body = line.repeat(MBOX_WINDOW_OCTETS / line.len() + 100);
    let file = format!("From a {DATE}\nContent-Length: {}\n\n{body}\n", body.len());
    assert!(drain(Reader::new(file.as_bytes(), Variant::Detect)).len() > 1000);
    let look: LookAhead<'_> = Box::new(|offset, into| {
        let mut rest = Cursor::new(&file);
        rest.set_position(offset);
        rest.read(into)
    });
    let found = drain(Reader::with_look_ahead(
        file.as_bytes(),
        Variant::Detect,
        look,
    ));
    assert_eq!(found.len(), 1);
    assert!(found[0].1.ends_with(body.as_bytes()));
}

#[test]
fn a_long_line_comes_in_pieces_from_a_small_window() {
    let line = vec![b'F'; 5_000_000];
    let mut file = format!("From a {DATE}\n").into_bytes();
    file.extend_from_slice(&line);
    file.extend_from_slice(format!("\n\nFrom {}\n\nFrom b {DATE}\n", "x".repeat(2_000)).as_bytes());
    let mut reader = Reader::new(&file[..], Variant::Detect);
    reader.next_message().unwrap().unwrap();
    let (mut octets, mut chunk) = (0, Vec::new());
    while reader.read_chunk(&mut chunk).unwrap() > 0 {
        assert!(chunk.len() <= PIECE + 8);
        octets += chunk.len();
        chunk.clear();
    }
    assert_eq!(octets, line.len() + 1 + 1 + 5 + 2_000 + 1);
    assert!(reader.window.len() <= 2 * PIECE);
    assert!(reader.next_message().unwrap().is_some());
}

#[test]
fn an_mbox_is_told_by_its_first_line() {
    for yes in [
        format!("From a {DATE}\n"),
        format!("\r\n\nFrom a {DATE}"),
        "From a@b\nSubject: x\n".into(),
        format!("garbage\n\nFrom a {DATE}\nSubject: x\n"),
        format!("garbage\r\n\r\nFrom a {DATE}\r\nSubject : x\r\n"),
    ] {
        assert!(is_mbox(yes.as_bytes()), "{yes}");
    }
    for no in [
        "",
        "\n",
        "From: a@b\n",
        "From a@b\n\nx",
        "Subject: x\n\nFrom a",
        "Subject: x\n\nFrom a Thu Jan  1 00:00:00 1970\nSubject: y\n",
        "garbage\n\nFrom a Thu Jan  1 00:00:00 1970\nprose\n",
        "garbage\nFrom a Thu Jan  1 00:00:00 1970\nSubject: y\n",
    ] {
        assert!(!is_mbox(no.as_bytes()), "{no}");
    }
}

#[test]
fn a_field_is_told_by_its_name() {
    for (text, expected) in [
        ("Subject: x", true),
        ("x-1:", true),
        ("Subject\t : x", true),
        ("Subject", false),
        ("Subject\n: x", false),
        (": x", false),
        ("two words: x", false),
        ("", false),
    ] {
        assert_eq!(is_field(text.as_bytes()), expected, "{text}");
    }
}

/// Pieces of which lines that matter are made.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\r",
        ">",
        "From ",
        "From",
        "F",
        "x",
        "",
        ".",
        "\n\n",
        "\nFrom a Thu Jan  1 00:00:00 1970\n",
        "Content-Length: 7\n",
        "S: 1\r\n",
        "\0",
        "\n>From ",
        "é",
    ]);
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat().into_bytes())
}

fn with_line_end(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        messages in prop::collection::vec(message(), 1..6),
        split in 1usize..9,
    ) {
        let mut writer = Writer::new(Vec::new());
        for bytes in &messages {
            writer.begin("a@b", 1_700_000_000_000).unwrap();
            for piece in bytes.chunks(split) {
                writer.write(piece).unwrap();
            }
            writer.end().unwrap();
        }
        let file = writer.into_inner();
        let expected: Vec<_> = messages.iter().map(|bytes| with_line_end(bytes)).collect();
        let found: Vec<_> = read_as(&file, Variant::Mboxrd).into_iter().map(|(_, bytes)| bytes).collect();
        prop_assert_eq!(&found, &expected);
    }

    /// Whatever a file holds, its reading loses nothing but From_ lines, one empty line a message,
    /// and quoting.
    #[test]
    fn nothing_is_lost(file in message()) {
        let found = read_as(&file, Variant::Mboxcl2);
        let blank = |byte: &u8| *byte == b'\n' || *byte == b'\r';
        let mut all = Vec::new();
        for (line, bytes) in found {
            all.extend(line.unwrap_or_default().into_bytes());
            all.extend(bytes);
        }
        all.retain(|byte| !blank(byte));
        let mut expected = file;
        expected.retain(|byte| !blank(byte));
        prop_assert_eq!(all, expected);
    }
}
