//! Bounds of discovery: unit in the name, the reason, what happens.

use std::time::Duration;

/// For one question to the DNS, its repetitions included. Then there is no answer.
pub const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// For one file by HTTPS. Then there is none.
pub const HTTP_WAIT: Duration = Duration::from_secs(8);

/// For a server to be reached, to shake hands and to greet. Then it is not one.
pub const PROBE_WAIT: Duration = Duration::from_secs(8);

/// An autoconfig file; real ones have a few kilobytes. A longer one is not read.
pub const FILE_OCTETS: usize = 256 * 1024;

/// Redirects that a file may take, each to HTTPS. With more there is none.
pub const REDIRECTS: usize = 3;

/// Servers that are proposed; people choose between few. Further ones are left out.
pub const CANDIDATES: usize = 8;

/// A host name (RFC 1035 §2.3.4). A longer one is none.
pub const NAME_OCTETS: usize = 253;

/// An address (RFC 5321 §4.5.3.1). A longer one is none.
pub const ADDRESS_OCTETS: usize = 254;
