//! Rows, goals, and the table in Markdown.

use super::peers::{PEERS, Peer};

/// What a row has to reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// It is only shown.
    None,
    /// So many times the null server.
    NullTimes(f64),
    /// So many times Dovecot.
    DovecotTimes(f64),
    /// Both.
    Both(f64, f64),
    /// In the row's unit.
    AtMost(f64),
    /// In the row's unit.
    AtLeast(f64),
}

impl Goal {
    pub(super) fn times(null: Option<f64>, dovecot: f64) -> Self {
        null.map_or(Self::DovecotTimes(dovecot), |null| {
            Self::Both(null, dovecot)
        })
    }
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    number: &'static str,
    what: String,
    unit: &'static str,
    /// Medians, as in [`PEERS`].
    values: [Option<f64>; 3],
    /// Least and most of ours.
    range: Option<(f64, f64)>,
    goal: Goal,
}

/// The middle one.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

impl Row {
    pub(super) fn new(
        number: &'static str,
        what: &str,
        unit: &'static str,
        samples: &[Vec<f64>; 3],
        goal: Goal,
    ) -> Self {
        let of = |peer: Peer| &samples[peer as usize];
        let ours = of(Peer::Ours);
        let least = ours.iter().copied().min_by(f64::total_cmp);
        let most = ours.iter().copied().max_by(f64::total_cmp);
        let row = Self {
            number,
            what: what.to_owned(),
            unit,
            values: PEERS.map(|peer| (!of(peer).is_empty()).then(|| median(of(peer)))),
            range: least.zip(most),
            goal,
        };
        println!("  {}", row.line());
        row
    }

    fn value(&self, peer: Peer) -> Option<f64> {
        self.values[peer as usize]
    }

    fn ratio(&self, peer: Peer) -> Option<f64> {
        Some(self.value(Peer::Ours)? / self.value(peer)?)
    }

    /// `None` where there is no goal.
    pub(super) fn reached(&self) -> Option<bool> {
        let ours = self.value(Peer::Ours)?;
        let null = || self.ratio(Peer::Null);
        let dovecot = || self.ratio(Peer::Dovecot);
        Some(match self.goal {
            Goal::None => return None,
            Goal::NullTimes(times) => null()? >= times,
            Goal::DovecotTimes(times) => dovecot()? >= times,
            Goal::Both(of_null, of_dovecot) => null()? >= of_null && dovecot()? >= of_dovecot,
            Goal::AtMost(bound) => ours <= bound,
            Goal::AtLeast(bound) => ours >= bound,
        })
    }

    fn goal(&self) -> String {
        match self.goal {
            Goal::None => "–".to_owned(),
            Goal::NullTimes(times) => format!("≥ {times} of null"),
            Goal::DovecotTimes(times) => format!("≥ {times} × Dovecot"),
            Goal::Both(null, dovecot) => format!("≥ {null} of null, ≥ {dovecot} × Dovecot"),
            Goal::AtMost(bound) => format!("≤ {bound} {}", self.unit),
            Goal::AtLeast(bound) => format!("≥ {bound} {}", self.unit),
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
        format!(
            "| {} | {}, {} | {} | {} | {}{range} | {} | {} | {} | {reached} |",
            self.number,
            self.what,
            self.unit,
            cell(self.value(Peer::Null)),
            cell(self.value(Peer::Dovecot)),
            cell(self.value(Peer::Ours)),
            cell(self.ratio(Peer::Null)),
            cell(self.ratio(Peer::Dovecot)),
            self.goal(),
        )
    }
}

/// Three digits that matter.
pub(super) fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 || v == 0.0 => 3,
        _ => 5,
    };
    format!("{value:.digits$}")
}

/// The table, and a paragraph for each row that is missed.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut out = String::from(
        "| # | what, unit | null | Dovecot | ours (range) | ours ÷ null | ours ÷ Dovecot | goal | reached |\n\
         |---|---|---:|---:|---:|---:|---:|---|---|\n",
    );
    for row in rows {
        out.push_str(&row.line());
        out.push('\n');
    }
    let missed = rows.iter().filter(|row| row.reached() == Some(false));
    out.push_str(&super::why::section(missed.map(|row| row.number)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: f64, goal: Goal) -> Row {
        let samples = [vec![100.0], vec![10.0], vec![ours]];
        Row::new("1", "x", "sessions/s", &samples, goal)
    }

    #[test]
    fn both_ratios_have_to_be_reached() {
        let goal = Goal::times(Some(0.75), 5.0);
        assert_eq!(row(75.0, goal).reached(), Some(true));
        assert_eq!(row(74.0, goal).reached(), Some(false));
        assert_eq!(row(1.0, Goal::None).reached(), None);
        assert_eq!(row(8.1, Goal::AtMost(8.0)).reached(), Some(false));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&[5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[5.0, 1.0]), 3.0);
    }
}
