//! `restante fetch`, `account` and `doctor`: what the command line says of remote mailboxes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Stands below `restante fetch --help`.
pub(super) const AFTER: &str = "\
URLs:
  pop3s://user@host[:port]   TLS from the first byte; port 995 unless said
  pop3://user@host[:port]    STLS is required; port 110 unless said
  pop3://user@unix:/path     a Unix socket
  A `@` in the user may stay; `user;AUTH=SCRAM-SHA-256@` and `user;AUTH=+APOP@` name the
  only way to log in that may be tried. A password has no place in a URL.

Policies of --keep, also called \"leave on server\":
  forever             nothing is deleted on the server (the default)
  \"30 days\"           deleted when it has been stored here for so long
  until-backed-up     deleted when a verified backup has it
  none                deleted as soon as it is stored durably

Destinations of --to:
  maildir:PATH   mbox:PATH   lmtp:HOST:PORT   smtp:HOST:PORT
  imaps://USER@HOST/MAILBOX   pipe:COMMAND

Exit codes (of several accounts the highest counts):
   0  done, or there was nothing new, or the server asked to come back later
   1  done, but something was set aside; `restante status` says what and why
  64  usage: no such account, a bad URL, flags that contradict each other
  69  unavailable: the host is unknown, nobody listens, nobody answers
  74  a disk failed or is full, here
  75  temporary: the connection was cut or time ran out, the server has trouble that may
      pass, or this account is being fetched already
  76  protocol: the server does not keep to POP3
  77  permission: the login or STLS was refused, or the certificate is not trusted
  78  configuration: a mistake in the file, or a password that cannot be had";

/// Stands below `restante doctor --help`.
pub(super) const AFTER_DOCTOR: &str = "\
Exit codes, as those of `restante fetch`:
   0  the server was examined, whatever is odd about it
  69  the host is unknown, nobody listens, nobody answers
  75  the session was cut, or the server has trouble that may pass
  76  the server does not keep to POP3
  77  the login or STLS was refused, or the certificate is not trusted, so that nobody was logged in
  78  a mistake in the configuration, or a password that cannot be had";

/// `restante fetch`
#[derive(Debug, Default, Args)]
pub(crate) struct Fetch {
    /// Accounts of the configuration, or URLs such as pop3s://ann@pop.example.org [default: all accounts]
    #[arg(value_name = "ACCOUNT|URL")]
    pub(crate) sources: Vec<String>,
    /// Say exactly what would be downloaded and deleted; send no RETR and no DELE, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// One session: do not connect again where a provider shows only part of the maildrop at a time
    #[arg(long)]
    pub(crate) once: bool,
    /// Download at most this many messages of each account
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Download this message whole although it is above max_size; the unique-id, as `status` shows it
    #[arg(long, value_name = "ID")]
    pub(crate) full: Vec<String>,
    /// Do not download what getmail, fetchmail, mpop or Thunderbird has downloaded already
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) take_over: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) secrets: Secrets,
}

/// What the line says instead of the configuration, or of the defaults.
#[derive(Debug, Default, Args)]
pub(crate) struct Remote {
    /// What stays on the server ("leave on server"): forever, "N days", until-backed-up or none
    #[arg(long, value_name = "POLICY")]
    pub(crate) keep: Option<String>,
    /// Into whose mailbox; made, without a login, if it is missing [default: me]
    #[arg(long, value_name = "USER", conflicts_with = "to")]
    pub(crate) into: Option<String>,
    /// Somewhere else than into our own store
    #[arg(long, value_name = "DESTINATION")]
    pub(crate) to: Option<String>,
    /// Read the password of an imaps:// destination from the first line of a file
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Take the password of an imaps:// destination from the first line that a command prints
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "to",
        conflicts_with = "to_password_file"
    )]
    pub(crate) to_password_command: Option<String>,
    /// Trust these certification authorities (PEM) and no others at an imaps:// destination
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(crate) to_ca: Option<PathBuf>,
    /// Trust the certificate with this SHA-256 and no other at an imaps:// destination
    #[arg(long, value_name = "SHA256", requires = "to")]
    pub(crate) to_pin: Option<String>,
    /// Where a message is larger, take its header only
    #[arg(long, value_name = "SIZE", value_parser = super::size)]
    pub(crate) max_size: Option<u64>,
    /// Trust these certification authorities (PEM) and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust the server's certificate with this SHA-256 and no other
    #[arg(long, value_name = "SHA256")]
    pub(crate) pin: Option<String>,
    /// Show the server this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// The key of --client-certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub(crate) client_key: Option<PathBuf>,
    /// Go through a SOCKS5 proxy: socks5://host:port
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Give up after so much silence [default: 60 s]
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// The weakest mechanism that may be tried, such as scram-sha-256
    #[arg(long, value_name = "MECHANISM", conflicts_with = "apop")]
    pub(crate) auth: Option<String>,
    /// Log in by APOP and nothing else
    #[arg(long)]
    pub(crate) apop: bool,
    /// Use no TLS: the password and all mail can be read on the way
    #[arg(long, conflicts_with_all = ["ca", "pin", "client_certificate"])]
    pub(crate) danger_plaintext: bool,
    /// Take any certificate: whoever is on the way can read the password and all mail
    #[arg(long, conflicts_with_all = ["ca", "pin"])]
    pub(crate) danger_accept_any_certificate: bool,
}

