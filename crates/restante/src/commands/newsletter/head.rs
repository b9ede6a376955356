//! What the header says: who sends, to which list, how one leaves it.

use mail_parser::{HeaderName, Message};
use restante_archive::dkim;
use url::Url;

use super::Findings;
use super::limits::{AHEAD_SECONDS, SUBJECT_CHARACTERS};

/// Looks at the header; `now` in seconds since 1970.
pub(super) fn check(message: &Message<'_>, now: i64, findings: &mut Findings) {
    let fields = Fields::of(message);
    sender(message, &fields, findings);
    subject(message, &fields, findings);
    dates_and_ids(message, now, findings);
    list(&fields, findings);
    leave(&fields, findings);
}

/// The header's fields as they stand, unfolded.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(message: &Message<'_>) -> Self {
        let all = message.headers_raw().map(|(name, value)| {
            let value: String = value
                .chars()
                .filter(|c| !matches!(c, '\r' | '\n'))
                .collect();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self(all.collect())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }

    fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }
}

/// The same domain, or one within the other: what DMARC calls relaxed (RFC 7489 §3.1.1), as far as
/// it can be told without a list of public suffixes.
fn aligned(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        let rest = inner.strip_suffix(outer);
        outer.contains('.') && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    within(a, b) || within(b, a)
}

fn sender(message: &Message<'_>, fields: &Fields, findings: &mut Findings) {
    let addresses: Vec<_> = message
        .from()
        .into_iter()
        .flat_map(|from| from.iter())
        .filter_map(|from| from.address())
        .collect();
    let domain = match addresses[..] {
        [one] => one
            .rsplit_once('@')
            .map(|(_, domain)| domain.to_ascii_lowercase()),
        _ => None,
    };
    let Some(domain) = domain.filter(|_| fields.all("from").count() == 1) else {
        findings.add(
            "from",
            "From does not name exactly one sender.",
            "Providers refuse mail without one clear sender, and DMARC cannot be checked (RFC 5322 §3.6.2).",
            "Send with one From field that has one address.",
        );
        return;
    };
    let signers: Vec<_> = fields
        .all("dkim-signature")
        .filter_map(|signature| dkim::tag(signature, "d"))
        .collect();
    if signers.is_empty() {
        findings.add(
            "dkim",
            "There is no DKIM signature.",
            "Gmail and others demand one of whoever sends newsletters (RFC 6376).",
            "Send yourself a test and check what arrived; if it is not signed there either, turn DKIM on where you send.",
        );
    } else if !signers.iter().any(|signer| aligned(signer, &domain)) {
        findings.add(
            "alignment",
            format!("From is at {domain}, and the signature is of {}.", signers.join(", ")),
            "A signature of another domain counts for nothing in DMARC (RFC 7489 §3.1), and mail programs show \"via\".",
            "Have the sending service sign with your own domain (a CNAME record, as a rule).",
        );
    }
    let failed = fields.all("authentication-results").any(|results| {
        results.split(';').any(|result| {
            let mut words = result.split_whitespace();
            matches!(
                words.next(),
                Some("dkim=fail" | "dmarc=fail" | "dkim=permerror")
            )
        })
    });
    if failed {
        findings.add(
            "authentication",
            "The receiving server found DKIM or DMARC wrong (Authentication-Results).",
            "Such mail goes to spam or is refused.",
            "Compare the domain's DNS records with what your sending service asks for.",
        );
    }
}

fn subject(message: &Message<'_>, fields: &Fields, findings: &mut Findings) {
    let subject = message.subject().unwrap_or_default().trim();
    let length = subject.chars().count();
    if length == 0 {
        findings.add(
            "subject",
            "There is no subject.",
            "In a list of messages nothing says what this is.",
            "Write one.",
        );
    } else if length > SUBJECT_CHARACTERS {
        findings.add(
            "subject",
            format!("The subject has {length} characters."),
            "A list of messages shows about 70 of them, a telephone about 40.",
            "Say what matters in the first 40.",
        );
    }
    let is_raw = fields.one("subject").is_some_and(|raw| !raw.is_ascii());
    if is_raw {
        findings.add(
            "subject-8bit",
            "The subject has letters beyond ASCII that are not encoded.",
            "Servers without SMTPUTF8 refuse or garble it (RFC 2047, RFC 6532).",
            "Let the sending program encode the header.",
        );
    }
}

