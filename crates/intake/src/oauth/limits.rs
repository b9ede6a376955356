//! Every quantity of OAuth2 that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// One request to a provider, from the look-up of its name to the last octet of its answer. Then
/// the provider counts as out of reach.
pub const REQUEST_WAIT: Duration = Duration::from_secs(30);

/// Of that, until a connection stands.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Octets of a provider's answer. Two tokens and an identity token are some 10 KiB; more is an error.
pub const RESPONSE_OCTETS: usize = 256 * 1024;

/// The longest that a code for another device is waited for, whatever the provider grants. RFC 8628
/// has 30 minutes in its example; providers give 15.
pub const DEVICE_WAIT: Duration = Duration::from_secs(30 * 60);

/// RFC 8628 §3.2: a provider says how long to wait between two questions; less than this would be a
/// mistake or an attempt to make us hurry.
pub const DEVICE_INTERVAL_LEAST: Duration = Duration::from_secs(1);

/// RFC 8628 §3.5: questions that failed on the way are asked less and less often, down to this.
pub const DEVICE_BACK_OFF: Duration = Duration::from_secs(60);

/// How long a person may take in the browser, if the caller says nothing else.
pub const LOOPBACK_WAIT: Duration = Duration::from_secs(10 * 60);

/// Connections to our own listener at once: a browser opens a few ahead of need. More have to wait.
pub const LOOPBACK_CONNECTIONS: usize = 16;

/// One request at our own listener, from its connection to the end of our page. A connection that a
/// browser opened ahead of need is closed then.
pub const LOOPBACK_REQUEST_WAIT: Duration = Duration::from_secs(10);

/// Octets of a request at our own listener, which is a GET: an authorization code is some 2 KiB, and a
/// browser's headers as much. Longer ones are dropped.
pub const LOOPBACK_REQUEST_OCTETS: usize = 64 * 1024;

/// A token counts as expired this long before it is: clocks differ, and a session must still log in.
/// Of a token that lives shortly, a quarter of its life at most.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// A token's life in seconds, at most: a year. What claims more is taken for this, so that times stay
/// within what they can be added up in.
pub const LIFE_SECONDS: u64 = 366 * 24 * 60 * 60;

/// How long another process's refresh of the same account is waited for. It has the lock for one
/// request and two syncs.
pub const LOCK_WAIT: Duration = Duration::from_secs(60);

/// How often the lock is tried again.
pub const LOCK_TICK: Duration = Duration::from_millis(50);

/// Octets of a token, which goes into one line of SASL; longer ones are refused.
pub const TOKEN_OCTETS: usize = 32 * 1024;

/// Octets of a file of tokens. It holds two and some words; a longer one is not ours.
pub const FILE_OCTETS: u64 = 256 * 1024;

/// Octets that are written ahead of a refresh, so that a full disk is noticed before the provider
/// has replaced the refresh token rather than after.
pub const FILE_RESERVE_OCTETS: usize = 16 * 1024;

/// Characters of a provider's own words that an error repeats.
pub const DESCRIPTION_CHARACTERS: usize = 300;

const _: () = assert!(CONNECT_WAIT.as_secs() < REQUEST_WAIT.as_secs());
const _: () = assert!(REQUEST_WAIT.as_secs() < LOCK_WAIT.as_secs());
const _: () = assert!(2 * TOKEN_OCTETS < FILE_OCTETS as usize);
const _: () = assert!(DEVICE_INTERVAL_LEAST.as_secs() < DEVICE_BACK_OFF.as_secs());
