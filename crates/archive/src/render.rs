//! From a message's text or HTML, which a stranger wrote, to HTML that may be shown.
//!
//! [`html`] works in two steps. The first parses as a browser would and keeps only elements, attributes
//! and style properties that are known to be harmless; scripts, forms, frames, SVG, MathML, `<style>` and
//! whatever loads something are gone then. The second goes through what is left, which is well-formed because the first wrote it,
//! and decides about images and links.
//!
//! This is one layer of several: the reader shows the result in a sandboxed frame, under a policy of its own.

mod bounds;
mod images;
mod links;
mod policy;
mod rewrite;
mod style;
mod text;
mod trackers;

pub use images::Tracker;
pub use links::Link;
pub use text::text;

/// Whether images from elsewhere may be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// They are left out and counted.
    Blocked,
    /// They are let in, but for trackers.
    Allowed,
}

/// A message's HTML, made safe, and what was found in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// What goes into the body of a page of its own.
    pub html: String,
    /// Images from elsewhere, trackers apart: left out, or let in.
    pub remote_images: usize,
    /// Images from elsewhere that styles ask for, as backgrounds: never let in.
    pub backgrounds: usize,
    /// Images that only tell their sender that the mail was opened; never let in. One for each image.
    pub trackers: Vec<Tracker>,
    /// Where links lead, in the order of the message; at most [`crate::limits::RENDER_LINKS`].
    pub links: Vec<Link>,
    /// The HTML was longer than [`crate::limits::RENDER_OCTETS`], or more tangled than any mail; the rest is missing.
    pub truncated: bool,
}

/// Makes HTML safe. `part`: where the reader finds the part of the same message that `cid:` names (RFC 2392); it is asked with
/// the decoded Content-ID, without brackets.
pub fn html(input: &str, remote: Remote, part: &dyn Fn(&str) -> Option<String>) -> Rendered {
    let (input, truncated) = bounds::within(input);
    let (clean, backgrounds) = policy::clean(input);
    let mut rendered = rewrite::rewrite(&clean, remote, part);
    rendered.backgrounds = backgrounds;
    rendered.truncated = truncated;
    rendered
}

/// Text as the content of an element or of an attribute in double quotes.
fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
