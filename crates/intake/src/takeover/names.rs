//! Whether two names mean the same server or the same user.

use super::Mailbox;
use crate::providers;

impl Mailbox<'_> {
    /// Whether a host in a file is this mailbox's: the same name, or another name of the same provider.
    pub(super) fn is_host(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case(self.host)
            || match (providers::by_host(host), providers::by_host(self.host)) {
                (Some(theirs), Some(ours)) => theirs.name == ours.name,
                _ => false,
            }
    }

    /// Whether a user in a file is this mailbox's: the same name, or the one the other's local part.
    /// Gmail's `recent:` in front of a name changes only what is listed.
    pub(super) fn is_user(&self, user: &str) -> bool {
        let theirs = user.strip_prefix("recent:").unwrap_or(user);
        let ours = self.user.strip_prefix("recent:").unwrap_or(self.user);
        if theirs.eq_ignore_ascii_case(ours) {
            return true;
        }
        match (theirs.split_once('@'), ours.split_once('@')) {
            (Some((local, _)), None) => local.eq_ignore_ascii_case(ours),
            (None, Some((local, _))) => local.eq_ignore_ascii_case(theirs),
            _ => false,
        }
    }
}
