//! A password file as other servers write it: `user:{SCHEME}hash[:…]`, one user a line.
//!
//! Of the further fields only the quota is read, in the last one: `userdb_quota_rule=*:storage=1G` or
//! `userdb_quota_storage_size=1G`. A mistake in a line takes away that line's user only. A file that
//! cannot be read takes nobody away: it is an error, and logins are temporary failures.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::limits::PASSWD_FILE_OCTETS;
use crate::{Account, DirectoryError, User, UserSource, hashes, names};

/// What tells one version of the file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    changed: Option<SystemTime>,
    octets: u64,
    #[cfg(unix)]
    file: (u64, u64),
}

impl Version {
    fn of(data: &fs::Metadata) -> Self {
        Self {
            changed: data.modified().ok(),
            octets: data.len(),
            #[cfg(unix)]
            file: {
                use std::os::unix::fs::MetadataExt;
                (data.dev(), data.ino())
            },
        }
    }
}

type Accounts = HashMap<String, Account>;

/// The file, read again when it has changed.
#[derive(Debug)]
pub(crate) struct PasswdFile {
    path: PathBuf,
    read: Mutex<Option<(Version, Arc<Accounts>)>>,
}

impl PasswdFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: Mutex::new(None),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Result<Option<Account>, DirectoryError> {
        Ok(self.current()?.get(name).cloned())
    }

    pub(crate) fn users(&self) -> Result<Vec<User>, DirectoryError> {
        let accounts = self.current()?;
        Ok(accounts
            .values()
            .map(|account| account.user.clone())
            .collect())
    }

    /// Some user's hash, the same one as long as the file is the same.
    pub(crate) fn any_hash(&self) -> Option<Arc<str>> {
        let accounts = self.current().ok()?;
        let first = accounts
            .values()
            .min_by(|a, b| a.user.name.cmp(&b.user.name))?;
        Some(Arc::clone(&first.hash))
    }

    /// Reads the file, whether it looks changed or not.
    pub(crate) fn read_again(&self) -> Result<(), DirectoryError> {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.current().map(drop)
    }

    fn current(&self) -> Result<Arc<Accounts>, DirectoryError> {
        let data = fs::metadata(&self.path).map_err(|error| self.unreadable(&error))?;
        let version = Version::of(&data);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, accounts)) = &*read
            && *known == version
        {
            return Ok(Arc::clone(accounts));
        }
        if data.len() > PASSWD_FILE_OCTETS {
            return Err(self.unreadable(&"it is larger than a password file can be"));
        }
        let text = fs::read_to_string(&self.path).map_err(|error| self.unreadable(&error))?;
        let accounts = Arc::new(self.parse(&text));
        *read = Some((version, Arc::clone(&accounts)));
        Ok(accounts)
    }

    fn unreadable(&self, why: &dyn std::fmt::Display) -> DirectoryError {
        DirectoryError::Io(format!(
            "cannot read the password file {} (users.passwd_file): {why}",
            self.path.display()
        ))
    }

    fn parse(&self, text: &str) -> Accounts {
        let mut accounts = Accounts::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mistake = match account(line) {
                Ok(account) if accounts.contains_key(&account.user.name) => {
                    format!("{} is there already; the first counts", account.user.name)
                }
                Ok(account) => {
                    accounts.insert(account.user.name.clone(), account);
                    continue;
                }
                Err(mistake) => mistake,
            };
            // Never the line itself: it holds a hash.
            tracing::warn!(file = %self.path.display(), line = number + 1, "password file: {mistake}");
        }
        accounts
    }
}

fn account(line: &str) -> Result<Account, String> {
    let (name, rest) = line.split_once(':').ok_or("a line is user:{SCHEME}hash")?;
    let (stored, fields) = rest.split_once(':').unwrap_or((rest, ""));
    let name = names::checked(name).map_err(|error| error.to_string())?;
    Ok(Account {
        user: User {
            name,
            quota_octets: quota(fields)?,
            source: UserSource::PasswdFile,
        },
        hash: Arc::from(hashes::readable(stored)?),
    })
}

fn quota(fields: &str) -> Result<Option<u64>, String> {
    let rules = ["userdb_quota_rule=*:storage=", "userdb_quota_storage_size="];
    let Some(rule) = rules.iter().find(|rule| fields.contains(**rule)) else {
        return Ok(None);
    };
    let text = fields.split(*rule).nth(1).unwrap_or_default();
    let text = text.split([' ', ':']).next().unwrap_or_default();
    octets(text)
        .map(Some)
        .ok_or_else(|| format!("{text:?} is no quota, such as 1G"))
}

/// Kibibytes without a unit, as quota rules have it.
fn octets(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "B" => 0,
        "" | "K" | "KB" => 10,
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
        assert_eq!(seen, [("ann", None), ("carl@example.org", Some(2 << 20))]);
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
        assert!(file.find("ann").unwrap().is_none());
        assert!(file.find("bob").unwrap().is_some());
        fs::remove_file(&path).unwrap();
        assert!(file.find("bob").is_err());
    }
}
