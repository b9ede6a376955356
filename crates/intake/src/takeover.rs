//! What other fetchers have downloaded already: the first run need not download it again.
//!
//! getmail, fetchmail, mpop and Thunderbird each keep a file of unique-ids that they have seen.
//! [`find`] looks for those of one account under a home folder, [`read`] hands out their ids.
//!
//! What an id taken over means, and what it does not:
//!
//! - It goes into the ledger as *seen* (`MailStore::record_seen`): the message is not downloaded.
//! - It is a record without a body. Whatever the account keeps, such an id never permits DELE, for the
//!   message is not in our archive, and nothing is ever deleted that is not stored. Who wants those
//!   gone from the server has them fetched first (`fetch --full ID`).
//! - Only what the other program took *whole* is handed out: Thunderbird's messages of which it has
//!   the headers alone, or that it was still to fetch, are left for us.
//! - Days of a policy count from the time of the other program's record where it kept one.
//!
//! A file of another account would do harm only where a server gives two accounts the same unique-ids;
//! still, a file is taken only for the host and user that it names, or when it is named itself.
//!
//! The formats were read off files that the programs wrote: getmail6 6.18, fetchmail 6.4, mpop 1.4.18;
//! mpop since 1.4.23 adds the time. Thunderbird's is the one it has written since it was Mozilla's.

mod fetchmail;
mod getmail;
pub mod limits;
mod lines;
mod mpop;
mod names;
mod thunderbird;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use lines::Lines;

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// getmail, and getmail6.
    Getmail,
    /// fetchmail.
    Fetchmail,
    /// mpop.
    Mpop,
    /// Thunderbird, and its kin.
    Thunderbird,
}

impl Program {
    /// Every program whose files are read.
    pub const ALL: [Self; 4] = [
        Self::Getmail,
        Self::Fetchmail,
        Self::Mpop,
        Self::Thunderbird,
    ];
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Getmail => "getmail",
            Self::Fetchmail => "fetchmail",
            Self::Mpop => "mpop",
            Self::Thunderbird => "Thunderbird",
        })
    }
}

/// A remote mailbox, as the files of other programs may name it.
#[derive(Debug, Clone, Copy)]
pub struct Mailbox<'a> {
    /// The server's name. Other names of the same provider's server are taken for it too.
    pub host: &'a str,
    /// Its port; only getmail's files tell it.
    pub port: u16,
    /// The user name at the server.
    pub user: &'a str,
}

/// An id that another program has taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeenId {
    /// The unique-id, as the server gave it.
    pub remote_id: Vec<u8>,
    /// When the other program first saw or took it, in milliseconds since 1970, if it kept that.
    pub seen_ms: Option<u64>,
}

/// A file that has ids of the mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who wrote it.
    pub program: Program,
    /// Where it is.
    pub path: PathBuf,
    /// How many ids of the mailbox it has.
    pub ids: usize,
}

/// Why a file could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum TakeoverError {
    /// The file or its folder cannot be read.
    Io(io::Error),
    /// It is not what the program writes.
    NotOfProgram(Program),
    /// It has more ids than [`limits::IDS`].
    TooMany,
}

impl fmt::Display for TakeoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotOfProgram(program) => write!(f, "it is not a state file of {program}"),
            Self::TooMany => write!(f, "it has more than {} ids", limits::IDS),
        }
    }
}

impl std::error::Error for TakeoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::NotOfProgram(_) | Self::TooMany => None,
        }
    }
}

impl From<io::Error> for TakeoverError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The files under a home folder that have ids of a mailbox; those that cannot be read are left out.
/// Blocks while it reads.
pub fn find(mailbox: Mailbox<'_>, home: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for program in Program::ALL {
        for path in places(program, mailbox, home) {
            if let Ok(ids) = read(program, &path, mailbox)
                && !ids.is_empty()
            {
                let ids = ids.len();
                found.push(Found { program, path, ids });
            }
        }
    }
    found
}

/// The ids of a mailbox in one file, each once. A file cut short gives what it has. Blocks while it
/// reads.
pub fn read(
    program: Program,
    path: &Path,
    mailbox: Mailbox<'_>,
) -> Result<Vec<SeenId>, TakeoverError> {
    let mut lines = Lines::new(File::open(path)?);
    let mut ids = Ids::default();
    match program {
        Program::Getmail => getmail::read(&mut lines, &mut ids)?,
        Program::Fetchmail => fetchmail::read(&mut lines, mailbox, &mut ids)?,
        Program::Mpop => mpop::read(&mut lines, mailbox, &mut ids)?,
        Program::Thunderbird => thunderbird::read(&mut lines, mailbox, &mut ids)?,
    }
    Ok(ids.list)
}

/// Who wrote a file, by its beginning; `None` when it looks like none that is known. getmail's and
/// fetchmail's files have no heading, their lines tell them. Blocks while it reads.
pub fn identify(path: &Path) -> Result<Option<Program>, TakeoverError> {
    let mut lines = Lines::new(File::open(path)?);
    while let Some((line, _)) = lines.next()? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        return Ok(if thunderbird::heading(line) {
            Some(Program::Thunderbird)
        } else if mpop::heading(line) {
            Some(Program::Mpop)
        } else if getmail::line(line).is_some() {
            Some(Program::Getmail)
        } else if fetchmail::line(line).is_some() {
            Some(Program::Fetchmail)
        } else {
            None
        });
    }
    Ok(None)
}

fn places(program: Program, mailbox: Mailbox<'_>, home: &Path) -> Vec<PathBuf> {
    match program {
        Program::Getmail => getmail::places(mailbox, home),
        Program::Fetchmail => vec![home.join(".fetchids")],
        Program::Mpop => mpop::places(home),
        Program::Thunderbird => thunderbird::places(home),
    }
}

/// The names in a folder, sorted; none if it is not there. No more than [`limits::FOLDER_NAMES`].
fn names_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .take(limits::FOLDER_NAMES)
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// Ids gathered, each once.
#[derive(Default)]
struct Ids {
    list: Vec<SeenId>,
    known: HashSet<Vec<u8>>,
}

impl Ids {
    /// Takes an id with its time in seconds since 1970, if there is one.
    fn take(&mut self, remote_id: &[u8], seconds: Option<u64>) -> Result<(), TakeoverError> {
        if remote_id.is_empty() || self.known.contains(remote_id) {
            return Ok(());
        }
        if self.list.len() == limits::IDS {
            return Err(TakeoverError::TooMany);
        }
        self.known.insert(remote_id.to_vec());
        self.list.push(SeenId {
            remote_id: remote_id.to_vec(),
            seen_ms: seconds.filter(|&s| s > 0).and_then(|s| s.checked_mul(1000)),
        });
        Ok(())
    }
}

/// Digits only, as a number.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
