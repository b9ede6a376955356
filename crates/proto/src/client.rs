//! The client's end of a POP3 session.
