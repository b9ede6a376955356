//! kill -9, a cut network and a full disk in the midst of backup, restore and prune. Earlier generations
//! stay whole, a rerun finishes the job, and pruning takes nothing that a kept generation needs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::garage::Garage;
use super::{LIMIT, Place, USER, text, with_mail};
use crate::process::run;
use crate::program::Program;
use crate::proxy::{Network, Proxy};
use crate::random::{Random, seed};
use crate::{Fallible, fail, mail};

/// An archive that grows, and its backups.
struct World {
    program: Program,
    random: Random,
    delivered: usize,
}

impl World {
    fn new(binary: &Path, name: &str) -> Fallible<Self> {
        let seed = seed();
        println!("    seed {seed} (RESTANTE_SEED)");
        Ok(Self {
            program: with_mail(binary, name, 40)?,
            random: Random::new(seed),
            delivered: 0,
        })
    }

    /// Some new mail, of a size that takes some time to travel.
    fn grow(&mut self) -> Fallible<()> {
        let folder = self.program.path("new");
        let mails: Vec<_> = (0..6)
            .map(|_| {
                self.delivered += 1;
                let number = self.delivered;
                let mut bytes = format!("Subject: new {number}\r\n\r\n").into_bytes();
                for line in 0..self.random.below(4_000) {
                    let seed = [number as u64, line].map(u64::to_le_bytes).concat();
                    bytes.extend_from_slice(format!("{}\r\n", blake3::hash(&seed)).as_bytes());
                }
                let name = number.to_string();
                mail::Mail { name, bytes }
            })
            .collect();
        mail::write_folder(&mails, &folder)?;
        self.program.import(&folder, USER)?;
        Ok(std::fs::remove_dir_all(folder)?)
    }

    fn start(&self, place: &Place, words: &[&str]) -> Fallible<std::process::Child> {
        let mut command = self.program.command(words);
        command.envs(place.environment.iter().map(|(n, v)| (n, v)));
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(quiet.spawn()?)
    }

    /// The command of a round: each of the three in turn.
    fn words<'w>(&self, round: usize, place: &'w str, folder: &'w str) -> Vec<&'w str> {
        match round % 3 {
            0 => vec!["backup", place],
            1 => vec!["restore", place, "--data", folder],
            _ => vec!["backup", place, "--keep", "2 last"],
        }
    }

    /// What there is has to be whole, and what a rerun restores the same as the archive.
    fn check(&self, place: &Place, restored: &str) -> Fallible<()> {
        place.tell(&self.program, &["verify", &place.name])?;
        place.tell(&self.program, &["restore", &place.name, "--data", restored])?;
        place.tell(&self.program, &["verify", "--data", restored])?;
        Ok(())
    }

    /// Finishes the job undisturbed: a backup, pruning, a drill, and a folder that was restored into
    /// through all of it.
    fn finish(&self, place: &Place, restored: &str) -> Fallible<()> {
        let words = ["backup", &place.name, "--keep", "1 last"];
        place.tell(&self.program, &words)?;
        self.check(place, restored)?;
        place.tell(&self.program, &["verify", &place.name, "--drill"])?;
        let ids = |data: Option<&str>| -> Fallible<Vec<u8>> {
            let mut words = vec!["list", "--json"];
            words.extend(data.map(|_| "--data"));
            words.extend(data);
            Ok(self.program.tell(&words, "")?.out)
        };
        if ids(None)? == ids(Some(restored))? {
            return Ok(());
        }
        fail("the folder that was restored into lists other messages than the archive")
    }
}

/// Kills the three at random moments.
pub(super) fn killed(binary: &Path, rounds: usize, garage: Option<&Garage>) -> Fallible<()> {
    let mut world = World::new(binary, "backup-kill")?;
    let place = match garage {
        Some(garage) => garage.place("killed", None),
        None => Place {
            name: text(&world.program.path("backups"))?,
            environment: Vec::new(),
        },
    };
    let begun = Instant::now();
    place.tell(&world.program, &["backup", &place.name])?;
    let whole = begun.elapsed().as_micros().max(1_000) as u64;
    let restored = text(&world.program.path("restored"))?;
    let mut early = 0;
    for round in 0..rounds {
        world.grow()?;
        let words = world.words(round, &place.name, &restored);
        let mut child = world.start(&place, &words)?;
        thread::sleep(Duration::from_micros(world.random.below(whole)));
        early += usize::from(child.try_wait()?.is_none());
        child.kill()?;
        child.wait()?;
        if round % 6 == 5 {
            world.check(&place, &restored)?;
        }
    }
    println!("    {early} of {rounds} were killed before they were done");
    if early * 3 < rounds {
        return fail("most were done before they were killed: the test shows little");
    }
    world.finish(&place, &restored)
}

