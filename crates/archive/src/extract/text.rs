//! The readable text of a message: for the index, for a preview, and laid out for reading.

mod layout;
mod office;

use mail_parser::decoders::html::html_to_text;
use mail_parser::{Message, PartType};

use super::headers::header_text;
use crate::{index::meta, limits};

pub(crate) use layout::layout;

/// The longest run without a space that can be a word; longer ones are base64, uuencode, hashes.
const WORD_OCTETS: usize = 72;

/// Below so many octets, a text part beside HTML may only say that one should read the HTML.
const EXCUSE_OCTETS: usize = 300;

/// At most `octets` of the text, ending between characters.
pub(crate) fn cut(text: &str, octets: usize) -> &str {
    &text[..text.floor_char_boundary(octets)]
}

/// The text of the parts that are there to be read, HTML stripped of its tags.
pub(crate) fn plain(message: &Message<'_>) -> String {
    let mut all = String::new();
    for part in message.text_bodies() {
        append(&mut all, &part.body);
    }
    if all.trim().len() < EXCUSE_OCTETS {
        let shown = std::mem::take(&mut all);
        for part in message.html_bodies() {
            if let PartType::Html(_) = part.body {
                append(&mut all, &part.body);
            }
        }
        if all.trim().len() <= shown.trim().len() {
            all = shown;
        }
    }
    all
}

fn append(all: &mut String, body: &PartType<'_>) {
    let room = limits::TEXT_OCTETS.saturating_sub(all.len());
    if room == 0 {
        return;
    }
    if !all.is_empty() {
        all.push('\n');
    }
    match body {
        PartType::Text(text) => all.push_str(cut(text, room)),
        // Tags are more than half of most HTML.
        PartType::Html(html) => {
            let text = html_to_text(cut(html, limits::LAYOUT_OCTETS));
            all.push_str(cut(&text, room));
        }
        _ => {}
    }
}

/// Subject and text of a message within the message. Its files are attachments of their own.
pub(crate) fn of_message(message: &Message<'_>) -> String {
    let subject = header_text(message.subject().unwrap_or_default());
    format!("{subject}\n{}", plain(message))
}

/// The text of an attachment, where it is text or something that holds it. `room`: octets that may be
/// unpacked for it, and for those that follow.
pub(crate) fn of_file(
    media_type: &str,
    name: Option<&str>,
    content: &[u8],
    room: &mut u64,
) -> Option<String> {
    if content.is_empty() {
        return None;
    }
    let ending = name
        .and_then(|name| name.rsplit_once('.'))
        .map(|(_, ending)| ending.to_ascii_lowercase())
        .unwrap_or_default();
    let text = |content: &[u8]| {
        let part = &content[..content.len().min(limits::TEXT_OCTETS)];
        String::from_utf8_lossy(part).into_owned()
    };
    match (media_type, ending.as_str()) {
        ("text/html", _) | (_, "html" | "htm") => {
            let part = &content[..content.len().min(limits::LAYOUT_OCTETS)];
            Some(html_to_text(&String::from_utf8_lossy(part)))
        }
        ("text/plain" | "text/csv" | "text/markdown", _) | (_, "txt" | "csv" | "md") => {
            Some(text(content))
        }
        (_, "docx" | "xlsx" | "pptx" | "odt" | "ods" | "odp") => office::text(content, room),
        (kind, _) if kind.contains("officedocument") || kind.contains("opendocument") => {
            office::text(content, room)
        }
        _ => None,
    }
}

/// What the full-text index gets: without our private words, and without runs that are no words.
pub(crate) fn indexed(body: &str, files: &str) -> String {
    let mut all = String::with_capacity(body.len() + files.len());
    for text in [body, files] {
        for word in text.split_inclusive(char::is_whitespace) {
            if all.len() + word.len() > limits::TEXT_OCTETS {
                return all;
            }
            // An address of the web is long, and its words are worth finding.
            if word.len() > WORD_OCTETS && !word.contains("://") && is_code(word) {
                all.push(' ');
            } else if word.contains(meta::PRIVATE) {
                all.push_str(&word.replace(meta::PRIVATE, " "));
            } else {
                all.push_str(word);
            }
        }
    }
    all
}

/// Languages without spaces have long runs too, but not in ASCII.
fn is_code(word: &str) -> bool {
    word.is_ascii() && word.bytes().filter(u8::is_ascii_punctuation).count() * 4 < word.len()
}

/// The beginning, in one line.
pub(crate) fn preview(body: &str) -> String {
    let mut one = String::new();
    let mut length = 0;
    for word in body
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
    {
        let word = cut(word, limits::PREVIEW_CHARACTERS);
        let more = word.chars().count() + 1;
        if length + more > limits::PREVIEW_CHARACTERS {
            break;
        }
        if !one.is_empty() {
            one.push(' ');
        }
        one.extend(word.chars().filter(|c| !c.is_control()));
        length += more;
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_not_indexed_and_words_are() {
        let code = "M".repeat(100);
        let link = format!("https://example.org/{}", "a/".repeat(60));
        let chinese = "统".repeat(60);
        let text = indexed(&format!("before {code} {link} {chinese} after"), "");
        assert!(!text.contains(&code) && text.contains(&link) && text.contains(&chinese));
        assert!(text.starts_with("before ") && text.ends_with("after"));
    }

    #[test]
    fn private_words_cannot_be_forged() {
        assert!(!indexed("\u{e000}a \u{e000}b1", "\u{e000}n").contains(meta::PRIVATE));
    }

    #[test]
    fn a_preview_is_one_line_of_words() {
        assert_eq!(
            preview("Hello,\r\n\r\n  you ---- there\u{7}\n"),
            "Hello, you there"
        );
        assert!(preview(&"word ".repeat(500)).chars().count() <= limits::PREVIEW_CHARACTERS);
    }
}
