//! The one element that is read from a stranger's XML.

use quick_xml::events::Event;
use quick_xml::reader::Reader;

/// What a document's elements say: the text of each one that has `name` as its local name.
///
/// Never resolved: a document type, with all that it could define, makes the whole document wrong, and so
/// does a reference to anything but the five characters that XML names itself.
pub(crate) fn find<const N: usize>(
    document: &[u8],
    names: [&str; N],
) -> Option<[Option<String>; N]> {
    let text = std::str::from_utf8(document).ok()?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut found: [Option<String>; N] = [const { None }; N];
    let mut inside: Option<usize> = None;
    let mut elements = 0;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                elements += 1;
                let name = start.local_name();
                inside = names.iter().position(|wanted| *wanted == name.as_ref());
            }
            Event::Text(content) => {
                if let Some(at) = inside {
                    found[at].get_or_insert_default().push_str(&content);
                }
            }
            Event::GeneralRef(name) => {
                let letter = match &*name {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "apos" => '\'',
                    "quot" => '"',
                    _ => return None,
                };
                if let Some(at) = inside {
                    found[at].get_or_insert_default().push(letter);
                }
            }
            Event::End(_) => inside = None,
            Event::DocType(_) => return None,
            Event::Eof => break,
            _ => {}
        }
    }
    (elements > 0).then_some(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every text of a well-formed document, with the path of elements that leads to it.
    pub(crate) fn texts(document: &str) -> Vec<(String, String)> {
        let mut reader = Reader::from_str(document);
        reader.config_mut().check_end_names = true;
        let mut path: Vec<String> = Vec::new();
        let mut found: Vec<(String, String)> = Vec::new();
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(start) => {
                    path.push(start.local_name().as_ref().to_owned());
                    found.push((path.join("/"), String::new()));
                }
                Event::End(_) => {
                    path.pop();
                }
                Event::Text(text) => {
                    let here = path.join("/");
                    if let Some((_, own)) = found.iter_mut().rev().find(|(at, _)| *at == here) {
                        own.push_str(text.trim());
                    }
                }
                Event::GeneralRef(name) => {
                    let here = path.join("/");
                    let letter = match name.resolve_char_ref().expect("a reference") {
                        Some(letter) => letter,
                        None => quick_xml::escape::resolve_xml_entity(&name)
                            .and_then(|text| text.chars().next())
                            .expect("an entity of XML's own"),
                    };
                    if let Some((_, own)) = found.iter_mut().rev().find(|(at, _)| *at == here) {
                        own.push(letter);
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert!(path.is_empty(), "every element is closed");
        found
    }

    fn address(document: &str) -> Option<Option<String>> {
        find(document.as_bytes(), ["EMailAddress"]).map(|[address]| address)
    }

    #[test]
    fn the_element_is_found_under_any_prefix() {
        assert_eq!(
            address("<a:R xmlns:a='x'><a:EMailAddress>a&amp;b@c</a:EMailAddress></a:R>"),
            Some(Some("a&b@c".to_owned()))
        );
        assert_eq!(address("<R/>"), None, "an empty element asks nothing");
        assert_eq!(address("<R></R>"), Some(None));
    }

    #[test]
    fn nothing_that_a_document_defines_is_expanded() {
        for bomb in [
            "<!DOCTYPE r [<!ENTITY a \"x\">]><r><EMailAddress>&a;</EMailAddress></r>",
            "<!DOCTYPE r SYSTEM \"file:///etc/passwd\"><r><EMailAddress>a@b</EMailAddress></r>",
            "<r><EMailAddress>&undefined;</EMailAddress></r>",
            "<r><EMailAddress>&#97;</EMailAddress></r>",
            "<r><EMailAddress>a@b</r>",
            "not XML",
            "",
        ] {
            assert_eq!(address(bomb), None, "{bomb}");
        }
        assert_eq!(find(b"\xff\xfe", ["EMailAddress"]), None);
    }
}
