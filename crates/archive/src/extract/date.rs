//! When a message was written: RFC 5322 §3.3, with the mistakes that mail has in it.

use mail_parser::{HeaderValue, Message};

use super::headers::first;

const DAY: i64 = 86_400;

/// 1969: mail is some years younger, but RFC 5322 §A.5 has a date of that February, and archives hold such.
pub(crate) const FIRST: i64 = -365 * DAY;

/// From the last day of 1969 to the end of January 1970: what says so had no clock, and counted from nought.
const NO_CLOCK: std::ops::Range<i64> = -DAY..31 * DAY;

/// The dates that a message says, in seconds since 1970.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dates {
    /// Of its Date.
    written: Option<i64>,
    /// Of the first Received that has one: that which was added last.
    received: Option<i64>,
}

impl Dates {
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let received = message
            .header_values("Received")
            .filter_map(HeaderValue::as_text)
            .find_map(|received| parse(received.rsplit_once(';')?.1));
        Self {
            written: first(message, "Date").and_then(parse),
            received,
        }
    }

    /// The first that can be one: neither before there was mail, nor more than a day after `now`, when the message was here.
    pub(crate) fn believed(self, now: i64) -> Option<i64> {
        let is = |date: &i64| (FIRST..=now + DAY).contains(date) && !NO_CLOCK.contains(date);
        self.written.filter(is).or(self.received.filter(is))
    }
}

/// Reads a date as people and programs write it:
///
/// ```text
/// [day-of-week ","] day month year hour ":" minute [":" second] [zone]      RFC 5322
/// day-of-week month day hour:minute:second [zone] year                      asctime
/// year "-" month "-" day ("T" / " ") hour ":" minute [":" second] [zone]    RFC 3339
/// ```
///
/// with commas, hyphens, comments and the order of zone and year as they come.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = without_comments(text);
    let mut read = Read::default();
    for word in text.split(|c: char| c.is_whitespace() || c == ',') {
        read.word(word)?;
    }
    read.finish()
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter_map(|c| match c {
            '(' => {
                depth += 1;
                Some(' ')
            }
            ')' => {
                depth = depth.saturating_sub(1);
                Some(' ')
            }
            _ if depth > 0 => None,
            c => Some(c),
        })
        .take(200)
        .collect()
}

#[derive(Default)]
struct Read {
    day: Option<i64>,
    month: Option<i64>,
    year: Option<i64>,
    time: Option<(i64, i64, i64)>,
    afternoon: Option<bool>,
    zone: Option<i64>,
}

impl Read {
    /// Takes one word; `None` when it can be no part of a date.
    fn word(&mut self, word: &str) -> Option<()> {
        let word = word.trim_matches(|c| c == ';' || c == '"');
        if word.is_empty() {
            return Some(());
        }
        if word.contains(':') && !word.starts_with(['+', '-']) {
            return self.clock(word);
        }
        if self.time.is_some() && self.zone.is_none() && word.starts_with(['+', '-']) {
            self.zone = Some(offset(word)?);
            return Some(());
        }
        if word.contains(['-', '/', '.']) {
            return self.joined(word);
        }
        if let Ok(number) = word.parse::<i64>() {
            return self.number(number, word.len());
        }
        self.name(word)
    }

    fn number(&mut self, number: i64, digits: usize) -> Option<()> {
        if self.day.is_none() && digits <= 2 {
            self.day = Some(number);
        } else if self.year.is_none() {
            self.year = Some(match (digits, number) {
                // RFC 5322 §4.3: two digits below 50 are of this century, three are since 1900.
                (1..=2, 0..=49) => 2000 + number,
                (1..=3, _) => 1900 + number,
                _ => number,
            });
        } else if self.time.is_some() && self.zone.is_none() {
            // A zone that says neither east nor west, as good as none.
            self.zone = Some(0);
        } else {
            return None;
        }
        Some(())
    }

