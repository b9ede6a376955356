#![doc = include_str!("../README.md")]

pub mod client;
mod command;
pub mod dot;
mod input;
pub mod limits;
mod reply;
mod sasl;
mod secret;
pub mod server;

pub use secret::Secret;
