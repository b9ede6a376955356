//! What a fetcher meets in the world, one test for each, against a scripted server: the behaviour is
//! that of the project's table of server quirks, and of the mistakes seen in other fetchers.

mod bench;
mod cuts;
mod endless;
mod identity;
mod listings;
mod login;
mod messages;
mod pipelining;
mod windows;
