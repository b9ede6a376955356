//! Three clients that we did not write on one mailbox, each as a device of its own and each in its own
//! way: mpop deletes, fetchmail keeps, getmail deletes after some days. Messages arrive meanwhile, and
//! each ends with exactly all of them, once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::interop::clients::{NOBODY, a_processor};
use crate::lmtp::Lmtp;
use crate::pop::Pop;
use crate::process::run;
use crate::program::{DOMAIN, PASSWORD, Program};
use crate::tally::Cases;
use crate::{Fallible, fail};

const USER: &str = "me";
const MESSAGES: usize = 200;
/// The last message arrives so long after the first.
const ARRIVING: Duration = Duration::from_secs(12);
/// One pass of a client.
const PASS: Duration = Duration::from_secs(60);

/// All cases.
pub(crate) fn run_all(binary: &Path, cases: &mut Cases) {
    let mut server = None;
    cases.case("a user, and a server", || {
        let mut program = Program::new(binary, "devices")?;
        program.add_user(USER)?;
        program.start()?;
        server = Some(program);
        Ok(())
    });
    let Some(mut server) = server else { return };
    cases.case(
        "mpop deleting, fetchmail keeping, getmail deleting later: each has all 200, once",
        || together(&server),
    );
    cases.case("what all have deleted leaves, what one keeps stays", || {
        what_stays(&server)
    });
    cases.case(
        "a removed device is refused, and holds nothing back",
        || removed(&server),
    );
    cases.case("the daemon is well, and ends on SIGTERM", || {
        server.healthy()?;
        server.stop()
    });
}

/// A device: how its client is started, and where it puts what it got.
struct Device {
    name: &'static str,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    /// Folders whose files are messages.
    got: Vec<PathBuf>,
}

impl Device {
    /// Numbers of the messages that it has, and how often.
    fn counts(&self) -> Fallible<BTreeMap<usize, usize>> {
        let mut counts = BTreeMap::new();
        for folder in &self.got {
            for entry in fs::read_dir(folder)? {
                let text = fs::read(entry?.path())?;
                *counts.entry(number(&text)?).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Collects once. A client that finds nothing may say so by its status.
    fn pass(&self) -> Fallible<()> {
        let said = run(&mut (self.command)(), b"", PASS)?;
        match said.status.code() {
            // fetchmail: there was no mail.
            Some(0) => Ok(()),
            Some(1) if self.name == "fetchmail" => Ok(()),
            _ => said.ok(self.name).map(drop),
        }
    }
}

fn message(number: usize) -> Vec<u8> {
    let padding = "x".repeat(40 + number % 30);
    format!(
        "From: a@example.net\r\nTo: {USER}@{DOMAIN}\r\nDate: Fri, 27 Nov 2026 01:00:00 +0000\r\n\
         Message-ID: <{number}@example.net>\r\nSubject: number {number}\r\n\r\n{padding}\r\nend of {number}\r\n"
    )
    .into_bytes()
}

/// Which message it is; whole, or an error.
fn number(text: &[u8]) -> Fallible<usize> {
    let text = String::from_utf8_lossy(text);
    let line = |start: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(start));
        found.and_then(|digits| digits.trim().parse::<usize>().ok())
    };
    match (line("Subject: number "), line("end of ")) {
        (Some(first), Some(last)) if first == last => Ok(first),
        _ => fail(format!("not a whole message of ours: {text:.100}")),
    }
}

fn private(path: &Path, text: &str) -> Fallible<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o600),
    )?)
}

fn maildir(folder: &Path) -> Fallible<Vec<PathBuf>> {
    let maildir = folder.join("Maildir");
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub))?;
    }
    Ok(vec![maildir.join("new"), maildir.join("cur")])
}

