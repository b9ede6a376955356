//! What is measured, and how. Peers take turns within a run, so that a machine that becomes slower
//! becomes slower for all.

use std::fs;
use std::io;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Plan;
use super::client::{self, Buffer, Client, Target};
use super::mailset::{self, Mailbox};
use super::peers::{PEERS, Peer, Peers, STORES};
use super::table::{Goal, Row};
use crate::interop::clients::{counted_syncs, counting_syncs};
use crate::lmtp::{Lmtp, stuffed};
use crate::process::{Running, usage};
use crate::program::DOMAIN;
use crate::{Fallible, fail, scratch};

/// Clients at once.
const CLIENTS: usize = 8;
/// Octets that a client of sessions reads at once; a drain's reads more.
const READ: usize = 64 * 1024;
const DRAIN_READ: usize = 256 * 1024;
/// Octets of a delivered message.
const DELIVERED: u64 = 12_000;
/// How long a connection is idle before it is weighed: longer than ours keeps a listing.
const IDLE: Duration = Duration::from_secs(7);

/// One value a run and peer.
type Samples = [Vec<f64>; 3];

fn take_turns(
    plan: &Plan,
    peers: &[Peer],
    mut measure: impl FnMut(Peer, bool) -> Fallible<f64>,
) -> Fallible<Samples> {
    let mut samples = Samples::default();
    for &peer in peers {
        // Warm-up: short, and not counted.
        measure(peer, true)?;
    }
    for _ in 0..plan.runs {
        for &peer in peers {
            samples[peer as usize].push(measure(peer, false)?);
        }
    }
    Ok(samples)
}

/// Rows 1, 2, 3 and 10: whole sessions.
pub(super) fn sessions(
    plan: &Plan,
    peers: &mut Peers,
    name: &'static str,
    done: &mut Vec<Row>,
) -> Fallible<()> {
    let (retrieve, tls) = (name == "retr", name == "tls");
    let mut cpu = Samples::default();
    let samples = take_turns(plan, &PEERS, |peer, warm_up| {
        let target = if tls {
            peers.tls(peer)
        } else {
            peers.plain(peer)
        };
        let pid = peers.pid(peer)?;
        let before = usage(pid).cpu;
        let length = if warm_up {
            plan.length() / 6
        } else {
            plan.length()
        };
        let (count, took) = load(&target, &peers.sets.small, retrieve, length)?;
        if !warm_up {
            cpu[peer as usize].push((usage(pid).cpu - before) * 1_000.0 / count as f64);
        }
        Ok(count as f64 / took)
    })?;
    let (number, what, goal) = match name {
        "retr" => (
            "2",
            "login, STAT, UIDL, 20 × RETR of 12 KB, QUIT",
            Goal::times(Some(0.6), 3.0),
        ),
        "tls" => (
            "3",
            "login, STAT, UIDL, QUIT over TLS 1.3, full handshakes",
            Goal::times(None, 3.0),
        ),
        _ => (
            "1",
            "login, STAT, UIDL, QUIT; 20 messages, plaintext",
            Goal::times(Some(0.75), 5.0),
        ),
    };
    done.push(Row::new(number, what, "sessions/s", &samples, goal));
    let (number, what) = match name {
        "retr" => ("10b", "processor time of the server, sessions of row 2"),
        "tls" => ("10c", "processor time of the server, sessions of row 3"),
        _ => ("10", "processor time of the server, sessions of row 1"),
    };
    done.push(Row::new(number, what, "s per 1,000", &cpu, Goal::None));
    Ok(())
}

/// Sessions of [`CLIENTS`] clients, each with its own share of the users. Returns how many were
/// complete and right, and the seconds that they took.
fn load(
    target: &Target,
    users: &[Mailbox],
    retrieve: bool,
    length: Duration,
) -> Fallible<(u64, f64)> {
    let octets: Vec<u64> = users.iter().map(Mailbox::octets).collect();
    let begun = Instant::now();
    let counts = clients(|client| {
        let mut buffer = Buffer::new(READ);
        let mut count = 0;
        for user in (client..users.len()).step_by(CLIENTS).cycle() {
            if begun.elapsed() >= length {
                break;
            }
            client::session(target, &users[user], octets[user], retrieve, &mut buffer)?;
            count += 1;
        }
        Ok(count)
    })?;
    Ok((counts.iter().sum(), begun.elapsed().as_secs_f64()))
}

/// Runs [`CLIENTS`] threads and gives what each returned.
fn clients<T: Send>(work: impl Fn(usize) -> io::Result<T> + Sync) -> Fallible<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || work(client)))
            .collect();
        let mut results = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(result) => results.push(result?),
                Err(_) => return fail("a client panicked"),
            }
        }
        Ok(results)
    })
}

