//! `[backup]`: where backups go, when, encrypted how, and which are kept.

use std::path::PathBuf;
use std::time::Duration;

use restante_backup::{Retention, canonical};

use super::account::SecretFrom;
use super::section::Section;
use crate::units;

/// What `[backup]` says.
#[derive(Debug, Clone)]
pub(crate) struct Backup {
    /// A folder, or `s3://bucket/prefix`.
    pub(crate) to: Option<String>,
    /// How often; `None`: only when asked.
    pub(crate) every: Option<Duration>,
    /// How often the newest is restored and compared; `None`: only when asked.
    pub(crate) drill: Option<Duration>,
    /// Where drills restore to; `None`: the data folder.
    pub(crate) scratch: Option<PathBuf>,
    /// Which generations stay; `None`: all.
    pub(crate) keep: Option<Retention>,
    /// age recipients.
    pub(crate) recipients: Vec<String>,
    /// age identities.
    pub(crate) identity_file: Option<PathBuf>,
    /// The passphrase.
    pub(crate) passphrase: Option<SecretFrom>,
    /// How old the last good backup may be before `status` complains, in milliseconds.
    pub(crate) stale_after_ms: u64,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            to: None,
            every: Some(Duration::from_millis(units::DAY_MS)),
            drill: Some(Duration::from_millis(30 * units::DAY_MS)),
            scratch: None,
            keep: None,
            recipients: Vec::new(),
            identity_file: None,
            passphrase: None,
            stale_after_ms: 3 * units::DAY_MS,
        }
    }
}

/// Reads the section.
pub(super) fn read(mut section: Section<'_, '_, '_>) -> Backup {
    let mut backup = Backup::default();
    let right = "\"/mnt/disk/restante\" or \"s3://bucket/prefix\"";
    backup.to = section.take("to", right, |value| {
        let text = value.as_str()?;
        let good = text.starts_with('/') || text.starts_with("s3://") && text.len() > 5;
        // As it is known by: what is remembered of the place is found under that name.
        canonical(text).ok().filter(|_| good)
    });
    if let Some(every) = interval(&mut section, "every", "1 day") {
        backup.every = every;
    }
    if let Some(drill) = interval(&mut section, "drill", "30 days") {
        backup.drill = drill;
    }
    backup.scratch = section.path("scratch");
    let right = "\"7 daily, 4 weekly, 12 monthly\"";
    backup.keep = section.take("keep", right, |value| value.as_str()?.parse().ok());
    let right = "[\"age1…\"]: an array of age recipients";
    let recipients = section.take("recipients", right, |value| {
        let items = value.as_array()?.iter();
        items
            .map(|item| Some(item.get_ref().as_str()?.to_owned()))
            .collect::<Option<Vec<_>>>()
    });
    backup.recipients = recipients.unwrap_or_default();
    backup.identity_file = section.path("identity_file");
    let file = section.path("passphrase_file").map(SecretFrom::File);
    let variable = section
        .word("passphrase_env", "the name of a variable")
        .map(SecretFrom::Environment);
    let command = section
        .word("passphrase_command", "\"pass show restante\"")
        .map(SecretFrom::Command);
    let mut phrases: Vec<_> = [file, variable, command].into_iter().flatten().collect();
    let public = usize::from(!backup.recipients.is_empty() || backup.identity_file.is_some());
    if phrases.len() + public > 1 {
        section.wrong(
            "has more than one key",
            "recipients (and identity_file), or one of passphrase_file, passphrase_env and passphrase_command",
        );
    }
    backup.passphrase = phrases.pop();
    if let Some(ms) = section.time("stale_after", "\"3 days\"") {
        backup.stale_after_ms = ms;
    }
    section.finish();
    backup
}

/// How often: some time, or `never`, which is `None` in it.
fn interval(
    section: &mut Section<'_, '_, '_>,
    key: &'static str,
    example: &str,
) -> Option<Option<Duration>> {
    let right = format!("\"{example}\", or \"never\": only when asked");
    section.take(key, &right, |value| match value.as_str()? {
        "never" => Some(None),
        text => {
            let ms = units::duration_ms(text).filter(|ms| *ms >= 60_000)?;
            Some(Some(Duration::from_millis(ms)))
        }
    })
}
