//! Running queries: newest first, page after page, and counted.

use restante_store::{MailboxId, UniqueId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::extract::{attached_text, shown_text};
use crate::follow::known_mailboxes;
use crate::index::{facts, flags, row_of, unsigned};
use crate::query::{Plan, compile};
use crate::snippet::Phrase;
use crate::{
    Address, Archive, ArchiveError, Entry, Page, PageKey, Query, Results, Scope, ThreadId,
    Threaded, limits, snippet,
};

impl Archive {
    /// What the query finds among what the scope sees, newest first.
    pub fn search(
        &self,
        scope: &Scope,
        query: &Query,
        page: &Page,
    ) -> Result<Results, ArchiveError> {
        let mut results = self.index.read(|c| {
            let Some(run) = Run::new(c, scope, query, None)? else {
                return Ok(Results {
                    total: page.count.then_some(0),
                    ..Results::default()
                });
            };
            let total = if page.count {
                Some(run.count(c)?)
            } else {
                None
            };
            let (rows, next) = run.page(c, page)?;
            let entries = rows
                .iter()
                .map(|row| entry(c, *row))
                .collect::<rusqlite::Result<_>>()?;
            Ok(Results {
                total,
                entries,
                next,
            })
        })?;
        let phrases = query.phrases();
        if page.snippets && !phrases.is_empty() {
            let mut room = Room {
                read: limits::SNIPPETS_OCTETS,
                unpacked: limits::UNPACKED_MESSAGE_OCTETS,
            };
            for entry in &mut results.entries {
                entry.snippet = self.snippet(entry.id, &phrases, &mut room);
            }
        }
        Ok(results)
    }

    /// Text around what was found; `None` where nothing of it is in the text, the message is gone, or the page has cost
    /// enough. Looks where it is as a rule first: in the text, which stands at the beginning.
    fn snippet(&self, id: UniqueId, phrases: &[Phrase], room: &mut Room) -> Option<crate::Snippet> {
        let (head, more) = self.some(id, limits::SNIPPET_HEAD_OCTETS, room)?;
        if let Some(found) = snippet::around(&shown_text(&head), phrases) {
            return Some(found);
        }
        let whole = if more {
            let (whole, _) = self.some(id, limits::INDEX_OCTETS, room)?;
            if let Some(found) = snippet::around(&shown_text(&whole), phrases) {
                return Some(found);
            }
            whole
        } else {
            head
        };
        let text = attached_text(&whole, &mut room.unpacked);
        snippet::around(&text, phrases)
    }

    /// The message's octets, at most so many, and whether there are more; `None` where there is no room for any.
    fn some(&self, id: UniqueId, most: usize, room: &mut Room) -> Option<(Vec<u8>, bool)> {
        let most = most.min(room.read);
        let read = self.bytes(id, most).ok().filter(|_| most > 0)?;
        room.read -= read.0.len();
        Some(read)
    }

    /// One message as a list shows it.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is not in the index or the scope does not see it.
    pub fn entry(&self, scope: &Scope, id: UniqueId) -> Result<Entry, ArchiveError> {
        let found = self.index.read(|c| {
            let found = crate::index::find(c, id)?;
            found.map(|(row, _)| entry(c, row)).transpose()
        })?;
        found
            .filter(|entry| scope.contains(entry.mailbox))
            .ok_or(ArchiveError::NotFound)
    }

    /// A conversation: what is answered stands before its answers, older ones first.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when the scope sees nothing of it.
    pub fn thread(&self, scope: &Scope, id: ThreadId) -> Result<Vec<Threaded>, ArchiveError> {
        let rows = self.index.read(|c| {
            let seen = mailbox_condition(c, scope, "m.mailbox")?;
            let rows: Vec<(i64, Option<i64>, Option<i64>)> = c
                .prepare(&format!(
                    "SELECT m.id, m.msgid, m.parent FROM message m WHERE m.thread = ?1 AND {seen}
                     ORDER BY m.id LIMIT {}",
                    limits::THREAD_MESSAGES
                ))?
                .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            in_order(&rows)
                .into_iter()
                .map(|(row, depth)| {
                    let entry = entry(c, row)?;
                    Ok(Threaded { entry, depth })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        if rows.is_empty() {
            return Err(ArchiveError::NotFound);
        }
        Ok(rows)
    }
}

/// Octets that the snippets of a page may still cost.
struct Room {
    read: usize,
    unpacked: u64,
}

/// Depth first: each message after what it answers. Whoever answers themselves in a circle comes last.
fn in_order(rows: &[(i64, Option<i64>, Option<i64>)]) -> Vec<(i64, usize)> {
    use std::collections::{HashMap, HashSet};
    let mut by_id = HashMap::new();
    for (at, (_, msgid, _)) in rows.iter().enumerate() {
        if let Some(msgid) = msgid {
            by_id.entry(*msgid).or_insert(at);
        }
    }
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (at, (.., parent)) in rows.iter().enumerate() {
        let parent = parent.and_then(|id| by_id.get(&id).copied());
        let parent = parent.filter(|parent| *parent != at);
        children.entry(parent).or_default().push(at);
    }
    let mut order = Vec::with_capacity(rows.len());
    let mut told = HashSet::new();
    let mut stack = Vec::new();
    let push = |stack: &mut Vec<(usize, usize)>, of: Option<usize>, depth| {
        let these = children.get(&of).into_iter().flatten().rev();
        stack.extend(these.map(|at| (*at, depth)));
    };
    push(&mut stack, None, 0);
    for start in 0..=rows.len() {
        while let Some((at, depth)) = stack.pop() {
            if told.insert(at) {
                order.push((rows[at].0, depth));
                push(&mut stack, Some(at), depth + 1);
            }
        }
        if start < rows.len() && told.len() < rows.len() && !told.contains(&start) {
            // Reached from nowhere so far: it may be in a circle.
            let in_circle = rows[start].2.is_some();
            if in_circle {
                stack.push((start, 0));
            }
        }
    }
    order
}

/// SQL for what the scope sees.
pub(crate) fn mailbox_condition(
    c: &Connection,
    scope: &Scope,
    column: &str,
) -> rusqlite::Result<String> {
    Ok(match numbers(c, scope)? {
        None => "1".to_owned(),
        Some(numbers) => format!("{column} IN ({})", listed(&numbers)),
    })
}

fn listed(numbers: &[i64]) -> String {
    let all: Vec<String> = numbers.iter().map(i64::to_string).collect();
    all.join(", ")
}

/// The numbers of the mailboxes that the scope sees; `None` when it sees all that is indexed.
pub(crate) fn numbers(c: &Connection, scope: &Scope) -> rusqlite::Result<Option<Vec<i64>>> {
    if scope.mailboxes.is_none() {
        return Ok(None);
    }
    let known = known_mailboxes(c)?;
    let mut numbers: Vec<i64> = known
        .iter()
        .filter(|(id, _)| scope.contains(**id))
        .map(|(_, number)| *number)
        .collect();
    numbers.sort_unstable();
    Ok((numbers.len() < known.len()).then_some(numbers))
}

/// The unique-ids of all that the query finds; `restrict` is a further condition on `message m`.
pub(crate) fn hits(
    c: &Connection,
    scope: &Scope,
    query: &Query,
    restrict: Option<&str>,
) -> rusqlite::Result<Vec<UniqueId>> {
    let Some(run) = Run::new(c, scope, query, restrict)? else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT uid FROM message WHERE id IN ({})",
        run.rows_sql(run.plan.rows.1, None)
    );
    c.prepare(&sql)?
        .query_map(params_from_iter(run.values()), |row| {
            Ok(UniqueId::from_bytes(row.get(0)?))
        })?
        .collect()
}

/// A query, ready to run.
struct Run {
    plan: Plan,
}

impl Run {
    /// `None` when the scope sees nothing.
    fn new(
        c: &Connection,
        scope: &Scope,
        query: &Query,
        restrict: Option<&str>,
    ) -> rusqlite::Result<Option<Self>> {
        let numbers = numbers(c, scope)?;
        if numbers.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        let mut plan = compile(query, numbers.as_deref());
        if let (None, Some(numbers)) = (&plan.text, &numbers) {
            plan.conditions
                .push(format!("m.mailbox IN ({})", listed(numbers)));
        }
        plan.conditions.extend(restrict.map(str::to_owned));
        Ok(Some(Self { plan }))
    }

    fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let text = self.plan.text.clone().map(Value::Text);
        text.into_iter().chain(self.plan.values.iter().cloned())
    }

    /// Rows that match, before `end`, newest first if there is a limit. Its values are [`Run::values`].
    fn rows_sql(&self, end: i64, limit: Option<usize>) -> String {
        let from = self.plan.rows.0;
        let mut conditions = Vec::new();
        let (table, row) = match (&self.plan.text, self.plan.conditions.is_empty()) {
            (None, _) => ("message m", "m.id"),
            (Some(_), true) => ("text", "text.rowid"),
            (Some(_), false) => (
                "text CROSS JOIN message m ON m.id = text.rowid",
                "text.rowid",
            ),
        };
        if self.plan.text.is_some() {
            conditions.push("text MATCH ?".to_owned());
        }
        conditions.extend(self.plan.conditions.iter().cloned());
        if from > row_of(i64::MIN) {
            conditions.push(format!("{row} >= {from}"));
        }
        if end < i64::MAX {
            conditions.push(format!("{row} < {end}"));
        }
        if conditions.is_empty() {
            conditions.push("1".to_owned());
        }
        let conditions = conditions.join(" AND ");
        let order = limit.map_or_else(String::new, |limit| {
            format!(" ORDER BY {row} DESC LIMIT {limit}")
        });
        format!("SELECT {row} AS id FROM {table} WHERE {conditions}{order}")
    }

    fn count(&self, c: &Connection) -> rusqlite::Result<u64> {
        let rows = self.rows_sql(self.plan.rows.1, None);
        c.prepare_cached(&format!("SELECT count(*) FROM ({rows})"))?
            .query_row(params_from_iter(self.values()), |row| unsigned(row, 0))
    }

    fn rows(&self, c: &Connection, end: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        c.prepare(&self.rows_sql(end.min(self.plan.rows.1), Some(limit)))?
            .query_map(params_from_iter(self.values()), |row| row.get(0))?
            .collect()
    }

    fn page(&self, c: &Connection, page: &Page) -> rusqlite::Result<(Vec<i64>, Option<PageKey>)> {
        let limit = page.limit.min(limits::PAGE);
        let mut end = page.after.map_or(i64::MAX, |key| key.0);
        if limit == 0 {
            return Ok((Vec::new(), None));
        }
        let mut shown: Vec<i64> = Vec::new();
        let mut threads = std::collections::HashSet::new();
        loop {
            // One more than wanted says whether there is a next page.
            let wanted = limit + 1;
            let rows = self.rows(c, end, wanted)?;
            let last = rows.len() < wanted;
            for row in rows {
                if shown.len() == limit {
                    return Ok((shown, Some(PageKey(end))));
                }
                end = row;
                if !page.threads || self.leads(c, row, page.after, &mut threads)? {
                    shown.push(row);
                }
            }
            if last {
                return Ok((shown, None));
            }
            if shown.len() == limit {
                return Ok((shown, Some(PageKey(end))));
            }
        }
    }

    /// Whether this is the newest message of its thread that matches.
    fn leads(
        &self,
        c: &Connection,
        row: i64,
        after: Option<PageKey>,
        threads: &mut std::collections::HashSet<i64>,
    ) -> rusqlite::Result<bool> {
        let thread: i64 = c
            .prepare_cached("SELECT thread FROM message WHERE id = ?1")?
            .query_row([row], |found| found.get(0))?;
        if !threads.insert(thread) {
            return Ok(false);
        }
        let Some(after) = after else { return Ok(true) };
        let newer: Vec<i64> = c
            .prepare_cached("SELECT id FROM message WHERE thread = ?1 AND id >= ?2")?
            .query_map([thread, after.0], |found| found.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for row in newer {
            if self.matches(c, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn matches(&self, c: &Connection, row: i64) -> rusqlite::Result<bool> {
        if row < self.plan.rows.0 || row >= self.plan.rows.1 {
            return Ok(false);
        }
        let mut one = Self {
            plan: self.plan.clone(),
        };
        one.plan.rows = (row, row + 1);
        let found = one.rows(c, row + 1, 1)?;
        Ok(!found.is_empty())
    }
}

/// A message as a list shows it.
pub(crate) fn entry(c: &Connection, row: i64) -> rusqlite::Result<Entry> {
    let mut entry = c
        .prepare_cached(
            "SELECT m.uid, b.mailbox, m.thread, m.date, m.size, m.facts, m.flags, m.from_name,
                 m.from_address, m.recipients, m.subject, m.preview, m.account,
                 (SELECT count(*) FROM message t WHERE t.thread = m.thread)
             FROM message m JOIN mailbox b ON b.id = m.mailbox WHERE m.id = ?1",
        )?
        .query_row([row], |found| {
            let of_message: i64 = found.get(5)?;
            let marks: i64 = found.get(6)?;
            let text = |at| {
                let text: rusqlite::Result<Option<String>> = found.get(at);
                text.map(Option::unwrap_or_default)
            };
            let size: i64 = found.get(4)?;
            Ok(Entry {
                id: UniqueId::from_bytes(found.get(0)?),
                mailbox: MailboxId::from_bytes(found.get(1)?),
                thread: ThreadId(found.get(2)?),
                thread_count: unsigned(found, 13)?,
                date: found.get(3)?,
                size: u64::try_from(size).unwrap_or(0),
                from: Address {
                    name: found.get(7)?,
                    address: found.get(8)?,
                },
                to: text(9)?,
                subject: text(10)?,
                preview: text(11)?,
                account: found.get(12)?,
                read: marks & flags::READ != 0,
                starred: marks & flags::STARRED != 0,
                archived: marks & flags::ARCHIVED != 0,
                junk: marks & flags::JUNK != 0,
                list: of_message & facts::LIST != 0,
                newsletter: of_message & facts::NEWSLETTER != 0,
                attachment: of_message & facts::ATTACHMENT != 0,
                labels: Vec::new(),
                snippet: None,
            })
        })?;
    entry.labels = c
        .prepare_cached("SELECT label FROM label WHERE message = ?1 ORDER BY label")?
        .query_map([row], |found| found.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(entry)
}

/// The unique-id of a row.
pub(crate) fn uid_of(c: &Connection, row: i64) -> rusqlite::Result<Option<UniqueId>> {
    c.prepare_cached("SELECT uid FROM message WHERE id = ?1")?
        .query_row([row], |found| Ok(UniqueId::from_bytes(found.get(0)?)))
        .optional()
}
