//! Views: which there are, which of them count, and what leaves when none of those shows it.

use rusqlite::{Connection, OptionalExtension, params};

use super::{MailboxRow, Wish, mailbox, release_of, tombstone};
use crate::embedded::index::{LIVE, sql};
use crate::embedded::record::Record;
use crate::embedded::writer::Batch;
use crate::limits::{INDEX_TRANSACTION_ROWS, VIEW_USE_MS};
use crate::{MailboxId, Release, StoreError, Tended, Tending, UniqueId, ViewId};

/// A view that is there.
pub(super) struct ViewRow {
    id: i64,
    pub(super) view: ViewId,
    state: Option<[u8; 16]>,
    lapsed: bool,
    used_ms: Option<u64>,
}

const VIEW: &str = "SELECT id, view, state, lapsed, used_ms FROM views WHERE mailbox = ?1 AND ";

fn view_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<ViewRow> {
    Ok(ViewRow {
        id: row.get(0)?,
        view: ViewId::from_bytes(row.get(1)?),
        state: row.get(2)?,
        lapsed: row.get(3)?,
        used_ms: row.get::<_, Option<i64>>(4)?.map(|ms| ms as u64),
    })
}

/// Those that have a record, lapsed ones included.
pub(super) fn named(c: &Connection, mailbox: i64) -> rusqlite::Result<Vec<ViewRow>> {
    c.prepare_cached(&format!("{VIEW} name IS NOT NULL AND gone = 0"))?
        .query_map([mailbox], view_row)?
        .collect()
}

/// The plain login's row. It has one once it has hidden something or its use was written down.
fn plain(c: &Connection, mailbox: i64) -> rusqlite::Result<Option<ViewRow>> {
    c.prepare_cached(&format!("{VIEW} view = ?2"))?
        .query_row(params![mailbox, ViewId::PLAIN.as_bytes()], view_row)
        .optional()
}

/// When a view was last seen: opened, or made; for the plain login, of which no use is written while there
/// are no other views, when the first of those was made.
fn seen_ms(view: &ViewRow, named: &[ViewRow]) -> u64 {
    let made = match view.view {
        ViewId::PLAIN => named.iter().map(|v| v.view.unix_ms()).min().unwrap_or(0),
        id => id.unix_ms(),
    };
    view.used_ms.unwrap_or(0).max(made)
}

/// Whether an opening is to be written down.
pub(in crate::embedded) fn is_use_due(used_ms: Option<u64>, made: ViewId, now_ms: u64) -> bool {
    let last = used_ms.unwrap_or(made.unix_ms());
    now_ms.saturating_sub(last) >= VIEW_USE_MS
}

/// A view is opened.
pub(in crate::embedded) fn opened(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    view: ViewId,
) -> Wish<()> {
    let row = mailbox(batch.index()?, id)?;
    if view == ViewId::PLAIN && !row.plain_used {
        batch.put(&Record::PlainUsed { mailbox: id })?;
    }
    let c = batch.index()?;
    let there = named(c, row.id).map_err(sql)?;
    let (state, lapsed, used_ms) = if view == ViewId::PLAIN {
        let plain = plain(c, row.id).map_err(sql)?;
        let plain = plain.map_or((None, false, None), |v| (v.state, v.lapsed, v.used_ms));
        if there.is_empty() && !plain.1 {
            // Nobody waits for anybody.
            return Ok(());
        }
        plain
    } else {
        let Some(found) = there.iter().find(|v| v.view == view) else {
            return Err(StoreError::NotFound);
        };
        (found.state, found.lapsed, found.used_ms)
    };
    if lapsed || is_use_due(used_ms, view, super::now_ms()) {
        put_state(batch, id, (view, state), true)?;
    }
    Ok(())
}

/// The youngest stamp counts: so it is younger than the one there is, whatever a clock says.
fn put_state(
    batch: &mut Batch<'_, '_>,
    mailbox: MailboxId,
    (view, before): (ViewId, Option<[u8; 16]>),
    live: bool,
) -> Wish<()> {
    let above = before.map_or(0, |stamp| u128::from_be_bytes(stamp).saturating_add(1));
    let stamp = u128::from_be_bytes(super::stamp(batch)).max(above);
    batch.put(&Record::ViewState {
        mailbox,
        view,
        stamp: stamp.to_be_bytes(),
        live,
    })
}

