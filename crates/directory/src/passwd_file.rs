//! A password file as other servers write it: `user:{SCHEME}hash[:…]`, one user a line.
//!
//! Of the further fields the quota is read, `userdb_quota_rule=*:storage=1G` or
//! `userdb_quota_storage_size=1G`, and those that keep a user out: `nologin`, and `allow_nets`, which we
//! cannot judge. A user whose name is sound stays a user whatever else is wrong in the line: nobody gets
//! in by it, but an MTA must not bounce the mail. So does one without a password, or with one that
//! starts with `*` or `!`. A file that cannot be read takes nobody away: it is an error, and logins are
//! temporary failures. So is a name that is not in a file which has just changed: perhaps it is being
//! written, and that name's line is still to come.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::limits::{PASSWD_FILE_OCTETS, PASSWD_FILE_SETTLED, STAND_INS};
use crate::{Account, DirectoryError, User, UserSource, hashes, names};

/// What tells one version of the file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    changed: Option<SystemTime>,
    octets: u64,
    /// Device, inode, and when the inode changed: a copy may keep the time of its content.
    #[cfg(unix)]
    file: (u64, u64, i64, i64),
}

impl Version {
    fn of(data: &fs::Metadata) -> Self {
        Self {
            changed: data.modified().ok(),
            octets: data.len(),
            #[cfg(unix)]
            file: {
                use std::os::unix::fs::MetadataExt;
                (data.dev(), data.ino(), data.ctime(), data.ctime_nsec())
            },
        }
    }
}

impl Version {
    /// Whether the same version means the same content, and all of it: within one tick of the file
    /// system's clock a file may change twice, and who writes one in place empties it first. A time
    /// to come says that a clock was wrong, not that somebody writes.
    fn is_settled(&self) -> bool {
        #[cfg(unix)]
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::new(
            u64::try_from(self.file.2).unwrap_or(0),
            u32::try_from(self.file.3).unwrap_or(0),
        ));
        #[cfg(not(unix))]
        let changed = self.changed;
        let Some(changed) = changed else { return false };
        let apart = match changed.elapsed() {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        };
        apart > PASSWD_FILE_SETTLED
    }
}

type Accounts = HashMap<String, Account>;

#[derive(Debug)]
struct Content {
    /// `None` while the file has just changed: then it is read again.
    version: Option<Version>,
    /// Whether the file ends with a line end: one that is being written usually does not yet.
    complete: bool,
    digest: blake3::Hash,
    accounts: Arc<Accounts>,
    stand_ins: Arc<[Arc<str>]>,
}

/// The file, read again when it has changed.
#[derive(Debug)]
pub(crate) struct PasswdFile {
    path: PathBuf,
    read: Mutex<Option<Content>>,
}

impl PasswdFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::new(None),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Result<Option<Account>, DirectoryError> {
        let (found, is_settled) = self.with(|content| {
            let found = content.accounts.get(name).cloned();
            (found, content.version.is_some() || content.complete)
        })?;
        if found.is_none() && !is_settled {
            return Err(self.unreadable(&"it has just changed and may still be being written"));
        }
        Ok(found)
    }

    pub(crate) fn users(&self) -> Result<Vec<User>, DirectoryError> {
        let accounts = self.current()?;
        Ok(accounts
            .values()
            .map(|account| account.user.clone())
            .collect())
    }

    /// Some users' hashes, the same ones as long as the file is the same.
    pub(crate) fn stand_ins(&self) -> Result<Arc<[Arc<str>]>, DirectoryError> {
        self.with(|content| Arc::clone(&content.stand_ins))
    }

    /// Reads the file, whether it looks changed or not.
    pub(crate) fn read_again(&self) -> Result<(), DirectoryError> {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.current().map(drop)
    }

    fn current(&self) -> Result<Arc<Accounts>, DirectoryError> {
        self.with(|content| Arc::clone(&content.accounts))
    }

    fn with<T>(&self, take: impl Fn(&Content) -> T) -> Result<T, DirectoryError> {
        let data = fs::metadata(&self.path).map_err(|error| self.unreadable(&error))?;
        let version = Version::of(&data);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*read
            && known.version.as_ref() == Some(&version)
        {
            return Ok(take(known));
        }
        if data.len() > PASSWD_FILE_OCTETS {
            return Err(self.unreadable(&"it is larger than a password file can be"));
        }
        let bytes = fs::read(&self.path).map_err(|error| self.unreadable(&error))?;
        let digest = blake3::hash(&bytes);
        let settled = version.is_settled().then_some(version);
        if let Some(known) = read.as_mut().filter(|known| known.digest == digest) {
            known.version = settled;
            return Ok(take(known));
        }
        let accounts = self.parse(&bytes);
        let hashes = accounts.values().filter_map(|account| account.hash.clone());
        let content = Content {
            version: settled,
            complete: bytes.ends_with(b"\n"),
            digest,
            stand_ins: hashes.take(STAND_INS).collect(),
            accounts: Arc::new(accounts),
        };
        Ok(take(read.insert(content)))
    }

    fn unreadable(&self, why: &dyn std::fmt::Display) -> DirectoryError {
        DirectoryError::Io(format!(
            "cannot read the password file {} (users.passwd_file): {why}",
            self.path.display()
        ))
    }

    fn parse(&self, bytes: &[u8]) -> Accounts {
        let mut accounts = Accounts::new();
        for (number, line) in bytes.split(|octet| *octet == b'\n').enumerate() {
            if let Err(mistake) = take_line(&mut accounts, line) {
                // Never the line itself: it holds a hash.
                tracing::warn!(file = %self.path.display(), line = number + 1, "password file: {mistake}");
            }
        }
        accounts
    }
}

