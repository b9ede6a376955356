//! Every quantity of the directory that has a bound: unit in the name, the reason, what happens at it.

use std::time::Duration;

/// Devices of a user. Another is not made at a login, so that whoever has a password cannot fill the
/// disk with views; those that are not used any more have to be removed first.
pub const DEVICES_PER_USER: usize = 32;

/// A device's name; a longer one cannot be made.
pub const DEVICE_NAME_OCTETS: usize = 32;

/// What is kept of a client's first words, and of its address; the rest is left out.
pub const HELLO_OCTETS: usize = 64;

/// A device's being seen is written down at most once in this time, unless it comes from elsewhere or
/// speaks otherwise.
pub const SEEN_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether another process has changed `state.db`, for sessions that run.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A user's name; a longer one cannot be made. An address has at most 254 octets (RFC 5321 §4.5.3.1).
pub const NAME_OCTETS: usize = 254;

/// A password; a longer one is refused unhashed, so that nobody makes us hash megabytes.
pub const PASSWORD_OCTETS: usize = 4096;

/// A password that can be set: RFC 2449 §4 gives a command 255 octets, of which `PASS ` and CRLF take
/// seven. A longer one is refused.
pub const NEW_PASSWORD_OCTETS: usize = 248;

/// Memory that a stored argon2 hash may ask for; the line with a dearer one lets nobody in.
pub const ARGON2_KIB: u32 = 1024 * 1024;

/// Passes that a stored argon2 hash may ask for.
pub const ARGON2_PASSES: u32 = 64;

/// Cost that a stored bcrypt hash may ask for: 16 takes seconds, 31 days.
pub const BCRYPT_COST: u32 = 16;

/// Rounds that a stored SHA-crypt hash may ask for: seconds.
pub const SHA_CRYPT_ROUNDS: u32 = 10_000_000;

/// Hashes of the password file of which one stands in for that of an unknown user.
pub const STAND_INS: usize = 64;

/// How long a verified login is remembered.
pub const VERIFIED_SECONDS: u64 = 300;

/// Verified logins that are remembered; beyond, half of them are hashed again.
pub const VERIFIED_ENTRIES: usize = 16_384;

/// Wrong passwords that are remembered, so that a client with an old one costs no hashing;
/// beyond, half of them are forgotten.
pub const WRONG_ENTRIES: usize = 4_096;

/// How long a wrong password is remembered.
pub const WRONG_SECONDS: u64 = 60;

/// Guesses of one address (IPv6: one /64): one in this time, so four a second.
pub const ADDRESS_INTERVAL: Duration = Duration::from_millis(250);

/// Guesses that an address has at hand before it waits.
pub const ADDRESS_BURST: u32 = 8;

/// Guesses of one address at one name: half of the address's, so that a second user there gets in.
pub const PAIR_INTERVAL: Duration = Duration::from_millis(500);

/// Guesses at one name that an address has at hand before it waits.
pub const PAIR_BURST: u32 = 4;

/// A guess that would wait longer for its name's turn is refused at once: few guesses at one name may
/// stand in the address's line, and waiting sessions cost memory.
pub const PAIR_WAIT: Duration = Duration::from_secs(1);

/// A guess that would wait longer for its address's turn is refused at once.
pub const ADDRESS_WAIT: Duration = Duration::from_secs(5);

/// The same for the first guess at a name: it finds a place behind those who have had theirs.
pub const FIRST_WAIT: Duration = Duration::from_secs(10);

/// Addresses and pairs that are counted; beyond, those that wait for nothing are dropped, then others.
pub const PENALTY_ENTRIES: usize = 65_536;

/// How long a pair of address and name is known after a good login; a known pair waits for its own
/// guesses only.
pub const KNOWN_PAIR: Duration = Duration::from_secs(24 * 60 * 60);

/// A password file; a larger one is refused.
pub const PASSWD_FILE_OCTETS: u64 = 64 * 1024 * 1024;

/// How long a password file must have been left alone before a name that is not in it is unknown;
/// until then such a name is a temporary failure, unless the file ends with a line end.
pub const PASSWD_FILE_SETTLED: Duration = Duration::from_secs(2);

/// A login altogether, waits for its turn and for a hash worker included; then it is a temporary
/// failure, for its client has given up or soon will.
pub const AUTHENTICATE: Duration = Duration::from_secs(20);

const _: () = assert!(FIRST_WAIT.as_millis() < AUTHENTICATE.as_millis());
const _: () = assert!(PAIR_INTERVAL.as_millis() > ADDRESS_INTERVAL.as_millis());
const _: () = assert!(NEW_PASSWORD_OCTETS <= PASSWORD_OCTETS);
const _: () = assert!(PAIR_BURST <= ADDRESS_BURST);
const _: () = assert!(ADDRESS_WAIT.as_millis() < FIRST_WAIT.as_millis());
