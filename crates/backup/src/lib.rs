//! Backups that are tested, and the way back.
//!
//! A backup is a *generation*: the packs as they stood, cut into pieces that are stored once under the
//! digest of their octets, a snapshot of `state.db`, and one object, written last, that names them all.
//! It goes to a folder or to a bucket that speaks S3, as it is or encrypted with age.
//!
//! [`backup()`] writes a generation and reads back what it wrote; [`restore()`] brings one into an empty
//! folder, or what is missing into one with mail; [`verify_archive`], [`verify_backup`] and [`drill()`]
//! say whether all of it is what it should be; [`Covered`] tells the fetcher which messages a verified
//! backup holds. All of them wait: call them from a thread that may.

mod backup;
mod check;
mod covered;
mod destination;
mod drill;
mod error;
mod keep;
mod lease;
pub mod limits;
mod manifest;
mod merge;
mod pace;
mod prune;
mod repository;
mod restore;
mod seal;
mod stage;
mod state;

pub use backup::{BackupReport, backup};
pub use check::{ArchiveReport, BackupCheck, verify_archive, verify_backup};
pub use covered::Covered;
pub use destination::canonical;
pub use drill::{DrillReport, drill};
pub use error::{BackupError, Result};
pub use keep::Retention;
pub use pace::Hooks;
pub use prune::PruneReport;
pub use repository::{Generation, Target, generations};
pub use restore::{RestoreOptions, RestoreReport, restore};
pub use seal::Key;
pub use stage::finish_half_done;
pub use state::{PlaceStatus, State};
