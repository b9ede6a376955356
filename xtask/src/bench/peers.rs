//! The three servers: filled with the same mail, measured in turn.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::data::{BIG, Data, EACH, HUGE, USERS, trace, user, users};
use super::load::{self, Ask, Tls};
use super::rows::{Row, What};
use crate::dovecot::Dovecot;
use crate::lmtp::stuffed;
use crate::mail::normalised;
use crate::pop::tls_config;
use crate::process::{Running, free_port, run, usage};
use crate::program::{Program, certificate};
use crate::{Fallible, fail, scratch};

/// How long a row that counts goes on, each time.
const WHILE: Duration = Duration::from_secs(4);
/// Connections of the idle rows.
pub(super) const IDLE: usize = 5_000;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Null,
    Dovecot,
    Restante,
}

/// In the order of the table's columns.
pub(super) const EVERYONE: [Who; 3] = [Who::Null, Who::Dovecot, Who::Restante];

/// The medians of a row; none where it makes no sense.
pub(super) type Medians = [Option<f64>; 3];

struct Null {
    running: Running,
    folder: tempfile::TempDir,
    ports: [u16; 3],
}

/// All three, running.
pub(super) struct Peers {
    null: Null,
    dovecot: Dovecot,
    restante: Program,
    data: Data,
}

impl Peers {
    /// Fills and starts them with what these rows need.
    pub(super) fn start(binary: &Path, rows: &[&Row]) -> Fallible<Self> {
        let needs = |need: fn(What) -> bool| rows.iter().any(|row| need(row.what));
        let data = Data::new();
        let null = start_null(needs(What::needs_big))?;
        let mut dovecot = Dovecot::new(users())?;
        let mut restante = Program::new(binary, "bench")?;
        restante.password_file(users())?;
        if needs(What::needs_big) {
            println!("filling: {BIG} messages of one user");
            let all: Vec<Vec<u8>> = (0..BIG).map(|index| data.big(index)).collect();
            mbox(&restante, "big", &all)?;
            fill_dovecot(&dovecot, "big", &all)?;
        }
        if needs(What::needs_huge) {
            println!("filling: {HUGE} messages of one user");
            let all: Vec<Vec<u8>> = (0..HUGE).map(Data::huge).collect();
            mbox(&restante, "huge", &all)?;
            fill_dovecot(&dovecot, "huge", &all)?;
        }
        dovecot.start()?;
        restante.start()?;
        if needs(What::needs_users) {
            println!("filling: {EACH} messages of {USERS} users each");
            load::fill(restante.lmtp, |user, index| {
                stuffed(data.real(data.which(user, index)))
            })?;
            for index in 0..USERS {
                let all: Vec<Vec<u8>> = (0..EACH)
                    .map(|n| data.real(data.which(index, n)).to_vec())
                    .collect();
                fill_dovecot(&dovecot, &user(index), &all)?;
            }
            for port in [dovecot.pop3, restante.pop3] {
                load::warm(port)?;
            }
        }
        Ok(Self {
            null,
            dovecot,
            restante,
            data,
        })
    }

    fn ports(&self, who: Who) -> [u16; 3] {
        match who {
            Who::Null => self.null.ports,
            Who::Dovecot => [self.dovecot.pop3, self.dovecot.pop3s, self.dovecot.lmtp],
            Who::Restante => [self.restante.pop3, self.restante.pop3s, self.restante.lmtp],
        }
    }

    fn pid(&mut self, who: Who) -> Fallible<u32> {
        Ok(match who {
            Who::Null => self.null.running.pid(),
            Who::Dovecot => self.dovecot.pid(),
            Who::Restante => self.restante.daemon()?.pid(),
        })
    }

    fn tls(&self, who: Who) -> Fallible<Tls> {
        let path = match who {
            Who::Null => self.null.folder.path().join("certificate.pem"),
            Who::Dovecot => self.dovecot.path("certificate.pem"),
            Who::Restante => self.restante.certificate(),
        };
        tls_config(&path).map(Some)
    }

    /// Measures a row: everyone in turn, `runs` times, and the median of each.
    pub(super) fn measure(&mut self, row: &Row, runs: usize) -> Fallible<Medians> {
        let runs = match row.what {
            // Five times 5,000 connections tell nothing that one time does not.
            What::Idle { .. } | What::Syncs => 1,
            _ => runs,
        };
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..runs {
            for (who, values) in EVERYONE.into_iter().zip(&mut all) {
                values.extend(self.once(row.what, who)?);
                thread::sleep(Duration::from_millis(200));
            }
        }
        self.restante.healthy()?;
        Ok(all.map(median))
    }

    fn once(&mut self, what: What, who: Who) -> Fallible<Option<f64>> {
        let [pop3, pop3s, lmtp] = self.ports(who);
        let ms = |took: Duration| took.as_secs_f64() * 1e3;
        let rate = |(count, took): (u64, Duration)| count as f64 / took.as_secs_f64();
        Ok(Some(match what {
            What::Sessions { tls, retrieve } => {
                let (port, tls) = if tls {
                    (pop3s, self.tls(who)?)
                } else {
                    (pop3, None)
                };
                rate(load::sessions(port, &tls, retrieve, WHILE)?)
            }
            What::Cpu { retrieve } => {
                let pid = self.pid(who)?;
                let before = usage(pid).cpu;
                let (count, _) = load::sessions(pop3, &None, retrieve, WHILE)?;
                (usage(pid).cpu - before) * 1e3 / count as f64
            }
            What::Drain { in_flight } => rate(load::drain(pop3, in_flight)?) / 1e6,
            What::Idle { tls } => self.idle(who, tls)?,
            What::HugeLoginWarm => {
                ms(load::huge(pop3, Ask::LoginStat)
                    .and_then(|_| load::huge(pop3, Ask::LoginStat))?)
            }
            What::HugeLoginAfterRestart if who == Who::Null => return Ok(None),
            What::HugeLoginAfterRestart => {
                self.restart(who)?;
                ms(load::huge(pop3, Ask::LoginStat)?)
            }
            What::HugeUidl => ms(load::huge(pop3, Ask::Uidl)?),
            What::HugeList => ms(load::huge(pop3, Ask::List)?),
            What::Deliveries => rate(load::deliveries(
                lmtp,
                &stuffed(&self.data.delivered()),
                WHILE,
            )?),
            What::Syncs if who == Who::Null => return Ok(None),
            What::Syncs => self.syncs(who, lmtp)?,
        }))
    }

