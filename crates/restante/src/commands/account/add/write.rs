//! The account as it stands in the configuration.

use std::env;
use std::path::PathBuf;

use restante_client::{Place, Security};
use restante_intake::fetch::Keep;
use restante_intake::providers::Provider;
use toml_edit::{DocumentMut, InlineTable, Item, Table, value};

use crate::config::Config;
use crate::config::account::{self, Account, SecretFrom, Target};
use crate::failure::Failure;

/// The configuration's file, or where it is to be made.
pub(super) fn place(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(file) = config.file() {
        return Ok(file.to_owned());
    }
    let folder = |name| {
        env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    folder("XDG_CONFIG_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".config")))
        .map(|folder| folder.join("restante/restante.toml"))
        .ok_or_else(|| {
            Failure::Config(
                "there is no configuration file, and no HOME to make one in: name one with --config"
                    .to_owned(),
            )
        })
}

/// What to call the account: as said, else after its provider or domain, else as the address.
pub(super) fn name(
    said: Option<&str>,
    provider: Option<&Provider>,
    address: &str,
    config: &Config,
) -> Result<String, Failure> {
    let taken = |name: &str| config.accounts().iter().any(|known| known.name == name);
    if let Some(name) = said {
        if !account::is_name(name) {
            return Err(Failure::Usage(format!(
                "--name {name}: letters, digits and -_.@+ make a name"
            )));
        }
        if taken(name) {
            return Err(Failure::Exists(format!(
                "there is an account {name} already; `restante account remove {name}` forgets it"
            )));
        }
        return Ok(name.to_owned());
    }
    let first_word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "-.".contains(*c))
            .flat_map(char::to_lowercase)
            .collect()
    };
    let domain = address
        .rsplit_once('@')
        .map_or(address, |(_, domain)| domain);
    let label = domain.split('.').next().unwrap_or(domain);
    let after = first_word(provider.map_or(label, |provider| &provider.name));
    let address: String = address
        .chars()
        .map(|c| {
            if account::is_name(&format!("a{c}")) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let numbered = (2..100).map(|n| format!("{after}-{n}"));
    [after.clone(), address]
        .into_iter()
        .chain(numbered)
        .find(|name| account::is_name(name) && !taken(name))
        .ok_or_else(|| Failure::Usage("what shall it be called? --name NAME".to_owned()))
}

/// Puts the account's section at the end of the file.
pub(super) fn add(document: &mut DocumentMut, account: &Account) -> Result<(), Failure> {
    let accounts = document.entry("account").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let accounts = accounts.as_table_mut().ok_or_else(|| {
        Failure::Config(
            "the accounts in the file are not sections: write them as [account.NAME]".to_owned(),
        )
    })?;
    if accounts.contains_key(&account.name) {
        return Err(Failure::Exists(format!(
            "there is an account {} already",
            account.name
        )));
    }
    accounts.insert(&account.name, Item::Table(section(account)?));
    Ok(())
}

fn text(path: &std::path::Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::Usage(format!(
            "{}: the configuration can hold only paths in UTF-8",
            path.display()
        ))
    })
}

fn section(account: &Account) -> Result<Table, Failure> {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    let server = &account.server;
    match &server.place {
        Place::Tcp { host, port } => {
            table["host"] = value(host);
            if *port != account::default_port(server.security) {
                table["port"] = value(i64::from(*port));
            }
        }
        #[cfg(unix)]
        Place::Unix(path) => table["host"] = value(format!("unix:{}", text(path)?)),
    }
    if server.security != Security::ImplicitTls {
        table["security"] = value(account::security_name(server.security));
    }
    if let Some(path) = &server.tls.ca_file {
        table["ca"] = value(text(path)?);
    }
    if let Some(pin) = &server.tls.pin_sha256 {
        table["pin"] = value(account::show_pin(pin));
    }
    if server.tls.danger_accept_any_certificate {
        table["danger_accept_any_certificate"] = value(true);
    }
    table["user"] = value(&account.user);
    match &account.secret {
        SecretFrom::File(path) => table["password_file"] = value(text(path)?),
        SecretFrom::Environment(name) => table["password_env"] = value(name),
        SecretFrom::Command(command) => table["password_command"] = value(command),
        SecretFrom::Keyring(user) => table["password_keyring"] = value(user),
        SecretFrom::TokenCommand(command) => table["token_command"] = value(command),
        SecretFrom::OAuth(oauth) => {
            let mut inline = InlineTable::new();
            if let Some(provider) = &oauth.provider {
                inline.insert("provider", provider.as_str().into());
            }
            inline.insert("client_id", oauth.client_id.as_str().into());
            table["oauth"] = value(inline);
        }
        SecretFrom::Prompt | SecretFrom::Stdin | SecretFrom::Certificate => {}
    }
    if account.keep != Keep::Forever {
        table["keep"] = value(account.keep.to_string());
    }
    match &account.target {
        Target::Mailbox(name) => table["into"] = value(name),
        Target::Destination(spec) => table["to"] = value(spec.to_string()),
    }
    Ok(table)
}
