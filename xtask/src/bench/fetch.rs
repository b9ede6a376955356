//! `cargo xtask bench fetch`: ours beside mpop, fetchmail and getmail, from the same Dovecot.

mod contest;
mod table;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::mailset::{Mailbox, without_cr};
use super::{Plan, machine};
use crate::dovecot::Dovecot;
use crate::proxy::{Network, Proxy};
use crate::{Fallible, steps, workspace};

use contest::{ALL, Contest, Fetcher};
use table::{Goal, Row};

pub(super) const ROWS: &[&str] = &["large", "thousand", "latency", "syncs", "memory"];

/// One way, as the round trip of the blueprint's row is 40 ms.
const DELAY: Duration = Duration::from_millis(20);

/// The server, and the network to it.
struct World {
    dovecot: Dovecot,
    large: Mailbox,
    thousand: Mailbox,
    /// 100,000 messages of one line.
    many: usize,
    runtime: Runtime,
}

const MANY_USER: &str = "many";
const HUGE_USER: &str = "huge";
const HUGE_OCTETS: u64 = 100 * 1024 * 1024;

impl World {
    fn start(plan: &Plan) -> Fallible<Self> {
        let tenth = if plan.quick { 10 } else { 1 };
        let large = Mailbox::new("large", 10_000 / tenth, 1 << 42);
        let thousand = Mailbox::new("thousand", 1_000 / tenth, 1 << 43);
        let many = 100_000 / tenth;
        let users = ["large", "thousand", MANY_USER, HUGE_USER].map(str::to_owned);
        // In clear on the server's side, so that it hashes nothing while others are measured.
        let mut dovecot = Dovecot::offering(users.into_iter(), "plain login")?;
        for mailbox in [&large, &thousand] {
            let messages: Vec<Vec<u8>> = (0..mailbox.count)
                .map(|index| without_cr(&mailbox.message(index)))
                .collect();
            dovecot.fill(&mailbox.user, messages.iter().map(Vec::as_slice))?;
        }
        if plan.wants("memory") {
            let small = |n| format!("From: a@example.net\nMessage-ID: <{n}@example.net>\n\n{n}\n");
            let all: Vec<Vec<u8>> = (0..many).map(|n| small(n).into_bytes()).collect();
            dovecot.fill(MANY_USER, all.iter().map(Vec::as_slice))?;
            let huge = without_cr(&super::mailset::message(7, HUGE_OCTETS));
            dovecot.fill(HUGE_USER, [huge.as_slice()].into_iter())?;
        }
        dovecot.start()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            dovecot,
            large,
            thousand,
            many,
            runtime,
        })
    }

    /// A network of 40 ms before the server; it is gone when the proxy is dropped.
    fn far(&self) -> Fallible<Proxy> {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, self.dovecot.pop3));
        let network = Network {
            delay: DELAY,
            piece_octets: 256 * 1024,
            ..Network::default()
        };
        Ok(self.runtime.block_on(Proxy::start(server, network))?)
    }
}

/// Runs what was asked for, prints the table and may write it down.
pub(super) fn run(plan: &Plan, words: &[&str]) -> Fallible<()> {
    let binary = steps::release()?;
    let before = machine::load_average();
    println!("bench: load average {before}");
    let world = World::start(plan)?;
    let mut rows = Vec::new();
    for row in ROWS.iter().filter(|row| plan.wants(row)) {
        match *row {
            "large" => large(plan, &world, &binary, &mut rows)?,
            "thousand" => thousand(plan, &world, &binary, &mut rows)?,
            "latency" => latency(plan, &world, &binary, &mut rows)?,
            "syncs" => syncs(&world, &binary, &mut rows)?,
            _ => memory(&world, &binary, &mut rows)?,
        }
    }
    let load = format!("{before} before, {} after", machine::load_average());
    let page = page(plan, words, &rows, &machine::describe(&binary), &load);
    println!("\n{page}");
    if plan.write {
        super::write_part(&workspace().join("docs/benchmarks.md"), &page)?;
    }
    Ok(())
}

fn page(plan: &Plan, words: &[&str], rows: &[Row], machine: &str, load: &str) -> String {
    let command: Vec<&str> = words.iter().copied().filter(|&w| w != "--write").collect();
    let command = ["cargo xtask bench fetch", &command.join(" ")].join(" ");
    format!(
        "# Benchmarks of the fetcher\n\n\
         `{}`: median of {} runs; the fetchers take turns within a run.\n\n\
         {machine}- fetchers: {}\n- load average: {load}\n\n\
         {}\n{}",
        command.trim(),
        plan.runs,
        contest::versions(),
        table::markdown(rows),
        include_str!("fetch/method.md"),
    )
}

