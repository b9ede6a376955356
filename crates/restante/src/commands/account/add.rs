//! `restante account add`: find the server, try it, write it into the configuration.
//!
//! Nothing secret is sent before the person has seen which server it goes to, and nothing is written
//! before the server has taken the login.

mod probe;
mod questions;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use restante_client::{Place, Security};
use restante_intake::discover::{self, Candidate, Discovery, Options, Origin};
use restante_intake::providers::{self, PasswordKind, Provider};
use serde_json::json;

use super::runtime;
use crate::cli::AccountAdd;
use crate::commands::takeover::{self, Wish};
use crate::config::account::{self, Account, KEEP_RIGHT, OAuth, SecretFrom, Target};
use crate::config::{Config, edit};
use crate::failure::Failure;
use crate::output::{self, Output};
pub(crate) use questions::Person;

/// Runs `restante account add`.
pub(crate) fn run(adding: &AccountAdd, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let person = Person::new(adding.yes);
    let address = address(adding, &person)?;
    let runtime = runtime()?;
    let found = runtime.block_on(candidates(adding, &address))?;
    let mut chosen = choose(adding, &person, &found, &address, out)?;
    trust(adding, &mut chosen)?;
    let capabilities = runtime.block_on(probe::first_that_answers(&mut chosen))?;
    let candidate = chosen
        .into_iter()
        .next()
        .ok_or_else(|| nothing_found(&address))?;
    tell(&candidate, &capabilities, out)?;

    let mut account = planned(adding, &candidate, &address, config, &person)?;
    let made = secret(adding, &mut account, &candidate, config, &person)?;
    let oauth = matches!(account.secret, SecretFrom::OAuth(_));
    if !oauth {
        let users = match &adding.user {
            Some(user) => vec![user.clone()],
            None => candidate.users.clone(),
        };
        let tried = runtime.block_on(probe::login(&mut account, &users, config));
        match tried {
            Ok(there) => out.people(&format!(
                "The login works: {} there, {}.",
                crate::units::count(there.count, "message"),
                crate::units::show_octets(there.octets)
            ))?,
            Err(failure) => {
                made.undo();
                return Err(failure);
            }
        }
    }
    let file = write::place(config)?;
    if let Err(failure) = edit::edit(&file, |document| write::add(document, &account)) {
        made.undo();
        return Err(failure);
    }
    let wish = match adding.take_over {
        true => Wish::TakeOver,
        false => Wish::Ask,
    };
    let known = takeover::offer(wish, &account, config, &person, out)?;
    finish(&account, &file, oauth, known, out)?;
    Ok(ExitCode::SUCCESS)
}

/// What was written, and what comes next.
fn finish(
    account: &Account,
    file: &std::path::Path,
    oauth: bool,
    known: u64,
    out: &Output,
) -> Result<(), Failure> {
    let (host, port) = match &account.server.place {
        Place::Tcp { host, port } => (host.as_str(), Some(*port)),
        #[cfg(unix)]
        Place::Unix(_) => ("", None),
    };
    let name = &account.name;
    let next = if oauth {
        format!("restante account login {name}")
    } else {
        format!("restante fetch {name}")
    };
    out.line(
        &json!({
            "account": name, "host": host, "port": port, "user": account.user,
            "security": account::security_name(account.server.security),
            "keep": account.keep.to_string(), "file": file.display().to_string(),
            "taken_over": known, "next": next,
        }),
        &format!(
            "[account.{name}] stands in {} now.\nNext: {next}{}",
            file.display(),
            if oauth {
                "; then restante fetch"
            } else {
                "; `--dry-run` first shows what it would do. `restante serve` fetches it on schedule."
            }
        ),
    )
}

/// The address, as given or as asked for. With --host and --user there may be none.
fn address(adding: &AccountAdd, person: &Person) -> Result<String, Failure> {
    if let Some(address) = &adding.address {
        return Ok(address.clone());
    }
    if let (Some(_), Some(user)) = (&adding.host, &adding.user) {
        return Ok(user.clone());
    }
    person.ask("Your mail address: ")?.ok_or_else(|| {
        Failure::Usage("which address? restante account add you@example.org".to_owned())
    })
}

