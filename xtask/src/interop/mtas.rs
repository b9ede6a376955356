//! MTAs that we did not write deliver by LMTP: swaks, and a real Postfix with the README's snippet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::pop::Pop;
use crate::process::{Running, free_port, run};
use crate::program::Program;
use crate::tally::Cases;
use crate::{Fallible, fail, workspace};

const LIMIT: Duration = Duration::from_secs(30);

/// All cases.
pub(crate) fn run_all(binary: &Path, cases: &mut Cases) {
    let mut program = None;
    cases.case("a server for MTAs", || {
        let mut fresh = Program::new(binary, "mta")?;
        fresh.add_user("ann")?;
        fresh.start()?;
        program = Some(fresh);
        Ok(())
    });
    let Some(mut program) = program else { return };
    let tcp = ["--server".to_owned(), format!("127.0.0.1:{}", program.lmtp)];
    let unix = [
        "--socket".to_owned(),
        program.path("lmtp.sock").display().to_string(),
    ];
    cases.case("swaks by TCP", || swaks(&program, &tcp, "swaks-tcp"));
    cases.case("swaks by Unix socket", || {
        swaks(&program, &unix, "swaks-unix")
    });
    cases.case("swaks to an unknown user", || {
        let said = run(
            &mut swaks_command(&tcp, "nobody@example.org", "lost"),
            b"",
            LIMIT,
        )?;
        let out = String::from_utf8_lossy(&said.out).into_owned();
        if said.status.success() || !out.contains("550 5.1.1") {
            return fail(format!("not refused with 550 5.1.1: {}", said.tail()));
        }
        Ok(())
    });
    cases.case("packs are an mbox that zstdcat and Python read", || {
        packs(&program)
    });
    cases.case("SIGHUP: a new user of the password file can log in", || {
        hang_up(&mut program)
    });
    if rustix::process::geteuid().is_root() {
        postfix_cases(&program, cases);
    } else {
        cases.case("Postfix", || {
            fail("a Postfix of one's own needs root: run as root, or in a container")
        });
    }
    cases.case("the server is well", || {
        program.healthy()?;
        program.stop()
    });
}

