//! `restante backup`, `restore` and `verify`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use restante_backup::{self as engine, Hooks, Key, RestoreOptions, Target};
use serde_json::json;

use super::bar::Watch;
use super::{open_existing_store, store_options};
use crate::cli::{Backup, KeyFrom, Restore, Verify};
use crate::config::Config;
use crate::config::account::SecretFrom;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{secrets, units};

/// Runs `restante backup`.
pub(crate) fn backup(asked: &Backup, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let mut target = target(asked.to.as_deref(), &asked.key, config)?;
    if !asked.recipient.is_empty() {
        if !matches!(target.key, Key::None | Key::Recipients(_)) {
            return Err(Failure::Usage(
                "--recipient does not go with a passphrase or an identity".to_owned(),
            ));
        }
        target.key = Key::Recipients(asked.recipient.clone());
    }
    if asked.list {
        return list(&target, out);
    }
    let store = open_existing_store(config)?;
    let keep = asked.keep.as_ref().or(config.backup().keep.as_ref());
    let report = watched(out, asked.limit, "backed up", |hooks| {
        engine::backup(&store, config.data(), &target, keep, asked.anew, hooks)
    })?;
    let pruned = report.pruned.unwrap_or_default();
    out.line(
        &json!({
            "generation": report.generation, "at": units::json_time(report.at_ms),
            "messages": report.messages, "octets": report.octets, "written": report.written,
            "objects": report.objects, "damage": report.damage,
            "pruned": {"generations": pruned.generations, "objects": pruned.objects,
                       "octets": pruned.octets, "busy": pruned.busy},
            "prune_error": report.prune_error,
        }),
        &format!(
            "{}, {}; {} of it new. Generation {}, read back and right.",
            units::count(report.messages, "message"),
            units::show_octets(report.octets),
            units::show_octets(report.written),
            report.generation
        ),
    )?;
    if pruned.generations > 0 {
        out.people(&format!(
            "Removed {} ({} free again).",
            units::count(pruned.generations, "generation"),
            units::show_octets(pruned.octets)
        ))?;
    }
    if let Some(error) = &report.prune_error {
        output::note(&format!("older generations were not removed: {error}"));
    }
    tell_damage(&report.damage);
    Ok(ExitCode::from(if report.damage.is_empty() {
        0
    } else {
        65
    }))
}

