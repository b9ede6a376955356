//! What all pages share.

use super::signed::Signed;
use super::{Fault, Reader, assets};

/// What stands around every page.
pub(super) struct Frame {
    /// Whose mail it is.
    pub(super) user: String,
    /// For forms.
    pub(super) csrf: String,
    /// The page's title.
    pub(super) title: String,
    /// The entry of the menu that this page belongs to.
    pub(super) at: &'static str,
    /// What stands in the search field.
    pub(super) query: String,
    /// What the owner of the mail should hear.
    pub(super) warnings: Vec<String>,
    /// The labels in use.
    pub(super) labels: Vec<String>,
    /// The accounts that fetch into this mailbox.
    pub(super) accounts: Vec<String>,
    /// Changes whenever a style or script does.
    pub(super) version: &'static str,
}

impl Frame {
    /// Waits for the disk.
    pub(super) fn new(
        reader: &Reader,
        signed: &Signed,
        title: impl Into<String>,
        at: &'static str,
    ) -> Result<Self, Fault> {
        let labels = reader.archive.label_names(&signed.scope)?;
        let accounts = reader.backstage.accounts(&signed.user);
        Ok(Self {
            user: signed.user.clone(),
            csrf: signed.csrf.clone(),
            title: title.into(),
            at,
            query: String::new(),
            warnings: reader.backstage.warnings(&signed.user),
            labels,
            accounts: accounts.into_iter().map(|account| account.name).collect(),
            version: assets::version(),
        })
    }

    /// A name as the value of a field in a search, for an address.
    pub(super) fn encoded(&self, name: &str) -> String {
        let quoted = format!("\"{}\"", name.replace('"', ""));
        super::show::query(&quoted)
    }
}
