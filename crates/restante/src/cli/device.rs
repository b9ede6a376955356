//! `restante user set` and `restante user device`.

use clap::{Args, Subcommand};

/// `restante user set`
#[derive(Debug, Args)]
pub(crate) struct UserSet {
    /// The user
    pub(crate) name: String,
    /// When a message that a device has deleted leaves the mailbox: at-once, all-devices, never, or default
    #[arg(long, value_name = "WHEN")]
    pub(crate) release: Option<String>,
    /// When a message leaves for its age, such as "730 days"; never, or default (never)
    #[arg(long, value_name = "TIME")]
    pub(crate) max_age: Option<String>,
    /// How long a device may be unseen before it holds nothing back; never, or default (90 days)
    #[arg(long, value_name = "TIME")]
    pub(crate) device_expiry: Option<String>,
    /// How far the login recent:NAME goes back; or default (30 days)
    #[arg(long, value_name = "TIME")]
    pub(crate) recent: Option<String>,
}

/// `restante user device …`
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Make a device with a password of its own, printed once
    Add {
        /// The user
        user: String,
        /// The device's name, such as `laptop`
        device: String,
        /// Show it only what comes from now on
        #[arg(long)]
        from_now: bool,
        /// Show it only so many of the newest messages
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        window: Option<u64>,
    },
    /// List devices: when and where each was last seen, what its client said first, what waits for it
    List {
        /// Only this user's
        user: Option<String>,
    },
    /// Change a device
    Set {
        /// The user
        user: String,
        /// The device
        device: String,
        /// Show it only so many of the newest messages; `all` for all
        #[arg(long, value_name = "N")]
        window: Option<String>,
        /// Give it a new password of its own, printed once; its sessions end
        #[arg(long)]
        new_password: bool,
    },
    /// Remove a device: its password is void and its sessions end at once
    Remove {
        /// The user
        user: String,
        /// The device
        device: String,
    },
}
