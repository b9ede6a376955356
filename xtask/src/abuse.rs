//! Bad input and pressure against the real daemon: it neither falls nor swells, and whoever behaves
//! notices nothing.

mod sessions;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::mail;
use crate::pop::Pop;
use crate::process::resident;
use crate::program::{PASSWORD, Program};
use crate::tally::Cases;
use crate::{Fallible, fail};

/// Messages in the mailbox that ordinary sessions collect.
const MESSAGES: usize = 20;
/// What a daemon may gain while bad sessions pass, once it is warm.
const GROWTH_OCTETS: u64 = 48 << 20;
/// Issue 2 §4: what an ordinary session may take beside the pressure.
const SESSION: Duration = Duration::from_millis(20);

/// All cases.
pub(crate) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    let mut program = None;
    cases.case("a server with mail", || {
        program = Some(prepare(binary)?);
        Ok(())
    });
    let Some(mut program) = program else { return };
    let many = if quick { 1_000 } else { 10_000 };
    cases.case(&format!("{many} random and mutated sessions"), || {
        bad_input(&mut program, many)
    });
    cases.case(
        "200 slow connections and a flood of 500 beside 12 ordinary sessions",
        || pressure(&mut program),
    );
    cases.case("20 logins of one user at once", || at_once(&program));
    // Last, because it leaves this address under suspicion.
    cases.case("guessing is slow, and locks nobody out", || {
        guessing(&program)
    });
    cases.case("the daemon is well, and ends on SIGTERM", || {
        program.healthy()?;
        program.stop()
    });
}

fn prepare(binary: &Path) -> Fallible<Program> {
    let mut program = Program::new(binary, "abuse")?;
    let mails = mail::collection(MESSAGES);
    let folder = program.path("mails");
    mail::write_folder(&mails[mails.len() - MESSAGES..], &folder)?;
    let names = ["ann", "bob", "eve"].map(str::to_owned).into_iter();
    program.password_file(names.chain((0..12).map(ordinary)))?;
    for name in ["ann".to_owned(), "bob".to_owned()]
        .into_iter()
        .chain((0..12).map(ordinary))
    {
        program.import(&folder, &name)?;
    }
    program.start()?;
    Ok(program)
}

fn ordinary(index: usize) -> String {
    format!("user{index}")
}

/// Login, STAT, UIDL, one message, QUIT; every answer as it should be.
fn session(port: u16, user: &str) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut pop = Pop::connect(port)?;
    pop.login(user)?;
    let (count, _) = pop.stat()?;
    if count != MESSAGES as u64 || pop.listing("UIDL")?.len() != MESSAGES {
        return Err(io::Error::other("a maildrop that is not whole"));
    }
    pop.command("RETR 3")?;
    pop.skip_body()?;
    pop.quit()?;
    Ok(begun.elapsed())
}

/// Middle, 95th of a hundred, and worst.
fn spread(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    let pick = |part| at(part).copied().unwrap_or_default();
    (pick(50), pick(95), pick(100))
}

fn bad_input(program: &mut Program, many: u64) -> Fallible<()> {
    let seed = crate::random::seed();
    println!("  seed {seed} (RESTANTE_SEED)");
    let pid = program.daemon()?.pid();
    let (port, workers) = (program.pop3, 32);
    let next = AtomicU64::new(0);
    let warm = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                times.push(session(port, "bob")?);
                thread::sleep(Duration::from_millis(20));
            }
            Ok::<_, io::Error>(times)
        });
        let workers: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= many {
                            return;
                        }
                        if number == many / 5 {
                            warm.store(resident(pid), Ordering::Relaxed);
                        }
                        sessions::one(port, seed + number);
                    }
                })
            })
            .collect();
        for worker in workers {
            // A worker has nothing that can fail: the judgement comes from the daemon.
            drop(worker.join());
        }
        done.store(true, Ordering::Relaxed);
        beside.join()
    });
    let times = beside.map_err(|_| "the ordinary session's thread panicked")??;
    let (median, p95, worst) = spread(times);
    program.healthy()?;
    let (warm, now) = (warm.load(Ordering::Relaxed), resident(pid));
    println!(
        "  beside: median {median:?}, p95 {p95:?}, worst {worst:?}; resident {} → {} KiB",
        warm >> 10,
        now >> 10
    );
    if now > warm + GROWTH_OCTETS {
        return fail(format!("the daemon grew from {warm} to {now} octets"));
    }
    if median > Duration::from_millis(200) {
        return fail(format!("an ordinary session took {median:?} in the middle"));
    }
    Ok(())
}

