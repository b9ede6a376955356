//! Sizes and times as people write them, and as they read them.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, tz::TimeZone};

/// A day, in milliseconds.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// `500`, `64K`, `500M`, `1G`, `1.5G`, `2 TiB`, in octets; steps of 1024.
pub(crate) fn octets(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let value = number.parse::<f64>().ok()? * f64::from(1u32 << 10).powi(shift / 10);
    (value.is_finite() && value < 9e18).then_some(value as u64)
}

/// `7 days`, `12h`, `90 minutes`, in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let span: Span = text.trim().parse().ok()?;
    let duration: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    u64::try_from(duration.as_millis()).ok()
}

/// `2026-11-23`, `2026-11-23 12:30`, a time with its zone, or how long ago, in milliseconds since 1970. A
/// day, a minute or a second is its end, so that a time as it was shown finds what was shown.
pub(crate) fn past_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let zone = TimeZone::system();
    let at = if let Ok(at) = text.parse::<Timestamp>() {
        let whole = !text.contains('.');
        at.checked_add(SignedDuration::from_millis(if whole { 999 } else { 0 }))
            .ok()?
    } else if text.len() == 10
        && let Ok(day) = text.parse::<jiff::civil::Date>()
    {
        day.at(23, 59, 59, 999_000_000)
            .to_zoned(zone)
            .ok()?
            .timestamp()
    } else if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        let end = match text.len() {
            16 => SignedDuration::from_millis(59_999),
            19 => SignedDuration::from_millis(999),
            _ => SignedDuration::ZERO,
        };
        at.checked_add(end).ok()?.to_zoned(zone).ok()?.timestamp()
    } else {
        return now_ms().checked_sub(duration_ms(text.trim_end_matches(" ago"))?);
    };
    u64::try_from(at.as_millisecond()).ok()
}

/// Octets as people read them: `12.3 KiB`.
pub(crate) fn show_octets(octets: u64) -> String {
    let mut value = octets as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{octets} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A size as the configuration takes it back, in the largest unit that keeps it exact.
pub(crate) fn exact_octets(octets: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if octets > 0 && octets.is_multiple_of(1 << shift) {
            return format!("{}{unit}", octets >> shift);
        }
    }
    octets.to_string()
}

/// A time as the configuration takes it back, in the largest unit that keeps it exact.
pub(crate) fn exact_duration(ms: u64) -> String {
    for (each, unit) in [
        (86_400_000, "days"),
        (3_600_000, "hours"),
        (60_000, "minutes"),
        (1000, "seconds"),
    ] {
        if ms.is_multiple_of(each) {
            return format!("{} {unit}", ms / each);
        }
    }
    format!("{ms} ms")
}

/// A server's unique-id for people and scripts: what is not printable ASCII, and `%`, as `%` and two
/// hexadecimal digits.
pub(crate) fn show_remote_id(id: &[u8]) -> String {
    let mut text = String::with_capacity(id.len());
    for &byte in id {
        match byte {
            b'!'..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

/// What may be meant by a unique-id that somebody types: as it stands, and as [`show_remote_id`] shows it.
pub(crate) fn remote_ids(text: &str) -> Vec<Vec<u8>> {
    let mut ids = vec![text.as_bytes().to_vec()];
    ids.extend(percent_decoded(text).filter(|decoded| *decoded != ids[0]));
    ids
}

/// RFC 3986 §2.1: `%40` for `@`. `None` when what follows a `%` is not two hexadecimal digits.
pub(crate) fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}

/// `1 message`, `2 messages`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// Milliseconds since 1970 in the machine's time zone: `2026-11-23 12:34`.
pub(crate) fn show_time(unix_ms: u64) -> String {
    shown(timestamp(unix_ms))
}

/// The same of a message's date, in seconds, which may be before 1970.
pub(crate) fn show_date(seconds: i64) -> String {
    shown(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

fn shown(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

/// How long ago: `3 days ago`, in the largest unit of which there are two or more.
pub(crate) fn ago(then_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1000;
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.iter().find(|(each, _)| seconds >= 2 * each);
    unit.map_or("just now".to_owned(), |(each, unit)| {
        format!("{} ago", count(seconds / each, unit))
    })
}

/// Milliseconds since 1970 for scripts: RFC 3339 in UTC.
pub(crate) fn json_time(unix_ms: u64) -> String {
    timestamp(unix_ms).to_string()
}

/// The same of a message's date, in seconds, which may be before 1970.
pub(crate) fn json_date(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    at.to_string()
}

fn timestamp(unix_ms: u64) -> Timestamp {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, octets) in [
            ("0", Some(0)),
            ("64K", Some(65_536)),
            ("1G", Some(1 << 30)),
            ("1.5 MiB", Some(3 << 19)),
            ("2TB", Some(2 << 40)),
            ("-1", None),
            ("lots", None),
            ("99999999999T", None),
        ] {
            assert_eq!(super::octets(text), octets, "{text}");
        }
    }

    #[test]
    fn a_unique_id_that_is_shown_can_be_typed() {
        for id in [&b"a%41"[..], b"plain", b"sp ace\0\xff", b"%"] {
            let shown = show_remote_id(id);
            assert!(shown.is_ascii() && !shown.contains(' '), "{shown}");
            assert!(remote_ids(&shown).contains(&id.to_vec()), "{shown}");
        }
    }

    #[test]
    fn an_age_is_in_one_unit() {
        for (seconds, shown) in [
            (0, "just now"),
            (119, "just now"),
            (120, "2 minutes ago"),
            (7_199, "119 minutes ago"),
            (90_000, "25 hours ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(0, seconds * 1000), shown);
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for ms in [0, 1, 1500, 60_000, 7_200_000, 604_800_000, 90_061_000] {
            assert_eq!(duration_ms(&exact_duration(ms)), Some(ms));
        }
        for size in [0, 1, 1024, 3 << 20, 5 << 30, (1 << 30) + 1] {
            assert_eq!(octets(&exact_octets(size)), Some(size));
        }
    }

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!(duration_ms("7 days"), Some(604_800_000));
        assert_eq!(duration_ms("12h"), Some(43_200_000));
        assert_eq!(duration_ms("0s"), Some(0));
        assert_eq!(duration_ms("-1 day"), None);
        assert_eq!(duration_ms("soon"), None);
    }

    #[test]
    fn a_time_as_it_was_shown_finds_what_was_shown() {
        let at = 1_795_392_061_234;
        for shown in [show_time(at), json_time(at)] {
            assert!(past_ms(&shown).unwrap() >= at, "{shown}");
        }
        assert_eq!(past_ms("2026-11-23T00:01:01Z"), Some(1_795_392_061_999));
        assert_eq!(past_ms("2026-11-23T00:01:01.234Z"), Some(at));
    }
}
