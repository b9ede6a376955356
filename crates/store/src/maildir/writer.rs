//! Delivers into a Maildir, so that a message is there whole or not at all.

use super::Flags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Distinguishes this process's names where two messages have the same time.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Delivers messages into a Maildir: written in `tmp`, synced, moved into `new`, `new` synced.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
}

impl Writer {
    /// Opens a Maildir; makes what is missing of it, readable by the owner only.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let is_new = !folder.is_dir();
        for part in ["tmp", "new", "cur"] {
            builder.create(folder.join(part))?;
        }
        sync_folder(folder)?;
        if is_new && let Some(above) = folder.canonicalize()?.parent() {
            sync_folder(above)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Delivers what `write` writes, as a new message received at `unix_ms` (milliseconds since
    /// 1970), and returns its file. Durable on return.
    ///
    /// # Errors
    /// What `write` or the file system reports. The message is then not in `new`, except when
    /// nothing but the last step failed, the sync of `new`: then it is, and may not survive a crash.
    pub fn deliver(
        &self,
        unix_ms: u64,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let mut draft = self.draft(unix_ms, None)?;
        write(&mut draft)?;
        let mut delivered = self.deliver_all(vec![draft]);
        delivered
            .pop()
            .unwrap_or_else(|| Err(io::Error::other("nothing was delivered")))
    }

    /// Begins a message in `tmp`, received at `unix_ms`. A `mark` of letters and digits becomes a part of
    /// its name, from which nothing but a removal takes it: see [`mark_of`].
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn draft(&self, unix_ms: u64, mark: Option<&str>) -> io::Result<Draft> {
        let unique = unique_name(unix_ms, mark)?;
        let path = self.folder.join("tmp").join(&unique);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let out = BufWriter::new(options.open(&path)?);
        Ok(Draft {
            out,
            path,
            unique,
            flags: None,
        })
    }

    /// Delivers drafts as [`deliver`](Self::deliver) does, each of them synced and `new` synced once
    /// for all, and `cur` likewise if some are flagged. One result for each.
    pub fn deliver_all(&self, drafts: Vec<Draft>) -> Vec<io::Result<PathBuf>> {
        // All of them are synced before any has its name in `new`: the first sync carries what the
        // file system has gathered, and those after it find little left to do.
        let synced: Vec<_> = drafts.into_iter().map(Draft::sync).collect();
        let parts = [self.folder.join("new"), self.folder.join("cur")];
        let [new, cur] = &parts;
        let mut used = [false, false];
        let moved: Vec<_> = synced
            .into_iter()
            .map(|draft| {
                let (draft, octets) = draft?;
                let name = format!("{},S={octets}", draft.unique);
                // What no program has shown is in `new`, and has no flags.
                let file = match draft.flags {
                    None => new.join(name),
                    Some(flags) => cur.join(format!("{name}{INFO}{}", flags.letters())),
                };
                fs::rename(&draft.path, &file)?;
                used[usize::from(draft.flags.is_some())] = true;
                Ok(file)
            })
            .collect();
        let mut folders = parts.iter().zip(used).filter(|(_, is_used)| *is_used);
        match folders.try_for_each(|(folder, _)| sync_folder(folder)) {
            Ok(()) => moved,
            Err(error) => moved
                .into_iter()
                .map(|result| result.and_then(|_| Err(same(&error))))
                .collect(),
        }
    }
}

/// The same error again: it has no `Clone`.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// A message in `tmp` that is still written; dropped, its file goes.
#[derive(Debug)]
pub struct Draft {
    out: BufWriter<File>,
    path: PathBuf,
    unique: String,
    flags: Option<Flags>,
}

impl Draft {
    /// Delivers it into `cur`, flagged so, rather than into `new`.
    pub fn flag(&mut self, flags: Flags) {
        self.flags = Some(flags);
    }

    /// Syncs it; returns its octets.
    fn sync(mut self) -> io::Result<(Self, u64)> {
        self.out.flush()?;
        let file = self.out.get_ref();
        file.sync_all()?;
        let octets = file.metadata()?.len();
        Ok((self, octets))
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Delivered, it has another name by now. What could not be written is of no use, and a
        // leftover in `tmp` would do no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// The mark in a file's name, if [`Writer::draft`] gave it one.
pub fn mark_of(name: &str) -> Option<&str> {
    let (_, behind) = name.split_once(MARK)?;
    let end = behind.find(|c: char| !c.is_ascii_alphanumeric())?;
    let (mark, rest) = behind.split_at(end);
    rest.starts_with(".restante").then_some(mark)
}

/// What stands before flags. A file system that allows no colon has programs that write this instead.
const INFO: &str = if cfg!(windows) { ";2," } else { ":2," };

/// What stands before a mark. No other part of a name that we make holds it.
const MARK: &str = "_I";

/// `seconds.MmicrosPpidQcountRrandom.host`, so that two writers, on two machines too, never meet:
/// that is why a rename, which would replace a file of the same name, is good enough.
fn unique_name(unix_ms: u64, mark: Option<&str>) -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!(
        "{}.M{}P{}Q{}R{:016x}{}{}.restante",
        unix_ms / 1000,
        unix_ms % 1000 * 1000,
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed),
        u64::from_be_bytes(random),
        mark.map_or("", |_| MARK),
        mark.unwrap_or_default(),
    ))
}

/// Makes the names in a folder durable. Where folders cannot be opened as files there is no way to
/// ask for that.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
