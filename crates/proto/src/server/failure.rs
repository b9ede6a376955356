//! Why the server could not do as asked, and what it says then.

/// Why a command failed that was not the client's mistake in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Wrong name or password; one reply for both.
    Credentials,
    /// Too many failed logins of late: not checked.
    Throttled,
    /// Another session holds the maildrop exclusively.
    InUse,
    /// The message's bytes are gone.
    Gone,
    /// The device that the session is of was removed meanwhile.
    Revoked,
    /// A fault that may pass.
    Temporary,
    /// A fault that needs somebody to mend it.
    Permanent,
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Login,
    Listing,
    Body,
    Removal,
}

impl Failure {
    /// Whether it counts against the client.
    pub(crate) const fn is_of_client(self) -> bool {
        matches!(self, Self::Credentials | Self::Throttled)
    }

    /// The `-ERR` line of the login at which the session is closed.
    pub(crate) const fn last_login_line(self) -> &'static str {
        match self {
            Self::Credentials => "-ERR [AUTH] too many failed logins, closing",
            _ => "-ERR [SYS/TEMP] too many failed logins, closing",
        }
    }

    /// The `-ERR` line: the codes are those of RFC 2449 §8.1.2 IN-USE and RFC 3206 §4 SYS, §5 AUTH.
    /// AUTH stands for wrong credentials and nothing else (RFC 3206 §6).
    pub(crate) const fn status_line(self, asked: Asked) -> &'static str {
        match (self, asked) {
            (Self::Credentials, _) => "-ERR [AUTH] wrong user name or password",
            (Self::Throttled, _) => "-ERR [SYS/TEMP] too many failed logins, try again later",
            (Self::InUse, _) => "-ERR [IN-USE] another session has this maildrop open",
            (Self::Revoked, _) => "-ERR [SYS/PERM] this device has been removed from the mailbox",
            (Self::Gone, Asked::Login | Asked::Listing) => {
                "-ERR [SYS/TEMP] the maildrop has just been removed"
            }
            (Self::Gone, Asked::Body) => "-ERR the message is gone, removed by another session",
            (Self::Gone, Asked::Removal) => "-ERR [SYS/TEMP] the maildrop is gone",
            (Self::Temporary, Asked::Login) => {
                "-ERR [SYS/TEMP] the login cannot be completed now, try again later"
            }
            (Self::Temporary, Asked::Listing) => {
                "-ERR [SYS/TEMP] the maildrop cannot be listed now, try again later"
            }
            (Self::Temporary, Asked::Body) => {
                "-ERR [SYS/TEMP] the message cannot be read now, try again later"
            }
            (Self::Temporary, Asked::Removal) => {
                "-ERR [SYS/TEMP] deleted messages were not removed, try again later"
            }
            (Self::Permanent, Asked::Login) => {
                "-ERR [SYS/PERM] the maildrop cannot be opened, ask the postmaster"
            }
            (Self::Permanent, Asked::Listing) => {
                "-ERR [SYS/PERM] the maildrop cannot be listed, ask the postmaster"
            }
            (Self::Permanent, Asked::Body) => {
                "-ERR [SYS/PERM] the message cannot be read, ask the postmaster"
            }
            (Self::Permanent, Asked::Removal) => {
                "-ERR [SYS/PERM] deleted messages were not removed, ask the postmaster"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_stands_for_credentials_alone() {
        use Failure::*;
        for failure in [
            Credentials,
            Throttled,
            InUse,
            Gone,
            Revoked,
            Temporary,
            Permanent,
        ] {
            for asked in [Asked::Login, Asked::Listing, Asked::Body, Asked::Removal] {
                let line = failure.status_line(asked);
                assert!(line.starts_with("-ERR ") && line.len() <= 510, "{line}");
                assert_eq!(line.contains("[AUTH]"), failure == Credentials, "{line}");
            }
        }
    }
}
