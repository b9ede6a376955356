//! Rows, goals, and the table in Markdown.

use super::super::table::{median, short};
use super::super::why;
use super::contest::{ALL, Fetcher};

/// What a row has to reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// It is only shown.
    None,
    /// At most so many times mpop, and so many times the bare drain.
    OfMpop(f64, Option<f64>),
    /// In the row's unit.
    AtMost(f64),
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    number: &'static str,
    what: String,
    unit: &'static str,
    values: [Option<f64>; ALL.len()],
    range: Option<(f64, f64)>,
    goal: Goal,
}

impl Row {
    pub(super) fn new(
        number: &'static str,
        what: String,
        unit: &'static str,
        samples: &[Vec<f64>; ALL.len()],
        goal: Goal,
    ) -> Self {
        let ours = &samples[Fetcher::Ours as usize];
        let least = ours.iter().copied().min_by(f64::total_cmp);
        let most = ours.iter().copied().max_by(f64::total_cmp);
        let row = Self {
            number,
            what,
            unit,
            values: ALL.map(|fetcher| {
                let all = &samples[fetcher as usize];
                (!all.is_empty()).then(|| median(all))
            }),
            range: least.zip(most),
            goal,
        };
        println!("  {}", row.line());
        row
    }

    fn ratio(&self, fetcher: Fetcher) -> Option<f64> {
        Some(self.values[Fetcher::Ours as usize]? / self.values[fetcher as usize]?)
    }

    /// `None` where there is no goal.
    fn reached(&self) -> Option<bool> {
        let ours = self.values[Fetcher::Ours as usize]?;
        Some(match self.goal {
            Goal::None => return None,
            Goal::AtMost(bound) => ours <= bound,
            Goal::OfMpop(mpop, drain) => {
                self.ratio(Fetcher::Mpop)? <= mpop
                    && drain.is_none_or(|times| {
                        self.ratio(Fetcher::Drain)
                            .is_some_and(|ratio| ratio <= times)
                    })
            }
        })
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::None => "–".to_owned(),
            Goal::AtMost(bound) => format!("≤ {bound} {}", self.unit),
            Goal::OfMpop(mpop, None) => format!("≤ {mpop} × mpop"),
            Goal::OfMpop(mpop, Some(drain)) => format!("≤ {mpop} × mpop, ≤ {drain} × drain"),
        }
    }

    fn line(&self) -> String {
        let cell = |value: Option<f64>| value.map_or("–".to_owned(), short);
        let range = match self.range {
            Some((least, most)) if least < most => format!(" ({}–{})", short(least), short(most)),
            _ => String::new(),
        };
        let reached = match self.reached() {
            None => "–",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let values: Vec<String> = self.values.iter().map(|&value| cell(value)).collect();
        format!(
            "| {} | {}, {} | {}{range} | {} | {} | {} | {reached} |",
            self.number,
            self.what,
            self.unit,
            values.join(" | "),
            cell(self.ratio(Fetcher::Mpop)),
            cell(self.ratio(Fetcher::Drain)),
            self.goal(),
        )
    }
}

/// The table, and how many goals were reached.
pub(super) fn markdown(rows: &[Row]) -> String {
    let names: Vec<&str> = ALL.iter().map(|fetcher| fetcher.name()).collect();
    let mut out = format!(
        "| # | what, unit | {} (range) | ours ÷ mpop | ours ÷ drain | goal | reached |\n\
         |---|---|{}---:|---:|---|---|\n",
        names.join(" | "),
        "---:|".repeat(names.len()),
    );
    for row in rows {
        out.push_str(&row.line());
        out.push('\n');
    }
    let count = |wanted| {
        rows.iter()
            .filter(|row| row.reached() == Some(wanted))
            .count()
    };
    out.push_str(&format!(
        "\n{} goals are reached, {} are missed.\n",
        count(true),
        count(false)
    ));
    let missed = rows.iter().filter(|row| row.reached() == Some(false));
    out.push_str(&why::section(missed.map(|row| row.number)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ratios_have_to_be_reached() {
        let row = |ours: f64| {
            let samples = [vec![1.0], vec![4.0], vec![], vec![], vec![ours]];
            Row::new(
                "1",
                "x".to_owned(),
                "s",
                &samples,
                Goal::OfMpop(0.4, Some(1.6)),
            )
        };
        assert_eq!(row(1.6).reached(), Some(true));
        assert_eq!(row(1.61).reached(), Some(false));
    }
}
