//! Newsletters: grouped by List-Id, else by the sender's domain and where one unsubscribes, else by sender.

use std::fmt;
use std::str::FromStr;

use restante_store::{MailboxId, UniqueId};
use rusqlite::{OptionalExtension, params};

use crate::index::flags;
use crate::search::{mailbox_condition, uid_of};
use crate::{Archive, ArchiveError, Page, PageKey, Results, Scope, Unsubscribe, limits};

/// A newsletter's number; lasts as long as the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NewsletterId(i64);

impl fmt::Display for NewsletterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for NewsletterId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What became of leaving a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribed {
    /// When it was tried, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether the other side said yes.
    pub done: bool,
    /// What it said, for people.
    pub said: String,
}

/// A newsletter or list, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newsletter {
    /// Its number.
    pub id: NewsletterId,
    /// Whose.
    pub mailbox: MailboxId,
    /// What groups its issues, for people: the List-Id; or the sender's domain and the one that one unsubscribes at, which
    /// many senders share; or the sender's address. Lasts longer than the number: who asks to change something names both.
    pub key: String,
    /// Which of these.
    kind: i64,
    /// What it calls itself.
    pub name: String,
    /// People write there: a mailing list, not a newsletter.
    pub discussion: bool,
    /// Issues that are here.
    pub count: u64,
    /// Of these, read.
    pub read: u64,
    /// Octets of them all.
    pub octets: u64,
    /// The usual time between two issues, in seconds: the median; `None` below three issues.
    pub rhythm_seconds: Option<u64>,
    /// The newest issue, and when it was written, in seconds since 1970.
    pub last: (UniqueId, i64),
    /// How to leave, as the newest issue says.
    pub unsubscribe: Unsubscribe,
    /// What became of leaving.
    pub unsubscribed: Option<Unsubscribed>,
}

/// Issues that say how often one comes.
const RHYTHM_ISSUES: usize = 51;

impl Archive {
    /// All newsletters and lists that the scope sees, the newest issue first.
    pub fn newsletters(&self, scope: &Scope) -> Result<Vec<Newsletter>, ArchiveError> {
        let mut all = self.index.read(|c| {
            let seen = mailbox_condition(c, scope, "n.mailbox")?;
            let rows: Vec<(i64, i64, i64, i64, i64)> = c
                .prepare(&format!(
                    "SELECT n.id, max(m.id), count(*), sum(m.flags & {} <> 0), sum(m.size)
                     FROM newsletter n JOIN message m ON m.newsletter = n.id
                     WHERE {seen} GROUP BY n.id ORDER BY 2 DESC",
                    flags::READ
                ))?
                .query_map([], |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ))
                })?
                .collect::<rusqlite::Result<_>>()?;
            rows.into_iter()
                .map(|row| newsletter(c, row))
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        for newsletter in &mut all {
            newsletter.unsubscribed = self.unsubscribed(newsletter)?;
        }
        Ok(all)
    }

    /// One newsletter.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is gone or the scope does not see it.
    pub fn newsletter(&self, scope: &Scope, id: NewsletterId) -> Result<Newsletter, ArchiveError> {
        self.newsletters(scope)?
            .into_iter()
            .find(|newsletter| newsletter.id == id)
            .ok_or(ArchiveError::NotFound)
    }

    /// The issues of a newsletter, newest first; `page` as for a search, without threads and snippets.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is gone or the scope does not see it.
    pub fn issues(
        &self,
        scope: &Scope,
        id: NewsletterId,
        page: &Page,
    ) -> Result<Results, ArchiveError> {
        let found = self.index.read(|c| {
            let seen = mailbox_condition(c, scope, "m.mailbox")?;
            let total: i64 = c
                .prepare(&format!(
                    "SELECT count(*) FROM message m WHERE m.newsletter = ?1 AND {seen}"
                ))?
                .query_row([id.0], |row| row.get(0))?;
            if total == 0 {
                return Ok(None);
            }
            let limit = page.limit.min(limits::PAGE);
            let end = page.after.map_or(i64::MAX, |key| key.0);
            let mut rows: Vec<i64> = c
                .prepare(&format!(
                    "SELECT m.id FROM message m WHERE m.newsletter = ?1 AND m.id < ?2 AND {seen}
                     ORDER BY m.id DESC LIMIT ?3"
                ))?
                .query_map(params![id.0, end, limit as i64 + 1], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().copied().filter(|_| more).map(PageKey);
            let entries = rows
                .into_iter()
                .map(|row| crate::search::entry(c, row))
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some(Results {
                total: page.count.then_some(total as u64),
                entries,
                next,
            }))
        })?;
        found.ok_or(ArchiveError::NotFound)
    }

    /// The newsletter of this number, if it still is the one with this key: numbers are others after a rebuild.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is gone or the scope does not see it, [`ArchiveError::Invalid`] when it is another.
    pub fn newsletter_known_as(
        &self,
        scope: &Scope,
        id: NewsletterId,
        key: &str,
    ) -> Result<Newsletter, ArchiveError> {
        let newsletter = self.newsletter(scope, id)?;
        if newsletter.key == key {
            return Ok(newsletter);
        }
        Err(ArchiveError::Invalid(
            "the index was made anew since that page was; nothing was done: open Newsletters again"
                .to_owned(),
        ))
    }

    /// Removes all but the newest `keep` issues, but none that is starred. Says how many; they can be brought back as what
    /// [`Archive::trash`] removes.
    ///
    /// # Errors
    /// Those of [`Archive::trash`].
    pub fn keep_last(
        &self,
        scope: &Scope,
        newsletter: &Newsletter,
        keep: usize,
    ) -> Result<u64, ArchiveError> {
        let old: Vec<UniqueId> = self.index.read(|c| {
            c.prepare(&format!(
                "SELECT uid FROM (SELECT uid, flags FROM message
                     WHERE newsletter = (SELECT id FROM newsletter WHERE id = ?1 AND key = ?3)
                     ORDER BY id DESC LIMIT -1 OFFSET ?2) WHERE flags & {} = 0",
                flags::STARRED
            ))?
            .query_map(
                params![newsletter.id.0, keep as i64, newsletter.key],
                |row| Ok(UniqueId::from_bytes(row.get(0)?)),
            )?
            .collect()
        })?;
        self.trash(scope, &old)?;
        Ok(old.len() as u64)
    }

    /// Remembers what became of leaving a newsletter.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when the scope does not see it.
    pub fn set_unsubscribed(
        &self,
        scope: &Scope,
        newsletter: &Newsletter,
        result: &Unsubscribed,
    ) -> Result<(), ArchiveError> {
        if !scope.contains(newsletter.mailbox) {
            return Err(ArchiveError::NotFound);
        }
        let said: String = result.said.chars().take(500).collect();
        self.state.write(|c| {
            c.execute(
                "INSERT OR REPLACE INTO archive_unsubscribed (mailbox, kind, key, at_ms, done, said)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    newsletter.mailbox.as_bytes(),
                    newsletter.kind,
                    newsletter.key,
                    i64::try_from(result.at_ms).unwrap_or(i64::MAX),
                    result.done,
                    said
                ],
            )?;
            Ok(())
        })
    }

    fn unsubscribed(&self, newsletter: &Newsletter) -> Result<Option<Unsubscribed>, ArchiveError> {
        self.state.read(|c| {
            c.prepare_cached(
                "SELECT at_ms, done, said FROM archive_unsubscribed
                 WHERE mailbox = ?1 AND kind = ?2 AND key = ?3",
            )?
            .query_row(
                params![
                    newsletter.mailbox.as_bytes(),
                    newsletter.kind,
                    newsletter.key
                ],
                |row| {
                    let at_ms: i64 = row.get(0)?;
                    Ok(Unsubscribed {
                        at_ms: u64::try_from(at_ms).unwrap_or(0),
                        done: row.get(1)?,
                        said: row.get(2)?,
                    })
                },
            )
            .optional()
        })
    }
}

