//! Where passwords and tokens come from: a prompt, standard input, a file, the environment, a command,
//! the keyring, OAuth2. They live in `Secret` and are in no message, log or argument list.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use restante_client::Credentials;
use restante_intake::destination;
use restante_intake::fetch::{BoxFuture, CredentialError, CredentialSource};
use restante_intake::oauth::{OAuthAccount, OAuthError};
use restante_proto::Secret;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tracing::warn;

use crate::config::Account;
use crate::config::account::SecretFrom;
use crate::failure::Failure;
use crate::{accounts, output};

/// No password or token is longer, in octets: OAuth2's can have several thousand.
const SECRET_OCTETS_MAX: u64 = 64 * 1024;

/// How long a command may take to print a password: a person may have to unlock something first.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// A shell's exit code for a command that was ended by SIGPIPE: 128 and its number.
const ENDED_BY_PIPE: i32 = 141;

/// An account's password or token, from wherever it comes.
pub(crate) struct Source {
    /// Whose it is, for messages.
    whose: String,
    from: Held,
    /// What a destination was given last, so that a password that was refused is not tried again. The
    /// fetcher sees to that by itself.
    given: Mutex<Option<Secret>>,
}

enum Held {
    /// Asked for or read already.
    Had(Secret),
    /// Nobody can be asked.
    Nobody,
    OAuth(OAuthAccount),
    Other(SecretFrom),
}

impl Source {
    /// For an account. Asks the person, or reads standard input, now: later is no good time for it.
    pub(crate) fn of_account(account: &Account, data: &Path) -> Result<Self, Failure> {
        if let SecretFrom::OAuth(oauth) = &account.secret {
            let known = accounts::oauth(&account.name, oauth, data)?;
            return Ok(Self::new(&account.name, Held::OAuth(known)));
        }
        let whose = format!("{} at {}", account.user, account.server.place);
        Self::of(&account.secret, &account.name, &whose)
    }

    /// For a login of that name.
    pub(crate) fn of(from: &SecretFrom, name: &str, whose: &str) -> Result<Self, Failure> {
        let from = match from {
            SecretFrom::Prompt if can_ask() => {
                let password = rpassword::prompt_password(format!("Password of {whose}: "))
                    .map_err(Failure::io("cannot read the password"))?;
                Held::Had(checked(password.into_bytes(), "what was typed").map_err(unusable)?)
            }
            SecretFrom::Prompt => Held::Nobody,
            SecretFrom::Stdin => {
                let line = first_line(io::stdin().lock());
                let line = line.map_err(Failure::io("cannot read standard input"))?;
                Held::Had(checked(line, "standard input").map_err(unusable)?)
            }
            other => Held::Other(other.clone()),
        };
        Ok(Self::new(name, from))
    }

    fn new(name: &str, from: Held) -> Self {
        Self {
            whose: name.to_owned(),
            from,
            given: Mutex::new(None),
        }
    }

    async fn secret(&self) -> Result<Secret, CredentialError> {
        match &self.from {
            Held::Had(secret) => Ok(secret.clone()),
            Held::Nobody | Held::Other(SecretFrom::Prompt | SecretFrom::Stdin) => {
                Err(CredentialError::Missing(format!(
                    "{}: there is no password, and no terminal to ask for it: --password-stdin, --password-file, --password-env or --password-command, or such a key in the account's section",
                    self.whose
                )))
            }
            Held::Other(SecretFrom::File(path)) => of_file(path),
            Held::Other(SecretFrom::Environment(name)) => of_environment(name),
            Held::Other(SecretFrom::Command(command) | SecretFrom::TokenCommand(command)) => {
                of_command(command).await
            }
            Held::Other(SecretFrom::Keyring(user)) => of_keyring(user.clone()).await,
            // These have no secret of their own here.
            Held::OAuth(_) | Held::Other(SecretFrom::OAuth(_) | SecretFrom::Certificate) => Err(
                CredentialError::Missing(format!("{}: there is no password", self.whose)),
            ),
        }
    }

    async fn credentials(&self, refused_before: bool) -> Result<Credentials, CredentialError> {
        if let Held::OAuth(known) = &self.from {
            let token = known.access_token(refused_before).await;
            return token
                .map(Credentials::Token)
                .map_err(|error| self.oauth(&error));
        }
        if matches!(&self.from, Held::Other(SecretFrom::Certificate)) {
            return Ok(Credentials::Certificate);
        }
        let secret = self.secret().await?;
        Ok(match &self.from {
            Held::Other(SecretFrom::TokenCommand(_)) => Credentials::Token(secret),
            _ => Credentials::Password(secret),
        })
    }

