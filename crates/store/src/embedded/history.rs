//! What can be asked of the index without opening a mailbox.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::decide::release_of;
use super::index::LIVE;
use super::{Inner, now_ms};
use crate::{
    Change, Changes, Cursor, MailboxId, MailboxInfo, MessageFilter, MessageInfo, Source,
    StoreError, TombstoneId, Totals, UniqueId, ViewId, ViewInfo,
};

const MAILBOX: &str = "SELECT m.mailbox, m.name, m.release, m.count, m.octets, EXISTS (
        SELECT 1 FROM views v WHERE v.mailbox = m.id AND v.name IS NOT NULL AND v.gone = 0)
    FROM mailboxes m WHERE m.removed_ms IS NULL AND m.name IS NOT NULL";

const MESSAGE: &str = "SELECT m.unique_id, b.mailbox, m.size, m.octets, m.received, m.digest,
        m.account, m.remote, m.removed_ms, m.tombstone, b.erased, m.place
    FROM messages m JOIN mailboxes b ON b.id = m.mailbox";

fn totals(count: i64, octets: i64) -> Totals {
    Totals {
        count: count as u64,
        octets: octets as u64,
    }
}

fn mailbox(row: &Row<'_>) -> rusqlite::Result<MailboxInfo> {
    Ok(MailboxInfo {
        id: MailboxId::from_bytes(row.get(0)?),
        name: row.get(1)?,
        release: release_of(row.get(2)?, row.get(5)?),
        release_is_set: row.get::<_, Option<i64>>(2)?.is_some(),
        totals: totals(row.get(3)?, row.get(4)?),
    })
}

pub(super) fn mailboxes(inner: &Inner) -> Result<Vec<MailboxInfo>, StoreError> {
    inner.index.read(|c| {
        c.prepare_cached(&format!("{MAILBOX} ORDER BY m.name, m.mailbox"))?
            .query_map([], mailbox)?
            .collect()
    })
}

pub(super) fn find_mailbox(inner: &Inner, name: &str) -> Result<Option<MailboxInfo>, StoreError> {
    inner.index.read(|c| {
        c.prepare_cached(&format!(
            "{MAILBOX} AND m.name = ? ORDER BY m.mailbox LIMIT 1"
        ))?
        .query_row([name], mailbox)
        .optional()
    })
}

/// The row of a mailbox that is there.
pub(super) fn row_of(c: &Connection, id: MailboxId) -> rusqlite::Result<Option<i64>> {
    c.prepare_cached(
        "SELECT id FROM mailboxes WHERE mailbox = ? AND removed_ms IS NULL AND name IS NOT NULL",
    )?
    .query_row([id.as_bytes()], |row| row.get(0))
    .optional()
}

pub(super) fn views(inner: &Inner, id: MailboxId) -> Result<Vec<ViewInfo>, StoreError> {
    let found = inner.index.read_together(|c| {
        let Some(row) = row_of(c, id)? else {
            return Ok(None);
        };
        let mut ask = c.prepare_cached(
            "SELECT v.view, v.name, m.count - v.hidden_count, m.octets - v.hidden_octets,
                 v.used_ms, v.lapsed
             FROM views v JOIN mailboxes m ON m.id = v.mailbox
             WHERE v.mailbox = ?1 AND v.name IS NOT NULL AND v.gone = 0
             UNION ALL
             SELECT coalesce(v.view, ?2), '', m.count - coalesce(v.hidden_count, 0),
                 m.octets - coalesce(v.hidden_octets, 0), v.used_ms, coalesce(v.lapsed, 0)
             FROM mailboxes m LEFT JOIN views v ON v.mailbox = m.id AND v.view = ?2
             WHERE m.id = ?1 AND m.plain_used = 1
             ORDER BY 1",
        )?;
        let all = ask.query_map(params![row, ViewId::PLAIN.as_bytes()], |row| {
            let id = ViewId::from_bytes(row.get(0)?);
            let used_ms: Option<i64> = row.get(4)?;
            let made_ms = (id != ViewId::PLAIN).then_some(id.unix_ms());
            Ok(ViewInfo {
                id,
                name: row.get(1)?,
                totals: totals(row.get(2)?, row.get(3)?),
                used_ms: used_ms.map(|ms| ms as u64).or(made_ms),
                lapsed: row.get(5)?,
            })
        })?;
        all.collect::<rusqlite::Result<Vec<_>>>().map(Some)
    })?;
    found.ok_or(StoreError::NotFound)
}

