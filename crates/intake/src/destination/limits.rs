//! Every quantity of a destination that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// How long any one wait may last when nothing else is said: what the fetcher grants a POP3 server.
pub const TIMEOUT: Duration = Duration::from_secs(60);
