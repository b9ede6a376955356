use super::*;

const NOW: i64 = 1_795_000_000;

const HEAD: &str = "DKIM-Signature: v=1; a=rsa-sha256; d=news.example.org; s=a;\r\n \
    h=From:Subject:List-Unsubscribe:\r\n List-Unsubscribe-Post; bh=x; b=y\r\n\
    From: Ada <ada@example.org>\r\n\
    Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= from the garden\r\n\
    Date: Fri, 13 Nov 2026 10:00:00 +0100\r\n\
    Message-ID: <1@example.org>\r\n\
    List-Id: Garden <garden.example.org>\r\n\
    List-Unsubscribe: <https://example.org/u?t=1>,\r\n <mailto:u@example.org>\r\n\
    List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
    MIME-Version: 1.0\r\n";

const TEXT: &str = "Dear reader, the apples are ripe and the pears will be soon. Come on Sunday and take \
    as many as you can carry; ladders and baskets are by the shed.";

const IMAGE: &str = "<img src=\"https://example.org/a.jpg\" width=600 height=300 alt=\"Apples\">";

fn message(head: &str, text: Option<&str>, html: &str) -> Vec<u8> {
    let text = text.map_or(String::new(), |text| {
        format!("--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n")
    });
    format!(
        "{head}Content-Type: multipart/alternative; boundary=b\r\n\r\n{text}\
         --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><head><style>p {{ color: red }}</style>\r\n\
         </head><body>{html}</body></html>\r\n--b--\r\n"
    )
    .into_bytes()
}

fn codes(bytes: &[u8]) -> Vec<&'static str> {
    let (_, findings) = check(bytes, NOW).unwrap();
    findings.0.iter().map(|finding| finding.code).collect()
}

fn page(html: &str) -> Vec<&'static str> {
    let html = format!("<p>{TEXT}</p>{IMAGE}{html}");
    codes(&message(HEAD, Some(TEXT), &html))
}

#[test]
fn a_good_one_has_nothing_to_mend() {
    let html = format!(
        "<p>{TEXT}</p>{IMAGE}<img src=cid:logo alt=''><a href='https://www.example.org/x'>https://example.org/</a>"
    );
    let bytes = message(HEAD, Some(TEXT), &html);
    assert_eq!(codes(&bytes), Vec::<&str>::new());
    let (facts, _) = check(&bytes, NOW).unwrap();
    assert!(facts.contains("1 image from elsewhere; 1 link"), "{facts}");
    let plain = format!("{HEAD}Content-Type: text/plain\r\n\r\n{TEXT}\r\n");
    assert_eq!(codes(plain.as_bytes()), Vec::<&str>::new());
    let saved = format!("From a@b Fri Nov 13 10:00:00 2026\r\n{plain}");
    assert_eq!(codes(saved.as_bytes()), Vec::<&str>::new());
}

#[test]
fn each_fault_of_the_header_is_found() {
    for (line, put, code) in [
        ("List-Id: Garden <garden.example.org>\r\n", "", "list-id"),
        ("<garden.example.org>", "garden", "list-id"),
        ("From: Ada <ada@example.org>\r\n", "", "from"),
        (
            "<ada@example.org>",
            "<ada@example.org>, b@example.org",
            "from",
        ),
        ("<ada@example.org>", "<ada@example.net>", "alignment"),
        ("d=news.example.org", "d=notexample.org", "alignment"),
        ("d=news.example.org", "d=org", "alignment"),
        ("Date: Fri, 13 Nov 2026", "Date: Fri, 13 Nov 2076", "date"),
        ("Date: Fri", "X-Date: Fri", "date"),
        ("Message-ID: <1@example.org>\r\n", "", "message-id"),
        ("from the garden", &"and more ".repeat(12), "subject"),
        ("Subject: =", "X-Subject: =", "subject"),
        ("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße", "subject-8bit"),
        ("MIME-Version: 1.0\r\n", "", "mime-version"),
        (
            "<https://example.org/u?t=1>,\r\n <mailto:u@example.org>",
            "on request",
            "list-unsubscribe",
        ),
        (
            "<https://example.org/u?t=1>",
            "<http://example.org/u?t=1>",
            "one-click",
        ),
        ("List-Unsubscribe=One-Click", "yes", "one-click"),
        ("List-Unsubscribe-Post; bh", "To; bh", "one-click-signed"),
        (
            "From: Ada",
            "Authentication-Results: mx.example.net; spf=pass; dkim=fail header.d=x\r\nFrom: Ada",
            "authentication",
        ),
    ] {
        let head = HEAD.replacen(line, put, 1);
        assert_ne!(head, HEAD, "{line}");
        let found = codes(&message(&head, Some(TEXT), &format!("<p>{TEXT}</p>")));
        assert_eq!(found, [code], "{line} {put}");
    }
    let unsigned = &HEAD[HEAD.find("From: Ada").unwrap()..];
    assert_eq!(codes(&message(unsigned, Some(TEXT), TEXT)), ["dkim"]);
}