fn hang_up(program: &mut Program) -> Fallible<()> {
    if Pop::connect(program.pop3)?.login("new").is_ok() {
        return fail("a user who is not there yet got in");
    }
    program.password_file(["new".to_owned()].into_iter())?;
    program.hang_up()?;
    let end = Instant::now() + LIMIT;
    while let Err(error) = Pop::connect(program.pop3)?.login("new") {
        if Instant::now() > end {
            return fail(format!("the new user does not get in: {error}"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

fn swaks_command(to: &[String], recipient: &str, subject: &str) -> Command {
    let mut command = Command::new("swaks");
    command.args(to).args([
        "--protocol",
        "LMTP",
        "--from",
        "sender@example.net",
        "--to",
        recipient,
    ]);
    command.args([
        "--header",
        &format!("Subject: {subject}"),
        "--body",
        "a line\n.\n..dots\n",
    ]);
    command
}

fn swaks(program: &Program, to: &[String], subject: &str) -> Fallible<()> {
    run(
        &mut swaks_command(to, "ann@example.org", subject),
        b"",
        LIMIT,
    )?
    .ok("swaks")?;
    let message = wait_for(program, &format!("Subject: {subject}\r\n"))?;
    let wanted = [
        "Return-Path: <sender@example.net>\r\n",
        "Delivered-To: ",
        "\r\n.\r\n..dots\r\n",
    ];
    match wanted.iter().find(|part| !message.contains(**part)) {
        None => Ok(()),
        Some(part) => fail(format!("{part:?} is not in {message:?}")),
    }
}

/// Waits until ann has a message with these words, and gives it.
fn wait_for(program: &Program, words: &str) -> Fallible<String> {
    let end = Instant::now() + LIMIT;
    loop {
        let mut pop = Pop::connect(program.pop3)?;
        pop.login("ann")?;
        for number in 1..=pop.stat()?.0 {
            let message = String::from_utf8_lossy(&pop.retrieve(number)?).into_owned();
            if message.contains(words) {
                return Ok(message);
            }
        }
        pop.quit()?;
        if Instant::now() > end {
            return fail(format!("no message with {words:?} came within {LIMIT:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn packs(program: &Program) -> Fallible<()> {
    let script = "import mailbox, sys\n\
                  subjects = [m['Subject'] for m in mailbox.mbox(sys.argv[1], create=False)]\n\
                  assert subjects == ['swaks-tcp', 'swaks-unix'], subjects\n";
    let mbox = program.path("all.mbox");
    let line = format!(
        "zstdcat {}/packs/*.zst > {mbox} && /usr/bin/python3 -c \"$1\" {mbox}",
        program.path("data").display(),
        mbox = mbox.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &line, "sh", script]);
    run(&mut command, b"", LIMIT)?
        .ok("zstdcat and Python's mailbox")
        .map(drop)
}

fn postfix_cases(program: &Program, cases: &mut Cases) {
    let mut postfix = None;
    cases.case("Postfix starts", || {
        postfix = Some(Postfix::start(program)?);
        Ok(())
    });
    let Some(postfix) = postfix else { return };
    cases.case("Postfix delivers", || {
        postfix.send("ann@example.org", "by-postfix")?;
        let message = wait_for(program, "Subject: by-postfix\r\n").map_err(|e| postfix.why(&*e))?;
        if message.contains("Return-Path: <ann@example.org>\r\n") {
            return Ok(());
        }
        fail(format!("no Return-Path in {message:?}"))
    });
    cases.case("Postfix bounces for an unknown user", || {
        postfix.send("nobody@example.org", "to-nobody")?;
        let message = wait_for(program, "Undelivered Mail Returned to Sender")
            .map_err(|e| postfix.why(&*e))?;
        if message.contains("5.1.1") && message.contains("nobody@example.org") {
            return Ok(());
        }
        fail(format!("a bounce without the reason: {message:?}"))
    });
    cases.case("Postfix ends", || postfix.master.stop(LIMIT).map(drop));
}

/// A Postfix with configuration and queue in a folder of its own.
struct Postfix {
    master: Running,
    folder: PathBuf,
    smtp: u16,
}

impl Postfix {
    fn start(program: &Program) -> Fallible<Self> {
        let folder = program.path("postfix");
        let smtp = free_port()?;
        for sub in ["etc", "queue", "lib"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        let owner = Command::new("chown")
            .arg("postfix")
            .arg(folder.join("lib"))
            .status()?;
        if !owner.success() {
            return fail("there is no user postfix");
        }
        let snippet = fs::read_to_string(workspace().join("docs/postfix-main.cf"))?;
        let at = "lmtp:inet:127.0.0.1:1024";
        if !snippet.contains(at) {
            return fail("docs/postfix-main.cf does not name LMTP's usual port");
        }
        let snippet = snippet.replace(at, &format!("lmtp:inet:127.0.0.1:{}", program.lmtp));
        let here = folder.display();
        let own = format!(
            "compatibility_level = 3.6\nmyhostname = mx.example.net\nmydestination =\ninet_protocols = ipv4\n\
             inet_interfaces = 127.0.0.1\nmynetworks = 127.0.0.0/8\nalias_maps =\nlocal_recipient_maps =\n\
             queue_directory = {here}/queue\ndata_directory = {here}/lib\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
             mail_owner = postfix\nsetgid_group = postdrop\nbiff = no\n\
             maillog_file = {here}/mail.log\nmaillog_file_prefixes = {here}\n"
        );
        fs::write(folder.join("etc/main.cf"), own + &snippet)?;
        fs::write(folder.join("etc/master.cf"), master_cf(smtp))?;
        let mut check = Command::new("postfix");
        check.arg("-c").arg(folder.join("etc")).arg("check");
        run(&mut check, b"", LIMIT)?.ok("postfix check")?;
        let mut command = Command::new("/usr/lib/postfix/sbin/master");
        command.arg("-c").arg(folder.join("etc")).arg("-d");
        let mut master = Running::start(&mut command, "postfix", &folder.join("master.out"))?;
        master.wait_port(smtp, LIMIT)?;
        Ok(Self {
            master,
            folder,
            smtp,
        })
    }

    fn send(&self, to: &str, subject: &str) -> Fallible<()> {
        let mut command = Command::new("swaks");
        command.args([
            "--server",
            &format!("127.0.0.1:{}", self.smtp),
            "--from",
            "ann@example.org",
        ]);
        command.args(["--to", to, "--header", &format!("Subject: {subject}")]);
        run(&mut command, b"", LIMIT)?
            .ok("swaks to Postfix")
            .map(drop)
    }

    fn why(&self, error: &dyn std::error::Error) -> String {
        let log = fs::read_to_string(self.folder.join("mail.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        format!("{error}: {}", tail.join(" | "))
    }
}

fn master_cf(smtp: u16) -> String {
    format!(
        "127.0.0.1:{smtp} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\n\
         proxymap unix - - n - - proxymap\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         lmtp unix - - n - - lmtp\n\
         anvil unix - - n - 1 anvil\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}
