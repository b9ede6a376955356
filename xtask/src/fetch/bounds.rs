//! Memory and time: a huge message, very many messages, a server that never ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, archive, fetch_command};
use crate::dovecot::Dovecot;
use crate::mail::Mail;
use crate::program::Program;
use crate::tally::Cases;
use crate::{Fallible, fail, process};

const USER: &str = "ann";
/// The blueprint's bound of a fetcher's memory, in octets.
const RESIDENT_OCTETS: u64 = 64 * 1024 * 1024;
/// One message for the first case.
const HUGE_OCTETS: usize = 100 * 1024 * 1024;

/// All cases.
pub(super) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    cases.case("one message of 100 MB", || huge(binary));
    let many = if quick { 5_000 } else { 100_000 };
    let name = format!("{many} messages, and nothing new then");
    cases.case(&name, || very_many(binary, many));
    for lie in LIES {
        cases.case(lie.name, || lied_to(binary, lie));
    }
}

/// Peak of the resident memory, in octets, and how a program ended that says `said`.
pub(crate) fn peak(
    command: &mut Command,
    said: Stdio,
    limit: Duration,
) -> Fallible<(u64, ExitStatus)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(said)
        .stderr(Stdio::null())
        .spawn()?;
    let (begun, mut most) = (Instant::now(), 0);
    loop {
        most = most.max(process::most_resident(child.id()));
        if let Some(status) = child.try_wait()? {
            return Ok((most, status));
        }
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return fail(format!("it did not end within {limit:?}"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn bounded(most: u64) -> Fallible<()> {
    println!("    peak {:.1} MB", most as f64 / 1e6);
    if most <= RESIDENT_OCTETS {
        return Ok(());
    }
    fail(format!("{most} octets were resident"))
}

fn measured(program: &Program, port: u16) -> Fallible<()> {
    let url = format!("pop3://{USER}@localhost:{port}");
    let mut command = fetch_command(program, &url, &["--danger-plaintext", "--json"]);
    let path = program.path("said.json");
    let (most, status) = peak(&mut command, File::create(&path)?.into(), LIMIT)?;
    if !status.success() {
        return fail(format!("it ended with {status}"));
    }
    let said = fs::read_to_string(&path)?;
    if !said.contains("\"left\":0,") {
        return fail(format!("it left something: {said}"));
    }
    bounded(most)
}

fn huge(binary: &Path) -> Fallible<()> {
    let mut message = b"From: a@example.net\r\nSubject: huge\r\n\r\n".to_vec();
    let mut number = 0u64;
    while message.len() < HUGE_OCTETS {
        message.extend_from_slice(
            format!("{:076}\r\n", blake3::hash(&number.to_le_bytes())).as_bytes(),
        );
        number += 1;
    }
    let mut server = Dovecot::new([USER.to_owned()].into_iter())?;
    server.fill_raw(USER, 0, [message.as_slice()].into_iter())?;
    server.start()?;
    let mut program = Program::new(binary, "huge")?;
    measured(&program, server.pop3)?;
    let name = "huge".to_owned();
    archive::holds(
        &mut program,
        &[Mail {
            name,
            bytes: message,
        }],
    )
}

fn very_many(binary: &Path, count: usize) -> Fallible<()> {
    let mut server = Dovecot::new([USER.to_owned()].into_iter())?;
    let message = |number: usize| {
        format!("From: a@example.net\r\nMessage-ID: <{number}@example.net>\r\n\r\n{number}\r\n")
            .into_bytes()
    };
    let all: Vec<Vec<u8>> = (0..count).map(message).collect();
    server.fill_raw(USER, 0, all.iter().map(Vec::as_slice))?;
    server.start()?;
    let program = Program::new(binary, "many")?;
    measured(&program, server.pop3)?;
    archive::lists(&program, count)?;
    measured(&program, server.pop3)?;
    archive::lists(&program, count)
}

/// What a lying server repeats for ever after it was asked for something.
struct Lie {
    name: &'static str,
    to: &'static [u8],
    first: &'static [u8],
    then: &'static [u8],
}

const LIES: &[Lie] = &[
    Lie {
        name: "a listing that never ends",
        to: b"LIST",
        first: b"+OK\r\n",
        then: b"1 120\r\n",
    },
    Lie {
        name: "unique-ids that never end",
        to: b"UIDL",
        first: b"+OK\r\n",
        then: b"1 whqtswO00WBw418f9t5JxYwZ\r\n",
    },
    Lie {
        name: "capabilities that never end",
        to: b"CAPA",
        first: b"+OK\r\n",
        then: b"X-NEVER-HEARD-OF\r\n",
    },
    Lie {
        name: "a line that never ends",
        to: b"UIDL",
        first: b"+OK\r\n1 ",
        then: b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    },
    Lie {
        name: "a greeting that never ends",
        to: b"",
        first: b"+OK ",
        then: b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    },
];

/// How long a server may keep the fetcher busy with a lie.
const PATIENCE: Duration = Duration::from_secs(60);

fn lied_to(binary: &Path, lie: &'static Lie) -> Fallible<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&over);
    let server = thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            if let Ok((socket, _)) = listener.accept() {
                // It ends when the fetcher goes, which is what is tested.
                let _gone = lie_to(socket, lie, &done);
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    let program = Program::new(binary, "lied")?;
    let url = format!("pop3://{USER}@127.0.0.1:{port}");
    let mut command = fetch_command(&program, &url, &["--danger-plaintext", "--timeout", "5s"]);
    let result = peak(&mut command, Stdio::null(), PATIENCE);
    over.store(true, Ordering::Relaxed);
    drop(server.join());
    let (most, status) = result?;
    bounded(most)?;
    match status.code() {
        Some(69 | 74 | 75 | 76) => Ok(()),
        code => fail(format!("it ended with {code:?}")),
    }
}

fn lie_to(mut socket: TcpStream, lie: &Lie, over: &AtomicBool) -> std::io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.set_write_timeout(Some(Duration::from_secs(20)))?;
    if !lie.to.is_empty() {
        socket.write_all(b"+OK ready\r\n")?;
    }
    let mut line = Vec::new();
    let mut octet = [0];
    loop {
        if line.eq_ignore_ascii_case(lie.to) {
            socket.write_all(lie.first)?;
            let many = lie.then.repeat(1_000);
            while !over.load(Ordering::Relaxed) {
                socket.write_all(&many)?;
            }
            return Ok(());
        }
        if socket.read(&mut octet)? == 0 {
            return Ok(());
        }
        match octet[0] {
            b'\n' => {
                answer(&mut socket, &line)?;
                line.clear();
            }
            b'\r' => {}
            other => line.push(other),
        }
    }
}

fn answer(socket: &mut TcpStream, line: &[u8]) -> std::io::Result<()> {
    let word = line.split(|&b| b == b' ').next().unwrap_or_default();
    let reply: &[u8] = match word.to_ascii_uppercase().as_slice() {
        b"CAPA" => b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n",
        b"STAT" => b"+OK 18446744073709551615 18446744073709551615\r\n",
        b"LIST" => b"+OK\r\n1 120\r\n.\r\n",
        b"UIDL" => b"+OK\r\n1 a\r\n.\r\n",
        b"USER" | b"PASS" | b"NOOP" | b"QUIT" => b"+OK\r\n",
        _ => b"-ERR\r\n",
    };
    socket.write_all(reply)
}