fn newsletter(
    c: &rusqlite::Connection,
    (id, last, count, read, octets): (i64, i64, i64, i64, i64),
) -> rusqlite::Result<Newsletter> {
    let dates: Vec<i64> = c
        .prepare_cached("SELECT date FROM message WHERE newsletter = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![id, RHYTHM_ISSUES as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let uid = uid_of(c, last)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    c.prepare_cached(
        "SELECT n.kind, b.mailbox, n.key, n.name, n.discussion, n.https, n.one_click, n.mailto
         FROM newsletter n JOIN mailbox b ON b.id = n.mailbox WHERE n.id = ?1",
    )?
    .query_row([id], |row| {
        let web: Option<String> = row.get(5)?;
        let is_https = web.as_ref().is_some_and(|uri| {
            uri.get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case("https://"))
        });
        let (https, http) = if is_https { (web, None) } else { (None, web) };
        Ok(Newsletter {
            id: NewsletterId(id),
            mailbox: MailboxId::from_bytes(row.get(1)?),
            key: row.get(2)?,
            kind: row.get(0)?,
            name: row.get(3)?,
            discussion: row.get(4)?,
            count: count as u64,
            read: read as u64,
            octets: octets as u64,
            rhythm_seconds: rhythm(&dates),
            last: (uid, dates.first().copied().unwrap_or(0)),
            unsubscribe: Unsubscribe {
                https,
                http,
                mailto: row.get(7)?,
                one_click: row.get(6)?,
            },
            unsubscribed: None,
        })
    })
}

/// The median of the times between dates, youngest first.
fn rhythm(dates: &[i64]) -> Option<u64> {
    let mut between: Vec<i64> = dates.windows(2).map(|pair| pair[0] - pair[1]).collect();
    if between.len() < 2 {
        return None;
    }
    between.sort_unstable();
    u64::try_from(between[between.len() / 2]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rhythm_is_the_median() {
        assert_eq!(rhythm(&[700, 600, 500, 400, 0]), Some(100));
        assert_eq!(rhythm(&[700, 600]), None);
    }
}
