//! A server on a loopback port, and a client that speaks in lines.

use std::sync::Arc;
use std::time::Duration;

use restante_access::pop3::{Options, Pop3};
use restante_directory::Directory;
use restante_net::{Address, Drainer, Limits, Listener, LocalAddress, run};
use restante_proto::Secret;
use restante_proto::dot::{Decoder, LineEnds};
use restante_store::{MailStore, MailboxId};
use restante_testkit::exec::{block_on, deliver};
use restante_testkit::memory::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A usual message with LF line ends, some of them before dots.
pub(crate) fn message(number: usize) -> Vec<u8> {
    format!("Subject: {number}\n\n.dots\n..\nmore of message {number}\n").into_bytes()
}

/// The handler, with the user `tim`, and what it stands on.
pub(crate) fn pop3(options: Options) -> (tempfile::TempDir, Arc<Pop3>, MemoryStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let directory = Directory::open(&path, restante_directory::Options::default()).unwrap();
    directory
        .add_user("tim", &Secret::from("secret words"), None)
        .unwrap();
    let store = MemoryStore::new();
    let pop3 = Pop3::new(store.shared(), Arc::new(directory), options);
    (folder, Arc::new(pop3), store)
}

pub(crate) struct Server {
    pub(crate) store: MemoryStore,
    pub(crate) drainer: Drainer,
    mailbox: MailboxId,
    port: u16,
    running: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(options: Options) -> Self {
        let (folder, pop3, store) = pop3(options);
        let mailbox = block_on(store.create_mailbox("tim")).unwrap();
        let address: Address = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&address).await.unwrap();
        let LocalAddress::Tcp(local) = listener.local_address() else {
            panic!("it is TCP");
        };
        let port = local.port();
        let (drainer, drain) = Drainer::new();
        let running = tokio::spawn(run(listener, Limits::default(), pop3, drain));
        Self {
            store,
            drainer,
            mailbox,
            port,
            running,
            folder,
        }
    }

    pub(crate) fn deliver(&self, bytes: &[u8]) {
        deliver(&self.store, self.mailbox, bytes).unwrap();
    }

    /// The users as another process has them open.
    pub(crate) fn directory(&self) -> Directory {
        let path = self.folder.path().join("state.db");
        Directory::open(&path, restante_directory::Options::default()).unwrap()
    }

    /// Messages in the mailbox.
    pub(crate) fn count(&self) -> u64 {
        let found = block_on(self.store.find_mailbox("tim")).unwrap();
        found.expect("tim has a mailbox").totals.count
    }

    pub(crate) async fn stopped(&mut self) {
        let running = tokio::time::timeout(PATIENCE, &mut self.running).await;
        running.expect("the server stops").expect("no panic");
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Received and not looked at.
    pending: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Little, so that a large message does not fit between the two ends.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let address = ([127, 0, 0, 1], server.port).into();
        let stream = socket.connect(address).await;
        Self {
            stream: stream.unwrap(),
            pending: Vec::new(),
        }
    }

    pub(crate) async fn log_in_as(server: &Server, login: &str) -> Self {
        let mut client = Self::connect(server).await;
        client.line().await;
        client.ask(&format!("USER {login}")).await;
        let reply = client.ask("PASS secret words").await;
        assert!(reply.starts_with("+OK "), "{reply}");
        client
    }

    /// The unique-ids that are listed.
    pub(crate) async fn unique_ids(&mut self) -> Vec<String> {
        let reply = self.ask("UIDL").await;
        assert!(reply.starts_with("+OK "), "{reply}");
        let mut ids = Vec::new();
        loop {
            let line = self.line().await;
            match line.trim_end().split_once(' ') {
                Some((_, id)) => ids.push(id.to_owned()),
                None => return ids,
            }
        }
    }

    pub(crate) async fn log_in(server: &Server) -> Self {
        let mut client = Self::connect(server).await;
        client.line().await;
        client.ask("USER tim").await;
        let reply = client.ask("PASS secret words").await;
        assert!(reply.starts_with("+OK "), "{reply}");
        client
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.try_send(text).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    async fn more(&mut self) -> usize {
        let read = self.stream.read_buf(&mut self.pending);
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the server answers")
            // A reset ends the stream as well.
            .unwrap_or(0)
    }

    /// The next line, or what came before the end.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.pending.iter().position(|&b| b == b'\n') {
                let line = self.pending.drain(..=at).collect();
                return String::from_utf8(line).unwrap();
            }
            if self.more().await == 0 {
                return String::from_utf8(std::mem::take(&mut self.pending)).unwrap();
            }
        }
    }

    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n")).await;
        self.line().await
    }

    /// A whole message, decoded.
    pub(crate) async fn retrieve(&mut self, number: usize) -> Vec<u8> {
        let reply = self.ask(&format!("RETR {number}")).await;
        assert!(reply.starts_with("+OK "), "{reply}");
        let mut decoder = Decoder::new(LineEnds::Crlf);
        let mut message = Vec::new();
        loop {
            let used = decoder.push(&self.pending, &mut message);
            self.pending.drain(..used);
            if decoder.is_done() {
                return message;
            }
            assert!(self.more().await > 0, "the message broke off");
        }
    }

    /// Whether the server has closed, after a short wait.
    pub(crate) async fn ended(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.pending);
        let wait = Duration::from_millis(50);
        matches!(tokio::time::timeout(wait, read).await, Ok(Ok(0) | Err(_)))
    }

    pub(crate) async fn rest_bytes(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.pending)
    }

    pub(crate) async fn rest(&mut self) -> String {
        String::from_utf8(self.rest_bytes().await).unwrap()
    }
}
