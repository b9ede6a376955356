//! `restante user device` and `restante user set`: one mailbox, many devices.

use std::process::ExitCode;
use std::sync::Arc;

use restante_directory::{Device as Known, Directory, DirectoryError, User};
use restante_proto::Secret;
use restante_store::{MailStore, MailboxId, ViewId, ViewInfo};
use serde_json::json;

use super::{is_there, open_existing_directory, open_store, tell_reports, wait};
use crate::cli::{Device, UserSet};
use crate::config::{Config, mailbox};
use crate::failure::Failure;
use crate::mailboxes::{Policies, key};
use crate::output::Output;
use crate::units;

/// Runs `restante user device …`.
pub(crate) fn run(command: &Device, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let directory = open_existing_directory(config)?;
    match command {
        Device::Add {
            user,
            device,
            from_now,
            window,
        } => add(&directory, config, (user, device), *from_now, *window, out)?,
        Device::List { user } => list(&directory, config, user.as_deref(), out)?,
        Device::Set {
            user,
            device,
            window,
            new_password,
        } => set(
            &directory,
            (user, device),
            window.as_deref(),
            *new_password,
            out,
        )?,
        Device::Remove { user, device } => remove(&directory, config, user, device, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn known(directory: &Directory, name: &str) -> Result<User, Failure> {
    directory.find_user(name)?.ok_or_else(|| {
        Failure::NotThere(format!(
            "there is no user {name}; `restante user list` shows who there is"
        ))
    })
}

fn named(views: &[ViewInfo], name: &str) -> Option<ViewId> {
    views.iter().find(|view| view.name == name).map(|v| v.id)
}

fn add(
    directory: &Directory,
    config: &Config,
    (user, device): (&str, &str),
    from_now: bool,
    window: Option<u64>,
    out: &Output,
) -> Result<(), Failure> {
    let user = known(directory, user)?.name;
    let device = restante_directory::device_name(device)?;
    let password = match directory.add_device(&user, &device) {
        Err(DirectoryError::DeviceExists(_)) => {
            return Err(Failure::Exists(format!(
                "{user} has a device {device} already; `restante user device set {user} {device} --new-password` gives it a new password"
            )));
        }
        made => made?,
    };
    let made = make_view(config, &user, &device, from_now);
    let made = made.and_then(|()| Ok(directory.set_window(&user, &device, window)?));
    if let Err(error) = made {
        // Nothing is left half made: nobody has seen the password.
        directory.remove_device(&user, &device)?;
        return Err(error);
    }
    tell_password(&user, &device, &password, out)?;
    out.people(&format!(
        "(shown this once)\nLog in as {user}+{device}, or as {user}, with this password; as {user}+{device} your own works too.\nWhat this device deletes, the others still get."
    ))
}

fn tell_password(user: &str, device: &str, password: &Secret, out: &Output) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(password.expose());
    out.line(
        &json!({"user": user, "device": device, "login": format!("{user}+{device}"), "password": text}),
        &format!("password: {text}"),
    )
}

fn make_view(config: &Config, user: &str, device: &str, from_now: bool) -> Result<(), Failure> {
    let store = open_store(config, false)?;
    tell_reports(&store);
    let mailbox = wait(store.create_mailbox(user))?;
    // What a removal that was cut off has left is another device's: what that one had hidden this one gets.
    if let Some(left) = named(&wait(store.views(mailbox))?, device) {
        wait(store.remove_view(mailbox, left))?;
    }
    wait(store.add_view(mailbox, device, from_now))?;
    Ok(())
}

fn set(
    directory: &Directory,
    (user, device): (&str, &str),
    window: Option<&str>,
    new_password: bool,
    out: &Output,
) -> Result<(), Failure> {
    let user = known(directory, user)?.name;
    if window.is_none() && !new_password {
        return Err(Failure::Usage(
            "nothing to change: say --window N, --window all or --new-password".to_owned(),
        ));
    }
    if let Some(text) = window {
        let newest = match text {
            "all" => None,
            text => Some(text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                Failure::Usage(format!(
                    "--window {text}: right would be a number from 1 on, or all"
                ))
            })?),
        };
        directory.set_window(&user, device, newest)?;
        let shown = newest.map_or("all messages".to_owned(), |n: u64| {
            format!("the newest {}", units::count(n, "message"))
        });
        out.line(
            &json!({"user": user, "device": device, "window": newest}),
            &format!("{device} is shown {shown} from its next login on."),
        )?;
    }
    if new_password {
        let password = directory.renew_device_password(&user, device)?;
        tell_password(&user, device, &password, out)?;
    }
    Ok(())
}

