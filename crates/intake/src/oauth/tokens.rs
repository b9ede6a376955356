//! Where the tokens of one account are kept: `tokens/NAME.json` in the data folder.
//!
//! A file of its own rather than a table of `state.db`, because `state.db` is in every backup:
//! backups leave the machine and are kept for long, so that the key to a mailbox would lie in all of them;
//! and a refresh token that comes back with a backup was replaced long ago, which a provider
//! takes for theft and answers by ending the grant. A lost file costs one login. The lock is one
//! account's, too, and may be held while a provider is asked; the database's must not be.
//!
//! The file is replaced whole: written beside, synced, renamed, folder synced. Who refreshes holds
//! `NAME.lock` from before the reading until after the replacing, and the system releases it when a
//! process dies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use restante_proto::Secret;
use restante_store::disk::LockFile;
use serde::{Deserialize, Serialize};

use super::OAuthError;
use super::limits::{
    CLOCK_SKEW, FILE_OCTETS, FILE_RESERVE_OCTETS, LIFE_SECONDS, LOCK_TICK, LOCK_WAIT, TOKEN_OCTETS,
};

/// What this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// For which provider and client tokens were given. Those of another are never sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Issuer {
    pub(super) token_endpoint: String,
    pub(super) client_id: String,
    /// As they were asked for.
    pub(super) scopes: Vec<String>,
}

/// The file's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tokens {
    format: u32,
    /// File names may be folded by a filesystem; this is not.
    pub(super) account: String,
    pub(super) issuer: Issuer,
    #[serde(with = "text")]
    pub(super) access_token: Secret,
    #[serde(with = "optional_text")]
    pub(super) refresh_token: Option<Secret>,
    /// When the access token was asked for, in milliseconds since 1970.
    pub(super) asked_ms: u64,
    /// When it ends; `None` = the provider does not say.
    pub(super) expires_ms: Option<u64>,
}

impl Tokens {
    /// Tokens that were asked for at `asked_ms` and are good for `life`.
    pub(super) fn new(
        account: &str,
        issuer: Issuer,
        access_token: Secret,
        refresh_token: Option<Secret>,
        asked_ms: u64,
        life: Option<Duration>,
    ) -> Self {
        let life = life.map(|life| life.as_secs().min(LIFE_SECONDS) * 1000);
        Self {
            format: FORMAT,
            account: account.to_owned(),
            issuer,
            access_token,
            refresh_token,
            asked_ms,
            expires_ms: life.map(|life| asked_ms.saturating_add(life)),
        }
    }

    /// Whether the access token is good for a login now, clocks that differ a little considered.
    pub(super) fn is_fresh(&self, now_ms: u64) -> bool {
        let Some(expires) = self.expires_ms else {
            return true;
        };
        let life = expires.saturating_sub(self.asked_ms);
        let skew = u64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(u64::MAX);
        // A clock that was set back makes a token look younger than it is; the life bounds it.
        let set_back = now_ms.saturating_add(skew) < self.asked_ms;
        !set_back && now_ms.saturating_add(skew.min(life / 4)) < expires
    }
}

/// A token as the provider wrote it, or what is wrong with it. RFC 6749 appendix A has printable ASCII;
/// anything else could end the line of SASL that a token is sent in.
pub(super) fn checked(token: &str) -> Result<Secret, &'static str> {
    let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
    match token.len() {
        0 => Err("a token is empty"),
        length if length > TOKEN_OCTETS => Err("a token is too long"),
        _ if !printable => Err("a token has octets that no token has"),
        _ => Ok(Secret::from(token)),
    }
}

mod text {
    use restante_proto::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(secret.expose());
        text.map_err(|_| ser::Error::custom("no text"))?
            .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        let text = String::deserialize(from)?;
        super::checked(&text).map_err(de::Error::custom)
    }
}

mod optional_text {
    use restante_proto::Secret;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => super::text::serialize(secret, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let secret = text.as_deref().map(super::checked).transpose();
        secret.map_err(de::Error::custom)
    }
}

/// The files of one account.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    folder: PathBuf,
    account: String,
    /// The account's name as a file can have it.
    stem: String,
}

/// Held while tokens are replaced.
#[derive(Debug)]
pub(super) struct Lock {
    _file: LockFile,
}

/// A file that waits to become the account's.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    path: PathBuf,
    /// The old file stays, and this one goes, until it is whole.
    done: bool,
}

