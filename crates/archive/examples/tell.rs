//! Tells what is read out of each message in a folder, one JSON object a line, for comparing with other
//! parsers: `cargo run -p restante-archive --example tell -- FOLDER`.
#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::path::Path;

use restante_archive::message::Parsed;
use serde_json::json;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let mut names: Vec<_> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    for name in names {
        let bytes = std::fs::read(Path::new(&folder).join(&name))?;
        let parsed = Parsed::from_bytes(&bytes);
        let addresses: Vec<_> = parsed.from.iter().map(|from| &from.address).collect();
        let files: Vec<_> = parsed
            .parts
            .iter()
            .filter(|part| part.within.is_none() && part.media_type != "message/rfc822")
            .filter_map(|part| part.name.as_ref())
            .collect();
        println!(
            "{}",
            json!({
                "file": name.to_string_lossy(),
                "subject": parsed.subject,
                "from": addresses,
                "date": parsed.date,
                "files": files,
                "unreadable": parsed.unreadable,
            })
        );
    }
    Ok(())
}
