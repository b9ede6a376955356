//! What headers say of who, whom, which list and which thread.

use mail_parser::{HeaderValue, Message};

use super::{Group, GroupKind, text::cut};
use crate::{Address, Unsubscribe, dkim, limits};

/// One line, without what a screen would obey, and bounded.
pub(crate) fn header_text(text: &str) -> String {
    let mut one = String::with_capacity(text.len().min(limits::HEADER_OCTETS));
    let mut space = false;
    for c in cut(text, limits::HEADER_OCTETS).chars() {
        if c.is_whitespace() {
            space = !one.is_empty();
        } else if !c.is_control() {
            if std::mem::take(&mut space) {
                one.push(' ');
            }
            one.push(c);
        }
    }
    one
}

/// The addresses of a header, groups flattened.
pub(crate) fn addresses(of: Option<&mail_parser::Address<'_>>) -> Vec<Address> {
    let Some(of) = of else { return Vec::new() };
    of.iter()
        .take(limits::ADDRESSES)
        .map(|address| Address {
            name: address.name().map(header_text).filter(|n| !n.is_empty()),
            address: address.address().map(header_text).filter(|a| !a.is_empty()),
        })
        .filter(|address| address.name.is_some() || address.address.is_some())
        .collect()
}

/// The message-ids of a header, without their angle brackets. RFC 5322 §3.6.4
pub(crate) fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    let all: Vec<&str> = match value {
        HeaderValue::Text(text) => vec![text],
        HeaderValue::TextList(list) => list.iter().map(AsRef::as_ref).collect(),
        _ => Vec::new(),
    };
    // The last ones are the nearest.
    let from = all.len().saturating_sub(limits::REFERENCES);
    all[from..]
        .iter()
        .map(|id| id.trim().trim_matches(['<', '>']))
        .filter(|id| !id.is_empty() && id.len() <= 998 && !id.contains(char::is_whitespace))
        .map(str::to_owned)
        .collect()
}

/// The first message-id of a header: In-Reply-To may hold anything. RFC 5322 §4.5.4
pub(crate) fn one_id(value: &HeaderValue<'_>) -> Option<String> {
    ids(value).into_iter().find(|id| id.contains('@'))
}

/// Every header, decoded, in the order of the message.
pub(crate) fn decoded_headers(message: &Message<'_>) -> Vec<(String, String)> {
    message
        .headers_raw()
        .zip(message.headers())
        .map(|((known, raw), header)| {
            // As it stands in the message: the parser has spellings of its own.
            let place = header.offset_field as usize..header.offset_start as usize;
            let field = message
                .raw_message()
                .get(place)
                .map(String::from_utf8_lossy);
            let name = field.as_deref().unwrap_or(known);
            let name = name.split(':').next().unwrap_or(name);
            let value = match &header.value {
                HeaderValue::Text(text) => header_text(text),
                _ => header_text(raw),
            };
            (header_text(name), value)
        })
        .collect()
}

/// The first field of that name, as it stands. Whoever passes a message on writes above what is there: so the first is that of
/// our own filter, provider or list, and what a sender has written under the same name counts only where nobody has since.
/// RFC 5322 §3.6 has one Date; of several this is the one that other programs take.
pub(crate) fn first<'a>(message: &'a Message<'_>, name: &str) -> Option<&'a str> {
    let mut fields = message.headers_raw();
    let found = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// RFC 8058 §4: one-click counts only where a signature covers it, as anybody on the way could have added it.
fn is_signed(message: &Message<'_>) -> bool {
    message.headers_raw().any(|(name, value)| {
        name.eq_ignore_ascii_case("DKIM-Signature") && dkim::covers_one_click(value)
    })
}

/// RFC 2369 §3.2, RFC 8058 §3.1: how to leave. Several ways may be named; the first of each kind counts.
pub(crate) fn unsubscribe_of(message: &Message<'_>) -> Unsubscribe {
    let mut ways = Unsubscribe::default();
    let Some(header) = first(message, "List-Unsubscribe") else {
        return ways;
    };
    for piece in cut(header, limits::HEADER_OCTETS).split('<').skip(1) {
        let uri: String = piece
            .split('>')
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        let scheme = uri
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let place = match scheme.as_str() {
            "https" => &mut ways.https,
            "http" => &mut ways.http,
            "mailto" => &mut ways.mailto,
            _ => continue,
        };
        place.get_or_insert(uri);
    }
    let post = first(message, "List-Unsubscribe-Post").unwrap_or_default();
    ways.one_click = ways.https.is_some()
        && post
            .trim()
            .eq_ignore_ascii_case("List-Unsubscribe=One-Click")
        && is_signed(message);
    ways
}

/// RFC 2919 §2: `[phrase] "<" list-id ">"`.
fn list_id(header: &str) -> Option<(String, String)> {
    let (phrase, rest) = header.rsplit_once('<').unwrap_or(("", header));
    let id = header_text(rest.split('>').next()?).to_ascii_lowercase();
    if id.is_empty() || id.contains(char::is_whitespace) {
        return None;
    }
    let name = header_text(phrase);
    let name = name.trim_matches('"').trim();
    let name = if name.is_empty() { &id } else { name };
    Some((id.clone(), name.to_owned()))
}

/// The newsletter or list that a message belongs to: by its List-Id; else by its sender's domain and where one
/// unsubscribes, since one service sends for many; else, for what says that it was sent in bulk, by its sender.
pub(crate) fn list_of(
    message: &Message<'_>,
    from: Option<&Address>,
    unsubscribe: &Unsubscribe,
) -> Option<Group> {
    let posted = first(message, "List-Post").unwrap_or_default();
    // RFC 2369 §3.4: `List-Post: NO` is said by lists that only announce.
    let discussion = posted.to_ascii_lowercase().contains("mailto:");
    let sender = || from.map_or_else(String::new, |from| from.shown().to_owned());
    if let Some((key, name)) = first(message, "List-Id").and_then(list_id) {
        return Some(Group {
            kind: GroupKind::ListId,
            key,
            name,
            discussion,
        });
    }
    if let Some(service) = unsubscribe.domain() {
        let address = from.and_then(|from| from.address.as_deref());
        let domain = address.and_then(|address| address.rsplit_once('@'));
        let key = match domain {
            Some((_, domain)) => format!("{} via {service}", domain.to_ascii_lowercase()),
            None => service,
        };
        return Some(Group {
            kind: GroupKind::Unsubscribe,
            key,
            name: sender(),
            discussion,
        });
    }
    let bulk = first(message, "Precedence").unwrap_or_default().trim();
    if ["bulk", "list"]
        .iter()
        .any(|word| bulk.eq_ignore_ascii_case(word))
    {
        let key = from?.address.as_ref()?.to_ascii_lowercase();
        return Some(Group {
            kind: GroupKind::Sender,
            key,
            name: sender(),
            discussion,
        });
    }
    None
}
