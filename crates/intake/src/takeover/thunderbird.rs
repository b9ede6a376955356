//! Thunderbird's `popstate.dat`, one in the folder of each POP server of a profile.
//!
//! A line `*HOST USER` opens an account; each line below has a letter, the id and the time in seconds
//! (very old ones have no time). The letters: `k` taken and kept on the server, `d` taken and to be
//! deleted, `b` too big, of which only the headers were taken, `f` wanted whole, but not taken yet.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::lines::Lines;
use super::{Ids, Mailbox, Program, TakeoverError, names_in, number};

/// Where profiles are, under a home folder: Linux, older Debian, Snap, Flatpak, macOS, Windows; then
/// Betterbird and SeaMonkey, which write the same file.
const PROFILES: [&str; 10] = [
    ".thunderbird",
    ".icedove",
    ".mozilla-thunderbird",
    "snap/thunderbird/common/.thunderbird",
    ".var/app/org.mozilla.Thunderbird/.thunderbird",
    "Library/Thunderbird/Profiles",
    "AppData/Roaming/Thunderbird/Profiles",
    ".var/app/eu.betterbird.Betterbird/.thunderbird",
    ".mozilla/seamonkey",
    "AppData/Roaming/Mozilla/SeaMonkey/Profiles",
];

/// Its files under a home folder.
pub(super) fn places(home: &Path) -> Vec<PathBuf> {
    PROFILES
        .iter()
        .flat_map(|profiles| names_in(&home.join(profiles)))
        .flat_map(|profile| names_in(&profile.join("Mail")))
        .map(|server| server.join("popstate.dat"))
        .filter(|path| path.is_file())
        .collect()
}

/// Whether a line is the file's first.
pub(super) fn heading(line: &[u8]) -> bool {
    line.trim_ascii() == b"# POP3 State File"
}

/// The id and its time, without the letter.
fn entry(rest: &[u8]) -> (&[u8], Option<u64>) {
    match memchr::memrchr(b' ', rest) {
        Some(at) => match &rest[at + 1..] {
            // What some versions wrote for a time that they did not know.
            b"undefined" | b"null" | b"NaN" => (&rest[..at], None),
            time => match number(time) {
                Some(time) => (&rest[..at], Some(time)),
                None => (rest, None),
            },
        },
        None => (rest, None),
    }
}

pub(super) fn read(
    lines: &mut Lines<File>,
    mailbox: Mailbox<'_>,
    ids: &mut Ids,
) -> Result<(), TakeoverError> {
    let (mut ours, mut opened, mut others) = (false, false, false);
    while let Some((line, whole)) = lines.next()? {
        if line.starts_with(b"#") || line.trim_ascii().is_empty() {
            continue;
        }
        if let Some(account) = line.strip_prefix(b"*") {
            opened = true;
            ours = std::str::from_utf8(account)
                .ok()
                .and_then(|account| account.split_once(' '))
                .is_some_and(|(host, user)| mailbox.is_host(host) && mailbox.is_user(user));
        } else if let [b'k' | b'd', b' ', rest @ ..] = line
            && ours
        {
            let (id, time) = entry(rest);
            // The last line has no end; its time shows that the id is whole.
            if whole || time.is_some() {
                ids.take(id, time)?;
            }
        } else {
            others |= !opened;
        }
    }
    if others {
        return Err(TakeoverError::NotOfProgram(Program::Thunderbird));
    }
    Ok(())
}
