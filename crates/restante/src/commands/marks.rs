//! Marks between the archive and the files that mail comes from and goes to.

use restante_archive::{Archive, ArchiveError, MarkChange, Scope, limits};
use restante_intake::import::{Marked, Marker};
use restante_store::marks::Marks;
use restante_store::{MailboxId, UniqueId};

/// The label that files of other programs carry for what the archive has a mark for. Ours have both, so that
/// such programs know it too.
const JUNK: &str = "junk";

/// Keeps what an import brings.
pub(crate) struct Keeper<'a> {
    archive: &'a Archive,
    scope: Scope,
    /// Messages that have more labels than are kept.
    pub(crate) overfull: u64,
}

impl<'a> Keeper<'a> {
    /// For messages of one mailbox.
    pub(crate) fn new(archive: &'a Archive, mailbox: MailboxId) -> Self {
        Self {
            archive,
            scope: Scope::of([mailbox]),
            overfull: 0,
        }
    }
}

impl Marker for Keeper<'_> {
    fn mark(&mut self, marked: &[Marked]) -> Result<(), String> {
        let changes: Vec<_> = marked
            .iter()
            .map(|one| (one.id, change(&one.marks)))
            .collect();
        let told: Vec<_> = changes
            .iter()
            .filter(|(_, change)| *change != MarkChange::default())
            .map(|(id, change)| (*id, change))
            .collect();
        let overfull = self.archive.mark_each(&self.scope, &told);
        self.overfull += overfull.map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// What a file does not say is not taken away.
fn change(marks: &Marks) -> MarkChange {
    let labelled = marks.labels.contains(JUNK).then_some(true);
    let labels = marks.labels.iter().filter(|label| *label != JUNK);
    let labels = labels.filter_map(|label| kept(label)).collect();
    let set = |is_set: bool| is_set.then_some(true);
    MarkChange {
        read: set(marks.read == Some(true)),
        starred: set(marks.starred),
        archived: set(marks.archived),
        junk: marks.junk.or(labelled),
        add: labels,
        remove: Vec::new(),
        thread: marks.thread.clone(),
    }
}

/// A label as the archive keeps one: what it does not allow becomes a space.
fn kept(label: &str) -> Option<String> {
    let lower = label.to_lowercase();
    let allowed = |c: char| c.is_alphanumeric() || "-_./+ &".contains(c);
    let text: String = lower
        .chars()
        .map(|c| if allowed(c) { c } else { ' ' })
        .collect();
    let words: Vec<_> = text.split_whitespace().collect();
    let text: String = words
        .join(" ")
        .chars()
        .take(limits::LABEL_CHARACTERS)
        .collect();
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What the archive knows of messages, for an export.
pub(crate) fn of(archive: &Archive, scope: &Scope, ids: &[UniqueId]) -> Result<Vec<Marks>, String> {
    let marks = ids.iter().map(|id| match archive.marks(scope, *id) {
        Ok(marks) => {
            let mut labels: std::collections::BTreeSet<_> = marks.labels.into_iter().collect();
            if marks.junk == Some(true) {
                labels.insert(JUNK.to_owned());
            }
            Ok(Marks {
                read: Some(marks.read),
                starred: marks.starred,
                archived: marks.archived,
                junk: marks.junk,
                labels,
                thread: marks.thread,
            })
        }
        // Gone while this ran: its bytes are, too, and it is passed over.
        Err(ArchiveError::NotFound) => Ok(Marks::default()),
        Err(error) => Err(error.to_string()),
    });
    marks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_junk_comes_and_foreign_files_say_it_by_a_label() {
        let labelled = Marks {
            labels: [JUNK.to_owned(), "work".to_owned()].into(),
            ..Marks::default()
        };
        let told = change(&labelled);
        assert_eq!((told.junk, told.add), (Some(true), vec!["work".to_owned()]));
        for junk in [None, Some(true), Some(false)] {
            let told = change(&Marks {
                junk,
                ..Marks::default()
            });
            assert_eq!(told.junk, junk);
        }
    }

    #[test]
    fn labels_are_kept_as_the_archive_has_them() {
        for (label, expected) in [
            ("Lists/Rust", Some("lists/rust")),
            ("a, \"b\"", Some("a b")),
            ("  Größe ", Some("größe")),
            ("\"!\"", None),
        ] {
            assert_eq!(kept(label).as_deref(), expected, "{label}");
        }
        let long = kept(&"ab ".repeat(100)).unwrap();
        assert!(long.chars().count() <= limits::LABEL_CHARACTERS && !long.ends_with(' '));
    }
}
