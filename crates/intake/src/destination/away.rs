//! Work that waits for the disk, away from the runtime's own threads.

use std::io;

use super::error::{DestinationError, Fault};

/// A value that is lent to a thread that may block. One whose work was interrupted is gone.
#[derive(Debug)]
pub(super) struct Away<T>(Option<T>);

impl<T: Send + 'static> Away<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value, for what does not block.
    pub(super) fn here(&mut self) -> Result<&mut T, DestinationError> {
        self.0.as_mut().ok_or_else(interrupted)
    }

    /// Runs `work` on a thread that may block.
    pub(super) async fn work<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> Result<R, DestinationError> {
        let mut value = self.0.take().ok_or_else(interrupted)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut value);
            (value, result)
        });
        let (value, result) = done.await.map_err(|_| interrupted())?;
        self.0 = Some(value);
        Ok(result)
    }
}

fn interrupted() -> DestinationError {
    DestinationError::whole(
        Fault::Io,
        "the destination was interrupted while it wrote; it has to be opened again",
    )
}

/// Whether there is no room for as much as this.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// What kind of fault an error of the file system is.
pub(super) fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Fault::Permission,
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Fault::Configuration,
        _ => Fault::Io,
    }
}
