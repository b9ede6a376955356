//! Responses of an IMAP server, as far as an APPEND needs them (RFC 3501 §7, RFC 9051 §7).
//!
//! What is not needed is not understood and passed over: servers send data of many extensions unasked.

use std::fmt;

use super::super::limits::RESPONSE_OCTETS;
use super::super::wire::{Broken, Until, Wire, shown};

/// One response: a line, in which literals stand where they stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Response {
    /// `+`: the server waits for more of a command.
    Continue(Vec<u8>),
    /// `*` and a status.
    Status(Status),
    /// `*` and data; the first word or the second is in capitals.
    Data(Vec<u8>),
    /// A tag and a status.
    Tagged(Vec<u8>, Status),
}

/// ```text
/// resp-cond = ("OK" / "NO" / "BAD" / "PREAUTH" / "BYE") SP ["[" resp-text-code "]" SP] text
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) condition: Condition,
    /// In capitals, without brackets.
    pub(super) code: String,
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

impl Status {
    fn parse(text: &[u8]) -> Option<Self> {
        let (word, rest) = split_word(text);
        let condition = match word.to_ascii_uppercase().as_slice() {
            b"OK" => Condition::Ok,
            b"NO" => Condition::No,
            b"BAD" => Condition::Bad,
            b"PREAUTH" => Condition::PreAuth,
            b"BYE" => Condition::Bye,
            _ => return None,
        };
        let code = rest
            .strip_prefix(b"[")
            .and_then(|rest| Some(&rest[..memchr::memchr(b']', rest)?]))
            .unwrap_or_default();
        Some(Self {
            condition,
            code: String::from_utf8_lossy(code).to_ascii_uppercase(),
            text: rest.to_vec(),
        })
    }

    /// The code's first word.
    pub(super) fn code_name(&self) -> &str {
        self.code.split(' ').next().unwrap_or_default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = match self.condition {
            Condition::Ok => "OK",
            Condition::No => "NO",
            Condition::Bad => "BAD",
            Condition::PreAuth => "PREAUTH",
            Condition::Bye => "BYE",
        };
        write!(f, "{condition} {}", shown(&self.text))
    }
}

impl Response {
    /// Reads one; the whole of it has to be there until `until`.
    pub(super) async fn read(wire: &mut Wire, until: Until) -> Result<Self, Broken> {
        let mut line = wire.line(RESPONSE_OCTETS, until).await?;
        if let Some(text) = line.strip_prefix(b"+") {
            let text = text.strip_prefix(b" ").unwrap_or(text);
            return Ok(Self::Continue(text.to_vec()));
        }
        let (tag, rest) = split_word(&line);
        let status = Status::parse(rest);
        if tag != b"*" {
            return match status {
                Some(status) => Ok(Self::Tagged(tag.to_vec(), status)),
                None => Err(Broken::Nonsense(format!(
                    "this is no response: {:?}",
                    shown(&line)
                ))),
            };
        }
        if let Some(status) = status {
            return Ok(Self::Status(status));
        }
        while let Some(octets) = literal_at_end(&line) {
            if line.len() + octets > RESPONSE_OCTETS {
                return Err(too_long());
            }
            line.extend_from_slice(b"\r\n");
            let literal = wire.exactly(octets, until).await?;
            line.extend_from_slice(&literal);
            let rest = wire.line(RESPONSE_OCTETS, until).await?;
            // A literal that looks like the announcement of another one is followed by a line, if an
            // empty one: what is looked at above is always the end of a line.
            line.push(b' ');
            line.extend_from_slice(&rest);
            if line.len() > RESPONSE_OCTETS {
                return Err(too_long());
            }
            if literal_at_end(&rest).is_none() {
                break;
            }
        }
        Ok(Self::Data(line[2.min(line.len())..].to_vec()))
    }
}

fn too_long() -> Broken {
    Broken::Nonsense(format!(
        "the server sent a response of more than {RESPONSE_OCTETS} octets"
    ))
}

/// `{n}` or `~{n}` at the end of a line.
fn literal_at_end(line: &[u8]) -> Option<usize> {
    let inside = line.strip_suffix(b"}")?;
    let at = memchr::memrchr(b'{', inside)?;
    let digits = std::str::from_utf8(&inside[at + 1..]).ok()?;
    digits.parse().ok()
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

/// What a server can do besides, as far as it is of use here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    all: Vec<String>,
}

