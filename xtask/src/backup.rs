//! Backups against the world: there and back through a folder and through Garage, an engine that
//! speaks S3; kill -9, a cut network, a full disk and rot; and recovery by hand.

mod faults;
mod garage;
mod hand;
mod rot;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

pub(crate) use garage::{Building, build as build_peer};

use crate::dovecot::Dovecot;
use crate::pop::Pop;
use crate::process::{Said, run};
use crate::program::{PASSWORD_VARIABLE, Program};
use crate::tally::Cases;
use crate::{Fallible, fail, mail};

/// The slowest command of these tests takes some seconds; one that hangs has failed.
const LIMIT: Duration = Duration::from_secs(120);
const USER: &str = "ann";

/// All cases.
pub(crate) fn run_all(binary: &Path, quick: bool, cases: &mut Cases) {
    let kills = if quick { 9 } else { 30 };
    cases.case("there and back through a folder", || {
        there_and_back(binary, quick, |program| {
            Ok(Place {
                name: text(&program.path("backups"))?,
                environment: Vec::new(),
            })
        })
    });
    cases.case("what is to be kept until it is backed up", || {
        until_backed_up(binary)
    });
    cases.case("backups on schedule, and what status says", || {
        scheduled(binary)
    });
    cases.case("recovery by hand, as docs/format.md says", || {
        hand::recovery(binary, quick)
    });
    rot::run(binary, quick, cases);
    let name = format!("{kills} times kill -9 of backup, restore and prune, in a folder");
    cases.case(&name, || faults::killed(binary, kills, None));
    cases.case("a full disk", || faults::full(binary));
    let garage = match garage::Garage::start() {
        Ok(garage) => garage,
        Err(error) => return cases.case("Garage", || Err(error)),
    };
    cases.case("there and back through Garage", || {
        // Of what needs quoting in a URL, as a listing has it and as a name does.
        there_and_back(binary, quick, |_| Ok(garage.place("a b~\u{fc}/[1]", None)))
    });
    let name = format!("{kills} times kill -9 of backup, restore and prune, at Garage");
    cases.case(&name, || faults::killed(binary, kills, Some(&garage)));
    let name = format!("{kills} times the network cut under backup, restore and prune");
    cases.case(&name, || faults::cut(binary, kills, &garage));
    cases.case("Garage, ended", || garage.stop());
}

/// Where backups go, and what the program needs to get there.
struct Place {
    name: String,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    /// Runs one of the program's commands to its end, whatever that is.
    fn run(&self, program: &Program, words: &[&str]) -> Fallible<Said> {
        let mut command = program.command(words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(&mut command, b"", LIMIT)
    }

    /// As `run`; it has to succeed.
    fn tell(&self, program: &Program, words: &[&str]) -> Fallible<Said> {
        self.run(program, words)?
            .ok(&format!("restante {}", words.join(" ")))
    }
}

fn text(path: &Path) -> Fallible<String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| "a path that is no UTF-8".into())
}

/// A program with mail of the corpus for one user, made as the manual says, and not running.
fn with_mail(binary: &Path, name: &str, real: usize) -> Fallible<Program> {
    let program = Program::new(binary, name)?;
    let folder = program.path("mail");
    mail::write_folder(&mail::collection(real), &folder)?;
    program.add_user(USER)?;
    program.import(&folder, USER)?;
    fs::remove_dir_all(folder)?;
    Ok(program)
}

/// All that a POP3 client sees: digests by unique-id.
fn by_pop3(program: &mut Program) -> Fallible<BTreeMap<String, blake3::Hash>> {
    program.start()?;
    let mut pop = Pop::connect(program.pop3)?;
    pop.login(USER)?;
    let mut all = BTreeMap::new();
    for line in pop.listing("UIDL")? {
        let (number, id) = line.split_once(' ').ok_or("a UIDL line without a blank")?;
        let body = pop.retrieve(number.parse()?)?;
        all.insert(id.to_owned(), blake3::hash(&body));
    }
    pop.quit()?;
    program.healthy()?;
    program.stop()?;
    Ok(all)
}

/// What a search finds, as it is printed.
fn search(program: &Program, query: &str) -> Fallible<Vec<u8>> {
    Ok(program.tell(&["search", query, "--json"], "")?.out)
}

fn lose_data(program: &Program) -> Fallible<()> {
    Ok(fs::remove_dir_all(program.path("data"))?)
}

/// Import, back up, delete the data folder, restore: the same mail with the same unique-ids.
fn there_and_back(
    binary: &Path,
    quick: bool,
    place: impl FnOnce(&Program) -> Fallible<Place>,
) -> Fallible<()> {
    let mut program = with_mail(binary, "backup", if quick { 60 } else { usize::MAX })?;
    let place = place(&program)?;
    let before = by_pop3(&mut program)?;
    let found = search(&program, "mail")?;
    if found.is_empty() {
        return fail("a search for a common word finds nothing");
    }
    let said = place.tell(&program, &["backup", &place.name])?;
    println!("    {}", String::from_utf8_lossy(&said.out).trim());
    lose_data(&program)?;
    place.tell(&program, &["restore", &place.name])?;
    place.tell(&program, &["verify", &place.name])?;
    place.tell(&program, &["verify", &place.name, "--drill"])?;
    let after = by_pop3(&mut program)?;
    if before != after {
        return fail(format!(
            "of {} messages {} are the same after the restore",
            before.len(),
            before
                .iter()
                .filter(|(id, d)| after.get(*id) == Some(d))
                .count()
        ));
    }
    if search(&program, "mail")? != found {
        return fail("a search finds other messages than before");
    }
    println!("    {} messages, the same unique-ids", after.len());
    Ok(())
}

