//! Style attributes: known properties with plain values. Nothing in them loads anything, hides outside its place
//! or reads what is around it.

/// Properties by name; one that ends in `-` stands for all that begin so.
const PROPERTIES: &[&str] = &[
    "background",
    "background-color",
    "border",
    "border-",
    "clear",
    "color",
    "direction",
    "display",
    "float",
    "font",
    "font-",
    "height",
    "letter-spacing",
    "line-height",
    "list-style",
    "list-style-type",
    "margin",
    "margin-",
    "max-height",
    "max-width",
    "min-height",
    "min-width",
    "opacity",
    "overflow",
    "overflow-wrap",
    "padding",
    "padding-",
    "table-layout",
    "text-align",
    "text-decoration",
    "text-indent",
    "text-transform",
    "vertical-align",
    "visibility",
    "white-space",
    "width",
    "word-break",
    "word-spacing",
    "word-wrap",
];

/// Functions that only compute a colour.
const FUNCTIONS: &[&str] = &["rgb", "rgba", "hsl", "hsla"];

/// Characters of one value; no plain one is longer.
const VALUE_CHARACTERS: usize = 200;

/// The declarations that may stay.
pub(super) fn filter(style: &str) -> String {
    let mut kept = String::new();
    // A semicolon within quotes cuts a value in two; then both halves have a lone quote and go.
    for declaration in style.split(';') {
        let Some((property, value)) = declaration.split_once(':') else {
            continue;
        };
        let property = property.trim().to_ascii_lowercase();
        let value = value.trim();
        if is_known(&property) && is_plain(value) {
            if !kept.is_empty() {
                kept.push(';');
            }
            kept.push_str(&property);
            kept.push(':');
            kept.push_str(value);
        }
    }
    kept
}

/// How many addresses elsewhere a style asks for: those that stand in parentheses or quotes.
pub(super) fn remote(style: &str) -> usize {
    let lower = unescaped(style).to_ascii_lowercase();
    lower
        .match_indices("//")
        .filter(|(at, _)| {
            let before = &lower[..*at];
            let before = before
                .strip_suffix("https:")
                .or_else(|| before.strip_suffix("http:"))
                .unwrap_or(before);
            before.trim_end().ends_with(['(', '"', '\''])
        })
        .count()
}

/// Without comments, and with escapes as what they stand for (CSS Syntax §4.3.7).
fn unescaped(style: &str) -> String {
    let mut plain = String::with_capacity(style.len());
    let mut rest = style;
    while let Some(c) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let digits = rest.bytes().take(6).take_while(u8::is_ascii_hexdigit);
        let (digits, after) = rest.split_at(digits.count());
        rest = after;
        if let Ok(code) = u32::from_str_radix(digits, 16) {
            plain.extend(char::from_u32(code));
            rest = rest.strip_prefix([' ', '\t', '\n']).unwrap_or(rest);
        }
    }
    plain
}

fn is_known(property: &str) -> bool {
    PROPERTIES
        .iter()
        .any(|known| match known.strip_suffix('-') {
            Some(_) => {
                property.starts_with(known)
                && property.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                // `border-image` loads an image.
                && !property.contains("image")
            }
            None => property == *known,
        })
}

/// Words, numbers, colours, names of fonts: no escapes, no comments, no at-rules, no functions but
/// those of colours.
fn is_plain(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " #%.,()'\"+-!_".contains(c);
    if value.is_empty() || value.len() > VALUE_CHARACTERS || !value.chars().all(plain) {
        return false;
    }
    if !value.matches('"').count().is_multiple_of(2)
        || !value.matches('\'').count().is_multiple_of(2)
    {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    let mut depth = 0_usize;
    for (at, c) in lower.char_indices() {
        match c {
            '(' => {
                let name = lower[..at]
                    .rsplit(|c: char| !c.is_ascii_alphanumeric())
                    .next();
                if depth > 0 || !name.is_some_and(|name| FUNCTIONS.contains(&name)) {
                    return false;
                }
                depth += 1;
            }
            ')' if depth == 0 => return false,
            ')' => depth -= 1,
            _ => {}
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::{filter, remote};

    #[test]
    fn what_mail_uses_stays() {
        let style = "color: #333; font-family: 'Segoe UI', Arial, sans-serif; margin:0 auto;BACKGROUND-COLOR:rgb(255, 0, 10)!important; border-bottom:1px solid #eee";
        assert_eq!(
            filter(style),
            "color:#333;font-family:'Segoe UI', Arial, sans-serif;margin:0 auto;background-color:rgb(255, 0, 10)!important;border-bottom:1px solid #eee"
        );
    }

    #[test]
    fn what_is_elsewhere_is_counted() {
        for (style, count) in [
            ("color: red", 0),
            ("background:url(data:image/png;base64,AA//AA==)", 0),
            ("background:url(cid:a)", 0),
            ("background:url(http://x.example/)", 1),
            ("background:URL( 'HTTPS://x.example/')", 1),
            ("background:u\\72l(//x.example/a)", 1),
            ("background:url(ht\\74 ps://x.example/a)", 1),
            ("background:u/**/rl(\"//x.example/b\")", 1),
            (
                "a:image-set('https://x.example/a' 1x,'https://x.example/b' 2x)",
                2,
            ),
        ] {
            assert_eq!(remote(style), count, "{style}");
        }
    }

    #[test]
    fn what_loads_or_escapes_goes() {
        for style in [
            "background:url(http://x.example/)",
            "background:URL('http://x.example/')",
            "background:u\\72l(http://x.example/)",
            "background:u/**/rl(x)",
            "background:image-set('x' 1x)",
            "background:-webkit-image-set(url(x) 1x)",
            "background-image:url(x)",
            "border-image:url(x)",
            "border-image-source:url(x)",
            "list-style-image:url(x)",
            "list-style:url(x)",
            "content:url(x)",
            "cursor:url(x),auto",
            "width:expression(alert(1))",
            "behavior:url(x.htc)",
            "-moz-binding:url(x)",
            "position:fixed",
            "color:var(--x)",
            "width:calc(1px)",
            "font:12px/1 \"x",
            "@import 'x'",
            "filter:url(x)",
            "--x:url(y)",
            "mask:url(x)",
        ] {
            assert_eq!(filter(style), "", "{style}");
        }
    }
}
