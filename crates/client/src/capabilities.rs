//! What a server says it can do.
