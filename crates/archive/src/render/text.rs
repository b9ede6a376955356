//! Mail in plain text: escaped, addresses of the web as links, quoted lines marked.

use super::{escape, links};

/// A message's text as HTML: each line a line, quoted ones in `<span class="quote">`.
pub fn text(input: &str) -> String {
    let mut html = String::with_capacity(input.len() + input.len() / 4);
    for (number, line) in input.lines().enumerate() {
        if number > 0 {
            html.push('\n');
        }
        let quoted = line.starts_with('>');
        if quoted {
            html.push_str("<span class=\"quote\">");
        }
        linked(line, &mut html);
        if quoted {
            html.push_str("</span>");
        }
    }
    html
}

fn linked(line: &str, into: &mut String) {
    let mut rest = line;
    while let Some(at) = next_address(rest) {
        escape(&rest[..at], into);
        rest = &rest[at..];
        let word = &rest[..address_end(rest)];
        match links::target(word) {
            Some(target) => {
                into.push_str("<a href=\"");
                escape(&target, into);
                into.push_str("\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">");
                escape(word, into);
                into.push_str("</a>");
            }
            None => escape(word, into),
        }
        rest = &rest[word.len()..];
    }
    escape(rest, into);
}

/// Where the next address begins. Looks at each octet once, so that a long line costs no more than many short ones.
fn next_address(text: &str) -> Option<usize> {
    memchr::memchr_iter(b':', text.as_bytes()).find_map(|colon| {
        ["https", "http", "mailto"].iter().find_map(|scheme| {
            let start = colon.checked_sub(scheme.len())?;
            let is_it = text.get(start..colon)?.eq_ignore_ascii_case(scheme);
            let slashes = *scheme == "mailto" || text[colon..].starts_with("://");
            (is_it && slashes).then_some(start)
        })
    })
}

/// An address ends at white space, a bracket or a quote; what closes a sentence is not part of it.
fn address_end(text: &str) -> usize {
    let end = text
        .find(|c: char| c.is_whitespace() || c.is_control() || "<>\"|`{}\\^".contains(c))
        .unwrap_or(text.len());
    let mut word = &text[..end];
    loop {
        let shorter = word.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_']);
        let shorter = match shorter.strip_suffix(')') {
            Some(inner) if !inner.contains('(') => inner,
            _ => match shorter.strip_suffix(']') {
                Some(inner) if !inner.contains('[') => inner,
                _ => shorter,
            },
        };
        if shorter == word {
            // At least the scheme: the search must go on behind it.
            return word.len().max(7).min(end);
        }
        word = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn addresses_become_links_and_the_rest_is_escaped() {
        let html =
            text("See <https://a.example/x?y=1&z=2>, (http://b.example/).\r\n> quoted \"&\" <b>");
        assert_eq!(
            html,
            "See &lt;<a href=\"https://a.example/x?y=1&amp;z=2\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">https://a.example/x?y=1&amp;z=2</a>&gt;, \
             (<a href=\"http://b.example/\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">http://b.example/</a>).\n\
             <span class=\"quote\">&gt; quoted &quot;&amp;&quot; &lt;b&gt;</span>"
        );
    }

    #[test]
    fn no_text_breaks_out() {
        for hostile in [
            "https://x.example/\"onmouseover=alert(1)",
            "http://x.example/'><script>alert(1)</script>",
            "javascript:alert(1) http://",
            "https://",
            "HTTP://É.example/ü mailto:",
            "İhttps://x.example/",
        ] {
            let html = text(hostile);
            assert!(
                !html.contains("<script") && !html.contains("\"on"),
                "{html}"
            );
            assert!(!html.contains("href=\"javascript"), "{html}");
        }
    }
}
