//! Which server, and how to reach it.
