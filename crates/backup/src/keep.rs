//! Which generations are kept: so many of the last days, weeks, months, each by its newest.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::repository::Generation;

/// A stretch of time of which one generation is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Last,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

const PERIODS: [(&str, Period); 6] = [
    ("last", Period::Last),
    ("hourly", Period::Hourly),
    ("daily", Period::Daily),
    ("weekly", Period::Weekly),
    ("monthly", Period::Monthly),
    ("yearly", Period::Yearly),
];

/// `7 daily, 4 weekly, 12 monthly`: of each of the last seven days that have a generation the newest
/// is kept, and so on. Days are those of UTC. The newest of all is always kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention(Vec<(u32, Period)>);

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a list such as \"7 daily, 4 weekly, 12 monthly\" (last, hourly, daily, weekly, monthly, yearly)"
            )
        };
        let mut rules = Vec::new();
        for part in text.split(',') {
            let (number, word) = part.trim().split_once(' ').ok_or_else(wrong)?;
            let number: u32 = number.parse().map_err(|_| wrong())?;
            let word = word.trim();
            let period = PERIODS.iter().find(|(name, _)| *name == word);
            let (_, period) = period.ok_or_else(wrong)?;
            if number == 0 || rules.iter().any(|(_, p)| p == period) {
                return Err(wrong());
            }
            rules.push((number, *period));
        }
        Ok(Self(rules))
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (number, period)) in self.0.iter().enumerate() {
            let name = PERIODS
                .iter()
                .find(|(_, p)| p == period)
                .map_or("", |p| p.0);
            write!(f, "{}{number} {name}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Which stretch of that kind a time is in.
fn stretch(period: Period, at_ms: u64) -> (i16, i16, i8) {
    let at = Timestamp::from_millisecond(at_ms as i64).unwrap_or(Timestamp::MAX);
    let at = at.to_zoned(TimeZone::UTC).datetime();
    match period {
        Period::Last => (0, 0, 0),
        Period::Hourly => (at.year(), at.day_of_year(), at.hour()),
        Period::Daily => (at.year(), at.day_of_year(), 0),
        Period::Weekly => {
            let week = at.date().iso_week_date();
            (week.year(), i16::from(week.week()), 0)
        }
        Period::Monthly => (at.year(), i16::from(at.month()), 0),
        Period::Yearly => (at.year(), 0, 0),
    }
}

impl Retention {
    /// The names of those that are kept. `generations`: oldest first.
    pub(crate) fn kept(&self, generations: &[Generation]) -> BTreeSet<String> {
        let newest = generations.last();
        let mut kept: BTreeSet<String> = newest.iter().map(|one| one.id.clone()).collect();
        for (number, period) in &self.0 {
            let mut seen = BTreeSet::new();
            let mut left = *number;
            for one in generations.iter().rev() {
                if left == 0 {
                    break;
                }
                if *period == Period::Last || seen.insert(stretch(*period, one.at_ms)) {
                    let _ = kept.insert(one.id.clone());
                    left -= 1;
                }
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    /// 2026-11-23, a Monday.
    const MONDAY: u64 = 1_795_392_000_000;

    fn one(order: u64, at_ms: u64, number: u64) -> Generation {
        let id = format!("{number:03}");
        Generation { order, at_ms, id }
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_while_costs_one_generation() {
        // One of a year too late among daily ones.
        let days = (0..20).map(|n| {
            let wrong = if n == 10 { 365 * 24 * HOUR } else { 0 };
            one(n, MONDAY + n * 24 * HOUR + wrong, n)
        });
        let rule: Retention = "7 daily".parse().unwrap();
        let kept = |to: usize| {
            let all: Vec<_> = days.clone().take(to).collect();
            rule.kept(&all).into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(kept(12), "005 006 007 008 009 010 011");
        assert_eq!(kept(18), "011 012 013 014 015 016 017");
    }

    #[test]
    fn each_rule_keeps_the_newest_of_its_stretches() {
        let every_six_hours: Vec<_> = (0..400)
            .rev()
            .map(|n| one(1_000 - n, MONDAY + 14 * HOUR - n * 6 * HOUR, n))
            .collect();
        let kept = |rule: &str| {
            let rule: Retention = rule.parse().unwrap();
            let kept = rule.kept(&every_six_hours);
            kept.into_iter().collect::<Vec<_>>().join(" ")
        };
        // 14:00 and 08:00 and 02:00 on Monday; Sunday's newest is 20:00.
        assert_eq!(kept("3 daily"), "000 003 007");
        // Last week's newest is Sunday 20:00, the week's before seven days earlier.
        assert_eq!(kept("3 weekly"), "000 003 031");
        // October's newest: 31 October, 20:00, 23 days before Sunday 22 November, 20:00.
        assert_eq!(kept("2 monthly"), "000 091");
        assert_eq!(kept("2 last, 1 yearly"), "000 001");
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        let text = "7 daily, 4 weekly, 12 monthly";
        assert_eq!(text.parse::<Retention>().unwrap().to_string(), text);
        for wrong in ["", "7", "daily", "0 daily", "7 days", "1 daily, 2 daily"] {
            assert!(wrong.parse::<Retention>().is_err(), "{wrong}");
        }
    }
}