/// A message, and whether its mailbox was erased.
fn info(row: &Row<'_>) -> rusqlite::Result<(MessageInfo, bool)> {
    let account: Option<String> = row.get(6)?;
    let remote_id: Option<Vec<u8>> = row.get(7)?;
    let removed_ms: Option<i64> = row.get(8)?;
    let tombstone: Option<[u8; 16]> = row.get(9)?;
    let source = account
        .zip(remote_id)
        .map(|(account, remote_id)| Source { account, remote_id });
    let info = MessageInfo {
        unique_id: UniqueId::from_bytes(row.get(0)?),
        mailbox: MailboxId::from_bytes(row.get(1)?),
        size: row.get::<_, i64>(2)? as u64,
        octets: row.get::<_, i64>(3)? as u64,
        received_ms: row.get::<_, i64>(4)? as u64,
        digest: row.get(5)?,
        source,
        removed: removed_ms
            .zip(tombstone)
            .map(|(at, tombstone)| (at as u64, TombstoneId::from_bytes(tombstone))),
    };
    Ok((info, row.get(10)?))
}

/// Removed at this time or before, a message is past restoring.
pub(super) fn oldest(inner: &Inner) -> u64 {
    now_ms().saturating_sub(inner.options.hold_ms)
}

pub(super) fn message(inner: &Inner, id: UniqueId) -> Result<Option<MessageInfo>, StoreError> {
    let found = inner.index.read(|c| {
        c.prepare_cached(&format!("{MESSAGE} WHERE m.unique_id = ?"))?
            .query_row([id.as_bytes()], info)
            .optional()
    })?;
    let there = |(info, erased): &(MessageInfo, bool)| match info.removed {
        None => true,
        Some((at, _)) => at > oldest(inner) && !erased,
    };
    Ok(found.filter(there).map(|f| f.0))
}

pub(super) fn browse(
    inner: &Inner,
    id: MailboxId,
    filter: MessageFilter,
    after: Option<UniqueId>,
    max: usize,
) -> Result<Vec<MessageInfo>, StoreError> {
    let after = after.unwrap_or(UniqueId::from_bytes([0; 16]));
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let oldest = oldest(inner) as i64;
    let found = inner.index.read_together(|c| {
        let Some(row) = row_of(c, id)? else {
            return Ok(None);
        };
        let wanted = match filter {
            MessageFilter::Live => "m.removed = ?5 AND ?4 = ?4",
            MessageFilter::Deleted => "m.removed < ?5 AND m.removed_ms > ?4",
        };
        let mut ask = c.prepare_cached(&format!(
            "{MESSAGE} WHERE m.mailbox = ?1 AND m.unique_id > ?2 AND {wanted}
             ORDER BY m.unique_id LIMIT ?3"
        ))?;
        let all = ask.query_map(params![row, after.as_bytes(), max, oldest, LIVE], |row| {
            info(row).map(|found| found.0)
        })?;
        all.collect::<rusqlite::Result<Vec<_>>>().map(Some)
    })?;
    found.ok_or(StoreError::NotFound)
}

