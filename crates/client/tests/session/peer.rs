//! A POP3 server for tests: a table from command to reply, with the faults of real ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use restante_client::{Connection, Credentials, Error, Event, Login, Pipeline, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(crate) const PLAIN: &str = "USER\r\nUIDL";
const FULL: &str = "USER\r\nUIDL\r\nTOP\r\nPIPELINING";

#[derive(Default)]
pub(crate) struct Peer {
    before: Option<String>,
    after: Option<String>,
    answers: Vec<(String, String)>,
    then: VecDeque<String>,
    silent_at: Option<String>,
    deaf_after: Option<String>,
    closing_at: Option<String>,
    endless: Option<(String, String)>,
    one_line_a_read: bool,
    buffer: Option<usize>,
    budget: Option<usize>,
    reads: Arc<Mutex<Vec<String>>>,
    spent: Arc<Mutex<usize>>,
}

/// A message as it goes over the wire, without terminator.
pub(crate) fn text(number: u64) -> String {
    format!("Subject: {number}\r\n\r\n..dot\r\n")
}

impl Peer {
    pub(crate) fn capabilities(mut self, before: &str, after: &str) -> Self {
        self.before = Some(before.into());
        self.after = Some(after.into());
        self
    }

    /// Answers commands that begin so otherwise; what is said last counts.
    pub(crate) fn answering(mut self, command: &str, reply: &str) -> Self {
        self.answers.push((command.into(), reply.into()));
        self
    }

    /// Answers what it would not know, in this order.
    pub(crate) fn then(mut self, replies: &[&str]) -> Self {
        self.then
            .extend(replies.iter().map(|&reply| reply.to_owned()));
        self
    }

    /// Never answers this.
    pub(crate) fn silent_at(mut self, command: &str) -> Self {
        self.silent_at = Some(command.into());
        self
    }

    /// Reads nothing after this.
    pub(crate) fn deaf_after(mut self, command: &str) -> Self {
        self.deaf_after = Some(command.into());
        self
    }

    /// Closes the connection instead of answering this.
    pub(crate) fn closing_at(mut self, command: &str) -> Self {
        self.closing_at = Some(command.into());
        self
    }

    /// Answers this with `+OK` and then the same for ever.
    pub(crate) fn endless(mut self, command: &str, piece: &str) -> Self {
        self.endless = Some((command.into(), piece.into()));
        self
    }

    /// Forgets what comes with one read beyond its first line.
    pub(crate) fn one_line_a_read(mut self) -> Self {
        self.one_line_a_read = true;
        self
    }

    /// Octets that the transport holds in either direction.
    pub(crate) fn buffer(mut self, octets: usize) -> Self {
        self.buffer = Some(octets);
        self
    }

    /// Hangs up after so many octets.
    pub(crate) fn budget(mut self, octets: usize) -> Self {
        self.budget = Some(octets);
        self
    }

    /// What came with each read.
    pub(crate) fn reads(&self) -> Arc<Mutex<Vec<String>>> {
        self.reads.clone()
    }

    /// Octets sent.
    pub(crate) fn spent(&self) -> Arc<Mutex<usize>> {
        self.spent.clone()
    }

    pub(crate) fn start(self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(self.buffer.unwrap_or(1 << 16));
        tokio::spawn(self.serve(server));
        client
    }

    async fn say(&self, io: &mut DuplexStream, bytes: &[u8]) -> bool {
        let left = self.budget.unwrap_or(usize::MAX) - *self.spent.lock().unwrap();
        let octets = bytes.len().min(left);
        *self.spent.lock().unwrap() += octets;
        io.write_all(&bytes[..octets]).await.is_ok() && octets == bytes.len()
    }

