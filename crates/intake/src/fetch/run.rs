//! One fetch of one account: sessions, until the work is done.

use super::{Account, FetchError, Kind, Progress, RunOptions, Summary, World};

/// Fetches an account. What it comes to is noted in the state, unless it is a dry run.
///
/// # Errors
/// Why it ended before its work was done; what was stored until then stays stored.
pub async fn run(
    account: &Account,
    world: &World,
    options: &RunOptions,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Summary, FetchError> {
    let _ = (world, options, progress);
    let name = &account.name;
    Err(FetchError::new(Kind::Temporary, format!("{name}: not yet")))
}