pub(in crate::embedded) fn add(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    name: &str,
    from_now: bool,
) -> Wish<ViewId> {
    let c = batch.index()?;
    let row = mailbox(c, id)?;
    let taken = c
        .prepare_cached("SELECT 1 FROM views WHERE mailbox = ? AND name = ? AND gone = 0")
        .and_then(|mut ask| ask.exists(params![row.id, name]))
        .map_err(sql)?;
    if taken {
        let what = format!("the mailbox has a view named {name:?} already");
        return Err(StoreError::Permanent(what));
    }
    let view = ViewId::from_bytes(batch.inner.next_id());
    batch.put(&Record::AddView {
        mailbox: id,
        view,
        name: name.to_owned(),
        from_now,
    })?;
    Ok(view)
}

pub(in crate::embedded) fn remove(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    view: ViewId,
) -> Wish<()> {
    let c = batch.index()?;
    let row = mailbox(c, id)?;
    let there = named(c, row.id).map_err(sql)?;
    if !there.iter().any(|v| v.view == view) {
        return Err(StoreError::NotFound);
    }
    batch.put(&Record::RemoveView { mailbox: id, view })?;
    if release_of(row.release, true) != Release::AllDevices {
        return Ok(());
    }
    // Those that it showed and that another view has deleted may have waited for it alone.
    let c = batch.index()?;
    let Some(live) = live_rows(c, &row).map_err(sql)? else {
        return Ok(());
    };
    let leaving = unwanted_of_all(c, &live, usize::MAX).map_err(sql)?;
    tombstone(batch, id, leaving).map(drop)
}

/// Rows of the views whose wish counts. `None`: one of them has hidden nothing yet and needs no row
/// for that, so nothing can leave.
fn live_rows(c: &Connection, row: &MailboxRow) -> rusqlite::Result<Option<Vec<i64>>> {
    let mut live: Vec<i64> = Vec::new();
    live.extend(named(c, row.id)?.iter().filter(|v| !v.lapsed).map(|v| v.id));
    if row.plain_used {
        match plain(c, row.id)? {
            None => return Ok(None),
            Some(plain) if !plain.lapsed => live.push(plain.id),
            Some(_) => {}
        }
    }
    Ok(Some(live))
}

pub(super) fn hides(c: &Connection, view: i64, id: UniqueId) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT 1 FROM hidden WHERE view = ? AND unique_id = ? AND until = ?")?
        .exists(params![view, id.as_bytes(), LIVE])
}

/// How many live messages are hidden in the view that hides least, and which that is.
fn least_hidden(c: &Connection, views: &[i64]) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut ask = c.prepare_cached("SELECT hidden_count FROM views WHERE id = ?")?;
    let mut least = None;
    for view in views {
        let hidden = (ask.query_row([view], |row| row.get(0))?, *view);
        least = Some(least.map_or(hidden, |least: (i64, i64)| least.min(hidden)));
    }
    Ok(least)
}

/// Writes a tombstone for those of `ids`, just deleted by a view, that none that counts shows any more.
pub(super) fn leave_if_unwanted(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    row: &MailboxRow,
    ids: &[UniqueId],
) -> Wish<()> {
    let c = batch.index()?;
    let live = live_rows(c, row).map_err(sql)?.unwrap_or_default();
    // As long as one view shows everything, nothing leaves, however many messages the others hide.
    let least = least_hidden(c, &live).map_err(sql)?;
    let Some((1.., _)) = least else {
        return Ok(());
    };
    let mut leaving = Vec::new();
    for id in ids {
        let mut unwanted = true;
        for view in &live {
            unwanted = unwanted && hides(c, *view, *id).map_err(sql)?;
        }
        if unwanted {
            leaving.push(*id);
        }
    }
    tombstone(batch, id, leaving).map(drop)
}

