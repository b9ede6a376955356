//! What there is, in numbers and drawings.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use restante_archive::{Month, Overview};

use super::fetching::Accounts;
use super::page::Frame;
use super::signed::Signed;
use super::{Fault, Reader, blocking, show};

/// Months that have a bar each: ten years. What spans more is drawn by year.
const MONTHS: i64 = 120;

/// Places that a drawing has at least, lest one bar be all of it.
const PLACES: i64 = 12;

/// The drawing's size, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;

/// All the mail there is, by month or by year.
struct Chart {
    /// What a bar stands for, and the same at the head of a column.
    unit: &'static str,
    head: &'static str,
    most: String,
    bars: Vec<Bar>,
}

struct Bar {
    x: String,
    y: String,
    width: String,
    height: String,
    name: String,
    count: String,
    size: String,
}

struct Line {
    name: String,
    search: String,
    count: String,
    size: String,
    percent: u64,
}

struct Big {
    message: String,
    part: u32,
    name: String,
    subject: String,
    date: String,
    size: String,
}

#[derive(Template)]
#[template(path = "reader/overview.html")]
struct OverviewPage {
    frame: Frame,
    count: String,
    size: String,
    unread: String,
    backup: Option<String>,
    drill: Option<String>,
    indexed: Option<String>,
    chart: Chart,
    senders: Vec<Line>,
    attachments: Vec<Big>,
    accounts: Accounts,
}

pub(super) async fn page(
    State(reader): State<Arc<Reader>>,
    signed: Signed,
) -> Result<Html<String>, Fault> {
    blocking(move || {
        let overview = reader.archive.overview(&signed.scope)?;
        let progress = reader.archive.progress(&signed.scope)?;
        let lagging = progress.indexed < progress.total;
        let backups = reader.backstage.backups();
        let page = OverviewPage {
            frame: Frame::new(&reader, &signed, "Overview", "overview")?,
            count: show::count(overview.count),
            size: show::size(overview.octets),
            unread: show::count(overview.unread),
            backup: backups.good_ms.map(show::long_ms),
            drill: backups.drill_ms.map(show::long_ms),
            indexed: lagging.then(|| {
                format!(
                    "{} of {}",
                    show::count(progress.indexed),
                    show::count(progress.total)
                )
            }),
            chart: Chart::of(&overview.months),
            senders: senders(&overview),
            attachments: overview
                .attachments
                .into_iter()
                .map(|big| Big {
                    message: big.message.to_string(),
                    part: big.part,
                    name: big.name.unwrap_or(big.media_type),
                    subject: big.subject,
                    date: show::short(big.date),
                    size: show::size(big.octets),
                })
                .collect(),
            accounts: Accounts::of(&reader, &signed),
        };
        Ok(Html(page.render()?))
    })
    .await
}

/// What one bar stands for.
struct Span {
    /// Months, or years, since the year 0.
    at: i64,
    name: String,
    count: u64,
    octets: u64,
}

impl Chart {
    fn of(months: &[Month]) -> Self {
        let months: Vec<Span> = months.iter().filter_map(Span::of_month).collect();
        let reach = match (months.first(), months.last()) {
            (Some(first), Some(last)) => last.at - first.at + 1,
            _ => 0,
        };
        if reach <= MONTHS {
            Self::drawn("month", "Month", &months)
        } else {
            Self::drawn("year", "Year", &years(months))
        }
    }

    fn drawn(unit: &'static str, head: &'static str, spans: &[Span]) -> Self {
        let most = spans.iter().map(|span| span.count).max().unwrap_or(0);
        Self {
            unit,
            head,
            most: show::count(most),
            bars: bars(spans, most),
        }
    }
}

impl Span {
    fn of_month(month: &Month) -> Option<Self> {
        let (year, number) = month.month.split_once('-')?;
        Some(Self {
            at: year.parse::<i64>().ok()? * 12 + number.parse::<i64>().ok()? - 1,
            name: month.month.clone(),
            count: month.count,
            octets: month.octets,
        })
    }
}

