//! Cyrus' POP3 server: SCRAM, its -PLUS and all, over another SASL library than anybody's here. Debian's
//! packages of it and of Dovecot exclude each other, so its programs are unpacked into a folder and never
//! installed. Its master has to be root's, what it starts is `nobody`'s.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::dovecot::MAIL_OWNER;
use crate::pop::Pop;
use crate::process::{Running, free_port, run};
use crate::program::{PASSWORD, certificate};
use crate::{Fallible, fail, scratch, target_folder};

const FETCHING: Duration = Duration::from_secs(120);
/// A program of Cyrus' that ends by itself.
const WORKING: Duration = Duration::from_secs(60);

/// What is unpacked: the server, what makes its passwords, and the libraries that nothing else here has.
const PACKAGES: [&str; 5] = [
    "cyrus-common",
    "cyrus-pop3d",
    "sasl2-bin",
    "libical3",
    "libxapian30",
];

/// A Cyrus with one user; ended when dropped.
pub(crate) struct Cyrus {
    folder: tempfile::TempDir,
    user: String,
    /// Loopback port with STLS.
    pub(crate) pop3: u16,
    /// Loopback port with TLS from the start.
    pub(crate) pop3s: u16,
    serve: Option<Running>,
}

fn programs() -> PathBuf {
    target_folder().join("xtask/cyrus")
}

fn program(name: &str) -> PathBuf {
    programs().join("usr/lib/cyrus/bin").join(name)
}

/// Unpacks Debian's packages.
pub(crate) fn unpack() -> Fallible<()> {
    let done = programs().join("unpacked");
    let list = PACKAGES.join(" ");
    if fs::read_to_string(&done).is_ok_and(|unpacked| unpacked == list) {
        return Ok(());
    }
    let folder = programs();
    fs::create_dir_all(&folder)?;
    let mut get = Command::new("apt-get");
    get.arg("download").args(PACKAGES).current_dir(&folder);
    drop(run(&mut get, b"", FETCHING)?.ok("apt-get download cyrus-pop3d")?);
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(&path).arg(&folder);
            drop(run(&mut unpack, b"", FETCHING)?.ok("dpkg-deb -x")?);
        }
    }
    if !program("pop3d").exists() {
        return fail("cyrus-pop3d's package does not hold what it did");
    }
    for name in ["master", "pop3d", "ctl_cyrusdb"] {
        let mut libraries = command(Path::new("ldd"));
        let said = run(libraries.arg(program(name)), b"", WORKING)?.ok("ldd")?;
        let said = String::from_utf8_lossy(&said.out).into_owned();
        let missing: Vec<_> = said.lines().filter(|l| l.contains("not found")).collect();
        if !missing.is_empty() {
            return fail(format!("Cyrus' {name} wants libraries: {missing:?}"));
        }
    }
    Ok(fs::write(done, list)?)
}

/// With the libraries that were unpacked.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let libraries = programs().join("usr/lib").join(multiarch());
    command.env("LD_LIBRARY_PATH", libraries);
    command
}

/// Debian's name for the machine.
fn multiarch() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