    fn oauth(&self, error: &OAuthError) -> CredentialError {
        if error.needs_login() {
            return CredentialError::Missing(format!(
                "{error}; log in with `restante account login {}`",
                self.whose
            ));
        }
        if error.is_temporary() {
            return CredentialError::Temporary(error.to_string());
        }
        CredentialError::Configuration(error.to_string())
    }
}

impl CredentialSource for Source {
    fn get(&self, refused_before: bool) -> BoxFuture<'_, Result<Credentials, CredentialError>> {
        Box::pin(self.credentials(refused_before))
    }
}

/// For destinations that want a login.
impl destination::CredentialSource for Source {
    fn credential(
        &self,
        refused: bool,
    ) -> destination::DestinationFuture<'_, Result<destination::Credential, String>> {
        Box::pin(async move {
            let credentials = self.credentials(refused).await;
            let (secret, is_token) = match credentials.map_err(|error| error.to_string())? {
                Credentials::Password(secret) => (secret, false),
                Credentials::Token(secret) => (secret, true),
                Credentials::Certificate => return Err("there is no password".to_owned()),
            };
            let before = self
                .given
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .replace(secret.clone());
            let same = before.is_some_and(|before| before.expose() == secret.expose());
            if refused && same {
                // The same again would only bring the account nearer to being locked.
                return Err("the server refused the password".to_owned());
            }
            Ok(if is_token {
                destination::Credential::Token(secret)
            } else {
                destination::Credential::Password(secret)
            })
        })
    }
}

/// Whether there is somebody to ask.
fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn unusable(error: CredentialError) -> Failure {
    Failure::Config(error.to_string())
}

/// A password or token as a server can be told it.
fn checked(mut line: Vec<u8>, from: &str) -> Result<Secret, CredentialError> {
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    let wrong = if line.is_empty() {
        "there is no password on its first line"
    } else if line.len() as u64 > SECRET_OCTETS_MAX {
        "its first line is longer than any password"
    } else if line.contains(&0) || line.contains(&b'\r') {
        "its first line has a NUL or a carriage return in it"
    } else {
        return Ok(Secret::new(line));
    };
    Err(CredentialError::Configuration(format!("{from}: {wrong}")))
}

/// A line, its end included, and no more than could be a password.
fn first_line(from: impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(from.take(SECRET_OCTETS_MAX + 2)).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn of_file(path: &Path) -> Result<Secret, CredentialError> {
    let shown = path.display();
    let cannot = |error: io::Error| {
        CredentialError::Configuration(format!("cannot read the password from {shown}: {error}"))
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(cannot)?.permissions().mode();
        if mode & 0o077 != 0 {
            warn!(
                "other users of this machine may read the password in {shown}: chmod 600 {shown}"
            );
        }
    }
    checked(first_line(file).map_err(cannot)?, &shown.to_string())
}

/// A secret that is not an account's, now: from a file, the environment or a command.
pub(crate) fn now(from: &SecretFrom) -> Result<Secret, Failure> {
    let secret = match from {
        SecretFrom::File(path) => of_file(path),
        SecretFrom::Environment(name) => of_environment(name),
        SecretFrom::Command(command) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Failure::io("cannot run a command"))?;
            // Of its own thread: whoever asks may be on a runtime already.
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| runtime.block_on(of_command(command)));
                asked.join().unwrap_or_else(|_| {
                    Err(CredentialError::Temporary("the command failed".to_owned()))
                })
            })
        }
        _ => Err(CredentialError::Configuration(
            "a passphrase comes from a file, the environment or a command".to_owned(),
        )),
    };
    secret.map_err(unusable)
}

/// A file of secrets, whole.
pub(crate) fn whole_file(path: &Path) -> Result<Secret, Failure> {
    let doing = format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).map_err(Failure::io(&doing))?;
    let mut bytes = Vec::new();
    file.take(SECRET_OCTETS_MAX)
        .read_to_end(&mut bytes)
        .map_err(Failure::io(&doing))?;
    Ok(Secret::new(bytes))
}

fn of_environment(name: &str) -> Result<Secret, CredentialError> {
    let value = std::env::var_os(name).ok_or_else(|| {
        CredentialError::Configuration(format!("there is no variable {name} in the environment"))
    })?;
    checked(value.into_encoded_bytes(), &format!("${name}"))
}

