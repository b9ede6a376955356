//! Ways in for mail: from an MTA by LMTP, and from files.

pub mod import;
pub mod lmtp;
