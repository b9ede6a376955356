//! POP3, both ends, without I/O: bytes and `now` in, effects out.
//!
//! [`server::Session`] is the server's end of one connection; [`dot`] carries message bodies in
//! either direction. There are no sockets, no files and no clock here: whoever drives a session
//! reads and writes, keeps the time and asks the store.

pub mod client;
mod command;
pub mod dot;
mod input;
pub mod limits;
mod reply;
mod sasl;
mod secret;
pub mod server;

pub use secret::Secret;
