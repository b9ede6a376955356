//! Many commands under way at once.
