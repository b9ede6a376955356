//! The load: blocking threads, one connection each, every answer checked.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::data::{BIG, EACH, HUGE, USERS, user};
use crate::lmtp::Lmtp;
use crate::pop::Pop;
use crate::program::DOMAIN;
use crate::random::Random;

/// Connections at a time in the session rows.
pub(super) const CONNECTIONS: usize = 16;
/// Connections at a time in the delivery rows.
const DELIVERERS: usize = 8;

/// TLS or none.
pub(super) type Tls = Option<Arc<ClientConfig>>;

fn connect(port: u16, tls: &Tls) -> io::Result<Pop> {
    match tls {
        Some(config) => Pop::connect_tls(port, config),
        None => Pop::connect(port),
    }
}

/// Login, STAT, UIDL, with `retrieve` every message, QUIT.
fn session(port: u16, tls: &Tls, user: &str, retrieve: bool) -> io::Result<()> {
    let mut pop = connect(port, tls)?;
    pop.login(user)?;
    // Deliveries of an earlier row may have come on top.
    if pop.stat()?.0 < EACH as u64 {
        return Err(io::Error::other("messages are missing"));
    }
    pop.command("UIDL")?;
    pop.skip_body()?;
    if retrieve {
        for number in 1..=EACH {
            pop.command(&format!("RETR {number}"))?;
            if pop.skip_body()? < 300 {
                return Err(io::Error::other("a message is too short"));
            }
        }
    }
    pop.quit()
}

/// Every user once, so that indexes and caches are as they are in daily use.
pub(super) fn warm(port: u16) -> io::Result<()> {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        let all: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                        if index >= USERS {
                            return Ok(());
                        }
                        session(port, &None, &user(index), true)?;
                    }
                })
            })
            .collect();
        all.into_iter()
            .try_for_each(|one| one.join().unwrap_or_else(|_| Err(panicked())))
    })
}

fn panicked() -> io::Error {
    io::Error::other("a load thread panicked")
}

/// Runs `work` on some threads for a while; returns how often it was done, and in what time.
fn for_a_while(
    threads: usize,
    limit: Duration,
    work: impl Fn(&mut Random, &AtomicBool, &AtomicU64) -> io::Result<()> + Sync,
) -> io::Result<(u64, Duration)> {
    let (done, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|index| {
                let (done, count, work) = (&done, &count, &work);
                scope.spawn(move || work(&mut Random::new(index as u64 + 1), done, count))
            })
            .collect();
        thread::sleep(limit);
        done.store(true, Ordering::Relaxed);
        all.into_iter()
            .try_for_each(|one| one.join().unwrap_or_else(|_| Err(panicked())))
    })?;
    Ok((count.load(Ordering::Relaxed), begun.elapsed()))
}

/// Sessions of random users for a while: how many, in what time.
pub(super) fn sessions(
    port: u16,
    tls: &Tls,
    retrieve: bool,
    limit: Duration,
) -> io::Result<(u64, Duration)> {
    for_a_while(CONNECTIONS, limit, |random, done, count| {
        while !done.load(Ordering::Relaxed) {
            session(
                port,
                tls,
                &user(random.below(USERS as u64) as usize),
                retrieve,
            )?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// All of `big` on one connection with so many commands in flight: octets on the wire, and the time.
pub(super) fn drain(port: u16, in_flight: usize) -> io::Result<(u64, Duration)> {
    let mut pop = connect(port, &None)?;
    pop.login("big")?;
    if pop.stat()?.0 != BIG as u64 {
        return Err(io::Error::other("messages are missing"));
    }
    let begun = Instant::now();
    let first: String = (1..=in_flight)
        .map(|number| format!("RETR {number}\r\n"))
        .collect();
    pop.send(first.as_bytes())?;
    let mut octets = 0;
    for number in 1..=BIG {
        pop.expect_ok("RETR")?;
        octets += pop.skip_body()? as u64;
        let next = number + in_flight;
        if next <= BIG {
            pop.send(format!("RETR {next}\r\n").as_bytes())?;
        }
    }
    let took = begun.elapsed();
    pop.quit()?;
    Ok((octets, took))
}

/// Connections that have logged in and then say nothing.
pub(super) fn idle(port: u16, tls: &Tls, many: usize) -> io::Result<Vec<Pop>> {
    let threads = 8;
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || {
                    let mine = (part..many).step_by(threads);
                    mine.map(|index| {
                        let mut pop = connect(port, tls)?;
                        pop.login(&user(index % USERS))?;
                        pop.forget_buffer();
                        Ok(pop)
                    })
                    .collect::<io::Result<Vec<Pop>>>()
                })
            })
            .collect();
        let mut open = Vec::with_capacity(many);
        for one in all {
            open.extend(one.join().unwrap_or_else(|_| Err(panicked()))?);
        }
        Ok(open)
    })
}

/// What is asked of `huge`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask {
    /// Connection, login and STAT together.
    LoginStat,
    /// UIDL alone.
    Uidl,
    /// LIST alone.
    List,
}

/// One session of `huge`: how long the answer took.
pub(super) fn huge(port: u16, ask: Ask) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut pop = connect(port, &None)?;
    pop.login("huge")?;
    if pop.stat()?.0 != HUGE as u64 {
        return Err(io::Error::other("messages are missing"));
    }
    let mut took = begun.elapsed();
    if let Some(command) = match ask {
        Ask::LoginStat => None,
        Ask::Uidl => Some("UIDL"),
        Ask::List => Some("LIST"),
    } {
        let begun = Instant::now();
        pop.command(command)?;
        if pop.skip_body()? < HUGE * 7 {
            return Err(io::Error::other("the listing is too short"));
        }
        took = begun.elapsed();
    }
    pop.quit()?;
    Ok(took)
}

/// Durable deliveries for a while: how many, in what time.
pub(super) fn deliveries(
    port: u16,
    stuffed: &[u8],
    limit: Duration,
) -> io::Result<(u64, Duration)> {
    for_a_while(DELIVERERS, limit, |random, done, count| {
        let mut lmtp = Lmtp::connect(port)?;
        while !done.load(Ordering::Relaxed) {
            let to = user(random.below(100) as usize);
            lmtp.deliver(&format!("{to}@{DOMAIN}"), stuffed)?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })
}

/// Delivers the messages of the session rows, in order for each user.
pub(super) fn fill(port: u16, message: impl Fn(usize, usize) -> Vec<u8> + Sync) -> io::Result<()> {
    thread::scope(|scope| {
        let all: Vec<_> = (0..DELIVERERS)
            .map(|part| {
                let message = &message;
                scope.spawn(move || {
                    let mut lmtp = Lmtp::connect(port)?;
                    for index in (part..USERS).step_by(DELIVERERS) {
                        for number in 0..EACH {
                            lmtp.deliver(
                                &format!("{}@{DOMAIN}", user(index)),
                                &message(index, number),
                            )?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        all.into_iter()
            .try_for_each(|one| one.join().unwrap_or_else(|_| Err(panicked())))
    })
}
