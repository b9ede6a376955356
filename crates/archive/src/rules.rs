//! Rules: a saved query with an action, for what arrives and, on demand, for what is there.

use restante_store::{MailboxId, UniqueId};
use rusqlite::params;
use tracing::warn;

use crate::marks::checked_label;
use crate::search::hits;
use crate::{Archive, ArchiveError, MarkChange, Page, Query, Results, Scope};

/// A rule's number.
pub type RuleId = i64;

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Adds a label.
    Label(String),
    /// Stars.
    Star,
    /// Says that it is junk.
    Junk,
    /// Archives.
    Archive,
    /// Marks as read.
    Read,
}

impl Action {
    /// The action's name, and a label's.
    fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Label(label) => ("label", Some(label)),
            Self::Star => ("star", None),
            Self::Junk => ("junk", None),
            Self::Archive => ("archive", None),
            Self::Read => ("read", None),
        }
    }

    /// What stands for it in `state.db`; `None` for what a newer program wrote.
    fn of(name: &str, label: Option<String>) -> Option<Self> {
        match name {
            "label" => label.map(Self::Label),
            "star" => Some(Self::Star),
            "junk" => Some(Self::Junk),
            "archive" => Some(Self::Archive),
            "read" => Some(Self::Read),
            _ => None,
        }
    }

    /// As a change of marks.
    pub fn change(&self) -> MarkChange {
        let mut change = MarkChange::default();
        match self {
            Self::Label(label) => change.add.push(label.clone()),
            Self::Star => change.starred = Some(true),
            Self::Junk => change.junk = Some(true),
            Self::Archive => change.archived = Some(true),
            Self::Read => change.read = Some(true),
        }
        change
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.columns() {
            (name, Some(label)) => write!(f, "{name} {label}"),
            (name, None) => f.write_str(name),
        }
    }
}

/// A rule of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its number.
    pub id: RuleId,
    /// Whose mail it looks at.
    pub mailbox: MailboxId,
    /// What its owner calls it.
    pub name: String,
    /// The query, as typed.
    pub query: String,
    /// What to do with what the query finds.
    pub action: Action,
}