/// Servers for the address: the one that was named, else what discovery finds.
async fn candidates(adding: &AccountAdd, address: &str) -> Result<Discovery, Failure> {
    let Some(text) = &adding.host else {
        let net = discover::System::new();
        return discover::discover(address, &net, Options::default())
            .await
            .map_err(|error| Failure::Usage(format!("{address}: {error}")));
    };
    let wrong = || {
        Failure::Usage(format!(
            "--host {text}: right would be pop.example.org or pop.example.org:995"
        ))
    };
    let (host, port) = account::host_and_port(text).ok_or_else(wrong)?;
    let security = match &adding.security {
        Some(name) => account::security(name).ok_or_else(|| {
            Failure::Usage(format!(
                "--security {name}: right would be tls, stls or danger-plaintext"
            ))
        })?,
        None if port == Some(110) => Security::Stls,
        None => Security::ImplicitTls,
    };
    let port = port.unwrap_or(account::default_port(security));
    let provider = providers::by_host(&host);
    let mut users = match provider.and_then(|known| known.pop3.as_ref()) {
        Some(pop3) => vec![pop3.user.of(address).to_owned()],
        None => vec![address.to_owned()],
    };
    if provider.is_none()
        && let Some((local_part, _)) = address.rsplit_once('@')
    {
        users.push(local_part.to_owned());
    }
    Ok(Discovery {
        candidates: vec![Candidate {
            server: restante_client::Server::new(Place::tcp(host, port), security),
            users,
            origin: Origin::Provider,
            provider,
            elsewhere: false,
        }],
        ..Discovery::default()
    })
}

fn nothing_found(address: &str) -> Failure {
    Failure::Unavailable(format!(
        "no POP3 server was found for {address}. If you know its name, say it: restante account add {address} --host pop.example.org"
    ))
}

/// What may be tried, the best first: all that was found, but a host that only the DNS names and that
/// is not in the address's domain must be agreed to (RFC 6186 §6).
fn choose(
    adding: &AccountAdd,
    person: &Person,
    found: &Discovery,
    address: &str,
    out: &Output,
) -> Result<Vec<Candidate>, Failure> {
    if let Some(provider) = found.without_pop3 {
        let instead = provider.instead.as_deref().unwrap_or_default();
        return Err(Failure::Unavailable(format!(
            "{} has no POP3. {instead}",
            provider.name
        )));
    }
    if found.declined {
        return Err(Failure::Unavailable(format!(
            "{address}: the domain says of itself that it offers no POP3. IMAP mail can be copied with mbsync and taken in with `restante import`."
        )));
    }
    let mut chosen = Vec::new();
    let mut elsewhere = None;
    for candidate in &found.candidates {
        let place = candidate.server.place.to_string();
        if candidate.elsewhere && adding.host.is_none() {
            let agreed = person.agrees(&format!(
                "The domain's records name {place}, which is not in the domain. Use it (y/n)? "
            ))?;
            if !agreed {
                elsewhere = Some(place);
                continue;
            }
        }
        chosen.push(candidate.clone());
    }
    match (chosen.is_empty(), elsewhere) {
        (true, Some(place)) => Err(Failure::Usage(format!(
            "{address}: the domain's records name {place}, which is not in the domain. If that is your provider's, say so with --host {place}"
        ))),
        (true, None) => Err(nothing_found(address)),
        (false, _) => {
            out.people(&format!("Found for {address}: {}", chosen[0].server.place))?;
            Ok(chosen)
        }
    }
}

/// Whom to trust, as the command line says.
fn trust(adding: &AccountAdd, chosen: &mut [Candidate]) -> Result<(), Failure> {
    let pin = match &adding.pin {
        None => None,
        Some(text) => Some(account::pin(text).ok_or_else(|| {
            Failure::Usage(
                "--pin: right would be the 64 hex digits of the certificate's SHA-256".to_owned(),
            )
        })?),
    };
    let ca = match &adding.ca {
        None => None,
        Some(path) => Some(
            std::path::absolute(path).map_err(Failure::io(format_args!("{}", path.display())))?,
        ),
    };
    for candidate in chosen {
        candidate.server.tls.ca_file.clone_from(&ca);
        candidate.server.tls.pin_sha256 = pin;
        candidate.server.tls.danger_accept_any_certificate = adding.danger_accept_any_certificate;
    }
    Ok(())
}

/// Says what was found, and what to know before the first fetch.
fn tell(candidate: &Candidate, capabilities: &[String], out: &Output) -> Result<(), Failure> {
    let server = &candidate.server;
    let how = match server.security {
        Security::ImplicitTls => "with TLS",
        Security::Stls => "with STLS",
        Security::DangerPlaintext => "WITHOUT encryption",
    };
    let can = output::printable(&capabilities.join(" "));
    out.people(&format!(
        "{} answers, {how}. It offers: {can}",
        server.place
    ))?;
    let said = candidate.provider.and_then(|provider| {
        let pop3 = provider.pop3.as_ref()?;
        Some((provider, pop3))
    });
    let Some((provider, pop3)) = said else {
        return out.people(
            "POP3 shows the inbox only. What is in other folders, Sent and Spam too, stays at the provider: copy that once by IMAP, with mbsync for example, and take it in with `restante import`.",
        );
    };
    out.people(&format!("\n{}", provider.name))?;
    out.people(&format!("  Turning POP3 on: {}", pop3.enable))?;
    let url = pop3.login_url.as_deref().unwrap_or_default();
    out.people(&format!("  Logging in: {} {url}", pop3.login))?;
    if let Some(url) = &pop3.help_url {
        out.people(&format!("  Its own help: {url}"))?;
    }
    out.people(&format!(
        "  After a message is fetched: {}",
        pop3.after_retr
    ))?;
    out.people(&format!("  POP3 will miss: {}", pop3.misses))?;
    out.people(&format!("  To get that: {}\n", pop3.rest))
}

