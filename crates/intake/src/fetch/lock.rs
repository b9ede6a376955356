//! One run of an account at a time, in all processes: a file lock, which ends with its process.

use std::path::Path;

use restante_store::disk::LockFile;

use super::{FetchError, Kind};

/// Held while an account is fetched.
#[derive(Debug)]
pub(super) struct Lock {
    _file: LockFile,
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
        let file = LockFile::open(&path).map_err(failed)?;
        if !file.try_exclusive().map_err(failed)? {
            return Err(FetchError::new(
                Kind::Temporary,
                format!("{account} is being fetched already"),
            ));
        }
        Ok(Self { _file: file })
    }
}
