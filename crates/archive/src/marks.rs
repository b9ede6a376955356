//! Marks and labels: what people and rules say of messages. Kept in `state.db` by unique-id, so that a
//! rebuilt index has them again; copied into `search.db`, where searches see them.
//!
//! Each change has a number, and `search.db` remembers up to which it has seen them: whoever dies
//! between the two files leaves work, not a difference. A number beyond the highest there is was seen in
//! another `state.db`, or went with a mailbox that was erased: then all is copied anew.

use restante_store::{MailboxId, UniqueId};
use rusqlite::{OptionalExtension, params};

use crate::extract::cut;
use crate::index::{flags, forget_marks, set_marks, unsigned};
use crate::{Archive, ArchiveError, Scope, limits, wait};

/// What is said of one message, as `Marks::of_row` reads it.
const KNOWN: &str = "SELECT flags, junk, labels, thread FROM archive_mark WHERE uid = ?1";

/// What is said of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Somebody has read it.
    pub read: bool,
    /// Starred.
    pub starred: bool,
    /// Archived: out of the way.
    pub archived: bool,
    /// Junk or not, where somebody has said so; else the header's word counts.
    pub junk: Option<bool>,
    /// In alphabetical order.
    pub labels: Vec<String>,
    /// What another program calls the thread of the message (Gmail's `X-GM-THRID`): messages of one name
    /// are one thread.
    pub thread: Option<String>,
}

/// What to change; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarkChange {
    /// Read or unread.
    pub read: Option<bool>,
    /// Starred or not.
    pub starred: Option<bool>,
    /// Archived or not.
    pub archived: Option<bool>,
    /// Junk or not, whatever a header says.
    pub junk: Option<bool>,
    /// Labels to add.
    pub add: Vec<String>,
    /// Labels to take away.
    pub remove: Vec<String>,
    /// What another program calls the thread; the first name that a message got stays.
    pub thread: Option<String>,
}

impl Marks {
    /// As a row of the index has them; `header`: a header calls it junk.
    pub(crate) fn flags(&self, header: bool) -> i64 {
        let bits = [
            (self.read, flags::READ),
            (self.starred, flags::STARRED),
            (self.archived, flags::ARCHIVED),
            (self.junk.unwrap_or(header), flags::JUNK),
        ];
        bits.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum()
    }

    fn own_flags(&self) -> i64 {
        self.flags(false) & !flags::JUNK
    }

    fn of_row(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let bits: i64 = row.get(first)?;
        let labels: String = row.get(first + 2)?;
        Ok(Self {
            read: bits & flags::READ != 0,
            starred: bits & flags::STARRED != 0,
            archived: bits & flags::ARCHIVED != 0,
            junk: row.get(first + 1)?,
            labels: labels
                .split('\n')
                .filter(|label| !label.is_empty())
                .map(str::to_owned)
                .collect(),
            thread: row.get(first + 3)?,
        })
    }

    /// Whether all labels had room: of those to add the first that fit are kept.
    fn change(&mut self, change: &MarkChange) -> bool {
        let set = |mark: &mut bool, to: Option<bool>| *mark = to.unwrap_or(*mark);
        set(&mut self.read, change.read);
        set(&mut self.starred, change.starred);
        set(&mut self.archived, change.archived);
        self.junk = change.junk.or(self.junk);
        self.labels.retain(|label| !change.remove.contains(label));
        let mut had_room = true;
        for label in &change.add {
            if self.labels.contains(label) {
                continue;
            }
            had_room &= self.labels.len() < limits::LABELS;
            if had_room {
                self.labels.push(label.clone());
            }
        }
        self.labels.sort();
        if self.thread.is_none() {
            self.thread.clone_from(&change.thread);
        }
        had_room
    }
}

/// A label as it is kept: one line of lower case, without what queries use.
///
/// # Errors
/// [`ArchiveError::Invalid`] says what a label is.
pub(crate) fn checked_label(label: &str) -> Result<String, ArchiveError> {
    let label = label.trim().to_lowercase();
    let length = label.chars().count();
    let usual = |c: char| c.is_alphanumeric() || "-_./+ &".contains(c);
    if length == 0 || length > limits::LABEL_CHARACTERS || !label.chars().all(usual) {
        return Err(ArchiveError::Invalid(format!(
            "a label has letters, digits, spaces and -_./+&, at most {} of them",
            limits::LABEL_CHARACTERS
        )));
    }
    Ok(label)
}

