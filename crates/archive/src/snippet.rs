//! Text around what was found, with what to highlight.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::script::is_alone;
use crate::{Snippet, limits};

/// Words in this order, as the index has them: in lower case, without accents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    words: Vec<String>,
    /// The last is the beginning of a word.
    prefix: bool,
}

impl Phrase {
    /// `None` where the text has no word.
    pub(crate) fn new(text: &str, prefix: bool) -> Option<Self> {
        let words = words(text).into_iter();
        let words: Vec<String> = words.map(|word| word.folded.into_owned()).collect();
        (!words.is_empty()).then_some(Self { words, prefix })
    }

    /// Whether these words begin with it.
    fn begins(&self, words: &[Word<'_>]) -> bool {
        let last = self.words.len() - 1;
        self.words.iter().enumerate().all(|(at, wanted)| {
            words.get(at).is_some_and(|word| {
                let prefix = self.prefix && at == last;
                word.folded == *wanted || prefix && word.folded.starts_with(wanted)
            })
        })
    }
}

/// Where the first of the phrases that these words begin with ends, if they do with one.
fn end_of(words: &[Word<'_>], wanted: &[Phrase]) -> Option<usize> {
    let phrase = wanted.iter().find(|phrase| phrase.begins(words))?;
    Some(words[phrase.words.len() - 1].place.end)
}

/// A word of a text, and where it is.
struct Word<'t> {
    place: Range<usize>,
    folded: Cow<'t, str>,
}

fn words(text: &str) -> Vec<Word<'_>> {
    places(text)
        .map(|place| Word {
            folded: folded(&text[place.clone()]),
            place,
        })
        .collect()
}

fn folded(word: &str) -> Cow<'_, str> {
    if word.is_ascii() {
        return match word.bytes().any(|octet| octet.is_ascii_uppercase()) {
            true => word.to_ascii_lowercase().into(),
            false => word.into(),
        };
    }
    let plain = word.nfd().filter(|c| !is_combining_mark(*c));
    plain.flat_map(char::to_lowercase).collect()
}

/// Where the words are.
fn places(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_word = |c: char| c.is_alphanumeric() || is_combining_mark(c);
    let mut rest = 0;
    std::iter::from_fn(move || {
        let from = rest + text[rest..].find(is_word)?;
        let first = text[from..].chars().next()?;
        let length = if is_alone(first) {
            Some(first.len_utf8())
        } else {
            text[from..].find(|c| !is_word(c) || is_alone(c))
        };
        let to = length.map_or(text.len(), |length| from + length);
        rest = to;
        Some(from..to)
    })
}

/// Text around the first place where one of the phrases is; `None` where none is.
pub(crate) fn around(text: &str, wanted: &[Phrase]) -> Option<Snippet> {
    let words = words(text);
    let first = (0..words.len()).find_map(|at| {
        let end = end_of(&words[at..], wanted)?;
        Some(words[at].place.start..end)
    })?;
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
    let shown = words.partition_point(|word| word.place.start < from)
        ..words.partition_point(|word| word.place.end <= to);
    let shown = &words[shown];
    let mut one = String::with_capacity(to - from);
    let mut found = Vec::new();
    let mut at = from;
    for (number, word) in shown.iter().enumerate() {
        let start = word.place.start;
        let Some(end) = end_of(&shown[number..], wanted).filter(|_| start >= at) else {
            continue;
        };
        append(&mut one, &text[at..start]);
        let from = one.len();
        append(&mut one, &text[start..end]);
        found.push(from..one.len());
        at = end;
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

    fn found(text: &str, wanted: &str, prefix: bool) -> Option<Vec<String>> {
        let snippet = around(text, &[Phrase::new(wanted, prefix)?])?;
        assert!(!snippet.text.contains(['\r', '\n', '\t']));
        let found = snippet.found.iter();
        Some(
            found
                .map(|at| snippet.text[at.clone()].to_owned())
                .collect(),
        )
    }

    #[test]
    fn what_is_found_is_highlighted_without_case_and_accents() {
        let text = "First line.\r\n\r\nThe  ÉCLAIR was good; an eclair\tis always good. Eclairs!";
        assert_eq!(found(text, "eclair", false).unwrap(), ["ÉCLAIR", "eclair"]);
        assert_eq!(found(text, "ecl", true).unwrap().len(), 3);
        assert_eq!(found(text, "absent", false), None);
    }

    #[test]
    fn a_phrase_is_found_as_a_whole() {
        let text = "good? It was\r\ngood; an egg";
        assert_eq!(found(text, "was good", false).unwrap(), ["was good"]);
        assert_eq!(found(text, "an eg", true).unwrap(), ["an egg"]);
        assert_eq!(found(text, "good was", false), None);
        assert_eq!(found("京。東京都、東", "東京", false).unwrap(), ["東京"]);
        assert_eq!(found("อ่านภาษาไทย", "ภาษา", false).unwrap(), ["ภาษา"]);
    }

    #[test]
    fn a_snippet_is_short_and_holds_what_was_found() {
        let text = format!("{} needle {}", "äö ".repeat(5000), "ß".repeat(5000));
        let wanted = [Phrase::new("needle", false).unwrap()];
        let snippet = around(&text, &wanted).unwrap();
        assert!(snippet.text.chars().count() <= limits::SNIPPET_CHARACTERS);
        assert_eq!(&snippet.text[snippet.found[0].clone()], "needle");
    }
}
