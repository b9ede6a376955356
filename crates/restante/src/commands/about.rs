//! What the program says of itself: configuration, completions, manual page.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use restante_client::{ClientCertificate, Mechanism, Place};
use serde_json::json;

use crate::cli::{Cli, ConfigCommand};
use crate::config::account::{OAuth, SecretFrom, Target, security_name, show_pin};
use crate::config::setup::show_keep;
use crate::config::{Account, Config, Mailbox, Setup, mailbox};
use crate::failure::Failure;
use crate::output::{Output, finish};
use crate::units;

/// `restante completions SHELL`
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "restante", &mut script);
    finish(io::Write::write_all(&mut io::stdout(), &script))?;
    Ok(ExitCode::SUCCESS)
}

/// `restante man [COMMAND]`
pub(crate) fn man(command: Option<&str>) -> Result<ExitCode, Failure> {
    let mut whole = Cli::command();
    whole.build();
    let about = match command {
        None => whole,
        Some(name) => whole.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::Usage(format!(
                "there is no command {name}; `restante --help` lists them"
            ))
        })?,
    };
    let mut page = Vec::new();
    let made = clap_mangen::Man::new(about).render(&mut page);
    finish(made.and_then(|()| io::Write::write_all(&mut io::stdout(), &page)))?;
    Ok(ExitCode::SUCCESS)
}

/// `restante config …`; a file with mistakes has been refused before this is reached.
pub(crate) fn config(
    command: &ConfigCommand,
    config: &Config,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let file = config.file().map(|path| path.display().to_string());
    match command {
        ConfigCommand::Check => {
            check_files(config)?;
            let line = match &file {
                Some(file) => format!("{file}: no mistakes"),
                None => "there is no configuration file; the defaults are in force".to_owned(),
            };
            out.line(&json!({"file": file, "mistakes": 0}), &line)?;
        }
        ConfigCommand::Show => show(config, file, out)?,
        ConfigCommand::Dns => super::dns::print(config, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What the file names must be there and be what it says.
fn check_files(config: &Config) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    if let Some((chain, key)) = config.certificate()
        && let Err(error) = restante_net::Certificates::from_files(chain, key)
    {
        wrong.push(format!("[tls]: {error}"));
    }
    if let Some(file) = config.passwd_file()
        && let Err(error) = std::fs::File::open(file)
    {
        wrong.push(format!("users.passwd_file: {}: {error}", file.display()));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::Config(wrong.join("\n")))
}

fn show(config: &Config, file: Option<String>, out: &Output) -> Result<(), Failure> {
    let list = |addresses: &[restante_net::Address]| {
        addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let mut value = json!({
        "data": config.data(),
        "domains": config.domains(),
        "pop3": {
            "listen": list(config.pop3_listen()),
            "tls_listen": list(config.pop3_tls_listen()),
            "exclusive": config.exclusive(),
            "danger_plaintext_login": config.danger_plaintext_login(),
        },
        "lmtp": {"listen": list(config.lmtp_listen())},
        "reader": {
            "listen": list(&config.reading().listen),
            "tls_listen": list(&config.reading().tls_listen),
            "hosts": config.reading().hosts,
            "danger_unsubscribe_private": config.reading().danger_unsubscribe_private,
        },
        "tls": config.certificate().map_or(json!({}), |(certificate, key)| {
            json!({"certificate": certificate, "key": key})
        }),
        "users": config.passwd_file().map_or(json!({}), |file| json!({"passwd_file": file})),
        "store": {
            "hold": units::exact_duration(config.hold_ms()),
            "min_free": units::exact_octets(config.min_free()),
        },
        "limits": {
            "connections": config.connections(),
            "connections_per_address": config.connections_per_address(),
            "message_size": units::exact_octets(config.message_octets()),
            "recipients": config.recipients(),
        },
        "fetch": {
            "parallel": config.fetch_parallel(),
            "stale_after": units::exact_duration(config.stale_after_ms()),
        },
        "mailbox": config
            .mailboxes()
            .iter()
            .map(|said| (said.name.clone(), show_mailbox(said)))
            .collect::<serde_json::Map<_, _>>(),

        "backup": show_backup(config.backup()),
        "account": config
            .accounts()
            .iter()
            .map(|account| (account.name.clone(), show_account(account)))
            .collect::<serde_json::Map<_, _>>(),
    });
    if let Some(ca) = &config.reading().unsubscribe_ca {
        value["reader"]["unsubscribe_ca"] = json!(ca);
    }
    if let Some(setup) = config.setup() {
        value["setup"] = show_setup(setup);
    }
    if out.json() {
        return out.line(&value, "");
    }
    let origin = file.unwrap_or_else(|| "no configuration file; all defaults".to_owned());
    out.people(&format!("# {origin}"))?;
    let text = toml::to_string_pretty(&value)
        .map_err(|error| Failure::Config(format!("the configuration cannot be shown: {error}")))?;
    out.people(text.trim_end())
}

/// `[setup]` as it could be typed.
fn show_setup(setup: &Setup) -> serde_json::Value {
    let list = |addresses: &[restante_net::Address]| -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    };
    let settings = &setup.settings;
    let outgoing = &settings.outgoing;
    let mut section = json!({
        "listen": list(&setup.listen),
        "tls_listen": list(&setup.tls_listen),
        "host": settings.host,
        "url": settings.url,
        "outgoing": format!("{}:{}", outgoing.host, outgoing.port),
        "keep": show_keep(settings.keep),
    });
    for (key, port) in [
        ("pop3_port", settings.stls_port),
        ("pop3s_port", settings.tls_port),
    ] {
        if let Some(port) = port {
            section[key] = json!(port);
        }
    }
    section
}

/// What the file says of a mailbox, as its section.
fn show_mailbox(said: &Mailbox) -> serde_json::Value {
    let mut section = serde_json::Map::new();
    let mut say = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            section.insert(key.to_owned(), json!(value));
        }
    };
    let release = said.release.map(mailbox::release_name);
    say("release", release.map(str::to_owned));
    say("max_age", said.max_age.map(|term| term.to_string()));
    let expiry = said.device_expiry.map(|term| term.to_string());
    say("device_expiry", expiry);
    say("recent", said.recent_ms.map(units::exact_duration));
    section.extend(said.index.map(|index| ("index".to_owned(), json!(index))));
    section.into()
}