fn dates_and_ids(message: &Message<'_>, now: i64, findings: &mut Findings) {
    match message.date().filter(|date| date.is_valid()) {
        None => findings.add(
            "date",
            "There is no Date that can be read.",
            "Mail programs sort by it (RFC 5322 §3.6.1).",
            "Send with a Date field such as `Fri, 27 Nov 2026 10:00:00 +0100`.",
        ),
        Some(date) if date.to_timestamp() > now + AHEAD_SECONDS => findings.add(
            "date",
            "Date lies in the future.",
            "Mail programs keep it on top for that long, and filters take it for spam.",
            "Set the clock of the machine that sends.",
        ),
        Some(_) => {}
    }
    let id = message.message_id().unwrap_or_default();
    let is_id = id
        .split_once('@')
        .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if !is_id {
        findings.add(
            "message-id",
            "There is no Message-ID of the form <left@right>.",
            "Without it answers cannot be threaded, and filters count it against you (RFC 5322 §3.6.4).",
            "Let the sending program make one for each message.",
        );
    }
    if message.header(HeaderName::MimeVersion).is_none() && message.parts.len() > 1 {
        findings.add(
            "mime-version",
            "There is no MIME-Version field.",
            "Strict programs then show the source of the message (RFC 2045 §4).",
            "Add `MIME-Version: 1.0`.",
        );
    }
}

fn list(fields: &Fields, findings: &mut Findings) {
    let id = fields.one("list-id").map(|value| {
        let inner = value
            .rsplit_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        inner.is_some_and(|(id, _)| id.contains('.') && !id.contains(char::is_whitespace))
    });
    match id {
        Some(true) => {}
        Some(false) => findings.add(
            "list-id",
            "List-Id is not of the form `Name <label.example.org>`.",
            "Mail programs group and filter newsletters by it (RFC 2919 §3).",
            "Give each newsletter a label under your own domain.",
        ),
        None => findings.add(
            "list-id",
            "There is no List-Id.",
            "Mail programs group and filter newsletters by it; without it each sender address is another one (RFC 2919).",
            "Add `List-Id: Name <label.example.org>`, the same in every issue.",
        ),
    }
}

/// RFC 2369 §3.2 and RFC 8058.
fn leave(fields: &Fields, findings: &mut Findings) {
    let value = fields.one("list-unsubscribe").unwrap_or_default();
    let ways: Vec<_> = value
        .split('<')
        .skip(1)
        .filter_map(|part| part.split_once('>'))
        .filter_map(|(way, _)| Url::parse(way.trim()).ok())
        .collect();
    let has = |scheme: &str| ways.iter().any(|way| way.scheme() == scheme);
    if ways.is_empty() {
        findings.add(
            "list-unsubscribe",
            "There is no List-Unsubscribe with an address in <>.",
            "Who cannot leave with one click presses \"spam\" instead; Gmail and Yahoo demand it (RFC 2369 §3.2).",
            "Add `List-Unsubscribe: <https://…>, <mailto:…>` with a token for each reader.",
        );
        return;
    }
    if !has("https") {
        findings.add(
            "one-click",
            "List-Unsubscribe has no https address.",
            "One click needs one: a mailto: or http: address is not enough (RFC 8058 §3.1).",
            "Add an https address that takes a POST.",
        );
        return;
    }
    let post = fields.one("list-unsubscribe-post");
    if post.is_none_or(|post| !post.eq_ignore_ascii_case("List-Unsubscribe=One-Click")) {
        findings.add(
            "one-click",
            "There is no `List-Unsubscribe-Post: List-Unsubscribe=One-Click`.",
            "Without it mail programs may only open a page, or show no button at all (RFC 8058 §3.1).",
            "Add that very line, and let the https address take a POST without cookies, login or redirect.",
        );
        return;
    }
    let mut signatures = fields.all("dkim-signature").peekable();
    if signatures.peek().is_some() && !signatures.any(dkim::covers_one_click) {
        findings.add(
            "one-click-signed",
            "No DKIM signature covers both List-Unsubscribe and List-Unsubscribe-Post.",
            "Mail programs must then ignore one-click, for anybody could have added it (RFC 8058 §4).",
            "Have both fields named in the signature's h=.",
        );
    }
}
