//! `restante user`: local logins.

use std::io::{self, BufRead, IsTerminal, Read};
use std::process::ExitCode;

use restante_directory::Directory;
use restante_proto::Secret;
use restante_store::MailStore;
use serde_json::json;

use super::{
    about, archive, device, open_directory, open_existing_directory, open_existing_store, wait,
};
use crate::cli::User;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output};

/// No password is longer: one line of a file or of standard input.
const PASSWORD_OCTETS_MAX: u64 = 1024;

/// Runs `restante user …`.
pub(crate) fn run(command: User, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    match &command {
        User::Set(set) => return device::settings(set, config, out),
        User::Device(command) => return device::run(command, config, out),
        _ => {}
    }
    let directory = match command {
        User::Add { .. } => open_directory(config)?,
        _ => open_existing_directory(config)?,
    };
    match command {
        User::Add {
            name,
            password_stdin,
            quota,
        } => add(&directory, &name, password_stdin, quota, out)?,
        User::List => list(&directory, out)?,
        User::Passwd {
            name,
            password_stdin,
        } => {
            known(&directory, &name)?;
            let password = read_password(&name, password_stdin)?;
            directory.set_password(&name, &password)?;
            out.line(
                &json!({"user": name}),
                &format!("{name} has a new password."),
            )?;
        }
        User::Set(_) | User::Device(_) => {}
        User::Remove { name, erase } => remove(&directory, &name, erase, config, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn known(directory: &Directory, name: &str) -> Result<(), Failure> {
    if directory.find_user(name)?.is_some() {
        return Ok(());
    }
    Err(Failure::NotThere(format!(
        "there is no user {name}; `restante user list` shows who there is"
    )))
}

fn add(
    directory: &Directory,
    name: &str,
    password_stdin: bool,
    quota: Option<u64>,
    out: &Output,
) -> Result<(), Failure> {
    if directory.find_user(name)?.is_some() {
        return Err(Failure::Exists(format!(
            "there is a user {name} already; `restante user passwd {name}` changes the password"
        )));
    }
    let password = read_password(name, password_stdin)?;
    directory.add_user(name, &password, quota)?;
    out.line(
        &json!({"user": name, "quota": quota}),
        &format!(
            "{name} can log in now, and receive mail ({}).",
            about::limit(quota)
        ),
    )
}

fn list(directory: &Directory, out: &Output) -> Result<(), Failure> {
    let users = directory.users()?;
    if users.is_empty() {
        out.people("There are no users yet: restante user add NAME")?;
    }
    for user in users {
        out.line(
            &json!({"user": user.name, "quota": user.quota_octets}),
            &format!("{:<32} {}", user.name, about::limit(user.quota_octets)),
        )?;
    }
    Ok(())
}

fn remove(
    directory: &Directory,
    name: &str,
    erase: bool,
    config: &Config,
    out: &Output,
) -> Result<(), Failure> {
    let user = directory.find_user(name)?;
    let mailbox = user
        .as_ref()
        .map_or(name, |user| user.name.as_str())
        .to_owned();
    if !erase {
        known(directory, name)?;
        directory.remove_user(name)?;
        let line = format!(
            "{name} can no longer log in. The mail stays: add {name} again to serve it, or erase it with --erase."
        );
        return out.line(&json!({"user": name, "erased": false}), &line);
    }
    if io::stdin().is_terminal() {
        let question =
            format!("This erases all mail of {mailbox} for good. Type the name to go on: ");
        if prompt(&question)? != mailbox {
            return Err(Failure::Usage("nothing was removed".to_owned()));
        }
    }
    // The login goes first: a mailbox erased under a login would be made anew by the next delivery.
    if user.is_some() {
        directory.remove_user(name)?;
    }
    let mut octets = 0;
    if config.data().join("packs").is_dir() {
        let store = open_existing_store(config)?;
        match wait(store.find_mailbox(&mailbox))? {
            Some(found) => {
                octets = found.totals.octets;
                wait(store.remove_mailbox(found.id, true))?;
                archive::open(config, store)?.erase(found.id)?;
            }
            None if user.is_none() => known(directory, name)?,
            None => {}
        }
    } else if user.is_none() {
        known(directory, name)?;
    }
    let line = format!(
        "{mailbox} and {} of mail are erased. Backups made before still have them.",
        crate::units::show_octets(octets)
    );
    out.line(
        &json!({"user": mailbox, "erased": true, "octets": octets}),
        &line,
    )
}

fn prompt(question: &str) -> Result<String, Failure> {
    output::note(question);
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(Failure::io("cannot read the answer"))?;
    Ok(line.trim().to_owned())
}

/// From standard input, or twice from the terminal without showing it. Never from an argument:
/// those can be read by every user of the machine.
fn read_password(name: &str, stdin: bool) -> Result<Secret, Failure> {
    if !stdin && io::stdin().is_terminal() {
        let ask = |question: String| {
            rpassword::prompt_password(question).map_err(Failure::io("cannot read the password"))
        };
        let first = ask(format!("Password for {name}: "))?;
        if ask("Once more: ".to_owned())? != first {
            return Err(Failure::Usage(
                "the two passwords differ; nothing was changed".to_owned(),
            ));
        }
        return checked(first.into_bytes());
    }
    if !stdin {
        return Err(Failure::Usage(
            "there is no terminal to ask for the password: give it on standard input with --password-stdin".to_owned(),
        ));
    }
    let mut line = Vec::new();
    io::stdin()
        .lock()
        .take(PASSWORD_OCTETS_MAX + 2)
        .read_until(b'\n', &mut line)
        .map_err(Failure::io("cannot read the password"))?;
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    checked(line)
}

fn checked(password: Vec<u8>) -> Result<Secret, Failure> {
    let wrong = if password.is_empty() {
        "an empty password is no password"
    } else if password.len() as u64 > PASSWORD_OCTETS_MAX {
        "a password has at most 1024 octets"
    } else if password.contains(&0) || password.contains(&b'\r') || password.contains(&b'\n') {
        "a password cannot have a line end or NUL: POP3 could not carry it"
    } else {
        return Ok(Secret::new(password));
    };
    Err(Failure::Data(wrong.to_owned()))
}
