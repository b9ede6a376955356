//! What fields take.

use jiff::civil::{Date, date};
use jiff::{ToSpan, Zoned};

use super::lexer::{Piece, Token};
use super::{Column, Is, Node};
use crate::QueryError;
use crate::index::meta;

/// Every field, with an example of its value.
const FIELDS: [(&str, &str); 16] = [
    ("from", "from:ann@example.org"),
    ("to", "to:bob"),
    ("subject", "subject:invoice"),
    ("list", "list:rust-users, list:*"),
    ("label", "label:work, label:*"),
    (
        "is",
        "is:unread, is:starred, is:newsletter, is:junk, is:archived, is:read",
    ),
    ("has", "has:attachment"),
    ("filename", "filename:invoice.pdf"),
    ("larger", "larger:1M"),
    ("smaller", "smaller:10K"),
    ("before", "before:2024-05-31"),
    ("after", "after:2024-05, after:7d"),
    ("date", "date:2024-05, date:2024-01..2024-03"),
    ("account", "account:gmx"),
    ("id", "id:01k849km6lqvleomn13er6rjnt"),
    ("thread", "thread:1a2b3c"),
];

/// An example of the field's value.
pub(super) fn example(name: &str) -> &'static str {
    let found = FIELDS.iter().find(|(known, _)| *known == name);
    found.map_or("", |(_, example)| example)
}

/// Whether there is such a field.
pub(super) fn known(name: &str, piece: &Piece) -> Result<(), QueryError> {
    if FIELDS.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    Err(piece.wrong(format!(
        "{name}: is no field; fields are {}; put it in quotes to look for it as text",
        names.join(", ")
    )))
}

/// A field and its value.
pub(super) fn value(
    name: &str,
    text: &str,
    prefix: bool,
    field: &Piece,
    at: &Piece,
    now: &Zoned,
) -> Result<Node, QueryError> {
    known(name, field)?;
    let any = prefix && text.is_empty();
    let of_words = matches!(name, "from" | "to" | "subject" | "list" | "filename");
    if prefix && !of_words && !(name == "label" && any) {
        let why = match name {
            "label" => "label: takes a whole label, or * for any; leave the * away".to_owned(),
            _ => format!("{name}: takes a whole value: leave the * away"),
        };
        return Err(at.wrong(why));
    }
    let column = |column| text_node(column, text, prefix, at);
    match name {
        "from" => column(Column::Sender),
        "to" => column(Column::Recipient),
        "subject" => column(Column::Subject),
        "list" if any => Ok(Node::OnList),
        "list" => column(Column::List),
        "filename" => column(Column::File),
        "label" if any => Ok(Node::Label(None)),
        "label" => Ok(Node::Label(Some(text.to_lowercase()))),
        "account" => Ok(Node::Account(text.to_owned())),
        "is" => is(text, at),
        "has" => match text {
            "attachment" | "attachments" => Ok(Node::HasAttachment),
            _ => Err(at.wrong("has: takes attachment")),
        },
        "larger" => Ok(Node::Larger(octets(text, at)?)),
        "smaller" => Ok(Node::Smaller(octets(text, at)?)),
        "before" => Ok(Node::Date(i64::MIN, dates(text, now, at)?.0)),
        "after" => Ok(Node::Date(dates(text, now, at)?.0, i64::MAX)),
        "date" => {
            let (from, to) = match text.split_once("..") {
                Some((from, to)) => (dates(from, now, at)?.0, dates(to, now, at)?.1),
                None => dates(text, now, at)?,
            };
            if to <= from {
                return Err(at.wrong(
                    "this range ends before it begins: put the earlier date first, such as 2024-01..2024-03",
                ));
            }
            Ok(Node::Date(from, to))
        }
        "id" => text
            .parse()
            .map(Node::Id)
            .map_err(|_| at.wrong("this is no message's id; `restante list` shows ids")),
        _ => text
            .parse()
            .map(Node::Thread)
            .map_err(|_| at.wrong("this is no thread's id; search results show them")),
    }
}

/// Text to look for in a column.
pub(super) fn text_node(
    column: Column,
    text: &str,
    prefix: bool,
    at: &Piece,
) -> Result<Node, QueryError> {
    star_inside(text, at)?;
    let text = text.replace([meta::PRIVATE, '\0'], " ");
    if !text.chars().any(char::is_alphanumeric) {
        let what = if prefix {
            "* ends the beginning of a word, such as inv*"
        } else {
            "there is no letter or digit here to look for"
        };
        return Err(at.wrong(what));
    }
    Ok(Node::Text {
        column,
        text,
        prefix,
    })
}