/// Takes what can be taken of a line; an error says what could not.
fn take_line(accounts: &mut Accounts, line: &[u8]) -> Result<(), String> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(());
    }
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let (name, rest) = line.split_once(':').ok_or("a line is user:{SCHEME}hash")?;
    let name = names::checked(name).map_err(|error| error.to_string())?;
    if accounts.contains_key(&name) {
        return Err(format!("{name} is there already; the first counts"));
    }
    let (stored, fields) = rest.split_once(':').unwrap_or((rest, ""));
    let quota = quota(fields);
    let hash = hash(stored, fields);
    let account = Account {
        user: User {
            name: name.clone(),
            quota_octets: quota.clone().unwrap_or(None),
            source: UserSource::PasswdFile,
        },
        hash: hash.clone().unwrap_or(None).map(Arc::from),
    };
    accounts.insert(name.clone(), account);
    hash.map_err(|why| format!("{why}; {name} takes mail but cannot log in"))?;
    quota.map_err(|why| format!("{why}; {name} has no quota"))?;
    Ok(())
}

/// `None` for a user who is kept out on purpose.
fn hash<'a>(stored: &'a str, fields: &str) -> Result<Option<&'a str>, String> {
    for field in fields.split([':', ' ', '\t']) {
        match field.split_once('=').map_or(field, |(name, _)| name) {
            "nologin" => return Ok(None),
            "allow_nets" | "allow_real_nets" => {
                return Err("allow_nets is not supported, take it out".to_owned());
            }
            _ => {}
        }
    }
    if stored.is_empty() || stored.starts_with(['*', '!']) {
        return Ok(None);
    }
    hashes::readable(stored).map(Some)
}

/// Without a unit a rule counts kibibytes, a size octets. Zero is no bound.
fn quota(fields: &str) -> Result<Option<u64>, String> {
    let rules = [
        ("userdb_quota_rule=*:storage=", 10),
        ("userdb_quota_rule=*:bytes=", 0),
        ("userdb_quota_storage_size=", 0),
    ];
    for (rule, shift) in rules {
        if let Some((_, text)) = fields.split_once(rule) {
            let text = text.split([' ', '\t', ':']).next().unwrap_or_default();
            if text == "unlimited" {
                return Ok(None);
            }
            let octets = octets(text, shift).ok_or("the quota is no size such as 1G")?;
            return Ok((octets > 0).then_some(octets));
        }
    }
    Ok(None)
}

fn octets(text: &str, without_unit: u32) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => without_unit,
        "B" => 0,
        "K" | "KB" => 10,
        "M" | "MB" => 20,
        "G" | "GB" => 30,
        "T" | "TB" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";

    #[test]
    fn a_mistake_takes_its_own_line_away_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let text = format!(
            "# users\n\nann:{HASH}\nbob:{{PLAIN}}x\nnonsense\nCarl@Example.org:{HASH}:1000:1000::/home/carl::userdb_quota_rule=*:storage=2M\nann:{HASH}\n"
        );
        fs::write(&path, text).unwrap();
        let file = PasswdFile::new(path);
        let mut users = file.users().unwrap();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        let seen: Vec<_> = users
            .iter()
            .map(|u| (u.name.as_str(), u.quota_octets))
            .collect();
        assert_eq!(
            seen,
            [
                ("ann", None),
                ("bob", None),
                ("carl@example.org", Some(2 << 20))
            ]
        );
    }

    /// `… > users` empties the file before it writes: no name is missing before that is over.
    #[test]
    fn nobody_is_missing_in_a_file_that_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let file = PasswdFile::new(path.clone());
        fs::write(&path, "").unwrap();
        assert!(matches!(file.find("ann"), Err(DirectoryError::Io(_))));
        fs::write(&path, format!("ann:{HASH}\n")).unwrap();
        assert!(file.find("ann").unwrap().is_some());
        assert!(file.find("bob").unwrap().is_none());
        fs::write(&path, format!("ann:{HASH}\nbo")).unwrap();
        assert!(matches!(file.find("bob"), Err(DirectoryError::Io(_))));
        std::thread::sleep(PASSWD_FILE_SETTLED + Duration::from_millis(100));
        assert!(file.find("bob").unwrap().is_none());
    }

    #[test]
    fn a_changed_file_counts_at_once_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let file = PasswdFile::new(path.clone());
        assert!(matches!(file.find("ann"), Err(DirectoryError::Io(_))));
        fs::write(&path, format!("ann:{HASH}\n")).unwrap();
        assert!(file.find("ann").unwrap().is_some());
        fs::write(&path, format!("bob:{HASH}\n# longer\n")).unwrap();
        assert!(!file.users().unwrap().iter().any(|user| user.name == "ann"));
        assert!(file.find("bob").unwrap().is_some());
        // As long, and at once: the times may be the same.
        fs::write(&path, format!("bab:{HASH}\n# longer\n")).unwrap();
        assert!(file.find("bab").unwrap().is_some());
        assert!(!file.users().unwrap().iter().any(|user| user.name == "bob"));
        fs::remove_file(&path).unwrap();
        assert!(file.find("bob").is_err());
    }
}