impl Cyrus {
    /// Makes folder, user and configuration; starts nothing.
    pub(crate) fn new(user: &str) -> Fallible<Self> {
        unpack()?;
        let folder = scratch("cyrus")?;
        certificate(folder.path())?;
        for name in ["conf", "spool"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let cyrus = Self {
            folder,
            user: user.to_owned(),
            pop3: free_port()?,
            pop3s: free_port()?,
            serve: None,
        };
        let at = cyrus.folder.path().display();
        fs::write(
            cyrus.path("imapd.conf"),
            format!(
                "configdirectory: {at}/conf\npartition-default: {at}/spool\ndefaultpartition: default\n\
                 cyrus_user: nobody\ncyrus_group: nogroup\nservername: localhost\nvirtdomains: off\n\
                 sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {at}/sasldb2\n\
                 sasl_mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n\
                 allowplaintext: yes\nallowapop: yes\npopminpoll: 0\n\
                 tls_server_cert: {at}/certificate.pem\ntls_server_key: {at}/key.pem\n\
                 idlesocket: {at}/conf/idle\nlmtpsocket: {at}/conf/lmtp\nnotifysocket: {at}/conf/notify\n\
                 mboxname_lockpath: {at}/lock\nproc_path: {at}/proc\n"
            ),
        )?;
        let pop3d = format!("{} -C {at}/imapd.conf", program("pop3d").display());
        fs::write(
            cyrus.path("cyrus.conf"),
            format!(
                "START {{\n  recover cmd=\"{} -C {at}/imapd.conf -r\"\n}}\nSERVICES {{\n  \
                 pop3 cmd=\"{pop3d}\" listen=\"127.0.0.1:{}\" prefork=0\n  \
                 pop3s cmd=\"{pop3d} -s\" listen=\"127.0.0.1:{}\" prefork=0\n}}\nEVENTS {{\n}}\n",
                program("ctl_cyrusdb").display(),
                cyrus.pop3,
                cyrus.pop3s
            ),
        )?;
        let mut password = command(&programs().join("usr/sbin/saslpasswd2"));
        password.args(["-p", "-c", "-u", "localhost", "-f"]);
        password.arg(cyrus.path("sasldb2")).arg(user);
        drop(run(&mut password, PASSWORD.as_bytes(), WORKING)?.ok("saslpasswd2")?);
        for name in ["", "conf", "spool", "sasldb2", "certificate.pem", "key.pem"] {
            chown(cyrus.path(name), Some(MAIL_OWNER), Some(MAIL_OWNER))?;
        }
        Ok(cyrus)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The certificate, which is its own authority.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("certificate.pem")
    }

    /// Starts it, waits until its ports answer, and puts messages as they stand into the user's mailbox.
    pub(crate) fn start<'m>(&mut self, messages: impl Iterator<Item = &'m [u8]>) -> Fallible<()> {
        let mut master = command(&program("master"));
        master.arg("-C").arg(self.path("imapd.conf"));
        master.arg("-M").arg(self.path("cyrus.conf"));
        master.arg("-p").arg(self.path("pid")).arg("-D");
        let mut running = Running::start(&mut master, "Cyrus", &self.path("cyrus.log"))?;
        for port in [self.pop3, self.pop3s] {
            running.wait_port(port, Duration::from_secs(20))?;
        }
        self.serve = Some(running);
        // The first login makes the mailbox.
        let mut pop = Pop::connect(self.pop3)?;
        pop.login(&self.user)?;
        pop.quit()?;
        self.fill(messages)
    }

    /// Messages are files with a number and a dot; its own program takes them into the index.
    fn fill<'m>(&self, messages: impl Iterator<Item = &'m [u8]>) -> Fallible<()> {
        let mailbox = deepest(&self.path("spool"))?;
        for (index, message) in messages.enumerate() {
            let path = mailbox.join(format!("{}.", index + 1));
            fs::write(&path, message)?;
            chown(&path, Some(MAIL_OWNER), Some(MAIL_OWNER))?;
        }
        let mut reconstruct = command(&program("reconstruct"));
        reconstruct.uid(MAIL_OWNER).gid(MAIL_OWNER);
        reconstruct.arg("-C").arg(self.path("imapd.conf"));
        reconstruct.arg(format!("user/{}", self.user));
        run(&mut reconstruct, b"", WORKING)?
            .ok("reconstruct")
            .map(drop)
    }
}

/// The folder of the only mailbox: folders within folders, one in each.
fn deepest(folder: &Path) -> Fallible<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            return deepest(&path);
        }
    }
    Ok(folder.to_owned())
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        if let Some(running) = self.serve.take() {
            // SIGTERM: it ends what it started.
            let _stopped = running.stop(Duration::from_secs(20));
        }
    }
}