/// Cuts the network under the three at random moments.
pub(super) fn cut(binary: &Path, rounds: usize, garage: &Garage) -> Fallible<()> {
    let mut world = World::new(binary, "backup-cut")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, garage.port));
    let good = garage.place("cut", None);
    good.tell(&world.program, &["backup", &good.name])?;
    let restored = text(&world.program.path("restored"))?;
    for round in 0..rounds {
        world.grow()?;
        let proxy = runtime.block_on(Proxy::start(server, Network::default()))?;
        let place = garage.place("cut", Some(proxy.address().port()));
        let words = world.words(round, &place.name, &restored);
        let mut child = world.start(&place, &words)?;
        // Cut again and again, then gone: what is tried again has to fail or to succeed.
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(world.random.below(60)));
            proxy.cut();
        }
        let gone = world.random.below(2) == 0;
        let proxy = if gone { None } else { Some(proxy) };
        // A network that stays away is waited for a minute; nobody here waits for that.
        let patience = if gone {
            Duration::from_millis(300)
        } else {
            LIMIT
        };
        let since = Instant::now();
        while child.try_wait()?.is_none() {
            if since.elapsed() > patience {
                child.kill()?;
                child.wait()?;
                if !gone {
                    return fail("over a network that was cut and came back it did not end");
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
        drop(proxy);
        if round % 6 == 5 {
            world.check(&good, &restored)?;
        }
    }
    world.finish(&good, &restored)
}

/// A destination with too little room, in a file system of its own: the backup fails and says so, and
/// what was there before is whole.
pub(super) fn full(binary: &Path) -> Fallible<()> {
    let mut world = World::new(binary, "backup-full")?;
    let small = world.program.path("small");
    std::fs::create_dir(&small)?;
    let place = text(&small)?;
    let mut grown = text(&world.program.path("grown"))?;
    grown.push_str(".eml");
    std::fs::write(&grown, noise(24 * 1024 * 1024))?;
    let said = |command: &Command| -> String {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted = words.map(|w| format!("'{}'", w.to_string_lossy().replace('\'', "'\\''")));
        quoted.collect::<Vec<_>>().join(" ")
    };
    let tell = |words: &[&str]| said(&world.program.command(words));
    // A name space of its own, so that the mount ends with it.
    let script = format!(
        "set -e\nmount -t tmpfs -o size=12m none '{place}'\n{}\n{}\n\
         if {} 2> {place}.err; then echo 'a full disk went unnoticed' >&2; exit 1; fi\n\
         grep -q 'is full' {place}.err\n{}\n{}\n",
        tell(&["backup", &place]),
        tell(&["import", &grown, "--into", USER]),
        tell(&["backup", &place]),
        tell(&["verify", &place]),
        tell(&["restore", &place, "--data", &format!("{place}.restored")]),
    );
    let mut command = Command::new("unshare");
    command.args(if rustix::process::geteuid().is_root() {
        ["-m", "sh", "-c"].as_slice()
    } else {
        ["-rm", "sh", "-c"].as_slice()
    });
    let ended = run(command.arg(script), b"", LIMIT)?;
    world.delivered += 1;
    drop(ended.ok("a backup to a small disk")?);
    Ok(())
}

/// Octets that no compressor makes smaller, as a message.
fn noise(octets: usize) -> Vec<u8> {
    let mut bytes = b"Subject: noise\r\n\r\n".to_vec();
    let mut random = Random::new(7);
    while bytes.len() < octets {
        let word = random.next().to_le_bytes();
        bytes.extend(
            word.iter()
                .map(|b| if *b == b'\n' || *b == b'\r' { b'x' } else { *b }),
        );
    }
    bytes
}
