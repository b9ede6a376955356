//! The configuration: as typed in one TOML file, then as resolved.
//!
//! Every mistake in the file is reported at once, with its line, what is wrong and what would be
//! right. A key that is not known is a mistake: a misspelt limit must not be no limit.

pub(crate) mod account;
mod account_reader;
mod backup;
pub(crate) mod edit;
pub(crate) mod mailbox;
mod mistakes;
mod reader;
mod reading;
mod resolve;
mod section;
pub(crate) mod setup;
pub(crate) mod url;

use std::path::PathBuf;

use restante_net::Address;

pub(crate) use account::Account;
pub(crate) use backup::Backup;
pub(crate) use mailbox::Mailbox;
pub(crate) use mistakes::{ConfigError, Mistake};
pub(crate) use reading::Reading;
pub(crate) use resolve::{Origin, Overrides, load};
pub(crate) use setup::Setup;

/// What a file says; `None` where it says nothing.
#[derive(Debug, Default)]
struct Typed {
    data: Option<PathBuf>,
    domains: Option<Vec<String>>,
    pop3_listen: Option<Vec<Address>>,
    pop3_tls_listen: Option<Vec<Address>>,
    exclusive: Option<bool>,
    danger_plaintext_login: Option<bool>,
    lmtp_listen: Option<Vec<Address>>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    passwd_file: Option<PathBuf>,
    hold_ms: Option<u64>,
    min_free: Option<u64>,
    connections: Option<u64>,
    connections_per_address: Option<u64>,
    message_octets: Option<u64>,
    recipients: Option<u64>,
    reading: reading::Typed,
    setup: setup::Typed,
    fetch_parallel: Option<u64>,
    stale_after_ms: Option<u64>,
    mailboxes: Vec<Mailbox>,
    backup: Backup,
    accounts: Vec<Account>,
}

/// What the program runs with.
#[derive(Debug)]
pub(crate) struct Config {
    file: Option<PathBuf>,
    data: PathBuf,
    domains: Vec<String>,
    pop3_listen: Vec<Address>,
    pop3_tls_listen: Vec<Address>,
    exclusive: bool,
    danger_plaintext_login: bool,
    lmtp_listen: Vec<Address>,
    certificate: Option<(PathBuf, PathBuf)>,
    passwd_file: Option<PathBuf>,
    hold_ms: u64,
    min_free: u64,
    connections: usize,
    connections_per_address: usize,
    message_octets: u64,
    recipients: usize,
    reading: Reading,
    setup: Option<Setup>,
    fetch_parallel: usize,
    stale_after_ms: u64,
    mailboxes: Vec<Mailbox>,
    backup: Backup,
    accounts: Vec<Account>,
}

/// The default place of a listener: this machine only.
fn loopback(port: u16) -> Vec<Address> {
    vec![Address::Tcp("127.0.0.1".to_owned(), port)]
}

impl Config {
    /// The file that was read; `None` when there is none.
    pub(crate) fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }
    /// The data folder.
    pub(crate) fn data(&self) -> &std::path::Path {
        &self.data
    }
    /// Domains whose addresses are users' local parts.
    pub(crate) fn domains(&self) -> &[String] {
        &self.domains
    }
    /// Where POP3 listens, with STLS.
    pub(crate) fn pop3_listen(&self) -> &[Address] {
        &self.pop3_listen
    }
    /// Where POP3S listens.
    pub(crate) fn pop3_tls_listen(&self) -> &[Address] {
        &self.pop3_tls_listen
    }
    /// Whether a session holds its mailbox alone.
    pub(crate) fn exclusive(&self) -> bool {
        self.exclusive
    }
    /// Whether passwords are taken in clear from other machines.
    pub(crate) fn danger_plaintext_login(&self) -> bool {
        self.danger_plaintext_login
    }
    /// Where LMTP listens.
    pub(crate) fn lmtp_listen(&self) -> &[Address] {
        &self.lmtp_listen
    }
    /// Certificate chain and key, both PEM; `None` for a self-signed one.
    pub(crate) fn certificate(&self) -> Option<(&std::path::Path, &std::path::Path)> {
        self.certificate
            .as_ref()
            .map(|(chain, key)| (chain.as_path(), key.as_path()))
    }
    /// A password file besides the users in `state.db`.
    pub(crate) fn passwd_file(&self) -> Option<&std::path::Path> {
        self.passwd_file.as_deref()
    }
    /// How long a removed message can be restored, in milliseconds.
    pub(crate) fn hold_ms(&self) -> u64 {
        self.hold_ms
    }
    /// Octets that stay free on the disk.
    pub(crate) fn min_free(&self) -> u64 {
        self.min_free
    }
    /// Connections that a listener serves at once.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }
    /// Connections of one address at once; loopback is exempt.
    pub(crate) fn connections_per_address(&self) -> usize {
        self.connections_per_address
    }
    /// The largest message that LMTP takes, in octets.
    pub(crate) fn message_octets(&self) -> u64 {
        self.message_octets
    }
    /// Recipients of one LMTP transaction.
    pub(crate) fn recipients(&self) -> usize {
        self.recipients
    }
    /// Where the reader is, and for whom.
    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }
    /// What mail programs are told; `None` when nothing is.
    pub(crate) fn setup(&self) -> Option<&Setup> {
        self.setup.as_ref()
    }
    /// Accounts fetched at once.
    pub(crate) fn fetch_parallel(&self) -> usize {
        self.fetch_parallel
    }
    /// How long an account may be without success before `status` complains, in milliseconds.
    pub(crate) fn stale_after_ms(&self) -> u64 {
        self.stale_after_ms
    }
    /// What the file says of mailboxes.
    pub(crate) fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }
    /// Names of mailboxes that are to be indexed (`true`), or never (`false`), whoever reads them.
    pub(crate) fn indexed(&self, yes: bool) -> Vec<String> {
        let these = self.mailboxes.iter().filter(|said| said.index == Some(yes));
        these.map(|said| said.name.clone()).collect()
    }
    /// Where backups go, and when.
    pub(crate) fn backup(&self) -> &Backup {
        &self.backup
    }
    /// The accounts, by name.
    pub(crate) fn accounts(&self) -> &[Account] {
        &self.accounts
    }
    /// The account of that name.
    pub(crate) fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }
}
