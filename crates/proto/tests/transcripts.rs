//! Sessions as transcripts, `tests/transcripts/*.pop3`, each replayed with the client's bytes cut
//! at every place, byte by byte, and all at once.
//!
//! `C:` a line from the client, `C>` one without its line end, `S:` a line from the server (all
//! lines get CRLF); `\xNN`, `\\` in either; `*N TEXT` after `C:` repeats TEXT N times.
//! `! plaintext`, `! stls`, `! tls` set the connection; `! handshake` is where TLS comes after STLS;
//! `! login|list|body|commit FAILURE` makes the driver fail; `! deleted N…` says what QUIT has removed
//! and `! open` that the server has not closed at the end. Expectations are the RFCs'.

use restante_proto::dot::Encoder;
use restante_proto::server::{
    Effect, Failure, MaildropListing, Patience, Session, Settings, Totals,
};

/// 24, 22 and 3 octets on the wire.
const MESSAGES: [(&str, &[u8]); 3] = [
    (
        "whqtswO00WBw418f9t5JxYwZ",
        b"From: a\r\n\r\nHello\r\n.dot\r\n",
    ),
    ("QhdPYR:00WBw1Ph7x7", b"Subject: b\n\nno end"),
    ("~!", b".\r\n"),
];

struct Listing;

impl MaildropListing for Listing {
    fn len(&self) -> usize {
        MESSAGES.len()
    }
    fn octets(&self, index: usize) -> u64 {
        [24, 22, 3][index]
    }
    fn unique_id(&self, index: usize, into: &mut Vec<u8>) {
        into.extend_from_slice(MESSAGES[index].0.as_bytes());
    }
}

#[derive(Default)]
struct Script {
    /// Client's bytes; a handshake comes between two segments.
    segments: Vec<Vec<u8>>,
    server: Vec<u8>,
    tls: bool,
    stls: bool,
    plaintext: bool,
    login: Option<Failure>,
    list: Option<Failure>,
    body: Option<Failure>,
    commit: Option<Failure>,
    deleted: Vec<usize>,
    open: bool,
}

fn failure(name: &str) -> Failure {
    match name {
        "credentials" => Failure::Credentials,
        "throttled" => Failure::Throttled,
        "in-use" => Failure::InUse,
        "gone" => Failure::Gone,
        "temporary" => Failure::Temporary,
        "permanent" => Failure::Permanent,
        _ => panic!("no failure {name}"),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (octet, tail) = match (first, tail) {
            (b'\\', [b'x', a, b, tail @ ..]) => {
                let hex = format!("{}{}", *a as char, *b as char);
                (u8::from_str_radix(&hex, 16).expect("hex"), tail)
            }
            (b'\\', [b'\\', tail @ ..]) => (b'\\', tail),
            _ => (first, tail),
        };
        out.push(octet);
        rest = tail;
    }
    out
}

fn read(text: &str) -> Script {
    let mut script = Script {
        segments: vec![Vec::new()],
        ..Script::default()
    };
    for line in text.lines() {
        let (tag, rest) = line.split_at(line.len().min(2));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let segment = script.segments.last_mut().expect("one at least");
        match tag {
            "C:" | "C>" => {
                let (times, text) = match rest.strip_prefix('*').and_then(|r| r.split_once(' ')) {
                    Some((times, text)) if times.parse::<usize>().is_ok() => {
                        (times.parse().expect("a number"), text)
                    }
                    _ => (1, rest),
                };
                segment.extend(unescape(text).repeat(times));
                if tag == "C:" {
                    segment.extend(b"\r\n");
                }
            }
            "S:" => {
                script.server.extend(unescape(rest));
                script.server.extend(b"\r\n");
            }
            "! " => {
                let mut words = rest.split(' ');
                let word = words.next().expect("a word");
                let mut failing = || Some(failure(words.next().expect("a failure")));
                match word {
                    "plaintext" => script.plaintext = true,
                    "stls" => script.stls = true,
                    "tls" => script.tls = true,
                    "handshake" => script.segments.push(Vec::new()),
                    "open" => script.open = true,
                    "login" => script.login = failing(),
                    "list" => script.list = failing(),
                    "body" => script.body = failing(),
                    "commit" => script.commit = failing(),
                    "deleted" => {
                        script.deleted = words.map(|n| n.parse().expect("a number")).collect();
                    }
                    _ => panic!("what is ! {word}"),
                }
            }
            "" | "# " | "#" => {}
            _ => panic!("what is {line:?}"),
        }
    }
    script
}

