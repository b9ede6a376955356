//! Courier's POP3 server: a peer that is not Dovecot. Debian's package of it and Dovecot's exclude each
//! other, so its programs are unpacked into a folder and never installed; the daemon that checks
//! its passwords is. Both run in a mount namespace in which `/etc/courier` and `/run/courier` are ours.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::dovecot::fill_maildir;
use crate::process::{Running, free_port, run};
use crate::program::{PASSWORD, certificate};
use crate::{Fallible, fail, scratch, target_folder};

const FETCHING: Duration = Duration::from_secs(120);

/// A Courier with one user; ended when dropped.
pub(crate) struct Courier {
    folder: tempfile::TempDir,
    /// Loopback port with STLS.
    pub(crate) pop3: u16,
    serve: Option<Running>,
}

/// Where the programs are, after they were unpacked.
pub(crate) fn programs() -> PathBuf {
    target_folder().join("xtask/courier-pop")
}

/// Unpacks Debian's package of the server.
pub(crate) fn unpack() -> Fallible<()> {
    if server().exists() {
        return Ok(());
    }
    let folder = programs();
    fs::create_dir_all(&folder)?;
    let mut get = Command::new("apt-get");
    get.args(["download", "courier-pop"]).current_dir(&folder);
    let said = run(&mut get, b"", FETCHING)?.ok("apt-get download courier-pop")?;
    drop(said);
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(&path).arg(&folder);
            let said = run(&mut unpack, b"", FETCHING)?.ok("dpkg-deb -x")?;
            drop(said);
        }
    }
    if server().exists() {
        return Ok(());
    }
    fail("courier-pop's package does not hold what it did")
}

fn server() -> PathBuf {
    programs().join("usr/lib/courier/courier/courierpop3d")
}

impl Courier {
    /// Makes folder, user and configuration; starts nothing.
    pub(crate) fn new(user: &str) -> Fallible<Self> {
        unpack()?;
        let folder = scratch("courier")?;
        certificate(folder.path())?;
        for name in ["etc", "run/authdaemon", "mail"] {
            fs::create_dir_all(folder.path().join(name))?;
        }
        let pem = [
            fs::read(folder.path().join("key.pem"))?,
            fs::read(folder.path().join("certificate.pem"))?,
        ];
        fs::write(folder.path().join("both.pem"), pem.concat())?;
        fs::write(
            folder.path().join("etc/authdaemonrc"),
            "authmodulelist=\"authuserdb\"\nauthmodulelistorig=\"authuserdb\"\ndaemons=2\n\
             authdaemonvar=/run/courier/authdaemon\nDEBUG_LOGIN=0\nDEFAULTOPTIONS=\"\"\nLOGGEROPTS=\"\"\n",
        )?;
        let courier = Self {
            folder,
            pop3: free_port()?,
            serve: None,
        };
        let script = include_str!("courier.sh")
            .replace("@FOLDER@", &courier.folder.path().display().to_string())
            .replace("@PROGRAMS@", &programs().display().to_string())
            .replace("@USER@", user)
            .replace("@PASSWORD@", PASSWORD)
            .replace("@PORT@", &courier.pop3.to_string());
        fs::write(courier.folder.path().join("serve.sh"), script)?;
        Ok(courier)
    }

    /// The certificate, which is its own authority.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Puts messages as they stand into the user's Maildir.
    pub(crate) fn fill<'m>(
        &self,
        user: &str,
        messages: impl Iterator<Item = &'m [u8]>,
    ) -> Fallible<()> {
        fill_maildir(&self.folder.path().join("mail").join(user), 0, messages)
    }

    /// Starts it and waits until its port answers.
    pub(crate) fn start(&mut self) -> Fallible<()> {
        let log = self.folder.path().join("courier.log");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "bash"])
            .arg(self.folder.path().join("serve.sh"))
            // The daemon that checks passwords ends its whole process group when it ends.
            .process_group(0);
        let mut running = Running::start(&mut command, "Courier", &log)?;
        running.wait_port(self.pop3, Duration::from_secs(20))?;
        self.serve = Some(running);
        Ok(())
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if let Some(running) = self.serve.take() {
            // SIGTERM: the script ends what it started.
            let _stopped = running.stop(Duration::from_secs(20));
        }
    }
}
