//! POP3, both ends, without I/O: bytes and `now` in, effects out.

mod secret;

pub use secret::Secret;