/// `[backup]`; a passphrase stays where it is.
fn show_backup(backup: &crate::config::Backup) -> serde_json::Value {
    let mut section = serde_json::Map::new();
    let mut say = |key: &str, value: serde_json::Value| {
        section.insert(key.to_owned(), value);
    };
    if let Some(to) = &backup.to {
        say("to", json!(to));
        for (key, every) in [("every", backup.every), ("drill", backup.drill)] {
            let every = every.map(|every| every.as_millis() as u64);
            let every = every.map_or("never".to_owned(), units::exact_duration);
            say(key, json!(every));
        }
        say(
            "stale_after",
            json!(units::exact_duration(backup.stale_after_ms)),
        );
    }
    if let Some(scratch) = &backup.scratch {
        say("scratch", json!(scratch));
    }
    if let Some(keep) = &backup.keep {
        say("keep", json!(keep.to_string()));
    }
    if !backup.recipients.is_empty() {
        say("recipients", json!(backup.recipients));
    }
    if let Some(file) = &backup.identity_file {
        say("identity_file", json!(file));
    }
    section.into()
}

/// An account as its section in the file; a client secret stays where it is.
fn show_account(account: &Account) -> serde_json::Value {
    let mut section = serde_json::Map::new();
    let mut say = |key: &str, value: serde_json::Value| {
        section.insert(key.to_owned(), value);
    };
    let server = &account.server;
    match &server.place {
        Place::Tcp { host, port } => {
            say("host", json!(host));
            say("port", json!(port));
        }
        #[cfg(unix)]
        Place::Unix(_) => say("host", json!(server.place.to_string())),
    }
    say("security", json!(security_name(server.security)));
    say("user", json!(account.user));
    match &account.secret {
        SecretFrom::Prompt | SecretFrom::Stdin | SecretFrom::Certificate => {}
        SecretFrom::File(path) => say("password_file", json!(path)),
        SecretFrom::Environment(name) => say("password_env", json!(name)),
        SecretFrom::Command(command) => say("password_command", json!(command)),
        SecretFrom::Keyring(user) => say("password_keyring", json!(user)),
        SecretFrom::TokenCommand(command) => say("token_command", json!(command)),
        SecretFrom::OAuth(oauth) => say("oauth", show_oauth(oauth)),
    }
    match &account.target_secret {
        SecretFrom::File(path) => say("to_password_file", json!(path)),
        SecretFrom::Environment(name) => say("to_password_env", json!(name)),
        SecretFrom::Command(command) => say("to_password_command", json!(command)),
        _ => {}
    }
    if let Some(ca) = &account.target_tls.ca_file {
        say("to_ca", json!(ca));
    }
    if let Some(pin) = &account.target_tls.pin_sha256 {
        say("to_pin", json!(show_pin(pin)));
    }
    if let Some(minimum) = account.minimum {
        say("auth", json!(minimum.name().to_ascii_lowercase()));
    }
    if account.only == Some(Mechanism::Apop) {
        say("apop", json!(true));
    }
    say("keep", json!(account.keep.to_string()));
    match &account.target {
        Target::Mailbox(name) => say("into", json!(name)),
        Target::Destination(place) => say("to", json!(place.to_string())),
    }
    if let Some(octets) = account.max_size {
        say("max_size", json!(units::exact_octets(octets)));
    }
    if let Some(messages) = account.max_per_day {
        say("max_per_day", json!(messages));
    }
    say(
        "every",
        json!(account.every.map_or("never".to_owned(), time)),
    );
    say("timeout", json!(time(server.timeout)));
    if let Some(ca) = &server.tls.ca_file {
        say("ca", json!(ca));
    }
    if let Some(pin) = &server.tls.pin_sha256 {
        say("pin", json!(show_pin(pin)));
    }
    if let Some(ClientCertificate { chain, key }) = &server.tls.client_certificate {
        say("client_certificate", json!(chain));
        say("client_key", json!(key));
    }
    if let Some(proxy) = &server.proxy {
        say("proxy", json!(format!("socks5://{}", proxy.address)));
    }
    if server.tls.danger_accept_any_certificate {
        say("danger_accept_any_certificate", json!(true));
    }
    if let Some(command) = &account.on_failure {
        say("on_failure", json!(command));
    }
    section.into()
}

fn time(duration: std::time::Duration) -> String {
    units::exact_duration(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn show_oauth(oauth: &OAuth) -> serde_json::Value {
    let mut section = serde_json::Map::new();
    section.insert("client_id".to_owned(), json!(oauth.client_id));
    for (key, value) in [
        ("provider", &oauth.provider),
        ("tenant", &oauth.tenant),
        ("authorize_endpoint", &oauth.authorize_endpoint),
        ("token_endpoint", &oauth.token_endpoint),
        ("device_endpoint", &oauth.device_endpoint),
        ("redirect", &oauth.redirect),
    ] {
        if let Some(value) = value {
            section.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(ca) = &oauth.ca {
        section.insert("ca".to_owned(), json!(ca));
    }
    if !oauth.scopes.is_empty() {
        section.insert("scopes".to_owned(), json!(oauth.scopes));
    }
    section.into()
}

/// For `status`: what a size limit looks like to people.
pub(super) fn limit(octets: Option<u64>) -> String {
    octets.map_or_else(|| "no quota".to_owned(), units::show_octets)
}
