//! Ways in: mail fetched by POP3, delivered by LMTP, imported from files.

mod clock;
pub mod destination;
pub mod discover;
pub mod doctor;
pub mod fetch;
pub mod import;
pub mod lmtp;
pub mod oauth;
pub mod providers;
pub mod takeover;
