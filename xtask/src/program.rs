//! The program under test: its folder, its users, its daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Running, Said, free_port, run};
use crate::{Fallible, fail, scratch};

/// For every user of every test.
pub(crate) const PASSWORD: &str = "correct-horse";
/// Where `restante fetch` is told to find it.
pub(crate) const PASSWORD_VARIABLE: &str = "RESTANTE_TEST_PASSWORD";
/// The domain of every test.
pub(crate) const DOMAIN: &str = "example.org";

/// One installation in a folder of its own.
pub(crate) struct Program {
    binary: PathBuf,
    folder: tempfile::TempDir,
    /// Loopback port with STLS.
    pub(crate) pop3: u16,
    /// Loopback port with TLS from the start.
    pub(crate) pop3s: u16,
    /// Loopback port for deliveries.
    pub(crate) lmtp: u16,
    /// Loopback port for browsers.
    pub(crate) reader: u16,
    serve: Option<Running>,
}

impl Program {
    /// Makes folder, certificate and configuration; starts nothing.
    pub(crate) fn new(binary: &Path, name: &str) -> Fallible<Self> {
        let folder = scratch(name)?;
        certificate(folder.path())?;
        fs::write(folder.path().join("passwd"), "# users\n")?;
        let program = Self {
            binary: binary.to_owned(),
            folder,
            pop3: free_port()?,
            pop3s: free_port()?,
            lmtp: free_port()?,
            reader: free_port()?,
            serve: None,
        };
        fs::write(program.path("restante.toml"), program.configuration())?;
        Ok(program)
    }

    fn configuration(&self) -> String {
        let at = self.folder.path().display();
        let Self {
            pop3,
            pop3s,
            lmtp,
            reader,
            ..
        } = self;
        format!(
            "data = \"{at}/data\"\n\
             domains = [\"{DOMAIN}\"]\n\
             [pop3]\n\
             listen = [\"127.0.0.1:{pop3}\"]\n\
             tls_listen = [\"127.0.0.1:{pop3s}\"]\n\
             [lmtp]\n\
             listen = [\"127.0.0.1:{lmtp}\", \"unix:{at}/lmtp.sock\"]\n\
             [reader]\n\
             listen = [\"127.0.0.1:{reader}\"]\n\
             unsubscribe_ca = \"{at}/leave.pem\"\n\
             danger_unsubscribe_private = true\n\
             [tls]\n\
             certificate = \"{at}/certificate.pem\"\n\
             key = \"{at}/key.pem\"\n\
             [users]\n\
             passwd_file = \"{at}/passwd\"\n"
        )
    }