fn remove(
    directory: &Directory,
    config: &Config,
    user: &str,
    device: &str,
    out: &Output,
) -> Result<(), Failure> {
    let user = known(directory, user)?.name;
    let device = restante_directory::device_name(device)?;
    // The login first: a view removed under a login would be made anew by it.
    let removed = directory.remove_device(&user, &device);
    let view = match existing(config, &user)? {
        Some((store, mailbox)) => {
            let view = named(&wait(store.views(mailbox))?, &device);
            if let Some(view) = view {
                wait(store.remove_view(mailbox, view))?;
            }
            view
        }
        None => None,
    };
    match removed {
        // Only its view was left.
        Err(DirectoryError::NoDevice(_)) if view.is_some() => {}
        removed => removed?,
    }
    out.line(
        &json!({"user": user, "device": device}),
        &format!(
            "{device} is removed: its sessions end, its own password is void, and it holds no mail back any more."
        ),
    )?;
    out.people(&format!(
        "Whoever has {user}'s password can still log in with that: `restante user passwd {user}` if the device is lost."
    ))
}

/// A store and a mailbox in it.
type Opened = (Arc<dyn MailStore>, MailboxId);

/// The store and a user's mailbox, if there are both.
fn existing(config: &Config, user: &str) -> Result<Option<Opened>, Failure> {
    if !is_there(&config.data().join("packs"))? {
        return Ok(None);
    }
    let store = open_store(config, false)?;
    tell_reports(&store);
    let found = wait(store.find_mailbox(user))?;
    Ok(found.map(|mailbox| (store as Arc<dyn MailStore>, mailbox.id)))
}

fn list(
    directory: &Directory,
    config: &Config,
    user: Option<&str>,
    out: &Output,
) -> Result<(), Failure> {
    let users = match user {
        Some(name) => vec![known(directory, name)?],
        None => directory.users()?,
    };
    let mut some = false;
    for user in users {
        let devices = directory.devices(Some(&user.name))?;
        let views = match existing(config, &user.name)? {
            Some((store, mailbox)) => wait(store.views(mailbox))?,
            None => Vec::new(),
        };
        if devices.is_empty() {
            continue;
        }
        some = true;
        out.people(&user.name)?;
        for device in &devices {
            let view = views.iter().find(|view| view.name == device.name);
            show(device, view, out)?;
        }
        if let Some(plain) = views.iter().find(|view| view.id == ViewId::PLAIN) {
            show_plain(&user.name, plain, out)?;
        }
    }
    if !some {
        out.people("There are no devices yet: restante user device add NAME DEVICE")?;
    }
    Ok(())
}

fn waiting(view: Option<&ViewInfo>) -> String {
    let Some(view) = view else {
        return "not collected from yet".to_owned();
    };
    let lapsed = if view.lapsed {
        "; unseen for long, holds nothing back"
    } else {
        ""
    };
    format!(
        "{} waiting{lapsed}",
        units::count(view.totals.count, "message")
    )
}

fn show(device: &Known, view: Option<&ViewInfo>, out: &Output) -> Result<(), Failure> {
    let seen = match (device.seen_ms, &device.address) {
        (Some(ms), Some(address)) => format!("seen {} from {address}", units::show_time(ms)),
        _ => "never seen".to_owned(),
    };
    let hello = device.hello.as_deref().unwrap_or("-");
    let window = device
        .window
        .map_or(String::new(), |n| format!("; newest {n} only"));
    out.line(
        &json!({
            "user": device.user, "device": device.name,
            "last_seen": device.seen_ms.map(units::json_time), "address": device.address,
            "client": device.hello, "window": device.window, "own_password": device.has_password,
            "waiting": view.map(|v| v.totals.count), "octets": view.map(|v| v.totals.octets),
            "holds_back": view.is_some_and(|v| !v.lapsed),
        }),
        &format!(
            "  {:<16} {seen} ({hello}); {}{window}",
            device.name,
            waiting(view)
        ),
    )
}