    async fn serve(mut self, mut io: DuplexStream) {
        if self.silent_at.as_deref() == Some("") {
            return std::future::pending().await;
        }
        if !self.say(&mut io, b"+OK ready\r\n").await {
            return;
        }
        let (mut bytes, mut pending) = (vec![0; 1 << 16], String::new());
        let mut logged_in = false;
        loop {
            let octets = match io.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(octets) => octets,
            };
            let read = String::from_utf8_lossy(&bytes[..octets]).into_owned();
            self.reads.lock().unwrap().push(read.clone());
            pending.push_str(&read);
            while let Some((line, rest)) = pending.split_once("\r\n") {
                let line = line.to_owned();
                pending = match self.one_line_a_read {
                    true => String::new(),
                    false => rest.to_owned(),
                };
                let is = |at: &Option<String>| at.as_ref().is_some_and(|at| line.starts_with(at));
                if is(&self.silent_at) {
                    return std::future::pending().await;
                } else if is(&self.closing_at) {
                    return;
                }
                if let Some((command, piece)) = &self.endless
                    && line.starts_with(command)
                    && logged_in
                {
                    let head = match command.as_str() {
                        "STAT" => "+OK ",
                        _ => "+OK\r\n",
                    };
                    let piece = piece.repeat(10_000);
                    let mut alive = self.say(&mut io, head.as_bytes()).await;
                    while alive {
                        alive = self.say(&mut io, piece.as_bytes()).await;
                    }
                    return;
                }
                let reply = self.answer(&line, logged_in);
                logged_in |= line.starts_with("PASS") && reply.starts_with("+OK");
                if !self.say(&mut io, reply.as_bytes()).await || line == "QUIT" {
                    return;
                }
                if self
                    .deaf_after
                    .as_ref()
                    .is_some_and(|at| line.starts_with(at))
                {
                    return std::future::pending().await;
                }
            }
        }
    }

    fn answer(&mut self, line: &str, logged_in: bool) -> String {
        let told = self
            .answers
            .iter()
            .rev()
            .find(|(command, _)| line.starts_with(command));
        if let Some((_, reply)) = told {
            return reply.clone();
        }
        let capabilities = match logged_in {
            true => self.after.as_deref(),
            false => self.before.as_deref(),
        };
        let number = line
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse::<u64>().ok());
        let known = number.filter(|number| (1..=2).contains(number));
        let keyword = line.split(' ').next().unwrap_or_default();
        match (keyword, known) {
            ("CAPA", _) => format!("+OK\r\n{}\r\n.\r\n", capabilities.unwrap_or(FULL)),
            ("USER" | "PASS" | "NOOP" | "QUIT", _) => "+OK\r\n".into(),
            ("STAT", _) => "+OK 2 320\r\n".into(),
            ("LIST", _) if number.is_none() => "+OK\r\n1 120\r\n2 200\r\n.\r\n".into(),
            ("UIDL", _) if number.is_none() => "+OK\r\n1 first\r\n2 second\r\n.\r\n".into(),
            ("UIDL", Some(1)) => "+OK 1 first\r\n".into(),
            ("UIDL", Some(_)) => "+OK 2 second\r\n".into(),
            ("RETR" | "TOP", Some(number)) => format!("+OK\r\n{}.\r\n", text(number)),
            ("DELE", Some(_)) => "+OK\r\n".into(),
            _ => self
                .then
                .pop_front()
                .unwrap_or_else(|| "-ERR no such message\r\n".into()),
        }
    }
}

/// After a login with USER and PASS.
pub(crate) async fn logged_in(peer: Peer) -> Session {
    let connection = Connection::over_private(peer.start(), Duration::from_secs(60)).await;
    let login = Login::new("tim", Credentials::Password("tanstaaf".into()));
    connection.unwrap().login(&login).await.unwrap()
}

/// All events, in words; pieces of a message are one.
pub(crate) async fn drain(pipeline: &mut Pipeline) -> Result<Vec<String>, Error> {
    let (mut events, mut body) = (Vec::new(), Vec::new());
    while let Some(event) = pipeline.next().await? {
        let said = match event {
            Event::Chunk { bytes, .. } => {
                body.extend_from_slice(bytes);
                continue;
            }
            Event::Ended { number } => {
                if !body.is_empty() {
                    events.push(format!("chunk {number} {}", body.escape_ascii()));
                    body.clear();
                }
                format!("ended {number}")
            }
            Event::Capabilities(_) => "capabilities".into(),
            Event::Totals(totals) => format!("totals {} {}", totals.count, totals.octets),
            Event::Scan(scan) => format!("scan {} {}", scan.number, scan.octets),
            Event::Listed => "listed".into(),
            Event::UniqueId { number, id } => format!("id {number} {}", id.escape_ascii()),
            Event::UniqueIdsListed => "ids listed".into(),
            Event::Began { number } => format!("began {number}"),
            Event::Deleted { number } => format!("deleted {number}"),
            Event::Alive => "alive".into(),
            Event::Refused { reply, .. } => format!("refused {reply}"),
        };
        events.push(said);
    }
    Ok(events)
}