impl MarkChange {
    fn checked(&self) -> Result<Self, ArchiveError> {
        let check = |labels: &[String]| -> Result<Vec<String>, ArchiveError> {
            labels.iter().map(|label| checked_label(label)).collect()
        };
        Ok(Self {
            add: check(&self.add)?,
            remove: check(&self.remove)?,
            thread: self
                .thread
                .as_deref()
                .map(|name| cut(name, limits::THREAD_NAME_OCTETS).to_owned()),
            ..self.clone()
        })
    }
}

impl Archive {
    /// What is said of a message.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when it is gone or the scope does not see it.
    pub fn marks(&self, scope: &Scope, id: UniqueId) -> Result<Marks, ArchiveError> {
        self.visible(scope, id)?;
        self.marks_of(id)
    }

    pub(crate) fn marks_of(&self, id: UniqueId) -> Result<Marks, ArchiveError> {
        let found = self.state.read(|c| {
            c.prepare_cached(KNOWN)?
                .query_row([id.as_bytes()], |row| Marks::of_row(row, 0))
                .optional()
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Changes what is said of messages; durable when it returns. All or nothing.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when one is gone or the scope does not see it;
    /// [`ArchiveError::Invalid`] for a label that is none, or one too many.
    pub fn mark(
        &self,
        scope: &Scope,
        ids: &[UniqueId],
        change: &MarkChange,
    ) -> Result<(), ArchiveError> {
        let checked = change.checked()?;
        for id in ids.iter().filter(|_| !checked.add.is_empty()) {
            self.visible(scope, *id)?;
            let mut marks = self.marks_of(*id)?;
            if !marks.change(&checked) {
                return Err(ArchiveError::Invalid(format!(
                    "a message has at most {} labels, and {id} would have more; nothing was changed",
                    limits::LABELS
                )));
            }
        }
        let changes: Vec<_> = ids.iter().map(|id| (*id, change)).collect();
        self.mark_each(scope, &changes).map(|_overfull| ())
    }

    /// As [`Archive::mark`], with a change for each. Says how many have not got all their labels, as a message has at most
    /// [`limits::LABELS`]: the first that fit are kept.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when one is gone or the scope does not see it;
    /// [`ArchiveError::Invalid`] for a label that is none.
    pub fn mark_each(
        &self,
        scope: &Scope,
        changes: &[(UniqueId, &MarkChange)],
    ) -> Result<u64, ArchiveError> {
        let mut checked = Vec::with_capacity(changes.len());
        for (id, change) in changes {
            let mailbox = self.visible(scope, *id)?.mailbox;
            checked.push((*id, mailbox, change.checked()?));
        }
        self.mark_known(
            checked
                .iter()
                .map(|(id, mailbox, change)| (*id, *mailbox, change)),
        )
    }

    /// As [`Archive::mark_each`], for messages that are known to be there.
    pub(crate) fn mark_known<'c>(
        &self,
        changes: impl IntoIterator<Item = (UniqueId, MailboxId, &'c MarkChange)>,
    ) -> Result<u64, ArchiveError> {
        // Numbers begin after the highest: what the index has seen must not be beyond it.
        self.copy_marks()?;
        let full = self.state.write(|c| {
            let mut number: i64 = c.query_row(
                "SELECT coalesce(max(change), 0) FROM archive_mark",
                [],
                |row| row.get(0),
            )?;
            let mut known = c.prepare_cached(KNOWN)?;
            let mut put = c.prepare_cached(
                "INSERT OR REPLACE INTO archive_mark (uid, mailbox, flags, junk, labels, change, thread)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let mut full = 0;
            for (uid, mailbox, change) in changes {
                let old = known
                    .query_row([uid.as_bytes()], |row| Marks::of_row(row, 0))
                    .optional()?
                    .unwrap_or_default();
                let mut new = old.clone();
                full += u64::from(!new.change(change));
                if new == old {
                    continue;
                }
                number += 1;
                put.execute(params![
                    uid.as_bytes(),
                    mailbox.as_bytes(),
                    new.own_flags(),
                    new.junk,
                    new.labels.join("\n"),
                    number,
                    new.thread,
                ])?;
            }
            Ok(full)
        })?;
        self.copy_marks()?;
        Ok(full)
    }

    /// Brings what was said since into the index.
    pub(crate) fn copy_marks(&self) -> Result<(), ArchiveError> {
        loop {
            let seen: i64 = self
                .index
                .read(|c| c.query_row("SELECT marks FROM meta", [], |row| row.get(0)))?;
            let (newest, changed) = self.state.read(|c| {
                let newest: i64 = c
                    .prepare_cached("SELECT coalesce(max(change), 0) FROM archive_mark")?
                    .query_row([], |row| row.get(0))?;
                let changed = c
                    .prepare_cached(
                        "SELECT change, uid, flags, junk, labels, thread FROM archive_mark
                         WHERE change > ?1 ORDER BY change LIMIT 1000",
                    )?
                    .query_map([seen], |row| {
                        Ok((row.get(0)?, row.get(1)?, Marks::of_row(row, 2)?))
                    })?
                    .collect::<rusqlite::Result<Vec<(i64, Vec<u8>, Marks)>>>()?;
                Ok((newest, changed))
            })?;
            let last = match changed.last() {
                Some((last, ..)) => *last,
                None if newest < seen => 0,
                None => return Ok(()),
            };
            self.index.write(|c| {
                let now: i64 = c.query_row("SELECT marks FROM meta", [], |row| row.get(0))?;
                // Another process was faster: what it wrote is as good, or younger.
                if now != seen {
                    return Ok(());
                }
                if last == 0 {
                    forget_marks(c)?;
                }
                for (_, uid, marks) in &changed {
                    if let Ok(uid) = <[u8; 16]>::try_from(&uid[..]) {
                        set_marks(c, UniqueId::from_bytes(uid), marks)?;
                    }
                }
                c.execute("UPDATE meta SET marks = ?1", [last])?;
                Ok(())
            })?;
        }
    }

    /// Removes messages from their mailboxes. Until the store's hold is over,
    /// [`restante_store::MailStore::restore`] brings them back, with their marks.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`] when one is gone or the scope does not see it.
    pub fn trash(&self, scope: &Scope, ids: &[UniqueId]) -> Result<(), ArchiveError> {
        let mut of = std::collections::BTreeMap::<[u8; 16], Vec<UniqueId>>::new();
        for id in ids {
            let mailbox = self.visible(scope, *id)?.mailbox;
            of.entry(*mailbox.as_bytes()).or_default().push(*id);
        }
        for (mailbox, ids) in of {
            wait(self.store.remove(MailboxId::from_bytes(mailbox), &ids))?;
        }
        self.index
            .write(|c| ids.iter().try_for_each(|id| crate::index::remove(c, *id)))
    }

    /// The labels in use among what the scope sees, with how many messages have each.
    pub fn labels(&self, scope: &Scope) -> Result<Vec<(String, u64)>, ArchiveError> {
        self.index.read(|c| {
            let seen = crate::search::mailbox_condition(c, scope, "mailbox")?;
            c.prepare(&format!(
                "SELECT label, count(*) FROM label WHERE {seen} GROUP BY label ORDER BY label"
            ))?
            .query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?
            .collect()
        })
    }

    /// Their names only, in alphabetical order: for a menu on every page. Takes a step for each label, however many messages
    /// have it.
    pub fn label_names(&self, scope: &Scope) -> Result<Vec<String>, ArchiveError> {
        self.index.read(|c| {
            let mut next =
                c.prepare_cached("SELECT min(label) FROM label WHERE mailbox = ?1 AND label > ?2")?;
            let mut names = std::collections::BTreeSet::new();
            let known = crate::follow::known_mailboxes(c)?;
            for (_, number) in known.iter().filter(|(id, _)| scope.contains(**id)) {
                // No label is empty.
                let mut last = String::new();
                loop {
                    let name: Option<String> =
                        next.query_row(params![number, last], |row| row.get(0))?;
                    let Some(name) = name else { break };
                    names.insert(name.clone());
                    last = name;
                }
            }
            Ok(names.into_iter().collect())
        })
    }

    /// Whether remote content of this sender may be shown in this mailbox without asking.
    pub fn is_trusted(&self, mailbox: MailboxId, address: &str) -> Result<bool, ArchiveError> {
        self.state.read(|c| {
            c.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM archive_trusted WHERE mailbox = ?1 AND address = ?2)",
            )?
            .query_row(params![mailbox.as_bytes(), address.to_lowercase()], |row| {
                row.get(0)
            })
        })
    }

    /// Remembers whether remote content of this sender may be shown in this mailbox.
    pub fn set_trusted(
        &self,
        mailbox: MailboxId,
        address: &str,
        trusted: bool,
    ) -> Result<(), ArchiveError> {
        let change = if trusted {
            "INSERT OR IGNORE INTO archive_trusted (mailbox, address) VALUES (?1, ?2)"
        } else {
            "DELETE FROM archive_trusted WHERE mailbox = ?1 AND address = ?2"
        };
        self.state.write(|c| {
            c.execute(change, params![mailbox.as_bytes(), address.to_lowercase()])?;
            Ok(())
        })
    }
}
