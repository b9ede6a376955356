//! How old the last good backup and the last drill are.

use restante_backup::State;
use serde_json::json;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Tells of each destination; whether the configured one is stale.
pub(super) fn run(config: &Config, out: &Output) -> Result<bool, Failure> {
    let known = match State::look(config.data())? {
        Some(state) => state.places()?,
        None => Vec::new(),
    };
    let now = units::now_ms();
    let told = config.backup();
    let mut stale = told.to.is_some();
    if known.is_empty() {
        let line = if stale {
            "Attention: there is no backup yet; `restante backup` makes one."
        } else {
            "  no backup: `restante backup FOLDER` makes one, and [backup] in the configuration keeps on making them"
        };
        out.line(&json!({"backup": null, "stale": stale}), line)?;
        return Ok(stale);
    }
    for place in &known {
        let configured = told.to.as_deref() == Some(place.place.as_str());
        let old = place
            .backup_ms
            .is_none_or(|at| now.saturating_sub(at) > told.stale_after_ms);
        let when = |at: Option<u64>| at.map_or("never".to_owned(), units::show_time);
        if configured {
            stale = old;
        }
        out.line(
            &json!({
                "backup": place.place, "generation": place.generation,
                "at": place.backup_ms.map(units::json_time), "messages": place.messages,
                "octets": place.octets, "error": place.backup_error,
                "verified": place.verify_ms.map(units::json_time),
                "verify_error": place.verify_error,
                "drill": place.drill_ms.map(units::json_time), "drill_error": place.drill_error,
                "stale": configured && old,
            }),
            &format!(
                "  backup {}: last good one {}, {}; all of it checked {}; drill {}",
                place.place,
                when(place.backup_ms),
                units::count(place.messages, "message"),
                when(place.verify_ms),
                when(place.drill_ms)
            ),
        )?;
        let errors = [
            ("backup", &place.backup_error),
            ("check", &place.verify_error),
            ("drill", &place.drill_error),
        ];
        for (what, error) in errors {
            if let Some(error) = error {
                out.people(&format!("    the last {what} failed: {error}"))?;
                stale |= configured;
            }
        }
        if configured && old {
            out.people("Attention: the last good backup is too old (backup.stale_after).")?;
        }
    }
    if told.to.is_some()
        && !known
            .iter()
            .any(|place| told.to.as_ref() == Some(&place.place))
    {
        out.people(
            "Attention: there is no backup yet where [backup] says; `restante backup` makes one.",
        )?;
    }
    Ok(stale)
}