fn pressure(program: &mut Program) -> Fallible<()> {
    let port = program.pop3;
    // Once before, so that no password is hashed while we measure.
    let mut calm = Vec::new();
    for index in 0..12 {
        session(port, &ordinary(index))?;
        calm.push(session(port, &ordinary(index))?);
    }
    let done = AtomicBool::new(false);
    let measured = thread::scope(|scope| {
        let slow = scope.spawn(|| sessions::slow(port, 200, &done));
        let flood = scope.spawn(|| sessions::flood(port, 500, &done));
        thread::sleep(Duration::from_millis(300));
        let people: Vec<_> = (0..12)
            .map(|index| {
                scope.spawn(move || {
                    let mut times = Vec::new();
                    for _ in 0..20 {
                        times.push(session(port, &ordinary(index))?);
                        thread::sleep(Duration::from_millis(100));
                    }
                    Ok::<_, io::Error>(times)
                })
            })
            .collect();
        let mut all: io::Result<Vec<Duration>> = Ok(Vec::new());
        for one in people {
            let times = one
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a session panicked")));
            all = all.and_then(|mut all| {
                all.extend(times?);
                Ok(all)
            });
        }
        done.store(true, Ordering::Relaxed);
        let held = (slow.join().unwrap_or(0), flood.join().unwrap_or(0));
        all.map(|all| (all, held))
    });
    let (times, (slow, flood)) = measured?;
    let ((calm, ..), (median, p95, worst)) = (spread(calm), spread(times));
    println!("  {slow} slow connections, {flood} of the flood answered");
    println!(
        "  alone: median {calm:?}; under pressure: median {median:?}, p95 {p95:?}, worst {worst:?}"
    );
    program.healthy()?;
    if slow < 200 || median > SESSION {
        return fail(format!(
            "{slow} slow connections held; an ordinary session took {median:?} in the middle"
        ));
    }
    Ok(())
}

fn at_once(program: &Program) -> Fallible<()> {
    let port = program.pop3;
    let open: io::Result<Vec<Pop>> = thread::scope(|scope| {
        let logins: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(move || {
                    let mut pop = Pop::connect(port)?;
                    pop.login("bob")?;
                    Ok(pop)
                })
            })
            .collect();
        let ended = logins.into_iter().map(|login| login.join());
        ended
            .map(|login| login.unwrap_or_else(|_| Err(io::Error::other("a login panicked"))))
            .collect()
    });
    // All of them are open here, at the same time.
    for mut pop in open? {
        if pop.stat()?.0 != MESSAGES as u64 {
            return fail("one of them saw another maildrop");
        }
        pop.quit()?;
    }
    Ok(())
}

fn guessing(program: &Program) -> Fallible<()> {
    let port = program.pop3;
    let (judged, unheard) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let seconds = 6;
    let beside = thread::scope(|scope| {
        for index in 0..16 {
            let mut round = 0;
            // Half of them guess at a user who is there, half at one who is not.
            let user = if index % 2 == 0 {
                "eve"
            } else {
                "nobody-there"
            };
            let (judged, unheard, done) = (&judged, &unheard, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let (heard, not) = sessions::guess(
                        port,
                        user,
                        &format!("not-{PASSWORD}-{index}-{round}"),
                        done,
                    );
                    round += 1;
                    judged.fetch_add(heard, Ordering::Relaxed);
                    unheard.fetch_add(not, Ordering::Relaxed);
                }
            });
        }
        thread::sleep(Duration::from_secs(2));
        let begun = Instant::now();
        let beside = session(port, "bob").map(|_| begun.elapsed());
        thread::sleep(Duration::from_secs(seconds - 2).saturating_sub(begun.elapsed()));
        done.store(true, Ordering::Relaxed);
        beside
    });
    let (refused, unheard) = (
        judged.load(Ordering::Relaxed),
        unheard.load(Ordering::Relaxed),
    );
    let beside = beside
        .map_err(|error| format!("another user of the same address was shut out: {error}"))?;
    println!(
        "  {refused} passwords judged in {seconds} s, {unheard} turned away; another user got in after {beside:?}"
    );
    // About 5 a second, and a first handful that comes before anything is suspicious.
    if refused > seconds * 5 + 20 {
        return fail(format!("{refused} guesses in {seconds} s"));
    }
    if beside > Duration::from_secs(3) {
        return fail(format!(
            "another user of the same address waited {beside:?}"
        ));
    }
    Ok(())
}