fn show_plain(user: &str, plain: &ViewInfo, out: &Output) -> Result<(), Failure> {
    let seen = plain.used_ms.map_or("seen".to_owned(), |ms| {
        format!("seen {}", units::show_time(ms))
    });
    out.line(
        &json!({
            "user": user, "device": null, "last_seen": plain.used_ms.map(units::json_time),
            "waiting": plain.totals.count, "octets": plain.totals.octets,
            "holds_back": !plain.lapsed,
        }),
        &format!("  {:<16} {seen}; {}", "(plain login)", waiting(Some(plain))),
    )
}

/// One thing that `user set` can set.
struct Asked<'a> {
    key: &'static str,
    value: &'a Option<String>,
    good: fn(&str) -> bool,
    right: &'static str,
}

fn is_release(text: &str) -> bool {
    mailbox::release(text).is_some()
}

fn is_term(text: &str) -> bool {
    mailbox::term(text).is_some()
}

fn is_recent(text: &str) -> bool {
    mailbox::recent(text).is_some()
}

/// Runs `restante user set`: what the configuration says of a mailbox is changed there alone.
pub(crate) fn settings(set: &UserSet, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let directory = Arc::new(open_existing_directory(config)?);
    let user = known(&directory, &set.name)?.name;
    let said = config.mailboxes().iter().find(|m| m.name == user);
    let has = |key: &str| {
        said.is_some_and(|said| match key {
            key::RELEASE => said.release.is_some(),
            key::MAX_AGE => said.max_age.is_some(),
            key::DEVICE_EXPIRY => said.device_expiry.is_some(),
            _ => said.recent_ms.is_some(),
        })
    };
    let asked = |key, value, good, right| Asked {
        key,
        value,
        good,
        right,
    };
    let wanted = [
        asked(
            key::RELEASE,
            &set.release,
            is_release,
            mailbox::RELEASE_RIGHT,
        ),
        asked(key::MAX_AGE, &set.max_age, is_term, mailbox::MAX_AGE_RIGHT),
        asked(
            key::DEVICE_EXPIRY,
            &set.device_expiry,
            is_term,
            mailbox::EXPIRY_RIGHT,
        ),
        asked(key::RECENT, &set.recent, is_recent, mailbox::RECENT_RIGHT),
    ];
    for Asked {
        key,
        value,
        good,
        right,
    } in &wanted
    {
        let Some(text) = value else { continue };
        let option = key.replace('_', "-");
        if has(key) {
            return Err(Failure::Usage(format!(
                "{key} of {user} stands in {}, which wins: change it there, in [mailbox.\"{user}\"]",
                config
                    .file()
                    .unwrap_or(std::path::Path::new("the configuration"))
                    .display()
            )));
        }
        if *text != "default" && !good(text) {
            return Err(Failure::Usage(format!(
                "--{option} {text}: right would be {right}, or default"
            )));
        }
    }
    for Asked { key, value, .. } in &wanted {
        if let Some(text) = value {
            let text = Some(text.as_str()).filter(|text| *text != "default");
            directory.set_setting(&user, key, text)?;
        }
    }
    let policies = Policies::new(config, Arc::clone(&directory));
    let mut release = None;
    if is_there(&config.data().join("packs"))? {
        let store = open_store(config, false)?;
        tell_reports(&store);
        if let Some(found) = wait(store.find_mailbox(&user))? {
            wait(policies.settle(&*store, &found))?;
            release = wait(store.find_mailbox(&user))?.map(|found| found.release);
        }
    }
    let policy = policies.of(&user)?;
    let release = release.or(policy.release);
    let release = release.map_or("at-once until there is a device", mailbox::release_name);
    let recent = units::exact_duration(policy.recent_ms);
    out.line(
        &json!({
            "user": user, "release": release, "max_age": policy.max_age.to_string(),
            "device_expiry": policy.device_expiry.to_string(), "recent": recent,
        }),
        &format!(
            "{user}: release {release}, max_age {}, device_expiry {}, recent {recent}",
            policy.max_age, policy.device_expiry
        ),
    )?;
    Ok(ExitCode::SUCCESS)
}
