//! Those who do not behave.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::pop::Pop;
use crate::program::PASSWORD;
use crate::random::Random;

/// What is mutated. `@` stands for a good login.
const LINES: &[&str] = &[
    "@",
    "@",
    "@",
    "CAPA",
    "STAT",
    "LIST",
    "LIST 1",
    "UIDL",
    "UIDL 2",
    "RETR 1",
    "RETR 3",
    "TOP 1 0",
    "TOP 2 5",
    "TOP 1 99999999999999999999",
    "DELE 20",
    "RSET",
    "NOOP",
    "QUIT",
    "STLS",
    "AUTH",
    "AUTH PLAIN",
    "AUTH PLAIN AGFubgBjb3JyZWN0LWhvcnNl",
    "AUTH LOGIN",
    "YW5u",
    "*",
    "USER ann",
    "PASS x",
    "APOP ann 0123",
    "RETR 0",
    "RETR -1",
    "RETR 18446744073709551616",
    "RETR 1 1",
    "DELE 0",
    "LIST +1",
    "",
    " ",
    "\0",
    "XYZZY",
    "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
    "GET / HTTP/1.1",
];

/// How a line ends, as it should in half of all cases.
const ENDS: &[&[u8]] = &[b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""];

fn connect(port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    socket.set_write_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

/// One session of mutated lines; how it ends is the daemon's affair, so no error is one.
pub(super) fn one(port: u16, seed: u64) {
    let mut random = Random::new(seed);
    let _whatever = connect(port).and_then(|mut socket| misbehave(&mut socket, &mut random));
}

fn misbehave(socket: &mut TcpStream, random: &mut Random) -> io::Result<()> {
    let mut script = Vec::new();
    for _ in 0..1 + random.below(12) {
        let line = *random.of(LINES);
        match line {
            "@" => script.extend_from_slice(format!("USER ann\r\nPASS {PASSWORD}\r\n").as_bytes()),
            line => {
                script.extend_from_slice(line.as_bytes());
                script.extend_from_slice(random.of::<&[u8]>(ENDS));
            }
        }
    }
    mutate(&mut script, random);
    let mut sink = [0; 4096];
    // In one write, in pieces, or byte by byte; what is long in at most some hundred pieces.
    let piece = *random.of(&[usize::MAX, usize::MAX, 7, 1]);
    let piece = piece.clamp(script.len() / 200 + 1, script.len().max(1) + 1);
    let mut reads = 3;
    for part in script.chunks(piece) {
        socket.write_all(part)?;
        if reads > 0 && random.below(8) == 0 {
            reads -= 1;
            let _read = socket.read(&mut sink);
        }
    }
    match random.below(4) {
        0 => {}
        1 => socket.shutdown(Shutdown::Write)?,
        2 => return socket.shutdown(Shutdown::Both),
        _ => {
            let _read = socket.read(&mut sink)?;
            return Ok(());
        }
    }
    while socket.read(&mut sink)? > 0 {}
    Ok(())
}

fn mutate(script: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        if script.is_empty() {
            return;
        }
        let at = random.below(script.len() as u64) as usize;
        match random.below(6) {
            0 => script[at] ^= 1 << random.below(8),
            1 => script.insert(at, random.next() as u8),
            2 => script.truncate(at),
            3 => drop(script.drain(at..(at + 9).min(script.len()))),
            4 => {
                // A line that has no end, to speak of.
                let byte = *random.of(b"A \0.\xff");
                let many = random.below(1 << 17) as usize;
                script.splice(at..at, std::iter::repeat_n(byte, many));
            }
            _ => script.extend_from_within(at..),
        }
    }
}

/// Connections that send an octet a while, half of them after a login that they take minutes for.
/// Returns how many were open at the end.
pub(super) fn slow(port: u16, many: usize, done: &AtomicBool) -> usize {
    let mut all: Vec<TcpStream> = (0..many).filter_map(|_| connect(port).ok()).collect();
    for (index, socket) in all.iter_mut().enumerate() {
        if index % 2 == 0 {
            let login = format!("USER ann\r\nPASS {PASSWORD}\r\nRETR 1\r\nRETR 2\r\nLIST\r\n");
            let _sent = socket.write_all(login.as_bytes());
        }
    }
    let line = b"USER nobody-in-a-hurry";
    let mut at = 0;
    while !done.load(Ordering::Relaxed) {
        for socket in &mut all {
            let _sent = socket.write_all(&line[at..=at]);
        }
        at = (at + 1) % line.len();
        thread::sleep(Duration::from_millis(500));
    }
    let alive = |socket: &mut TcpStream| {
        let mut sink = [0; 4096];
        loop {
            match socket.read(&mut sink) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    };
    all.iter_mut().map(alive).filter(|&alive| alive).count()
}

/// A flood: as many connections at once, again and again, that send commands and read nothing.
/// Returns how many were answered at all.
pub(super) fn flood(port: u16, many: usize, done: &AtomicBool) -> usize {
    let mut answered = 0;
    while !done.load(Ordering::Relaxed) {
        let mut wave: Vec<TcpStream> = (0..many).filter_map(|_| connect(port).ok()).collect();
        for socket in &mut wave {
            let _sent = socket.write_all(b"CAPA\r\nNOOP\r\nUSER x\r\nXYZZY\r\n");
        }
        thread::sleep(Duration::from_millis(200));
        for socket in &mut wave {
            let mut sink = [0; 16];
            answered += usize::from(socket.read(&mut sink).is_ok_and(|read| read > 0));
        }
    }
    answered
}

/// Guesses on one connection, each time another password that begins with `password`, until it closes
/// or time is up. Returns how many passwords were judged
/// (RFC 3206 §3: `[AUTH]`), and how many were turned away unheard.
pub(super) fn guess(port: u16, user: &str, password: &str, done: &AtomicBool) -> (u64, u64) {
    let (mut judged, mut unheard) = (0, 0);
    let Ok(mut pop) = Pop::connect(port) else {
        return (0, 0);
    };
    // Whoever waits longer for an answer sees the end of the test first.
    let _patience = pop.patience(Duration::from_secs(4));
    while !done.load(Ordering::Relaxed) {
        let sent = pop
            .command(&format!("USER {user}"))
            .and_then(|_| pop.send(format!("PASS {password}-{judged}-{unheard}\r\n").as_bytes()));
        match sent.and_then(|()| pop.line()) {
            Ok(line) if line.starts_with(b"-ERR [AUTH]") => judged += 1,
            Ok(line) if line.starts_with(b"-ERR [") => unheard += 1,
            _ => break,
        }
    }
    (judged, unheard)
}
