//! Why a message was not stored, and what that says of the next one.

use std::fmt;

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This message: others may be stored all the same.
    Message,
    /// The destination as a whole: no other message would fare better now.
    Destination,
}

/// What kind of thing went wrong, and so who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It cannot be reached, or the connection was lost.
    Unavailable,
    /// A file or folder on this machine: no space, no such device.
    Io,
    /// It asks to try again later, or a lock stayed taken.
    Temporary,
    /// It will not take this, now or later.
    Refused,
    /// It does not speak its protocol, or went past a limit.
    Protocol,
    /// Not allowed: a file's mode, a password, a certificate that is not trusted.
    Permission,
    /// What was configured cannot work.
    Configuration,
}

/// Why a message was not stored. The text names the destination and the cause, never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationError {
    scope: Scope,
    fault: Fault,
    text: String,
}

impl DestinationError {
    /// About one message.
    pub fn message(fault: Fault, text: impl Into<String>) -> Self {
        Self::new(Scope::Message, fault, text.into())
    }

    /// About the destination as a whole.
    pub fn whole(fault: Fault, text: impl Into<String>) -> Self {
        Self::new(Scope::Destination, fault, text.into())
    }

    fn new(scope: Scope, fault: Fault, text: String) -> Self {
        Self { scope, fault, text }
    }

    /// Whether other messages are affected.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// What kind of thing went wrong.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Whether the same message may be stored later with nothing changed here.
    pub fn is_temporary(&self) -> bool {
        match self.fault {
            Fault::Unavailable | Fault::Io | Fault::Temporary | Fault::Protocol => true,
            Fault::Refused | Fault::Permission | Fault::Configuration => false,
        }
    }
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for DestinationError {}
