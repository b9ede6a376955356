//! What is wrong with a configuration, told all at once.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What would be right.
    pub(crate) right: String,
}

/// Why there is no configuration to run with.
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// The file can be read, and these things are wrong in it.
    Mistakes(PathBuf, Vec<Mistake>),
    /// There is nowhere to keep mail: no `--data`, no `data =`, no home folder.
    NoDataFolder,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the configuration {}: {error}", path.display())
            }
            Self::Mistakes(path, mistakes) => {
                let s = if mistakes.len() == 1 { "" } else { "s" };
                write!(f, "{} mistake{s} in the configuration:", mistakes.len())?;
                for mistake in mistakes {
                    write!(f, "\n{}:{}: {}", path.display(), mistake.line, mistake.what)?;
                    if !mistake.right.is_empty() {
                        write!(f, "\n    right would be: {}", mistake.right)?;
                    }
                }
                Ok(())
            }
            Self::NoDataFolder => f.write_str(
                "there is no folder to keep mail in: say --data FOLDER, or write data = \"FOLDER\" in the configuration",
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
