//! The mail that the browser is shown.

/// A PNG of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A page with one line of text, as base64.
const PDF: &str = "JVBERi0xLjEKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiAwIFI+PgplbmRvYmoKMiAwIG9iago8PC9UeXBlL1BhZ2VzL0tpZHNbMyAwIFJdL0NvdW50IDE+PgplbmRvYmoKMyAwIG9iago8PC9UeXBlL1BhZ2UvUGFyZW50IDIgMCBSL01lZGlhQm94WzAgMCAyMDAgMjAwXT4+CmVuZG9iagp0cmFpbGVyPDwvUm9vdCAxIDAgUj4+Cg==";

/// Days from one message to the next.
const DAYS: usize = 3;

/// The last day that mail came: 2026-06-30, in days since 1970.
const LAST_DAY: usize = 20_634;

/// A date as RFC 5322 has it, `ago` days before [`LAST_DAY`].
fn date(ago: usize) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut day = LAST_DAY - ago;
    let mut year = 1970;
    let leap = |year: usize| year.is_multiple_of(4);
    while day >= 365 + usize::from(leap(year)) {
        day -= 365 + usize::from(leap(year));
        year += 1;
    }
    let february = 28 + usize::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute) = (7 + ago % 3, 10 + ago % 40);
    format!(
        "{} {} {year} 0{hour}:{minute}:00 +0000",
        day + 1,
        MONTHS[month]
    )
}

/// The domain of a sender, for ids that no two messages share.
fn domain(from: &str) -> &str {
    from.rsplit('@')
        .next()
        .unwrap_or(from)
        .trim_end_matches('>')
}

fn text(number: usize, from: &str, subject: &str, more: &str, body: &str) -> String {
    format!(
        "From: {from}\r\nTo: Ann <ann@example.org>\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <m{number}@{}>\r\n{more}\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n",
        date(number * DAYS),
        domain(from)
    )
}

fn html(number: usize, from: &str, subject: &str, more: &str, body: &str) -> String {
    format!(
        "From: {from}\r\nTo: ann@example.org\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <m{number}@{}>\r\n{more}\
         MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}\r\n",
        date(number * DAYS),
        domain(from)
    )
}

/// A mailbox as people have them: letters, a conversation, newsletters, attachments.
pub(super) fn of_ann(leave: u16) -> Vec<String> {
    let mut all = Vec::new();
    let people = [
        (
            "Maria Keller <maria@garden.example>",
            "Seedlings for the balcony",
            "The tomatoes are ready to move out, I have six to give away.",
        ),
        (
            "Jonas Weber <jonas@cycle.example>",
            "Sunday's route",
            "Along the river this time: flat, and with cake at the end. See https://cycle.example/route",
        ),
        (
            "City library <desk@library.example>",
            "Your loan ends on Friday",
            "The Wall Jumper is due back on Friday. You can renew it twice.",
        ),
        (
            "Omar Haddad <omar@studio.example>",
            "Draft of the floor plan",
            "Here is what we talked about; the stairs moved to the north side.",
        ),
        (
            "Railway <tickets@rail.example>",
            "Your ticket to Hamburg",
            "Coach 7, seat 42. Have a good journey.",
        ),
    ];
    for (at, (from, subject, body)) in people.iter().enumerate() {
        all.push(text(2 + at * 4, from, subject, "", body));
    }
    for (at, (from, body)) in [
        (
            "Lea Brandt <lea@choir.example>",
            "Shall we sing the Rheinberger in autumn?",
        ),
        (
            "Tom Fischer <tom@choir.example>",
            "Yes please.\r\n\r\n> Shall we sing the Rheinberger in autumn?",
        ),
        (
            "Lea Brandt <lea@choir.example>",
            "Then I will order the scores.",
        ),
    ]
    .iter()
    .enumerate()
    {
        let (subject, more) = match at {
            0 => ("Programme for the autumn concert", String::new()),
            _ => (
                "Re: Programme for the autumn concert",
                format!(
                    "In-Reply-To: <m{}@choir.example>\r\nReferences: <m43@choir.example>\r\n",
                    44 - at
                ),
            ),
        };
        all.push(text(43 - at, from, subject, &more, body));
    }
    for number in 0..12 {
        let more = format!(
            "List-Id: Weekly Reads <weekly.reads.example>\r\nList-Unsubscribe: <https://localhost:{leave}/leave?token=abc>, <mailto:leave@reads.example>\r\n\
             List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\
             DKIM-Signature: v=1; a=rsa-sha256; d=reads.example; s=a; h=From:Subject:List-Unsubscribe:List-Unsubscribe-Post; bh=x; b=x\r\n"
        );
        let body = format!(
            "<table width=600 align=center cellpadding=16 style='background-color:#f3f6f9;font-family:Georgia,serif'><tr><td><h1 style='color:#1f5f8b'>Weekly Reads, issue {}</h1>\
             <p>Five long reads for a slow Sunday: on lighthouses, bread, maps that lie, the last telegram, and what owls hear.</p>\
             <p><img src='https://cdn.reads.example/cover.png' width=560 height=200 alt='A lighthouse in the evening'></p>\
             <p><a href='https://click.reads.example/1'>Read the first one</a></p></td></tr></table>\
             <img src='https://reads.list-manage.com/track/open.php?u=1' width=1 height=1>",
            112 - number
        );
        let subject = format!("Weekly Reads {}: lighthouses and bread", 112 - number);
        all.push(html(
            1 + number * 7 / DAYS,
            "Weekly Reads <hello@reads.example>",
            &subject,
            &more,
            &body,
        ));
    }
    for number in 0..6 {
        let more =
            "List-Id: <offers.shop.example>\r\nList-Unsubscribe: <mailto:stop@shop.example>\r\n";
        let subject = format!("Offers of the month, {}", number + 1);
        all.push(text(
            3 + number * 10,
            "Garden shop <offers@shop.example>",
            &subject,
            more,
            "Everything for the beds, at half the price.",
        ));
    }
    all.push(html(
        1,
        "Your Bank <service@evil.example>",
        "Confirm your account",
        "",
        "<p>Please log in at <a href='https://login.evil.example/'>www.bank.example</a> today.</p>",
    ));
    all.push(attachments());
    all
}