pub(super) fn changes(inner: &Inner, after: Cursor, max: usize) -> Result<Changes, StoreError> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    inner.index.read_together(|c| {
        let (epoch, floor): (i64, i64) = c
            .prepare_cached("SELECT epoch, floor FROM meta")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let missed_nothing = after.place >= floor as u64 || after.floor == floor as u64;
        let known = after.epoch == epoch as u64 && missed_nothing;
        let start = if known { after.place } else { 0 };
        let mut ask = c.prepare_cached(&format!(
            "{MESSAGE} WHERE m.place > ? ORDER BY m.place LIMIT ?"
        ))?;
        let rows = ask.query_map([start as i64, max], |row| Ok((info(row)?.0, row.get(11)?)))?;
        let (mut changes, mut place) = (Vec::new(), start as i64);
        for row in rows {
            let (info, at): (MessageInfo, i64) = row?;
            place = at;
            changes.push(match info.removed {
                None => Change::Added(info),
                Some(_) => Change::Removed(info.mailbox, info.unique_id),
            });
        }
        let next = Cursor {
            epoch: epoch as u64,
            place: place as u64,
            floor: floor as u64,
        };
        Ok(Changes {
            reset: after != Cursor::START && !known,
            changes,
            next,
        })
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What must be the same after a rebuild, one statement a kind. Messages that nothing promises any
/// more are left out: whether their bytes went already makes no difference.
const DUMPS: [(&str, &str); 6] = [
    (
        "mailbox",
        "SELECT mailbox, name, release, plain_used, count, octets FROM mailboxes
         WHERE removed_ms IS NULL AND ?1 = ?1",
    ),
    (
        "removed",
        "SELECT mailbox, tombstone, removed_ms, erased FROM mailboxes
         WHERE removed_ms IS NOT NULL AND ?1 = ?1",
    ),
    (
        "view",
        "SELECT m.mailbox, v.view, v.name, v.from_now, v.gone, v.hidden_count, v.hidden_octets,
             v.lapsed, v.used_ms
         FROM views v JOIN mailboxes m ON m.id = v.mailbox
         WHERE m.removed_ms IS NULL AND ?1 = ?1",
    ),
    (
        "message",
        "SELECT m.mailbox, e.unique_id, e.pack, e.start, e.length, e.octets, e.size, e.received,
             e.digest, e.account, e.remote, e.tombstone, e.removed_ms, e.removed = 9223372036854775807
         FROM messages e JOIN mailboxes m ON m.id = e.mailbox
         WHERE e.removed_ms IS NULL OR (e.removed_ms > ?1 AND m.erased = 0)",
    ),
    (
        "hidden",
        "SELECT m.mailbox, v.view, h.unique_id FROM hidden h JOIN views v ON v.id = h.view
         JOIN mailboxes m ON m.id = v.mailbox
         JOIN messages e ON e.unique_id = h.unique_id
         WHERE h.until = 9223372036854775807 AND e.removed_ms IS NULL AND ?1 = ?1",
    ),
    (
        "seen",
        "SELECT m.mailbox, s.account, s.remote, s.stamp, s.received, s.pack
         FROM seen s JOIN mailboxes m ON m.id = s.mailbox
         WHERE m.removed_ms IS NULL AND ?1 = ?1 AND NOT EXISTS (SELECT 1 FROM forgotten f
             WHERE f.mailbox = s.mailbox AND f.account = s.account AND f.remote = s.remote
               AND f.stamp = s.stamp)",
    ),
];

pub(super) fn dump(inner: &Inner) -> Result<Vec<String>, StoreError> {
    use rusqlite::types::ValueRef;
    let keep = inner.options.hold_ms.max(inner.options.grace_ms);
    let cutoff = now_ms().saturating_sub(keep) as i64;
    inner.index.read_together(|c| {
        let mut lines = Vec::new();
        for (kind, query) in DUMPS {
            let mut ask = c.prepare(query)?;
            let columns = ask.column_count();
            let mut rows = ask.query([cutoff])?;
            while let Some(row) = rows.next()? {
                let mut line = kind.to_owned();
                for at in 0..columns {
                    line.push(' ');
                    line.push_str(&match row.get_ref(at)? {
                        ValueRef::Null => "-".to_owned(),
                        ValueRef::Integer(number) => number.to_string(),
                        ValueRef::Real(number) => number.to_string(),
                        ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
                        ValueRef::Blob(bytes) => hex(bytes),
                    });
                }
                lines.push(line);
            }
        }
        lines.sort();
        Ok(lines)
    })
}
