//! kill -9 and a cut network at random moments of a fetch that deletes. Whatever is gone from the
//! server must be in the archive, once, octet for octet; and a rerun finishes the job.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, archive};
use crate::dovecot::Dovecot;
use crate::mail;
use crate::process;
use crate::program::{PASSWORD_VARIABLE, Program};
use crate::proxy::{Network, Proxy};
use crate::random::{Random, seed};
use crate::tally::Cases;
use crate::{Fallible, fail};

const USER: &str = "ann";
pub(super) const ACCOUNT: &str = "remote";
/// What comes in on the server before each round, at most.
const NEW_MESSAGES: u64 = 40;
/// The longest that a fetch lives before it is killed, in milliseconds.
const LIFE_MS: u64 = 40;

/// All cases.
pub(super) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    let (kills, cuts) = if quick { (20, 8) } else { (100, 40) };
    let name = format!("{kills} times kill -9 of a fetch that deletes");
    cases.case(&name, || killed(binary, kills));
    let name = format!("{cuts} times the network cut under a fetch that deletes");
    cases.case(&name, || cut(binary, cuts));
}

/// A server that gets new mail, and all that it ever had.
pub(super) struct World {
    pub(super) server: Dovecot,
    pub(super) program: Program,
    pub(super) random: Random,
    sent: Vec<mail::Mail>,
}

impl World {
    pub(super) fn new(binary: &Path) -> Fallible<Self> {
        let seed = seed();
        println!("    seed {seed} (RESTANTE_SEED)");
        let mut server = Dovecot::new([USER.to_owned()].into_iter())?;
        server.fill_raw(USER, 0, std::iter::empty())?;
        server.start()?;
        Ok(Self {
            server,
            program: Program::new(binary, "fetch-crash")?,
            random: Random::new(seed),
            sent: Vec::new(),
        })
    }

    /// New mail, of sizes from some hundred octets to some hundred thousand.
    pub(super) fn new_mail(&mut self) -> Fallible<()> {
        let count = 1 + self.random.below(NEW_MESSAGES);
        let first = self.sent.len();
        for _ in 0..count {
            let number = self.sent.len();
            let mut bytes = format!(
                "From: a@example.net\r\nMessage-ID: <{number}@example.net>\r\nSubject: {number}\r\n\r\n"
            )
            .into_bytes();
            let octets = if self.random.below(8) == 0 {
                300_000
            } else {
                6_000
            };
            let lines = self.random.below(octets / 66) + 1;
            for line in 0..lines {
                let seed = [number as u64, line].map(u64::to_le_bytes).concat();
                bytes.extend_from_slice(format!("{}\r\n", blake3::hash(&seed)).as_bytes());
            }
            let name = number.to_string();
            self.sent.push(mail::Mail { name, bytes });
        }
        let new = self.sent[first..].iter();
        self.server
            .fill_raw(USER, first, new.map(|mail| mail.bytes.as_slice()))
    }

    /// So many messages of 100,000 octets that no compression makes much smaller.
    pub(super) fn incompressible_mail(&mut self, count: usize) -> Fallible<()> {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let first = self.sent.len();
        for number in first..first + count {
            let mut bytes = format!("Message-ID: <{number}@example.net>\r\n\r\n").into_bytes();
            while bytes.len() < 100_000 {
                let line = (0..76).map(|_| *self.random.of(LETTERS));
                bytes.extend(line);
                bytes.extend_from_slice(b"\r\n");
            }
            let name = number.to_string();
            self.sent.push(mail::Mail { name, bytes });
        }
        let new = self.sent[first..].iter();
        self.server
            .fill_raw(USER, first, new.map(|mail| mail.bytes.as_slice()))
    }

    /// What is on the server no more.
    pub(super) fn deleted(&self) -> Fallible<Vec<&mail::Mail>> {
        let left = self.server.left(USER)?;
        let numbers: Vec<usize> = left
            .iter()
            .filter_map(|path| path.file_name()?.to_str()?.split(".M").nth(1)?.get(..6))
            .filter_map(|number| number.parse().ok())
            .collect();
        if numbers.len() != left.len() {
            return fail("a file of the server has a name that it was not given");
        }
        let all = self.sent.iter().enumerate();
        Ok(all
            .filter(|(number, _)| !numbers.contains(number))
            .map(|(_, mail)| mail)
            .collect())
    }

