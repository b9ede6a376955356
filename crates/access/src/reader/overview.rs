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

/// Months that are drawn: ten years.
const MONTHS: usize = 120;

/// The drawing's size, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;

struct Bar {
    x: String,
    y: String,
    width: String,
    height: String,
    month: String,
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
    bars: Vec<Bar>,
    most: String,
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
            most: show::count(overview.months.iter().map(|m| m.count).max().unwrap_or(0)),
            bars: bars(&overview.months),
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

/// One bar a month, months without mail included, the newest at the right.
fn bars(months: &[Month]) -> Vec<Bar> {
    let number = |month: &str| {
        let (year, month) = month.split_once('-')?;
        Some(year.parse::<i64>().ok()? * 12 + month.parse::<i64>().ok()? - 1)
    };
    let numbered: Vec<_> = months
        .iter()
        .filter_map(|m| Some((number(&m.month)?, m)))
        .collect();
    let (Some((first, _)), Some((last, _))) = (numbered.first(), numbered.last()) else {
        return Vec::new();
    };
    let shown = usize::try_from(last - first + 1)
        .unwrap_or(MONTHS)
        .clamp(12, MONTHS);
    let start = last - shown as i64 + 1;
    let most = numbered
        .iter()
        .filter(|(n, _)| *n >= start)
        .map(|(_, m)| m.count)
        .max();
    let step = WIDTH / shown as f64;
    numbered
        .iter()
        .filter(|(n, _)| *n >= start)
        .map(|(n, month)| {
            let tall = (HEIGHT * month.count as f64 / most.unwrap_or(1).max(1) as f64).max(2.0);
            Bar {
                x: format!("{:.1}", (n - start) as f64 * step + step * 0.1),
                y: format!("{:.1}", HEIGHT - tall),
                width: format!("{:.1}", (step * 0.8).min(40.0)),
                height: format!("{tall:.1}"),
                month: month.month.clone(),
                count: show::count(month.count),
                size: show::size(month.octets),
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
                    .replace('"', "")
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

    #[test]
    fn months_without_mail_leave_a_gap() {
        let month = |month: &str, count| Month {
            month: month.to_owned(),
            count,
            octets: 1,
        };
        let bars = bars(&[month("2023-12", 10), month("2024-02", 5)]);
        assert_eq!(bars.len(), 2);
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
}