/// The account without its password.
fn planned(
    adding: &AccountAdd,
    candidate: &Candidate,
    address: &str,
    config: &Config,
    person: &Person,
) -> Result<Account, Failure> {
    let name = write::name(adding.name.as_deref(), candidate.provider, address, config)?;
    let user = adding.user.clone().or(candidate.users.first().cloned());
    let mut account = Account::new(
        name,
        candidate.server.clone(),
        user.unwrap_or_else(|| address.to_owned()),
    );
    let keep = match &adding.keep {
        Some(text) => Some(text.clone()),
        None => person.ask(
            "What stays on the server: forever, \"N days\", until-backed-up or none [forever]? ",
        )?,
    };
    if let Some(text) = keep {
        account.keep = text
            .parse()
            .map_err(|_| Failure::Usage(format!("--keep {text}: right would be {KEEP_RIGHT}")))?;
    }
    let into = match &adding.into {
        Some(name) => Some(name.clone()),
        None => person.ask("Into whose mailbox [me]? ")?,
    };
    if let Some(name) = into {
        let name = restante_directory::user_name(&name)?;
        account.target = Target::Mailbox(name);
    }
    Ok(account)
}

/// A file that holds the password, made here; it goes if the account comes to nothing.
struct Made(Option<PathBuf>);

impl Made {
    fn undo(&self) {
        if let Some(path) = &self.0 {
            let _gone_as_well_as_can_be = std::fs::remove_file(path);
        }
    }
}

/// Where the password comes from, as said or as asked.
fn secret(
    adding: &AccountAdd,
    account: &mut Account,
    candidate: &Candidate,
    config: &Config,
    person: &Person,
) -> Result<Made, Failure> {
    let given = adding.secrets.source();
    if given.is_none()
        && let Some(oauth) = oauth(adding, candidate.provider, person)?
    {
        account.secret = SecretFrom::OAuth(Box::new(oauth));
        return Ok(Made(None));
    }
    match given {
        Some(SecretFrom::File(path)) => {
            // The configuration is read from any folder.
            let path = std::path::absolute(&path)
                .map_err(Failure::io(format_args!("{}", path.display())))?;
            account.secret = SecretFrom::File(path);
        }
        Some(SecretFrom::Stdin) => {
            let password = questions::password_from_stdin()?;
            return questions::store(&password, account, config).map(|path| Made(Some(path)));
        }
        Some(other) => account.secret = other,
        None => return questions::secret(account, config, person).map(Made),
    }
    Ok(Made(None))
}

/// OAuth2, where the provider takes nothing else, or where a client id was given.
fn oauth(
    adding: &AccountAdd,
    provider: Option<&'static Provider>,
    person: &Person,
) -> Result<Option<OAuth>, Failure> {
    let known = provider.and_then(|provider| {
        let pop3 = provider.pop3.as_ref()?;
        Some((pop3, pop3.oauth2?))
    });
    let Some((pop3, whose)) = known else {
        return match &adding.client_id {
            None => Ok(None),
            Some(_) => Err(Failure::Usage(
                "--client-id: how this provider does OAuth2 is not known; write its endpoints into [account.NAME.oauth]".to_owned(),
            )),
        };
    };
    let only = pop3.password == PasswordKind::OAuth2;
    let id = match &adding.client_id {
        Some(id) => Some(id.clone()),
        None if only => person.ask("The OAuth2 client id of your own application: ")?,
        None => None,
    };
    match id {
        Some(client_id) => Ok(Some(OAuth {
            provider: Some(
                match whose {
                    providers::OAuth2::Google => "google",
                    providers::OAuth2::Microsoft => "microsoft",
                }
                .to_owned(),
            ),
            client_id,
            ..OAuth::default()
        })),
        None if only => Err(Failure::Usage(format!(
            "this provider takes OAuth2 only: --client-id ID. {}",
            pop3.login
        ))),
        None => Ok(None),
    }
}
