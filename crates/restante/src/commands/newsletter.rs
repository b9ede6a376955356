//! `restante newsletter check`: how a campaign will look and behave for a reader who downloads mail.

mod body;
mod head;
mod html;
mod limits;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use mail_parser::{Message, MessageParser, PartType};
use serde_json::json;

use crate::cli::Newsletter;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Something that a reader, or a provider on the way, will trip over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// For scripts, and for ever the same.
    code: &'static str,
    what: String,
    why: &'static str,
    todo: &'static str,
}

/// What is found, in the order of reading.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        code: &'static str,
        what: impl Into<String>,
        why: &'static str,
        todo: &'static str,
    ) {
        self.0.push(Finding {
            code,
            what: what.into(),
            why,
            todo,
        });
    }
}

/// Runs `restante newsletter …`. Exits 1 when something was found.
pub(crate) fn run(command: &Newsletter, out: &Output) -> Result<ExitCode, Failure> {
    let Newsletter::Check { file } = command;
    let bytes = read(file)?;
    let (facts, findings) = check(&bytes, jiff::Timestamp::now().as_second())?;
    for finding in &findings.0 {
        let Finding {
            code,
            what,
            why,
            todo,
        } = finding;
        out.line(
            &json!({"code": code, "what": what, "why": why, "todo": todo}),
            what,
        )?;
        out.people(&format!("    why:  {why}"))?;
        out.people(&format!("    do:   {todo}"))?;
    }
    out.people(&facts)?;
    let count = findings.0.len() as u64;
    out.people(&match count {
        0 => "Good: nothing to mend.".to_owned(),
        _ => format!("{} to mend.", units::count(count, "thing")),
    })?;
    Ok(ExitCode::from(u8::from(count > 0)))
}

/// The message, from a file or, for `-`, from standard input.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = limits::MESSAGE_OCTETS + 1;
    let got = match file == Path::new("-") {
        true => io::stdin().lock().take(most).read_to_end(&mut bytes),
        false => File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    let got = got.map_err(Failure::io(file.display()))?;
    if got as u64 == most {
        return Err(Failure::Data(format!(
            "{}: a newsletter is smaller than {}; this cannot be one message",
            file.display(),
            units::show_octets(limits::MESSAGE_OCTETS)
        )));
    }
    Ok(bytes)
}

/// Looks at a message; `now` in seconds since 1970. Also says in a line what it is like.
fn check(bytes: &[u8], now: i64) -> Result<(String, Findings), Failure> {
    // Saved from an mbox, a message may still have its From_ line.
    let is_from_line = bytes.starts_with(b"From ");
    let line = bytes.iter().position(|octet| *octet == b'\n');
    let start = line.filter(|_| is_from_line).map_or(0, |line| line + 1);
    let bytes = &bytes[start..];
    let parsed = MessageParser::default().parse(bytes);
    let Some(message) = parsed.filter(|_| restante_store::mbox::is_field(bytes)) else {
        return Err(Failure::Data(
            "this is no message: save the newsletter as .eml and name that file".to_owned(),
        ));
    };
    let mut findings = Findings::default();
    head::check(&message, now, &mut findings);
    let (text, html) = bodies(&message);
    let page = html.as_deref().map(html::scan);
    body::check(
        bytes,
        text.as_deref(),
        html.as_deref(),
        page.as_ref(),
        &mut findings,
    );
    let facts = body::facts(bytes, text.as_deref(), page.as_ref());
    Ok((facts, findings))
}

/// The text of `text/plain` and of `text/html`, each only if the sender made one.
fn bodies(message: &Message<'_>) -> (Option<String>, Option<String>) {
    let (mut text, mut html) = (None, None);
    for part in message.text_bodies().chain(message.html_bodies()) {
        match &part.body {
            PartType::Text(found) => text = text.or_else(|| Some(found.to_string())),
            PartType::Html(found) => html = html.or_else(|| Some(found.to_string())),
            _ => {}
        }
    }
    (text, html)
}

#[cfg(test)]
mod tests;
