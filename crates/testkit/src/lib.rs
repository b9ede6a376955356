//! What tests of this workspace share: an in-memory store that is simple enough to be evidently
//! right, the contract suite that every store passes, a disk that fails on demand, a POP3 server as odd
//! as a test wants it, and a corpus of awkward messages. Nothing here is part of the program.

pub mod contract;
pub mod corpus;
pub mod disk;
pub mod exec;
pub mod memory;
pub mod proxy;
pub mod scripted;

pub use disk::FaultyDisk;
pub use memory::{MemoryStore, Op};
