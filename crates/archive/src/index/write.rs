//! One message into the index, and out of it.

use restante_store::{MailboxId, UniqueId};
use rusqlite::{Connection, OptionalExtension, params};

use super::{SLOT_BITS, facts, flags, meta, row_of};
use crate::extract::{Extract, Group};
use crate::marks::Marks;
use crate::script::spaced;
use crate::thread;

/// A message on its way into the index.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) uid: UniqueId,
    pub(crate) mailbox: MailboxId,
    pub(crate) size: u64,
    pub(crate) received_ms: u64,
    pub(crate) account: Option<String>,
    pub(crate) extract: Extract,
}

impl Arrival {
    /// The date that counts, in seconds since 1970: the message's own if it can be true, else that of its first Received,
    /// else when it came. The same whenever it is asked.
    pub(crate) fn date(&self) -> i64 {
        let received = i64::try_from(self.received_ms / 1000).unwrap_or(i64::MAX);
        let stored = i64::try_from(self.uid.unix_ms() / 1000).unwrap_or(i64::MAX);
        let dates = self.extract.dates;
        dates.believed(stored.max(received)).unwrap_or(received)
    }
}

/// Puts a message in; `None` if it is there already.
pub(crate) fn insert(
    c: &Connection,
    mailbox: i64,
    arrival: &Arrival,
    marks: &Marks,
) -> rusqlite::Result<Option<i64>> {
    if find(c, arrival.uid)?.is_some() {
        return Ok(None);
    }
    let date = arrival.date();
    let id = free_row(c, date, arrival.uid)?;
    let extract = &arrival.extract;
    let threading = thread::place(c, mailbox, id, date, extract)?;
    let newsletter = match &extract.group {
        Some(group) => Some(newsletter(c, mailbox, id, group, extract)?),
        None => None,
    };
    let (name, address) = match &extract.from {
        Some(from) => (from.name.as_deref(), from.address.as_deref()),
        None => (None, None),
    };
    c.prepare_cached(
        "INSERT INTO message (id, uid, mailbox, thread, date, size, facts, flags, from_name,
             from_address, recipients, subject, preview, newsletter, account, msgid, parent, base)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        id,
        arrival.uid.as_bytes(),
        mailbox,
        threading.thread,
        date,
        i64::try_from(arrival.size).unwrap_or(i64::MAX),
        extract.facts,
        marks.flags(extract.facts & facts::JUNK != 0),
        name,
        address,
        extract.to,
        extract.subject,
        extract.preview,
        newsletter,
        arrival.account,
        threading.msgid,
        threading.parent,
        threading.base,
    ])?;
    details(c, mailbox, id, extract)?;
    join_thread(c, id, marks)?;
    set_labels(c, id, &marks.labels)?;
    Ok(Some(id))
}

/// The files and the full text.
fn details(c: &Connection, mailbox: i64, id: i64, extract: &Extract) -> rusqlite::Result<()> {
    let mut names = String::new();
    let mut file = c.prepare_cached(
        "INSERT INTO attachment (message, part, name, type, size) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for found in &extract.files {
        file.execute(params![
            id,
            found.part,
            found.name,
            found.media_type,
            i64::try_from(found.size).unwrap_or(i64::MAX)
        ])?;
        if let Some(name) = &found.name {
            names.push_str(name);
            names.push('\n');
        }
    }
    let mut ours = format!("{} {}", meta::ALL, meta::mailbox(mailbox));
    let has = |fact| extract.facts & fact != 0;
    for (is, word) in [
        // Whatever `list:` finds, `list:*` does.
        (extract.group.is_some(), meta::LIST),
        (has(facts::NEWSLETTER), meta::NEWSLETTER),
        (has(facts::ATTACHMENT), meta::ATTACHMENT),
    ] {
        if is {
            ours.push(' ');
            ours.push_str(word);
        }
    }
    let clean = |text: &str| spaced(&text.replace(meta::PRIVATE, " ")).into_owned();
    c.prepare_cached(
        "INSERT INTO text (rowid, subject, sender, recipient, list, file, body, meta)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        id,
        clean(&extract.subject),
        clean(&extract.senders),
        clean(&extract.recipients),
        clean(&extract.list),
        clean(&names),
        spaced(&extract.body),
        ours,
    ])?;
    Ok(())
}

/// The labels of a message, as they are now.
pub(crate) fn set_labels(c: &Connection, id: i64, labels: &[String]) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM label WHERE message = ?1")?
        .execute([id])?;
    let mut add = c.prepare_cached(
        "INSERT OR IGNORE INTO label (label, message, mailbox)
         SELECT ?1, id, mailbox FROM message WHERE id = ?2",
    )?;
    for label in labels {
        add.execute(params![label, id])?;
    }
    Ok(())
}

/// Where a message is in the index, and whether a header calls it junk.
pub(crate) fn find(c: &Connection, uid: UniqueId) -> rusqlite::Result<Option<(i64, bool)>> {
    c.prepare_cached("SELECT id, facts FROM message WHERE uid = ?1")?
        .query_row([uid.as_bytes()], |row| {
            let of_message: i64 = row.get(1)?;
            Ok((row.get(0)?, of_message & facts::JUNK != 0))
        })
        .optional()
}

