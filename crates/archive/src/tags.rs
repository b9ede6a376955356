//! HTML that no parser should be given: a tag with attributes without end. Parsers compare each with all that stand before
//! it, so a few hundred kilobytes of them take minutes.
//!
//! What is a tag, and what only looks like one in a script, a comment or a quoted value, is for the parser to say. So
//! each `<` and letter counts as the beginning of a tag, whatever stands around it, and all tags that may be open at
//! an octet are followed at once, as HTML §13.2.5.8 to §13.2.5.39 has it. There are not more of them than states.

use crate::limits;

/// Where in a tag an octet may stand. §13.2.5.8, .32, .33, .34, .35, .36, .37, .38; what follows a quoted value
/// (.39), or a `/` (.40), is as before a name.
const NAME: usize = 0;
const BEFORE: usize = 1;
const ATTRIBUTE: usize = 2;
const AFTER: usize = 3;
const EQUALS: usize = 4;
const DOUBLE: usize = 5;
const SINGLE: usize = 6;
const BARE: usize = 7;
const STATES: usize = 8;

/// Attributes so far of the tag that has the most of all that may be in a state; `None`: none is.
type Open = [Option<usize>; STATES];

/// As much of the HTML, from its start, as has no tag with more than [`limits::ATTRIBUTES`].
pub(crate) fn within(html: &str) -> &str {
    let bytes = html.as_bytes();
    let mut open: Open = [None; STATES];
    let mut at = 0;
    while at < bytes.len() {
        if open == [None; STATES] {
            // Most octets are text, and in no tag.
            let Some(next) = memchr::memchr(b'<', &bytes[at..]) else {
                return html;
            };
            at += next;
        }
        let next = step(&open, bytes[at]);
        if next[ATTRIBUTE].is_some_and(|count| count > limits::ATTRIBUTES) {
            // A tag without an end is none.
            return &html[..html.floor_char_boundary(at)];
        }
        open = next;
        if begins(&bytes[at..]) {
            open[NAME] = open[NAME].max(Some(0));
        }
        at += 1;
    }
    html
}

/// Whether a tag may begin here: end tags have attributes, too.
fn begins(bytes: &[u8]) -> bool {
    match bytes {
        [b'<', b'/', letter, ..] | [b'<', letter, ..] => letter.is_ascii_alphabetic(),
        _ => false,
    }
}

fn step(open: &Open, octet: u8) -> Open {
    let mut next: Open = [None; STATES];
    for (state, count) in open.iter().enumerate() {
        let Some(count) = *count else { continue };
        if let Some((to, more)) = after(state, octet) {
            next[to] = next[to].max(Some(count + more));
        }
    }
    next
}

/// The state after an octet, and whether an attribute begins with it; `None` at the end of the tag.
fn after(state: usize, octet: u8) -> Option<(usize, usize)> {
    let is_space = matches!(octet, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
    Some(match (state, octet) {
        (DOUBLE, b'"') | (SINGLE, b'\'') => (BEFORE, 0),
        (DOUBLE | SINGLE, _) => (state, 0),
        (_, b'>') => return None,
        (EQUALS, b'"') => (DOUBLE, 0),
        (EQUALS, b'\'') => (SINGLE, 0),
        (EQUALS, _) if !is_space => (BARE, 0),
        (EQUALS, _) => (EQUALS, 0),
        (BARE, _) if !is_space => (BARE, 0),
        (NAME | ATTRIBUTE | AFTER | BEFORE, b'/') => (BEFORE, 0),
        (ATTRIBUTE | AFTER, b'=') => (EQUALS, 0),
        (ATTRIBUTE | AFTER, _) if is_space => (AFTER, 0),
        (_, _) if is_space => (BEFORE, 0),
        (NAME | ATTRIBUTE, _) => (state, 0),
        (_, _) => (ATTRIBUTE, 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_mail_is_whole() {
        let tag = "<td class=x style='a: \"b\"' title=\"a > b\" width = 3 nowrap>a < b</td >";
        let mail = tag.repeat(10_000);
        assert_eq!(within(&mail).len(), mail.len());
        let words = format!("if (a <b) {{}} it's \"{}\" > x", "word ".repeat(100));
        assert_eq!(within(&words), words);
        assert_eq!(within("ä<ü"), "ä<ü");
    }

    #[test]
    fn a_tag_with_attributes_without_end_is_cut_wherever_it_stands() {
        let many = |each: &str| -> String {
            (0..=limits::ATTRIBUTES)
                .map(|at| each.replace('#', &at.to_string()))
                .collect()
        };
        for each in [
            " a#",
            "/a#",
            " a#=b",
            " a#=\"b\"",
            "a#='>'",
            " a#<p",
            "\na# = b",
            "/=#",
        ] {
            for before in [
                "",
                "text ",
                "<!-- <p a=\" -->",
                "<p title='<a b=\"'>",
                "<style><p a='</style>",
                "<i a=\">\"",
            ] {
                for tag in ["<p ", "</p ", "<p x=\"y\""] {
                    let html = format!("{before}{tag}{}>after", many(each));
                    let kept = within(&html);
                    assert!(
                        kept.starts_with(before) && kept.len() < html.len() - 6,
                        "{before} {tag} {each}"
                    );
                }
            }
        }
    }
}
