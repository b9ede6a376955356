//! How each client is told to collect a maildrop, and where it puts what it got.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Way;
use crate::mail::{Mail, ended, normalised};
use crate::process::run;
use crate::program::PASSWORD;
use crate::{Fallible, fail};

/// The slowest client takes some seconds; one that hangs has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What a client is to do.
pub(crate) struct Job<'a> {
    pub(crate) port: u16,
    pub(crate) way: Way,
    pub(crate) user: &'a str,
    pub(crate) delete: bool,
    pub(crate) certificate: PathBuf,
    /// Empty at first; the client's own.
    pub(crate) folder: PathBuf,
    /// How many messages there are.
    pub(crate) messages: usize,
    /// Longer than this the client does not take, or it has failed.
    pub(crate) limit: Duration,
    /// Where `strace` writes how often the client synced, if that is asked for.
    pub(crate) syncs: Option<PathBuf>,
}

/// From messages, with a folder to work in.
type Rewrite = fn(&[Mail], &Path) -> Fallible<Vec<Mail>>;

/// A client, the ways it knows, and what it does to a message.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) ways: &'static [Way],
    pub(crate) collect: fn(&Job<'_>) -> Fallible<Vec<Vec<u8>>>,
    /// What it does to any server's messages is done to both sides before they are compared; it was
    /// learnt from what it does to Dovecot's, with `cargo xtask test control`.
    pub(crate) form: fn(&[u8]) -> Vec<u8>,
    /// Which messages it keeps as they are. The others, which are hardly mail, are counted.
    pub(crate) keeps: fn(&[u8]) -> bool,
    /// Where a client writes messages anew: what it makes of those that went in.
    pub(crate) rewrites: Option<Rewrite>,
}

/// Debian's `nobody`.
pub(crate) const NOBODY: u32 = 65_534;

const ALL: &[Way] = &[Way::Plain, Way::Stls, Way::Pop3s];

/// Everyone.
pub(crate) const CLIENTS: &[Client] = &[
    Client {
        name: "curl",
        ways: ALL,
        collect: curl,
        form: exact,
        keeps: all,
        rewrites: None,
    },
    Client {
        name: "poplib",
        ways: ALL,
        collect: poplib,
        form: exact,
        keeps: all,
        rewrites: None,
    },
    Client {
        name: "openssl",
        ways: &[Way::Stls, Way::Pop3s],
        collect: openssl,
        form: exact,
        keeps: all,
        rewrites: None,
    },
    Client {
        name: "mpop",
        ways: ALL,
        collect: mpop,
        form: normalised,
        keeps: no_cr_before_crlf,
        rewrites: None,
    },
    Client {
        name: "fetchmail",
        ways: ALL,
        collect: fetchmail,
        form: normalised,
        keeps: letters,
        rewrites: None,
    },
    // It knows no STLS.
    Client {
        name: "getmail",
        ways: &[Way::Plain, Way::Pop3s],
        collect: getmail,
        form: normalised,
        keeps: all,
        rewrites: Some(rewritten),
    },
    Client {
        name: "mutt",
        ways: ALL,
        collect: mutt,
        form: normalised,
        keeps: short_lines,
        rewrites: None,
    },
];

fn exact(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn all(_: &[u8]) -> bool {
    true
}

/// mpop takes every CR before a CRLF away with it.
fn no_cr_before_crlf(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\r\r\n").is_none()
}

/// mutt's lines are C strings, which end at a NUL, and its buffer of 4 KiB may end between CR and LF.
fn short_lines(bytes: &[u8]) -> bool {
    no_cr_before_crlf(bytes)
        && memchr::memchr(0, bytes).is_none()
        && bytes.split(|&b| b == b'\n').all(|line| line.len() < 4_000)
}

/// fetchmail wants letters: a header that begins with a field, an empty line, and no CR or NUL in lines.
fn letters(bytes: &[u8]) -> bool {
    let word = bytes
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'-')
        .count();
    let crs = memchr::memchr_iter(b'\r', bytes).count();
    short_lines(bytes)
        && word > 0
        && matches!(bytes.get(word), Some(b':' | b' '))
        && memchr::memmem::find(bytes, b"\r\n\r\n").is_some()
        && crs == memchr::memmem::find_iter(bytes, b"\r\n").count()
}

