//! `restante show`: one message, for reading or as it is stored.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use restante_archive::message::{Parsed, Part};
use restante_archive::{Archive, Scope};
use restante_store::{MailStore, UniqueId};
use serde_json::json;

use super::archive::{Opened, gone, parse_id};
use super::{make_private_folder, open_existing_store, wait};
use crate::cli::Show;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, Output, Screen, finish, on_terminal, printable};
use crate::units;

/// Columns that HTML is laid out for.
const WIDTH: usize = 80;

/// Runs `restante show`.
pub(crate) fn run(show: &Show, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let id = parse_id(&show.id)?;
    if show.raw {
        return raw(id, config, out);
    }
    let opened = Opened::new(config)?;
    if let Some(folder) = &show.attachments {
        return save(&opened.archive, id, folder, out);
    }
    let parsed = opened.archive.message(&Scope::all(), id);
    let parsed = parsed.map_err(|error| gone(error, id))?;
    if show.html {
        let html = parsed.html.as_deref().ok_or_else(|| {
            Failure::NotThere(format!(
                "{id} has no HTML; `restante show {id}` shows its text"
            ))
        })?;
        return print(&json!({"id": id.to_string(), "html": html}), html, out);
    }
    if show.headers {
        let headers: Vec<_> = parsed.headers.iter().map(|(n, v)| json!([n, v])).collect();
        let lines: Vec<_> = parsed
            .headers
            .iter()
            .map(|(n, v)| format!("{n}: {v}"))
            .collect();
        let value = json!({"id": id.to_string(), "headers": headers});
        return print(&value, &lines.join("\n"), out);
    }
    let text = parsed.readable(WIDTH);
    print(&value(id, &parsed, &text), &for_people(&parsed, &text), out)
}

/// Through the pager, line by line, without what a terminal would obey.
fn print(value: &serde_json::Value, text: &str, out: &Output) -> Result<ExitCode, Failure> {
    let mut screen = Screen::new(out);
    if out.json() {
        screen.line(value, &|_| String::new())?;
    } else {
        for line in text.lines() {
            screen.line(value, &|_| printable(line))?;
        }
    }
    screen.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn value(id: UniqueId, parsed: &Parsed, text: &str) -> serde_json::Value {
    let all = |addresses: &[restante_archive::Address]| -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    };
    let attachments: Vec<_> = parsed
        .attachments()
        .map(|part| {
            json!({"part": part.id, "name": part.name, "type": part.media_type,
                   "size": part.size})
        })
        .collect();
    json!({
        "id": id.to_string(),
        "subject": parsed.subject,
        "from": all(&parsed.from),
        "to": all(&parsed.to),
        "cc": all(&parsed.cc),
        "date": parsed.date.map(units::json_date),
        "message_id": parsed.message_id,
        "list_id": parsed.list_id,
        "text": text,
        "attachments": attachments,
        "truncated": parsed.truncated,
    })
}

fn for_people(parsed: &Parsed, text: &str) -> String {
    let mut all = String::new();
    for (name, addresses) in [
        ("From", &parsed.from),
        ("To", &parsed.to),
        ("Cc", &parsed.cc),
        ("Reply-To", &parsed.reply_to),
    ] {
        if !addresses.is_empty() {
            let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            all += &format!("{name}: {}\n", shown.join(", "));
        }
    }
    if let Some(date) = parsed.date {
        all += &format!("Date: {}\n", units::show_date(date));
    }
    all += &format!("Subject: {}\n", parsed.subject);
    for part in parsed.attachments() {
        all += &format!(
            "Attachment: {} ({}, {})\n",
            part.name.as_deref().unwrap_or("without a name"),
            part.media_type,
            units::show_octets(part.size)
        );
    }
    all.push('\n');
    all += text;
    if parsed.truncated {
        all += "\n(The message is larger; --raw shows it whole.)\n";
    }
    all
}

/// The exact octets; on a terminal, without what a terminal would obey.
fn raw(id: UniqueId, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let store = open_existing_store(config)?;
    let gone = |error: restante_store::StoreError| gone(error.into(), id);
    let mut body = wait(store.read(id)).map_err(gone)?;
    let mut piece = Vec::new();
    if out.json() {
        while wait(body.read(&mut piece))? > 0 {}
        let value = json!({"id": id.to_string(), "message": String::from_utf8_lossy(&piece)});
        out.line(&value, "")?;
        return Ok(ExitCode::SUCCESS);
    }
    let terminal = on_terminal();
    let mut stdout = io::stdout().lock();
    loop {
        piece.clear();
        if wait(body.read(&mut piece))? == 0 {
            break;
        }
        if terminal {
            let text = String::from_utf8_lossy(&piece).replace("\r\n", "\n");
            for line in text.split_inclusive('\n') {
                let end = if line.ends_with('\n') { "\n" } else { "" };
                let line = printable(line.trim_end_matches('\n'));
                finish(write!(stdout, "{line}{end}"))?;
            }
        } else {
            finish(stdout.write_all(&piece))?;
        }
    }
    finish(stdout.flush())?;
    Ok(ExitCode::SUCCESS)
}