/// What marks come to in a message's row.
pub(crate) fn set_marks(c: &Connection, uid: UniqueId, marks: &Marks) -> rusqlite::Result<()> {
    if let Some((id, junk)) = find(c, uid)? {
        c.prepare_cached("UPDATE message SET flags = ?2 WHERE id = ?1 AND flags <> ?2")?
            .execute(params![id, marks.flags(junk)])?;
        join_thread(c, id, marks)?;
        set_labels(c, id, &marks.labels)?;
    }
    Ok(())
}

/// As if nobody had said anything of any message.
pub(crate) fn forget_marks(c: &Connection) -> rusqlite::Result<()> {
    let header = "CASE WHEN facts & ?1 <> 0 THEN ?2 ELSE 0 END";
    c.execute(
        &format!("UPDATE message SET flags = {header} WHERE flags <> {header}"),
        [facts::JUNK, flags::JUNK],
    )?;
    c.execute("DELETE FROM label", [])?;
    Ok(())
}

/// Into the thread that another program has put the message into.
fn join_thread(c: &Connection, id: i64, marks: &Marks) -> rusqlite::Result<()> {
    let named = marks.thread.as_deref();
    named.map_or(Ok(()), |name| thread::join(c, id, name))
}

/// Takes a message out, if it is there.
pub(crate) fn remove(c: &Connection, uid: UniqueId) -> rusqlite::Result<()> {
    let Some((id, _)) = find(c, uid)? else {
        return Ok(());
    };
    for statement in [
        "DELETE FROM message WHERE id = ?1",
        "DELETE FROM label WHERE message = ?1",
        "DELETE FROM attachment WHERE message = ?1",
        "DELETE FROM arrived WHERE message = ?1",
        "DELETE FROM text WHERE rowid = ?1",
    ] {
        c.prepare_cached(statement)?.execute([id])?;
    }
    Ok(())
}

/// Takes a whole mailbox out.
pub(crate) fn remove_mailbox(c: &Connection, mailbox: i64) -> rusqlite::Result<()> {
    let of = "IN (SELECT id FROM message WHERE mailbox = ?1)";
    for statement in [
        "DELETE FROM reference WHERE thread IN (SELECT thread FROM message WHERE mailbox = ?1)"
            .to_owned(),
        "DELETE FROM label WHERE mailbox = ?1".to_owned(),
        format!("DELETE FROM attachment WHERE message {of}"),
        format!("DELETE FROM arrived WHERE message {of}"),
        format!("DELETE FROM text WHERE rowid {of}"),
        "DELETE FROM message WHERE mailbox = ?1".to_owned(),
        "DELETE FROM newsletter WHERE mailbox = ?1".to_owned(),
        "DELETE FROM mailbox WHERE id = ?1".to_owned(),
    ] {
        c.execute(&statement, [mailbox])?;
    }
    Ok(())
}

/// A row id that is free, as near to the date as can be. When its second is full (256 messages of one
/// second), seconds after it are tried, ever further, by what the unique-id says: never a long walk.
fn free_row(c: &Connection, date: i64, uid: UniqueId) -> rusqlite::Result<i64> {
    let mut last = c.prepare_cached("SELECT max(id) FROM message WHERE id >= ?1 AND id < ?2")?;
    let mut seed = u64::from_le_bytes(
        *blake3::hash(uid.as_bytes())
            .as_bytes()
            .first_chunk()
            .expect("a hash has 32 octets"),
    );
    let mut reach = 1_u64;
    let mut base = row_of(date);
    loop {
        let end = base + (1 << SLOT_BITS);
        let found: Option<i64> = last.query_row([base, end], |row| row.get(0))?;
        match found {
            None => return Ok(base),
            Some(found) if found + 1 < end => return Ok(found + 1),
            Some(_) => {}
        }
        reach = (reach * 2).min(1 << 30);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        base = row_of(date + (seed >> 33) as i64 % reach as i64);
    }
}

/// The newsletter's row, told of its newest issue.
fn newsletter(
    c: &Connection,
    mailbox: i64,
    id: i64,
    group: &Group,
    extract: &Extract,
) -> rusqlite::Result<i64> {
    let ways = &extract.unsubscribe;
    let values = params![
        mailbox,
        group.kind as i64,
        group.key,
        group.name,
        group.discussion,
        id,
        ways.https.as_ref().or(ways.http.as_ref()),
        ways.one_click,
        ways.mailto,
    ];
    c.prepare_cached(
        "INSERT INTO newsletter (mailbox, kind, key, name, discussion, latest, https, one_click, mailto)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (mailbox, kind, key) DO UPDATE SET
             name = excluded.name, discussion = excluded.discussion, latest = excluded.latest,
             https = excluded.https, one_click = excluded.one_click, mailto = excluded.mailto
         WHERE excluded.latest > latest",
    )?
    .execute(values)?;
    c.prepare_cached("SELECT id FROM newsletter WHERE mailbox = ?1 AND kind = ?2 AND key = ?3")?
        .query_row(params![mailbox, group.kind as i64, group.key], |row| {
            row.get(0)
        })
}
