//! The commands on messages: `list`, `search`, `show`, `mark`, `label` and `rule`.

use clap::{Args, Subcommand};

/// `restante list`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this mailbox
    #[arg(long, value_name = "NAME")]
    pub(crate) mailbox: Option<String>,
    /// Removed messages that can still be brought back
    #[arg(long)]
    pub(crate) deleted: bool,
}

/// What `restante search --help` says of queries.
pub(super) const QUERIES: &str = "\
Queries:
  invoice 2024               both words, in whatever case, with or without accents
  \"to be paid\"               these words in this order
  inv*                       words that begin so; a * goes at the end of a word only
  a OR b, NOT c, -c, ( )     AND stands between what has no operator
  from:ann to:bob@example.org subject:invoice filename:pdf
  list:rust-users list:*     a mailing list or newsletter, any
  label:work label:*
  is:unread is:read is:starred is:newsletter is:junk is:archived
  has:attachment larger:1M smaller:10K
  date:2024-05 date:2024-01..2024-03 before:2024-05-31 after:7d
  account:gmx id:… thread:…";

/// `restante search`
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// What to look for; nothing = every message
    pub(crate) query: Vec<String>,
    /// Only in this mailbox
    #[arg(long, value_name = "NAME")]
    pub(crate) mailbox: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,
    /// Of each conversation only the newest message
    #[arg(long)]
    pub(crate) threads: bool,
    /// Only say how many there are
    #[arg(long)]
    pub(crate) count: bool,
}

/// `restante show`
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The id that `list` and `search` show
    pub(crate) id: String,
    /// The exact octets, as they are stored
    #[arg(long, conflicts_with_all = ["headers", "html", "attachments"])]
    pub(crate) raw: bool,
    /// The header, decoded
    #[arg(long, conflicts_with_all = ["html", "attachments"])]
    pub(crate) headers: bool,
    /// The HTML, as the message has it
    #[arg(long, conflicts_with = "attachments")]
    pub(crate) html: bool,
    /// Save what is attached into this folder; exits 1 when one could not be saved
    #[arg(long, value_name = "FOLDER")]
    pub(crate) attachments: Option<std::path::PathBuf>,
}

/// `restante mark`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("marks").required(true).multiple(true))]
pub(crate) struct Mark {
    /// The ids that `list` and `search` show; `-` reads them from standard input, one a line
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// Somebody has read it
    #[arg(long, group = "marks", conflicts_with = "unread")]
    pub(crate) read: bool,
    /// Nobody has read it
    #[arg(long, group = "marks")]
    pub(crate) unread: bool,
    /// Star it
    #[arg(long, group = "marks", conflicts_with = "unstar")]
    pub(crate) star: bool,
    /// Take the star away
    #[arg(long, group = "marks")]
    pub(crate) unstar: bool,
    /// Out of the way
    #[arg(long, group = "marks", conflicts_with = "unarchive")]
    pub(crate) archive: bool,
    /// Back from there
    #[arg(long, group = "marks")]
    pub(crate) unarchive: bool,
    /// It is junk
    #[arg(long, group = "marks", conflicts_with = "not_junk")]
    pub(crate) junk: bool,
    /// It is no junk, whatever its header says
    #[arg(long, group = "marks")]
    pub(crate) not_junk: bool,
    /// Remove it; `restante undelete` brings it back while `hold` lasts
    #[arg(long, group = "marks", conflicts_with_all = ["read", "unread", "star", "unstar", "archive", "unarchive", "junk", "not_junk"])]
    pub(crate) trash: bool,
}

/// `restante label`
#[derive(Debug, Args)]
pub(crate) struct Label {
    /// The ids that `list` and `search` show; none = list the labels in use
    pub(crate) ids: Vec<String>,
    /// Add a label
    #[arg(long, value_name = "LABEL", requires = "ids")]
    pub(crate) add: Vec<String>,
    /// Take a label away
    #[arg(long, value_name = "LABEL", requires = "ids")]
    pub(crate) remove: Vec<String>,
}

/// `restante rule …`
#[derive(Debug, Subcommand)]
pub(crate) enum Rule {
    /// Add a rule for what arrives from now on
    Add(RuleAdd),
    /// List the rules
    List,
    /// Apply a rule to what is there
    Apply {
        /// Its name, or the number that `rule list` shows
        #[arg(value_name = "NAME|ID")]
        rule: String,
        /// Only list what it would act on
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a rule; what it has done stays
    Remove {
        /// Its name, or the number that `rule list` shows
        #[arg(value_name = "NAME|ID")]
        rule: String,
    },
}

/// `restante rule add`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("action").required(true))]
pub(crate) struct RuleAdd {
    /// What you call it
    pub(crate) name: String,
    /// What it looks for; see `restante search --help`
    pub(crate) query: String,
    /// Whose mail it looks at; may be left out while there is one mailbox
    #[arg(long, value_name = "NAME")]
    pub(crate) mailbox: Option<String>,
    /// Add a label
    #[arg(long, group = "action")]
    pub(crate) label: Option<String>,
    /// Star it
    #[arg(long, group = "action")]
    pub(crate) star: bool,
    /// It is junk
    #[arg(long, group = "action")]
    pub(crate) junk: bool,
    /// Archive it
    #[arg(long, group = "action")]
    pub(crate) archive: bool,
    /// Mark it as read
    #[arg(long, group = "action")]
    pub(crate) read: bool,
}
