//! The hostile set, and what a reader wants to know of a mail's images and links.

use std::time::{Duration, Instant};

use super::{Remote, html, policy, text};

const HOSTILE: &str = include_str!("../../tests/hostile.txt");
const LOG: &str = "http://log.example";

/// Name and HTML of each vector.
fn vectors() -> Vec<(&'static str, String)> {
    let parts = HOSTILE.split("\n=== ").skip(1);
    let vectors: Vec<_> = parts
        .map(|part| {
            let (name, html) = part.split_once('\n').expect("a name and HTML");
            (name, html.replace("@LOG@", LOG))
        })
        .collect();
    assert!(vectors.len() >= 60, "{}", vectors.len());
    vectors
}

/// A part that is there.
fn inline(id: &str) -> Option<String> {
    (id == "here@x").then(|| "/inline/1".to_owned())
}

/// Tags and attributes, read by nobody's code but this test's: quotes as HTML has them.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let name_end = rest
            .find(|c: char| c.is_whitespace() || c == '>')
            .expect("a tag ends");
        let name = rest[..name_end].to_owned();
        rest = &rest[name_end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            let (key, after) = rest.split_once("=\"").expect("attributes are quoted");
            let (value, after) = after.split_once('"').expect("quotes are closed");
            attributes.push((key.to_owned(), value.to_owned()));
            rest = after;
        }
        found.push((name, attributes));
    }
    found
}

fn assert_harmless(name: &str, html: &str) {
    for (tag, attributes) in tags(html) {
        let element = tag.trim_start_matches('/');
        assert!(
            policy::ELEMENTS.contains(&element),
            "{name}: <{tag}> in {html}"
        );
        for (key, value) in attributes {
            let loads = [
                "srcset",
                "background",
                "poster",
                "action",
                "data",
                "ping",
                "formaction",
                "id",
                "name",
                "class",
            ];
            let ours = element == "strong" && value == "restante-warning";
            assert!(
                ours || !loads.contains(&key.as_str()),
                "{name}: {key} in {html}"
            );
            assert!(
                !key.starts_with("on") && key != "is",
                "{name}: {key} in {html}"
            );
            let lower = value.to_ascii_lowercase();
            match key.as_str() {
                "src" => assert!(
                    lower.starts_with("/inline/") || lower.starts_with("data:image/gif;base64,"),
                    "{name}: {value}"
                ),
                "href" => assert!(
                    ["https://", "http://", "mailto:"]
                        .iter()
                        .any(|s| lower.starts_with(s)),
                    "{name}: {value}"
                ),
                "style" => assert!(
                    ![
                        "url",
                        "@",
                        "\\",
                        "expression",
                        "image-set",
                        "position",
                        "var("
                    ]
                    .iter()
                    .any(|bad| lower.contains(bad)),
                    "{name}: {value}"
                ),
                "target" => assert_eq!(value, "_blank", "{name}"),
                _ => {}
            }
        }
    }
}

#[test]
fn the_hostile_set_leaves_nothing_active_and_nothing_remote() {
    for (name, vector) in vectors() {
        let rendered = html(&vector, Remote::Blocked, &inline);
        assert_harmless(name, &rendered.html);
        // What a second parse makes of it is no more than what the first did: no mutation helps.
        let again = html(&rendered.html, Remote::Blocked, &inline);
        assert_harmless(name, &again.html);
    }
}

#[test]
fn every_pair_of_vectors_is_as_harmless_as_each() {
    let vectors = vectors();
    for (first, one) in &vectors {
        for (second, other) in vectors.iter().step_by(7) {
            let rendered = html(&format!("{one}{other}"), Remote::Blocked, &inline);
            assert_harmless(&format!("{first} + {second}"), &rendered.html);
        }
    }
}

#[test]
fn cut_anywhere_it_stays_harmless() {
    for (name, vector) in vectors() {
        for at in (0..vector.len()).filter(|at| vector.is_char_boundary(*at)) {
            assert_harmless(name, &html(&vector[..at], Remote::Blocked, &inline).html);
        }
    }
}

