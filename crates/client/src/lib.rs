//! An asynchronous POP3 client: dial, TLS, STLS, SASL, pipelined and streaming retrieval.

mod auth;
mod capabilities;
mod connection;
mod dial;
mod error;
pub mod limits;
mod listing;
mod pipeline;
mod server;
mod session;
mod stream;
mod tls;

pub use auth::{Credentials, Login, Mechanism, UnknownMechanism};
pub use restante_proto::Secret;
pub use server::{ClientCertificate, Place, Security, Server, Socks5, TlsOptions, TlsVersion};
pub use tls::TlsFacts;
