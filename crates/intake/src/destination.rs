//! Where fetched mail goes besides our own store.
