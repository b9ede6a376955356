//! Ways out of the post office. [`pop3`] drives `restante-proto`'s session over a connection, a store
//! and a directory.

mod buffers;
pub mod limits;
pub mod pop3;
