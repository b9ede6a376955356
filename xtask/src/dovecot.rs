//! Dovecot 2.3 in a folder of its own: the peer of the benchmarks, and the control of the client
//! tests (what a client does to a message there, it does not do because of us).

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Running, free_port};
use crate::program::{PASSWORD, certificate, hash_of};
use crate::{Fallible, scratch};

/// Debian's `nobody` and `nogroup`: whose mail it is. Dovecot serves no mail as root.
pub(crate) const MAIL_OWNER: u32 = 65_534;

/// A Dovecot; ended when dropped.
pub(crate) struct Dovecot {
    folder: tempfile::TempDir,
    pub(crate) pop3: u16,
    pub(crate) pop3s: u16,
    pub(crate) lmtp: u16,
    serve: Option<Running>,
}

impl Dovecot {
    /// Makes folder and configuration; starts nothing.
    pub(crate) fn new(users: impl Iterator<Item = String>) -> Fallible<Self> {
        Self::with(users, &hash_of(PASSWORD)?, "plain login")
    }

    /// One that offers these SASL mechanisms only. It keeps the password in clear, as some of them need.
    pub(crate) fn offering(
        users: impl Iterator<Item = String>,
        mechanisms: &str,
    ) -> Fallible<Self> {
        Self::with(users, &format!("{{PLAIN}}{PASSWORD}"), mechanisms)
    }

    fn with(
        users: impl Iterator<Item = String>,
        password: &str,
        mechanisms: &str,
    ) -> Fallible<Self> {
        let folder = scratch("dovecot")?;
        certificate(folder.path())?;
        let lines: String = users.map(|user| format!("{user}:{password}\n")).collect();
        fs::write(folder.path().join("passwd"), lines)?;
        fs::create_dir(folder.path().join("mail"))?;
        chown(
            folder.path().join("mail"),
            Some(MAIL_OWNER),
            Some(MAIL_OWNER),
        )?;
        let dovecot = Self {
            folder,
            pop3: free_port()?,
            pop3s: free_port()?,
            lmtp: free_port()?,
            serve: None,
        };
        fs::write(
            dovecot.path("dovecot.conf"),
            dovecot.configuration(mechanisms),
        )?;
        Ok(dovecot)
    }

    fn configuration(&self, mechanisms: &str) -> String {
        include_str!("dovecot.conf")
            .replace("@FOLDER@", &self.folder.path().display().to_string())
            .replace("@MECHANISMS@", mechanisms)
            .replace("@POP3@", &self.pop3.to_string())
            .replace("@POP3S@", &self.pop3s.to_string())
            .replace("@LMTP@", &self.lmtp.to_string())
    }

    /// Adds IMAP to what it will serve, and says on which ports: in clear, and over TLS.
    pub(crate) fn with_imap(&self) -> Fallible<(u16, u16)> {
        let (port, tls) = (free_port()?, free_port()?);
        let path = self.path("dovecot.conf");
        let before = fs::read_to_string(&path)?;
        let imap = format!(
            "protocols = pop3 lmtp imap\nservice imap-login {{\n  inet_listener imap {{\n    port = {port}\n  }}\n  \
             inet_listener imaps {{\n    port = {tls}\n    ssl = yes\n  }}\n}}\n"
        );
        fs::write(path, format!("{before}{imap}"))?;
        Ok((port, tls))
    }

    /// Takes a client certificate for a login (SASL EXTERNAL): the name in it is the user's. Which are trusted
    /// is in that file.
    pub(crate) fn with_client_certificates(&self, authorities: &Path) -> Fallible<()> {
        let path = self.path("dovecot.conf");
        let before = fs::read_to_string(&path)?;
        let external = format!(
            "auth_mechanisms = plain external\nssl_ca = <{}\nssl_require_crl = no\nssl_verify_client_cert = yes\n\
             auth_ssl_username_from_cert = yes\nssl_cert_username_field = commonName\npassdb {{\n  \
             driver = static\n  args = nopassword=y\n  mechanisms = external\n}}\n",
            authorities.display()
        );
        // The file of passwords is for those who have one.
        let before = before.replace(
            "driver = passwd-file\n",
            "driver = passwd-file\n  mechanisms = plain login\n",
        );
        Ok(fs::write(path, format!("{before}{external}"))?)
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.serve.as_ref().map_or(0, Running::pid)
    }

    /// Starts it and waits until its ports answer.
    pub(crate) fn start(&mut self) -> Fallible<()> {
        let mut command = Command::new("/usr/sbin/dovecot");
        command.arg("-F").arg("-c").arg(self.path("dovecot.conf"));
        let mut running = Running::start(&mut command, "dovecot", &self.path("dovecot.log"))?;
        for port in [self.pop3, self.pop3s, self.lmtp] {
            running.wait_port(port, Duration::from_secs(20))?;
        }
        self.serve = Some(running);
        Ok(())
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) -> Fallible<()> {
        let Some(running) = self.serve.take() else {
            return Ok(());
        };
        running.stop(Duration::from_secs(30)).map(drop)
    }

    /// Puts messages as they stand into a user's Maildir, under names of their own from `first` on:
    /// Dovecot takes a name that was there before for the same message.
    pub(crate) fn fill_raw<'m>(
        &self,
        user: &str,
        first: usize,
        messages: impl Iterator<Item = &'m [u8]>,
    ) -> Fallible<()> {
        fill_maildir(&self.path("mail").join(user), first, messages)
    }

    /// The files of a user's messages.
    pub(crate) fn left(&self, user: &str) -> Fallible<Vec<PathBuf>> {
        let mut all = Vec::new();
        for sub in ["cur", "new"] {
            for entry in fs::read_dir(self.path("mail").join(user).join(sub))? {
                all.push(entry?.path());
            }
        }
        Ok(all)
    }

    /// Puts messages with LF line ends into a user's Maildir, named as its own deliveries are.
    pub(crate) fn fill<'m>(
        &self,
        user: &str,
        messages: impl Iterator<Item = &'m [u8]>,
    ) -> Fallible<()> {
        let maildir = self.path("mail").join(user);
        make_maildir(&maildir)?;
        for (index, message) in messages.enumerate() {
            let lines = memchr::memchr_iter(b'\n', message).count();
            let (size, wire) = (message.len(), message.len() + lines);
            let name = format!(
                "{}.M{index:06}P1.bench,S={size},W={wire}:2,S",
                1_600_000_000 + index
            );
            write_owned(&maildir.join("cur").join(name), message)?;
        }
        Ok(())
    }
}

fn make_maildir(maildir: &Path) -> Fallible<()> {
    for sub in ["", "cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub))?;
        chown(maildir.join(sub), Some(MAIL_OWNER), Some(MAIL_OWNER))?;
    }
    Ok(())
}

/// Writes messages into a Maildir that is made, each under a name that says nothing of its size and
/// follows from its number; the first has `first`.
pub(crate) fn fill_maildir<'m>(
    maildir: &Path,
    first: usize,
    messages: impl Iterator<Item = &'m [u8]>,
) -> Fallible<()> {
    make_maildir(maildir)?;
    for (index, message) in messages.enumerate() {
        let number = first + index;
        let name = format!("{}.M{number:06}P1.peer:2,S", 1_600_000_000 + number);
        write_owned(&maildir.join("cur").join(name), message)?;
    }
    Ok(())
}

fn write_owned(path: &Path, bytes: &[u8]) -> Fallible<()> {
    fs::write(path, bytes)?;
    Ok(chown(path, Some(MAIL_OWNER), Some(MAIL_OWNER))?)
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its children too.
        let _stopped = self.stop();
    }
}
