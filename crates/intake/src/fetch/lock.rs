//! One run of an account at a time, in all processes: a file lock, which ends with its process.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::{FetchError, Kind};

/// Held while an account is fetched.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path, account: &str) -> Result<Self, FetchError> {
        let folder = folder.join("locks");
        // An account's name may hold anything; a file's must not.
        let name = blake3::hash(account.as_bytes()).to_hex();
        let path = folder.join(format!("fetch-{}.lock", &name[..32]));
        let failed = |error: std::io::Error| {
            let what = format!("cannot lock {}: {error}", path.display());
            FetchError::new(Kind::Io, what)
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder).map_err(failed)?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FetchError::new(
                Kind::Temporary,
                format!("{account} is being fetched already"),
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
