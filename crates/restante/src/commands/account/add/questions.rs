//! What a person is asked, and the password that a person gives.

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use restante_proto::Secret;

use crate::commands::make_private_folder;
use crate::config::Config;
use crate::config::account::{Account, SecretFrom};
use crate::failure::Failure;
use crate::output;

/// No password is longer, in octets: OAuth2's tokens have their own way.
const PASSWORD_OCTETS_MAX: u64 = 1024;

/// Somebody who can be asked, or nobody.
pub(crate) struct Person {
    there: bool,
}

impl Person {
    /// Nobody with `--yes`, and nobody off a terminal.
    pub(crate) fn new(yes: bool) -> Self {
        Self {
            there: !yes && io::stdin().is_terminal(),
        }
    }

    /// Whether anybody is.
    pub(crate) fn is_there(&self) -> bool {
        self.there
    }

    /// Asks; `None` when nobody is there or nothing is answered.
    pub(crate) fn ask(&self, question: &str) -> Result<Option<String>, Failure> {
        if !self.there {
            return Ok(None);
        }
        output::note(question);
        let mut line = String::new();
        io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(Failure::io("cannot read the answer"))?;
        let line = line.trim();
        Ok((!line.is_empty()).then(|| line.to_owned()))
    }

    /// Asks for a yes; nobody says no.
    pub(crate) fn agrees(&self, question: &str) -> Result<bool, Failure> {
        let answer = self.ask(question)?;
        Ok(matches!(answer.as_deref(), Some("y" | "Y" | "yes")))
    }
}

/// Asks where the password is to come from, and for the password if it is to be kept here. Off a
/// terminal that must be said on the command line.
pub(super) fn secret(
    account: &mut Account,
    config: &Config,
    person: &Person,
) -> Result<Option<PathBuf>, Failure> {
    if !person.there {
        return Err(Failure::Usage(
            "where does the password come from? --password-command, --password-file, --password-env, or --password-stdin to have it kept in the data folder".to_owned(),
        ));
    }
    let how = person.ask(
        "The password: type it now and keep it in the data folder, for you alone to read (keep); let a command print it each time (command); or be asked at every fetch, so that `serve` cannot fetch by itself (ask) [keep]? ",
    )?;
    match how.as_deref() {
        None | Some("keep") => {
            let typed = type_password(account)?;
            store(&typed, account, config).map(Some)
        }
        Some("command") => {
            let command = person.ask("The command, such as `pass show mail/me`: ")?;
            let command =
                command.ok_or_else(|| Failure::Usage("no command was given".to_owned()))?;
            account.secret = SecretFrom::Command(command);
            Ok(None)
        }
        Some("ask") => {
            account.secret = SecretFrom::Prompt;
            Ok(None)
        }
        Some(other) => Err(Failure::Usage(format!(
            "{other}: right would be keep, command or ask"
        ))),
    }
}

fn type_password(account: &Account) -> Result<Secret, Failure> {
    let question = format!("Password of {} at {}: ", account.user, account.server.place);
    let typed =
        rpassword::prompt_password(question).map_err(Failure::io("cannot read the password"))?;
    checked(typed.into_bytes())
}

/// The first line of standard input.
pub(super) fn password_from_stdin() -> Result<Secret, Failure> {
    let mut line = Vec::new();
    io::stdin()
        .lock()
        .take(PASSWORD_OCTETS_MAX + 2)
        .read_until(b'\n', &mut line)
        .map_err(Failure::io("cannot read the password"))?;
    while line.ends_with(b"\n") || line.ends_with(b"\r") {
        line.pop();
    }
    checked(line)
}

fn checked(password: Vec<u8>) -> Result<Secret, Failure> {
    let too_long = password.len() as u64 > PASSWORD_OCTETS_MAX;
    if password.is_empty() || too_long || password.iter().any(|b| b"\0\r\n".contains(b)) {
        return Err(Failure::Data(
            "that is no password: it has 1 to 1024 octets, without line ends and NUL".to_owned(),
        ));
    }
    Ok(Secret::new(password))
}

/// Keeps the password in a file of the data folder that its owner alone can read.
pub(super) fn store(
    password: &Secret,
    account: &mut Account,
    config: &Config,
) -> Result<PathBuf, Failure> {
    make_private_folder(config.data())?;
    let folder = config.data().join("passwords");
    make_private_folder(&folder)?;
    let path = folder.join(&account.name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = (|| {
        let mut file = options.open(&path)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.write_all(password.expose())?;
        file.write_all(b"\n")?;
        file.sync_all()
    })();
    written.map_err(Failure::io(format_args!(
        "cannot keep the password in {}",
        path.display()
    )))?;
    account.secret = SecretFrom::File(path.clone());
    Ok(path)
}
