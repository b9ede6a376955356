#![doc = include_str!("../README.md")]

mod auth;
mod capabilities;
mod connection;
mod dial;
mod error;
pub mod limits;
mod link;
mod listing;
mod pipeline;
mod server;
mod session;
mod stream;
mod tls;

pub use auth::{Credentials, Login, Mechanism, UnknownMechanism};
pub use capabilities::Capabilities;
pub use connection::{Connection, connect};
pub use dial::dial;
pub use error::{Error, Limit, Reply, Waiting};
pub use listing::{Scan, ScanListing, Totals, UniqueIdListing};
pub use pipeline::{Event, Pipeline, Request, Window};
pub use restante_proto::Secret;
pub use restante_proto::client::ResponseCode;
pub use server::{ClientCertificate, Place, Security, Server, Socks5, TlsOptions, TlsVersion};
pub use session::{Closing, Session};
pub use stream::Stream;
pub use tls::TlsFacts;
