//! How old the last good backup and the last drill are.

use restante_backup::{PlaceStatus, State};
use serde_json::json;

use crate::backups::{drills, watched, wrong};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::units;

/// Tells of each destination; whether something is wrong with the one that counts.
pub(super) fn run(config: &Config, out: &Output) -> Result<bool, Failure> {
    let known = match State::look(config.data())? {
        Some(state) => state.places()?,
        None => Vec::new(),
    };
    let now = units::now_ms();
    let told = config.backup();
    let counts = watched(told, &known);
    let wrong = wrong(told, counts, now);
    if known.is_empty() {
        let line = if told.to.is_some() {
            "  no backup: `restante serve` makes them as [backup] says, and `restante backup` makes one now"
        } else {
            "  no backup: `restante backup FOLDER` makes one, and [backup] in the configuration keeps on making them"
        };
        let value = json!({"backup": null, "configured": told.to, "wrong": wrong});
        out.line(&value, line)?;
    }
    for place in &known {
        let here = told.to.as_ref() == Some(&place.place);
        let counts = counts.is_some_and(|at| at.place == place.place);
        let wrong = if counts { wrong.as_slice() } else { &[] };
        show(place, here, wrong, now, out)?;
        if here && place.drill_ms.is_none() && told.drill.is_some() && drills(told).is_none() {
            out.people(
                "    no drills: this machine has no key to read them with (backup.identity_file)",
            )?;
        }
    }
    if counts.is_none() && !known.is_empty() && !wrong.is_empty() {
        let value = json!({"backup": null, "configured": told.to, "wrong": wrong});
        let place = told.to.as_deref().unwrap_or_default();
        out.line(&value, &format!("  backup {place}: none yet"))?;
    }
    for what in &wrong {
        out.people(&format!("Attention: {what}"))?;
    }
    Ok(!wrong.is_empty())
}

fn show(
    place: &PlaceStatus,
    configured: bool,
    wrong: &[String],
    now: u64,
    out: &Output,
) -> Result<(), Failure> {
    let when = |at: Option<u64>| {
        at.map_or("never".to_owned(), |at| {
            format!("{} ({})", units::show_time(at), units::ago(at, now))
        })
    };
    out.line(
        &json!({
            "backup": place.place, "configured": configured, "generation": place.generation,
            "at": place.backup_ms.map(units::json_time), "messages": place.messages,
            "octets": place.octets, "error": place.backup_error, "damage": place.damage,
            "archive_damage": place.archive_damage, "prune_error": place.prune_error,
            "verified": place.verify_ms.map(units::json_time),
            "verify_error": place.verify_error,
            "drill": place.drill_ms.map(units::json_time), "drill_error": place.drill_error,
            "wrong": wrong,
        }),
        &format!(
            "  backup {}: {}",
            place.place,
            units::count(place.messages, "message")
        ),
    )?;
    out.people(&format!(
        "    last good one {}; all of it checked {}; drill {}",
        when(place.backup_ms),
        when(place.verify_ms),
        when(place.drill_ms)
    ))?;
    if configured {
        return Ok(());
    }
    let errors = [
        ("backup", &place.backup_error),
        ("check", &place.verify_error),
        ("drill", &place.drill_error),
    ];
    for (what, error) in errors {
        if let Some(error) = error {
            out.people(&format!("    the last {what} failed: {error}"))?;
        }
    }
    if let Some(damage) = &place.damage {
        out.people(&format!(
            "    it holds what is damaged in the archive: {damage}"
        ))?;
    }
    if let Some(error) = &place.prune_error {
        out.people(&format!("    older ones were not removed: {error}"))?;
    }
    Ok(())
}
