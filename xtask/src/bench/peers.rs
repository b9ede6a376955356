//! The three servers: started on loopback with the same mail and the same certificate.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::client::{Buffer, Client, Target};
use super::mailset::{Mailbox, Mailsets, without_cr};
use crate::dovecot::Dovecot;
use crate::process::{Running, free_port, run};
use crate::program::{PASSWORD, Program};
use crate::{Fallible, fail, pop};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Null,
    Dovecot,
    Ours,
}

/// In the order of the table's columns.
pub(super) const PEERS: [Peer; 3] = [Peer::Null, Peer::Dovecot, Peer::Ours];
/// Those that store.
pub(super) const STORES: [Peer; 2] = [Peer::Dovecot, Peer::Ours];

struct Null {
    running: Running,
    pop3: u16,
    pop3s: u16,
}

/// All of them; ended when dropped.
pub(super) struct Peers {
    pub(super) sets: Mailsets,
    null: Null,
    dovecot: Dovecot,
    ours: Program,
    tls: Arc<ClientConfig>,
}

impl Peers {
    /// Makes the mail, fills and starts the servers, and holds each one's mail against what went in.
    pub(super) fn start(binary: &Path, quick: bool) -> Fallible<Self> {
        let sets = Mailsets::new(quick);
        let mut ours = Program::new(binary, "bench")?;
        leaf_certificate(&ours)?;
        let dovecot = dovecot(&sets, &ours)?;
        let begun = Instant::now();
        for mailbox in sets.filled() {
            let messages: Vec<Vec<u8>> = (0..mailbox.count)
                .map(|index| without_cr(&mailbox.message(index)))
                .collect();
            dovecot.fill(&mailbox.user, messages.iter().map(Vec::as_slice))?;
        }
        println!(
            "  Maildir written in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        let begun = Instant::now();
        // The user with the large mailbox is made as people make users, with argon2id.
        ours.add_user(&sets.big.user)?;
        ours.password_file(names(&sets).filter(|name| *name != sets.big.user))?;
        for mailbox in sets.filled() {
            ours.import(&dovecot.path("mail").join(&mailbox.user), &mailbox.user)?;
        }
        println!("  imported in {:.1} s", begun.elapsed().as_secs_f64());
        ours.start()?;
        let null = null(&ours, quick)?;
        let tls = pop::tls_config(&ours.certificate())?;
        let mut peers = Self {
            sets,
            null,
            dovecot,
            ours,
            tls,
        };
        peers.dovecot.start()?;
        for peer in PEERS {
            peers.check(peer)?;
        }
        Ok(peers)
    }

    /// Every size of every mailbox, and messages octet for octet. Warms every cache there is, too.
    fn check(&self, peer: Peer) -> Fallible<()> {
        let mut buffer = Buffer::new(64 * 1024);
        for mailbox in self.sets.filled() {
            let big = mailbox.user == self.sets.big.user;
            let some = if big && peer == Peer::Null { 0 } else { 20 };
            self.check_one(peer, mailbox, some, &mut buffer)
                .map_err(|error| format!("{peer:?}, {}: {error}", mailbox.user))?;
        }
        Ok(())
    }

    fn check_one(
        &self,
        peer: Peer,
        mailbox: &Mailbox,
        messages: usize,
        buffer: &mut Buffer,
    ) -> Fallible<()> {
        let mut client = Client::connect(&self.plain(peer), buffer)?;
        client.login(&mailbox.user, buffer)?;
        client.stat(mailbox.count, mailbox.octets(), buffer)?;
        client.exact_list(mailbox, buffer)?;
        client.listing("UIDL", mailbox.count, buffer)?;
        for step in 0..messages {
            client.exact(mailbox, step * mailbox.count / messages, buffer)?;
        }
        Ok(client.quit(buffer)?)
    }

    pub(super) fn plain(&self, peer: Peer) -> Target {
        let port = match peer {
            Peer::Null => self.null.pop3,
            Peer::Dovecot => self.dovecot.pop3,
            Peer::Ours => self.ours.pop3,
        };
        Target { port, tls: None }
    }

    pub(super) fn tls(&self, peer: Peer) -> Target {
        let port = match peer {
            Peer::Null => self.null.pop3s,
            Peer::Dovecot => self.dovecot.pop3s,
            Peer::Ours => self.ours.pop3s,
        };
        Target {
            port,
            tls: Some(Arc::clone(&self.tls)),
        }
    }

    pub(super) fn lmtp(&self, peer: Peer) -> Fallible<u16> {
        match peer {
            Peer::Null => fail("the null server takes no mail"),
            Peer::Dovecot => Ok(self.dovecot.lmtp),
            Peer::Ours => Ok(self.ours.lmtp),
        }
    }

    pub(super) fn pid(&mut self, peer: Peer) -> Fallible<u32> {
        Ok(match peer {
            Peer::Null => self.null.running.pid(),
            Peer::Dovecot => self.dovecot.pid(),
            Peer::Ours => self.ours.daemon()?.pid(),
        })
    }

    /// Ends it and starts it again; returns when its ports answer.
    pub(super) fn restart(&mut self, peer: Peer) -> Fallible<()> {
        match peer {
            Peer::Null => Ok(()),
            Peer::Dovecot => {
                self.dovecot.stop()?;
                self.dovecot.start()
            }
            Peer::Ours => {
                self.ours.stop()?;
                self.ours.start()
            }
        }
    }

    /// An error if ours is gone or panicked while it was measured.
    pub(super) fn healthy(&mut self) -> Fallible<()> {
        self.ours.healthy()
    }
}

fn names(sets: &Mailsets) -> impl Iterator<Item = String> + '_ {
    let filled = sets.filled().map(|mailbox| mailbox.user.clone());
    filled.chain(sets.receivers.iter().cloned())
}

/// A P-256 certificate that is no authority's: rustls takes no other from a server.
fn leaf_certificate(ours: &Program) -> Fallible<()> {
    let mut command = Command::new("openssl");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .arg(ours.certificate())
        .arg("-keyout")
        .arg(ours.path("key.pem"));
    let said = run(&mut command, b"", Duration::from_secs(30))?.ok("openssl req")?;
    drop(said);
    Ok(())
}

/// Dovecot compares the password in clear and remembers logins: no hashing slows it down. Ours reads
/// hashes and remembers verified logins.
fn dovecot(sets: &Mailsets, ours: &Program) -> Fallible<Dovecot> {
    let dovecot = Dovecot::new(names(sets))?;
    let lines: String = names(sets)
        .map(|user| format!("{user}:{{PLAIN}}{PASSWORD}\n"))
        .collect();
    fs::write(dovecot.path("passwd"), lines)?;
    for name in ["certificate.pem", "key.pem"] {
        fs::copy(ours.path(name), dovecot.path(name))?;
    }
    Ok(dovecot)
}

/// Starts this very program again, as the null server.
fn null(ours: &Program, quick: bool) -> Fallible<Null> {
    let (pop3, pop3s) = (free_port()?, free_port()?);
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["bench", "null"])
        .args([pop3.to_string(), pop3s.to_string()])
        .arg(ours.certificate())
        .arg(ours.path("key.pem"))
        .arg(if quick { "quick" } else { "full" });
    let mut running = Running::start(&mut command, "null server", &ours.path("null.log"))?;
    running.wait_port(pop3, Duration::from_secs(60))?;
    running.wait_port(pop3s, Duration::from_secs(5))?;
    Ok(Null {
        running,
        pop3,
        pop3s,
    })
}