impl Capabilities {
    /// From the words behind `CAPABILITY`.
    pub(super) fn parse(words: &str) -> Self {
        let words = words.split_ascii_whitespace().map(str::to_ascii_uppercase);
        Self {
            all: words.collect(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|word| word == name)
    }

    /// RFC 7889: the largest message, in octets.
    pub(super) fn append_limit(&self) -> Option<u64> {
        let mut found = self
            .all
            .iter()
            .filter_map(|w| w.strip_prefix("APPENDLIMIT="));
        found.next()?.parse().ok()
    }
}

/// The numbers of `SEARCH`.
pub(super) fn search(data: &[u8]) -> Option<Vec<u32>> {
    let text = std::str::from_utf8(data).ok()?;
    let mut words = text.split_ascii_whitespace();
    if !words.next()?.eq_ignore_ascii_case("SEARCH") {
        return None;
    }
    Some(words.map_while(|word| word.parse().ok()).collect())
}

/// The words of `CAPABILITY`.
pub(super) fn capability(data: &[u8]) -> Option<Capabilities> {
    let text = String::from_utf8_lossy(data);
    let (word, rest) = text.split_once(' ')?;
    word.eq_ignore_ascii_case("CAPABILITY")
        .then(|| Capabilities::parse(rest))
}

/// Whether it is `LIST`.
pub(super) fn is_list(data: &[u8]) -> bool {
    split_word(data).0.eq_ignore_ascii_case(b"LIST")
}

/// A `FETCH`, with the value of `RFC822.SIZE` if it is there and its first literal.
pub(super) struct Fetch<'a> {
    pub(super) octets: Option<u64>,
    pub(super) literal: Option<&'a [u8]>,
}

pub(super) fn fetch(data: &[u8]) -> Option<Fetch<'_>> {
    let (_, rest) = split_word(data);
    if !split_word(rest).0.eq_ignore_ascii_case(b"FETCH") {
        return None;
    }
    let line_end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
    let (line, behind) = rest.split_at(line_end);
    let literal = literal_at_end(line).and_then(|octets| behind.get(2..2 + octets));
    // The size may stand before the literal or behind it.
    let after = literal.map_or(&b""[..], |literal| &behind[2 + literal.len()..]);
    let octets = [line, after].iter().find_map(|part| size_in(part));
    Some(Fetch { octets, literal })
}

fn size_in(text: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"RFC822.SIZE ";
    let text = text.to_ascii_uppercase();
    let at = memchr::memmem::find(&text, NAME)? + NAME.len();
    let digits = text[at..].iter().take_while(|octet| octet.is_ascii_digit());
    let digits: Vec<u8> = digits.copied().collect();
    String::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn read(bytes: &[u8]) -> Result<Response, Broken> {
        let wait = Duration::from_secs(5);
        let mut wire = Wire::of(bytes);
        Response::read(&mut wire, Until::now_and(wait)).await
    }

    #[tokio::test]
    async fn responses_of_the_rfc() {
        // RFC 3501 §6.3.11, §7.1, §7.5.
        let Response::Continue(text) = read(b"+ Ready for literal data\r\n").await.unwrap() else {
            panic!()
        };
        assert_eq!(text, b"Ready for literal data");
        assert_eq!(read(b"+\r\n").await.unwrap(), Response::Continue(vec![]));
        let Response::Tagged(tag, status) = read(b"a1 no [TRYCREATE] APPEND failed {12}\r\n")
            .await
            .unwrap()
        else {
            panic!()
        };
        assert_eq!((&tag[..], status.code_name()), (&b"a1"[..], "TRYCREATE"));
        assert_eq!(status.condition, Condition::No);
        let Response::Status(status) = read(b"* BYE [ALERT x] \xff down\r\n").await.unwrap() else {
            panic!()
        };
        assert_eq!(
            (status.condition, status.code_name()),
            (Condition::Bye, "ALERT")
        );
        assert_eq!(
            read(b"* CAPABILITY IMAP4rev1\r\n").await.unwrap(),
            Response::Data(b"CAPABILITY IMAP4rev1".to_vec())
        );
        assert!(read(b"hello\r\n").await.is_err());
        assert!(read(b"* 1 FETCH (X {99999999}\r\nabc").await.is_err());
        assert!(read(&[b'a'; 300_000]).await.is_err());
    }

    #[tokio::test]
    async fn a_fetch_with_literals() {
        for bytes in [
            &b"* 12 FETCH (UID 7 RFC822.SIZE 123 BODY[HEADER] {6}\r\na}\r\n{3})\r\n"[..],
            b"* 12 fetch (BODY[HEADER] {6}\r\na}\r\n{3 rfc822.size 123)\r\n",
        ] {
            let Response::Data(data) = read(bytes).await.unwrap() else {
                panic!()
            };
            let fetch = fetch(&data).unwrap();
            assert_eq!(fetch.octets, Some(123));
            assert_eq!(fetch.literal, Some(&b"a}\r\n{3"[..]));
        }
        assert!(fetch(b"12 EXISTS").is_none());
    }

    #[test]
    fn words_are_found() {
        assert_eq!(search(b"SEARCH 2 84 882"), Some(vec![2, 84, 882]));
        assert_eq!(search(b"search"), Some(vec![]));
        assert_eq!(search(b"FLAGS ()"), None);
        let all = capability(b"CAPABILITY IMAP4rev1 AUTH=PLAIN Literal+ APPENDLIMIT=99").unwrap();
        assert!(all.has("LITERAL+") && all.has("AUTH=PLAIN") && !all.has("AUTH"));
        assert_eq!(all.append_limit(), Some(99));
    }
}
