//! Credentials and region as the AWS tools take them: the environment, then the profile's sections in
//! `~/.aws/credentials` and `~/.aws/config`.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

/// What a profile says, by the file's own keys.
pub(super) type Profile = BTreeMap<String, String>;

/// The profile that `AWS_PROFILE` names, or `default`.
pub(super) fn profile() -> Profile {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let file = |variable: &str, usual: &str| {
        env::var_os(variable).map_or_else(|| home.join(usual), PathBuf::from)
    };
    let name = env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    let mut found = Profile::new();
    for path in [
        file("AWS_CONFIG_FILE", ".aws/config"),
        file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ] {
        found.extend(section(&read(&path), &name));
    }
    found
}

/// A file that is not there says nothing.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The keys of one profile: `[name]`, or `[profile name]` as the config file has it.
fn section(text: &str, name: &str) -> Profile {
    let mut here = false;
    let mut found = Profile::new();
    for line in text.lines() {
        // Indented lines belong to a nested setting.
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        let line = line.trim();
        if let Some(title) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            let title = title.trim();
            here = title.strip_prefix("profile ").unwrap_or(title).trim() == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| here) {
            let _ = found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_that_name_and_no_other() {
        let text = "[default]\naws_access_key_id = A\n# x\n[profile other]\nregion=eu-1\ns3 =\n  x = y\n[third]\nregion = no\n";
        assert_eq!(section(text, "default")["aws_access_key_id"], "A");
        let other = section(text, "other");
        assert_eq!(other["region"], "eu-1");
        assert_eq!(other.get("x"), None);
        assert_eq!(section(text, "none"), Profile::new());
    }
}