/// A star within or before a word would be passed over, and find less than is meant. One that stands free in a phrase is text.
fn star_inside(text: &str, at: &Piece) -> Result<(), QueryError> {
    let characters: Vec<char> = text.chars().collect();
    let quoted = matches!(at.token, Token::Phrase(_));
    let is_word = |at: Option<usize>| {
        let next = at.and_then(|at| characters.get(at));
        next.is_some_and(|c| c.is_alphanumeric())
    };
    let wrong = (0..characters.len()).find(|star| {
        let touches = is_word(star.checked_sub(1)) || is_word(Some(star + 1));
        characters[*star] == '*' && (touches || !quoted)
    });
    wrong.map_or(Ok(()), |star| {
        Err(QueryError {
            at: at.at + usize::from(quoted) + star,
            length: 1,
            what: "a * goes at the end of a word, such as inv*, and not in quotes: move it there, or leave it away".to_owned(),
        })
    })
}

fn is(text: &str, at: &Piece) -> Result<Node, QueryError> {
    Ok(match text {
        "read" => Node::Is(Is::Read),
        "unread" => Node::Not(Box::new(Node::Is(Is::Read))),
        "starred" => Node::Is(Is::Starred),
        "archived" => Node::Is(Is::Archived),
        "junk" | "spam" => Node::Is(Is::Junk),
        "newsletter" => Node::Newsletter,
        _ => {
            return Err(at.wrong("is: takes unread, read, starred, newsletter, junk or archived"));
        }
    })
}

/// `500`, `10K`, `1M`, `2G`, in octets.
fn octets(text: &str, at: &Piece) -> Result<u64, QueryError> {
    let upper = text.to_ascii_uppercase();
    let upper = upper.strip_suffix('B').unwrap_or(&upper);
    let (digits, shift) = match upper.as_bytes().last() {
        Some(b'K') => (&upper[..upper.len() - 1], 10),
        Some(b'M') => (&upper[..upper.len() - 1], 20),
        Some(b'G') => (&upper[..upper.len() - 1], 30),
        _ => (upper, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| at.wrong("a size is a number with K, M or G, such as 1M"))
}

/// The span that a date names, in seconds since 1970: its first second, and the first after it.
fn dates(text: &str, now: &Zoned, at: &Piece) -> Result<(i64, i64), QueryError> {
    let (from, to) = days(text, now.date()).ok_or_else(|| {
        at.wrong("a date is 2024, 2024-05, 2024-05-31, today, yesterday, or how long ago: 7d, 2w, 3m, 1y")
    })?;
    let second = |day: Date| {
        let zoned = day.to_zoned(now.time_zone().clone());
        zoned.map(|zoned| zoned.timestamp().as_second())
    };
    second(from)
        .and_then(|from| Ok((from, second(to)?)))
        .map_err(|_| at.wrong("this date is out of range"))
}

fn days(text: &str, today: Date) -> Option<(Date, Date)> {
    let next = |day: Date, span: jiff::Span| day.checked_add(span).ok();
    match text {
        "today" => return Some((today, next(today, 1.day())?)),
        "yesterday" => return Some((next(today, -1.day())?, today)),
        _ => {}
    }
    if let Some((count, unit)) = text.split_at_checked(text.len().checked_sub(1)?)
        && let Ok(count) = count.parse::<i32>()
    {
        let span = match unit {
            "d" => Some(count.days()),
            "w" => Some(count.checked_mul(7)?.days()),
            "m" => Some(count.months()),
            "y" => Some(count.years()),
            _ => None,
        };
        if let Some(span) = span.filter(|_| (0..=10_000).contains(&count)) {
            return Some((next(today, -span)?, next(today, 1.day())?));
        }
    }
    let mut pieces = text.split('-');
    let year: i16 = pieces.next().filter(|y| y.len() == 4)?.parse().ok()?;
    let Some(month) = pieces.next() else {
        return Some((date(year, 1, 1), next(date(year, 1, 1), 1.year())?));
    };
    let month: i8 = month.parse().ok()?;
    let first = Date::new(year, month, 1).ok()?;
    let Some(day) = pieces.next() else {
        return Some((first, next(first, 1.month())?));
    };
    let day = Date::new(year, month, day.parse().ok()?).ok()?;
    pieces
        .next()
        .is_none()
        .then_some(())
        .and_then(|()| Some((day, next(day, 1.day())?)))
}
