//! From_ lines: `From sender date`, the date as `asctime` writes it, in UTC (RFC 4155, appendix A).

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY_SECONDS: i64 = 24 * 60 * 60;
const MAX_YEAR: i64 = 9999;

/// What a From_ line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromLine<'a> {
    /// What stands between `From ` and the date, without white space around it. May be empty.
    pub sender: &'a [u8],
    /// The date, in milliseconds since 1970; one before is 0.
    pub unix_ms: u64,
}

impl<'a> FromLine<'a> {
    /// Reads a line, with or without its line end.
    ///
    /// ```text
    /// From sender Www Mmm d hh:mm[:ss] [zone] yyyy [zone] [remote from host]
    /// ```
    ///
    /// The date is what tells a From_ line from prose, so a line without one is `None`. A zone that
    /// is missing or not known counts as UTC.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"From ")?;
        // The sender may hold anything, a day's name too: each place where a date can start is
        // tried. Tabs stand in for spaces in some files.
        for (at, word) in words(rest) {
            if DAYS.iter().any(|day| day.as_bytes() == word)
                && let Some(seconds) = date(&rest[at..])
            {
                return Some(Self {
                    sender: rest[..at].trim_ascii(),
                    unix_ms: u64::try_from(seconds).unwrap_or(0).saturating_mul(1000),
                });
            }
        }
        None
    }
}

/// Words and where they begin.
fn words(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    text.split(u8::is_ascii_whitespace).filter_map(move |word| {
        let start = at;
        at += word.len() + 1;
        (!word.is_empty()).then_some((start, word))
    })
}

/// Seconds since 1970 of `Www Mmm d hh:mm[:ss] [zone] yyyy [zone]`.
fn date(text: &[u8]) -> Option<i64> {
    let mut words = words(text).map(|(_, word)| word).skip(1);
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| name.as_bytes() == month)?;
    let day = number(words.next()?)?;
    let time = clock(words.next()?)?;
    let (mut zone, mut next) = (None, words.next()?);
    if !next.iter().all(u8::is_ascii_digit) {
        zone = Some(next);
        next = words.next()?;
    }
    // Two digits are refused: no writer of them is known, and prose has them.
    let year = (next.len() == 4).then(|| number(next)).flatten()?;
    if !(1..=31).contains(&day) {
        return None;
    }
    let east = zone.or_else(|| words.next()).map_or(0, offset);
    Some(days_from_civil(year, month as i64 + 1, day) * DAY_SECONDS + time - east)
}

/// Seconds of `hh:mm` or `hh:mm:ss`.
fn clock(word: &[u8]) -> Option<i64> {
    let mut parts = word.split(|&octet| octet == b':').map(|part| {
        (1..=2)
            .contains(&part.len())
            .then(|| number(part))
            .flatten()
    });
    let hour = parts.next()??;
    let minute = parts.next()??;
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    let fits = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    fits.then_some((hour * 60 + minute) * 60 + second)
}

/// Seconds east of Greenwich; zones by name are those of RFC 5322 §4.3, others count as UTC.
fn offset(zone: &[u8]) -> i64 {
    let hours = match zone {
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        [sign @ (b'+' | b'-'), digits @ ..] if digits.len() == 4 => {
            let Some(value) = number(digits) else {
                return 0;
            };
            let seconds = (value / 100 * 60 + value % 100) * 60;
            return if *sign == b'+' { seconds } else { -seconds };
        }
        _ => 0,
    };
    hours * 60 * 60
}

/// A decimal number of one to four digits.
fn number(word: &[u8]) -> Option<i64> {
    if word.is_empty() || word.len() > 4 || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        word.iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0')),
    )
}

/// Days since 1970-01-01. Years are counted from March, so that the leap day is a year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let days_before_month = (153 * ((month + 9) % 12) + 2) / 5;
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + days_before_month
        + day
        - 719_469
}

/// Year, month and day of a day since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, usize, i64) {
    // A first guess that is never too late, then forward by at most a year and a month or two.
    let mut year = 1970 + days.div_euclid(366);
    while days_from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 12;
    while days_from_civil(year, month, 1) > days {
        month -= 1;
    }
    (
        year,
        (month - 1) as usize,
        days - days_from_civil(year, month, 1) + 1,
    )
}