/// The first line that a shell's command prints. What it says on standard error is seen.
async fn of_command(command: &str) -> Result<Secret, CredentialError> {
    let cannot = |error: io::Error| {
        CredentialError::Configuration(format!("cannot run the password's command: {error}"))
    };
    let mut child = tokio::process::Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let pipe = child.stdout.take();
    let run = async {
        let mut line = Vec::new();
        if let Some(pipe) = pipe {
            let mut pipe = tokio::io::BufReader::new(pipe.take(SECRET_OCTETS_MAX + 2));
            pipe.read_until(b'\n', &mut line).await?;
        }
        // The pipe is closed by now, so that a command with more to say ends too.
        Ok((line, child.wait().await?))
    };
    let (line, status) = tokio::time::timeout(COMMAND_TIMEOUT, run)
        .await
        .map_err(|_| {
            CredentialError::Temporary(format!(
                "the password's command said nothing for {} s",
                COMMAND_TIMEOUT.as_secs()
            ))
        })?
        .map_err(cannot)?;
    // One that had more to say than a line has been ended by the closed pipe, and its shell says so.
    let ended_by_us = !line.is_empty() && status.code().is_none_or(|code| code == ENDED_BY_PIPE);
    if !status.success() && !ended_by_us {
        return Err(CredentialError::Temporary(format!(
            "the password's command failed: {status}"
        )));
    }
    checked(line, "the password's command")
}

#[cfg(feature = "keyring")]
async fn of_keyring(user: String) -> Result<Secret, CredentialError> {
    let asked = tokio::task::spawn_blocking(move || {
        keyring::Entry::new("restante", &user)
            .and_then(|entry| entry.get_password())
            .map_err(|error| {
                CredentialError::Missing(format!(
                    "the keyring gives no password for {user} under the service `restante`: {error}"
                ))
            })
    });
    let password = asked
        .await
        .map_err(|error| CredentialError::Temporary(error.to_string()))??;
    checked(password.into_bytes(), "the keyring")
}

#[cfg(not(feature = "keyring"))]
async fn of_keyring(user: String) -> Result<Secret, CredentialError> {
    Err(CredentialError::Configuration(format!(
        "this program was built without the keyring, where the password of {user} is"
    )))
}

/// Tells whoever reads that a password cannot come from two places.
pub(crate) fn one_account_only(sources: usize) -> Result<(), Failure> {
    if sources <= 1 {
        return Ok(());
    }
    output::note("each account's own password belongs into the configuration");
    Err(Failure::Usage(
        "one password cannot be for several accounts: fetch them one at a time".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(from: &SecretFrom) -> Result<Vec<u8>, CredentialError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let source = Source::of(from, "x", "x").unwrap();
        runtime.block_on(async {
            source
                .get(false)
                .await
                .map(|credentials| match credentials {
                    Credentials::Password(secret) | Credentials::Token(secret) => {
                        secret.expose().to_vec()
                    }
                    Credentials::Certificate => Vec::new(),
                })
        })
    }

    #[test]
    fn a_password_is_the_first_line_of_a_file_or_of_what_a_command_prints() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        std::fs::write(&path, "se cret\r\nlogin: ann\n").unwrap();
        assert_eq!(get(&SecretFrom::File(path.clone())).unwrap(), b"se cret");
        let command = format!("cat {}; yes", path.display());
        assert_eq!(get(&SecretFrom::Command(command)).unwrap(), b"se cret");
        let token = SecretFrom::TokenCommand("printf tok".to_owned());
        assert_eq!(get(&token).unwrap(), b"tok");
    }

    #[test]
    fn what_is_missing_is_told() {
        for (from, says) in [
            (SecretFrom::File("/nowhere".into()), "/nowhere"),
            (SecretFrom::File("/dev/null".into()), "no password"),
            (
                SecretFrom::Environment("RESTANTE_NO_SUCH".into()),
                "RESTANTE_NO_SUCH",
            ),
            (SecretFrom::Command("echo no; exit 1".into()), "failed"),
            (SecretFrom::Command("echo".into()), "no password"),
        ] {
            let error = get(&from).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_password_that_a_destination_refused_is_not_tried_again() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for (command, again) in [("echo same", false), ("date +%s%N", true)] {
            let from = SecretFrom::Command(command.to_owned());
            let source = Source::of(&from, "x", "x").unwrap();
            let ask = |refused| {
                runtime.block_on(destination::CredentialSource::credential(&source, refused))
            };
            assert!(ask(false).is_ok());
            assert_eq!(ask(true).is_ok(), again, "{command}");
        }
    }
}