/// The driver: a store in memory, TLS by decree.
struct Driver<'s> {
    script: &'s Script,
    settings: Settings,
    session: Session,
    out: Vec<u8>,
    segment: usize,
    deleted: Vec<usize>,
    closed: bool,
}

impl<'s> Driver<'s> {
    fn new(script: &'s Script) -> Self {
        let settings = Settings {
            tls_active: script.tls,
            stls: script.stls,
            plaintext_login: script.plaintext,
        };
        let mut out = Vec::new();
        Self {
            script,
            settings,
            session: Session::new(settings, &mut out),
            out,
            segment: 0,
            deleted: Vec::new(),
            closed: false,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        self.session.feed(bytes);
        let mut listing = None;
        loop {
            let effect = self.session.poll(listing.as_ref(), &mut self.out);
            match effect {
                Effect::NeedInput => return,
                Effect::Flush => panic!("no transcript is that long"),
                Effect::Waiting => panic!("everything was answered"),
                Effect::Close(_) => {
                    self.closed = true;
                    return;
                }
                Effect::StartTls => {
                    self.session = Session::over_tls(self.settings);
                    self.segment += 1;
                    return;
                }
                Effect::Authenticate(credentials) => {
                    let known = credentials.login == "tim"
                        && credentials.password.expose() == b" tanstaaf tanstaaf";
                    let verdict = match self.script.login {
                        Some(failure) => Err(failure),
                        None if known => Ok(Totals {
                            count: 3,
                            octets: 49,
                        }),
                        None => Err(Failure::Credentials),
                    };
                    assert_eq!(self.session.patience(), Patience::Authorization);
                    self.session.authenticated(verdict, &mut self.out);
                }
                Effect::NeedListing => match self.script.list {
                    Some(failure) => self.session.listing_failed(failure, &mut self.out),
                    None => listing = Some(Listing),
                },
                Effect::Body { index, top } => {
                    let opened = self.script.body.map_or(Ok(()), Err);
                    self.session.body(opened, &mut self.out);
                    if opened.is_ok() {
                        let mut encoder = top.map_or(Encoder::new(), Encoder::top);
                        encoder.push(MESSAGES[index].1, &mut self.out);
                        encoder.finish(&mut self.out);
                    }
                }
                Effect::CommitDeletions => {
                    let deletions = self.session.deletions().expect("in UPDATE");
                    let marked: Vec<_> = deletions.iter().map(|index| index + 1).collect();
                    match self.script.commit {
                        Some(failure) => self.session.committed(Err(failure), &mut self.out),
                        None => {
                            self.deleted = marked;
                            self.session.committed(Ok(()), &mut self.out);
                        }
                    }
                }
            }
        }
    }
}

fn replay(name: &str, script: &Script, cuts: impl Fn(usize, usize) -> bool) {
    let mut driver = Driver::new(script);
    let mut offset = 0;
    for (at, segment) in script.segments.iter().enumerate() {
        assert_eq!(driver.segment, at, "{name}: handshakes");
        let mut from = 0;
        for to in 1..=segment.len() {
            if to == segment.len() || cuts(offset + to, to) {
                driver.feed(&segment[from..to]);
                from = to;
            }
        }
        offset += segment.len();
    }
    let got = driver.out.escape_ascii().to_string().replace(r"\r\n", "\n");
    let want = script
        .server
        .escape_ascii()
        .to_string()
        .replace(r"\r\n", "\n");
    assert!(got == want, "{name}\n--- want\n{want}--- got\n{got}");
    assert_eq!(driver.closed, !script.open, "{name}: closed");
    assert_eq!(driver.deleted, script.deleted, "{name}: deleted");
    for line in driver.out.split_inclusive(|&b| b == b'\n') {
        assert!(line.len() <= 512, "{name}");
    }
}

fn check(name: &str, text: &str) {
    let script = read(text);
    let total: usize = script.segments.iter().map(Vec::len).sum();
    replay(name, &script, |_, _| false);
    replay(name, &script, |_, _| true);
    // A transcript made of one line many times is cut where it matters: near its ends.
    for cut in (0..total).filter(|&cut| total < 3000 || cut < 600 || cut + 600 > total) {
        replay(name, &script, |at, _| at == cut);
    }
}

#[test]
fn all_transcripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the transcripts") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "pop3") {
            let text = std::fs::read_to_string(&path).expect("text");
            check(&path.display().to_string(), &text);
            seen += 1;
        }
    }
    assert!(seen >= 15, "only {seen} transcripts");
}

#[test]
#[should_panic(expected = "--- want")]
fn a_wrong_transcript_fails() {
    check("wrong", "S: +OK something else\n! open\n");
}
