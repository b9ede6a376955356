//! A session after login.
