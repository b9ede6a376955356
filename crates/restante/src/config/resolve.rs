//! From [`Typed`] and the command line to [`Config`]: where the file is, where data is, defaults.

use std::env;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Typed, loopback, reader};
use crate::units;

/// What the command line says.
#[derive(Debug, Default, Clone)]
pub(crate) struct Overrides {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
}

/// Where the program runs: the environment, so that tests can make one up.
#[derive(Debug, Default, Clone)]
pub(crate) struct Origin {
    /// `$RESTANTE_CONFIG`.
    pub(crate) config: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, else `~/.config`.
    pub(crate) config_home: Option<PathBuf>,
    /// `$XDG_DATA_HOME`, else `~/.local/share`.
    pub(crate) data_home: Option<PathBuf>,
    /// The machine's configuration.
    pub(crate) system: PathBuf,
    /// Whether the program runs as root, whose data is the machine's.
    pub(crate) root: bool,
}

impl Origin {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Self {
        let path = |name: &str| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = path("HOME");
        Self {
            config: path("RESTANTE_CONFIG"),
            config_home: path("XDG_CONFIG_HOME").or(home.as_ref().map(|h| h.join(".config"))),
            data_home: path("XDG_DATA_HOME").or(home.as_ref().map(|h| h.join(".local/share"))),
            system: PathBuf::from("/etc/restante/restante.toml"),
            root: rustix::process::geteuid().is_root(),
        }
    }

    /// The configuration file: one that was named must be there, the others may be.
    fn file(&self, overrides: &Overrides) -> Option<PathBuf> {
        let named = overrides.config.as_ref().or(self.config.as_ref());
        named.cloned().or_else(|| {
            let own = self
                .config_home
                .as_ref()
                .map(|h| h.join("restante/restante.toml"));
            own.into_iter()
                .chain([self.system.clone()])
                .find(|path| path.exists())
        })
    }

    /// The data folder when nothing is said: root's is the machine's, unless `XDG_DATA_HOME` says
    /// otherwise.
    fn data(&self) -> Option<PathBuf> {
        if self.root && env::var_os("XDG_DATA_HOME").is_none() {
            return Some(PathBuf::from("/var/lib/restante"));
        }
        self.data_home.as_ref().map(|home| home.join("restante"))
    }
}

/// Finds and reads the configuration.
pub(crate) fn load(overrides: &Overrides, origin: &Origin) -> Result<Config, ConfigError> {
    let file = origin.file(overrides);
    let typed = match &file {
        None => Typed::default(),
        Some(path) => read_file(path)?,
    };
    let data = overrides
        .data
        .clone()
        .or(typed.data.clone())
        .or_else(|| origin.data())
        .ok_or(ConfigError::NoDataFolder)?;
    let data = std::path::absolute(&data).unwrap_or(data);
    Ok(resolve(typed, file, data))
}

impl Config {
    /// What the same file says now, for the same data folder.
    pub(crate) fn read_again(&self) -> Result<Self, ConfigError> {
        let typed = match &self.file {
            None => Typed::default(),
            Some(path) => read_file(path)?,
        };
        Ok(resolve(typed, self.file.clone(), self.data.clone()))
    }
}

fn read_file(path: &Path) -> Result<Typed, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable(path.to_owned(), error))?;
    let (typed, mistakes) = reader::read(&text);
    if mistakes.is_empty() {
        Ok(typed)
    } else {
        Err(ConfigError::Mistakes(path.to_owned(), mistakes))
    }
}

fn resolve(typed: Typed, file: Option<PathBuf>, data: PathBuf) -> Config {
    let count = |value: Option<u64>, default: usize| {
        value.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    let domains = typed.domains.unwrap_or_default();
    let pop3_listen = typed.pop3_listen.unwrap_or_else(|| loopback(1110));
    let pop3_tls_listen = typed.pop3_tls_listen.unwrap_or_else(|| loopback(1995));
    Config {
        file,
        data,
        setup: typed
            .setup
            .resolve(&domains, &pop3_listen, &pop3_tls_listen),
        domains,
        pop3_listen,
        pop3_tls_listen,
        exclusive: typed.exclusive.unwrap_or(false),
        danger_plaintext_login: typed.danger_plaintext_login.unwrap_or(false),
        lmtp_listen: typed.lmtp_listen.unwrap_or_else(|| loopback(1024)),
        certificate: typed.certificate.zip(typed.key),
        passwd_file: typed.passwd_file,
        hold_ms: typed.hold_ms.unwrap_or(7 * units::DAY_MS),
        min_free: typed.min_free.unwrap_or(100 << 20),
        connections: count(typed.connections, 10_000),
        connections_per_address: count(typed.connections_per_address, 50),
        message_octets: typed.message_octets.unwrap_or(100 << 20),
        recipients: count(typed.recipients, 100),
        reading: typed.reading.resolve(),
        fetch_parallel: count(typed.fetch_parallel, 4),
        stale_after_ms: typed.stale_after_ms.unwrap_or(units::DAY_MS),
        mailboxes: typed.mailboxes,
        backup: typed.backup,
        accounts: typed.accounts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_that_is_missing_is_an_error_and_an_unnamed_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut origin = Origin {
            config_home: Some(folder.path().into()),
            data_home: Some(folder.path().join("data")),
            ..Origin::default()
        };
        let config = load(&Overrides::default(), &origin).unwrap();
        assert_eq!(config.data(), folder.path().join("data/restante"));
        assert_eq!(config.file(), None);
        origin.config = Some(folder.path().join("missing.toml"));
        let error = load(&Overrides::default(), &origin).unwrap_err();
        assert!(error.to_string().contains("missing.toml"), "{error}");
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "data = \"/from/file\"\n").unwrap();
        let mut overrides = Overrides {
            config: Some(path),
            data: None,
        };
        let origin = Origin::default();
        assert_eq!(
            load(&overrides, &origin).unwrap().data(),
            Path::new("/from/file")
        );
        overrides.data = Some("/from/line".into());
        assert_eq!(
            load(&overrides, &origin).unwrap().data(),
            Path::new("/from/line")
        );
    }
}