    fn restart(&mut self, who: Who) -> Fallible<()> {
        match who {
            Who::Null => Ok(()),
            Who::Dovecot => self.dovecot.stop().and_then(|()| self.dovecot.start()),
            Who::Restante => self.restante.stop().and_then(|()| self.restante.start()),
        }
    }

    /// KB for each connection: what all of the server's processes gain, shared pages counted once.
    fn idle(&mut self, who: Who, tls: bool) -> Fallible<f64> {
        let [pop3, pop3s, _] = self.ports(who);
        let (port, tls) = if tls {
            (pop3s, self.tls(who)?)
        } else {
            (pop3, None)
        };
        // A few first, so that what is made once is not counted.
        drop(load::idle(port, &tls, 64)?);
        thread::sleep(Duration::from_secs(1));
        let pid = self.pid(who)?;
        let before = usage(pid).pss;
        let open = load::idle(port, &tls, IDLE)?;
        thread::sleep(Duration::from_secs(2));
        let after = usage(pid).pss;
        drop(open);
        // Until they are gone on the other side too.
        let end = Instant::now() + Duration::from_secs(60);
        while who == Who::Dovecot && usage(pid).processes > 400 && Instant::now() < end {
            thread::sleep(Duration::from_millis(500));
        }
        Ok(after.saturating_sub(before) as f64 / IDLE as f64 / 1e3)
    }

    /// Calls for each delivery, counted by strace, which slows everything else down.
    fn syncs(&mut self, who: Who, lmtp: u16) -> Fallible<f64> {
        let report = self.null.folder.path().join("strace");
        let mut command = Command::new("strace");
        command
            .args(["-f", "-c", "-e", "trace=fsync,fdatasync", "-o"])
            .arg(&report);
        for pid in crate::process::family(self.pid(who)?) {
            command.args(["-p", &pid.to_string()]);
        }
        let strace = Running::start(
            &mut command,
            "strace",
            &self.null.folder.path().join("strace.log"),
        )?;
        thread::sleep(Duration::from_secs(1));
        let (count, _) = load::deliveries(lmtp, &stuffed(&self.data.delivered()), WHILE)?;
        strace.signal(rustix::process::Signal::INT)?;
        strace.stop(Duration::from_secs(20))?;
        let text = fs::read_to_string(&report)?;
        let calls = text
            .lines()
            .filter(|line| line.ends_with("fsync") || line.ends_with("fdatasync"));
        let calls: u64 = calls
            .filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok())
            .sum();
        if count == 0 || calls == 0 {
            return fail(format!(
                "{count} deliveries, {calls} syncs: strace saw nothing"
            ));
        }
        Ok(calls as f64 / count as f64)
    }

    /// What ran, for the table's head.
    pub(super) fn versions(&self) -> Fallible<String> {
        let dovecot = run(Command::new("dovecot").arg("--version"), b"", WHILE)?;
        let ours = self.restante.tell(&["--version"], "")?;
        Ok(format!(
            "{}; Dovecot {}",
            String::from_utf8_lossy(&ours.out).trim(),
            String::from_utf8_lossy(&dovecot.out).trim()
        ))
    }
}

fn start_null(with_big: bool) -> Fallible<Null> {
    let folder = scratch("null")?;
    certificate(folder.path())?;
    let ports = [free_port()?, free_port()?, free_port()?];
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("null-server").arg(folder.path());
    command
        .args(ports.map(|port| port.to_string()))
        .arg(with_big.to_string());
    let mut running = Running::start(&mut command, "null server", &folder.path().join("log"))?;
    for port in ports {
        running.wait_port(port, Duration::from_secs(60))?;
    }
    Ok(Null {
        running,
        folder,
        ports,
    })
}

/// Imports messages as one mbox file.
fn mbox(restante: &Program, user: &str, messages: &[Vec<u8>]) -> Fallible<()> {
    let path = restante.path("fill.mbox");
    let mut all = Vec::new();
    for message in messages {
        all.extend_from_slice(b"From sender@example.net Sun Nov 22 10:00:00 2026\n");
        let mut text = trace(user).into_bytes();
        text.extend_from_slice(message);
        for line in normalised(&text).split_inclusive(|&b| b == b'\n') {
            let marks = line.iter().take_while(|&&b| b == b'>').count();
            if line[marks..].starts_with(b"From ") {
                all.push(b'>');
            }
            all.extend_from_slice(line);
        }
        all.push(b'\n');
    }
    fs::write(&path, all)?;
    restante.import_all(&path, user)?;
    Ok(fs::remove_file(path)?)
}

fn fill_dovecot(dovecot: &Dovecot, user: &str, messages: &[Vec<u8>]) -> Fallible<()> {
    let whole: Vec<Vec<u8>> = messages
        .iter()
        .map(|message| normalised(&[trace(user).as_bytes(), message].concat()))
        .collect();
    dovecot.fill(user, whole.iter().map(Vec::as_slice))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
