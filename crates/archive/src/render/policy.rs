//! What may stand in HTML that is shown: the first step of [`super::html`].

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::Builder;

use super::style;

/// Elements that only arrange text. None of them loads anything but `img`, whose `src` the second step decides about.
pub(super) const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "acronym",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "main",
    "mark",
    "nav",
    "ol",
    "p",
    "pre",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "wbr",
];

/// Elements whose content is not text for people.
const DROPPED_WHOLE: &[&str] = &[
    "applet", "audio", "canvas", "embed", "frameset", "iframe", "math", "noembed", "noframes",
    "noscript", "object", "script", "select", "style", "svg", "template", "textarea", "title",
    "video", "xmp",
];

const EVERYWHERE: &[&str] = &["align", "dir", "lang", "style", "title"];

const OF_TABLES: &[&str] = &[
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "colspan",
    "height",
    "nowrap",
    "rowspan",
    "span",
    "valign",
    "width",
];

const BY_ELEMENT: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("col", OF_TABLES),
    ("colgroup", OF_TABLES),
    ("font", &["color", "face", "size"]),
    ("hr", &["color", "noshade", "size", "width"]),
    (
        "img",
        &[
            "alt", "border", "height", "hspace", "src", "vspace", "width",
        ],
    ),
    ("li", &["type", "value"]),
    ("ol", &["start", "type"]),
    ("table", OF_TABLES),
    ("tbody", OF_TABLES),
    ("td", OF_TABLES),
    ("tfoot", OF_TABLES),
    ("th", OF_TABLES),
    ("thead", OF_TABLES),
    ("tr", OF_TABLES),
    ("ul", &["type"]),
];

static POLICY: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let set = |names: &[&'static str]| names.iter().copied().collect::<HashSet<_>>();
    let attributes: HashMap<_, _> = BY_ELEMENT
        .iter()
        .map(|(of, names)| (*of, set(names)))
        .collect();
    let mut policy = Builder::empty();
    policy
        .tags(set(ELEMENTS))
        .clean_content_tags(set(DROPPED_WHOLE))
        .generic_attributes(set(EVERYWHERE))
        .tag_attributes(attributes)
        // `cid` and `data` are for images alone; the second step holds every one to its own.
        .url_schemes(set(&["http", "https", "mailto", "cid", "data"]))
        .url_relative(ammonia::UrlRelative::Custom(Box::new(keep_double_slash)))
        .attribute_filter(attribute)
        .link_rel(None)
        .strip_comments(true);
    policy
});

/// A relative address has nothing to be relative to, but for `//host/path`, which loads from elsewhere and is counted as that.
fn keep_double_slash(url: &str) -> Option<Cow<'_, str>> {
    let url = url.trim();
    url.starts_with("//")
        .then(|| Cow::Owned(format!("https:{url}")))
}

fn attribute<'u>(_element: &str, attribute: &str, value: &'u str) -> Option<Cow<'u, str>> {
    if attribute != "style" {
        return Some(value.into());
    }
    BACKGROUNDS.set(BACKGROUNDS.get() + style::remote(value));
    Some(style::filter(value))
        .filter(|style| !style.is_empty())
        .map(Cow::Owned)
}

thread_local! {
    /// What [`attribute`], which has no other place for it, has counted of one page.
    static BACKGROUNDS: Cell<usize> = const { Cell::new(0) };
}

/// Parses, keeps what is harmless, and writes it well-formed. Also says how many images from elsewhere the
/// styles that went asked for.
pub(super) fn clean(input: &str) -> (String, usize) {
    BACKGROUNDS.set(0);
    let clean = POLICY.clean(input).to_string();
    (clean, BACKGROUNDS.take())
}
