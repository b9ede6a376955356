//! The command line: stable names that people and scripts rely on.

mod backup;
mod device;
mod fetch;
mod mail;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use backup::{Backup, KeyFrom, Restore, Verify};
pub(crate) use device::{Device, UserSet};
pub(crate) use fetch::{Account, AccountAdd, Doctor, Fetch, Remote, Secrets};
pub(crate) use mail::{Label, List, Mark, Rule, RuleAdd, Search, Show};

/// Keeps your mail and hands it to every device by POP3.
#[derive(Debug, Parser)]
#[command(
    name = "restante",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The words of the command line, as the parser is to have them. What a search leaves out, `-draft`, would be an option to it: such a
/// word gets a space before it, which a query does not see.
pub(crate) fn words(all: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = all.into_iter().collect();
    let is_value = |at: usize| matches!(words[at - 1].to_str(), Some("--config" | "--data"));
    let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    let command = (1..words.len()).find(|at| !is_option(&words[*at]) && !is_value(*at));
    let Some(command) = command.filter(|at| words[*at] == "search") else {
        return words;
    };
    for word in &mut words[command + 1..] {
        let Some(rest) = word.to_str().and_then(|word| word.strip_prefix('-')) else {
            continue;
        };
        let ours = rest.starts_with('-') || rest == "h" || rest.chars().all(|c| c == 'v');
        if !ours {
            *word = format!(" -{rest}").into();
        }
    }
    words
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file [default: $RESTANTE_CONFIG, ~/.config/restante/restante.toml, /etc/restante/restante.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder [default: `data` in the configuration, $XDG_DATA_HOME/restante, for root /var/lib/restante]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve POP3 and POP3S, take mail by LMTP, and fetch from the accounts on schedule
    Serve,
    /// Fetch mail from accounts, or from the server that a URL names
    #[command(after_long_help = fetch::AFTER)]
    Fetch(Fetch),
    /// Remote mailboxes to fetch from
    #[command(subcommand)]
    Account(Account),
    /// Say what a POP3 server can do, and what is odd about it
    #[command(after_long_help = fetch::AFTER_DOCTOR)]
    Doctor(Doctor),
    /// Local logins
    #[command(subcommand)]
    User(User),
    /// List messages, oldest first
    List(List),
    /// Find messages, the newest first
    #[command(after_long_help = mail::QUERIES)]
    Search(Search),
    /// Print a message for reading, or with --raw as it is stored
    Show(Show),
    /// Mark messages as read, starred, archived or junk, or remove them
    Mark(Mark),
    /// Label messages, or list the labels in use
    Label(Label),
    /// What is done with messages as they arrive
    #[command(subcommand)]
    Rule(Rule),
    /// Bring back removed messages
    Undelete {
        /// The ids that `list --deleted` shows
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take in mail from files: mbox, Maildir, .eml, zip, Thunderbird, Google Takeout, Apple Mail
    Import(Import),
    /// Write mail into an mbox, a Maildir, a folder or a zip of .eml files
    Export(Export),
    /// For those who send newsletters
    #[command(subcommand)]
    Newsletter(Newsletter),
    /// Read your mail in the browser; opens it
    Read {
        /// Only say the address
        #[arg(long)]
        no_open: bool,
    },
    /// Back the archive up into a folder or an S3 bucket, and read back what was written
    #[command(after_long_help = backup::AFTER)]
    Backup(Backup),
    /// Bring a backup back: whole into an empty folder, or what is missing into one with mail
    Restore(Restore),
    /// Check every octet of the archive, of a backup, or restore one and compare; exits 65 when something is wrong
    Verify(Verify),
    /// Show users, accounts, backups, sizes and the disk; exits 1 when something needs attention
    Status,
    /// Make the index anew from the packs; exits 65 when they hold less than they should
    Rebuild {
        /// Go on without packs that are missing
        #[arg(long)]
        accept_missing: bool,
        /// Take out of damaged packs what is whole, and name the messages that are lost
        #[arg(long)]
        salvage: bool,
    },
    /// Check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of the program or of one command
    Man {
        /// Which command's
        command: Option<String>,
    },
}

/// `restante user …`
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a user; asks for the password
    Add {
        /// A name such as `ann` or `ann@example.org`
        name: String,
        /// Read the password from standard input, up to the first line end
        #[arg(long)]
        password_stdin: bool,
        /// The most that the mailbox may hold, such as 1G
        #[arg(long, value_parser = size)]
        quota: Option<u64>,
    },
    /// List users
    List,
    /// Change a password; asks for it
    Passwd {
        /// The user
        name: String,
        /// Read the password from standard input, up to the first line end
        #[arg(long)]
        password_stdin: bool,
    },
    /// Set what becomes of a user's mail, or show it
    Set(UserSet),
    /// Devices that collect from a user's mailbox, each for itself
    #[command(subcommand)]
    Device(Device),
    /// Remove a login; its mail stays unless --erase is given
    Remove {
        /// The user
        name: String,
        /// Erase all the user's mail too, at once and for good
        #[arg(long)]
        erase: bool,
    },
}

/// `restante import`
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// mbox files, Maildirs, .eml and .emlx files, zips and folders of them, a Thunderbird profile; `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Whose mailbox the mail goes into; the first one is made
    #[arg(long, value_name = "USER", default_value = "me")]
    pub(crate) into: String,
    /// Store messages that are there already once more
    #[arg(long)]
    pub(crate) duplicates: bool,
    /// Only say what would be taken in
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `restante newsletter …`
#[derive(Debug, Subcommand)]
pub(crate) enum Newsletter {
    /// Say how a newsletter will look and behave for a reader who downloads mail; exits 1 when something is to mend
    Check {
        /// The newsletter as a message, best one that has arrived; `-` for standard input
        #[arg(value_name = "FILE.eml")]
        file: PathBuf,
    },
}

/// `restante export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Where to: a new place, or one that an export made, which then gets what it lacks. Of several mailboxes a folder
    #[arg(value_name = "DEST")]
    pub(crate) dest: PathBuf,
    /// Only this mailbox
    #[arg(long, value_name = "NAME")]
    pub(crate) mailbox: Option<String>,
    /// Only what this finds, such as `from:ada before:2020`
    #[arg(long)]
    pub(crate) query: Option<String>,
    /// The form [default: what DEST ends in, .mbox or .zip]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ExportFormat>,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// One file, an mboxrd
    Mbox,
    /// A Maildir with flags
    Maildir,
    /// A folder with a file for each message
    Eml,
    /// A zip of such files
    Zip,
}

/// `restante config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report every mistake in the configuration
    Check,
    /// Show what the program runs with, defaults included
    Show,
    /// Print the DNS records by which mail programs set themselves up, as lines of a zone file
    Dns,
}

fn size(text: &str) -> Result<u64, String> {
    crate::units::octets(text)
        .ok_or_else(|| "a size is a number with K, M, G or T, such as 1G".to_owned())
}