/// getmail parses a message and writes it anew, folding the header elsewhere and mending parts. So
/// what it stores is held against what its own writer makes of the bytes that went in.
fn rewritten(mails: &[Mail], folder: &Path) -> Fallible<Vec<Mail>> {
    let (from, to) = (folder.join("sent"), folder.join("expected"));
    fs::create_dir_all(&to)?;
    fs::create_dir_all(&from)?;
    for (index, mail) in mails.iter().enumerate() {
        fs::write(from.join(index.to_string()), ended(&mail.bytes))?;
    }
    let script = folder.join("rewrite.py");
    fs::write(&script, include_str!("rewrite.py"))?;
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(&from).arg(&to);
    run(&mut command, b"", LIMIT)?.ok("getmail's writer")?;
    let read = |(index, mail): (usize, &Mail)| -> Fallible<Mail> {
        Ok(Mail {
            name: mail.name.clone(),
            bytes: fs::read(to.join(index.to_string()))?,
        })
    };
    mails.iter().enumerate().map(read).collect()
}

/// `strace` that counts the syncs of the program whose name and words follow.
pub(crate) fn counting_syncs(to: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-U", "name,calls", "-e"]);
    command.arg("trace=fdatasync,fsync,sync_file_range,syncfs");
    command.arg("-o").arg(to);
    command
}

/// How many syncs `strace` counted.
pub(crate) fn counted_syncs(told: &str) -> Option<u64> {
    told.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (name, calls) = (words.next()?, words.next()?);
        (name == "total").then(|| calls.parse().ok())?
    })
}

impl Job<'_> {
    fn write(&self, name: &str, text: &str) -> Fallible<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        // mpop, fetchmail and getmail refuse a file with a password that others may read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = match &self.syncs {
            None => Command::new(program),
            Some(to) => {
                let mut command = counting_syncs(to);
                command.arg(program);
                command
            }
        };
        command
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .env("LC_ALL", "C.UTF-8");
        command
    }

    fn maildir(&self) -> Fallible<PathBuf> {
        let maildir = self.folder.join("Maildir");
        for sub in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(sub))?;
        }
        Ok(maildir)
    }
}

fn files(folder: &Path) -> Fallible<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        all.push(fs::read(entry?.path())?);
    }
    Ok(all)
}

fn in_maildir(maildir: &Path) -> Fallible<Vec<Vec<u8>>> {
    let mut all = files(&maildir.join("new"))?;
    all.extend(files(&maildir.join("cur"))?);
    Ok(all)
}

fn curl(job: &Job<'_>) -> Fallible<Vec<Vec<u8>>> {
    let scheme = if job.way == Way::Pop3s {
        "pop3s"
    } else {
        "pop3"
    };
    let url = format!("{scheme}://localhost:{}/[1-{}]", job.port, job.messages);
    let config = job.write("curlrc", &format!("user = \"{}:{PASSWORD}\"\n", job.user))?;
    let base = || {
        let mut command = job.command("curl");
        command
            .arg("-q")
            .arg("-sS")
            .arg("-K")
            .arg(&config)
            .arg("--cacert")
            .arg(&job.certificate);
        if job.way == Way::Stls {
            command.arg("--ssl-reqd");
        }
        command
    };
    fs::create_dir_all(job.folder.join("out"))?;
    run(base().arg(&url).args(["-o", "out/#1"]), b"", job.limit)?.ok("curl")?;
    if job.delete {
        run(base().args(["-X", "DELE", "-I"]).arg(&url), b"", job.limit)?.ok("curl -X DELE")?;
    }
    files(&job.folder.join("out"))
}

fn poplib(job: &Job<'_>) -> Fallible<Vec<Vec<u8>>> {
    let script = job.write("collect.py", include_str!("collect.py"))?;
    let way = match job.way {
        Way::Plain => "plain",
        Way::Stls => "stls",
        Way::Pop3s => "pop3s",
    };
    fs::create_dir_all(job.folder.join("out"))?;
    let mut command = job.command("/usr/bin/python3");
    command
        .arg(script)
        .arg(way)
        .arg(job.port.to_string())
        .arg(&job.certificate);
    command.args([job.user, if job.delete { "delete" } else { "keep" }]);
    run(&mut command, PASSWORD.as_bytes(), job.limit)?.ok("poplib")?;
    files(&job.folder.join("out"))
}

