//! From a server's description to a byte stream.
