//! Numbers and times for people.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

fn zoned(seconds: i64) -> Zoned {
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::system())
}

/// Short, for a list: the time today, the day this year, else the date.
pub(super) fn short(seconds: i64) -> String {
    let (at, now) = (zoned(seconds), Zoned::now());
    if at.date() == now.date() {
        at.strftime("%H:%M").to_string()
    } else if at.year() == now.year() {
        at.strftime("%-d %b").to_string()
    } else {
        at.strftime("%Y-%m-%d").to_string()
    }
}

/// The whole date and time.
pub(super) fn long(seconds: i64) -> String {
    zoned(seconds).strftime("%A, %-d %B %Y, %H:%M").to_string()
}

/// For machines.
pub(super) fn machine(seconds: i64) -> String {
    zoned(seconds).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The same of milliseconds.
pub(super) fn long_ms(ms: u64) -> String {
    long(i64::try_from(ms / 1000).unwrap_or(0))
}

/// `1.5 MiB`.
pub(super) fn size(octets: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = octets as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{octets} B")
    } else if value < 10.0 {
        format!("{value:.1} {}", units[unit])
    } else {
        format!("{value:.0} {}", units[unit])
    }
}

/// How often something comes.
pub(super) fn rhythm(seconds: u64) -> String {
    match (seconds + DAY / 2) / DAY {
        0 => "several a day".to_owned(),
        1 => "daily".to_owned(),
        2..=5 => format!("every {} days", (seconds + DAY / 2) / DAY),
        6..=8 => "weekly".to_owned(),
        9..=20 => "every two weeks".to_owned(),
        21..=45 => "monthly".to_owned(),
        46..=120 => "every few months".to_owned(),
        _ => "rarely".to_owned(),
    }
}

/// `12,345`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A value for an address's query.
pub(super) fn query(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(20 << 20), "20 MiB");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(rhythm(7 * DAY), "weekly");
        assert_eq!(rhythm(DAY - 3600), "daily");
    }
}