/// Everyone in turns, `runs` times; those whose run takes a minute only once.
fn race(plan: &Plan, contest: &Contest<'_>, racers: &[Fetcher]) -> Fallible<[Vec<f64>; ALL.len()]> {
    let mut samples: [Vec<f64>; ALL.len()] = Default::default();
    for run in 0..plan.runs {
        for &fetcher in racers {
            let all = &mut samples[fetcher as usize];
            if run > 0 && all.iter().any(|&seconds| seconds > 20.0) {
                continue;
            }
            all.push(contest.time(fetcher)?);
        }
    }
    Ok(samples)
}

fn large(plan: &Plan, world: &World, binary: &Path, rows: &mut Vec<Row>) -> Fallible<()> {
    let contest = Contest::new(binary, world.dovecot.pop3, &world.large);
    let racers = [Fetcher::Drain, Fetcher::Mpop, Fetcher::Ours];
    let samples = race(plan, &contest, &racers)?;
    let what = format!(
        "{} messages, {:.0} MB, durable, no latency",
        world.large.count,
        world.large.octets() as f64 / 1e6
    );
    rows.push(Row::new(
        "11",
        what,
        "s",
        &samples,
        Goal::OfMpop(0.25, None),
    ));
    Ok(())
}

fn thousand(plan: &Plan, world: &World, binary: &Path, rows: &mut Vec<Row>) -> Fallible<()> {
    let contest = Contest::new(binary, world.dovecot.pop3, &world.thousand);
    let samples = race(plan, &contest, &ALL)?;
    let what = format!(
        "{} messages, {:.1} MB, durable, no latency",
        world.thousand.count,
        world.thousand.octets() as f64 / 1e6
    );
    rows.push(Row::new(
        "12",
        what,
        "s",
        &samples,
        Goal::OfMpop(0.4, Some(1.6)),
    ));
    Ok(())
}

fn latency(plan: &Plan, world: &World, binary: &Path, rows: &mut Vec<Row>) -> Fallible<()> {
    let proxy = world.far()?;
    let contest = Contest::new(binary, proxy.address().port(), &world.thousand);
    let racers = if plan.quick {
        vec![Fetcher::Mpop, Fetcher::Ours]
    } else {
        vec![
            Fetcher::Mpop,
            Fetcher::Fetchmail,
            Fetcher::Getmail,
            Fetcher::Ours,
        ]
    };
    let samples = race(plan, &contest, &racers)?;
    let what = format!("{} messages at 40 ms round trip", world.thousand.count);
    rows.push(Row::new("13", what, "s", &samples, Goal::AtMost(1.0)));
    Ok(())
}

fn syncs(world: &World, binary: &Path, rows: &mut Vec<Row>) -> Fallible<()> {
    let contest = Contest::new(binary, world.dovecot.pop3, &world.thousand);
    let mut samples: [Vec<f64>; ALL.len()] = Default::default();
    for fetcher in [
        Fetcher::Mpop,
        Fetcher::Fetchmail,
        Fetcher::Getmail,
        Fetcher::Ours,
    ] {
        samples[fetcher as usize].push(contest.syncs(fetcher)? as f64);
    }
    let what = format!(
        "fsync and fdatasync calls for {} messages (strace -c)",
        world.thousand.count
    );
    rows.push(Row::new("14", what, "calls", &samples, Goal::None));
    Ok(())
}

fn memory(world: &World, binary: &Path, rows: &mut Vec<Row>) -> Fallible<()> {
    for (number, user, count, what) in [
        (
            "15a",
            HUGE_USER,
            1,
            "peak resident memory, one message of 100 MB".to_owned(),
        ),
        (
            "15b",
            MANY_USER,
            world.many,
            format!("peak resident memory, {} messages", world.many),
        ),
    ] {
        let mailbox = Mailbox::new(user, count, 0);
        let contest = Contest::new(binary, world.dovecot.pop3, &mailbox);
        let mut samples: [Vec<f64>; ALL.len()] = Default::default();
        samples[Fetcher::Ours as usize].push(contest.our_peak()? as f64 / (1024.0 * 1024.0));
        rows.push(Row::new(number, what, "MiB", &samples, Goal::AtMost(64.0)));
    }
    Ok(())
}
