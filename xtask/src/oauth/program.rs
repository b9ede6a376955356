//! `restante account login` itself, in the hands of a person with a browser or another device.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{TOKEN_SECONDS, World, folder};
use crate::process::run;
use crate::steps::development;
use crate::tally::Cases;
use crate::{Fallible, fail, scratch};

/// A device's code is asked about every five seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// All cases.
pub(super) fn run_all(world: &World, cases: &mut Cases) {
    cases.case(
        "account login in a browser, fetch, and again when the token has ended",
        || {
            let home = Home::new(world)?;
            home.log_in(&[])?;
            home.fetches(1)?;
            // The access token has ended; the refresh token lasts.
            thread::sleep(Duration::from_secs(u64::from(TOKEN_SECONDS) + 1));
            home.fetches(0)?;
            home.forgets()
        },
    );
    cases.case("account login --device, then fetch", || {
        let home = Home::new(world)?;
        home.log_in(&["--device"])?;
        home.fetches(1)
    });
    cases.case(
        "without a login, fetch says what to type and ends with 77",
        || {
            let home = Home::new(world)?;
            let said = run(&mut home.command(&["fetch", "work"]), b"", LIMIT)?;
            let told = said.err + &String::from_utf8_lossy(&said.out);
            match said.status.code() {
                Some(77) if told.contains("restante account login work") => Ok(()),
                code => fail(format!("{code:?}: {told}")),
            }
        },
    );
}

struct Home {
    binary: PathBuf,
    folder: tempfile::TempDir,
}

impl Home {
    fn new(world: &World) -> Fallible<Self> {
        let words = world.words()?;
        let [server, pop3s, pin, ..] = words.split('\n').collect::<Vec<_>>()[..] else {
            return fail("the world has not all that is needed");
        };
        let folder = scratch("oauth-program")?;
        fs::write(
            folder.path().join("restante.toml"),
            format!(
                "data = \"{}/data\"\n[account.work]\nhost = \"127.0.0.1\"\nport = {pop3s}\nuser = \"ann\"\n\
                 pin = \"{pin}\"\n[account.work.oauth]\nclient_id = \"restante-test\"\n\
                 authorize_endpoint = \"{server}auth\"\ntoken_endpoint = \"{server}token\"\n\
                 device_endpoint = \"{server}device/auth\"\nscopes = [\"mail\", \"offline_access\"]\n",
                folder.path().display()
            ),
        )?;
        Ok(Self {
            binary: development()?.join("restante"),
            folder,
        })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(words).arg("--config");
        command.arg(self.folder.path().join("restante.toml"));
        command
            .env("HOME", self.folder.path())
            .env_remove("RESTANTE_LOG");
        command
    }

    /// Logs in, and plays the person whom the program asks.
    fn log_in(&self, more: &[&str]) -> Fallible<()> {
        let mut words = vec!["account", "login", "work"];
        words.extend(more);
        let mut child = self
            .command(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let Some(told) = child.stderr.take() else {
            return fail("no standard error");
        };
        let mut person = None;
        let mut all = String::new();
        for line in BufReader::new(told).lines() {
            let line = line?;
            if person.is_none()
                && let Some(page) = page(&line)
            {
                let mut node = Command::new("node");
                node.arg(folder().join("person.mjs")).arg("ann").args(page);
                person = Some(thread::spawn(move || {
                    run(&mut node, b"", LIMIT).map_err(|error| error.to_string())
                }));
            }
            all.push_str(&line);
            all.push('\n');
        }
        let status = child.wait()?;
        let said = match person.map(thread::JoinHandle::join) {
            Some(Ok(said)) => said?,
            _ => return fail(format!("nobody was sent anywhere: {all}")),
        };
        if status.success() && said.status.success() {
            return Ok(());
        }
        fail(format!("{status}: {all}{}", said.tail()))
    }

    fn fetches(&self, stored: u64) -> Fallible<()> {
        let mut command = self.command(&["fetch", "work", "--json"]);
        let said = run(&mut command, b"", LIMIT)?.ok("restante fetch")?;
        let out = String::from_utf8_lossy(&said.out).into_owned();
        if out.contains(&format!("\"stored\":{stored}")) {
            return Ok(());
        }
        fail(format!("not {stored} stored: {out}"))
    }

    /// The tokens go with the account.
    fn forgets(&self) -> Fallible<()> {
        let tokens = self.folder.path().join("data/tokens/work.json");
        if !tokens.exists() {
            return fail("there were no tokens");
        }
        let mut command = self.command(&["account", "remove", "work"]);
        drop(run(&mut command, b"", LIMIT)?.ok("restante account remove")?);
        match tokens.exists() {
            true => fail("the tokens are left"),
            false => Ok(()),
        }
    }
}

/// Where a line sends the person, with the code to type there.
fn page(line: &str) -> Option<Vec<String>> {
    if let Some(rest) = line.strip_prefix("Go to ") {
        let (page, rest) = rest.split_once(" with any browser, and type in the code ")?;
        let code = rest.split_whitespace().next()?;
        return Some(vec![page.to_owned(), code.to_owned()]);
    }
    let page = line.strip_prefix("  ")?;
    page.starts_with("http").then(|| vec![page.to_owned()])
}
