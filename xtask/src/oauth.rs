//! OAuth2 against a real authorization server: npm's `oidc-provider`, with Dovecot asking it about each
//! token. Our side is `crates/intake/tests/oauth_proof.rs`, a case each.

mod program;

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Running, free_port, run};
use crate::program::{certificate, certificate_digest};
use crate::steps::WORKSPACE_TESTS;
use crate::tally::Cases;
use crate::{Fallible, fail, scratch, target_folder, workspace};

/// How long an access token lives there: long enough to log in with, short enough to see it end.
const TOKEN_SECONDS: u32 = 8;

/// npm fetches about a hundred small packages.
const INSTALLING: Duration = Duration::from_secs(300);

/// A case waits for a token to end, and for a device's code to be asked about every five seconds; the
/// first one may have to be compiled.
const LIMIT: Duration = Duration::from_secs(600);

/// Debian's `nobody` and `nogroup`: whose mail it is.
const MAIL_OWNER: u32 = 65_534;

/// What stands beside the installed packages, so that node finds them.
const FILES: &[(&str, &str)] = &[
    ("package.json", include_str!("oauth/package.json")),
    ("package-lock.json", include_str!("oauth/package-lock.json")),
    ("server.mjs", include_str!("oauth/server.mjs")),
    ("person.mjs", include_str!("oauth/person.mjs")),
];

/// A name of a test, and what it shows.
const CASES: &[(&str, &str)] = &[
    (
        "a_code_for_another_device",
        "device code, then XOAUTH2 and OAUTHBEARER",
    ),
    ("a_person_who_says_no", "device code, denied"),
    (
        "a_browser_on_this_machine",
        "loopback and PKCE, then XOAUTH2 and OAUTHBEARER",
    ),
    (
        "an_ended_token_is_refreshed_and_the_new_refresh_token_kept",
        "refresh with rotation, also after a restart",
    ),
    ("a_revoked_token_says_what_to_type", "revoked token"),
];

/// Where the authorization server is installed: beside the builds, never in the source.
fn folder() -> PathBuf {
    target_folder().join("xtask/oauth-server")
}

/// Installs what the lock file names, and nothing else: no script of a package is run.
pub(crate) fn install() -> Fallible<()> {
    npm_ci(
        &folder(),
        FILES,
        include_str!("oauth/package-lock.json"),
        "the authorization server of the OAuth2 tests",
    )
}

/// Lays the files and installs what the lock file names, unless that is there already.
pub(crate) fn npm_ci(
    folder: &Path,
    files: &[(&str, &str)],
    lock: &str,
    what: &str,
) -> Fallible<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in files {
        fs::write(folder.join(name), text)?;
    }
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("setup: npm ci ({what})");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder);
    let said = run(&mut npm, b"", INSTALLING)?.ok("npm ci")?;
    drop(said);
    Ok(fs::write(stamp, lock)?)
}

/// Both servers; ended when dropped.
struct World {
    folder: tempfile::TempDir,
    port: u16,
    pop3s: u16,
    _servers: [Running; 2],
}

impl World {
    fn start() -> Fallible<Self> {
        let folder = scratch("oauth")?;
        certificate(folder.path())?;
        let (port, pop3s) = (free_port()?, free_port()?);
        let mut node = Command::new("node");
        node.arg(self::folder().join("server.mjs"))
            .args([port.to_string(), TOKEN_SECONDS.to_string()]);
        let log = folder.path().join("server.log");
        let mut issuer = Running::start(&mut node, "oidc-provider", &log)?;
        issuer.wait_port(port, Duration::from_secs(30))?;

        let at = folder.path().display().to_string();
        for (name, text) in [
            ("dovecot.conf", include_str!("oauth/dovecot.conf")),
            (
                "dovecot-oauth2.conf",
                include_str!("oauth/dovecot-oauth2.conf"),
            ),
        ] {
            let text = text
                .replace("@FOLDER@", &at)
                .replace("@POP3S@", &pop3s.to_string())
                .replace("@PORT@", &port.to_string());
            fs::write(folder.path().join(name), text)?;
        }
        one_message(&folder.path().join("mail"))?;
        let mut dovecot = Command::new("/usr/sbin/dovecot");
        dovecot
            .arg("-F")
            .arg("-c")
            .arg(folder.path().join("dovecot.conf"));
        let log = folder.path().join("dovecot.log");
        let mut mail = Running::start(&mut dovecot, "dovecot", &log)?;
        mail.wait_port(pop3s, Duration::from_secs(20))?;
        Ok(Self {
            folder,
            port,
            pop3s,
            _servers: [issuer, mail],
        })
    }

    /// What `oauth_proof.rs` has to know, a line each.
    fn words(&self) -> Fallible<String> {
        let person = self::folder().join("person.mjs");
        let pin = certificate_digest(&self.folder.path().join("certificate.pem"))?;
        Ok(format!(
            "http://127.0.0.1:{}/\n{}\n{}\n{}\n{TOKEN_SECONDS}",
            self.port,
            self.pop3s,
            pin,
            person.display()
        ))
    }
}

fn one_message(mail: &Path) -> Fallible<()> {
    let maildir = mail.join("ann");
    let own = |path: &Path| chown(path, Some(MAIL_OWNER), Some(MAIL_OWNER));
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(sub))?;
        own(&maildir.join(sub))?;
    }
    own(mail)?;
    own(&maildir)?;
    let message = maildir.join("cur/1600000000.M1P1.oauth:2,S");
    fs::write(&message, "Subject: hello\n\nFor who has the token.\n")?;
    Ok(own(&message)?)
}

/// All cases.
pub(crate) fn run_all(cases: &mut Cases) {
    let mut started = None;
    cases.case("the authorization server and Dovecot start", || {
        install()?;
        started = Some(World::start()?);
        Ok(())
    });
    let Some(world) = started else { return };
    for (test, shows) in CASES {
        cases.case(shows, || one(test, &world));
    }
    program::run_all(&world, cases);
}

fn one(test: &str, world: &World) -> Fallible<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(WORKSPACE_TESTS)
        .args(["--quiet", "--test", "oauth_proof", "--", "--exact", test])
        .env("RESTANTE_TEST_OAUTH_PROOF", world.words()?)
        .current_dir(workspace());
    let said = run(&mut cargo, b"", LIMIT)?;
    let out = String::from_utf8_lossy(&said.out).into_owned();
    if said.status.success() && out.contains("1 passed") {
        return Ok(());
    }
    let log = fs::read_to_string(world.folder.path().join("dovecot.log")).unwrap_or_default();
    let last = log.lines().last().unwrap_or_default();
    fail(format!("{out}{}\nDovecot: {last}", said.err))
}
