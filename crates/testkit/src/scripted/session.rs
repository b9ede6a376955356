//! One session: RFC 1939 with RFC 2449, 2595 and 5034, as far as fetchers use them, and the quirks.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio_rustls::TlsAcceptor;

use super::quirks::{Endless, Quirks, Quit, Sizes, Tls};
use super::wire::Wire;
use super::{Command, Kept, Message, PASSWORD, Shared, USER};

/// A message of this session's maildrop.
struct Listed {
    serial: u64,
    message: Arc<Message>,
    deleted: bool,
}

pub(super) struct Session<'a> {
    wire: Wire,
    shared: &'a Shared,
    number: usize,
    quirks: &'a Quirks,
    acceptor: &'a TlsAcceptor,
    encrypted: bool,
    user: String,
    /// `None` in AUTHORIZATION.
    maildrop: Option<Vec<Listed>>,
    exchanged: bool,
}

/// What becomes of the session after a command.
#[derive(PartialEq, Eq)]
enum Next {
    Command,
    Close,
}

pub(super) fn verb_of(line: &str) -> String {
    let verb = line.split(' ').next().unwrap_or_default();
    verb.to_ascii_uppercase()
}

pub(super) async fn run(
    wire: Wire,
    shared: &Shared,
    number: usize,
    quirks: &Quirks,
    acceptor: &TlsAcceptor,
) -> io::Result<()> {
    let session = Session {
        wire,
        shared,
        number,
        quirks,
        acceptor,
        encrypted: quirks.tls == Tls::Implicit,
        user: String::new(),
        maildrop: None,
        exchanged: false,
    };
    session.serve().await
}

