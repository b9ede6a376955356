//! What commands print: for people, or one JSON object per line.

mod screen;

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

pub(crate) use screen::{Screen, Style};

/// Standard output, as asked for.
pub(crate) struct Output {
    json: bool,
    verbose: bool,
}

impl Output {
    /// For `--json` or not, and whether more is to be said.
    pub(crate) fn new(json: bool, verbose: bool) -> Self {
        Self { json, verbose }
    }

    /// Whether each single thing is to be told.
    pub(crate) fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether scripts read.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Prints `value` for scripts, or `line` for people.
    pub(crate) fn line(&self, value: &serde_json::Value, line: &str) -> Result<(), Failure> {
        if self.json {
            write_line(&value.to_string())
        } else {
            write_line(&printable(line))
        }
    }

    /// Prints a line for people only.
    pub(crate) fn people(&self, line: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { write_line(line) }
    }
}

fn write_line(line: &str) -> Result<(), Failure> {
    finish(writeln!(io::stdout().lock(), "{line}"))
}

/// A reader that has gone away, as in `restante list | head`, ends the program quietly.
pub(crate) fn finish(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(Failure::io("cannot write to standard output")),
    }
}

/// Prints a failure to standard error.
#[allow(clippy::print_stderr)]
pub(crate) fn error(failure: &Failure, json: bool) {
    if json {
        let value = serde_json::json!({"error": failure.to_string(), "code": failure.number()});
        eprintln!("{value}");
    } else {
        eprintln!("restante: {failure}");
    }
}

/// Tells people something beside the output proper.
#[allow(clippy::print_stderr)]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Whether a person sees standard output.
pub(crate) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Text of a message is a stranger's: what a terminal would obey is made visible instead.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            // Bidirectional overrides and isolates reorder what stands beside them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_terminal_is_not_given_orders() {
        assert_eq!(
            super::printable("a\u{1b}[2Jb\u{9b}c\u{202e}"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}"
        );
    }
}
