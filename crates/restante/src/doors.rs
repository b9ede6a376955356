//! `restante` alone on a terminal: two doors, for those who have not read the manual.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Account, AccountAdd, Cli, Command, Fetch, Global, Import, User};
use crate::failure::Failure;
use crate::{commands, output};

/// Asks which door, and goes through it. Off a terminal it prints the help and exits 64.
pub(crate) fn offer(global: &Global) -> Result<ExitCode, Failure> {
    if !io::stdin().is_terminal() || !output::on_terminal() {
        let help = Cli::command().render_help();
        output::note(&help.to_string());
        return Err(Failure::Usage(
            "say what to do, for example: restante serve".to_owned(),
        ));
    }
    let out = output::Output::new(false, false);
    out.people("Restante keeps your mail and hands it to every device by POP3.\n")?;
    out.people("  1  get my mail     fetch it from a provider, or take in files that you have")?;
    out.people("  2  serve mail      run the server; mail comes in by LMTP, devices collect it\n")?;
    match ask("Which door, 1 or 2 (Enter to leave)? ")?.as_str() {
        "1" => {
            let from =
                ask("Your mail address, or where the files are (mbox, Maildir, .eml, folder)? ")?;
            if from.is_empty() {
                Ok(ExitCode::SUCCESS)
            } else if from.contains('@') && !PathBuf::from(&from).exists() {
                fetch_from(from, global, &out)
            } else {
                import(from, global, &out)
            }
        }
        "2" => crate::run_command(Command::Serve, global),
        "" => Ok(ExitCode::SUCCESS),
        _ => Err(Failure::Usage(
            "there are two doors: 1 and 2; restante --help tells all".to_owned(),
        )),
    }
}

/// Finds and adds the account, then fetches it for the first time.
fn fetch_from(address: String, global: &Global, out: &output::Output) -> Result<ExitCode, Failure> {
    let before = account_names(global)?;
    let add = AccountAdd {
        address: Some(address),
        ..AccountAdd::default()
    };
    crate::run_command(Command::Account(Account::Add(Box::new(add))), global)?;
    let added: Vec<_> = account_names(global)?
        .into_iter()
        .filter(|name| !before.contains(name))
        .collect();
    if added.is_empty() || !matches!(ask("Fetch it now (y/n)? ")?.as_str(), "y" | "Y" | "yes") {
        return Ok(ExitCode::SUCCESS);
    }
    let fetch = Fetch {
        sources: added,
        ..Fetch::default()
    };
    let code = crate::run_command(Command::Fetch(fetch), global)?;
    out.people("See it: `restante list`. Collect it on every device: `restante serve`.")?;
    Ok(code)
}

fn account_names(global: &Global) -> Result<Vec<String>, Failure> {
    let config = crate::configuration(global)?;
    let names = config.accounts().iter().map(|account| account.name.clone());
    Ok(names.collect())
}

/// Takes in files, for a user who is made if there is none of that name.
fn import(path: String, global: &Global, out: &output::Output) -> Result<ExitCode, Failure> {
    let into = ask("Whose is it (a user's name, Enter for `me`)? ")?;
    let into = if into.is_empty() {
        "me".to_owned()
    } else {
        into
    };
    if !is_known(&into, global)? {
        out.people(&format!("There is no user {into} yet; here it is made."))?;
        let add = User::Add {
            name: into.clone(),
            password_stdin: false,
            quota: None,
        };
        crate::run_command(Command::User(add), global)?;
    }
    let import = Import {
        paths: vec![PathBuf::from(path)],
        into,
        duplicates: false,
        dry_run: false,
    };
    crate::run_command(Command::Import(import), global)
}

fn is_known(name: &str, global: &Global) -> Result<bool, Failure> {
    let config = crate::configuration(global)?;
    Ok(commands::open_directory(&config)?
        .find_user(name)?
        .is_some())
}

fn ask(question: &str) -> Result<String, Failure> {
    let mut out = io::stdout().lock();
    output::finish(write!(out, "{question}").and_then(|()| out.flush()))?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(Failure::io("cannot read the answer"))?;
    Ok(answer.trim().to_owned())
}