/// Not a mail client: it shows the very bytes that come out of the TLS layer, all commands sent at once.
fn openssl(job: &Job<'_>) -> Fallible<Vec<Vec<u8>>> {
    let mut command = job.command("openssl");
    command.args([
        "s_client",
        "-quiet",
        "-verify_return_error",
        "-servername",
        "localhost",
    ]);
    command
        .arg("-connect")
        .arg(format!("localhost:{}", job.port));
    command.arg("-CAfile").arg(&job.certificate);
    if job.way == Way::Stls {
        command.args(["-starttls", "pop3"]);
    }
    let mut script = format!("USER {}\r\nPASS {PASSWORD}\r\n", job.user);
    for number in 1..=job.messages {
        script += &format!("RETR {number}\r\n");
    }
    if job.delete {
        for number in 1..=job.messages {
            script += &format!("DELE {number}\r\n");
        }
    }
    script += "QUIT\r\n";
    let said = run(&mut command, script.as_bytes(), job.limit)?;
    let mut rest = said.out.as_slice();
    let status = |rest: &mut &[u8]| -> Fallible<()> {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, left) = rest.split_at(end);
        *rest = left;
        if line.starts_with(b"+OK") {
            return Ok(());
        }
        fail(format!(
            "openssl got {:?}: {}",
            String::from_utf8_lossy(line),
            said.err
        ))
    };
    // After STLS s_client has eaten the first greeting; after a TLS connection there is one to read.
    let greetings = usize::from(job.way == Way::Pop3s);
    for _ in 0..greetings + 2 {
        status(&mut rest)?;
    }
    let mut all = Vec::new();
    for _ in 0..job.messages {
        status(&mut rest)?;
        let end = match memchr::memmem::find(rest, b"\r\n.\r\n") {
            _ if rest.starts_with(b".\r\n") => 3,
            Some(at) => at + 5,
            None => return fail("a message without its end"),
        };
        all.push(crate::pop::unstuffed(&rest[..end]));
        rest = &rest[end..];
    }
    for _ in 0..if job.delete { job.messages } else { 0 } {
        status(&mut rest)?;
    }
    status(&mut rest)?;
    if rest.is_empty() {
        return Ok(all);
    }
    fail(format!("{} octets after QUIT", rest.len()))
}

fn mpop(job: &Job<'_>) -> Fallible<Vec<Vec<u8>>> {
    let maildir = job.maildir()?;
    let on = |on: bool| if on { "on" } else { "off" };
    let config = job.write(
        "mpoprc",
        &format!(
            "account default\nhost localhost\nport {}\nuser {}\nauth user\npassword {PASSWORD}\n\
             tls {}\ntls_starttls {}\n{}keep {}\nreceived_header off\n\
             delivery maildir {}\nuidls_file {}\n",
            job.port,
            job.user,
            on(job.way != Way::Plain),
            on(job.way == Way::Stls),
            if job.way == Way::Plain {
                String::new()
            } else {
                format!("tls_trust_file {}\n", job.certificate.display())
            },
            on(!job.delete),
            maildir.display(),
            job.folder.join("uidls").display(),
        ),
    )?;
    let mut command = job.command("mpop");
    command.arg("-C").arg(config).arg("--quiet");
    run(&mut command, b"", job.limit)?.ok("mpop")?;
    in_maildir(&maildir)
}

fn fetchmail(job: &Job<'_>) -> Fallible<Vec<Vec<u8>>> {
    fs::create_dir_all(job.folder.join("out"))?;
    let tls = match job.way {
        Way::Plain => "sslproto \"\"".to_owned(),
        Way::Stls => format!(
            "sslproto \"TLS1.2+\" sslcertfile \"{}\" sslcertck",
            job.certificate.display()
        ),
        Way::Pop3s => format!(
            "ssl sslcertfile \"{}\" sslcertck",
            job.certificate.display()
        ),
    };
    let config = job.write(
        "fetchmailrc",
        &format!(
            "set invisible\nset no bouncemail\nset no spambounce\nset no syslog\n\
             poll localhost protocol POP3 port {} bad-header accept\n\
             user \"{}\" password \"{PASSWORD}\" {tls} fetchall {} no rewrite no mimedecode stripcr\n\
             mda \"mktemp -p {out} m.XXXXXXXXXX > {out}.name && cat > $(cat {out}.name)\"\n",
            job.port,
            job.user,
            if job.delete { "no keep" } else { "keep" },
            out = job.folder.join("out").display(),
        ),
    )?;
    let mut command = job.command("fetchmail");
    command
        .arg("-f")
        .arg(config)
        .args(["--silent", "--nosyslog", "--pidfile"]);
    command.arg(job.folder.join("pid"));
    run(&mut command, b"", job.limit)?.ok("fetchmail")?;
    files(&job.folder.join("out"))
}

