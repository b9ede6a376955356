//! A POP3 server that behaves as a test says: RFC 1939 by default, and every oddity that a fetcher
//! meets on request.
//!
//! It serves one maildrop on a free port of the loopback interface. Deletions count at QUIT only, as
//! RFC 1939 §6 has it; the server keeps account of every command and of every deletion that counted,
//! so that a test can see what a client asked for and what it cost. What is odd is in [`Quirks`],
//! which may be changed while the server runs: it counts from the next connection on.

mod listener;
mod quirks;
mod session;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tempfile::TempDir;
use tokio::task::JoinHandle;

pub use quirks::{Cut, Endless, Instead, Quirks, Quit, Sizes, Tls, Trickle};

/// The user's name.
pub const USER: &str = "ann";
/// The user's password.
pub const PASSWORD: &str = "correct horse";

/// A message on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The unique-id, whatever octets it has.
    pub id: Vec<u8>,
    /// The exact octets.
    pub bytes: Vec<u8>,
}

impl Message {
    /// A message.
    pub fn new(id: impl Into<Vec<u8>>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            id: id.into(),
            bytes: bytes.into(),
        }
    }
}

/// Messages with evident unique-ids (`uid-1` …), each with a Message-ID, a subject and a body of its
/// own; every third has lines that start with a dot.
pub fn messages(count: usize) -> Vec<Message> {
    let one = |number: usize| {
        let odd = if number.is_multiple_of(3) {
            ".x\r\n..y\r\n"
        } else {
            ""
        };
        let text = format!(
            "From: sender-{number}@example.org\r\nTo: ann@example.org\r\nSubject: number {number}\r\n\
             Message-ID: <{number}@example.org>\r\nDate: Mon, 6 Jul 2026 12:00:00 +0000\r\n\r\n\
             This is message {number}.\r\n{odd}Its last line.\r\n"
        );
        Message::new(format!("uid-{number}"), text)
    };
    (1..=count).map(one).collect()
}

/// A command that the server has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which connection, from 1 on.
    pub session: usize,
    /// The line without its end.
    pub line: String,
    /// When it was read.
    pub at: Instant,
}

/// A message, and what tells it from another with the same unique-id.
#[derive(Debug, Clone)]
struct Kept {
    serial: u64,
    message: Arc<Message>,
    /// Retrieved once, by a server that shows a message no more after that.
    hidden: bool,
}

#[derive(Default)]
struct State {
    quirks: Quirks,
    maildrop: Vec<Kept>,
    next_serial: u64,
    commands: Vec<Command>,
    deleted: Vec<Message>,
    sessions: usize,
    /// Quirks that are used up, by what they count.
    used: BTreeMap<usize, usize>,
}

impl State {
    fn deliver(&mut self, message: Message) {
        self.next_serial += 1;
        self.maildrop.push(Kept {
            serial: self.next_serial,
            message: Arc::new(message),
            hidden: false,
        });
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    octets: AtomicU64,
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server; it stops, and drops its connections, when it is dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    folder: TempDir,
    accepting: JoinHandle<()>,
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl ScriptedServer {
    /// Starts a server with these messages.
    pub async fn start(messages: Vec<Message>, quirks: Quirks) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        for message in messages {
            shared.lock().deliver(message);
        }
        shared.lock().quirks = quirks;
        let folder = tempfile::tempdir()?;
        let (address, accepting) = listener::start(&shared, folder.path()).await?;
        Ok(Self {
            address,
            shared,
            folder,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its TLS, in PEM, good for `localhost` and 127.0.0.1.
    pub fn ca_file(&self) -> std::path::PathBuf {
        self.folder.path().join(CERTIFICATE)
    }

    /// Changes how it behaves, from the next connection on. What was used up counts anew.
    pub fn change(&self, change: impl FnOnce(&mut Quirks)) {
        let mut state = self.shared.lock();
        change(&mut state.quirks);
        state.used.clear();
    }

    /// New mail.
    pub fn deliver(&self, message: Message) {
        self.shared.lock().deliver(message);
    }

    /// Gives all messages other unique-ids, as a migration would.
    pub fn rename_ids(&self, rename: impl Fn(&[u8]) -> Vec<u8>) {
        for kept in &mut self.shared.lock().maildrop {
            let Message { id, bytes } = kept.message.as_ref();
            kept.message = Arc::new(Message::new(rename(id), bytes.clone()));
        }
    }

    /// What is in the maildrop.
    pub fn maildrop(&self) -> Vec<Message> {
        let state = self.shared.lock();
        state
            .maildrop
            .iter()
            .map(|kept| kept.message.as_ref().clone())
            .collect()
    }

    /// What sessions have deleted for good.
    pub fn deleted(&self) -> Vec<Message> {
        self.shared.lock().deleted.clone()
    }

    /// All commands so far.
    pub fn commands(&self) -> Vec<Command> {
        self.shared.lock().commands.clone()
    }

    /// The lines of all commands that begin with `verb`.
    pub fn lines(&self, verb: &str) -> Vec<String> {
        let all = self.commands().into_iter().map(|command| command.line);
        all.filter(|line| session::verb_of(line) == verb).collect()
    }

    /// How many connections there were.
    pub fn sessions(&self) -> usize {
        self.shared.lock().sessions
    }

    /// How many connections there were at most at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::Relaxed)
    }

    /// Octets of POP3 that were sent, TLS aside.
    pub fn octets_sent(&self) -> u64 {
        self.shared.octets.load(Ordering::Relaxed)
    }
}

const CERTIFICATE: &str = "certificate.pem";

fn write_certificate(folder: &Path, pem: &str) -> io::Result<()> {
    std::fs::write(folder.join(CERTIFICATE), pem)
}

#[cfg(test)]
mod tests;
