//! Where links lead, and whether they say so.

use url::Url;

/// A link of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What it shows, in one line.
    pub text: String,
    /// Where it leads: `http:`, `https:` or `mailto:`, the host in ASCII (punycode).
    pub target: String,
    /// The host that it leads to, where what it shows names another.
    pub mismatch: Option<String>,
}

impl Link {
    pub(super) fn new(text: &str, target: String) -> Self {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mismatch = mismatch(&text, &target);
        Self {
            text,
            target,
            mismatch,
        }
    }
}

/// An address that a link may lead to, as a browser reads it.
pub(super) fn target(href: &str) -> Option<String> {
    let url = Url::parse(href.trim()).ok()?;
    match url.scheme() {
        // A name and password before the host only make another host look like the target.
        "http" | "https" if url.username().is_empty() && url.password().is_none() => {
            Some(url.into())
        }
        "mailto" => Some(url.into()),
        _ => None,
    }
}

/// The host that the target really has, if the text looks like an address of another one. `www.` and
/// deeper names of the same domain are not another.
fn mismatch(text: &str, target: &str) -> Option<String> {
    let url = Url::parse(target).ok()?;
    if url.scheme() == "mailto" {
        return None;
    }
    let real = url.host_str()?.to_ascii_lowercase();
    let shown = shown_host(text)?;
    let within = |inner: &str, outer: &str| {
        inner == outer
            || inner
                .strip_suffix(outer)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    let shown = shown.strip_prefix("www.").unwrap_or(&shown);
    let bare = real.strip_prefix("www.").unwrap_or(&real);
    (!within(bare, shown) && !within(shown, bare)).then_some(real)
}

/// The host in a text that looks like an address: one word with a scheme, or a bare domain.
fn shown_host(text: &str) -> Option<String> {
    let mut words = text.split(|c: char| c.is_whitespace() || "<>()[]\"".contains(c));
    words.find_map(|word| {
        let lower = word.to_lowercase();
        if lower.contains('@') && !lower.contains("//") {
            return None;
        }
        let with_scheme = if lower.starts_with("http://") || lower.starts_with("https://") {
            lower
        } else {
            let host = lower.split(['/', '?', '#', ':']).next().unwrap_or_default();
            let (name, top) = host
                .trim_end_matches(['.', ',', '!', '…'])
                .rsplit_once('.')?;
            let looks = !name.is_empty()
                && (2..=24).contains(&top.chars().count())
                && top.chars().all(char::is_alphabetic)
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || c == '-' || c == '.')
                && name.chars().any(char::is_alphabetic);
            let path = !host.starts_with("www.") && is_file_ending(top);
            if !looks || path {
                return None;
            }
            format!("http://{name}.{top}")
        };
        let url = Url::parse(&with_scheme).ok()?;
        url.host_str().map(str::to_owned)
    })
}

/// `report.pdf` names a file, not a host.
fn is_file_ending(top: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "txt", "csv", "jpg",
        "jpeg", "png", "gif", "html", "htm", "php", "eml", "ics", "js", "json", "xml", "exe", "gz",
        "tar",
    ];
    ENDINGS.contains(&top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_another_host_is_told() {
        for (text, target) in [
            ("www.bank.example", "https://evil.example/"),
            (
                "https://bank.example/login",
                "https://bank.example.evil.example/",
            ),
            ("Go to bank.example now", "http://192.0.2.1/"),
            ("bank.example", "https://bank.example@evil.example/".trim()),
            ("BANK.EXAMPLE", "https://xn--bnk-5cd.example/"),
        ] {
            let told = mismatch(text, target);
            assert!(told.is_some(), "{text} {target}");
        }
    }

    #[test]
    fn honest_links_are_left_in_peace() {
        for (text, target) in [
            ("bank.example", "https://www.bank.example/x"),
            ("www.bank.example", "https://bank.example/x"),
            ("https://bank.example/a?b", "https://login.bank.example/"),
            ("Read more...", "https://evil.example/"),
            ("report.pdf", "https://files.example/report.pdf"),
            ("ann@bank.example", "https://evil.example/"),
            ("version 2.0", "https://evil.example/"),
            ("e.g. this", "https://evil.example/"),
        ] {
            assert_eq!(mismatch(text, target), None, "{text} {target}");
        }
    }

    #[test]
    fn only_the_web_and_mail_are_targets() {
        for href in [
            "javascript:alert(1)",
            " java\nscript:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "blob:https://x/y",
            "https://user:pass@host.example/",
            "https://bank.example@evil.example/",
            "/relative",
            "cid:x",
        ] {
            assert_eq!(target(href), None, "{href}");
        }
        assert_eq!(
            target("HTTPS://Exämple.org/a b").as_deref(),
            Some("https://xn--exmple-cua.org/a%20b")
        );
    }
}
