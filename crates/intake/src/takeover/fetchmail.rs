//! fetchmail's `.fetchids`: a line is `USER@HOST`, a space and the id; every account in one file.
//!
//! The host is the name that was dialled. fetchmail cuts an id at its first white space, so such an
//! id is never recognised, and the message is downloaded once more. There are no times.

use std::fs::File;

use super::lines::Lines;
use super::{Ids, Mailbox, Program, TakeoverError};

/// User, host and id of a line. The user may have blanks before its first `@` and further `@`s, the
/// id may have `@`s too; so the id begins at the first blank after the first `@`, and the host after
/// the last `@` before that.
pub(super) fn line(line: &[u8]) -> Option<(&str, &str, &[u8])> {
    let line = line.trim_ascii();
    let at = memchr::memchr(b'@', line)?;
    let blank = at + memchr::memchr2(b' ', b'\t', &line[at..])?;
    let (who, id) = (&line[..blank], line[blank..].trim_ascii_start());
    let id = id.split(u8::is_ascii_whitespace).next()?;
    let (user, host) = std::str::from_utf8(who).ok()?.rsplit_once('@')?;
    (!user.is_empty() && !host.is_empty() && !id.is_empty()).then_some((user, host, id))
}

pub(super) fn read(
    lines: &mut Lines<File>,
    mailbox: Mailbox<'_>,
    ids: &mut Ids,
) -> Result<(), TakeoverError> {
    let (mut ours, mut others) = (false, false);
    while let Some((text, whole)) = lines.next()? {
        match line(text) {
            Some((user, host, id)) => {
                ours = true;
                if whole && mailbox.is_host(host) && mailbox.is_user(user) {
                    ids.take(id, None)?;
                }
            }
            None => others |= !text.trim_ascii().is_empty(),
        }
    }
    if others && !ours {
        return Err(TakeoverError::NotOfProgram(Program::Fetchmail));
    }
    Ok(())
}
