//! What is to be seen in a page of HTML, as far as a check needs it. Nothing is shown from this: it counts.

use std::collections::BTreeSet;

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// Where it is.
    pub(super) src: String,
    /// What stands for it; `None` when nothing is said.
    pub(super) alt: Option<String>,
    /// Width and height are given.
    pub(super) has_size: bool,
    /// It is too small to be seen, or hidden.
    pub(super) is_invisible: bool,
}

impl Image {
    /// It is fetched from somewhere when the message is read.
    pub(super) fn is_remote(&self) -> bool {
        let src = self.src.to_ascii_lowercase();
        src.starts_with("http:") || src.starts_with("https:") || src.starts_with("//")
    }
}

/// A link and the text it stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) href: String,
    pub(super) text: String,
}

/// What a page has.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// What is read of it, images apart.
    pub(super) text: String,
    pub(super) images: Vec<Image>,
    pub(super) links: Vec<Link>,
    /// Elements that mail programs take out.
    pub(super) dropped: BTreeSet<&'static str>,
}

const DROPPED: [&str; 10] = [
    "script", "form", "iframe", "object", "embed", "video", "audio", "base", "link", "input",
];

/// Reads a page tag by tag.
pub(super) fn scan(html: &str) -> Page {
    let mut page = Page::default();
    let mut rest = html;
    let mut open_link = None;
    while let Some(at) = rest.find('<') {
        text(&rest[..at], &mut page, open_link);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        if !Tag::begins(rest) {
            text("<", &mut page, open_link);
            rest = &rest[1..];
            continue;
        }
        // A tag that does not end is none, and neither is what follows.
        let Some(tag) = Tag::read(rest) else {
            return page;
        };
        rest = &rest[tag.octets..];
        if let Some(name) = DROPPED.iter().find(|name| **name == tag.name) {
            page.dropped.insert(name);
        }
        match tag.name.as_str() {
            "style" | "script" | "title" | "head" if !tag.is_end => {
                // In a head, style and title stand before the page proper.
                if tag.name != "head" {
                    rest = behind(rest, &tag.name);
                }
            }
            "img" => page.images.push(tag.image()),
            "a" => {
                open_link = (!tag.is_end).then_some(page.links.len());
                if let (false, Some(href)) = (tag.is_end, tag.attribute("href")) {
                    page.links.push(Link {
                        href: href.to_owned(),
                        text: String::new(),
                    });
                }
            }
            _ => text(" ", &mut page, None),
        }
    }
    text(rest, &mut page, open_link);
    page
}

/// What follows the element's end.
fn behind<'a>(html: &'a str, name: &str) -> &'a str {
    let ends = |(at, _): &(usize, &str)| {
        let named = html.as_bytes().get(at + 2..at + 2 + name.len());
        named.is_some_and(|named| named.eq_ignore_ascii_case(name.as_bytes()))
    };
    let Some((at, _)) = html.match_indices("</").find(ends) else {
        return "";
    };
    html[at..].find('>').map_or("", |gt| &html[at + gt + 1..])
}

fn text(found: &str, page: &mut Page, link: Option<usize>) {
    let found = unescape(found);
    for word in found.split_whitespace() {
        if !page.text.is_empty() {
            page.text.push(' ');
        }
        page.text.push_str(word);
    }
    if let Some(link) = link.and_then(|at| page.links.get_mut(at)) {
        link.text.push_str(&found);
    }
}

/// The character references that are usual in mail; invisible filler of preview texts goes.
fn unescape(text: &str) -> String {
    let mut plain = text.to_owned();
    for (name, character) in [
        ("&nbsp;", " "),
        ("&#160;", " "),
        ("&zwnj;", ""),
        ("&#8203;", ""),
        ("&#847;", ""),
        ("&shy;", ""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        if plain.contains(name) {
            plain = plain.replace(name, character);
        }
    }
    plain.retain(|c| {
        !matches!(
            c,
            '\u{200b}'..='\u{200f}' | '\u{34f}' | '\u{ad}' | '\u{feff}'
        )
    });
    plain
}

struct Tag {
    name: String,
    is_end: bool,
    attributes: Vec<(String, String)>,
    octets: usize,
}

impl Tag {
    /// Whether what begins with `<` is a tag.
    fn begins(html: &str) -> bool {
        let inner = &html[1..];
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?')
    }

    /// Reads it; `None` if it does not end.
    fn read(html: &str) -> Option<Self> {
        let inner = &html[1..];
        let is_end = inner.starts_with('/');
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        let stop = |c: char| c.is_ascii_whitespace() || c == '>' || c == '/';
        let name = inner.find(stop)?;
        let mut rest = &inner[name..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            if rest.is_empty() {
                return None;
            }
            if let Some(after) = rest.strip_prefix('>') {
                return Some(Self {
                    name: inner[..name].to_ascii_lowercase(),
                    is_end,
                    attributes,
                    octets: html.len() - after.len(),
                });
            }
            let end = rest
                .find(|c: char| c.is_ascii_whitespace() || c == '=' || c == '>' || c == '/')
                .unwrap_or(rest.len());
            // A lone `=` names nothing, and must not be read again.
            let end = end.max(usize::from(rest.starts_with('=')));
            let (key, after) = rest.split_at(end);
            let (value, after) = value(after);
            attributes.push((key.to_ascii_lowercase(), unescape(value)));
            rest = after;
        }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        all.find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    fn image(&self) -> Image {
        let style: String = self.attribute("style").unwrap_or_default().to_lowercase();
        let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
        let styled = |name: &str| {
            let mut rules = style.split(';').filter_map(|rule| rule.split_once(':'));
            rules
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let side = |name: &str| {
            self.attribute(name)
                .map(str::to_owned)
                .or_else(|| styled(name))
        };
        let tiny = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or_default();
            matches!(value.trim_end_matches("px").trim(), "0" | "1")
        };
        let (width, height) = (side("width"), side("height"));
        Image {
            src: self.attribute("src").unwrap_or_default().trim().to_owned(),
            alt: self.attribute("alt").map(str::to_owned),
            is_invisible: (tiny(&width) && tiny(&height))
                || styled("display").is_some_and(|value| value.starts_with("none"))
                || styled("visibility").is_some_and(|value| value.starts_with("hidden")),
            has_size: width.is_some() && height.is_some(),
        }
    }
}

/// An attribute's value, and what follows it.
fn value(after: &str) -> (&str, &str) {
    let Some(after) = after.trim_start().strip_prefix('=') else {
        return ("", after);
    };
    let after = after.trim_start();
    for quote in ['"', '\''] {
        if let Some(inner) = after.strip_prefix(quote) {
            return inner.split_once(quote).unwrap_or((inner, ""));
        }
    }
    let end = after
        .find(|c: char| c.is_ascii_whitespace() || c == '>')
        .unwrap_or(after.len());
    after.split_at(end)
}
