//! TLS as the account wants it.
