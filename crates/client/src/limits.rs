//! What a server may ask of this client, at most.

use std::time::Duration;

/// How long one wait for a server may last when nobody says otherwise. RFC 1939 §3 has servers wait
/// ten minutes for clients; a server that says nothing for a minute is gone.
pub const SILENCE: Duration = Duration::from_secs(60);
