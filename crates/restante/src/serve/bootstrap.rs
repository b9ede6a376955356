//! The first start with no configuration: a user `me`, a password shown once, a letter of welcome.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use restante_directory::{Directory, generate_password};
use restante_proto::Secret;
use restante_store::{Delivery, MailStore};

use crate::config::Config;
use crate::failure::Failure;
use crate::{output, units};

/// The first user's name.
const FIRST_USER: &str = "me";

/// What to tell the person who has started the program for the first time.
pub(super) struct FirstUser {
    password: Secret,
}

/// Makes the first user and the welcome message if there is no configuration and nobody yet.
pub(super) async fn first_user(
    config: &Config,
    directory: &Directory,
    store: &dyn MailStore,
) -> Result<Option<FirstUser>, Failure> {
    if config.file().is_some() || !directory.is_empty()? {
        return Ok(None);
    }
    // The letter first: when this is cut short, the next start finds nobody and begins again.
    let mailbox = store.create_mailbox(FIRST_USER).await?;
    let welcomed = store.find_mailbox(FIRST_USER).await?;
    if welcomed.is_none_or(|mailbox| mailbox.totals.count == 0) {
        let mut draft = store.draft(None)?;
        draft.write(welcome(config.data()).as_bytes())?;
        store
            .commit(vec![Delivery {
                mailbox,
                message: draft.seal()?,
                received_ms: units::now_ms(),
                source: None,
            }])
            .await?;
    }
    let password = generate_password();
    directory.add_user(FIRST_USER, &password, None)?;
    Ok(Some(FirstUser { password }))
}

fn welcome(data: &Path) -> String {
    let date = jiff::Zoned::now().strftime("%a, %d %b %Y %H:%M:%S %z");
    let id = units::now_ms();
    format!(
        "From: Restante <restante@localhost>\n\
         To: {FIRST_USER}@localhost\n\
         Subject: Welcome to Restante\n\
         Date: {date}\n\
         Message-ID: <welcome.{id}@localhost>\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\
         \n\
         If you can read this, everything works: this message came from the packs in\n\
         {data}\n\
         through POP3 to you.\n\
         \n\
         Take in mail you have:   restante import PATH --into {FIRST_USER}\n\
         Add another person:      restante user add NAME\n\
         Bring back what a client deleted, for a week:\n\
         \x20                        restante list --deleted; restante undelete ID\n\
         Let a mail server deliver here: see README.md, \"Mail in\".\n",
        data = data.display(),
    )
    .replace('\n', "\r\n")
}

/// Shows the password once: on standard output only, never through logging, which others read.
/// Under systemd standard output is a log, so there it goes into a file for its owner only.
pub(super) fn announce(first: &FirstUser, config: &Config) -> Result<(), Failure> {
    let password = String::from_utf8_lossy(first.password.expose()).into_owned();
    if std::env::var_os("JOURNAL_STREAM").is_some() && !io::stdout().is_terminal() {
        let path = config.data().join("first-password");
        write_private(&path, &format!("{password}\n"))?;
        return print(&format!(
            "user: {FIRST_USER}\npassword: in the file {}",
            path.display()
        ));
    }
    print(&format!(
        "user: {FIRST_USER}\npassword: {password}\n(shown this once; `restante user passwd {FIRST_USER}` changes it)"
    ))
}

fn write_private(path: &PathBuf, text: &str) -> Result<(), Failure> {
    // An older one is of a user who is gone.
    let _was_not_there = std::fs::remove_file(path);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Failure::io(format!("cannot write {}", path.display())))
}

/// A line or more on standard output, seen at once.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    output::finish(writeln!(out, "{text}").and_then(|()| out.flush()))
}
