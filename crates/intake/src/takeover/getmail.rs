//! getmail's `oldmail-SERVER-PORT-USER`: a line is the id, NUL and the time in seconds.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::lines::Lines;
use super::{Ids, Mailbox, Program, TakeoverError, names_in, number};

/// What stands for a run of these in the file's name is one `-`.
const REPLACED: [char; 7] = ['/', ':', ';', '<', '>', '|', '-'];

/// Its files under a home folder that are of the mailbox, by their names.
pub(super) fn places(mailbox: Mailbox<'_>, home: &Path) -> Vec<PathBuf> {
    [".config/getmail", ".getmail"]
        .iter()
        .flat_map(|folder| names_in(&home.join(folder)))
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str()?.strip_prefix("oldmail-"))
                .is_some_and(|rest| is_of(rest, mailbox))
        })
        .collect()
}

/// Whether `SERVER-PORT-USER` is of the mailbox. Server and user may have a `-` too, so every number
/// between two of them is tried as the port.
fn is_of(rest: &str, mailbox: Mailbox<'_>) -> bool {
    rest.match_indices('-').any(|(at, _)| {
        let (server, after) = (&rest[..at], &rest[at + 1..]);
        let Some((port, user)) = after.split_once('-') else {
            return false;
        };
        port.parse() == Ok(mailbox.port)
            && (mailbox.is_host(server) || same(server, mailbox.host))
            && (mailbox.is_user(user) || same(user, mailbox.user))
    })
}

/// Whether a name in a file's name is what getmail makes of this one.
fn same(written: &str, name: &str) -> bool {
    let bare = |text: &str| {
        let mut out = String::new();
        for c in text.chars() {
            if !REPLACED.contains(&c) {
                out.extend(c.to_lowercase());
            } else if !out.ends_with('-') {
                out.push('-');
            }
        }
        out
    };
    bare(written) == bare(name)
}

/// Id and time of a line.
pub(super) fn line(line: &[u8]) -> Option<(&[u8], u64)> {
    let at = memchr::memchr(0, line)?;
    let (id, time) = (&line[..at], number(line[at + 1..].trim_ascii())?);
    (!id.is_empty()).then_some((id, time))
}

pub(super) fn read(lines: &mut Lines<File>, ids: &mut Ids) -> Result<(), TakeoverError> {
    let mut others = false;
    while let Some((text, _)) = lines.next()? {
        match line(text) {
            Some((id, time)) => ids.take(id, Some(time))?,
            None => others |= !text.trim_ascii().is_empty(),
        }
    }
    if others && ids.list.is_empty() {
        return Err(TakeoverError::NotOfProgram(Program::Getmail));
    }
    Ok(())
}
