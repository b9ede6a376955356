//! What the program says of itself: configuration, completions, manual page.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use serde_json::json;

use crate::cli::{Cli, ConfigCommand};
use crate::config::Config;
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
    let value = json!({
        "data": config.data(),
        "domains": config.domains(),
        "pop3": {
            "listen": list(config.pop3_listen()),
            "tls_listen": list(config.pop3_tls_listen()),
            "exclusive": config.exclusive(),
            "danger_plaintext_login": config.danger_plaintext_login(),
        },
        "lmtp": {"listen": list(config.lmtp_listen())},
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
    });
    if out.json() {
        return out.line(&value, "");
    }
    let origin = file.unwrap_or_else(|| "no configuration file; all defaults".to_owned());
    out.people(&format!("# {origin}"))?;
    let text = toml::to_string_pretty(&value)
        .map_err(|error| Failure::Config(format!("the configuration cannot be shown: {error}")))?;
    out.people(text.trim_end())
}

/// For `status`: what a size limit looks like to people.
pub(super) fn limit(octets: Option<u64>) -> String {
    octets.map_or_else(|| "no quota".to_owned(), units::show_octets)
}
