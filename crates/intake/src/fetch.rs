//! Mail from a remote maildrop into an archive, exactly once.
//!
//! The order that keeps mail: a message's bytes and the ledger's entry for it are durable → DELE is
//! sent → QUIT → its `+OK` is read → the state notes the deletion. A crash between any two steps
//! leads to neither loss nor a second copy.

mod account;
mod error;
mod identify;
mod keeper;
mod ledger;
pub mod limits;
mod lock;
mod plan;
mod policy;
mod progress;
mod relearn;
mod reply;
mod run;
mod session;
mod state;
mod survey;
mod world;

pub use account::{
    Account, BoxFuture, CredentialError, CredentialSource, Keep, OpenDestination, Target,
};
pub use error::{FetchError, Kind};
pub use progress::{Action, Aside, Pause, PauseReason, Progress, Summary};
pub(crate) use reply::kind_of;
pub use run::{run, take_over};
pub use state::{AccountStatus, State};
pub use world::{RunOptions, World};