/// Writes a From_ line, LF included: `From sender Www Mmm dd hh:mm:ss yyyy`, in UTC.
///
/// White space and control characters in `sender` become `-`, an empty one is `MAILER-DAEMON`, so
/// that the line can always be read back. `unix_ms` is in milliseconds since 1970; what lies past
/// the year 9999 is written as the end of it.
pub fn from_line(sender: &str, unix_ms: u64) -> String {
    let last = days_from_civil(MAX_YEAR, 12, 31);
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let seconds = seconds.min(last * DAY_SECONDS + DAY_SECONDS - 1);
    let (days, time) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let (year, month, day) = civil_from_days(days);
    let sender: String = match sender {
        "" => "MAILER-DAEMON".into(),
        sender => sender
            .chars()
            .map(|c| {
                if c.is_whitespace() || c.is_control() {
                    '-'
                } else {
                    c
                }
            })
            .collect(),
    };
    // 1970-01-01 was a Thursday.
    let weekday = DAYS[((days + 4) % 7) as usize];
    format!(
        "From {sender} {weekday} {} {day:2} {:02}:{:02}:{:02} {year:04}\n",
        MONTHS[month],
        time / 3600,
        time / 60 % 60,
        time % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(line: &str) -> Option<u64> {
        FromLine::parse(line.as_bytes()).map(|parsed| parsed.unix_ms / 1000)
    }

    /// The values are those of `date -u -d … +%s`.
    #[test]
    fn dates_as_they_are_found() {
        for (line, expected) in [
            ("From a@b Thu Jan  1 00:00:00 1970", 0),
            ("From a@b Fri Jul  8 12:08:34 2011\n", 1_310_126_914),
            ("From - Sat Jan 03 01:05:34 1996\r\n", 820_631_134),
            ("From a@b Sat Jan  3 01:05 MET 1996", 820_631_100),
            ("From a@b Sat Jan  3 01:05:34 1996 +0100", 820_627_534),
            ("From a@b Sat Jan  3 01:05:34 PST 1996", 820_659_934),
            (
                "From a@b Tue Feb 29 23:59:59 2000 remote from x",
                951_868_799,
            ),
            ("From ???@??? Mon Dec 31 23:59:60 2001", 1_009_843_200),
            ("From \"Mon x\"@b Mon Mar  1 00:00:00 2100", 4_107_542_400),
            ("From  Mon Mar  1 00:00:00 2100", 4_107_542_400),
        ] {
            assert_eq!(seconds(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn prose_is_no_from_line() {
        for line in [
            "From here on, all is well.",
            "From Mon to Fri we are open",
            "From: a@b Thu Jan  1 00:00:00 1970",
            ">From a@b Thu Jan  1 00:00:00 1970",
            "from a@b Thu Jan  1 00:00:00 1970",
            "From a@b Thu Jan  1 24:00:00 1970",
            "From a@b Thu Jan  1 00:00:00 70",
            "From a@b Thu Jan 32 00:00:00 1970",
            "From a@b 1970-01-01",
            "From ",
            "",
        ] {
            assert_eq!(seconds(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for unix_ms in [
            0,
            951_782_400_000,
            951_868_799_000,
            1_700_000_000_000,
            4_107_542_400_000,
            253_402_300_799_000,
        ] {
            let line = from_line("a@b", unix_ms);
            let parsed = FromLine::parse(line.as_bytes()).expect("it was just written");
            assert_eq!((parsed.sender, parsed.unix_ms), (&b"a@b"[..], unix_ms));
        }
        assert_eq!(
            from_line("", 1_310_126_914_999),
            "From MAILER-DAEMON Fri Jul  8 12:08:34 2011\n"
        );
        assert_eq!(
            from_line("a b\r\nc", u64::MAX),
            "From a-b--c Fri Dec 31 23:59:59 9999\n"
        );
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for days in 0..146_097 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month as i64 + 1, day), days);
        }
    }
}
