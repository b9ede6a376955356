//! What a client says before it has logged in: it tells clients from each other.

use std::fmt;

use crate::command::Command;
use crate::limits::OPENING_COMMANDS;

/// The first commands of a session in state AUTHORIZATION, without what went with them: as text
/// `CAPA AUTH PLAIN`. What is no command is `?`; no octet of the client's is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opening {
    words: [u8; OPENING_COMMANDS],
    count: u8,
}

const WORDS: [&str; 9] = [
    "?",
    "CAPA",
    "STLS",
    "USER",
    "PASS",
    "APOP",
    "AUTH",
    "AUTH PLAIN",
    "AUTH LOGIN",
];

impl Opening {
    pub(super) fn note(&mut self, command: Option<&Command<'_>>) {
        let word = match command {
            Some(Command::Capa) => 1,
            Some(Command::Stls) => 2,
            Some(Command::User(_)) => 3,
            Some(Command::Pass(_)) => 4,
            Some(Command::Apop) => 5,
            Some(Command::Auth { mechanism, .. }) => {
                if mechanism.eq_ignore_ascii_case(b"PLAIN") {
                    7
                } else if mechanism.eq_ignore_ascii_case(b"LOGIN") {
                    8
                } else {
                    6
                }
            }
            _ => 0,
        };
        if let Some(place) = self.words.get_mut(usize::from(self.count)) {
            *place = word;
            self.count += 1;
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.words[..usize::from(self.count)].iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(WORDS.get(usize::from(*word)).unwrap_or(&WORDS[0]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::command::parse;

    use super::*;

    #[test]
    fn commands_are_kept_without_what_went_with_them_and_not_without_end() {
        let mut opening = Opening::default();
        for line in [
            "capa",
            "AUTH plain AGFubgBzZWNyZXQ=",
            "XFOO",
            "USER ann",
            "PASS secret",
        ] {
            opening.note(parse(line.as_bytes()).ok().as_ref());
        }
        assert_eq!(opening.to_string(), "CAPA AUTH PLAIN ? USER PASS");
        for _ in 0..1000 {
            opening.note(Some(&Command::Capa));
        }
        assert!(opening.to_string().len() < 100);
    }
}