fn list(target: &Target, out: &Output) -> Result<ExitCode, Failure> {
    for generation in engine::generations(target)? {
        out.line(
            &json!({"generation": generation.id, "at": units::json_time(generation.at_ms)}),
            &format!("{}  {}", generation.id, units::show_time(generation.at_ms)),
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `restante restore`.
pub(crate) fn restore(asked: &Restore, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let target = target(Some(&asked.from), &asked.key, config)?;
    let options = RestoreOptions {
        at_ms: asked.at,
        mailbox: asked.mailbox.clone(),
        dry_run: asked.dry_run,
        skip_damaged: asked.skip_damaged,
        store: store_options(config, false),
    };
    let report = watched(out, None, "restored", |hooks| {
        engine::restore(&target, config.data(), &options, hooks)
    })?;
    let restored: u64 = report.restored.values().sum();
    let verb = if asked.dry_run {
        "would come back"
    } else {
        "came back"
    };
    for (mailbox, messages) in &report.restored {
        out.line(
            &json!({"mailbox": mailbox, "restored": messages}),
            &format!("  {mailbox:<24} {:>16}", units::count(*messages, "message")),
        )?;
    }
    out.line(
        &json!({
            "generation": report.generation, "at": units::json_time(report.at_ms),
            "messages": report.messages, "restored": restored, "users": report.state,
            "damage": report.damage, "dry_run": asked.dry_run,
        }),
        &format!(
            "{restored} of {} in the backup of {} {verb}{}.",
            units::count(report.messages, "message"),
            units::show_time(report.at_ms),
            if report.state {
                ", with users and accounts"
            } else {
                ""
            }
        ),
    )?;
    tell_damage(&report.damage);
    Ok(ExitCode::from(if report.damage.is_empty() {
        0
    } else {
        65
    }))
}

/// Runs `restante verify`: exits 65 when something is not what it should be.
pub(crate) fn verify(asked: &Verify, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let store = open_existing_store(config)?;
    let data = config.data();
    let mut damage = Vec::new();
    if !asked.drill {
        let report = watched(out, asked.limit, "checked", |hooks| {
            engine::verify_archive(&store, data, hooks)
        })?;
        out.line(
            &json!({
                "archive": data, "packs": report.packs, "messages": report.messages,
                "octets": report.octets, "skipped_packs": report.skipped, "damage": report.damage,
            }),
            &format!(
                "The archive: {} in {}, {}{}: {}.",
                units::count(report.messages, "message"),
                units::count(report.packs, "pack"),
                units::show_octets(report.octets),
                seen_before(report.skipped, "pack"),
                verdict(&report.damage)
            ),
        )?;
        damage.extend(report.damage);
    }
    if asked.at.is_some() && !asked.drill {
        let target = target(asked.at.as_deref(), &asked.key, config)?;
        let report = watched(out, asked.limit, "checked", |hooks| {
            engine::verify_backup(&store, data, &target, hooks)
        })?;
        out.line(
            &json!({
                "backup": target.place, "generations": report.generations,
                "objects": report.objects, "octets": report.octets,
                "skipped_objects": report.skipped, "behind": report.behind,
                "opened": report.opened, "damage": report.damage,
            }),
            &format!(
                "{}: {}, {}, {}{}: {}{}.",
                target.place,
                units::count(report.generations, "generation"),
                units::count(report.objects, "object"),
                units::show_octets(report.octets),
                seen_before(report.skipped, "object"),
                verdict(&report.damage),
                match (report.opened, report.behind) {
                    (false, _) => "; what it holds was not looked at for want of a key".to_owned(),
                    (true, 0) => "; nothing is newer than the last generation".to_owned(),
                    (true, newer) => format!(
                        "; {} newer than the last generation",
                        units::count(newer, "message")
                    ),
                }
            ),
        )?;
        damage.extend(report.damage);
    }
    if asked.drill {
        let target = target(asked.at.as_deref(), &asked.key, config)?;
        let scratch = scratch(config, asked.scratch.as_deref());
        let report = watched(out, asked.limit, "compared", |hooks| {
            engine::drill(&store, data, &target, &scratch, config.min_free(), hooks)
        })?;
        out.line(
            &json!({
                "drill": report.generation, "at": units::json_time(report.at_ms),
                "same": report.same, "newer": report.newer, "damage": report.damage,
            }),
            &format!(
                "Restored {} beside the archive: {} the same, to the octet; {} newer; {}.",
                report.generation,
                units::count(report.same, "message"),
                report.newer,
                verdict(&report.damage)
            ),
        )?;
        damage.extend(report.damage);
    }
    tell_damage(&damage);
    Ok(ExitCode::from(if damage.is_empty() { 0 } else { 65 }))
}

fn verdict(damage: &[String]) -> String {
    if damage.is_empty() {
        return "all of it right".to_owned();
    }
    format!("{} NOT RIGHT", units::count(damage.len() as u64, "thing"))
}

fn seen_before(skipped: u64, what: &str) -> String {
    if skipped == 0 {
        return String::new();
    }
    format!(", after {} seen before", units::count(skipped, what))
}

fn tell_damage(damage: &[String]) {
    for line in damage {
        output::note(line);
    }
}

/// Works with a line on the terminal that tells how far it is.
fn watched<T>(
    out: &Output,
    limit: Option<u64>,
    what: &'static str,
    work: impl FnOnce(&Hooks<'_>) -> engine::Result<T>,
) -> Result<T, Failure> {
    let watch = Watch::new(out, what);
    let told = |octets: u64| watch.add(octets);
    let never = || false;
    let came = work(&Hooks::new(&told, &never, limit));
    watch.clear();
    came.map_err(Failure::from)
}

/// Where drills restore to.
pub(crate) fn scratch(config: &Config, asked: Option<&Path>) -> PathBuf {
    let configured = config.backup().scratch.as_deref();
    let place = asked.or(configured).map(Path::to_owned);
    place.unwrap_or_else(|| config.data().join("backup"))
}

/// The destination and its key: what is configured for the same place counts unless another key is
/// given.
fn target(place: Option<&str>, key: &KeyFrom, config: &Config) -> Result<Target, Failure> {
    let configured = config.backup().to.as_deref();
    let place = place.or(configured).ok_or_else(|| {
        Failure::Usage(
            "say where: `restante backup FOLDER`, `restante backup s3://bucket/prefix`, or `to` in [backup]"
                .to_owned(),
        )
    })?;
    // However it is typed: a slash that the shell has added is not another place, without the key.
    let place = engine::canonical(place)?;
    let passphrase = [
        key.passphrase_file.clone().map(SecretFrom::File),
        key.passphrase_env.clone().map(SecretFrom::Environment),
        key.passphrase_command.clone().map(SecretFrom::Command),
    ];
    let given = if let Some(from) = passphrase.into_iter().flatten().next() {
        Key::Passphrase(secrets::now(&from)?)
    } else if let Some(file) = &key.identity_file {
        Key::Identities(secrets::whole_file(file)?)
    } else if configured == Some(place.as_str()) {
        return configured_target(config);
    } else {
        Key::None
    };
    Ok(Target { place, key: given })
}

/// The destination that the configuration names.
pub(crate) fn configured_target(config: &Config) -> Result<Target, Failure> {
    let told = config.backup();
    let place = told.to.clone().ok_or_else(|| {
        Failure::Config("[backup] has no `to`: name a folder or s3://bucket/prefix".to_owned())
    })?;
    let key = if let Some(from) = &told.passphrase {
        Key::Passphrase(secrets::now(from)?)
    } else if let Some(file) = &told.identity_file {
        Key::Identities(secrets::whole_file(file)?)
    } else if !told.recipients.is_empty() {
        Key::Recipients(told.recipients.clone())
    } else {
        Key::None
    };
    Ok(Target { place, key })
}
