//! The text of office files that are a zip of XML: docx, xlsx and pptx (ECMA-376), odt, ods and odp
//! (OASIS OpenDocument).

use std::cell::Cell;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::events::Event;
use zip::ZipArchive;

use crate::limits;

/// The text; `None` where it is no such file. What is unpacked for it is taken off `room`, in octets.
pub(super) fn text(content: &[u8], room: &mut u64) -> Option<String> {
    let left = Rc::new(Cell::new(limits::ZIP_DIRECTORY_OCTETS));
    let whole = Whole {
        content: Cursor::new(content),
        left: Rc::clone(&left),
    };
    let mut zip = ZipArchive::new(whole).ok()?;
    // What is read from here on is bounded by what comes out.
    left.set(u64::MAX);
    let mut names: Vec<String> = zip
        .file_names()
        .filter_map(Result::ok)
        .filter(|name| holds_text(name))
        .map(std::borrow::Cow::into_owned)
        .collect();
    names.sort();
    let mut all = String::new();
    for name in names.iter().take(limits::PARTS) {
        let Ok(file) = zip.by_name(name) else {
            continue;
        };
        let mut xml = Vec::new();
        // What is damaged or too large is read as far as it goes.
        let most = limits::UNPACKED_OCTETS.min(*room);
        let _as_far_as_it_goes = file.take(most).read_to_end(&mut xml);
        *room -= xml.len() as u64;
        append(&xml, &mut all);
        if all.len() >= limits::TEXT_OCTETS || *room == 0 {
            break;
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The zip, of which `left` octets may be read.
struct Whole<'a> {
    content: Cursor<&'a [u8]>,
    left: Rc<Cell<u64>>,
}

impl Read for Whole<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.content.read(into)?;
        let left = self.left.get().checked_sub(got as u64);
        self.left
            .set(left.ok_or_else(|| io::Error::other("its list of files is too long"))?);
        Ok(got)
    }
}

impl Seek for Whole<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.content.seek(to)
    }
}

fn holds_text(name: &str) -> bool {
    matches!(
        name,
        "word/document.xml" | "word/footnotes.xml" | "xl/sharedStrings.xml" | "content.xml"
    ) || name.starts_with("ppt/slides/slide") && name.ends_with(".xml")
}

/// The text between the tags; where a paragraph or a cell ends, a word ends.
fn append(xml: &[u8], all: &mut String) {
    let xml = String::from_utf8_lossy(xml);
    let mut reader = Reader::from_str(&xml);
    while all.len() < limits::TEXT_OCTETS {
        match reader.read_event() {
            Ok(Event::Text(text)) => append_words(&text, all),
            Ok(Event::GeneralRef(name)) => all.push(match name.as_ref() {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => ' ',
            }),
            Ok(Event::End(tag)) => {
                if matches!(tag.local_name().as_ref(), "p" | "h" | "si" | "tc") {
                    all.push('\n');
                }
            }
            Ok(Event::Empty(tag)) => {
                if matches!(tag.local_name().as_ref(), "tab" | "br" | "s" | "line-break") {
                    all.push(' ');
                }
            }
            Ok(Event::Eof) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Text with each run of white space as one space: a file of blanks has no words, and takes no room
/// from the parts that have.
fn append_words(text: &str, all: &mut String) {
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        all.push_str(word);
        if word.len() < piece.len() && !all.ends_with(char::is_whitespace) {
            all.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_document_is_read_and_a_bomb_is_not_unpacked() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("word/document.xml", options).unwrap();
        zip.write_all(b"<w:document><w:p><w:r><w:t>Annual &amp; report</w:t></w:r></w:p><w:p><w:t>Profit</w:t></w:p></w:document>")
            .unwrap();
        zip.start_file("word/media/secret.xml", options).unwrap();
        zip.write_all(b"<x>hidden</x>").unwrap();
        zip.start_file("content.xml", options).unwrap();
        for _ in 0..64 {
            zip.write_all(&vec![b' '; 1 << 20]).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        let mut room = limits::UNPACKED_MESSAGE_OCTETS;
        let text = text(&bytes, &mut room).unwrap();
        assert!(
            text.contains("Annual & report\nProfit\n"),
            "{:?}",
            &text[..60.min(text.len())]
        );
        assert!(!text.contains("hidden"));
        assert!(text.len() <= limits::UNPACKED_OCTETS as usize + 100);
        assert_eq!(super::text(b"PK\x03\x04 no zip", &mut room), None);
    }

    #[test]
    fn many_bombs_are_unpacked_as_far_as_there_is_room() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        for slide in 0..6 {
            zip.start_file(format!("ppt/slides/slide{slide:02}.xml"), options)
                .unwrap();
            zip.write_all(b"<a:t>word</a:t>").unwrap();
            for _ in 0..8 {
                zip.write_all(&vec![b' '; 1 << 20]).unwrap();
            }
        }
        let bytes = zip.finish().unwrap().into_inner();
        let mut room = 3 * limits::UNPACKED_OCTETS;
        let text = text(&bytes, &mut room).unwrap();
        assert_eq!((text.matches("word").count(), room), (3, 0));
        assert_eq!(super::text(&bytes, &mut room), None, "nor the next one");
    }

    #[test]
    fn a_list_of_files_without_end_is_not_remembered() {
        let with = |files: usize| {
            let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file("content.xml", options).unwrap();
            zip.write_all(b"<p>word</p>").unwrap();
            for at in 0..files {
                zip.start_file(format!("Pictures/picture-{at:08}.png"), options)
                    .unwrap();
            }
            zip.finish().unwrap().into_inner()
        };
        let mut room = limits::UNPACKED_MESSAGE_OCTETS;
        assert!(text(&with(2_000), &mut room).is_some());
        assert_eq!(text(&with(40_000), &mut room), None);
    }
}
