//! What the body comes to for a reader without images, with a slow line, or with a program that blocks.

use restante_archive::render::{self, Remote};
use url::Url;

use super::Findings;
use super::html::{Image, Page};
use super::limits::{GMAIL_OCTETS, LARGE_OCTETS, LINE_OCTETS, STUB_TIMES, VISIBLE_CHARACTERS};
use crate::units;

/// What the message is like, in a line.
pub(super) fn facts(bytes: &[u8], text: Option<&str>, page: Option<&Page>) -> String {
    let characters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count() as u64;
    let mut facts = vec![units::show_octets(bytes.len() as u64)];
    facts.push(match text {
        Some(text) => format!("text part: {}", units::count(characters(text), "character")),
        None => "no text part".to_owned(),
    });
    if let Some(page) = page {
        let remote = page.images.iter().filter(|image| image.is_remote()).count();
        facts.push(format!(
            "with images off: {} and {} alternative texts",
            units::count(characters(&page.text), "character"),
            page.images.iter().filter(|image| is_told(image)).count()
        ));
        facts.push(format!(
            "{} from elsewhere",
            units::count(remote as u64, "image")
        ));
        facts.push(units::count(page.links.len() as u64, "link"));
    }
    facts.join("; ")
}

fn is_told(image: &Image) -> bool {
    image
        .alt
        .as_deref()
        .is_some_and(|alt| !alt.trim().is_empty())
}

/// Looks at the body. `html`: the page's source.
pub(super) fn check(
    bytes: &[u8],
    text: Option<&str>,
    html: Option<&str>,
    page: Option<&Page>,
    findings: &mut Findings,
) {
    parts(text, page, findings);
    if let Some(page) = page {
        images(page, findings);
        links(page, findings);
    }
    if let Some(html) = html {
        trackers(html, findings);
    }
    sizes(bytes, html, findings);
}

fn parts(text: Option<&str>, page: Option<&Page>, findings: &mut Findings) {
    let seen = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
    let Some(page) = page else {
        if text.is_none_or(|text| seen(text) == 0) {
            findings.add(
                "empty",
                "There is nothing to read.",
                "A message without text goes to spam.",
                "Put the newsletter into the message itself, not into an attachment.",
            );
        }
        return;
    };
    let on_page = seen(&page.text);
    match text.map(seen) {
        None => findings.add(
            "text",
            "There is no text part.",
            "Programs for the shell, for the blind and for watches read it, and filters look for it.",
            "Send multipart/alternative: the same content as text/plain first, then as text/html (RFC 2046 §5.1.4).",
        ),
        Some(in_text) if in_text == 0 || in_text.saturating_mul(STUB_TIMES) < on_page => findings.add(
            "text",
            "The text part is a stub: it says far less than the page.",
            "Who reads text sees \"open this in a browser\" instead of a newsletter.",
            "Make the text part from the same content.",
        ),
        Some(_) => {}
    }
    if on_page < VISIBLE_CHARACTERS && !page.images.is_empty() {
        findings.add(
            "images-off",
            format!("With images off {} are left.", units::count(on_page as u64, "letter")),
            "Most programs show no images until they are asked to; the newsletter is then an empty frame.",
            "Write the text as text, not into images.",
        );
    }
}

fn images(page: &Page, findings: &mut Findings) {
    let shown: Vec<_> = page
        .images
        .iter()
        .filter(|image| !image.is_invisible)
        .collect();
    let count = |what: Vec<&&Image>| what.len() as u64;
    let silent = count(shown.iter().filter(|image| image.alt.is_none()).collect());
    if silent > 0 {
        findings.add(
            "alt",
            format!(
                "{} without an alternative text.",
                units::count(silent, "image")
            ),
            "With images off, or read aloud, nothing stands in their place.",
            "Give each an alt; alt=\"\" for those that only decorate.",
        );
    }
    let sizeless = count(
        shown
            .iter()
            .filter(|image| image.is_remote() && !image.has_size)
            .collect(),
    );
    if sizeless > 0 {
        findings.add(
            "image-size",
            format!(
                "{} from elsewhere without width and height.",
                units::count(sizeless, "image")
            ),
            "The page jumps while they load, and collapses while they do not.",
            "Give each its width and height.",
        );
    }
}

