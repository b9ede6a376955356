//! `cargo xtask setup`: the programs that we test against, and the tools that check the source.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Fallible, courier, cyrus, fail, oauth, reader, target_folder};

/// cargo-deny: this version reads our lock file and edition.
const DENY_VERSION: &str = "0.20.2";

/// A Debian package, and the program by which we see that it is there.
const PACKAGES: &[(&str, &str)] = &[
    ("dovecot-pop3d", "/usr/lib/dovecot/pop3"),
    ("dovecot-imapd", "/usr/lib/dovecot/imap"),
    ("dovecot-lmtpd", "/usr/lib/dovecot/lmtp"),
    ("courier-authdaemon", "/usr/sbin/authdaemond"),
    ("courier-authlib-userdb", "/usr/sbin/makeuserdb"),
    ("courier-base", "/usr/sbin/couriertcpd"),
    ("postfix", "/usr/sbin/postfix"),
    ("fetchmail", "/usr/bin/fetchmail"),
    ("mpop", "/usr/bin/mpop"),
    ("getmail6", "/usr/bin/getmail"),
    ("mutt", "/usr/bin/mutt"),
    ("swaks", "/usr/bin/swaks"),
    ("curl", "/usr/bin/curl"),
    ("openssl", "/usr/bin/openssl"),
    ("zstd", "/usr/bin/zstd"),
    ("sqlite3", "/usr/bin/sqlite3"),
    ("protobuf-compiler", "/usr/bin/protoc"),
    ("cmake", "/usr/bin/cmake"),
    ("xz-utils", "/usr/bin/xz"),
    ("python3", "/usr/bin/python3"),
    ("restic", "/usr/bin/restic"),
    ("borgbackup", "/usr/bin/borg"),
    ("b3sum", "/usr/bin/b3sum"),
    ("notmuch", "/usr/bin/notmuch"),
    ("strace", "/usr/bin/strace"),
    ("bsdutils", "/usr/bin/script"),
    ("util-linux", "/usr/bin/unshare"),
    ("thunderbird", "/usr/bin/thunderbird"),
    ("libnss3-tools", "/usr/bin/certutil"),
    ("xvfb", "/usr/bin/Xvfb"),
    ("imagemagick", "/usr/bin/import"),
    ("chromium", "/usr/bin/chromium"),
    ("nodejs", "node"),
    ("npm", "npm"),
    ("git", "git"),
    ("gcc", "cc"),
    ("pkg-config", "pkg-config"),
];

/// Puts in place what is missing, or says exactly what to type.
pub(crate) fn run() -> Fallible<()> {
    packages()?;
    courier::unpack()?;
    cyrus::unpack()?;
    oauth::install()?;
    reader::install()?;
    components()?;
    deny()?;
    Ok(())
}

fn there(program: &str) -> bool {
    if program.starts_with('/') {
        return PathBuf::from(program).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn missing() -> Vec<&'static str> {
    let absent = PACKAGES.iter().filter(|(_, program)| !there(program));
    absent.map(|&(package, _)| package).collect()
}

/// Installs the Debian packages that are missing, or says what to type.
pub(crate) fn packages() -> Fallible<()> {
    let wanted = missing();
    if wanted.is_empty() {
        println!("setup: the peers are installed");
        return Ok(());
    }
    let by_hand = format!(
        "sudo sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {}'",
        wanted.join(" ")
    );
    if !rustix::process::geteuid().is_root() || !there("apt-get") {
        return fail(format!(
            "these Debian packages are missing and installing them needs root. Type:\n\n    {by_hand}\n"
        ));
    }
    println!("setup: installing {}", wanted.join(" "));
    let guard = NoDaemons::new()?;
    apt(&["update", "-q"])?;
    // No configuration: the tests run a Postfix of their own, and the machine's stays off.
    let preseed = "postfix postfix/main_mailer_type select No configuration\n";
    if there("debconf-set-selections") {
        let mut command = Command::new("debconf-set-selections");
        crate::process::run(
            &mut command,
            preseed.as_bytes(),
            std::time::Duration::from_secs(60),
        )?
        .ok("debconf-set-selections")?;
    }
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(&wanted);
    let installed = apt(&arguments);
    drop(guard);
    if let Err(error) = installed {
        return fail(format!("{error}. To try by hand:\n\n    {by_hand}\n"));
    }
    let still = missing();
    if still.is_empty() {
        return Ok(());
    }
    fail(format!(
        "apt-get installed {wanted:?}, but {still:?} did not bring what is needed"
    ))
}

fn apt(arguments: &[&str]) -> Fallible<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()?;
    if status.success() {
        return Ok(());
    }
    fail(format!("apt-get {} failed: {status}", arguments.join(" ")))
}

/// `policy-rc.d`: while it is there, no package starts its daemon.
struct NoDaemons(Option<PathBuf>);

impl NoDaemons {
    fn new() -> Fallible<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(&path, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Ours; a machine that keeps it would never start a daemon again.
            let _removed = fs::remove_file(path);
        }
    }
}

fn components() -> Fallible<()> {
    for component in ["rustfmt", "clippy"] {
        let program = if component == "clippy" {
            "cargo-clippy"
        } else {
            "rustfmt"
        };
        let answers = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if answers.is_ok_and(|status| status.success()) {
            continue;
        }
        println!("setup: rustup component add {component}");
        let status = Command::new("rustup")
            .args(["component", "add", component])
            .status();
        if !status.is_ok_and(|status| status.success()) {
            return fail(format!(
                "{component} is missing. Type:\n\n    rustup component add {component}\n"
            ));
        }
    }
    Ok(())
}

/// cargo-deny: the machine's own, if it can read our files, else one that was built for this checkout.
pub(crate) fn deny() -> Fallible<PathBuf> {
    let own = target_folder().join("tools/bin/cargo-deny");
    if own.exists() {
        return Ok(own);
    }
    let works = Command::new("cargo-deny")
        .args(["--offline", "check", "bans"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if works.is_ok_and(|status| status.success()) {
        return Ok("cargo-deny".into());
    }
    println!("setup: building cargo-deny {DENY_VERSION} (about a minute)");
    // Unoptimised on purpose: it runs for a second, and would take many minutes to optimise.
    let status = Command::new("cargo")
        .args(["install", "--quiet", "--debug", "--locked", "cargo-deny"])
        .args(["--version", DENY_VERSION, "--root"])
        .arg(target_folder().join("tools"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TARGET_DIR", target_folder().join("tools/build"))
        .status()?;
    if !status.success() {
        return fail("cargo-deny could not be built; see above".to_owned());
    }
    // Half a gigabyte that nobody needs again.
    let _freed = fs::remove_dir_all(target_folder().join("tools/build"));
    Ok(own)
}
