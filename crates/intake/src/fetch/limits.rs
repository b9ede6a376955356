//! Every quantity of fetching that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// How long a unique-id that has left the listing stays in the ledger: servers show fewer messages for
/// a while and then all of them again, and use ids again only after long.
pub const VANISHED: Duration = Duration::from_secs(90 * 24 * 60 * 60);
