//! What a POP3 server can do, and what is odd about it.
