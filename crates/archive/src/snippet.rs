//! Text around what was found, with what to highlight.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::{Snippet, limits};

/// The words of a text as the index has them: in lower case, without accents.
pub(crate) fn words(text: &str) -> Vec<String> {
    places(text).map(|place| folded(&text[place])).collect()
}

fn folded(word: &str) -> String {
    word.nfd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Where the words are.
fn places(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_word = |c: char| c.is_alphanumeric() || is_combining_mark(c);
    let mut rest = 0;
    std::iter::from_fn(move || {
        let from = rest + text[rest..].find(is_word)?;
        let length = text[from..].find(|c| !is_word(c));
        let to = length.map_or(text.len(), |length| from + length);
        rest = to;
        Some(from..to)
    })
}

/// Text around the first place where one of the words is; `None` where none is.
pub(crate) fn around(text: &str, wanted: &[(String, bool)]) -> Option<Snippet> {
    let is_found = |place: &Range<usize>| {
        let word = folded(&text[place.clone()]);
        wanted
            .iter()
            .any(|(wanted, prefix)| word == *wanted || *prefix && word.starts_with(wanted))
    };
    let first = places(text).find(is_found)?;
    let before = limits::SNIPPET_CHARACTERS / 3;
    let from = text[..first.start]
        .char_indices()
        .rev()
        .take(before)
        .last()
        .map_or(first.start, |(at, _)| at);
    // Not in the middle of a word.
    let from = match text[from..first.start].find(char::is_whitespace) {
        Some(space) if from > 0 => from + space,
        _ => from,
    };
    let to = text[from..]
        .char_indices()
        .nth(limits::SNIPPET_CHARACTERS)
        .map_or(text.len(), |(at, _)| from + at)
        .max(first.end);
    let mut one = String::with_capacity(to - from);
    let mut found = Vec::new();
    let mut at = from;
    for place in places(&text[from..to]) {
        let place = from + place.start..from + place.end;
        append(&mut one, &text[at..place.start]);
        let start = one.len();
        append(&mut one, &text[place.clone()]);
        if is_found(&place) {
            found.push(start..one.len());
        }
        at = place.end;
    }
    append(&mut one, &text[at..to]);
    let kept = one.trim_end().len();
    one.truncate(kept);
    Some(Snippet { text: one, found })
}

/// In one line, without control characters.
fn append(one: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_whitespace() {
            if !one.is_empty() && !one.ends_with(' ') {
                one.push(' ');
            }
        } else if !c.is_control() {
            one.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_highlighted_without_case_and_accents() {
        let text = "First line.\r\n\r\nThe  ÉCLAIR was good; an eclair\tis always good. Eclairs!";
        let snippet = around(text, &[("eclair".to_owned(), false)]).unwrap();
        let found: Vec<&str> = snippet
            .found
            .iter()
            .map(|r| &snippet.text[r.clone()])
            .collect();
        assert_eq!(found, ["ÉCLAIR", "eclair"]);
        assert!(!snippet.text.contains(['\r', '\n', '\t']));
        let prefix = around(text, &[("ecl".to_owned(), true)]).unwrap();
        assert_eq!(prefix.found.len(), 3);
        assert_eq!(around(text, &[("absent".to_owned(), false)]), None);
    }

    #[test]
    fn a_snippet_is_short_and_holds_what_was_found() {
        let text = format!("{} needle {}", "äö ".repeat(5000), "ß".repeat(5000));
        let snippet = around(&text, &[("needle".to_owned(), false)]).unwrap();
        assert!(snippet.text.chars().count() <= limits::SNIPPET_CHARACTERS);
        assert_eq!(&snippet.text[snippet.found[0].clone()], "needle");
    }
}