fn getmail(job: &Job<'_>) -> Fallible<Vec<Vec<u8>>> {
    let maildir = job.maildir()?;
    let retriever = if job.way == Way::Pop3s {
        "SimplePOP3SSLRetriever"
    } else {
        "SimplePOP3Retriever"
    };
    let certificate = if job.way == Way::Pop3s {
        format!("ca_certs = {}\n", job.certificate.display())
    } else {
        String::new()
    };
    let config = job.write(
        "getmailrc",
        &format!(
            "[retriever]\ntype = {retriever}\nserver = localhost\nport = {}\nusername = {}\n\
             password = {PASSWORD}\ntimeout = 60\n{certificate}\
             [destination]\ntype = Maildir\npath = {}/\n\
             [options]\nverbose = 0\nread_all = true\ndelete = {}\ndelivered_to = false\nreceived = false\n",
            job.port,
            job.user,
            maildir.display(),
            job.delete,
        ),
    )?;
    // It forks for every message and waits for ever for a child that ends before it listens for
    // that. On one processor the child does not come first.
    let mut command = job.command("taskset");
    command.arg("-c").arg(a_processor()).arg("getmail");
    // As root it delivers nothing.
    if rustix::process::geteuid().is_root() {
        for name in [
            "",
            "getmailrc",
            "Maildir",
            "Maildir/cur",
            "Maildir/new",
            "Maildir/tmp",
        ] {
            chown(job.folder.join(name), Some(NOBODY), Some(NOBODY))?;
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    command
        .arg("--getmaildir")
        .arg(&job.folder)
        .arg("--rcfile")
        .arg(config);
    run(&mut command, b"", job.limit)?.ok("getmail")?;
    in_maildir(&maildir)
}

/// One that we may run on.
pub(crate) fn a_processor() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.and_then(|list| list.trim().split([',', '-']).next());
    first.unwrap_or("0").to_owned()
}

/// mutt wants a terminal: `script` gives it one.
fn mutt(job: &Job<'_>) -> Fallible<Vec<Vec<u8>>> {
    let maildir = job.maildir()?;
    let scheme = if job.way == Way::Pop3s { "pops" } else { "pop" };
    let config = job.write(
        "muttrc",
        &format!(
            "set mbox_type = Maildir\nset folder = {folder}\nset spoolfile = {maildir}\n\
             set pop_host = {scheme}://{user}@localhost:{port}\nset pop_user = {user}\nset pop_pass = {PASSWORD}\n\
             set pop_delete = {delete}\nset pop_checkinterval = 0\nset pop_authenticators = user\n\
             set ssl_starttls = {starttls}\nset ssl_force_tls = {force}\n\
             set certificate_file = {certificate}\nset ssl_ca_certificates_file = {certificate}\n\
             set quit = yes\nset move = no\nset wait_key = no\nset mark_old = no\n\
             push \"<fetch-mail><quit>\"\n",
            folder = job.folder.display(),
            maildir = maildir.display(),
            user = job.user,
            port = job.port,
            delete = if job.delete { "yes" } else { "no" },
            starttls = if job.way == Way::Stls { "yes" } else { "no" },
            force = if job.way == Way::Plain { "no" } else { "yes" },
            certificate = job.certificate.display(),
        ),
    )?;
    let mut command = job.command("script");
    command
        .arg("-qec")
        .arg(format!("mutt -n -F {}", config.display()))
        .arg("/dev/null");
    command.env("TERM", "vt100");
    run(&mut command, b"", job.limit)?.ok("mutt")?;
    in_maildir(&maildir)
}
