//! A report for a terminal.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Certificate, Maildrop, Report, UniqueIds};

/// Columns of the labels.
const LABEL: usize = 14;
/// Columns of all.
const WIDTH: usize = 96;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.security {
            "tls" => "TLS from the first byte",
            "stls" => "STLS",
            _ => "in plain text",
        };
        writeln!(f, "{}, {how}", self.server)?;
        if let Some(provider) = &self.provider {
            row(f, "provider", provider)?;
        }
        if let Some(greeting) = &self.greeting {
            row(f, "greeting", greeting)?;
        }
        self.encryption(f)?;
        self.abilities(f)?;
        if let Some(maildrop) = &self.maildrop {
            maildrop.show(f)?;
        }
        for (index, odd) in self.oddities.iter().enumerate() {
            row(f, if index == 0 { "odd" } else { "" }, odd)?;
        }
        if let Some(failure) = &self.failure {
            row(f, "failed", failure)?;
        }
        if !self.advice.is_empty() {
            writeln!(f)?;
        }
        for advice in &self.advice {
            wrapped(f, "- ", "  ", advice)?;
        }
        Ok(())
    }
}

impl Report {
    fn encryption(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stls) = self.stls {
            row(f, "STLS", if stls { "yes" } else { "no" })?;
        }
        for trial in &self.tls {
            let text = match (&trial.cipher, &trial.reason) {
                (Some(cipher), _) => format!("yes, {cipher}"),
                (None, Some(reason)) => format!("no: {reason}"),
                (None, None) => "no".to_owned(),
            };
            row(f, &trial.version, &text)?;
        }
        self.certificate
            .as_ref()
            .map_or(Ok(()), |certificate| certificate.show(f))
    }

    fn abilities(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(before) = &self.before_login {
            row(f, "before login", &before.join(", "))?;
        }
        if let Some(after) = &self.after_login {
            let before = self.before_login.as_deref().unwrap_or_default();
            let new: Vec<&str> = after
                .iter()
                .filter(|line| !before.contains(line))
                .map(String::as_str)
                .collect();
            let gone: Vec<&str> = before
                .iter()
                .filter(|line| !after.contains(line))
                .map(String::as_str)
                .collect();
            let mut text = match new.is_empty() {
                true if gone.is_empty() => "the same".to_owned(),
                true => String::new(),
                false => format!("also {}", new.join(", ")),
            };
            if !gone.is_empty() {
                let comma = if text.is_empty() { "" } else { "; " };
                text.push_str(&format!("{comma}no longer {}", gone.join(", ")));
            }
            row(f, "after login", &text)?;
        }
        if !self.mechanisms.is_empty() {
            row(f, "login by", &self.mechanisms.join(", "))?;
        }
        if self.greeting.is_some() {
            row(f, "pipelining", &self.pipelining_text())?;
        }
        Ok(())
    }

    fn pipelining_text(&self) -> String {
        let works = |works: Option<bool>, when: &str| {
            works.map(|works| format!("{} {when}", if works { "works" } else { "fails" }))
        };
        let said = if self.pipelining.advertised {
            "announced"
        } else {
            "not announced"
        };
        [
            Some(said.to_owned()),
            works(self.pipelining.before_login, "before login"),
            works(self.pipelining.after_login, "after login"),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
    }
}

impl Certificate {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self.names.is_empty() {
            true => &self.subject,
            false => &self.names.join(", "),
        };
        let self_signed = !self.subject.is_empty() && self.subject == self.issuer;
        let issuer = match self_signed {
            true => "itself".to_owned(),
            false => self.issuer.clone(),
        };
        row(
            f,
            "certificate",
            &format!("for {names}, issued by {issuer}"),
        )?;
        if let (Some(start), Some(end)) = (self.not_before, self.not_after) {
            let left = (end - Timestamp::now().as_second()) / 86_400;
            let left = match left {
                ..0 => "over".to_owned(),
                days => format!("{days} days left"),
            };
            row(
                f,
                "",
                &format!("valid from {} to {} ({left})", day(start), day(end)),
            )?;
        }
        row(f, "", &format!("SHA-256 {}", self.sha256))?;
        match (&self.problem, self.trusted) {
            (Some(problem), _) => row(f, "", &format!("not trusted: {problem}")),
            (None, true) => row(f, "", "trusted here"),
            (None, false) => row(f, "", "not checked"),
        }
    }
}

impl Maildrop {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(
            f,
            "maildrop",
            &format!("{} messages, {} octets", self.count, self.octets),
        )?;
        let ids = match &self.unique_ids {
            None => "none: the server refuses UIDL".to_owned(),
            Some(ids) => ids.text(),
        };
        row(f, "unique-ids", &ids)?;
        if self.sizes.is_empty() {
            return Ok(());
        }
        let honest = self.sizes.iter().filter(|check| check.honest()).count();
        let how = match self.sizes.iter().any(|check| check.retrieved.is_some()) {
            true => "downloaded and counted",
            false => "held against their headers; --probe downloads some",
        };
        row(
            f,
            "sizes",
            &format!(
                "right for {honest} of {} messages ({how})",
                self.sizes.len()
            ),
        )
    }
}

impl UniqueIds {
    fn text(&self) -> String {
        let unique = match self.duplicates {
            0 => "all unique".to_owned(),
            some => format!("{some} of them not unique"),
        };
        let stable = match self.stable {
            Some(true) => ", the same in a second session",
            Some(false) => ", others in a second session",
            None => "",
        };
        match self.count {
            0 => "none yet: the maildrop is empty".to_owned(),
            count => format!(
                "{count}, {unique}{stable}; the longest has {} octets",
                self.longest
            ),
        }
    }
}

fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(
        |_| "a time beyond the calendar".to_owned(),
        |time| time.to_zoned(TimeZone::UTC).date().to_string(),
    )
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    let first = format!("  {label:<LABEL$}");
    wrapped(f, &first, &" ".repeat(LABEL + 2), text)
}

/// Words in lines of at most [`WIDTH`] columns; a longer word has a line of its own.
fn wrapped(f: &mut fmt::Formatter<'_>, first: &str, rest: &str, text: &str) -> fmt::Result {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{}", line.trim_end())?;
            rest.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(f, "{}", line.trim_end())
}
