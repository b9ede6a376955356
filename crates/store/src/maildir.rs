//! Maildir folders: reading what other programs keep in them, writing into them.
//!
//! A Maildir is a folder with `cur`, `new` and `tmp`. A message is one file; its name tells when it
//! was delivered (`seconds.unique.host`) and, behind `:2,`, how it is flagged. Where a file system
//! allows no `:`, programs write `;2,` or `!2,` instead. `,S=` and `,W=` in a name are sizes that
//! quotas were counted with: they are often wrong, and nothing here relies on them. Maildir++ keeps
//! further folders beside the three, with names that begin with a dot.

mod name;
mod writer;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::limits::MAILDIR_KEYWORDS_OCTETS;

pub use name::{Flags, Name};
pub use writer::{Draft, Writer, mark_of};

/// A message of a Maildir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file. A program that flags the message renames it: then it is there no more.
    pub path: PathBuf,
    /// In `new`: no program has shown it yet.
    pub is_new: bool,
    /// What the file's name says.
    pub name: Name,
}

/// Whether a folder is a Maildir: it has `cur` and `new`. (`tmp` may be lost in a copy.)
pub fn is_maildir(folder: &Path) -> bool {
    folder.join("cur").is_dir() && folder.join("new").is_dir()
}

/// The messages in `cur` and `new`, by time of delivery, then by name. Reads names only.
///
/// Hidden files are none (`maildirfolder`-like files and leftovers of network file systems begin
/// with a dot); folders are none either.
///
/// # Errors
/// `cur` or `new` cannot be listed.
pub fn messages(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for (part, is_new) in [("cur", false), ("new", true)] {
        for entry in fs::read_dir(folder.join(part))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || entry.file_type()?.is_dir() {
                continue;
            }
            let name = Name::parse(&name);
            let path = entry.path();
            all.push(Entry { path, is_new, name });
        }
    }
    all.sort_by(|a, b| (a.name.order(), &a.path).cmp(&(b.name.order(), &b.path)));
    Ok(all)
}

/// The Maildir++ folders beside `cur`, sorted: `.Sent`, `.Lists.rust` and so on.
///
/// # Errors
/// `folder` cannot be listed.
pub fn subfolders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && is_maildir(&path) {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// What Dovecot's keywords mean, from the file `dovecot-keywords` of a Maildir (`0 $label1`, a line
/// each): the word for letter `a` first. Empty when there is no such file.
///
/// # Errors
/// The file cannot be read.
pub fn keywords(folder: &Path) -> io::Result<Vec<String>> {
    let mut text = Vec::new();
    match fs::File::open(folder.join("dovecot-keywords")) {
        Ok(file) => file.take(MAILDIR_KEYWORDS_OCTETS).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut words = vec![String::new(); 26];
    for line in String::from_utf8_lossy(&text).lines() {
        if let Some((number, word)) = line.split_once(' ')
            && let Some(place) = number.parse().ok().and_then(|at: usize| words.get_mut(at))
        {
            word.trim().clone_into(place);
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        messages(folder)
            .unwrap()
            .iter()
            .map(|entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn messages_are_sorted_by_delivery() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_maildir(folder.path()));
        for part in ["cur", "new", ".Sent/cur", ".Sent/new", ".x", "cur/folder"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        assert!(is_maildir(folder.path()));
        for name in [
            "cur/1700000002.M9P1Q2.h,S=1,W=1:2,S",
            "cur/1700000002.M10P1Q1.h;2,FS",
            "new/1700000001.1.h",
            "cur/999999999.1.h",
            "new/odd",
            "cur/.nfs0001",
            ".Sent/cur/1.1.h",
        ] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        assert_eq!(
            names(folder.path()),
            [
                "odd",
                "999999999.1.h",
                "1700000001.1.h",
                "1700000002.M9P1Q2.h,S=1,W=1:2,S",
                "1700000002.M10P1Q1.h;2,FS",
            ]
        );
        let all = messages(folder.path()).unwrap();
        assert_eq!(all.iter().filter(|entry| entry.is_new).count(), 2);
        assert!(all[4].name.flags.flagged && all[4].name.flags.seen);
        let sent = folder.path().join(".Sent");
        assert_eq!(subfolders(folder.path()).unwrap(), [sent]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/Maildir");
        let writer = Writer::create(&path).unwrap();
        let bodies = [&b"one"[..], b"", b"From x\r\n.\0"];
        for (at, body) in bodies.iter().enumerate() {
            let time = 1_700_000_000_123 + at as u64;
            let file = writer.deliver(time, |out| out.write_all(body)).unwrap();
            assert!(file.is_file());
        }
        let all = messages(&path).unwrap();
        assert_eq!(all.len(), 3);
        for (entry, (body, at)) in all.iter().zip(bodies.iter().zip(0u64..)) {
            assert_eq!(fs::read(&entry.path).unwrap(), *body);
            assert_eq!(entry.name.unix_ms, Some(1_700_000_000_123 + at));
            assert!(entry.is_new);
            let name = entry.path.file_name().unwrap().to_str().unwrap();
            assert!(name.ends_with(&format!(",S={}", body.len())), "{name}");
            assert!(!name.contains([':', '/']));
        }
        assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn drafts_are_delivered_together_and_keep_their_marks() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::create(folder.path()).unwrap();
        let mut drafts = Vec::new();
        for mark in [None, Some("0a1b"), Some("ff")] {
            let mut draft = writer.draft(5_000, mark).unwrap();
            draft.write_all(mark.unwrap_or("none").as_bytes()).unwrap();
            drafts.push(draft);
        }
        drop(writer.draft(5_000, None).unwrap());
        assert!(messages(folder.path()).unwrap().is_empty());
        let files = writer.deliver_all(drafts);
        let marks: Vec<_> = files
            .iter()
            .map(|file| {
                file.as_ref()
                    .unwrap()
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
            })
            .map(|name| (mark_of(name), mark_of(&format!("{name}:2,RS")).is_some()))
            .collect();
        let wanted = [(None, false), (Some("0a1b"), true), (Some("ff"), true)];
        assert_eq!(marks, wanted);
        assert_eq!(messages(folder.path()).unwrap().len(), 3);
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
        assert_eq!(mark_of("1.M2P3Q4R5_I12.example,S=3"), None);
    }

    #[test]
    fn flags_and_keywords_are_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::create(folder.path()).unwrap();
        let flags = Flags {
            flagged: true,
            seen: true,
            ..Flags::default()
        };
        let mut draft = writer.draft(5_000, Some("a1")).unwrap();
        draft.flag(flags);
        let shown = writer.draft(6_000, None).unwrap();
        for file in writer.deliver_all(vec![draft, shown]) {
            file.unwrap();
        }
        let all = messages(folder.path()).unwrap();
        assert!(!all[0].is_new && all[0].name.flags == flags);
        assert_eq!(
            mark_of(all[0].path.file_name().unwrap().to_str().unwrap()),
            Some("a1")
        );
        assert!(all[1].is_new && all[1].name.flags == Flags::default());
        assert_eq!(keywords(folder.path()).unwrap(), Vec::<String>::new());
        fs::write(
            folder.path().join("dovecot-keywords"),
            "0 $label1\n99 x\n2 ann bee\n",
        )
        .unwrap();
        let words = keywords(folder.path()).unwrap();
        assert_eq!(
            (&*words[0], &*words[1], &*words[2]),
            ("$label1", "", "ann bee")
        );
    }

    #[test]
    fn a_message_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::create(folder.path()).unwrap();
        let failed = writer.deliver(0, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("gone"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "gone");
        assert!(messages(folder.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }
}
