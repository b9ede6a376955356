//! Delivers into a Maildir, so that a message is there whole or not at all.

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
        for part in ["tmp", "new", "cur"] {
            builder.create(folder.join(part))?;
        }
        sync_folder(folder)?;
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
        let unique = unique_name(unix_ms)?;
        let temporary = self.folder.join("tmp").join(&unique);
        let delivered = write_synced(&temporary, write).and_then(|octets| {
            let file = self.folder.join("new").join(format!("{unique},S={octets}"));
            fs::rename(&temporary, &file)?;
            Ok(file)
        });
        match delivered {
            Ok(file) => {
                sync_folder(&self.folder.join("new"))?;
                Ok(file)
            }
            Err(error) => {
                // What could not be written is of no use; a leftover in `tmp` would do no harm.
                let _ = fs::remove_file(&temporary);
                Err(error)
            }
        }
    }
}

/// `seconds.MmicrosPpidQcountRrandom.host`, so that two writers, on two machines too, never meet:
/// that is why a rename, which would replace a file of the same name, is good enough.
fn unique_name(unix_ms: u64) -> io::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!(
        "{}.M{}P{}Q{}R{:016x}.restante",
        unix_ms / 1000,
        unix_ms % 1000 * 1000,
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed),
        u64::from_be_bytes(random),
    ))
}

/// Writes a new file and syncs it; returns its octets.
fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<u64> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = BufWriter::new(options.open(path)?);
    write(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Makes the names in a folder durable. Where folders cannot be opened as files there is no way to
/// ask for that.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