impl TokenFile {
    /// `data` is the data folder.
    pub(super) fn new(data: &Path, account: &str) -> Self {
        Self {
            folder: data.join("tokens"),
            account: account.to_owned(),
            stem: file_name(account),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.stem))
    }

    /// The tokens; `None` when there are none.
    pub(super) fn read(&self) -> Result<Option<Tokens>, OAuthError> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(storage(&path, error)),
        };
        let mut content = zeroize::Zeroizing::new(Vec::new());
        file.take(FILE_OCTETS + 1)
            .read_to_end(&mut content)
            .map_err(|error| storage(&path, error))?;
        let odd = |why: String| OAuthError::Format {
            path: path.clone(),
            why,
        };
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        // What a parser says may repeat what it read; where it was is enough.
        let unreadable = |error: serde_json::Error| {
            odd(format!(
                "it is no file of tokens (line {}); remove it and log in again",
                error.line()
            ))
        };
        let Version { format } = serde_json::from_slice(&content).map_err(unreadable)?;
        if format > FORMAT {
            return Err(odd(format!(
                "its format is {format}, this version knows {FORMAT}: a newer version wrote it"
            )));
        }
        let tokens: Tokens = serde_json::from_slice(&content).map_err(unreadable)?;
        if tokens.account != self.account {
            return Err(odd(format!(
                "it is the account {}'s: rename one of the two",
                tokens.account
            )));
        }
        Ok(Some(tokens))
    }

    /// Waits until no other process refreshes this account.
    pub(super) async fn lock(&self) -> Result<Lock, OAuthError> {
        make_folder(&self.folder)?;
        let path = self.folder.join(format!("{}.lock", self.stem));
        let file = LockFile::open(&path).map_err(|error| storage(&path, error))?;
        let end = tokio::time::Instant::now() + LOCK_WAIT;
        loop {
            if file
                .try_exclusive()
                .map_err(|error| storage(&path, error))?
            {
                return Ok(Lock { _file: file });
            }
            if tokio::time::Instant::now() >= end {
                return Err(OAuthError::Busy {
                    account: self.account.clone(),
                });
            }
            tokio::time::sleep(LOCK_TICK).await;
        }
    }

    /// Makes room for new tokens before they are asked for: a folder that cannot be written to or a
    /// full disk must not cost the refresh token that the provider replaces.
    pub(super) fn draft(&self, _lock: &Lock) -> Result<Draft, OAuthError> {
        let path = self.folder.join(format!("{}.json.new", self.stem));
        let failed = |error| storage(&path, error);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.create_new(true).write(true);
        private(&mut options);
        let file = options.open(&path).map_err(failed)?;
        let mut draft = Draft {
            file,
            path: path.clone(),
            done: false,
        };
        draft
            .file
            .write_all(&vec![b' '; FILE_RESERVE_OCTETS])
            .and_then(|()| draft.file.sync_data())
            .map_err(failed)?;
        Ok(draft)
    }

    /// Replaces the tokens. They are durable when this returns.
    pub(super) fn replace(&self, mut draft: Draft, tokens: &Tokens) -> Result<(), OAuthError> {
        let content = serde_json::to_vec_pretty(tokens)
            .map(zeroize::Zeroizing::new)
            .map_err(|_| OAuthError::Format {
                path: self.path(),
                why: "the tokens cannot be written as JSON".to_owned(),
            })?;
        draft
            .fill(&content)
            .and_then(|()| fs::rename(&draft.path, self.path()))
            .map_err(|error| storage(&self.path(), error))?;
        draft.done = true;
        sync_folder(&self.folder)
    }

    /// Removes the tokens, if there are some.
    pub(super) fn remove(&self, _lock: &Lock) -> Result<(), OAuthError> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(storage(&self.path(), error)),
            Ok(()) => sync_folder(&self.folder),
        }
    }
}

impl Draft {
    fn fill(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(content)?;
        self.file.set_len(content.len() as u64)?;
        self.file.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            // It would be replaced by the next one anyway.
            let _removed = fs::remove_file(&self.path);
        }
    }
}

fn storage(path: &Path, source: io::Error) -> OAuthError {
    OAuthError::Storage {
        path: path.to_owned(),
        source,
    }
}