fn started(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("HOME", folder);
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// Deletes what it has got.
fn mpop(server: &Program) -> Fallible<Device> {
    let folder = server.path("mpop");
    let got = maildir(&folder)?;
    let config = folder.join("mpoprc");
    private(
        &config,
        &format!(
            "account default\nhost localhost\nport {}\nuser {USER}+mpop\nauth user\npassword {PASSWORD}\n\
             tls off\nkeep off\nreceived_header off\ndelivery maildir {}\nuidls_file {}\n",
            server.pop3,
            folder.join("Maildir").display(),
            folder.join("uidls").display(),
        ),
    )?;
    let command = Box::new(move || {
        let mut command = started("mpop", &folder);
        command.arg("-C").arg(&config).arg("--quiet");
        command
    });
    Ok(Device {
        name: "mpop",
        command,
        got,
    })
}

/// Keeps everything, and knows by unique-id what it has.
fn fetchmail(server: &Program) -> Fallible<Device> {
    let folder = server.path("fetchmail");
    let out = folder.join("out");
    fs::create_dir_all(&out)?;
    let config = folder.join("fetchmailrc");
    private(
        &config,
        &format!(
            "set invisible\nset no bouncemail\nset no spambounce\nset no syslog\nset idfile \"{}\"\n\
             poll localhost protocol POP3 uidl port {}\n\
             user \"{USER}+fetchmail\" password \"{PASSWORD}\" sslproto \"\" keep no rewrite no mimedecode stripcr\n\
             mda \"cat > $(mktemp -p {out} m.XXXXXXXXXX)\"\n",
            folder.join("ids").display(),
            server.pop3,
            out = out.display(),
        ),
    )?;
    let command = Box::new(move || {
        let mut command = started("fetchmail", &folder);
        command.arg("-f").arg(&config);
        command.args(["--silent", "--nosyslog", "--pidfile"]);
        command.arg(folder.join("pid"));
        command
    });
    Ok(Device {
        name: "fetchmail",
        command,
        got: vec![out],
    })
}

/// Deletes a message some days after it got it.
fn getmail(server: &Program) -> Fallible<Device> {
    let folder = server.path("getmail");
    let got = maildir(&folder)?;
    let config = folder.join("getmailrc");
    private(
        &config,
        &format!(
            "[retriever]\ntype = SimplePOP3Retriever\nserver = localhost\nport = {}\n\
             username = {USER}+getmail\npassword = {PASSWORD}\ntimeout = 60\n\
             [destination]\ntype = Maildir\npath = {}/\n\
             [options]\nverbose = 0\nread_all = false\ndelete = false\ndelete_after = 30\n\
             delivered_to = false\nreceived = false\n",
            server.pop3,
            folder.join("Maildir").display(),
        ),
    )?;
    let root = rustix::process::geteuid().is_root();
    if root {
        // As root it delivers nothing.
        for name in [
            "",
            "getmailrc",
            "Maildir",
            "Maildir/cur",
            "Maildir/new",
            "Maildir/tmp",
        ] {
            chown(folder.join(name), Some(NOBODY), Some(NOBODY))?;
        }
    }
    let command = Box::new(move || {
        // On one processor, for the reason that the clients' test tells.
        let mut command = started("taskset", &folder);
        command.arg("-c").arg(a_processor()).arg("getmail");
        command.arg("--getmaildir").arg(&folder);
        command.arg("--rcfile").arg(&config);
        if root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    });
    Ok(Device {
        name: "getmail",
        command,
        got,
    })
}

fn arrive(port: u16) -> Fallible<()> {
    let mut lmtp = Lmtp::connect(port)?;
    let begun = Instant::now();
    for index in 0..MESSAGES {
        let due = ARRIVING.mul_f64(index as f64 / MESSAGES as f64);
        thread::sleep(due.saturating_sub(begun.elapsed()));
        lmtp.deliver(&format!("{USER}@{DOMAIN}"), &message(index))?;
    }
    Ok(())
}

fn together(server: &Program) -> Fallible<()> {
    let devices = [mpop(server)?, fetchmail(server)?, getmail(server)?];
    let all_there = AtomicBool::new(false);
    thread::scope(|scope| -> Fallible<()> {
        let collecting: Vec<_> = devices
            .iter()
            .map(|device| {
                let all_there = &all_there;
                scope.spawn(move || -> Fallible<usize> {
                    let mut passes = 0;
                    loop {
                        // Asked first: a pass that begins after the last arrival gets everything.
                        let last = all_there.load(Ordering::Acquire);
                        device.pass()?;
                        passes += 1;
                        if last {
                            return Ok(passes);
                        }
                    }
                })
            })
            .collect();
        let arrived = arrive(server.lmtp);
        all_there.store(true, Ordering::Release);
        for (device, passes) in devices.iter().zip(collecting) {
            let passes = passes.join().map_err(|_| "a client's thread panicked")??;
            println!("  {}: {passes} passes", device.name);
        }
        arrived
    })?;
    for device in &devices {
        let counts = device.counts()?;
        let missing = (0..MESSAGES).filter(|n| !counts.contains_key(n)).count();
        let doubled = counts.values().filter(|count| **count > 1).count();
        if missing + doubled > 0 || counts.len() != MESSAGES {
            let name = device.name;
            return fail(format!(
                "{name}: {missing} missing, {doubled} more than once"
            ));
        }
    }
    Ok(())
}

/// How many messages a login is shown.
fn shown(server: &Program, login: &str) -> Fallible<u64> {
    let mut pop = Pop::connect(server.pop3)?;
    pop.login(login)?;
    let shown = pop.stat()?.0;
    pop.quit()?;
    Ok(shown)
}

fn delete_all(server: &Program, login: &str) -> Fallible<()> {
    let mut pop = Pop::connect(server.pop3)?;
    pop.login(login)?;
    for number in 1..=pop.stat()?.0 {
        pop.command(&format!("DELE {number}"))?;
    }
    Ok(pop.quit()?)
}

fn expect(what: &str, found: u64, wanted: usize) -> Fallible<()> {
    if found == wanted as u64 {
        return Ok(());
    }
    fail(format!("{what}: {found} messages, not {wanted}"))
}

fn what_stays(server: &Program) -> Fallible<()> {
    expect("mpop deletes", shown(server, "me+mpop")?, 0)?;
    expect("fetchmail keeps", shown(server, "me+fetchmail")?, MESSAGES)?;
    expect("getmail waits", shown(server, "me+getmail")?, MESSAGES)?;
    delete_all(server, "me+getmail")?;
    let there = server.count(USER, false)? as u64;
    expect("in the mailbox while fetchmail keeps", there, MESSAGES)?;
    expect("fetchmail keeps", shown(server, "me+fetchmail")?, MESSAGES)
}

fn removed(server: &Program) -> Fallible<()> {
    let said = server.tell(&["user", "device", "remove", USER, "fetchmail"], "")?;
    drop(said);
    let there = server.count(USER, false)? as u64;
    expect("in the mailbox without fetchmail", there, 0)?;
    expect("to be restored", server.count(USER, true)? as u64, MESSAGES)
}
