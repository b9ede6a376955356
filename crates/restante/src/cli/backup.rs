//! `restante backup`, `restore` and `verify`.

use std::path::PathBuf;

use clap::Args;

/// What `restante backup --help` says at its end.
pub(super) const AFTER: &str = "\
DEST is a folder, on a mounted disk say, or s3://bucket/prefix at any service that speaks S3: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL, or a profile in ~/.aws, as for the AWS tools.
Only what is new travels, and it is read back before the generation counts. It may run beside `serve`.
Exit codes: 65 when something in the archive is damaged (it is in the backup as it is), 69 when the destination
cannot be reached, 74 when a disk failed or is full, 75 when another program is at work there, 77 for a wrong key.";

/// Where the key comes from: never from the command line itself.
#[derive(Debug, Default, Args)]
pub(crate) struct KeyFrom {
    /// age identities (AGE-SECRET-KEY-1…, as `age-keygen` writes them), from this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "passphrase_env", "passphrase_command"])]
    pub(crate) identity_file: Option<PathBuf>,
    /// The passphrase, from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_env", "passphrase_command"])]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The passphrase, from this environment variable
    #[arg(long, value_name = "NAME", conflicts_with = "passphrase_command")]
    pub(crate) passphrase_env: Option<String>,
    /// The passphrase, from the first line that this command prints
    #[arg(long, value_name = "COMMAND")]
    pub(crate) passphrase_command: Option<String>,
}

/// `restante backup`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where to [default: `to` in the configuration's `[backup]`]
    #[arg(value_name = "DEST")]
    pub(crate) to: Option<String>,
    /// Encrypt to this age recipient (age1…); may be given several times
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) recipient: Vec<String>,
    #[command(flatten)]
    pub(crate) key: KeyFrom,
    /// Which generations to keep, such as "7 daily, 4 weekly, 12 monthly" [default: all]
    #[arg(long, value_name = "LIST")]
    pub(crate) keep: Option<restante_backup::Retention>,
    /// Read at most so many octets a second, such as 50M
    #[arg(long, value_name = "RATE", value_parser = super::size)]
    pub(crate) limit: Option<u64>,
    /// Begin again where the backups are gone for good
    #[arg(long)]
    pub(crate) anew: bool,
    /// Only list the generations that are there
    #[arg(long)]
    pub(crate) list: bool,
}

/// `restante restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Where from: a folder or s3://bucket/prefix
    #[arg(value_name = "SRC")]
    pub(crate) from: String,
    #[command(flatten)]
    pub(crate) key: KeyFrom,
    /// As it was at this time: "2026-11-23", "2026-11-23 12:30" or "3 days" ago
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(crate) at: Option<u64>,
    /// Only this mailbox
    #[arg(long, value_name = "NAME")]
    pub(crate) mailbox: Option<String>,
    /// Only say what would come back
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leave out messages that are damaged in the backup, and name them
    #[arg(long)]
    pub(crate) skip_damaged: bool,
}

/// `restante verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Check the backups here too [default: `to` in the configuration's `[backup]`, for --drill]
    #[arg(value_name = "DEST")]
    pub(crate) at: Option<String>,
    #[command(flatten)]
    pub(crate) key: KeyFrom,
    /// Restore the newest generation into a folder of its own, and compare it with the archive
    #[arg(long)]
    pub(crate) drill: bool,
    /// Where the drill restores to, for a while [default: the data folder]
    #[arg(long, value_name = "FOLDER", requires = "drill")]
    pub(crate) scratch: Option<PathBuf>,
    /// Read at most so many octets a second, such as 50M
    #[arg(long, value_name = "RATE", value_parser = super::size)]
    pub(crate) limit: Option<u64>,
}

fn past(text: &str) -> Result<u64, String> {
    crate::units::past_ms(text).ok_or_else(|| {
        "a time is \"2026-11-23\", \"2026-11-23 12:30\", or how long ago, such as \"3 days\""
            .to_owned()
    })
}
