//! HTML laid out as text, for reading in a terminal.

use mail_parser::decoders::html::html_to_text;

use super::cut;
use crate::{limits, tags};

/// The text as a reader would see it, in lines of about `width` columns. HTML that is nested too
/// deeply, has a tag without end, or that the layout fails on, is only stripped of its tags.
pub(crate) fn layout(html: &str, width: usize) -> String {
    let html = cut(html, limits::LAYOUT_OCTETS);
    if depth(html) > limits::LAYOUT_DEPTH || tags::within(html).len() < html.len() {
        return html_to_text(html);
    }
    let laid = std::panic::catch_unwind(|| {
        html2text::config::plain_no_decorate()
            .raw_mode(true)
            .string_from_read(html.as_bytes(), width)
    });
    match laid {
        Ok(Ok(text)) => text,
        _ => html_to_text(html),
    }
}

/// At most how deep elements can be nested: every start tag counts, an end tag takes one back.
fn depth(html: &str) -> usize {
    let bytes = html.as_bytes();
    let (mut now, mut most) = (0_usize, 0);
    for at in memchr::memchr_iter(b'<', bytes) {
        match bytes.get(at + 1) {
            Some(b'/') => now = now.saturating_sub(1),
            Some(letter) if letter.is_ascii_alphabetic() && !is_void(&bytes[at + 1..]) => now += 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// Elements that nothing is nested in, or that end by themselves.
fn is_void(tag: &[u8]) -> bool {
    let end = tag
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric())
        .unwrap_or(tag.len());
    let name = tag[..end.min(8)].to_ascii_lowercase();
    matches!(
        &name[..],
        b"br"
            | b"img"
            | b"hr"
            | b"meta"
            | b"link"
            | b"input"
            | b"p"
            | b"li"
            | b"col"
            | b"base"
            | b"area"
            | b"wbr"
            | b"td"
            | b"tr"
            | b"th"
            | b"dt"
            | b"dd"
            | b"option"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_laid_out() {
        let text = layout(
            "<h1>Hi</h1><p>a&nbsp;b</p><ul><li>c<li>d</ul><script>x()</script>",
            70,
        );
        assert!(
            text.contains("Hi") && text.contains('c') && !text.contains("x()"),
            "{text}"
        );
    }

    #[test]
    fn what_is_nested_without_end_is_stripped() {
        let html = format!(
            "{}deep{}",
            "<div>".repeat(100_000),
            "</div>".repeat(100_000)
        );
        assert_eq!(layout(&html, 70).trim(), "deep");
        let table = "<table><tr><td>".repeat(50_000);
        assert!(layout(&format!("{table}deep"), 70).contains("deep"));
        let started = std::time::Instant::now();
        let many: String = (0..200_000).map(|at| format!(" a{at:x}")).collect();
        assert_eq!(layout(&format!("<p{many}>deep"), 70).trim(), "deep");
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }
}
