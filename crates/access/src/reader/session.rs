//! Who is signed in: sessions live here, and a browser has only a random name for its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use restante_directory::PasswordMark;
use restante_proto::Secret;
use restante_store::MailboxId;

use crate::limits::{READER_IDLE, READER_ONE_TIME, READER_SESSION, READER_SESSIONS};

/// A signed-in browser.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Whose mail it reads.
    pub(super) user: String,
    /// That user's mailbox.
    pub(super) mailbox: MailboxId,
    /// What every change must carry.
    pub(super) csrf: String,
    /// The password that was right; `None` for who came by the one-time token: whoever may read the data
    /// folder, perhaps without a user of that name.
    pub(super) password: Option<PasswordMark>,
    since: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) > READER_SESSION
            || now.duration_since(self.used) > READER_IDLE
    }
}

/// All of them. Names are kept as keyed hashes, so that looking one up takes no time that tells of another.
pub(super) struct Sessions {
    key: [u8; 32],
    sessions: Mutex<HashMap<[u8; 32], Session>>,
    tokens: Mutex<HashMap<[u8; 32], (String, Instant)>>,
}

impl Sessions {
    pub(super) fn new() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self {
            key,
            sessions: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    fn hash(&self, what: &str, secret: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(what.as_bytes()).update(secret.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// The cookie's name: another for each process, since browsers tell ports of one host not apart. With `__Host-` where TLS
    /// lets a browser hold us to it.
    pub(super) fn cookie(&self, tls: bool) -> String {
        let own = hex(&self.hash("cookie", "")[..4]);
        let prefix = if tls { "__Host-" } else { "" };
        format!("{prefix}restante_{own}")
    }

    /// Starts a session; returns its name for the browser.
    pub(super) fn start(
        &self,
        user: String,
        mailbox: MailboxId,
        password: Option<PasswordMark>,
    ) -> std::io::Result<String> {
        let name = random()?;
        let now = Instant::now();
        let session = Session {
            user,
            mailbox,
            csrf: random()?,
            password,
            since: now,
            used: now,
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.is_over(now));
        if sessions.len() >= READER_SESSIONS {
            let oldest = sessions
                .iter()
                .min_by_key(|(_, s)| s.used)
                .map(|(key, _)| *key);
            oldest.and_then(|key| sessions.remove(&key));
        }
        sessions.insert(self.hash("session", &name), session);
        Ok(name)
    }

    pub(super) fn find(&self, name: &str) -> Option<Session> {
        let key = self.hash("session", name);
        let now = Instant::now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&key)?;
        if session.is_over(now) {
            sessions.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    pub(super) fn end(&self, name: &str) {
        let key = self.hash("session", name);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&key);
    }

    pub(super) fn one_time_token(&self, mailbox: &str) -> std::io::Result<Secret> {
        let token = random()?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(
            self.hash("token", &token),
            (mailbox.to_owned(), Instant::now()),
        );
        Ok(Secret::from(token.as_str()))
    }

    /// The mailbox that a token opens; it opens it this once.
    pub(super) fn redeem(&self, token: &str) -> Option<String> {
        let key = self.hash("token", token);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, made)| made.elapsed() <= READER_ONE_TIME);
        tokens.remove(&key).map(|(mailbox, _)| mailbox)
    }

    /// What stands in the address of a message's image: proves that a page of ours named it. The frame that shows it has no
    /// session to show.
    pub(super) fn mac(&self, message: &str, part: u32) -> String {
        hex(&self.hash("inline", &format!("{message}/{part}"))[..16])
    }
}

/// 256 random bits in hexadecimal.
fn random() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAILBOX: MailboxId = MailboxId::from_bytes([7; 16]);

    #[test]
    fn a_session_is_found_by_its_name_until_it_ends() {
        let sessions = Sessions::new().expect("random");
        let name = sessions
            .start("ann".to_owned(), MAILBOX, None)
            .expect("random");
        assert_eq!(name.len(), 64);
        assert_eq!(sessions.find(&name).map(|s| s.user).as_deref(), Some("ann"));
        assert!(sessions.find(&name[1..]).is_none());
        sessions.end(&name);
        assert!(sessions.find(&name).is_none());
    }

    #[test]
    fn a_token_opens_once() {
        let sessions = Sessions::new().expect("random");
        let token = sessions.one_time_token("me").expect("random");
        let token = std::str::from_utf8(token.expose())
            .expect("ASCII")
            .to_owned();
        assert_eq!(sessions.redeem("guess"), None);
        assert_eq!(sessions.redeem(&token).as_deref(), Some("me"));
        assert_eq!(sessions.redeem(&token), None);
    }

    #[test]
    fn sessions_are_bounded_and_the_least_used_goes() {
        let sessions = Sessions::new().expect("random");
        let start = || {
            sessions
                .start("ann".to_owned(), MAILBOX, None)
                .expect("random")
        };
        let first = start();
        for _ in 0..READER_SESSIONS {
            start();
        }
        assert!(sessions.find(&first).is_none());
        assert_eq!(
            sessions.sessions.lock().expect("not poisoned").len(),
            READER_SESSIONS
        );
    }
}