/// A letter with a picture in it, a PDF, a text, and a page that would like to run.
fn attachments() -> String {
    let part = |kind: &str, name: &str, more: &str, content: &str| {
        format!(
            "--b\r\nContent-Type: {kind}; name=\"{name}\"\r\n{more}Content-Transfer-Encoding: base64\r\n\r\n{content}\r\n"
        )
    };
    let attached = |name: &str| format!("Content-Disposition: attachment; filename=\"{name}\"\r\n");
    let mut mail = format!(
        "From: Nora Lindt <nora@photo.example>\r\nTo: ann@example.org\r\nSubject: Pictures from the lake\r\nDate: {}\r\nMessage-ID: <photos@example.org>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         <p>Two of the pictures, and the map as a PDF.</p><p><img src=\"cid:lake@photo\" alt=\"The lake\" width=120 height=80></p>\r\n",
        date(2)
    );
    mail.push_str(&part(
        "image/png",
        "lake.png",
        "Content-ID: <lake@photo>\r\nContent-Disposition: inline; filename=\"lake.png\"\r\n",
        PNG,
    ));
    mail.push_str(&part("image/png", "boat.png", &attached("boat.png"), PNG));
    mail.push_str(&part(
        "application/pdf",
        "map.pdf",
        &attached("map.pdf"),
        PDF,
    ));
    // "The way to the lake"; "<script>document.title='run'</script>"
    mail.push_str(&part(
        "text/plain",
        "way.txt",
        &attached("way.txt"),
        "VGhlIHdheSB0byB0aGUgbGFrZQ==",
    ));
    mail.push_str(&part(
        "text/html",
        "page.html",
        &attached("page.html"),
        "PHNjcmlwdD5kb2N1bWVudC50aXRsZT0ncnVuJzwvc2NyaXB0Pg==",
    ));
    mail.push_str("--b--\r\n");
    mail
}

/// The hostile set, a message for each vector.
pub(super) fn of_bob(hostile: &str, log: &str) -> Vec<String> {
    let vectors = hostile.split("\n=== ").skip(1);
    vectors
        .enumerate()
        .filter_map(|(number, vector)| {
            let (name, body) = vector.split_once('\n')?;
            let body = body.replace("@LOG@", log).replace('\n', "\r\n");
            let subject = format!("hostile {name}");
            Some(html(
                number,
                "Mallory <mallory@evil.example>",
                &subject,
                "",
                &body,
            ))
        })
        .collect()
}
