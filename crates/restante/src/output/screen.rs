//! Long output: through a pager and with colour on a terminal, plain otherwise.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

use super::{Output, finish, on_terminal};
use crate::failure::Failure;

/// How a line is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colour: bool,
    terminal: bool,
}

impl Style {
    /// Whether a person looks at a terminal.
    pub(crate) fn is_on(self) -> bool {
        self.terminal
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// In the background.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// To the fore, if so.
    pub(crate) fn bold_if(self, so: bool, text: &str) -> String {
        if so {
            self.with("1", text)
        } else {
            text.to_owned()
        }
    }

    /// What was looked for.
    pub(crate) fn found(self, text: &str) -> String {
        self.with("1;33", text)
    }
}

/// Where lines go.
pub(crate) struct Screen {
    json: bool,
    style: Style,
    pager: Option<Child>,
    left: bool,
}

impl Screen {
    /// On a terminal `$PAGER`, else `less`, which shows what fits on one screen at once; an empty
    /// `$PAGER` is none.
    pub(crate) fn new(out: &Output) -> Self {
        let terminal = !out.json() && on_terminal();
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            json: out.json(),
            style: Style {
                colour: terminal && !dumb && !is_set("NO_COLOR"),
                terminal,
            },
            pager: if terminal && !dumb { pager() } else { None },
            left: false,
        }
    }

    /// Prints `value` for scripts, or what `line` makes for people, which has passed
    /// [`super::printable`] where it is a stranger's.
    pub(crate) fn line(
        &mut self,
        value: &serde_json::Value,
        line: &dyn Fn(Style) -> String,
    ) -> Result<(), Failure> {
        let line = if self.json {
            value.to_string()
        } else {
            line(self.style)
        };
        match self.pager.as_mut().and_then(|pager| pager.stdin.as_mut()) {
            Some(pager) => match writeln!(pager, "{line}") {
                // A pager that was left early wants no more, which is no fault.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.left = true;
                    Ok(())
                }
                other => other.map_err(Failure::io("cannot write to the pager")),
            },
            None => finish(writeln!(io::stdout().lock(), "{line}")),
        }
    }

    /// Whether nobody looks any more: the pager was left.
    pub(crate) fn is_left(&self) -> bool {
        self.left
    }

    /// Waits until the pager is left.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        if let Some(mut pager) = self.pager.take() {
            drop(pager.stdin.take());
            pager
                .wait()
                .map_err(Failure::io("cannot wait for the pager"))?;
        }
        Ok(())
    }
}

fn pager() -> Option<Child> {
    let chosen = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    if chosen.trim().is_empty() {
        return None;
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(&chosen).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    // A pager that is not there is found out by trying: `sh` would only complain.
    let program = chosen.split_whitespace().next()?;
    let there = Command::new("sh")
        .args(["-c", "command -v \"$1\" >/dev/null 2>&1", "sh", program])
        .status()
        .is_ok_and(|status| status.success());
    if there { command.spawn().ok() } else { None }
}