/// Rows 4 and 5: a large mailbox over one connection.
pub(super) fn drain(
    plan: &Plan,
    peers: &mut Peers,
    name: &'static str,
    done: &mut Vec<Row>,
) -> Fallible<()> {
    let window = if name == "drain" { 1 } else { 16 };
    let mailbox = peers.sets.drain.clone();
    let megabytes = mailbox.octets() as f64 / 1e6;
    let samples = take_turns(plan, &PEERS, |peer, _| {
        let mut buffer = Buffer::new(DRAIN_READ);
        let mut client = Client::connect(&peers.plain(peer), &mut buffer)?;
        client.login(&mailbox.user, &mut buffer)?;
        let begun = Instant::now();
        client.retrieve_all(&mailbox, window, &mut buffer)?;
        let took = begun.elapsed().as_secs_f64();
        client.quit(&mut buffer)?;
        Ok(megabytes / took)
    })?;
    let (number, goal) = if window == 1 {
        ("4", Goal::NullTimes(0.8))
    } else {
        ("5", Goal::times(Some(0.55), 2.4))
    };
    let what = format!(
        "RETR of {} messages ({megabytes:.0} MB), one connection, {window} in flight",
        grouped(mailbox.count)
    );
    done.push(Row::new(number, &what, "MB/s", &samples, goal));
    Ok(())
}

/// Row 6: what a connection that has logged in and waits costs the server.
pub(super) fn idle(plan: &Plan, peers: &mut Peers, done: &mut Vec<Row>) -> Fallible<()> {
    for (number, tls, bound) in [("6a", false, 8.0), ("6b", true, 24.0)] {
        let ours = if plan.quick { 500 } else { 5_000 };
        // A process each: 5,000 would be 3 GB.
        let theirs = 500;
        let mut samples = Samples::default();
        for peer in STORES {
            let count = if peer == Peer::Ours { ours } else { theirs };
            samples[peer as usize].push(weigh(peers, peer, tls, count)?);
        }
        let way = if tls { "TLS 1.3" } else { "plaintext" };
        let what = format!(
            "memory per idle connection that has logged in, {way}; {} connections, Dovecot {theirs}",
            grouped(ours)
        );
        done.push(Row::new(number, &what, "KB", &samples, Goal::AtMost(bound)));
    }
    Ok(())
}

/// Kilobytes per connection: growth of the proportional set size of all the server's processes, from
/// a server that was just started and has served each user once.
fn weigh(peers: &mut Peers, peer: Peer, tls: bool, count: usize) -> Fallible<f64> {
    peers.restart(peer)?;
    let target = if tls {
        peers.tls(peer)
    } else {
        peers.plain(peer)
    };
    load(
        &target,
        &peers.sets.small,
        false,
        Duration::from_millis(1_500),
    )?;
    thread::sleep(Duration::from_secs(1));
    let pid = peers.pid(peer)?;
    let before = usage(pid).pss;
    let users = &peers.sets.small;
    let held = clients(|client| {
        let mut buffer = Buffer::new(READ);
        let mut held = Vec::new();
        for number in (client..count).step_by(CLIENTS) {
            let mailbox = &users[number % users.len()];
            let mut connection = Client::connect(&target, &mut buffer)?;
            connection.login(&mailbox.user, &mut buffer)?;
            connection.stat(mailbox.count, mailbox.octets(), &mut buffer)?;
            held.push((connection, number % users.len()));
        }
        Ok(held)
    })?;
    thread::sleep(IDLE);
    let after = usage(pid).pss;
    // They all have to be there still.
    let mut buffer = Buffer::new(READ);
    let mut alive = 0;
    for (mut connection, user) in held.into_iter().flatten() {
        let mailbox = &users[user];
        connection.stat(mailbox.count, mailbox.octets(), &mut buffer)?;
        alive += 1;
    }
    if alive != count {
        return fail(format!("{alive} of {count} connections are left"));
    }
    Ok((after as f64 - before as f64) / 1_000.0 / count as f64)
}