/// Where the password comes from; never from the command line itself, which others can read.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Secrets {
    /// Read the password from standard input, up to the first line end
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Take the password from an environment variable
    #[arg(long, value_name = "VAR")]
    pub(crate) password_env: Option<String>,
    /// Take the password from the first line that a command prints
    #[arg(long, value_name = "COMMAND")]
    pub(crate) password_command: Option<String>,
    /// Take an OAuth2 access token from the first line that a command prints
    #[arg(long, value_name = "COMMAND")]
    pub(crate) token_command: Option<String>,
}

/// `restante account …`
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Add an account: find its server, try it, and write it into the configuration
    Add(Box<AccountAdd>),
    /// List accounts, and how they do
    List,
    /// Log in, and say what is there; nothing is downloaded
    Test {
        /// The accounts [default: all]
        names: Vec<String>,
    },
    /// Log in with the provider by OAuth2, in the browser or with a code
    Login {
        /// The account
        name: String,
        /// Show a code to type on any device, instead of opening a browser here
        #[arg(long)]
        device: bool,
    },
    /// Learn anew what is here already: from the archive and the server, or from another program's file
    ///
    /// For a renamed account, and for mail that was imported or delivered here before the account was
    /// fetched. What is here already is told by size and header; bodies are read only where these do
    /// not tell, and nothing is stored or deleted. It is not downloaded any more.
    Relearn {
        /// The account
        name: String,
        /// Ask no server: leave out what this state file of getmail, fetchmail, mpop or Thunderbird
        /// (popstate.dat) says was downloaded
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// Forget an account; its mail stays
    Remove {
        /// The account
        name: String,
    },
}

/// `restante account add`
#[derive(Debug, Default, Args)]
pub(crate) struct AccountAdd {
    /// The mail address, such as you@example.org
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// What to call the account [default: after the provider]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The login, where it is not the address
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The server, as host or host:port, instead of looking for it
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) host: Option<String>,
    /// tls, stls or danger-plaintext; with --host
    #[arg(long, requires = "host")]
    pub(crate) security: Option<String>,
    /// What stays on the server ("leave on server"): forever, "N days", until-backed-up or none
    #[arg(long, value_name = "POLICY")]
    pub(crate) keep: Option<String>,
    /// Into whose mailbox [default: me]
    #[arg(long, value_name = "USER")]
    pub(crate) into: Option<String>,
    /// The OAuth2 client id, where the provider wants OAuth2
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// Trust these certification authorities (PEM) and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust the server's certificate with this SHA-256 and no other
    #[arg(long, value_name = "SHA256")]
    pub(crate) pin: Option<String>,
    /// Take any certificate: whoever is on the way can read the password and all mail
    #[arg(long, conflicts_with_all = ["ca", "pin"])]
    pub(crate) danger_accept_any_certificate: bool,
    /// Do not download what getmail, fetchmail, mpop or Thunderbird has downloaded already
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Ask nothing: take the defaults for what is not said
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) secrets: Secrets,
}

/// `restante doctor`
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// An account of the configuration, a URL, or a host or host:port to look at without a login
    #[arg(value_name = "HOST|ACCOUNT|URL")]
    pub(crate) target: String,
    /// Download a few messages too, to see whether sizes are honest and pipelining works
    #[arg(long)]
    pub(crate) probe: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) secrets: Secrets,
}
