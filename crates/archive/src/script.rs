//! Scripts that put no space between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer. A whole sentence of theirs would be one
//! word of the full-text index, and nothing within it be found. So each of their characters is a word of its own there,
//! and what is looked for is a phrase of them.

use std::borrow::Cow;

/// Whether the character is a word of its own.
pub(crate) fn is_alone(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}'          // Thai, Lao
        | '\u{1000}'..='\u{109f}'      // Burmese
        | '\u{1780}'..='\u{17ff}'      // Khmer
        | '\u{2e80}'..='\u{2fdf}'      // radicals
        | '\u{3005}'..='\u{3007}'      // 々〆〇
        | '\u{3040}'..='\u{30ff}'      // kana
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'      // ideographs
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'      // kana of half width
        | '\u{20000}'..='\u{3ffff}')
}

/// The text with a space on each side of such characters, as the index and queries have it.
pub(crate) fn spaced(text: &str) -> Cow<'_, str> {
    // Most mail has none.
    if text.is_ascii() || !text.chars().any(is_alone) {
        return Cow::Borrowed(text);
    }
    let mut spaced = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if is_alone(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    Cow::Owned(spaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_without_spaces_are_taken_apart() {
        assert_eq!(spaced("東京tower").split_whitespace().count(), 3);
        assert_eq!(spaced("カタカナ").split_whitespace().count(), 4);
        assert_eq!(spaced("ภาษา").split_whitespace().count(), 4);
        for whole in ["Zürich", "Привет", "한국어 문서", "", "a,b"] {
            assert!(matches!(spaced(whole), Cow::Borrowed(same) if same == whole));
        }
    }
}