/// Row 7: login and STAT on a mailbox that was never emptied.
pub(super) fn login(plan: &Plan, peers: &mut Peers, done: &mut Vec<Row>) -> Fallible<()> {
    let mailbox = peers.sets.big.clone();
    let octets = mailbox.octets();
    let once = |target: &Target| -> Fallible<f64> {
        let mut buffer = Buffer::new(READ);
        let mut client = Client::connect(target, &mut buffer)?;
        let begun = Instant::now();
        client.login(&mailbox.user, &mut buffer)?;
        client.stat(mailbox.count, octets, &mut buffer)?;
        let took = begun.elapsed().as_secs_f64() * 1_000.0;
        client.quit(&mut buffer)?;
        Ok(took)
    };
    let messages = grouped(mailbox.count);
    let samples = take_turns(plan, &PEERS, |peer, _| {
        let target = peers.plain(peer);
        let times: Fallible<Vec<f64>> = (0..10).map(|_| once(&target)).collect();
        Ok(super::table::median(&times?))
    })?;
    let what = format!("login and STAT, {messages} messages, warm");
    done.push(Row::new("7a", &what, "ms", &samples, Goal::AtMost(1.0)));
    let samples = take_turns(plan, &STORES, |peer, _| {
        peers.restart(peer)?;
        once(&peers.plain(peer))
    })?;
    let what = format!("login and STAT, {messages} messages, first after a restart");
    done.push(Row::new("7b", &what, "ms", &samples, Goal::AtMost(20.0)));
    Ok(())
}

/// Row 8: the listings of the same mailbox.
pub(super) fn listing(plan: &Plan, peers: &mut Peers, done: &mut Vec<Row>) -> Fallible<()> {
    let mailbox = peers.sets.big.clone();
    for (number, command, goal) in [
        ("8a", "UIDL", Goal::AtMost(60.0)),
        ("8b", "LIST", Goal::None),
    ] {
        let samples = take_turns(plan, &PEERS, |peer, _| {
            let mut buffer = Buffer::new(DRAIN_READ);
            let mut client = Client::connect(&peers.plain(peer), &mut buffer)?;
            client.login(&mailbox.user, &mut buffer)?;
            let begun = Instant::now();
            client.listing(command, mailbox.count, &mut buffer)?;
            let took = begun.elapsed().as_secs_f64() * 1_000.0;
            client.quit(&mut buffer)?;
            Ok(took)
        })?;
        let what = format!("{command} of {} messages", grouped(mailbox.count));
        done.push(Row::new(number, &what, "ms", &samples, goal));
    }
    Ok(())
}

/// Row 11: a mailbox with five devices, and what one of them hides in one QUIT. Nobody else has that.
pub(super) fn devices(plan: &Plan, peers: &mut Peers, done: &mut Vec<Row>) -> Fallible<()> {
    let mailbox = peers.sets.big.clone();
    let (octets, hidden) = (mailbox.octets(), mailbox.count / 10);
    let target = peers.plain(Peer::Ours);
    let mut buffer = Buffer::new(DRAIN_READ);
    let once = |device: &str, buffer: &mut Buffer| -> Fallible<f64> {
        let mut client = Client::connect(&target, buffer)?;
        let begun = Instant::now();
        client.login(&format!("{}+{device}", mailbox.user), buffer)?;
        client.stat(mailbox.count, octets, buffer)?;
        let took = begun.elapsed().as_secs_f64() * 1_000.0;
        client.quit(buffer)?;
        Ok(took)
    };
    for device in ["d1", "d2", "d3", "d4", "d5"] {
        once(device, &mut buffer)?;
    }
    let samples = take_turns(plan, &[Peer::Ours], |_, _| {
        let times: Fallible<Vec<f64>> = (0..10).map(|_| once("d1", &mut buffer)).collect();
        Ok(super::table::median(&times?))
    })?;
    let messages = grouped(mailbox.count);
    let what = format!("login and STAT, {messages} messages and 5 devices, warm");
    done.push(Row::new("11a", &what, "ms", &samples, Goal::AtMost(1.0)));
    let samples = take_turns(plan, &[Peer::Ours], |_, _| {
        let mut client = Client::connect(&target, &mut buffer)?;
        client.login(&format!("{}+d5", mailbox.user), &mut buffer)?;
        client.delete_first(hidden, &mut buffer)?;
        let begun = Instant::now();
        client.quit(&mut buffer)?;
        Ok(begun.elapsed().as_secs_f64() * 1_000.0)
    })?;
    let what = format!(
        "QUIT that hides {} messages from one device",
        grouped(hidden)
    );
    done.push(Row::new("11b", &what, "ms", &samples, Goal::AtMost(100.0)));
    Ok(())
}

