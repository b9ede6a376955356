//! A connection before login.
