//! The reader: pages for whoever reads their own mail in a browser, rendered here, with next to no script.
//!
//! [`Reader::router`] makes the pages; [`crate::http`] serves them. What stands between a stranger's mail and its reader, in
//! layers: `restante_archive::render` keeps only harmless HTML; it is shown in a frame without scripts and on an
//! origin of its own, whose policy lets in images of the same message and nothing else until the reader asks; no page takes a
//! script that is not ours. Who asks for a page has a session, and what changes something needs its token too
//! (`signed`). A session sees one mailbox: that of its user.
//!
//! Deliberately absent: any way for an administrator to see another's mail, and any that sends mail.

mod assets;
mod export;
mod fault;
mod fetching;
mod frame;
mod list;
mod login;
mod mark;
mod message;
mod newsletters;
mod overview;
mod page;
mod parts;
mod rules;
mod session;
mod show;
mod signed;
mod stream;
mod unsubscribe;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use restante_archive::Archive;
use restante_directory::Directory;
use restante_proto::Secret;
use restante_store::MailStore;

use fault::Fault;
use session::Sessions;

/// What the reader shows of the rest of the program, and asks of it. Called on threads that may wait.
pub trait Backstage: Send + Sync + 'static {
    /// The accounts that fetch into a user's mailbox, by name.
    fn accounts(&self, user: &str) -> Vec<AccountStatus>;
    /// Starts fetching one of them now; returns at once. The error says why not.
    fn fetch(&self, user: &str, account: &str) -> Result<(), String>;
    /// What the owner of the mail should hear: an account that has gone silent, a backup that is stale.
    fn warnings(&self, user: &str) -> Vec<String>;
    /// How old the backups are.
    fn backups(&self) -> BackupTimes;
}

/// When backups went well last, in milliseconds since 1970; `None`: never, or nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupTimes {
    /// When the last good one was begun.
    pub good_ms: Option<u64>,
    /// When one was restored and compared.
    pub drill_ms: Option<u64>,
}

/// How an account does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountStatus {
    /// Its name.
    pub name: String,
    /// When it was last fetched without a fault, in milliseconds since 1970.
    pub last_success_ms: Option<u64>,
    /// When it is fetched next, in milliseconds since 1970.
    pub next_ms: Option<u64>,
    /// What came of the last fetch, in one line.
    pub result: String,
    /// The last fetch failed.
    pub failed: bool,
    /// What a fetch that is under way has done so far.
    pub running: Option<String>,
}

/// How the reader works.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Certificates (PEM) to trust, instead of the system's, when leaving a newsletter.
    pub unsubscribe_ca: Option<PathBuf>,
    /// Leaves newsletters at addresses of private networks and of this machine, too: for tests.
    pub danger_unsubscribe_private: bool,
}

/// The reader of one data folder.
pub struct Reader {
    archive: Arc<Archive>,
    store: Arc<dyn MailStore>,
    directory: Arc<Directory>,
    backstage: Arc<dyn Backstage>,
    sessions: Sessions,
    options: Options,
}

impl Reader {
    /// A reader of what `archive` knows and `store` keeps, for the users of `directory`.
    ///
    /// # Errors
    /// When the system gives no random octets.
    pub fn new(
        archive: Arc<Archive>,
        store: Arc<dyn MailStore>,
        directory: Arc<Directory>,
        backstage: Arc<dyn Backstage>,
        options: Options,
    ) -> std::io::Result<Self> {
        Ok(Self {
            archive,
            store,
            directory,
            backstage,
            sessions: Sessions::new()?,
            options,
        })
    }

    /// A token that signs in to that mailbox once, soon, without a password: for the address that is opened for whoever may read
    /// the data folder anyway. The path is `/enter?token=`.
    ///
    /// # Errors
    /// When the system gives no random octets.
    pub fn one_time_token(&self, mailbox: &str) -> std::io::Result<Secret> {
        self.sessions.one_time_token(mailbox)
    }

    /// The pages.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/", get(|| async { Redirect::to("/mail") }))
            .route("/mail", get(list::page))
            .route("/deleted", get(list::deleted))
            .route("/mark", post(mark::mark))
            .route("/export", post(export::export))
            .route("/trust", post(mark::trust))
            .route("/m/{id}", get(message::page))
            .route("/m/{id}/frame", get(frame::page))
            .route("/m/{id}/headers", get(message::headers))
            .route("/m/{id}/raw", get(parts::raw))
            .route("/m/{id}/eml", get(parts::eml))
            .route("/m/{id}/part/{part}", get(parts::download))
            .route("/m/{id}/view/{part}", get(parts::view))
            .route("/inline/{id}/{part}/{mac}", get(parts::inline))
            .route("/newsletters", get(newsletters::page))
            .route("/newsletters/{id}", get(newsletters::issues))
            .route("/newsletters/{id}/next", get(newsletters::next))
            .route("/newsletters/{id}/keep", post(newsletters::keep))
            .route(
                "/newsletters/{id}/unsubscribe",
                get(newsletters::confirm).post(newsletters::unsubscribe),
            )
            .route("/rules", get(rules::page).post(rules::add))
            .route("/rules/{id}/preview", get(rules::preview))
            .route("/rules/{id}/apply", post(rules::apply))
            .route("/rules/{id}/remove", post(rules::remove))
            .route("/overview", get(overview::page))
            .route("/fetch", get(fetching::progress).post(fetching::fetch))
            .route("/login", get(login::page).post(login::sign_in))
            .route("/enter", get(login::enter))
            .route("/logout", post(login::sign_out))
            .route("/assets/{name}", get(assets::serve))
            .fallback(|| async { Fault::NotFound })
            .with_state(self)
    }
}

/// Does what waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            Err(Fault::Failed("the page could not be made".to_owned()))
        }
    }
}