/// Row 9: deliveries, and how many of them one sync carries.
pub(super) fn lmtp(plan: &Plan, peers: &mut Peers, done: &mut Vec<Row>) -> Fallible<()> {
    let next = AtomicU64::new(0);
    let mut delivered = [0_u64; 3];
    let samples = take_turns(plan, &STORES, |peer, warm_up| {
        let length = if warm_up {
            plan.length() / 6
        } else {
            plan.length()
        };
        let (count, took) = deliver(peers, peer, &next, length)?;
        delivered[peer as usize] += count;
        Ok(count as f64 / took)
    })?;
    let mut syncs = Samples::default();
    for peer in STORES {
        let (count, calls) = under_strace(plan, peers, peer, &next)?;
        delivered[peer as usize] += count;
        syncs[peer as usize].push(count as f64 / calls as f64);
        // What was acknowledged has to be there.
        let stored = stored(peers, peer)?;
        if stored != delivered[peer as usize] {
            let said = delivered[peer as usize];
            return fail(format!(
                "{peer:?} said 250 to {said} messages and shows {stored}"
            ));
        }
    }
    let what = "LMTP deliveries of 12 KB, durable, 8 connections";
    let goal = Goal::times(None, 6.0);
    done.push(Row::new("9a", what, "messages/s", &samples, goal));
    let what = "the same under strace: deliveries per fdatasync or fsync";
    done.push(Row::new("9b", what, "messages", &syncs, Goal::AtLeast(2.0)));
    Ok(())
}

/// Deliveries that were answered with 250, and the seconds that they took. Every message is another.
fn deliver(peers: &Peers, peer: Peer, next: &AtomicU64, length: Duration) -> Fallible<(u64, f64)> {
    let port = peers.lmtp(peer)?;
    let counts = clients(|client| {
        let to = format!("{}@{DOMAIN}", peers.sets.receivers[client]);
        let mut messages = bodies(client as u64);
        let mut lmtp = Lmtp::connect(port)?;
        let mut count = 0;
        let begun = Instant::now();
        while begun.elapsed() < length {
            let turn = count as usize % messages.len();
            let message = &mut messages[turn];
            // Another message each time: its number is in its first line.
            let number = format!("X-Number: {:016}\r\n", next.fetch_add(1, Ordering::Relaxed));
            message[..number.len()].copy_from_slice(number.as_bytes());
            lmtp.deliver(&to, message)?;
            count += 1;
        }
        Ok((count, begun, begun.elapsed()))
    })?;
    let begun = counts.iter().map(|(_, begun, _)| *begun).min();
    let ended = counts.iter().map(|(_, begun, took)| *begun + *took).max();
    let took = begun.zip(ended).map(|(begun, ended)| ended - begun);
    let took = took.unwrap_or_default();
    let count = counts.iter().map(|(count, ..)| count).sum();
    Ok((count, took.as_secs_f64()))
}

/// Messages of one client, stuffed, each with room for a number in front.
fn bodies(client: u64) -> Vec<Vec<u8>> {
    let body = |n| stuffed(&mailset::message((1 << 42) + client * 1_000 + n, DELIVERED));
    let room = format!("X-Number: {:016}\r\n", 0).into_bytes();
    (0..64).map(|n| [room.clone(), body(n)].concat()).collect()
}

fn stored(peers: &Peers, peer: Peer) -> Fallible<u64> {
    let mut buffer = Buffer::new(READ);
    let mut all = 0;
    for user in &peers.sets.receivers {
        let mut client = Client::connect(&peers.plain(peer), &mut buffer)?;
        client.login(user, &mut buffer)?;
        all += client.count(&mut buffer)? as u64;
        client.quit(&mut buffer)?;
    }
    Ok(all)
}

/// The same with system calls counted, which makes it slower: deliveries and syncs.
fn under_strace(
    plan: &Plan,
    peers: &mut Peers,
    peer: Peer,
    next: &AtomicU64,
) -> Fallible<(u64, u64)> {
    let folder = scratch("strace")?;
    let counts = folder.path().join("counts");
    let mut command = counting_syncs(&counts);
    for pid in crate::process::family(peers.pid(peer)?) {
        command.arg("-p").arg(pid.to_string());
    }
    let strace = Running::start(&mut command, "strace", &folder.path().join("log"))?;
    thread::sleep(Duration::from_millis(700));
    let (count, _) = deliver(peers, peer, next, plan.length())?;
    // It lets go of the server and tells what it counted.
    strace.signal(Signal::INT)?;
    strace.stop(Duration::from_secs(20))?;
    let told = fs::read_to_string(&counts)?;
    match counted_syncs(&told) {
        Some(calls) if calls > 0 => Ok((count, calls)),
        _ => fail(format!("strace counted no sync of {peer:?}: {told}")),
    }
}

/// `100,000`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