/// Saves what is attached, each under a name of its own; nothing that is there is overwritten. Exits 1 when one could
/// not be saved; the others are.
fn save(archive: &Archive, id: UniqueId, folder: &Path, out: &Output) -> Result<ExitCode, Failure> {
    let (mut saved, mut failed, mut broken) = (0_u64, 0_u64, None);
    let told = archive.contents(&Scope::all(), id, &mut |part, content| {
        if part.inline || broken.is_some() {
            return;
        }
        match save_one(part, content, folder, out) {
            Ok(true) => saved += 1,
            Ok(false) => failed += 1,
            Err(failure) => broken = Some(failure),
        }
    });
    told.map_err(|error| gone(error, id))?;
    if let Some(failure) = broken {
        return Err(failure);
    }
    if failed > 0 {
        output::note(&format!(
            "{} not saved: mend what is said above, or name another folder",
            units::count(failed, "attachment")
        ));
        return Ok(ExitCode::from(1));
    }
    if saved == 0 {
        out.people("Nothing is attached.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether it could be saved; what fails for all is an error.
fn save_one(part: &Part, content: &[u8], folder: &Path, out: &Output) -> Result<bool, Failure> {
    make_private_folder(folder)?;
    let path = folder.join(format!("{}-{}", part.id, file_name(part)));
    if let Err(error) = write_new(&path, content) {
        output::note(&format!("not saved: {}: {error}", path.display()));
        return Ok(false);
    }
    out.line(
        &json!({"path": path, "type": part.media_type, "size": part.size}),
        &path.display().to_string(),
    )?;
    Ok(true)
}

/// A file that was not there; half of one does not stay.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content).inspect_err(|_| {
        let _half = std::fs::remove_file(path);
    })
}

/// Octets of a file's name and of its ending, so that the number before it fits too: file systems take 255.
const STEM_OCTETS: usize = 180;
const ENDING_OCTETS: usize = 20;

/// A stranger's name, made a file's: no path, no leading dot, nothing that a shell or a terminal obeys, and no longer than
/// names may be.
fn file_name(part: &Part) -> String {
    let name = part.name.as_deref().unwrap_or("attachment");
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let usual: String = printable(last)
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "-_.+ ".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let usual = usual.trim_matches(['.', ' ']);
    if usual.is_empty() {
        return "attachment".to_owned();
    }
    let cut = |text: &str| text[..text.floor_char_boundary(STEM_OCTETS)].to_owned();
    match usual.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= ENDING_OCTETS => format!("{}.{ending}", cut(stem)),
        _ => cut(usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Part {
        let message = b"Content-Type: x/y\nContent-Disposition: attachment; filename=x\n\nx";
        let mut parsed = Parsed::from_bytes(message);
        let mut part = parsed.parts.remove(0);
        part.name = Some(name.to_owned());
        part
    }

    #[test]
    fn a_strangers_name_is_no_path() {
        for (name, safe) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\a.doc", "a.doc"),
            (".bashrc", "bashrc"),
            ("a\u{1b}[31m;rm -rf *.txt", "a__31m_rm -rf _.txt"),
            ("..", "attachment"),
            ("naïve.txt", "naïve.txt"),
        ] {
            assert_eq!(file_name(&named(name)), safe, "{name}");
        }
    }

    /// A name of 100 letters is 400 octets in Gothic: no file system takes it.
    #[test]
    fn a_long_name_is_cut_in_octets_and_keeps_its_ending() {
        for (letter, ending) in [("ä", ".pdf"), ("報", ".docx"), ("𐌰", ".tar.gz"), ("a", "")] {
            let name = file_name(&named(&format!("{}{ending}", letter.repeat(300))));
            assert!(name.len() <= STEM_OCTETS + ENDING_OCTETS + 1, "{name}");
            assert!(name.starts_with(letter), "{name}");
            let last = ending.rsplit_once('.').map_or("", |(_, last)| last);
            assert!(name.ends_with(last), "{name}");
        }
        let dots = file_name(&named(&format!("a.{}", "b".repeat(300))));
        assert_eq!(dots.len(), STEM_OCTETS);
    }
}