/// What the reader would name and keep out.
fn trackers(html: &str, findings: &mut Findings) {
    let trackers = render::html(html, Remote::Blocked, &|_| None).trackers;
    if !trackers.is_empty() {
        let mut hosts: Vec<_> = trackers
            .iter()
            .map(|tracker| match tracker.service {
                Some(service) => format!("{} ({service})", tracker.host),
                None => tracker.host.clone(),
            })
            .collect();
        hosts.sort();
        hosts.dedup();
        findings.add(
            "tracker",
            format!(
                "{} that only report who reads: {}.",
                units::count(trackers.len() as u64, "image"),
                hosts.join(", ")
            ),
            "Programs block them or load them all beforehand, so that what they count is wrong; in the EU they need consent.",
            "Take them out, and count clicks or replies instead.",
        );
    }
}

fn host(url: &str) -> Option<String> {
    let url = match url.starts_with("//") {
        true => format!("https:{url}"),
        false => url.to_owned(),
    };
    Url::parse(&url).ok()?.host_str().map(str::to_owned)
}

fn links(page: &Page, findings: &mut Findings) {
    let plain = page
        .links
        .iter()
        .filter(|link| link.href.to_ascii_lowercase().starts_with("http:"));
    let plain = plain.count() as u64;
    if plain > 0 {
        findings.add(
            "http",
            format!("{} over http.", units::count(plain, "link")),
            "Browsers warn of them, and anybody on the way can read and change what is shown.",
            "Link to https.",
        );
    }
    let lies = page.links.iter().filter(|link| {
        let text = link.text.trim();
        let named = match text.contains("://") {
            true => host(text),
            false if text.starts_with("www.") => host(&format!("https://{text}")),
            false => None,
        };
        let leads = host(&link.href);
        let bare = |host: &str| host.trim_start_matches("www.").to_owned();
        named
            .zip(leads)
            .is_some_and(|(named, leads)| bare(&named) != bare(&leads))
    });
    let lies = lies.count() as u64;
    if lies > 0 {
        findings.add(
            "link-text",
            format!(
                "{} that show one address and lead to another.",
                units::count(lies, "link")
            ),
            "That is what phishing looks like: programs warn of it.",
            "Put words on the link, or let it lead where it says.",
        );
    }
    if !page.dropped.is_empty() {
        let names: Vec<_> = page
            .dropped
            .iter()
            .map(|name| format!("<{name}>"))
            .collect();
        findings.add(
            "dropped",
            format!("The page uses {}.", names.join(", ")),
            "Mail programs take these out, and some then distrust the rest.",
            "Do without; link to a page that has them.",
        );
    }
}

fn sizes(bytes: &[u8], html: Option<&str>, findings: &mut Findings) {
    let octets = html.map_or(0, str::len);
    if octets > GMAIL_OCTETS {
        findings.add(
            "clipped",
            format!("The page has {}.", units::show_octets(octets as u64)),
            "Gmail shows 102 KB of it, and hides the rest, the way to unsubscribe included, behind a link.",
            "Take out styles, comments and white space, or send less.",
        );
    }
    if bytes.len() > LARGE_OCTETS {
        findings.add(
            "large",
            format!(
                "The message has {}.",
                units::show_octets(bytes.len() as u64)
            ),
            "Who downloads mail waits for all of it before reading any.",
            "Keep it below 1 MB: smaller images, no attachments.",
        );
    }
    let mut lines = bytes.split(|octet| *octet == b'\n');
    let is_long = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() > LINE_OCTETS;
    if lines.any(is_long) {
        findings.add(
            "line",
            "A line has more than 998 octets.",
            "Servers break such lines where they like, in the middle of a link too, and signatures then fail (RFC 5322 §2.1.1).",
            "Send HTML as quoted-printable or base64.",
        );
    }
}
