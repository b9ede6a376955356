//! One fetcher, one maildrop, an empty folder: how long, how many syncs, how much memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::client::{Buffer, Client, Target};
use super::super::mailset::Mailbox;
use crate::fetch::{fetch_command, peak};
use crate::interop::Way;
use crate::interop::clients::{CLIENTS, Job, counted_syncs, counting_syncs};
use crate::process::run;
use crate::program::Program;
use crate::{Fallible, fail, scratch};

/// Who fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetcher {
    /// A client that keeps nothing: the line and the server.
    Drain,
    Mpop,
    Fetchmail,
    Getmail,
    Ours,
}

/// In the order of the table.
pub(super) const ALL: [Fetcher; 5] = [
    Fetcher::Drain,
    Fetcher::Mpop,
    Fetcher::Fetchmail,
    Fetcher::Getmail,
    Fetcher::Ours,
];

impl Fetcher {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Drain => "bare drain",
            Self::Mpop => "mpop",
            Self::Fetchmail => "fetchmail",
            Self::Getmail => "getmail",
            Self::Ours => "ours",
        }
    }
}

/// How many messages the drain has under way.
const WINDOW: usize = 64;
/// The slowest of all takes a minute and a half.
const LIMIT: Duration = Duration::from_secs(300);

/// What everyone fetches, and from where.
pub(super) struct Contest<'a> {
    binary: &'a Path,
    port: u16,
    mailbox: &'a Mailbox,
}

impl<'a> Contest<'a> {
    pub(super) fn new(binary: &'a Path, port: u16, mailbox: &'a Mailbox) -> Self {
        Self {
            binary,
            port,
            mailbox,
        }
    }

    /// Seconds. Whoever does not bring every message has failed.
    pub(super) fn time(&self, fetcher: Fetcher) -> Fallible<f64> {
        let seconds = match fetcher {
            Fetcher::Drain => self.drain()?,
            Fetcher::Ours => {
                let program = Program::new(self.binary, "bench-fetch")?;
                let begun = Instant::now();
                let said = run(&mut self.ours(&program), b"", LIMIT)?.ok("restante fetch")?;
                let took = begun.elapsed();
                drop(said);
                self.all_there(&program)?;
                took.as_secs_f64()
            }
            other => self.peer(other, None)?,
        };
        println!("    {:<10} {seconds:.3} s", fetcher.name());
        Ok(seconds)
    }

    /// How often it synced; counted by strace, in a run of its own.
    pub(super) fn syncs(&self, fetcher: Fetcher) -> Fallible<u64> {
        let folder = scratch("syncs")?;
        let to = folder.path().join("counts");
        if fetcher == Fetcher::Ours {
            let program = Program::new(self.binary, "bench-fetch")?;
            let ours = self.ours(&program);
            let mut command = counting_syncs(&to);
            command.arg(ours.get_program()).args(ours.get_args());
            for (name, value) in ours.get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            let said = run(&mut command, b"", LIMIT)?.ok("restante fetch under strace")?;
            drop(said);
            self.all_there(&program)?;
        } else {
            // getmail runs as somebody else, who has to be able to write there.
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
            self.peer(fetcher, Some(to.clone()))?;
        }
        let told = std::fs::read_to_string(&to).unwrap_or_default();
        Ok(counted_syncs(&told).unwrap_or(0))
    }

    /// The most that was resident of ours, in octets.
    pub(super) fn our_peak(&self) -> Fallible<u64> {
        let program = Program::new(self.binary, "bench-fetch")?;
        let (most, status) = peak(&mut self.ours(&program), Stdio::null(), LIMIT)?;
        if !status.success() {
            return fail(format!("restante fetch ended with {status}"));
        }
        self.all_there(&program)?;
        Ok(most)
    }

    fn ours(&self, program: &Program) -> Command {
        let url = format!("pop3://{}@localhost:{}", self.mailbox.user, self.port);
        fetch_command(program, &url, &["--danger-plaintext"])
    }

    fn all_there(&self, program: &Program) -> Fallible<()> {
        let count = program.count("me", false)?;
        if count == self.mailbox.count {
            return Ok(());
        }
        fail(format!("{count} messages came of {}", self.mailbox.count))
    }

    fn drain(&self) -> Fallible<f64> {
        let mut buffer = Buffer::new(256 * 1024);
        let target = Target {
            port: self.port,
            tls: None,
        };
        let begun = Instant::now();
        let mut client = Client::connect(&target, &mut buffer)?;
        client.login(&self.mailbox.user, &mut buffer)?;
        client.listing("UIDL", self.mailbox.count, &mut buffer)?;
        client.retrieve_all(self.mailbox, WINDOW, &mut buffer)?;
        client.quit(&mut buffer)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn peer(&self, fetcher: Fetcher, syncs: Option<PathBuf>) -> Fallible<f64> {
        let client = CLIENTS.iter().find(|client| client.name == fetcher.name());
        let client = client.ok_or("the tests know no such client")?;
        let folder = scratch(client.name)?;
        let job = Job {
            port: self.port,
            way: Way::Plain,
            user: &self.mailbox.user,
            delete: false,
            certificate: PathBuf::new(),
            folder: folder.path().to_owned(),
            messages: self.mailbox.count,
            limit: LIMIT,
            syncs,
        };
        let begun = Instant::now();
        let got = (client.collect)(&job)?;
        let took = begun.elapsed();
        if got.len() == self.mailbox.count {
            return Ok(took.as_secs_f64());
        }
        fail(format!(
            "{} brought {} messages of {}",
            client.name,
            got.len(),
            self.mailbox.count
        ))
    }
}

/// What the peers call themselves.
pub(super) fn versions() -> String {
    let first = |program: &str| -> Option<String> {
        let said = run(Command::new(program).arg("--version"), b"", LIMIT).ok()?;
        let text = String::from_utf8_lossy(&said.out).into_owned();
        Some(text.lines().next()?.trim().to_owned())
    };
    let all = ["mpop", "fetchmail", "getmail"].map(|program| first(program).unwrap_or_default());
    all.join("; ")
}