impl Session<'_> {
    async fn serve(mut self) -> io::Result<()> {
        if self.quirks.unanswered.contains(&"GREETING") {
            return self.wire.swallow().await;
        }
        self.wire.reply(b"+OK scripted server ready\r\n").await?;
        while let Some(line) = self.next_line().await? {
            let exchange = self.quirks.out_of_order && self.maildrop.is_some() && !self.exchanged;
            if exchange && self.wire.is_waiting() {
                self.exchanged = true;
                if let Some(second) = self.next_line().await? {
                    self.command(&second).await?;
                }
            }
            if self.command(&line).await? == Next::Close {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits for a command: for so long as the server has patience.
    async fn next_line(&mut self) -> io::Result<Option<String>> {
        let line = match self.quirks.idle.filter(|_| self.maildrop.is_some()) {
            Some(idle) => match tokio::time::timeout(idle, self.wire.line()).await {
                Ok(line) => line?,
                Err(_) => return Ok(None),
            },
            None => self.wire.line().await?,
        };
        let Some(line) = line else { return Ok(None) };
        let line = String::from_utf8_lossy(&line).into_owned();
        self.shared.lock().commands.push(Command {
            session: self.number,
            line: line.clone(),
            at: Instant::now(),
        });
        Ok(Some(line))
    }

    async fn command(&mut self, line: &str) -> io::Result<Next> {
        let verb = verb_of(line);
        if self.quirks.unanswered.iter().any(|silent| *silent == verb) {
            self.wire.swallow().await?;
            return Ok(Next::Close);
        }
        if let Some((reply, close)) = self.instead(&verb, line) {
            self.wire.reply(&reply).await?;
            return Ok(if close { Next::Close } else { Next::Command });
        }
        if self.quirks.unknown.iter().any(|unknown| *unknown == verb) {
            return self.err("unknown command").await;
        }
        let arguments: Vec<&str> = line.split(' ').skip(1).filter(|a| !a.is_empty()).collect();
        match verb.as_str() {
            "CAPA" => self.capabilities().await,
            "QUIT" => self.quit().await,
            _ if self.maildrop.is_none() => self.authorization(&verb, line, &arguments).await,
            _ => self.transaction(&verb, &arguments).await,
        }
    }

    /// The reply that a test wants, while it wants it.
    fn instead(&self, verb: &str, line: &str) -> Option<(Vec<u8>, bool)> {
        let mut state = self.shared.lock();
        for (at, instead) in self.quirks.instead.iter().enumerate() {
            if instead.command != verb && !instead.command.eq_ignore_ascii_case(line) {
                continue;
            }
            let used = state.used.entry(at).or_default();
            if *used < instead.times {
                *used += 1;
                return Some((instead.reply.clone(), instead.close));
            }
        }
        None
    }

    async fn ok(&mut self, text: &str) -> io::Result<Next> {
        self.wire
            .reply(format!("+OK {text}\r\n").as_bytes())
            .await?;
        Ok(Next::Command)
    }

    async fn err(&mut self, text: &str) -> io::Result<Next> {
        self.wire
            .reply(format!("-ERR {text}\r\n").as_bytes())
            .await?;
        Ok(Next::Command)
    }

    /// RFC 2449 §5 CAPA; both states.
    async fn capabilities(&mut self) -> io::Result<Next> {
        let all = if self.maildrop.is_some() {
            &self.quirks.capabilities_after
        } else {
            &self.quirks.capabilities_before
        };
        let Some(all) = all else {
            return self.err("unknown command").await;
        };
        let mut reply = "+OK capabilities follow\r\n".to_owned();
        if self.quirks.tls == Tls::Stls && !self.encrypted {
            reply.push_str("STLS\r\n");
        }
        for one in all {
            reply.push_str(one);
            reply.push_str("\r\n");
        }
        if self.quirks.endless == Some(Endless::Capabilities) {
            return self.endless(reply.as_bytes(), b"X-AND-MORE\r\n").await;
        }
        reply.push_str(".\r\n");
        self.wire.reply(reply.as_bytes()).await?;
        Ok(Next::Command)
    }

    /// Sends `more` until the client goes.
    async fn endless(&mut self, start: &[u8], more: &[u8]) -> io::Result<Next> {
        self.wire.send(start).await?;
        let block = more.repeat(16 * 1024 / more.len());
        loop {
            self.wire.send(&block).await?;
        }
    }

    async fn authorization(
        &mut self,
        verb: &str,
        line: &str,
        arguments: &[&str],
    ) -> io::Result<Next> {
        match (verb, arguments) {
            ("STLS", []) if self.quirks.tls == Tls::Stls && !self.encrypted => {
                let mut reply = b"+OK begin TLS\r\n".to_vec();
                reply.extend_from_slice(&self.quirks.injected);
                self.wire.reply(&reply).await?;
                self.wire.encrypt(self.acceptor).await?;
                self.encrypted = true;
                Ok(Next::Command)
            }
            ("USER", [name]) => {
                self.user = (*name).to_owned();
                self.ok("send PASS").await
            }
            ("PASS", _) => {
                let password = line.get(5..).unwrap_or_default();
                let good = self.user == USER && password == PASSWORD;
                self.logged_in(good).await
            }
            ("AUTH", [mechanism]) => self.sasl(mechanism, None).await,
            ("AUTH", [mechanism, initial]) => self.sasl(mechanism, Some(initial)).await,
            _ => self.err("not now").await,
        }
    }

    /// RFC 5034 §4 AUTH; state AUTHORIZATION.
    async fn sasl(&mut self, mechanism: &str, initial: Option<&str>) -> io::Result<Next> {
        let response = match initial {
            Some(initial) => initial.to_owned(),
            None => {
                self.wire.reply(b"+ \r\n").await?;
                let line = self.wire.line().await?.unwrap_or_default();
                String::from_utf8_lossy(&line).into_owned()
            }
        };
        let given = decoded(&response);
        match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let expected = format!("\0{USER}\0{PASSWORD}");
                self.logged_in(given == expected.as_bytes()).await
            }
            "XOAUTH2" => {
                let expected = |token| format!("user={USER}\x01auth=Bearer {token}\x01\x01");
                let token = self.quirks.token;
                if token.is_some_and(|token| given == expected(token).as_bytes()) {
                    return self.logged_in(true).await;
                }
                // The reason first; the client answers it with an empty line.
                self.wire.reply(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n").await?;
                self.wire.line().await?;
                self.logged_in(false).await
            }
            _ => self.err("unknown mechanism").await,
        }
    }

    async fn logged_in(&mut self, good: bool) -> io::Result<Next> {
        if !good {
            self.err("[AUTH] no such user, or another password").await?;
            let close = self.quirks.closes_on_failure;
            return Ok(if close { Next::Close } else { Next::Command });
        }
        let listed = |kept: &Kept| Listed {
            serial: kept.serial,
            message: Arc::clone(&kept.message),
            deleted: false,
        };
        let maildrop: Vec<_> = {
            let state = self.shared.lock();
            let shown = state.maildrop.iter().filter(|kept| !kept.hidden);
            let window = self.quirks.window.unwrap_or(usize::MAX);
            shown.take(window).map(listed).collect()
        };
        self.maildrop = Some(maildrop);
        self.ok("maildrop ready").await
    }

    /// RFC 1939 §6 QUIT; both states.
    async fn quit(&mut self) -> io::Result<Next> {
        let Some(maildrop) = self.maildrop.take() else {
            self.ok("bye").await?;
            return Ok(Next::Close);
        };
        let quit = self.quirks.quit;
        if !matches!(quit, Quit::Refuses | Quit::Hangs) {
            let gone: Vec<_> = maildrop.iter().filter(|listed| listed.deleted).collect();
            let mut state = self.shared.lock();
            state
                .maildrop
                .retain(|kept| gone.iter().all(|gone| gone.serial != kept.serial));
            let messages = gone.iter().map(|gone| gone.message.as_ref().clone());
            state.deleted.extend(messages);
        }
        match quit {
            Quit::Deletes => {
                self.ok("bye").await?;
            }
            Quit::DeletesAndCloses => {}
            Quit::DeletesAndDenies | Quit::Refuses => {
                self.err("[SYS/TEMP] some messages are not removed").await?;
            }
            Quit::DeletesSilently | Quit::Hangs => self.wire.swallow().await?,
        }
        Ok(Next::Close)
    }

    /// One way to a message: its number is in range, and it is not deleted.
    fn visible(&self, number: &str) -> Option<(usize, Arc<Message>)> {
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        let listed = self.maildrop.as_ref()?.get(index)?;
        (!listed.deleted).then(|| (index, Arc::clone(&listed.message)))
    }

    /// Message-numbers and messages that are not deleted.
    fn all(&self) -> Vec<(usize, Arc<Message>)> {
        let all = self.maildrop.iter().flatten().enumerate();
        let visible = all.filter(|(_, listed)| !listed.deleted);
        visible
            .map(|(at, listed)| (at + 1, Arc::clone(&listed.message)))
            .collect()
    }

    async fn transaction(&mut self, verb: &str, arguments: &[&str]) -> io::Result<Next> {
        match (verb, arguments) {
            ("NOOP", []) => self.ok("here").await,
            ("STAT", []) => {
                if self.quirks.endless == Some(Endless::Status) {
                    return self.endless(b"+OK ", b"7").await;
                }
                let all = self.all();
                let octets: u64 = all.iter().map(|(_, message)| self.octets(message)).sum();
                self.ok(&format!("{} {octets}", all.len())).await
            }
            ("RSET", []) => {
                let all = self.maildrop.iter_mut().flatten();
                all.for_each(|listed| listed.deleted = false);
                self.ok("nothing is deleted").await
            }
            ("LIST" | "UIDL", []) => self.listing(verb).await,
            ("LIST" | "UIDL", [number]) => match self.visible(number) {
                Some((index, message)) => {
                    let line = self.listing_line(verb, index + 1, &message);
                    self.wire.reply(&[b"+OK ", &line[..]].concat()).await?;
                    Ok(Next::Command)
                }
                None => self.err("no such message").await,
            },
            ("DELE", [number]) => match self.visible(number) {
                Some((index, _)) => {
                    let maildrop = self.maildrop.iter_mut().flatten();
                    maildrop.skip(index).take(1).for_each(|l| l.deleted = true);
                    self.ok("deleted").await
                }
                None => self.err("no such message").await,
            },
            ("RETR", [number]) => self.retrieve(number).await,
            ("TOP", [number, lines]) => {
                let lines = lines.parse::<usize>().unwrap_or(0);
                match self.visible(number) {
                    Some((_, message)) => {
                        let reply = self.message_reply(&top_of(&message.bytes, lines));
                        self.wire.reply(&reply).await?;
                        Ok(Next::Command)
                    }
                    None => self.err("no such message").await,
                }
            }
            _ => self.err("what?").await,
        }
    }

    fn octets(&self, message: &Message) -> u64 {
        let lines = message.bytes.iter().filter(|byte| **byte == b'\n').count();
        match self.quirks.sizes {
            Sizes::True => message.bytes.len() as u64,
            Sizes::LfAsOne => (message.bytes.len() - lines) as u64,
            Sizes::All(octets) => octets,
        }
    }

    fn listing_line(&self, verb: &str, number: usize, message: &Message) -> Vec<u8> {
        let value = if verb == "LIST" {
            self.octets(message).to_string().into_bytes()
        } else {
            message.id.clone()
        };
        let number = number.to_string().into_bytes();
        let (between, after): (&[u8], &[u8]) = if self.quirks.extra_spaces {
            (b"   ", b"  ")
        } else {
            (b" ", b"")
        };
        [&number[..], between, &value, after, b"\r\n"].concat()
    }

    async fn listing(&mut self, verb: &str) -> io::Result<Next> {
        let mut reply = b"+OK\r\n".to_vec();
        match (self.quirks.endless, verb) {
            (Some(Endless::Listing), "LIST") => return self.endless(&reply, b"1 100\r\n").await,
            (Some(Endless::UniqueIds), "UIDL") => return self.endless(&reply, b"1 a\r\n").await,
            (Some(Endless::Line), "UIDL") => return self.endless(b"+OK\r\n1 ", b"a").await,
            _ => {}
        }
        let told = match verb {
            "UIDL" => self.quirks.unique_ids_told.unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        for (number, message) in self.all().into_iter().take(told) {
            reply.extend(self.listing_line(verb, number, &message));
        }
        reply.extend_from_slice(b".\r\n");
        self.wire.reply(&reply).await?;
        Ok(Next::Command)
    }

    /// RFC 1939 §5 RETR; state TRANSACTION.
    async fn retrieve(&mut self, number: &str) -> io::Result<Next> {
        let Some((index, message)) = self.visible(number) else {
            return self.err("no such message").await;
        };
        if self.quirks.endless == Some(Endless::Message) {
            return self
                .endless(b"+OK\r\nSubject: endless\r\n\r\n", b"and on\r\n")
                .await;
        }
        let reply = self.message_reply(&message.bytes);
        self.wire.send(&reply).await?;
        if self.quirks.hides_retrieved {
            let serial = self.maildrop.iter().flatten().nth(index).map(|l| l.serial);
            let mut state = self.shared.lock();
            let mine = state
                .maildrop
                .iter_mut()
                .find(|kept| Some(kept.serial) == serial);
            mine.into_iter().for_each(|kept| kept.hidden = true);
        }
        self.wire.replied().await?;
        Ok(Next::Command)
    }

    /// A message as a multi-line reply.
    fn message_reply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut reply = format!("+OK {} octets\r\n", bytes.len()).into_bytes();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") && !self.quirks.unstuffed {
                reply.push(b'.');
            }
            reply.extend_from_slice(line);
        }
        if !reply.ends_with(b"\n") {
            reply.extend_from_slice(b"\r\n");
        }
        let end: &[u8] = if self.quirks.lf_terminator {
            b".\n"
        } else {
            b".\r\n"
        };
        reply.extend_from_slice(end);
        reply
    }
}

/// The header, the empty line and so many lines of the body.
fn top_of(bytes: &[u8], lines: usize) -> Vec<u8> {
    let (mut top, mut body) = (Vec::new(), None);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match &mut body {
            None if line == b"\r\n" || line == b"\n" => body = Some(0),
            None => {}
            Some(seen) if *seen == lines => break,
            Some(seen) => *seen += 1,
        }
        top.extend_from_slice(line);
    }
    top
}

/// Base64; nothing for what is none.
fn decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let Some(value) = ALPHABET.iter().position(|known| *known == byte) else {
            return Vec::new();
        };
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