#[test]
fn each_fault_of_the_body_is_found() {
    for (html, code) in [
        (
            "<img src='https://example.org/b.jpg' width=1 height=600>",
            "alt",
        ),
        (
            "<img src='https://example.org/b.jpg' alt=b width=9>",
            "image-size",
        ),
        (
            "<IMG SRC=https://t.example/p?u=1 WIDTH=\"1\" HEIGHT=\"1\">",
            "tracker",
        ),
        (
            "<img src='//t.example/p' style='width: 0px; height:1px'/>",
            "tracker",
        ),
        (
            "<img src='https://t.example/p' style='display : none' alt=''>",
            "tracker",
        ),
        ("<a href=http://example.org/>read on</a>", "http"),
        (
            "<a href='https://evil.example/'>https://<b>bank</b>.example/</a>",
            "link-text",
        ),
        ("<form action=x><b>vote</b></form>", "dropped"),
        ("<script>document.write('<p>')</script>", "dropped"),
    ] {
        assert_eq!(page(html), [code], "{html}");
    }
    let long = format!("<!-- {} -->", "x".repeat(1_000));
    assert_eq!(page(&long), ["line"]);
    let much = format!("<p>{}</p>\r\n", "word ".repeat(20)).repeat(1_100);
    let text = "word "
        .repeat(20_000)
        .replace("word word word ", "word\r\n");
    assert_eq!(codes(&message(HEAD, Some(&text), &much)), ["clipped"]);
    assert_eq!(codes(&message(HEAD, None, TEXT)), ["text"]);
    assert_eq!(
        codes(&message(HEAD, Some("See the web page"), &TEXT.repeat(3))),
        ["text"]
    );
    assert_eq!(codes(&message(HEAD, Some(TEXT), IMAGE)), ["images-off"]);
    let empty = format!("{HEAD}Content-Type: text/plain\r\n\r\n\r\n");
    assert_eq!(codes(empty.as_bytes()), ["empty"]);
}

#[test]
fn broken_pages_end() {
    for html in [
        "<",
        "<a",
        "<a href",
        "<a href=",
        "<a href='",
        "<a =>",
        "<!--",
        "<!",
        "</",
        "<img src=\"x",
        "<style>",
        "<script",
        "a < b",
        "<a / / =='' \">",
        "\u{feff}<ä>",
    ] {
        html::scan(html);
        html::scan(&format!("{html} and more <b>x</b>"));
    }
    assert_eq!(
        html::scan("a < b &amp; c<br>d<title>t</title>").text,
        "a < b & c d"
    );
    // Each of these was read to the page's end again and again.
    let started = std::time::Instant::now();
    for piece in ["<a x=", "<style></style>", "<", "<a ", "</"] {
        html::scan(&piece.repeat(300_000));
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
    assert!(check(b"", NOW).is_err());
    assert!(check(b"\n\nno header", NOW).is_err());
}
