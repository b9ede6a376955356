//! Fetching by POP3: exactly once, and left on the server as the policy says.
