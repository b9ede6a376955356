//! Listeners, TLS, deadlines, limits and drain. Knows no mail: a protocol is a [`Handler`].
//!
//! The calling order: [`Listener::bind`], then [`run`] with a handler and a [`Drain`]; the handler is
//! called once for each connection, may turn its [`Stream`] into a [`Channel`] over [`Tls`], and
//! reads and writes with [`read_some`], [`read_before`] and [`write_all`], so that every wait for a
//! peer ends by itself. [`Drainer::start`] makes `run` return.
//!
//! No buffer is held while a connection is idle: reads go through one buffer per thread.

mod address;
mod channel;
mod drain;
mod io;
pub mod limits;
mod listener;
mod serve;
mod stream;
mod system;
mod tls;

pub use address::{Address, AddressError};
pub use channel::Channel;
pub use drain::{Drain, Drainer};
pub use io::{Deadline, Pace, read_before, read_some, read_with, write_all};
pub use listener::{Listener, LocalAddress};
pub use serve::{Handler, Limits, run};
pub use stream::{Peer, Stream};
pub use system::{host_name, raise_open_files};
pub use tls::{Certificates, Tls, TlsError, TlsStream};
