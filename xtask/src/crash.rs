//! kill -9 of the daemon at random moments under load. Nothing whose 250, or whose QUIT's +OK, was
//! read may be lost, return or double.

mod model;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use crate::lmtp::{Lmtp, stuffed};
use crate::pop::Pop;
use crate::program::{DOMAIN, Program};
use crate::random::{Random, seed};
use crate::tally::Cases;
use crate::{Fallible, fail};

use model::{Found, Model};

const USERS: usize = 4;
const POPPERS: usize = 3;
/// The longest that a round lives, in milliseconds.
const ROUND_MS: u64 = 350;

type Shared = Arc<Mutex<Model>>;

fn with<T>(model: &Shared, work: impl FnOnce(&mut Model) -> T) -> T {
    work(&mut model.lock().unwrap_or_else(PoisonError::into_inner))
}

/// All cases.
pub(crate) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    let rounds = if quick { 20 } else { 100 };
    let name = format!("{rounds} times kill -9 under LMTP and POP3 load");
    cases.case(&name, || rounds_of(binary, rounds));
}

fn rounds_of(binary: &Path, rounds: u64) -> Fallible<()> {
    let seed = seed();
    println!("  seed {seed} (RESTANTE_SEED)");
    let mut random = Random::new(seed);
    let mut program = Program::new(binary, "crash")?;
    program.password_file((0..USERS).map(user))?;
    let model = Shared::default();
    for round in 0..rounds {
        program.start()?;
        let found = look(&program)?;
        with(&model, |model| model.check(found))
            .map_err(|error| format!("round {round}: {error}"))?;
        let loads = load(&program, &model, seed + round * 100);
        thread::sleep(Duration::from_millis(5 + random.below(ROUND_MS)));
        program.healthy()?;
        program.kill()?;
        let broke = loads.end();
        if let Some(error) = broke {
            return fail(format!("round {round}: {error}"));
        }
    }
    program.start()?;
    let found = look(&program)?;
    let summary = with(&model, |model| {
        model.check(found)?;
        Ok::<_, String>(model.summary())
    })?;
    println!("  {summary}");
    program.healthy()?;
    program.stop()
}

fn user(index: usize) -> String {
    format!("user{index}")
}

/// Every message of every user: unique-id and octets.
fn look(program: &Program) -> Fallible<Vec<Found>> {
    let mut all = Vec::new();
    for index in 0..USERS {
        let mut pop = Pop::connect(program.pop3)?;
        pop.login(&user(index))?;
        let mut mailbox = Vec::new();
        for line in pop.listing("UIDL")? {
            let (number, id) = line.split_once(' ').ok_or("a UIDL line without a blank")?;
            mailbox.push((id.to_owned(), pop.retrieve(number.parse()?)?));
        }
        pop.quit()?;
        all.push(mailbox);
    }
    Ok(all)
}

struct Loads {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Option<String>>>,
}

impl Loads {
    /// Ends them; gives a complaint that is not the lost connection that a kill makes.
    fn end(self) -> Option<String> {
        self.stop.store(true, Ordering::Relaxed);
        let ends = self.threads.into_iter().map(|thread| thread.join());
        ends.filter_map(|end| end.unwrap_or_else(|_| Some("a load thread panicked".to_owned())))
            .next()
    }
}

fn load(program: &Program, model: &Shared, seed: u64) -> Loads {
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for index in 0..USERS + POPPERS {
        let (stop, model) = (Arc::clone(&stop), Arc::clone(model));
        let (lmtp, pop3) = (program.lmtp, program.pop3);
        let mut random = Random::new(seed + index as u64 + 1);
        threads.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let end = if index < USERS {
                    deliver(lmtp, index, &model, &stop, &mut random)
                } else {
                    collect(
                        pop3,
                        random.below(USERS as u64) as usize,
                        &model,
                        &mut random,
                    )
                };
                match end {
                    Ok(()) => {}
                    // The daemon is gone: so is the rest of this round.
                    Err(error) if lost(&error) => return None,
                    Err(error) => return Some(error.to_string()),
                }
            }
            None
        }));
    }
    Loads { stop, threads }
}

fn lost(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof
    )
}

/// Delivers until the connection goes. A message whose 250 was not read is sent again later, as an
/// MTA does (RFC 1047).
fn deliver(
    port: u16,
    to: usize,
    model: &Shared,
    stop: &AtomicBool,
    random: &mut Random,
) -> io::Result<()> {
    let mut lmtp = Lmtp::connect(port)?;
    let recipient = format!("{}@{DOMAIN}", user(to));
    while !stop.load(Ordering::Relaxed) {
        let magnitude = random.below(10);
        let size = 200 + random.below(256 << magnitude);
        let (id, message) = with(model, |model| model.attempt(to, size as usize));
        lmtp.deliver(&recipient, &stuffed(&message))?;
        with(model, |model| model.acknowledged(id));
    }
    Ok(())
}

/// One session: reads some, marks some, and ends with QUIT or without.
fn collect(port: u16, from: usize, model: &Shared, random: &mut Random) -> io::Result<()> {
    let mut pop = Pop::connect(port)?;
    pop.login(&user(from))?;
    let mut marked = Vec::new();
    for line in pop.listing("UIDL")? {
        let Some((number, id)) = line.split_once(' ') else {
            return Err(io::Error::other(format!("UIDL said {line:?}")));
        };
        if random.below(10) < 7 {
            let number = number.parse().map_err(io::Error::other)?;
            let message = pop.retrieve(number)?;
            with(model, |model| model.meet(from, id, &message)).map_err(io::Error::other)?;
            pop.command(&format!("DELE {number}"))?;
            marked.push(id.to_owned());
        }
    }
    if random.below(5) == 0 {
        // Gone without QUIT: nothing is removed, and the model goes on to expect all of it.
        return Ok(());
    }
    let group = with(model, |model| model.quitting(marked));
    pop.quit()?;
    with(model, |model| model.quit(group));
    Ok(())
}