    /// What was deleted is in the archive, and nothing is there twice.
    pub(super) fn safe(&mut self) -> Fallible<()> {
        let got = archive::messages(&mut self.program)?;
        let mut there: Vec<blake3::Hash> = got.iter().map(|bytes| mail::digest(bytes)).collect();
        let all = there.len();
        there.sort_by_key(|hash| *hash.as_bytes());
        there.dedup();
        let deleted = self.deleted()?;
        let lost = deleted
            .iter()
            .filter(|mail| !there.contains(&mail::digest(&mail.bytes)));
        match (lost.count(), all - there.len()) {
            (0, 0) => Ok(()),
            (lost, doubled) => fail(format!(
                "of {} deleted messages {lost} are lost; {doubled} are there more than once",
                deleted.len()
            )),
        }
    }

    /// Writes the account into the configuration: by this port the server is reached from now on. What
    /// was fetched before stays fetched, as the account's name is the same.
    pub(super) fn through(&self, port: u16) -> Fallible<()> {
        let account = format!(
            "[account.{ACCOUNT}]\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"{USER}\"\n\
             security = \"danger-plaintext\"\npassword_env = \"{PASSWORD_VARIABLE}\"\n\
             keep = \"none\"\ntimeout = \"5 s\"\n"
        );
        let path = self.program.path("restante.toml");
        let text = std::fs::read_to_string(&path)?;
        let before = text.split("[account.").next().unwrap_or_default();
        Ok(std::fs::write(path, format!("{before}{account}"))?)
    }

    /// Finishes the job undisturbed, then looks whether all is there once.
    pub(super) fn finish(&mut self) -> Fallible<()> {
        self.through(self.server.pop3)?;
        let said = process::run(&mut self.program.command(&["fetch", ACCOUNT]), b"", LIMIT)?;
        drop(said.ok("the last fetch")?);
        let left = self.server.left(USER)?.len();
        if left > 0 {
            return fail(format!("{left} messages are left on the server"));
        }
        let got = archive::messages(&mut self.program)?;
        let mut times: HashMap<blake3::Hash, usize> = HashMap::new();
        for message in &got {
            *times.entry(mail::digest(message)).or_default() += 1;
        }
        let of = |mail: &&mail::Mail| times.get(&mail::digest(&mail.bytes)).copied();
        let lost = self.sent.iter().filter(|mail| of(mail).is_none()).count();
        let doubled = self.sent.iter().filter(|mail| of(mail) > Some(1)).count();
        println!("    {} messages", self.sent.len());
        if (lost, doubled, got.len()) == (0, 0, self.sent.len()) {
            return Ok(());
        }
        fail(format!(
            "of {} messages {lost} are lost, {doubled} are there more than once; the archive has {}",
            self.sent.len(),
            got.len()
        ))
    }
}

fn killed(binary: &Path, rounds: usize) -> Fallible<()> {
    let mut world = World::new(binary)?;
    world.through(world.server.pop3)?;
    let mut early = 0;
    for _ in 0..rounds {
        world.new_mail()?;
        let mut command = world.program.command(&["fetch", ACCOUNT]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        thread::sleep(Duration::from_millis(world.random.below(LIFE_MS)));
        early += usize::from(child.try_wait()?.is_none());
        child.kill()?;
        child.wait()?;
    }
    println!("    {early} of {rounds} were killed before they were done");
    if early * 4 < rounds {
        return fail("most fetches were done before they were killed: the test shows little");
    }
    world.finish()
}

fn cut(binary: &Path, rounds: usize) -> Fallible<()> {
    let mut world = World::new(binary)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, world.server.pop3));
    for _ in 0..rounds {
        world.new_mail()?;
        // Small cuts hit the replies of login, listing, DELE and QUIT; large ones the messages.
        let most = *world.random.of(&[2_000, 20_000, 1_000_000]);
        let network = Network {
            cut_after_octets: Some(world.random.below(most)),
            ..Network::default()
        };
        let proxy = runtime.block_on(Proxy::start(server, network))?;
        world.through(proxy.address().port())?;
        let mut child = world
            .program
            .command(&["fetch", ACCOUNT])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let begun = Instant::now();
        while child.try_wait()?.is_none() {
            if begun.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                return fail("a fetch over a network that was cut did not end");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    world.finish()
}
