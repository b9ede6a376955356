//! A program as destination: a mail delivery agent that reads a message from standard input.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{DestinationError, Fault};
use super::limits::{PROGRAM_WAIT, STDERR_OCTETS, STDERR_WAIT};
use super::spooled::{Deliver, Message};
use super::wire::shown;

/// Runs a command for each message.
pub(super) struct Pipe {
    command: String,
    timeout: Duration,
}

impl Pipe {
    pub(super) fn new(command: String, timeout: Duration) -> Self {
        Self { command, timeout }
    }

    async fn run(&self, message: &mut Message) -> Result<(), DestinationError> {
        let mut child = self.start(message)?;
        let mut guard = Group::of(&child);
        let errors = child.stderr.take().map(|stderr| tokio::spawn(tail(stderr)));
        let until = Instant::now() + PROGRAM_WAIT.max(self.timeout);
        // What it does not read does not matter, as long as it says that all is well: the last words
        // are its exit code.
        let fed = timeout_at(until, self.feed(&mut child, message)).await;
        let ended = match fed {
            Ok(Ok(())) => timeout_at(until, child.wait()).await,
            Ok(Err(error)) => {
                // A part of a message only: it must not get as far as a success.
                guard.kill();
                let _ = child.kill().await;
                return Err(error);
            }
            Err(elapsed) => Err(elapsed),
        };
        let Ok(ended) = ended else {
            guard.kill();
            let _ = child.kill().await;
            let text = format!("{:?} did not end in time and was killed", self.command);
            return Err(DestinationError::message(Fault::Temporary, text));
        };
        guard.forget();
        let status = ended.map_err(|e| self.error(Fault::Io, &e))?;
        if status.success() {
            if let Some(errors) = errors {
                errors.abort();
            }
            return Ok(());
        }
        let said = match errors {
            Some(errors) => timeout(STDERR_WAIT, errors).await,
            None => Ok(Ok(Vec::new())),
        };
        let said = said.ok().and_then(Result::ok).unwrap_or_default();
        Err(self.failed(status, &said))
    }

    fn start(&self, message: &Message) -> Result<Child, DestinationError> {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(&self.command)
            .env("RESTANTE_ACCOUNT", &message.account)
            .env("RESTANTE_UNIQUE_ID", printable(&message.remote_id))
            .env("RESTANTE_OCTETS", message.facts.octets.to_string())
            .env(
                "RESTANTE_RECEIVED",
                (message.received_ms / 1000).to_string(),
            )
            .env("RESTANTE_AGAIN", if message.again { "1" } else { "0" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // A group of its own: to be killed with all that it has started.
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map_err(|e| self.error(Fault::Io, &e))
    }

    /// Writes the message, as it is, to the program's end or the message's.
    async fn feed(&self, child: &mut Child, message: &mut Message) -> Result<(), DestinationError> {
        let Some(mut stdin) = child.stdin.take() else {
            return Ok(());
        };
        let mut at = 0;
        loop {
            let piece = message.piece(at).await?;
            if piece.is_empty() {
                return Ok(());
            }
            at += piece.len() as u64;
            match timeout(PROGRAM_WAIT.max(self.timeout), stdin.write_all(&piece)).await {
                Ok(Ok(())) => {}
                // It has read enough.
                Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Ok(Err(error)) => return Err(self.error(Fault::Io, &error)),
                Err(_elapsed) => {
                    let text = format!("{:?} stopped reading", self.command);
                    return Err(DestinationError::message(Fault::Temporary, text));
                }
            }
        }
    }

    fn error(&self, fault: Fault, error: &io::Error) -> DestinationError {
        DestinationError::whole(fault, format!("{:?}: {error}", self.command))
    }

    /// What an exit code means: as in `sysexits.h`, which delivery agents keep to.
    fn failed(&self, status: ExitStatus, said: &[u8]) -> DestinationError {
        let how = match status.code() {
            Some(code) => format!("ended with exit code {code}"),
            None => format!("was ended ({status})"),
        };
        let lines: Vec<String> = said.split(|&octet| octet == b'\n').map(shown).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let last = lines.iter().rev().filter(|line| !line.is_empty()).take(3);
        let mut last: Vec<&str> = last.copied().collect();
        last.reverse();
        let mut text = format!("{:?} {how}", self.command);
        if !last.is_empty() {
            text.push_str(": ");
            text.push_str(&last.join(" / "));
        }
        match status.code() {
            // EX_CONFIG, EX_NOPERM, and the shell's "cannot be run" and "not found".
            Some(78 | 126 | 127) => DestinationError::whole(Fault::Configuration, text),
            Some(77) => DestinationError::message(Fault::Permission, text),
            // EX_OSERR, EX_OSFILE, EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL, EX_UNAVAILABLE.
            Some(69 | 71..=75) => DestinationError::message(Fault::Temporary, text),
            Some(_) => DestinationError::message(Fault::Refused, text),
            None => DestinationError::message(Fault::Temporary, text),
        }
    }
}

impl Deliver for Pipe {
    async fn deliver(&mut self, message: &mut Message) -> Result<(), DestinationError> {
        self.run(message).await
    }

    async fn close(self) {}
}

/// A program's process group, killed when this is dropped and not told to forget it.
struct Group(Option<u32>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id())
    }

    fn forget(&mut self) {
        self.0 = None;
    }

    fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self.0.take().and_then(|id| i32::try_from(id).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            use rustix::process::{Signal, kill_process_group};
            // It may have ended in this moment.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last octets of standard error.
async fn tail(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(got) = stderr.read(&mut piece).await {
        if got == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..got]);
        let surplus = kept.len().saturating_sub(STDERR_OCTETS);
        kept.drain(..surplus);
    }
    kept
}

/// Octets that are not printable ASCII, and `%`, as `%XX`.
fn printable(id: &[u8]) -> String {
    let mut text = String::with_capacity(id.len());
    for &octet in id {
        match octet {
            b'%' | 0..=b' ' | 0x7f.. => text.push_str(&format!("%{octet:02X}")),
            plain => text.push(char::from(plain)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printable() {
        assert_eq!(printable(b"a b%\0\xe9~"), "a%20b%25%00%E9~");
    }
}