    fn name(&mut self, word: &str) -> Option<()> {
        let lower = word.to_ascii_lowercase();
        if let Some(month) = month(&lower)
            && self.month.is_none()
        {
            self.month = Some(month);
            return Some(());
        }
        if lower == "am" || lower == "pm" {
            self.afternoon = Some(lower == "pm");
        } else if self.time.is_some() && self.zone.is_none() {
            // RFC 5322 §4.3: a zone that nobody knows is UTC.
            self.zone = Some(named_zone(&lower).unwrap_or(0));
        } else if !is_weekday(&lower) && !word.chars().all(char::is_alphabetic) {
            return None;
        }
        Some(())
    }

    /// `12-Feb-2003`, `2003-02-12`, `2003-02-12T10:11:12Z` (its time comes through `clock`), `12.02.2003`.
    fn joined(&mut self, word: &str) -> Option<()> {
        let pieces: Vec<&str> = word
            .split(['-', '/', '.'])
            .filter(|p| !p.is_empty())
            .collect();
        match pieces[..] {
            [year, month, day] if year.len() == 4 && year.parse::<i64>().is_ok() => {
                self.year = year.parse().ok();
                self.month = month.parse().ok();
                self.day = day.parse().ok();
            }
            [day, name, year] => {
                self.day = Some(day.parse().ok()?);
                self.month = Some(match month(&name.to_ascii_lowercase()) {
                    Some(month) => month,
                    None => name.parse().ok()?,
                });
                self.number(year.parse().ok()?, year.len())?;
            }
            // `GMT-0700`, `Mon.`
            [name, hours] if name.chars().all(char::is_alphabetic) && self.time.is_some() => {
                let sign = if word.contains('-') { "-" } else { "" };
                self.zone = offset(&format!("{sign}{hours}"));
            }
            [name] => self.name(name)?,
            _ => return None,
        }
        Some(())
    }

    fn clock(&mut self, word: &str) -> Option<()> {
        let mut word = word;
        if let Some((date, time)) = word.split_once(['T', 't']) {
            self.joined(date)?;
            word = time;
        }
        if let Some(time) = word.strip_suffix(['Z', 'z']) {
            self.zone = Some(0);
            word = time;
        } else if let Some(at) = word.rfind(['+', '-']) {
            self.zone = Some(offset(&word[at..])?);
            word = &word[..at];
        }
        let letters = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == '.');
        if !letters.is_empty() {
            let (time, rest) = word.split_at(word.len() - letters.len());
            word = time;
            self.time = Some((0, 0, 0));
            self.name(rest)?;
        }
        let mut pieces = word.split(':').map(|piece| {
            let whole = piece.split('.').next().unwrap_or(piece);
            if whole.is_empty() {
                Some(0)
            } else {
                whole.parse::<i64>().ok()
            }
        });
        let hour = pieces.next()??;
        let minute = pieces.next()??;
        let second = pieces.next().unwrap_or(Some(0))?;
        // 60 is a leap second; a clock that says more is none.
        if hour > 24 || minute > 59 || second > 60 {
            return None;
        }
        self.time = Some((hour, minute, second.min(59)));
        Some(())
    }

    fn finish(self) -> Option<i64> {
        let (mut hour, minute, second) = self.time.unwrap_or((0, 0, 0));
        match self.afternoon {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
        let date = jiff::civil::Date::new(
            i16::try_from(self.year?).ok()?,
            i8::try_from(self.month?).ok()?,
            i8::try_from(self.day?).ok()?,
        );
        let midnight = date.ok()?.at(0, 0, 0, 0);
        let days = midnight.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        let seconds = days.timestamp().as_second() + hour * 3600 + minute * 60 + second;
        Some(seconds - self.zone.unwrap_or(0))
    }
}

