//! What other programs' labels, keywords and folders come to here.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use mail_parser::MessageParser;
use restante_store::marks::Marks;

use super::limits::{LABEL_OCTETS, LABELS};

/// What is put into the trash elsewhere is taken in and labelled so: an import throws nothing away.
const TRASH: &str = "trash";
const JUNK: &str = "junk";
const SENT: &str = "sent";
const DRAFT: &str = "draft";

/// Adds a label, unless it says nothing, or there are too many.
pub(super) fn add(marks: &mut Marks, label: &str) {
    let label: String = label.chars().filter(|c| !c.is_control()).collect();
    let label = label.trim();
    if label.is_empty() || marks.labels.len() >= LABELS {
        return;
    }
    let mut end = label.len().min(LABEL_OCTETS);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    marks.labels.insert(label[..end].to_owned());
}

/// What a name that Gmail itself gives comes to.
enum Gmail {
    Nothing,
    Read,
    Unread,
    Starred,
    Archived,
    Label(&'static str),
}

/// Gmail writes its own labels in the language of the account.
fn gmail(label: &str) -> Option<Gmail> {
    Some(match label {
        "Inbox"
        | "Posteingang"
        | "Boîte de réception"
        | "Recibidos"
        | "Posta in arrivo"
        | "Postvak IN"
        | "Caixa de entrada" => Gmail::Nothing,
        "Opened" | "Geöffnet" | "Ouvert" | "Messages ouverts" | "Abierto" | "Aperto"
        | "Geopend" => Gmail::Read,
        "Unread" | "Ungelesen" | "Non lus" | "Messages non lus" | "No leídos" | "Da leggere"
        | "Ongelezen" | "Não lidas" => Gmail::Unread,
        "Starred" | "Markiert" | "Suivis" | "Messages suivis" | "Destacados" | "Speciali"
        | "Met ster" | "Com estrela" => Gmail::Starred,
        "Archived" | "Archiviert" | "Archivés" | "Messages archivés" | "Archivados"
        | "Archiviati" | "Gearchiveerd" | "Arquivadas" => Gmail::Archived,
        "Sent" | "Gesendet" | "Messages envoyés" | "Enviados" | "Inviati" | "Verzonden" => {
            Gmail::Label(SENT)
        }
        "Drafts" | "Draft" | "Entwürfe" | "Brouillons" | "Borradores" | "Bozze" | "Concepten"
        | "Rascunhos" => Gmail::Label(DRAFT),
        "Spam" => Gmail::Label(JUNK),
        "Trash" | "Bin" | "Papierkorb" | "Corbeille" | "Papelera" | "Cestino" | "Prullenbak"
        | "Lixeira" => Gmail::Label(TRASH),
        _ => return None,
    })
}

/// Reads the value of `X-Gmail-Labels`, encoded words (RFC 2047) and quotes included. A message
/// that is not called unread is read.
pub(super) fn gmail_labels(field: &[u8], marks: &mut Marks) {
    let mut message = field.to_vec();
    message.extend_from_slice(b"\r\n\r\n");
    let parsed = MessageParser::new()
        .header_text("X-Gmail-Labels")
        .parse_headers(&message);
    let text = parsed
        .as_ref()
        .and_then(|message| message.header("X-Gmail-Labels"))
        .and_then(|value| value.as_text())
        .unwrap_or_default();
    let mut read = true;
    for label in split_quoted(text) {
        match gmail(&label) {
            Some(Gmail::Nothing | Gmail::Read) => {}
            Some(Gmail::Unread) => read = false,
            Some(Gmail::Starred) => marks.starred = true,
            Some(Gmail::Archived) => marks.archived = true,
            Some(Gmail::Label(ours)) => add(marks, ours),
            None => add(marks, &label),
        }
    }
    marks.read = Some(read);
}

/// Takes a list apart at its commas; a part in quotes may hold some.
fn split_quoted(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// A keyword of IMAP's, as Thunderbird and Dovecot keep them.
pub(super) fn keyword(word: &str, marks: &mut Marks) {
    let lower = word.to_ascii_lowercase();
    match lower.as_str() {
        "$label1" => add(marks, "important"),
        "$label2" => add(marks, "work"),
        "$label3" => add(marks, "personal"),
        "$label4" => add(marks, "todo"),
        "$label5" => add(marks, "later"),
        "junk" | "$junk" => add(marks, JUNK),
        "nonjunk" | "notjunk" | "$notjunk" => {}
        // `$Forwarded`, `$MDNSent` and their like are what programs note for themselves.
        _ if lower.starts_with(['$', '\\']) => {}
        _ => add(marks, word),
    }
}

/// A draft, or one that is to be deleted.
pub(super) fn flagged_draft(marks: &mut Marks) {
    add(marks, DRAFT);
}

/// As [`flagged_draft`].
pub(super) fn flagged_trash(marks: &mut Marks) {
    add(marks, TRASH);
}

/// As [`flagged_draft`].
pub(super) fn flagged_junk(marks: &mut Marks) {
    add(marks, JUNK);
}

/// What being in a folder says: the usual ones have words of ours, others are labels by their path.
pub(super) fn folder(path: &[String], marks: &mut Marks) {
    let path = match path {
        [first, rest @ ..] if first == "[Gmail]" || first == "[Google Mail]" => rest,
        [first, rest @ ..] if first.eq_ignore_ascii_case("inbox") => rest,
        path => path,
    };
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let usual = match first.to_lowercase().as_str() {
        "archive" | "archives" | "archiv" => {
            marks.archived = true;
            return;
        }
        "all mail" | "outbox" if rest.is_empty() => return,
        "sent" | "sent items" | "sent messages" | "sent mail" | "gesendet" => SENT,
        "drafts" | "entwürfe" => DRAFT,
        "trash" | "deleted messages" | "deleted items" | "bin" | "papierkorb" => TRASH,
        "junk" | "spam" | "junk e-mail" | "bulk mail" => JUNK,
        "starred" if rest.is_empty() => {
            marks.starred = true;
            return;
        }
        _ => {
            add(marks, &path.join("/"));
            return;
        }
    };
    add(marks, usual);
}

/// Whether a folder of this name is one that mail programs have.
pub(super) fn is_usual(name: &str) -> bool {
    let mut marks = Marks::default();
    folder(&[name.to_owned()], &mut marks);
    !marks.labels.contains(name)
}

/// The path that the name of a Maildir++ folder means: `.Lists.rust`; modified UTF-7 (RFC 3501
/// §5.1.3) where it is that.
pub(super) fn maildir_path(name: &str) -> Vec<String> {
    let parts = name.trim_start_matches('.').split('.');
    parts
        .map(|part| utf7(part).unwrap_or_else(|| part.to_owned()))
        .collect()
}

/// Decodes modified UTF-7; `None` when it is none.
fn utf7(text: &str) -> Option<String> {
    let engine = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
    let mut parts = text.split('&');
    let mut decoded = parts.next()?.to_owned();
    for part in parts {
        let (coded, plain) = part.split_once('-')?;
        if coded.is_empty() {
            decoded.push('&');
        } else {
            let octets = engine.decode(coded).ok()?;
            let units: Vec<u16> = octets
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            decoded.push_str(&String::from_utf16(&units).ok()?);
        }
        decoded.push_str(plain);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(marks: &Marks) -> Vec<&str> {
        marks.labels.iter().map(String::as_str).collect()
    }

    #[test]
    fn gmail_labels_in_several_languages() {
        for (value, read, starred, archived, expected) in [
            ("Inbox,Opened", true, false, false, &[][..]),
            ("Archived,Unread,Work", false, false, true, &["Work"]),
            (
                "=?UTF-8?Q?Markiert,Entw=C3=BCrfe,K=C3=BCche/Brot?=",
                true,
                true,
                false,
                &["Küche/Brot", "draft"],
            ),
            (
                "Spam,\"a, b\", Trash",
                true,
                false,
                false,
                &["a, b", "junk", "trash"],
            ),
            (
                "=?UTF-8?Q?Posteingang,Ungelesen,?=\r\n =?UTF-8?Q?Caf=C3=A9?=",
                false,
                false,
                false,
                &["Café"],
            ),
            ("", true, false, false, &[]),
        ] {
            let mut marks = Marks::default();
            gmail_labels(format!("X-Gmail-Labels: {value}").as_bytes(), &mut marks);
            assert_eq!(labels(&marks), expected, "{value}");
            assert_eq!(marks.read, Some(read), "{value}");
            assert_eq!(
                (marks.starred, marks.archived),
                (starred, archived),
                "{value}"
            );
        }
    }

    #[test]
    fn folders_and_keywords() {
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        for (name, expected) in [
            ("INBOX", &[][..]),
            ("Inbox/Lists/rust", &["Lists/rust"]),
            ("Sent Items", &["sent"]),
            ("[Gmail]/Spam", &["junk"]),
            ("[Gmail]/All Mail", &[]),
            ("Archives/2019", &[]),
            ("Kunden/Müller", &["Kunden/Müller"]),
        ] {
            let mut marks = Marks::default();
            folder(&path(name), &mut marks);
            assert_eq!(labels(&marks), expected, "{name}");
            assert_eq!(marks.archived, name.starts_with("Arch"));
        }
        let mut marks = Marks::default();
        for word in ["$label1", "NonJunk", "Junk", "$Forwarded", "rust"] {
            keyword(word, &mut marks);
        }
        assert_eq!(labels(&marks), ["important", "junk", "rust"]);
        assert_eq!(maildir_path(".Entw&APw-rfe.a &- b"), ["Entwürfe", "a & b"]);
        assert_eq!(maildir_path(".odd&name"), ["odd&name"]);
    }

    #[test]
    fn a_stranger_cannot_label_without_end() {
        let mut marks = Marks::default();
        for n in 0..10_000 {
            add(&mut marks, &format!("{n}"));
        }
        assert_eq!(marks.labels.len(), LABELS);
        let mut marks = Marks::default();
        add(&mut marks, &"ä".repeat(LABEL_OCTETS));
        add(&mut marks, "\u{1b}[2J\n");
        assert!(marks.labels.iter().all(|label| label.len() <= LABEL_OCTETS));
        assert!(marks.labels.contains("[2J"));
    }
}