#[test]
fn images_of_the_message_are_shown_others_counted_and_trackers_named() {
    let mail = r#"<img src="cid:here%40x" alt="logo"><img src="cid:gone"><img src="https://cdn.example/a.png" width="600">
        <img src="//cdn.example/b.png"><img src="https://x.list-manage.com/track/open.php?u=1"><img src="https://t.example/p" width=1 height="1">
        <img src="https://u.example/p" style="width:1px;height:1px"><img src="https://v.example/p" style="display:none">"#;
    let blocked = html(mail, Remote::Blocked, &inline);
    assert!(
        blocked.html.contains(r#"src="/inline/1""#),
        "{}",
        blocked.html
    );
    assert!(!blocked.html.contains("http"), "{}", blocked.html);
    assert_eq!(blocked.remote_images, 2);
    let trackers: Vec<_> = blocked
        .trackers
        .iter()
        .map(|t| (t.host.as_str(), t.service))
        .collect();
    assert_eq!(
        trackers,
        [
            ("x.list-manage.com", Some("Mailchimp")),
            ("t.example", None),
            ("u.example", None),
            ("v.example", None)
        ]
    );
    let styled = r#"<div style="background:url(https://cdn.example/c.png)"><p style="background-image:url('//d.example/')">"#;
    let page = format!("{styled}{mail}");
    let counted = html(&page, Remote::Blocked, &inline);
    assert_eq!((counted.backgrounds, counted.remote_images), (2, 2));
    let allowed = html(&page, Remote::Allowed, &inline);
    assert_eq!(allowed.backgrounds, 2);
    assert!(!allowed.html.contains("c.png") && !allowed.html.contains("d.example"));
    assert!(allowed.html.contains(r#"src="https://cdn.example/a.png""#));
    assert!(allowed.html.contains(r#"src="https://cdn.example/b.png""#));
    assert!(!allowed.html.contains("list-manage") && !allowed.html.contains("t.example"));
    assert_eq!((allowed.remote_images, allowed.trackers.len()), (2, 4));
}

#[test]
fn links_open_elsewhere_show_their_target_and_warn() {
    let mail = r#"<a href="https://evil.example/?a=1&amp;b=2"><b>www.bank</b>.example</a> and <a href="https://x.example/">read on</a>"#;
    let done = html(mail, Remote::Blocked, &inline);
    assert!(done.html.contains(r#"href="https://evil.example/?a=1&amp;b=2" title="https://evil.example/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow""#), "{}", done.html);
    assert!(
        done.html.contains("[leads to evil.example]"),
        "{}",
        done.html
    );
    assert_eq!(done.links[0].mismatch.as_deref(), Some("evil.example"));
    assert_eq!(
        (
            done.links[1].text.as_str(),
            done.links[1].mismatch.as_deref()
        ),
        ("read on", None)
    );
}

#[test]
fn layout_that_newsletters_use_stays() {
    let mail = r##"<table width="600" bgcolor="#ffffff" cellpadding="0"><tr><td align="center" style="padding:20px;color:#333"><font color="red">x</font></td></tr></table>"##;
    let done = html(mail, Remote::Blocked, &inline).html;
    for kept in [
        r##"bgcolor="#ffffff""##,
        r#"width="600""#,
        r#"style="padding:20px;color:#333""#,
        r#"<font color="red">"#,
    ] {
        assert!(done.contains(kept), "{kept}: {done}");
    }
}

#[test]
fn tangles_take_bounded_time() {
    for piece in [
        "<div>",
        "<b>",
        "<a>",
        "<table><td>",
        "<font><p>",
        "<i><table>",
        "&lt;",
        "<!--",
        "<svg>",
        "<select>",
        "<p title=\"",
    ] {
        let mail = piece.repeat(2_000_000 / piece.len());
        let start = Instant::now();
        let done = html(&mail, Remote::Blocked, &inline);
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{piece}: {:?}",
            start.elapsed()
        );
        assert_harmless(piece, &done.html);
    }
    let attributes: String = (0..250_000).map(|at| format!("a{at:x} ")).collect();
    for before in [
        "<p ",
        "</p ",
        "<!--><p ",
        "<style><p a='</style><p ",
        "<p x=\"<p\" ",
    ] {
        let start = Instant::now();
        let done = html(
            &format!("kept{before}{attributes}>"),
            Remote::Blocked,
            &inline,
        );
        assert!(start.elapsed() < Duration::from_secs(20), "{before}");
        assert!(done.truncated && done.html.contains("kept"), "{before}");
    }
    let lines = "> https://x.example/ (http://".repeat(100_000);
    let start = Instant::now();
    text(&lines);
    assert!(start.elapsed() < Duration::from_secs(5));
}