    /// A path in the installation's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The certificate, which is its own authority, for `localhost`.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("certificate.pem")
    }

    /// Adds sections to the configuration.
    pub(crate) fn configure(&self, sections: &str) -> Fallible<()> {
        let path = self.path("restante.toml");
        let text = fs::read_to_string(&path)?;
        Ok(fs::write(path, format!("{text}{sections}"))?)
    }

    /// One of the program's commands, not started, with the password of every test in its environment as
    /// [`PASSWORD_VARIABLE`].
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words);
        command.arg("--config").arg(self.path("restante.toml"));
        command
            .env("HOME", self.folder.path())
            .env(PASSWORD_VARIABLE, PASSWORD)
            .env_remove("RESTANTE_LOG");
        command
    }

    /// Runs one of the program's commands to its end.
    pub(crate) fn tell(&self, words: &[&str], input: &str) -> Fallible<Said> {
        let limit = Duration::from_secs(120);
        run(&mut self.command(words), input.as_bytes(), limit)?
            .ok(&format!("restante {}", words.join(" ")))
    }

    /// Adds a user as the manual says.
    pub(crate) fn add_user(&self, name: &str) -> Fallible<()> {
        let said = self.tell(
            &["user", "add", name, "--password-stdin"],
            &format!("{PASSWORD}\n"),
        )?;
        drop(said);
        Ok(())
    }

    /// Writes users into the password file, all with [`PASSWORD`]; in force at the next start.
    pub(crate) fn password_file(&self, names: impl Iterator<Item = String>) -> Fallible<()> {
        let hash = hash_of(PASSWORD)?;
        let lines: String = names.map(|name| format!("{name}:{hash}\n")).collect();
        Ok(fs::write(self.path("passwd"), lines)?)
    }

    /// Imports a folder or file into a mailbox.
    pub(crate) fn import(&self, from: &Path, user: &str) -> Fallible<()> {
        let Some(from) = from.to_str() else {
            return fail("a path that is no UTF-8");
        };
        let said = self.tell(&["import", from, "--into", user], "")?;
        drop(said);
        Ok(())
    }

    /// How many messages a mailbox shows, or shows as removed.
    pub(crate) fn count(&self, user: &str, deleted: bool) -> Fallible<usize> {
        let mut words = vec!["list", "--json", "--mailbox", user];
        if deleted {
            words.push("--deleted");
        }
        let said = self.tell(&words, "")?;
        Ok(said
            .out
            .split(|&b| b == b'\n')
            .filter(|line| line.starts_with(b"{"))
            .count())
    }

    /// Starts the daemon and waits until its three ports answer.
    pub(crate) fn start(&mut self) -> Fallible<()> {
        let log = self.path("serve.log");
        let mut running = Running::start(&mut self.command(&["serve"]), "restante serve", &log)?;
        for port in [self.pop3, self.pop3s, self.lmtp, self.reader] {
            running.wait_port(port, Duration::from_secs(20))?;
        }
        self.serve = Some(running);
        Ok(())
    }

    /// The daemon, which must have been started.
    pub(crate) fn daemon(&mut self) -> Fallible<&mut Running> {
        self.serve
            .as_mut()
            .ok_or_else(|| "the daemon was not started".into())
    }

    /// SIGTERM; the daemon has to end with success.
    pub(crate) fn stop(&mut self) -> Fallible<()> {
        let Some(running) = self.serve.take() else {
            return Ok(());
        };
        let status = running.stop(Duration::from_secs(40))?;
        if status.success() {
            return Ok(());
        }
        fail(format!("restante serve ended with {status}"))
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) -> Fallible<()> {
        self.serve.take().map_or(Ok(()), Running::kill)
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&mut self) -> Fallible<()> {
        self.daemon()?.signal(Signal::HUP)
    }

    /// An error if the daemon is gone or ever panicked.
    pub(crate) fn healthy(&mut self) -> Fallible<()> {
        let daemon = self.daemon()?;
        let alive = daemon.alive();
        let log = daemon.log();
        if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
            return fail(format!("the daemon panicked: {line}"));
        }
        if alive {
            return Ok(());
        }
        fail(format!(
            "the daemon is gone: {}",
            log.lines().last().unwrap_or_default()
        ))
    }
}

/// A P-256 certificate that signs itself, for `localhost`: `certificate.pem` and `key.pem`.
pub(crate) fn certificate(folder: &Path) -> Fallible<()> {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    command.args(["-nodes", "-days", "30", "-subj", "/CN=localhost"]);
    command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.args(["-keyout", "key.pem", "-out", "certificate.pem"]);
    let said = run(command.current_dir(folder), b"", Duration::from_secs(30))?.ok("openssl req")?;
    drop(said);
    Ok(())
}

/// The SHA-256 of a certificate, in hex.
pub(crate) fn certificate_digest(certificate: &Path) -> Fallible<String> {
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    openssl.arg(certificate);
    let said = run(&mut openssl, b"", Duration::from_secs(30))?.ok("openssl x509")?;
    let said = String::from_utf8(said.out)?;
    match said.trim().split_once('=') {
        Some((_, digest)) => Ok(digest.replace(':', "")),
        None => fail("openssl x509 tells no fingerprint"),
    }
}

/// A `{SHA512-CRYPT}` hash, as other servers' files have them.
pub(crate) fn hash_of(password: &str) -> Fallible<String> {
    let mut command = Command::new("openssl");
    command.args(["passwd", "-6", "-stdin"]);
    let said =
        run(&mut command, password.as_bytes(), Duration::from_secs(30))?.ok("openssl passwd")?;
    Ok(format!(
        "{{SHA512-CRYPT}}{}",
        String::from_utf8(said.out)?.trim()
    ))
}
