//! What a dotlock says besides who holds it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The length of an mbox before a batch is appended to it, and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) before: u64,
    pub(super) after: u64,
}

impl Journal {
    /// What stands in the dotlock, behind the line with the process id.
    pub(super) fn line(self) -> String {
        format!("restante {} {}\n", self.before, self.after)
    }

    /// Reads a dotlock's content; `None` when no batch was begun under it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.lines().nth(1)?.split(' ');
        if words.next() != Some("restante") || !text.ends_with('\n') {
            return None;
        }
        let before = words.next()?.parse().ok()?;
        let after = words.next()?.parse().ok()?;
        (words.next().is_none() && before < after).then_some(Self { before, after })
    }

    /// Cuts off what a batch left half done. All locks are held; the writer of this journal ended
    /// while it held them, so that nobody who keeps to locks has touched the file since.
    ///
    /// The octets cut off are first kept in a file beside it, since some programs keep to none.
    pub(super) fn mend(self, path: &Path, file: &File) -> io::Result<()> {
        let octets = file.metadata()?.len();
        if octets <= self.before || octets >= self.after {
            // Nothing was written, or all of it was: the fetcher finds it there. Or another program
            // has rewritten the file.
            return Ok(());
        }
        let mut torn = file;
        torn.seek(SeekFrom::Start(self.before))?;
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut kept = options.open(torn_beside(path))?;
        io::copy(&mut torn.take(octets - self.before), &mut kept)?;
        kept.sync_all()?;
        super::lock::sync_folder_of(path)?;
        file.set_len(self.before)?;
        file.sync_all()?;
        tracing::warn!(
            mbox = %path.display(),
            octets = octets - self.before,
            "an append that broke off was undone; its octets are in the file with .torn behind its name"
        );
        Ok(())
    }
}

/// Where octets go that are cut off.
pub(super) fn torn_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".torn");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotlock_is_read_back() {
        let journal = Journal {
            before: 7,
            after: 1_000,
        };
        let text = format!("4711\n{}", journal.line());
        assert_eq!(Journal::parse(&text), Some(journal));
        for torn in 0..text.len() {
            assert_eq!(Journal::parse(&text[..torn]), None);
        }
        assert_eq!(Journal::parse("4711\n"), None);
        assert_eq!(Journal::parse("0"), None);
        assert_eq!(Journal::parse("1\nrestante 9 9\n"), None);
    }
}
