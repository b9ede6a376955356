//! Ways out of the post office. [`pop3`] drives `restante-proto`'s session over a connection, a store
//! and a directory; [`http`] runs a router of pages on the same kind of
//! listener; [`reader`] shows people their mail; [`setup`] tells mail programs how to reach it all;
//! [`export`] writes mail into files.

mod buffers;
pub mod export;
pub mod http;
pub mod limits;
pub mod pop3;
pub mod reader;
pub mod setup;
