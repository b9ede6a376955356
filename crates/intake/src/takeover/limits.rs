//! Bounds of what is read from other programs' files: unit in the name, the reason, what happens.

/// A line; ids have 70 octets (RFC 1939 §7), user names and hosts less than 500. A longer line is left
/// out whole.
pub const LINE_OCTETS: usize = 4096;

/// Ids of one mailbox; four times the fullest maildrop that was reported would not be more. A file
/// with more is refused.
pub const IDS: usize = 16 * 1024 * 1024;

/// Names of a folder that are looked at: profiles, servers, state files. Further ones are not seen.
pub const FOLDER_NAMES: usize = 4096;