/// `keep = "until-backed-up"` deletes on the server what a verified backup holds, and no more.
fn until_backed_up(binary: &Path) -> Fallible<()> {
    let mut server = Dovecot::new([USER.to_owned()].into_iter())?;
    let messages = |from: usize, count: usize| {
        (from..from + count)
            .map(|n| format!("Message-ID: <{n}@example.net>\r\nSubject: {n}\r\n\r\n{n}\r\n"))
            .map(String::into_bytes)
            .collect::<Vec<_>>()
    };
    server.fill_raw(USER, 0, messages(0, 5).iter().map(Vec::as_slice))?;
    server.start()?;
    let program = Program::new(binary, "until-backed-up")?;
    program.configure(&format!(
        "[account.remote]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"{USER}\"\n\
         security = \"danger-plaintext\"\npassword_env = \"{PASSWORD_VARIABLE}\"\n\
         keep = \"until-backed-up\"\n",
        server.pop3
    ))?;
    let place = text(&program.path("backups"))?;
    let fetch = |expected: usize, when: &str| -> Fallible<()> {
        program.tell(&["fetch", "remote"], "")?;
        let left = server.left(USER)?.len();
        if left == expected {
            return Ok(());
        }
        fail(format!(
            "{left} messages are left on the server {when}, not {expected}"
        ))
    };
    fetch(5, "before there is a backup")?;
    program.tell(&["backup", &place], "")?;
    server.fill_raw(USER, 5, messages(5, 2).iter().map(Vec::as_slice))?;
    fetch(2, "after the first backup")?;
    fetch(2, "without another backup")?;
    program.tell(&["backup", &place], "")?;
    fetch(0, "after the second backup")
}

/// What `restante status` says, and its exit code.
fn status(program: &Program) -> Fallible<(Option<i32>, String)> {
    let said = run(&mut program.command(&["status"]), b"", LIMIT)?;
    Ok((
        said.status.code(),
        String::from_utf8_lossy(&said.out).into_owned(),
    ))
}

/// Waits until `status` is content and says all of it.
fn wait_for(program: &Program, words: &[&str]) -> Fallible<()> {
    let begun = std::time::Instant::now();
    loop {
        let (code, said) = status(program)?;
        if code == Some(0) && words.iter().all(|word| said.contains(word)) {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(40) {
            return fail(format!("no {words:?} on schedule: {code:?}, {said}"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// An error unless `status` exits with the code and says so.
fn expect(program: &Program, code: i32, word: &str) -> Fallible<()> {
    let (found, said) = status(program)?;
    if found == Some(code) && said.contains(word) {
        return Ok(());
    }
    fail(format!("status without {word:?}: {found:?}, {said}"))
}

/// `[backup]` in `serve`: backups, drills, another place after SIGHUP; and what `status` says of it all.
fn scheduled(binary: &Path) -> Fallible<()> {
    let mut program = with_mail(binary, "scheduled", 5)?;
    expect(&program, 0, "no backup")?;
    let places = ["backups", "elsewhere"].map(|name| text(&program.path(name)));
    let [first, second] = places;
    let (first, second) = (first?, second?);
    program.configure(&format!(
        "[backup]\nto = \"{first}\"\nevery = \"1 day\"\nkeep = \"7 daily\"\nstale_after = \"1 hour\"\n"
    ))?;
    expect(&program, 1, "no backup yet")?;
    program.start()?;
    wait_for(&program, &[&first, "last good one 20", "drill 20"])?;
    let path = program.path("restante.toml");
    fs::write(&path, fs::read_to_string(&path)?.replace(&first, &second))?;
    expect(&program, 1, "no backup yet")?;
    program.hang_up()?;
    wait_for(&program, &[&second, "last good one 20"])?;
    program.healthy()?;
    program.stop()?;
    rotten(&second)?;
    let said = run(&mut program.command(&["verify", "--drill"]), b"", LIMIT)?;
    if said.status.code() != Some(65) {
        return fail(format!("a drill of a rotten backup: {}", said.tail()));
    }
    expect(&program, 1, "The last drill failed")?;
    // What a drill has found the next backup mends.
    program.tell(&["backup"], "")?;
    program.tell(&["verify", "--drill"], "")?;
    expect(&program, 0, "last good one 20")?;
    // An hour later it is stale.
    let aged = "UPDATE backup_place SET backup_ms = backup_ms - 3600001";
    let state = program.path("data/state.db");
    let mut command = std::process::Command::new("sqlite3");
    drop(run(command.arg(state).arg(aged), b"", LIMIT)?.ok("sqlite3")?);
    expect(&program, 1, "too old")
}

/// Flips an octet of the largest object at a place.
fn rotten(place: &str) -> Fallible<()> {
    let mut objects = Vec::new();
    rot::files(&Path::new(place).join("objects"), &mut objects)?;
    objects.retain(|path| fs::read(path).is_ok_and(|bytes| !bytes.starts_with(b"SQLite")));
    let largest = objects
        .iter()
        .max_by_key(|path| fs::metadata(path).map_or(0, |data| data.len()));
    let largest = largest.ok_or("a backup without objects")?;
    let mut bytes = fs::read(largest)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(largest, bytes)?)
}
