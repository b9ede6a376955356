//! The client's end of a POP3 session: RFC 1939, 2449, 2595 §4, 3206, 5034.

mod limit;
mod reply;

pub use limit::Limit;
pub use reply::ResponseCode;
