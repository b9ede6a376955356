//! Ways out of the post office. [`pop3`] drives `restante-proto`'s session over a connection, a store
//! and a directory; [`http`] runs a router of pages on the same kind of listener.

mod buffers;
pub mod http;
pub mod limits;
pub mod pop3;