impl Archive {
    /// The rules of what the scope sees, oldest first.
    pub fn rules(&self, scope: &Scope) -> Result<Vec<Rule>, ArchiveError> {
        let mut rules = self.state.read(|c| {
            c.prepare_cached(
                "SELECT id, mailbox, name, query, action, label FROM archive_rule ORDER BY id",
            )?
            .query_map([], |row| {
                let name: String = row.get(4)?;
                let action = Action::of(&name, row.get(5)?);
                Ok(match action {
                    None => None,
                    Some(action) => Some(Rule {
                        id: row.get(0)?,
                        mailbox: MailboxId::from_bytes(row.get(1)?),
                        name: row.get(2)?,
                        query: row.get(3)?,
                        action,
                    }),
                })
            })?
            .filter_map(Result::transpose)
            .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rules.retain(|rule| scope.contains(rule.mailbox));
        Ok(rules)
    }

    /// Adds a rule; it counts for what arrives from now on.
    ///
    /// # Errors
    /// [`ArchiveError::Query`], [`ArchiveError::Invalid`].
    pub fn add_rule(
        &self,
        mailbox: MailboxId,
        name: &str,
        query: &str,
        action: &Action,
    ) -> Result<RuleId, ArchiveError> {
        if Query::parse(query)?.is_everything() {
            return Err(ArchiveError::Invalid(
                "a rule needs a query: what should it look for?".to_owned(),
            ));
        }
        let action = match action {
            Action::Label(label) => Action::Label(checked_label(label)?),
            other => other.clone(),
        };
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(ArchiveError::Invalid(
                "a rule's name has 1 to 100 characters in one line".to_owned(),
            ));
        }
        let (act, label) = action.columns();
        self.state.write(|c| {
            c.execute(
                "INSERT INTO archive_rule (mailbox, name, query, action, label)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![mailbox.as_bytes(), name, query, act, label],
            )?;
            Ok(c.last_insert_rowid())
        })
    }

    /// Removes a rule; what it has done stays.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`].
    pub fn remove_rule(&self, scope: &Scope, id: RuleId) -> Result<(), ArchiveError> {
        self.rule(scope, id)?;
        self.state.write(|c| {
            c.execute("DELETE FROM archive_rule WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    fn rule(&self, scope: &Scope, id: RuleId) -> Result<Rule, ArchiveError> {
        self.rules(scope)?
            .into_iter()
            .find(|rule| rule.id == id)
            .ok_or(ArchiveError::NotFound)
    }

    /// What the rule finds among what is there: what [`Archive::apply_rule`] would act on.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`].
    pub fn preview_rule(
        &self,
        scope: &Scope,
        id: RuleId,
        page: &Page,
    ) -> Result<Results, ArchiveError> {
        let rule = self.rule(scope, id)?;
        self.search(
            &Scope::of([rule.mailbox]),
            &Query::parse(&rule.query)?,
            page,
        )
    }

    /// Applies the rule to all that is there; says to how many messages.
    ///
    /// # Errors
    /// [`ArchiveError::NotFound`].
    pub fn apply_rule(&self, scope: &Scope, id: RuleId) -> Result<u64, ArchiveError> {
        let rule = self.rule(scope, id)?;
        let query = Query::parse(&rule.query)?;
        let only = Scope::of([rule.mailbox]);
        let uids = self.index.read(|c| hits(c, &only, &query, None))?;
        self.act(&rule, &uids)?;
        Ok(uids.len() as u64)
    }

    fn act(&self, rule: &Rule, uids: &[UniqueId]) -> Result<(), ArchiveError> {
        if uids.is_empty() {
            return Ok(());
        }
        let change = rule.action.change();
        // What has as many labels as are kept gets none of a rule's, and holds nothing up.
        self.mark_known(uids.iter().map(|uid| (*uid, rule.mailbox, &change)))
            .map(|_overfull| ())
    }

    /// Applies every rule to what has arrived since the last time, and remembers that it has.
    pub(crate) fn apply_to_arrived(&self) -> Result<(), ArchiveError> {
        let (last, filling): (Option<i64>, bool) = self.index.read(|c| {
            c.query_row(
                "SELECT (SELECT max(number) FROM arrived), filling FROM meta",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })?;
        if last.is_none() && !filling {
            return Ok(());
        }
        if let Some(last) = last {
            let these = format!("m.id IN (SELECT message FROM arrived WHERE number <= {last})");
            for rule in self.rules(&Scope::all())? {
                match Query::parse(&rule.query) {
                    Ok(query) => {
                        let only = Scope::of([rule.mailbox]);
                        let uids = self.index.read(|c| hits(c, &only, &query, Some(&these)))?;
                        self.act(&rule, &uids)?;
                    }
                    Err(error) => {
                        warn!(rule = rule.name, %error, "a rule is not understood and does nothing");
                    }
                }
            }
        }
        self.finish_arrivals(last)
    }

    fn finish_arrivals(&self, last: Option<i64>) -> Result<(), ArchiveError> {
        let newest: Option<Vec<u8>> = self
            .index
            .read(|c| c.query_row("SELECT max(uid) FROM message", [], |row| row.get(0)))?;
        let newest_ms = newest
            .and_then(|bytes| <[u8; 16]>::try_from(&bytes[..]).ok())
            .map_or(0, |bytes| UniqueId::from_bytes(bytes).unix_ms());
        self.state.write(|c| {
            c.execute(
                "UPDATE archive_format SET ruled_ms = max(ruled_ms, ?1)",
                [i64::try_from(newest_ms).unwrap_or(i64::MAX)],
            )?;
            Ok(())
        })?;
        self.index.write(|c| {
            c.execute("DELETE FROM arrived WHERE number <= ?1", [last])?;
            c.execute("UPDATE meta SET filling = 0", [])?;
            Ok(())
        })
    }

    /// Rules have had their say on what was stored until then, in milliseconds since 1970.
    pub(crate) fn ruled_ms(&self) -> Result<u64, ArchiveError> {
        let ms: i64 = self
            .state
            .read(|c| c.query_row("SELECT ruled_ms FROM archive_format", [], |row| row.get(0)))?;
        Ok(u64::try_from(ms).unwrap_or(0))
    }
}
