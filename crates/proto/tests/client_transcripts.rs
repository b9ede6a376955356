//! The client's end as transcripts, `tests/client_transcripts/*.pop3`, each replayed with the server's
//! bytes cut at every place, byte by byte, and all at once.
//!
//! `C:` commands as they must go out (`! pass SECRET` and the like say what is asked for where the line
//! does not: see `push`); `S:` a line from the server with CRLF, `S>` one with a bare LF, `S<` bytes
//! without a line end; `\xNN`, `\\`. `E:` is what the client makes of it. Blocks of `C:`, then `S:`, then `E:`;
//! bytes of a block are cut, blocks are not mixed. `! quiet` is silence, `! tls` takes TLS, `! limit N`
//! limits bodies, `! listed N` is what a listing says of the next one. Expectations are the RFCs', or what a quirk of a real server asks for.

use std::fmt::Write as _;

use restante_proto::Secret;
use restante_proto::client::{Command, Event, Fault, Reply, Session};

#[derive(Default)]
struct Block {
    wish: Vec<String>,
    commands: Vec<u8>,
    server: Vec<u8>,
    events: String,
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

fn read(text: &str) -> Vec<Block> {
    let mut blocks = vec![Block::default()];
    for line in text.lines() {
        let (tag, rest) = line.split_at(line.len().min(2));
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let last = blocks.last().expect("one at least");
        let begins = match tag {
            "C:" | "! " => !last.server.is_empty() || !last.events.is_empty(),
            "S:" | "S>" | "S<" => !last.events.is_empty(),
            _ => false,
        };
        if begins {
            blocks.push(Block::default());
        }
        let block = blocks.last_mut().expect("one at least");
        match tag {
            "C:" => {
                block.commands.extend(unescape(rest));
                block.commands.extend(b"\r\n");
                if !block.wish.iter().any(|wish| wish.starts_with('*')) {
                    block.wish.push(rest.to_owned());
                }
            }
            // `! * WISH` stands for the commands of its block.
            "! " => block.wish.push(rest.to_owned()),
            "S:" | "S>" | "S<" => {
                block.server.extend(unescape(rest));
                block.server.extend(match tag {
                    "S:" => &b"\r\n"[..],
                    "S>" => b"\n",
                    _ => b"",
                });
            }
            "E:" => writeln!(block.events, "{rest}").expect("a string"),
            "" | "# " | "#" => {}
            _ => panic!("what is {line:?}"),
        }
    }
    blocks
}

fn push(session: &mut Session, wish: &str) {
    let words: Vec<&str> = wish.trim_start_matches("* ").split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let secret = Secret::new(words.last().expect("a word").as_bytes());
    let command = match words[..] {
        ["CAPA"] => Command::Capa,
        ["STLS"] => Command::Stls,
        ["USER", name] => Command::User(name),
        ["PASS", _] => Command::Pass(&secret),
        ["AUTH", mechanism] => Command::Auth(mechanism, None),
        ["AUTH", mechanism, initial] => Command::Auth(mechanism, Some(initial.as_bytes())),
        ["STAT"] => Command::Stat,
        ["LIST"] => Command::List,
        ["LIST", _] => Command::ListOne(number(1)),
        ["UIDL"] => Command::Uidl,
        ["UIDL", _] => Command::UidlOne(number(1)),
        ["RETR", _] => Command::Retr(number(1)),
        ["TOP", _, _] => Command::Top(number(1), number(2)),
        ["DELE", _] => Command::Dele(number(1)),
        ["NOOP"] => Command::Noop,
        ["RSET"] => Command::Rset,
        ["QUIT"] => Command::Quit,
        ["respond"] => return session.respond(b""),
        ["respond", response] => return session.respond(response.as_bytes()),
        ["cancel"] => return session.cancel(),
        ["limit", _] => return session.limit_bodies(Some(number(1))),
        ["quiet"] => return session.end_quietly(),
        ["listed", octets] => return session.expect_body(octets.parse().ok()),
        _ => panic!("what is {wish:?}"),
    };
    session.push(&command).expect("a command");
}

#[derive(Default)]
struct Heard {
    text: String,
    body: Vec<u8>,
}

impl Heard {
    /// Pieces of a body are one, however they were cut.
    fn end_body(&mut self) {
        if !self.body.is_empty() {
            writeln!(self.text, "chunk {}", self.body.escape_ascii()).expect("a string");
            self.body.clear();
        }
    }

