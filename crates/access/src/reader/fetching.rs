//! Fetch now, and how far it is.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::signed::{Posted, Signed};
use super::{AccountStatus, Fault, Reader, blocking, show};

/// An account as a row.
pub(super) struct Account {
    name: String,
    last: String,
    next: String,
    result: String,
    failed: bool,
    running: Option<String>,
}

impl From<AccountStatus> for Account {
    fn from(status: AccountStatus) -> Self {
        Self {
            name: status.name,
            last: status
                .last_success_ms
                .map_or_else(|| "never".to_owned(), show::long_ms),
            next: status
                .next_ms
                .map_or_else(|| "when asked".to_owned(), show::long_ms),
            result: status.result,
            failed: status.failed,
            running: status.running,
        }
    }
}

/// The accounts; asks for itself again while one is being fetched.
#[derive(Template)]
#[template(path = "reader/accounts.html")]
pub(super) struct Accounts {
    accounts: Vec<Account>,
    csrf: String,
    busy: bool,
}

impl Accounts {
    /// Waits for the disk.
    pub(super) fn of(reader: &Reader, signed: &Signed) -> Self {
        let accounts: Vec<Account> = reader
            .backstage
            .accounts(&signed.user)
            .into_iter()
            .map(Account::from)
            .collect();
        Self {
            busy: accounts.iter().any(|account| account.running.is_some()),
            accounts,
            csrf: signed.csrf.clone(),
        }
    }
}

pub(super) async fn progress(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
) -> Result<Html<String>, Fault> {
    blocking(move || Ok(Html(Accounts::of(&reader, &signed).render()?))).await
}

pub(super) async fn fetch(
    State(reader): State<Arc<Reader>>,
    posted: Posted,
) -> Result<Response, Fault> {
    blocking(move || {
        let user = &posted.signed.user;
        let account = posted.form.get("account");
        let of_user = reader.backstage.accounts(user);
        if !of_user.iter().any(|known| known.name == account) {
            return Err(Fault::NotFound);
        }
        reader.backstage.fetch(user, account).map_err(Fault::Bad)?;
        Ok(Redirect::to("/overview").into_response())
    })
    .await
}
