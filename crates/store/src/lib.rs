//! Mailboxes that keep mail.
//!
//! [`MailStore`] is what the rest of the program knows: it opens a mailbox through a view as a
//! [`Maildrop`], takes deliveries, and tells what changed. The embedded store keeps it all
//! in one folder of append-only packs and a derived index.
//!
//! There are no sockets, no asynchronous runtime and no MIME here: what must not lose mail never
//! parses HTML.

pub mod disk;
pub mod embedded;
mod error;
mod id;
pub mod limits;
pub mod maildir;
pub mod marks;
pub mod mbox;
mod traits;

pub use error::StoreError;
pub use id::{MailboxId, ParseIdError, TombstoneId, UniqueId, ViewId};
pub use traits::{
    Access, Body, Capabilities, Change, Changes, Cursor, DeletionSet, Delivery, Draft, Hints,
    LedgerEntry, Listing, ListingEntry, MailStore, MailboxInfo, Maildrop, MessageFilter,
    MessageInfo, Release, Sealed, Seen, Source, StoreFuture, Tended, Tending, Totals, ViewInfo,
};