    fn event(&mut self, event: Event<'_>) {
        if let Event::Chunk(bytes) = event {
            self.body.extend(bytes);
            return;
        }
        self.end_body();
        let said = |reply: Reply<'_>| match reply.code {
            Some(code) => format!("[{code}] {}", reply.text.escape_ascii()),
            None => reply.text.escape_ascii().to_string(),
        };
        let line = match event {
            Event::Positive(asked, reply) => format!("ok {} {}", asked.keyword(), said(reply)),
            Event::Negative(asked, reply) => format!("err {} {}", asked.keyword(), said(reply)),
            Event::Challenge(bytes) => format!("challenge {}", bytes.escape_ascii()),
            Event::Capability(line) => format!("can {}", line.escape_ascii()),
            Event::Totals { count, octets } => format!("totals {count} {octets}"),
            Event::Scan { number, octets } => format!("scan {number} {octets}"),
            Event::UniqueId { number, id } => format!("id {number} {}", id.escape_ascii()),
            Event::End(asked) => format!("end {}", asked.keyword()),
            Event::Chunk(_) => unreachable!(),
        };
        writeln!(self.text, "{}", line.trim_end()).expect("a string");
    }

    /// Handles what is there; false = the session is over.
    fn all_of(&mut self, session: &mut Session) -> bool {
        loop {
            match session.advance() {
                Ok(true) => self.event(session.event().expect("an event")),
                Ok(false) => return true,
                Err(fault) => {
                    self.end_body();
                    let fault = match fault {
                        Fault::Desync { due: None, .. } => "unasked".to_owned(),
                        Fault::Desync {
                            due: Some(asked), ..
                        } => format!("desync {}", asked.keyword()),
                        Fault::Doubtful { .. } => "doubtful".to_owned(),
                        Fault::Limit(limit) => format!("limit {limit:?}"),
                    };
                    writeln!(self.text, "{fault}").expect("a string");
                    return false;
                }
            }
        }
    }
}

fn replay(name: &str, blocks: &[Block], cuts: impl Fn(usize, usize) -> bool) {
    let mut session = Session::new();
    for (at, block) in blocks.iter().enumerate() {
        let mut heard = Heard::default();
        for wish in &block.wish {
            if wish == "tls" {
                session = match std::mem::take(&mut session).over_tls() {
                    Some(session) => session,
                    None => return assert_eq!(block.events, "injected\n", "{name}"),
                };
            } else {
                push(&mut session, wish);
            }
        }
        assert_eq!(
            session.output().escape_ascii().to_string(),
            block.commands.escape_ascii().to_string(),
            "{name}, block {at}"
        );
        session.sent(session.output().len());
        let mut alive = heard.all_of(&mut session);
        let mut from = 0;
        for to in 1..=block.server.len() {
            if alive && (to == block.server.len() || cuts(at, to)) {
                assert_eq!(session.feed(&block.server[from..to]), to - from);
                from = to;
                alive = heard.all_of(&mut session);
            }
        }
        // What a reply that goes on in a later block has brought so far.
        heard.end_body();
        assert!(
            heard.text == block.events,
            "{name}, block {at}\n--- want\n{}--- got\n{}",
            block.events,
            heard.text
        );
    }
}

fn check(name: &str, text: &str) {
    let blocks = read(text);
    replay(name, &blocks, |_, _| false);
    replay(name, &blocks, |_, _| true);
    for (cut_in, block) in blocks.iter().enumerate() {
        for cut in 1..block.server.len() {
            replay(name, &blocks, |at, to| at == cut_in && to == cut);
        }
    }
}

#[test]
fn all_transcripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client_transcripts");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the transcripts") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "pop3") {
            let text = std::fs::read_to_string(&path).expect("text");
            check(&path.display().to_string(), &text);
            seen += 1;
        }
    }
    assert!(seen >= 12, "only {seen} transcripts");
}

#[test]
#[should_panic(expected = "--- want")]
fn a_wrong_transcript_fails() {
    check("wrong", "S: +OK hello\nE: err greeting hello\n");
}
