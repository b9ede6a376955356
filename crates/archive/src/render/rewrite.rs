//! Images and links: the second step of [`super::html`]. It reads what the first step wrote: every `<` begins a tag, every
//! attribute is `name="value"`, and text is escaped.

use super::images::{self, Image};
use super::links::{self, Link};
use super::{Remote, Rendered, escape};
use crate::limits;

/// A tag's attributes, decoded.
pub(super) type Attributes = Vec<(String, String)>;

struct Anchor {
    target: Option<String>,
    text: String,
}

/// Decides about every image and every link.
pub(super) fn rewrite(
    clean: &str,
    remote: Remote,
    part: &dyn Fn(&str) -> Option<String>,
) -> Rendered {
    let mut done = Rendered::default();
    done.html.reserve(clean.len() + clean.len() / 8);
    let mut anchor: Option<Anchor> = None;
    let mut rest = clean;
    while let Some(at) = rest.find('<') {
        text(&rest[..at], &mut anchor, &mut done);
        rest = &rest[at + 1..];
        let Some(end) = tag_end(rest) else {
            return done;
        };
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        match name(tag) {
            "img" => image(tag, remote, part, &mut anchor, &mut done),
            "a" => {
                close(&mut anchor, &mut done);
                anchor = Some(open(tag, &mut done));
            }
            "/a" => close(&mut anchor, &mut done),
            _ => {
                done.html.push('<');
                done.html.push_str(tag);
                done.html.push('>');
            }
        }
    }
    text(rest, &mut anchor, &mut done);
    close(&mut anchor, &mut done);
    done
}

fn text(piece: &str, anchor: &mut Option<Anchor>, done: &mut Rendered) {
    if let Some(anchor) = anchor
        && anchor.text.len() < limits::LINK_TEXT_OCTETS
    {
        anchor.text.push_str(&decode(piece));
    }
    done.html.push_str(piece);
}

/// Where the tag ends that begins here: the first `>` outside quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quoted = false;
    tag.bytes().position(|b| {
        quoted ^= b == b'"';
        b == b'>' && !quoted
    })
}

fn name(tag: &str) -> &str {
    tag.split([' ', '>']).next().unwrap_or_default()
}

fn attributes(tag: &str) -> Attributes {
    let mut found = Vec::new();
    let mut rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else {
            break;
        };
        found.push((name.trim().to_owned(), decode(value)));
        rest = after;
    }
    found
}

/// The references that the first step writes, and no others.
fn decode(text: &str) -> String {
    text.replace("&nbsp;", "\u{a0}")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

fn write_tag(name: &str, attributes: &[(&str, &str)], into: &mut String) {
    into.push('<');
    into.push_str(name);
    for (name, value) in attributes {
        into.push(' ');
        into.push_str(name);
        into.push_str("=\"");
        escape(value, into);
        into.push('"');
    }
    into.push('>');
}

fn image(
    tag: &str,
    remote: Remote,
    part: &dyn Fn(&str) -> Option<String>,
    anchor: &mut Option<Anchor>,
    done: &mut Rendered,
) {
    let attributes = attributes(tag);
    let alt = attributes.iter().find(|(name, _)| name == "alt");
    if let (Some(anchor), Some((_, alt))) = (anchor, alt) {
        anchor
            .text
            .extend(alt.chars().take(limits::LINK_TEXT_OCTETS));
    }
    let src = match images::decide(&attributes, part) {
        Image::Shown(src) => Some(src),
        Image::Tracker(tracker) => {
            if done.trackers.len() < limits::RENDER_LINKS {
                done.trackers.push(tracker);
            }
            // Nothing is left of it: not even its place.
            return;
        }
        Image::Remote(src) => {
            done.remote_images += 1;
            (remote == Remote::Allowed).then_some(src)
        }
        Image::Unknown => None,
    };
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &attributes {
        if name != "src" {
            kept.push((name, value));
        }
    }
    if !attributes.iter().any(|(name, _)| name == "alt") {
        kept.push(("alt", ""));
    }
    if let Some(src) = &src {
        kept.push(("src", src));
    }
    write_tag("img", &kept, &mut done.html);
}

/// Writes the link's start: in a window of its own that knows nothing of ours, with the target to be read.
fn open(tag: &str, done: &mut Rendered) -> Anchor {
    let attributes = attributes(tag);
    let href = attributes.iter().find(|(name, _)| name == "href");
    let target = href.and_then(|(_, href)| links::target(href));
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &attributes {
        if name != "href" && name != "title" {
            kept.push((name, value));
        }
    }
    if let Some(target) = &target {
        kept.extend([
            ("href", target.as_str()),
            ("title", target),
            ("target", "_blank"),
            ("rel", "noopener noreferrer nofollow"),
        ]);
    }
    write_tag("a", &kept, &mut done.html);
    Anchor {
        target,
        text: String::new(),
    }
}

/// Writes the link's end, and after a link that pretends to lead elsewhere a warning.
fn close(anchor: &mut Option<Anchor>, done: &mut Rendered) {
    let Some(Anchor { target, text }) = anchor.take() else {
        return;
    };
    done.html.push_str("</a>");
    let Some(target) = target else { return };
    let link = Link::new(&text, target);
    if let Some(host) = link.mismatch.as_deref() {
        done.html
            .push_str("<strong class=\"restante-warning\"> [leads to ");
        escape(host, &mut done.html);
        done.html.push_str("]</strong>");
    }
    if done.links.len() < limits::RENDER_LINKS {
        done.links.push(link);
    }
}
