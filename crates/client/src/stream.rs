//! A TCP, Unix or TLS stream.