/// Up to `max` live messages that a view has deleted and that none of `live` shows.
fn unwanted_of_all(c: &Connection, live: &[i64], max: usize) -> rusqlite::Result<Vec<UniqueId>> {
    let Some((1.., least)) = least_hidden(c, live)? else {
        return Ok(Vec::new());
    };
    let mut ask = c.prepare_cached(
        "SELECT h.unique_id FROM hidden h JOIN messages m ON m.unique_id = h.unique_id
         WHERE h.view = ?1 AND h.until = ?2 AND m.removed = ?2 AND EXISTS (
             SELECT 1 FROM tombstones t WHERE t.unique_id = h.unique_id AND t.view <> 0
               AND NOT EXISTS (SELECT 1 FROM undone u
                   WHERE u.unique_id = t.unique_id AND u.tombstone = t.tombstone))
         ORDER BY h.unique_id",
    )?;
    let mut rows = ask.query([least, LIVE])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = UniqueId::from_bytes(row.get(0)?);
        let mut unwanted = true;
        for view in live.iter().filter(|view| **view != least) {
            unwanted = unwanted && hides(c, *view, id)?;
        }
        if unwanted {
            found.push(id);
            if found.len() == max {
                break;
            }
        }
    }
    Ok(found)
}

/// What is due by time, at most [`INDEX_TRANSACTION_ROWS`] messages of it; says whether there may be
/// more.
pub(in crate::embedded) fn tend(
    batch: &mut Batch<'_, '_>,
    id: MailboxId,
    due: Tending,
    now_ms: u64,
) -> Wish<(Tended, bool)> {
    let c = batch.index()?;
    let row = mailbox(c, id)?;
    let there = named(c, row.id).map_err(sql)?;
    let mut done = Tended::default();
    if let Some(expiry_ms) = due.view_expiry_ms
        && !there.is_empty()
    {
        let plain = if row.plain_used {
            let unwritten = ViewRow {
                id: 0,
                view: ViewId::PLAIN,
                state: None,
                lapsed: false,
                used_ms: None,
            };
            Some(plain(c, row.id).map_err(sql)?.unwrap_or(unwritten))
        } else {
            None
        };
        for view in there.iter().chain(&plain) {
            let unseen_ms = now_ms.saturating_sub(seen_ms(view, &there));
            if !view.lapsed && unseen_ms >= expiry_ms {
                put_state(batch, id, (view.view, view.state), false)?;
                done.lapsed.push(view.view);
            }
        }
    }
    let c = batch.index()?;
    let mut leaving = Vec::new();
    if release_of(row.release, !there.is_empty()) == Release::AllDevices
        && let Some(live) = live_rows(c, &row).map_err(sql)?
    {
        leaving = unwanted_of_all(c, &live, INDEX_TRANSACTION_ROWS).map_err(sql)?;
        done.released = leaving.len() as u64;
    }
    let room = INDEX_TRANSACTION_ROWS - leaving.len();
    if let Some(max_age_ms) = due.max_age_ms
        && room > 0
    {
        let before = now_ms.saturating_sub(max_age_ms);
        let mut aged = older(c, row.id, before, room).map_err(sql)?;
        aged.retain(|id| !leaving.contains(id));
        done.aged = aged.len() as u64;
        leaving.extend(aged);
    }
    let more = leaving.len() >= INDEX_TRANSACTION_ROWS;
    tombstone(batch, id, leaving)?;
    Ok((done, more))
}

/// Up to `max` messages that came before a time, but none that somebody has brought back.
fn older(
    c: &Connection,
    mailbox: i64,
    before_ms: u64,
    max: usize,
) -> rusqlite::Result<Vec<UniqueId>> {
    let bound = UniqueId::new(before_ms, [0; 10]);
    c.prepare_cached(
        "SELECT unique_id FROM messages m INDEXED BY listing
         WHERE mailbox = ?1 AND removed = ?2 AND unique_id < ?3
           AND NOT EXISTS (SELECT 1 FROM undone u WHERE u.unique_id = m.unique_id)
         ORDER BY unique_id LIMIT ?4",
    )?
    .query_map(
        params![mailbox, LIVE, bound.as_bytes(), max as i64],
        |row| Ok(UniqueId::from_bytes(row.get(0)?)),
    )?
    .collect()
}