/// Months that follow each other, added up.
fn years(months: Vec<Span>) -> Vec<Span> {
    let mut years: Vec<Span> = Vec::new();
    for month in months {
        let at = month.at.div_euclid(12);
        match years.last_mut() {
            Some(year) if year.at == at => {
                year.count += month.count;
                year.octets += month.octets;
            }
            _ => years.push(Span {
                at,
                name: at.to_string(),
                ..month
            }),
        }
    }
    years
}

/// One bar each, places without mail left empty, the newest at the right.
fn bars(spans: &[Span], most: u64) -> Vec<Bar> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
        return Vec::new();
    };
    let places = (last.at - first.at + 1).max(PLACES);
    let start = last.at - places + 1;
    let step = WIDTH / places as f64;
    spans
        .iter()
        .map(|span| {
            let tall = (HEIGHT * span.count as f64 / most.max(1) as f64).max(2.0);
            Bar {
                x: format!("{:.1}", (span.at - start) as f64 * step + step * 0.1),
                y: format!("{:.1}", HEIGHT - tall),
                width: format!("{:.1}", (step * 0.8).min(40.0)),
                height: format!("{tall:.1}"),
                name: span.name.clone(),
                count: show::count(span.count),
                size: show::size(span.octets),
            }
        })
        .collect()
}

fn senders(overview: &Overview) -> Vec<Line> {
    let most = overview
        .senders
        .iter()
        .map(|s| s.count)
        .max()
        .unwrap_or(1)
        .max(1);
    overview
        .senders
        .iter()
        .map(|sender| Line {
            name: sender.from.shown().to_owned(),
            search: show::query(&format!(
                "from:\"{}\"",
                sender
                    .from
                    .address
                    .as_deref()
                    .unwrap_or(sender.from.shown())
                    .replace(['"', '*'], " ")
            )),
            count: show::count(sender.count),
            size: show::size(sender.octets),
            percent: sender.count * 100 / most,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(month: &str, count: u64) -> Month {
        Month {
            month: month.to_owned(),
            count,
            octets: 1,
        }
    }

    #[test]
    fn months_without_mail_leave_a_gap() {
        let chart = Chart::of(&[month("2023-12", 10), month("2024-02", 5)]);
        let bars = chart.bars;
        assert_eq!((chart.unit, bars.len()), ("month", 2));
        let x: Vec<f64> = bars
            .iter()
            .map(|bar| bar.x.parse().expect("a number"))
            .collect();
        // Twelve places of sixty units; December is the tenth, February the twelfth.
        assert!(
            (x[0] - 546.0).abs() < 0.2 && (x[1] - 666.0).abs() < 0.2,
            "{x:?}"
        );
        assert_eq!(
            (bars[0].y.as_str(), bars[1].height.as_str()),
            ("0.0", "80.0")
        );
    }

    /// Mail of 2002 was neither drawn nor told once there was mail of 2024, but the scale was that of 2002.
    #[test]
    fn what_spans_more_than_ten_years_is_drawn_by_year_and_all_of_it() {
        let ten = Chart::of(&[month("2002-01", 1), month("2011-12", 1)]);
        assert_eq!(ten.unit, "month");
        let chart = Chart::of(&[
            month("2002-08", 829),
            month("2002-09", 100),
            month("2024-05", 48),
        ]);
        let bars: Vec<_> = chart
            .bars
            .iter()
            .map(|bar| (bar.name.as_str(), bar.count.as_str(), bar.y.as_str()))
            .collect();
        assert_eq!((chart.unit, chart.most.as_str()), ("year", "929"));
        assert_eq!(bars[0], ("2002", "929", "0.0"), "as high as the scale says");
        assert_eq!((bars[1].0, bars[1].1), ("2024", "48"));
        assert_eq!(bars.len(), 2);
    }
}