/// An account's name as every filesystem takes it: other octets, and a leading dot, as `%` and two
/// digits.
fn file_name(account: &str) -> String {
    let mut name = String::with_capacity(account.len());
    for (at, byte) in account.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'@' | b'+')
            || (byte == b'.' && at > 0);
        if plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

fn make_folder(folder: &Path) -> Result<(), OAuthError> {
    let failed = |error| storage(folder, error);
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Ok(()) => {
            // The folder's own name has to last as well.
            folder.parent().map_or(Ok(()), sync_folder)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            keep_private(folder).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Takes a folder back that was opened to others.
#[cfg(unix)]
fn keep_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn keep_private(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

/// Makes a rename durable.
fn sync_folder(folder: &Path) -> Result<(), OAuthError> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| storage(folder, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(life: Option<u64>) -> Tokens {
        let issuer = Issuer {
            token_endpoint: "https://login.example/token".to_owned(),
            client_id: "mine".to_owned(),
            scopes: vec!["mail".to_owned()],
        };
        let refresh = Some(Secret::from("R1"));
        let life = life.map(Duration::from_secs);
        Tokens::new(
            "work",
            issuer,
            Secret::from("A1"),
            refresh,
            1_000_000_000,
            life,
        )
    }

    #[test]
    fn a_token_is_stale_a_minute_early_or_after_three_quarters_of_a_short_life() {
        let at = |seconds: u64| 1_000_000_000 + seconds * 1000;
        let hour = tokens(Some(3600));
        assert!(hour.is_fresh(at(3539)));
        assert!(!hour.is_fresh(at(3540)));
        let short = tokens(Some(20));
        assert!(short.is_fresh(at(14)));
        assert!(!short.is_fresh(at(15)));
        assert!(tokens(None).is_fresh(at(10_000_000)));
        // The clock was set back by a day: who knows how old it is.
        assert!(!hour.is_fresh(1_000_000_000 - 86_400_000));
        // A life without an end does not overflow.
        assert!(tokens(Some(u64::MAX)).is_fresh(at(0)));
    }

    #[test]
    fn what_no_token_has_is_refused() {
        assert!(checked("ya29.a0AfH_~+/=-").is_ok());
        for bad in [
            "",
            "a b",
            "a\u{1}",
            "a\r\nb",
            "ä",
            &"a".repeat(TOKEN_OCTETS + 1),
        ] {
            assert!(checked(bad).is_err());
        }
    }

    #[test]
    fn names_stay_in_the_folder() {
        assert_eq!(file_name("work"), "work");
        assert_eq!(file_name("me@example.org"), "me@example.org");
        assert_eq!(file_name("../a:b"), "%2E.%2Fa%3Ab");
        assert_eq!(file_name("ä"), "%C3%A4");
    }

    #[tokio::test]
    async fn tokens_are_kept_privately_and_replaced_whole() {
        let data = tempfile::tempdir().unwrap();
        let file = TokenFile::new(data.path(), "work");
        assert!(file.read().unwrap().is_none());
        let lock = file.lock().await.unwrap();
        file.replace(file.draft(&lock).unwrap(), &tokens(Some(60)))
            .unwrap();
        let kept = file.read().unwrap().unwrap();
        assert_eq!(kept.access_token.expose(), b"A1");
        assert_eq!(kept.refresh_token.unwrap().expose(), b"R1");
        // A draft that comes to nothing leaves the old file and no other.
        drop(file.draft(&lock).unwrap());
        assert!(file.read().unwrap().is_some());
        assert!(!data.path().join("tokens/work.json.new").exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(file.path()), 0o600);
            assert_eq!(mode(data.path().join("tokens")), 0o700);
        }
        file.remove(&lock).unwrap();
        assert!(file.read().unwrap().is_none());
    }

    #[test]
    fn a_newer_format_and_anothers_file_are_refused() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("tokens")).unwrap();
        let file = TokenFile::new(data.path(), "work");
        fs::write(file.path(), r#"{"format":2,"future":true}"#).unwrap();
        let said = file.read().unwrap_err().to_string();
        assert!(said.contains("newer version"), "{said}");
        let mut others = tokens(None);
        others.account = "Work".to_owned();
        fs::write(file.path(), serde_json::to_vec(&others).unwrap()).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("Work"));
        fs::write(file.path(), r#"{"format":1,"access_token":"geheim"}"#).unwrap();
        let said = file.read().unwrap_err().to_string();
        assert!(!said.contains("geheim"), "{said}");
    }
}
