//! How the accounts do: last success, next run, what was set aside.

use restante_intake::fetch::AccountStatus;
use serde_json::json;

use crate::commands::account;
use crate::config::{Account, Config};
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::units::{self, json_time, show_remote_id, show_time};

/// An account that comes seldom is silent only when it has missed its turn three times.
const TURNS_MISSED: u64 = 3;

/// Shows them; whether one has been silent for too long.
pub(super) fn run(config: &Config, out: &Output) -> Result<bool, Failure> {
    let now = units::now_ms();
    let mut any = false;
    for (account, known) in account::known(config)? {
        let silent = is_silent(account, &known, config.stale_after_ms(), now);
        any |= silent;
        show(account, &known, silent, now, out)?;
    }
    Ok(any)
}

/// Whether nothing has been heard for longer than may be. An account that is only fetched when asked
/// is never silent; one that never worked is as soon as it has failed.
pub(crate) fn is_silent(
    account: &Account,
    known: &AccountStatus,
    stale_after_ms: u64,
    now: u64,
) -> bool {
    let Some(every) = account.every else {
        return false;
    };
    let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    let most = stale_after_ms.max(every.saturating_mul(TURNS_MISSED));
    match known.last_success_ms {
        Some(last) => now.saturating_sub(last) > most,
        None => known.failures > 0,
    }
}

fn show(
    account: &Account,
    known: &AccountStatus,
    silent: bool,
    now: u64,
    out: &Output,
) -> Result<(), Failure> {
    let aside: Vec<_> = known
        .set_aside
        .iter()
        .map(|aside| {
            json!({"remote_id": show_remote_id(&aside.remote_id), "error": aside.error,
                   "tries": aside.tries, "since": json_time(aside.first_ms)})
        })
        .collect();
    let pause = known.pause.as_ref().filter(|pause| pause.until_ms > now);
    let value = json!({
        "account": account.name, "silent": silent, "stored": known.stored,
        "deleted": known.deleted, "failures": known.failures,
        "last_start": known.last_start_ms.map(json_time),
        "last_success": known.last_success_ms.map(json_time),
        "last_error": known.last_error.as_ref().map(|(_, error)| error),
        "next_run": known.next_run_ms.map(json_time),
        "paused_until": pause.map(|pause| json_time(pause.until_ms)),
        "paused_because": pause.map(|pause| pause.reason.name()),
        "set_aside": aside, "headers_only": known.headers_only,
    });
    out.line(&value, &line(account, known))?;
    if let Some((_, error)) = &known.last_error {
        out.people(&format!(
            "    failed {} in a row: {}",
            units::count(known.failures, "time"),
            printable(error)
        ))?;
    }
    if let Some(pause) = pause {
        out.people(&format!(
            "    waits until {}: {}",
            show_time(pause.until_ms),
            pause.reason
        ))?;
    }
    for aside in &known.set_aside {
        out.people(&format!(
            "    set aside: {} since {}, tried {}: {}",
            show_remote_id(&aside.remote_id),
            show_time(aside.first_ms),
            units::count(aside.tries, "time"),
            printable(&aside.error)
        ))?;
    }
    if known.headers_only > 0 {
        out.people(&format!(
            "    only the header of {}, above max_size",
            units::count(known.headers_only, "message")
        ))?;
    }
    if silent {
        out.people(&format!(
            "Attention: {} has been silent for too long (fetch.stale_after).",
            account.name
        ))?;
    }
    Ok(())
}

fn line(account: &Account, known: &AccountStatus) -> String {
    let last = account::last_fetched(known);
    let next = match (account.every, known.next_run_ms) {
        (None, _) => "next when asked".to_owned(),
        (Some(_), Some(at)) => format!("next {}", show_time(at)),
        (Some(_), None) => "next when `restante serve` runs".to_owned(),
    };
    format!(
        "  account {:<16} {:>16}  {last}; {next}",
        account.name,
        units::count(known.stored, "message")
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use restante_client::Server;

    use super::*;

    const DAY: u64 = units::DAY_MS;

    fn silent(every: Option<u64>, success: Option<u64>, failures: u64) -> bool {
        let mut account = Account::new("a".to_owned(), Server::pop3s("h"), "u".to_owned());
        account.every = every.map(Duration::from_millis);
        let known = AccountStatus {
            last_success_ms: success,
            failures,
            ..AccountStatus::default()
        };
        is_silent(&account, &known, DAY, 10 * DAY)
    }

    /// A run that a limit paused, such as `max_per_day`, is no success yet, and still it brought mail.
    #[test]
    fn a_run_that_was_paused_is_told() {
        let account = Account::new("a".to_owned(), Server::pop3s("h"), "u".to_owned());
        let mut known = AccountStatus {
            stored: 3,
            ..AccountStatus::default()
        };
        assert!(line(&account, &known).contains("not fetched yet"));
        known.last_start_ms = Some(DAY);
        let told = line(&account, &known);
        let expected = format!("fetched {}, not all yet;", show_time(DAY));
        assert!(told.contains(&expected), "{told}");
        known.failures = 1;
        assert!(line(&account, &known).contains("not fetched yet"));
    }

    #[test]
    fn an_account_is_silent_when_nothing_was_heard_for_too_long() {
        let often = Some(60_000);
        assert!(!silent(often, Some(9 * DAY + 1), 0));
        assert!(silent(often, Some(9 * DAY - 1), 0));
        assert!(!silent(Some(DAY), Some(8 * DAY), 0), "it comes once a day");
        assert!(silent(Some(DAY), Some(6 * DAY), 0));
        assert!(!silent(None, Some(0), 9), "only when asked");
        assert!(!silent(often, None, 0), "not fetched yet");
        assert!(silent(often, None, 1), "never worked");
    }
}
