//! Conversations, as jwz describes them, one message at a time: every message-id that a message has or
//! names belongs to one thread, and a message that names ids of several threads makes one of them. So
//! it does not matter in which order they come.

use rusqlite::{Connection, OptionalExtension, params};

use crate::extract::Extract;
use crate::limits;

/// What stands for a message-id of a mailbox: 63 bits of its hash.
pub(crate) fn hash_id(mailbox: i64, id: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&mailbox.to_le_bytes());
    hasher.update(id.as_bytes());
    number(&hasher.finalize())
}

fn number(hash: &blake3::Hash) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    i64::from_le_bytes(bytes) & i64::MAX
}

/// A subject without what replies and lists put before it, and whether anything was.
pub(crate) fn base_subject(subject: &str) -> (&str, bool) {
    let mut rest = subject.trim();
    let mut reply = false;
    loop {
        let before = rest.len();
        if let Some(after) = rest.strip_prefix('[')
            && let Some((tag, after)) = after.split_once(']')
        {
            // A subject that is all tag keeps it.
            if tag.len() <= 40 && !after.trim().is_empty() {
                rest = after.trim_start();
            }
        }
        if let Some((word, after)) = rest.split_once(':') {
            let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || "[]()^".contains(c));
            let known = [
                "re", "aw", "sv", "vs", "antw", "odp", "ref", "rv", "fwd", "fw", "wg",
            ];
            if known
                .iter()
                .any(|known| word.trim().eq_ignore_ascii_case(known))
            {
                reply = true;
                rest = after.trim_start();
            }
        }
        if rest.len() == before {
            return (rest, reply);
        }
    }
}

/// Where a message stands among the others.
pub(crate) struct Threading {
    pub(crate) thread: i64,
    pub(crate) msgid: Option<i64>,
    pub(crate) parent: Option<i64>,
    pub(crate) base: Option<i64>,
}

/// Finds the thread of a message that is about to get the row `id`, and merges what it joins.
pub(crate) fn place(
    c: &Connection,
    mailbox: i64,
    id: i64,
    date: i64,
    message: &Extract,
) -> rusqlite::Result<Threading> {
    let msgid = message.message_id.as_deref().map(|m| hash_id(mailbox, m));
    let parent = message.parent.as_deref().map(|m| hash_id(mailbox, m));
    let mut hashes: Vec<i64> = msgid.into_iter().chain(parent).collect();
    hashes.extend(message.references.iter().map(|m| hash_id(mailbox, m)));
    hashes.sort_unstable();
    hashes.dedup();
    let mut threads = Vec::new();
    let mut known = c.prepare_cached("SELECT thread FROM reference WHERE hash = ?1")?;
    for hash in &hashes {
        let thread: Option<i64> = known.query_row([hash], |row| row.get(0)).optional()?;
        threads.extend(thread);
    }
    let (subject, is_reply) = base_subject(&message.subject);
    let base = (!subject.is_empty()).then(|| hash_id(mailbox, &subject.to_lowercase()));
    if parent.is_none() && message.references.is_empty() && is_reply && threads.is_empty() {
        threads.extend(by_subject(c, mailbox, base, id, date)?);
    }
    threads.sort_unstable();
    threads.dedup();
    let thread = match merge(c, &threads)? {
        Some(thread) => thread,
        None => unused(c)?,
    };
    let mut name =
        c.prepare_cached("INSERT OR IGNORE INTO reference (hash, thread) VALUES (?1, ?2)")?;
    for hash in hashes {
        name.execute(params![hash, thread])?;
    }
    Ok(Threading {
        thread,
        msgid,
        parent,
        base,
    })
}

/// Makes the thread of a message, which has a row, one with what another program calls by this name
/// among the messages of the same mailbox.
pub(crate) fn join(c: &Connection, id: i64, name: &str) -> rusqlite::Result<()> {
    let (mailbox, own): (i64, i64) = c
        .prepare_cached("SELECT mailbox, thread FROM message WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // No message-id has a space.
    let hash = hash_id(mailbox, &format!("thread {name}"));
    let named: Option<i64> = c
        .prepare_cached("SELECT thread FROM reference WHERE hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    match named {
        Some(named) if named == own => {}
        Some(named) => {
            merge(c, &[named, own])?;
        }
        None => {
            c.prepare_cached("INSERT INTO reference (hash, thread) VALUES (?1, ?2)")?
                .execute([hash, own])?;
        }
    }
    Ok(())
}

/// The thread of the nearest earlier message of the same subject.
fn by_subject(
    c: &Connection,
    mailbox: i64,
    base: Option<i64>,
    id: i64,
    date: i64,
) -> rusqlite::Result<Option<i64>> {
    let oldest = crate::index::row_of(date - limits::SUBJECT_SECONDS);
    c.prepare_cached(
        "SELECT thread FROM message WHERE mailbox = ?1 AND base = ?2 AND id BETWEEN ?3 AND ?4
         ORDER BY id DESC LIMIT 1",
    )?
    .query_row(params![mailbox, base, oldest, id], |row| row.get(0))
    .optional()
}

/// A number that no thread has had. Not the row's: a thread outlives the message that began it, and rows are used again.
fn unused(c: &Connection) -> rusqlite::Result<i64> {
    c.prepare_cached("UPDATE meta SET threads = threads + 1 RETURNING threads")?
        .query_row([], |row| row.get(0))
}

/// Makes one thread of several; the first of them that may grow stays.
fn merge(c: &Connection, threads: &[i64]) -> rusqlite::Result<Option<i64>> {
    let [first, others @ ..] = threads else {
        return Ok(None);
    };
    for other in others {
        let large: bool = c
            .prepare_cached("SELECT count(*) > ?2 FROM message WHERE thread = ?1")?
            .query_row(params![other, limits::THREAD_MESSAGES], |row| row.get(0))?;
        if large {
            continue;
        }
        for table in ["message", "reference"] {
            let change = format!("UPDATE {table} SET thread = ?1 WHERE thread = ?2");
            c.prepare_cached(&change)?.execute(params![first, other])?;
        }
    }
    Ok(Some(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replies_put_before_a_subject_is_taken_off() {
        for (subject, base, reply) in [
            ("Re: hello", "hello", true),
            ("RE: AW: Re[2]: hello", "hello", true),
            ("[list] Re: hello", "hello", true),
            ("Re: [list] hello", "hello", true),
            ("hello", "hello", false),
            ("[PATCH 1/2] fix: x", "fix: x", false),
            ("[all]", "[all]", false),
            ("Report: x", "Report: x", false),
            ("Re:", "", true),
        ] {
            assert_eq!(base_subject(subject), (base, reply), "{subject}");
        }
    }
}