/// `+0200`, `-07:00`, `+2`, `+-0500` for `-0500`, in seconds east of Greenwich.
fn offset(word: &str) -> Option<i64> {
    let sign = if word.contains('-') { -1 } else { 1 };
    let digits: String = word.chars().filter(char::is_ascii_digit).collect();
    let number: i64 = digits.parse().ok()?;
    let (hours, minutes) = match digits.len() {
        1..=2 => (number, 0),
        3..=4 => (number / 100, number % 100),
        _ => return Some(0),
    };
    // Nobody is further from Greenwich than 15 hours, but RFC 5322 §3.3 allows -9959 to +9959, and
    // who writes more means it: the times of the hosts on the way agree with it.
    if minutes > 59 {
        return Some(0);
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

fn month(lower: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let start = lower.get(..3)?;
    MONTHS
        .iter()
        .position(|name| *name == start)
        .map(|at| at as i64 + 1)
}

fn is_weekday(lower: &str) -> bool {
    let start = lower.get(..3).unwrap_or_default();
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].contains(&start)
}

/// RFC 5322 §4.3 obs-zone, and what else is usual.
fn named_zone(lower: &str) -> Option<i64> {
    let hours = match lower {
        "ut" | "utc" | "gmt" | "z" | "wet" => 0,
        "edt" => -4,
        "est" | "cdt" => -5,
        "cst" | "mdt" => -6,
        "mst" | "pdt" => -7,
        "pst" => -8,
        "bst" | "cet" | "met" => 1,
        "cest" | "mest" | "eet" => 2,
        "eest" | "msk" => 3,
        "jst" => 9,
        _ => return None,
    };
    Some(hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_come() {
        // RFC 5322 §A.1.1, §A.5, §A.6.2, RFC 822's two digits, asctime, and mistakes seen in mail.
        for (text, seconds) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706),
            ("21 Nov 97 09:55:06 GMT", 880_106_106),
            (
                "Thu,\r\n  13\r\n  Feb\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland Time)",
                -27_723_480,
            ),
            ("Thu Nov 21 09:55:06 1996", 848_570_106),
            ("Thu Nov 21 09:55:06 PST 1996", 848_598_906),
            ("Mon, 1 Jul 2002 10:00:00 +2", 1_025_510_400),
            ("Mon, 01-Jul-02 08:00:00 UTC", 1_025_510_400),
            ("2002-07-01T10:00:00+02:00", 1_025_510_400),
            ("2002-07-01 08:00:00", 1_025_510_400),
            ("Monday, July 1 2002 8:00 AM", 1_025_510_400),
            ("Mon, 1 Jul 102 08:00:00 GMT", 1_025_510_400),
            ("Mon, 1 Jul 2002 08:00:00 XYZ", 1_025_510_400),
            ("Mon, 1 Jul 2002 08:00:00 01800", 1_025_510_400),
            ("Mon, 1 Jul 2002 3:00:00 +-0500", 1_025_510_400),
            ("Sun, 30 Jun 2002 16:00:00 -1600", 1_025_510_400),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "31 Foo 2002",
            "99 Jan 2002 1:00",
            "Mon, 1 Jul 2002 25:61:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_ends_with_its_field() {
        let message = b"Received: x; 1 Jul 2002 08:01:00 GMT\nDate: 1 Jul 2002 08:00:00 UT\n\
            From: a@example.org\n\nx";
        let extract = crate::extract::extract(message);
        assert_eq!(extract.dates.written, Some(1_025_510_400));
        assert_eq!(extract.senders.trim(), "a@example.org");
    }

    /// Mail of 2002 with a Date of the year 102 or 3609 was of the day of its import, whatever the hosts on the way had said.
    #[test]
    fn the_first_date_that_can_be_true_is_believed() {
        const NOW: i64 = 1_000_000_000;
        let dates = |written, received| Dates { written, received }.believed(NOW);
        assert_eq!(dates(Some(-27_723_480), None), Some(-27_723_480), "1969");
        assert_eq!(dates(Some(NOW + 3600), None), Some(NOW + 3600));
        for wrong in [FIRST - 1, 0, -3600, 86_400, 2 * NOW] {
            assert_eq!(dates(Some(wrong), Some(900_000_000)), Some(900_000_000));
            assert_eq!(dates(Some(wrong), Some(wrong)), None, "{wrong}");
        }
        let message = b"Received: from a by b; no date\r\nReceived: from c by d\r\n (x; y); Mon, 1 Jul 2002 10:00:00 +0200\r\n\
            Received: from e by f; Tue, 2 Jul 2002 10:00:00 +0200\r\nDate: Fri, 21 Mar 3609 10:00:00 GMT\r\n\r\nx";
        let dates = crate::extract::extract(message).dates;
        assert_eq!(dates.believed(1_700_000_000), Some(1_025_510_400));
    }
}
